//! Members of a representation that a replacement may repeat and that have no effect.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

/// A member that only the server writes: a document may contain any value here, and the value is ignored, so that
/// what was read can be sent back.
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
