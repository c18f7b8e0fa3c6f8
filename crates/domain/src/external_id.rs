//! The id of a restaurant in another system, such as a point of sale.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{Bucket, limits::MAX_EXTERNAL_ID_LENGTH, text::RawText};

/// The id of a restaurant in another system. 1 to [`MAX_EXTERNAL_ID_LENGTH`] printable ASCII characters without spaces;
/// case-sensitive.
///
/// The external id determines the bucket of the restaurant. So external ids are unique if they are unique within each
/// shard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ExternalId(Arc<str>);

/// The text is not a valid [`ExternalId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_EXTERNAL_ID_LENGTH} printable ASCII characters without spaces")]
pub struct ExternalIdError;

impl ExternalId {
    /// Checks an external id and returns it.
    pub fn new(text: &str) -> Result<Self, ExternalIdError> {
        let well_formed = (1..=MAX_EXTERNAL_ID_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if well_formed { Ok(Self(text.into())) } else { Err(ExternalIdError) }
    }

    /// Returns the external id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the bucket of the restaurant with this external id. The result for an id must never change: otherwise
    /// one external id could be given to two restaurants.
    pub fn bucket(&self) -> Bucket {
        /// Offset and prime of 64-bit FNV-1a.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = self.0.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        // The high bits of the hash are the best mixed ones.
        Bucket::from_random(hash ^ (hash >> 20) ^ (hash >> 44))
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl fmt::Debug for ExternalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl<'de> Deserialize<'de> for ExternalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn external_ids_are_checked() {
        for good in ["1", "POS-17/b", "a~!", &"x".repeat(64)] {
            assert_eq!(ExternalId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "two words", " 1", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(ExternalId::new(bad), Err(ExternalIdError), "{bad:?}");
        }
    }

    /// The ids of restaurants contain these buckets. If the hash changed, an external id could be given to two
    /// restaurants.
    #[test]
    fn the_bucket_of_an_external_id_never_changes() {
        let buckets = ["1", "2", "POS-17", "naan-stop"].map(|text| ExternalId::new(text).unwrap().bucket());
        assert_eq!(buckets.map(Bucket::number), [1190, 3663, 2868, 2123]);
    }

    /// Proves that the buckets of numbered ids are spread: 1,000 ids use more than 800 buckets.
    #[test]
    fn numbered_ids_are_spread_over_the_buckets() {
        let buckets: HashSet<_> =
            (0..1_000).map(|number| ExternalId::new(&format!("pos-{number}")).unwrap().bucket()).collect();
        assert!(buckets.len() > 800, "{}", buckets.len());
    }
}
