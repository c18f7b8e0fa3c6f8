//! Members of a document that the client may send and the server ignores.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

/// A member that only the server writes. A document may contain any value here; Dabba ignores it. So a client can send
/// back a document as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOnly;

impl<'de> Deserialize<'de> for ReadOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for ReadOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}
