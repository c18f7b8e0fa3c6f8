//! A position in the feed of all shards, as text.
//!
//! Example `r1.9f86d081.2.0-5-12345`: the format's version, a digest of the shards' names, the index of the
//! shard whose turn is next, and for each shard the length of its own cursor followed by that cursor. A
//! shard's cursor may be any text.
//!
//! The digest detects swapped shards: without it, a cursor of a map in which two shards changed places would
//! be accepted and skip events. The bucket ranges are not part of the digest, because rows that move to
//! another shard are new in that shard's feed.

use crate::{FeedCursor, StoreError};

use super::map::ShardMap;

const VERSION: &str = "r1";

/// A position in each shard's feed, and the shard whose turn is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The shard that is read first. Keeping the turn across pages gives each shard its turn, whatever the
    /// page size.
    pub(super) turn: usize,
    /// The position in each shard.
    pub(super) shards: Vec<FeedCursor>,
}

impl Place {
    pub(super) fn write(&self, digest: u32) -> FeedCursor {
        let mut text = format!("{VERSION}.{digest:08x}.{}.", self.turn);
        for FeedCursor(cursor) in &self.shards {
            text.push_str(&cursor.len().to_string());
            text.push('-');
            text.push_str(cursor);
        }
        FeedCursor(text)
    }

    /// Parses a cursor that [`Place::write`] made for a map with this digest and number of shards.
    pub(super) fn read(cursor: &FeedCursor, digest: u32, shard_count: usize) -> Result<Self, StoreError> {
        if *cursor == FeedCursor::start() {
            return Ok(Self { turn: 0, shards: vec![FeedCursor::start(); shard_count] });
        }
        Self::parse(&cursor.0)
            .filter(|place| place.shards.len() == shard_count && place.turn < shard_count)
            // A text that parses to the same place but differs from its cursor was not made here either.
            .filter(|place| place.write(digest) == *cursor)
            .ok_or_else(|| {
                let text = &cursor.0;
                StoreError::Corrupt(format!("{text:?} is not a feed cursor of these shards"))
            })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        let (_version, _digest) = (parts.next()?, parts.next()?);
        let turn = parts.next()?.parse().ok()?;
        let mut rest = parts.next()?;
        let mut shards = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_once('-')?;
            let (cursor, next) = behind.split_at_checked(length.parse().ok()?)?;
            shards.push(FeedCursor(cursor.to_owned()));
            rest = next;
        }
        Some(Self { turn, shards })
    }
}

/// Returns a digest (FNV-1a) of the shards' names in their order.
pub(super) fn digest_of(map: &ShardMap) -> u32 {
    let mut digest = 0x811c_9dc5_u32;
    for shard in map.shards() {
        // A zero byte, which no name contains, ends each name.
        for byte in shard.name.bytes().chain([0]) {
            digest = (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ShardRange;

    proptest! {
        #[test]
        fn reading_a_written_place_returns_it(
            texts in proptest::collection::vec(".{0,12}", 1..9), turn: usize, digest: u32,
        ) {
            let shards: Vec<_> = texts.into_iter().map(FeedCursor).collect();
            let count = shards.len();
            let place = Place { turn: turn % count, shards };
            let cursor = place.write(digest);
            prop_assert_eq!(Place::read(&cursor, digest, count).unwrap(), place);
            prop_assert!(Place::read(&cursor, digest ^ 1, count).is_err());
            prop_assert!(Place::read(&cursor, digest, count + 1).is_err());
        }

        #[test]
        fn any_other_text_is_refused(text in ".{1,40}") {
            prop_assert!(Place::read(&FeedCursor(text), 7, 2).is_err());
        }
    }

    #[test]
    fn malformed_cursors_are_refused() {
        let good = "r1.00000007.1.0-2-12";
        assert!(Place::read(&FeedCursor(good.to_owned()), 7, 2).is_ok());
        for text in [
            "17",
            "r2.00000007.1.0-2-12",
            "r1.7.1.0-2-12",
            "r1.00000007.2.0-2-12",
            "r1.00000007.01.0-2-12",
            "r1.00000007.1.0-02-12",
            "r1.00000007.1.0-3-12",
            "r1.00000007.1.0-1-12",
            "r1.00000007.1.0-2-120-",
            "r1.00000007.1.1-é0-",
            "r1.00000007.1.18446744073709551615-2-12",
        ] {
            let refused = Place::read(&FeedCursor(text.to_owned()), 7, 2);
            assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{text}");
        }
    }

    #[test]
    fn maps_with_other_names_or_another_order_have_other_digests() {
        let digest = |names: [&str; 2]| {
            let ranges = ["0-9", "10-4095"];
            let shard = |(name, range): (&str, &str)| ShardRange {
                name: name.to_owned(),
                buckets: range.parse().unwrap(),
            };
            digest_of(&ShardMap::new(names.into_iter().zip(ranges).map(shard).collect()).unwrap())
        };
        let all = [digest(["a", "bc"]), digest(["ab", "c"]), digest(["bc", "a"]), digest(["a", "b"])];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{all:?}");
        }
    }
}
