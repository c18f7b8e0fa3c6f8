//! The shard map: assigns each bucket to a shard.

use std::{fmt, str::FromStr};

use dabba_domain::Bucket;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Maximum number of shards in a map. Limits the cost of calls to all shards.
pub const MAX_SHARDS: usize = 64;

/// A range of buckets, both ends included. Its text form `0-1365` is used in configuration and in databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRange {
    first: Bucket,
    last: Bucket,
}

/// Error for a text that is not a valid [`BucketRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a range of buckets: write the first and the last bucket, as in 0-{last}",
    last = Bucket::COUNT - 1
)]
pub struct BucketRangeError {
    text: String,
}

impl BucketRange {
    /// All buckets.
    pub const WHOLE: Self = Self { first: Bucket::FIRST, last: Bucket::LAST };

    /// Returns the range from the first to the last bucket, or `None` if the last precedes the first.
    pub fn new(first: Bucket, last: Bucket) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Returns the first bucket of the range.
    pub const fn first(self) -> Bucket {
        self.first
    }

    /// Returns the last bucket of the range.
    pub const fn last(self) -> Bucket {
        self.last
    }

    /// Returns whether the range contains a bucket.
    pub fn contains(self, bucket: Bucket) -> bool {
        (self.first..=self.last).contains(&bucket)
    }

    /// Returns the number of buckets in the range.
    pub const fn count(self) -> u16 {
        self.last.number() - self.first.number() + 1
    }

    /// Splits the range in two: the buckets below the given bucket, and the buckets from it on. `None` if one
    /// of the two would be empty.
    pub fn split_at(self, bucket: Bucket) -> Option<(Self, Self)> {
        let below = Bucket::new(bucket.number().checked_sub(1)?)?;
        Some((Self::new(self.first, below)?, Self::new(bucket, self.last)?))
    }

    fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

impl fmt::Display for BucketRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first.number(), self.last.number())
    }
}

impl FromStr for BucketRange {
    type Err = BucketRangeError;

    fn from_str(text: &str) -> Result<Self, BucketRangeError> {
        // Rejects a sign, which number parsing would accept.
        let bucket = |number: &str| {
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.parse().ok().and_then(Bucket::new)).flatten()
        };
        text.split_once('-')
            .and_then(|(first, last)| Self::new(bucket(first)?, bucket(last)?))
            .ok_or_else(|| BucketRangeError { text: text.to_owned() })
    }
}

impl Serialize for BucketRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BucketRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A shard: its name and its buckets. Settings of the shard's database are in the same entry, by
/// `#[serde(flatten)]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRange {
    /// Name of the shard: 1 to [`ShardRange::MAX_NAME_LENGTH`] lower-case letters, digits, `-` and `_`.
    /// Appears in logs and errors, and in cursors of the feed.
    pub name: String,
    /// Buckets of the shard.
    pub buckets: BucketRange,
    /// Name of the shard of which the shard's database is a physical copy, or former name of the shard. Cursors of the
    /// feed that were made before continue at their position in that shard. May name a shard that is no longer in the
    /// map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_from: Option<String>,
}

impl ShardRange {
    /// Maximum length of a name, in characters.
    pub const MAX_NAME_LENGTH: usize = 63;

    /// Returns whether a text is a valid name.
    pub(crate) fn is_name(text: &str) -> bool {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        (1..=Self::MAX_NAME_LENGTH).contains(&text.len()) && text.bytes().all(is_allowed)
    }
}

/// Assignment of buckets to shards: each bucket is in exactly one shard. A shard's index is its position in
/// the list from which the map was made.
///
/// In a configuration, the map is a list of `{ name = "north", buckets = "0-2047" }`; other members of an
/// entry are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<ShardRange>")]
pub struct ShardMap {
    shards: Vec<ShardRange>,
    /// Index of the shard of each bucket.
    shard_of_bucket: Box<[u8]>,
}

/// Buckets that are assigned to two shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketsInTwoShards {
    /// The buckets.
    pub buckets: BucketRange,
    /// The names of the shards.
    pub shards: [String; 2],
}

/// Reason why a list of shards is not a valid map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardMapError {
    /// More shards than [`MAX_SHARDS`].
    #[error("the map has {0} shards; at most {MAX_SHARDS} are allowed")]
    TooMany(usize),
    /// An invalid name.
    #[error(
        "{0:?} is not a valid shard name: use 1 to {max} lower-case letters, digits, - and _",
        max = ShardRange::MAX_NAME_LENGTH
    )]
    BadName(String),
    /// A name that two shards have.
    #[error("two shards have the name {0:?}")]
    NameTaken(String),
    /// A shard that is split from itself, directly or through other shards.
    #[error(
        "the shard {0:?} is split from itself: split_from must name the shard of which its database is a copy, or its former name"
    )]
    SplitFromItself(String),
    /// Buckets that are in no shard, or in two.
    #[error("each bucket must be in exactly one shard: {}", cover_text(overlapping, missing))]
    Cover {
        /// The buckets that are in two shards.
        overlapping: Vec<BucketsInTwoShards>,
        /// The buckets that are in no shard.
        missing: Vec<BucketRange>,
    },
}

fn cover_text(overlapping: &[BucketsInTwoShards], missing: &[BucketRange]) -> String {
    let mut parts = Vec::new();
    for BucketsInTwoShards { buckets, shards: [one, other] } in overlapping {
        parts.push(format!("{buckets} are in both {one} and {other}"));
    }
    for buckets in missing {
        parts.push(format!("{buckets} are in no shard"));
    }
    parts.join(", ")
}

impl ShardMap {
    /// Creates a map after checking that each bucket is in exactly one shard.
    pub fn new(shards: Vec<ShardRange>) -> Result<Self, ShardMapError> {
        if shards.len() > MAX_SHARDS {
            return Err(ShardMapError::TooMany(shards.len()));
        }
        for (index, shard) in shards.iter().enumerate() {
            let names = std::iter::once(&shard.name).chain(&shard.split_from);
            if let Some(wrong) = names.into_iter().find(|name| !ShardRange::is_name(name)) {
                return Err(ShardMapError::BadName(wrong.clone()));
            }
            if shards[..index].iter().any(|other| other.name == shard.name) {
                return Err(ShardMapError::NameTaken(shard.name.clone()));
            }
        }
        if let Some(shard) = shards.iter().find(|shard| is_own_ancestor(&shards, shard)) {
            return Err(ShardMapError::SplitFromItself(shard.name.clone()));
        }
        let (overlapping, missing) = (overlapping(&shards), missing(&shards));
        if !overlapping.is_empty() || !missing.is_empty() {
            return Err(ShardMapError::Cover { overlapping, missing });
        }
        let mut shard_of_bucket = vec![0; usize::from(Bucket::COUNT)].into_boxed_slice();
        for (index, shard) in (0_u8..).zip(&shards) {
            let buckets =
                usize::from(shard.buckets.first.number())..=usize::from(shard.buckets.last.number());
            shard_of_bucket[buckets].fill(index);
        }
        Ok(Self { shards, shard_of_bucket })
    }

    /// Returns the map of a single shard with this name, which holds all buckets.
    pub fn sole(name: &str) -> Self {
        let shards =
            vec![ShardRange { name: name.to_owned(), buckets: BucketRange::WHOLE, split_from: None }];
        Self { shards, shard_of_bucket: vec![0; usize::from(Bucket::COUNT)].into_boxed_slice() }
    }

    /// Returns the index of the shard that holds a bucket.
    pub fn shard_of(&self, bucket: Bucket) -> usize {
        usize::from(self.shard_of_bucket[usize::from(bucket.number())])
    }

    /// Returns the shards, by index. There is at least one.
    pub fn shards(&self) -> &[ShardRange] {
        &self.shards
    }
}

impl TryFrom<Vec<ShardRange>> for ShardMap {
    type Error = ShardMapError;

    fn try_from(shards: Vec<ShardRange>) -> Result<Self, ShardMapError> {
        Self::new(shards)
    }
}

/// Returns whether following `split_from` from a shard leads back to the shard.
fn is_own_ancestor(shards: &[ShardRange], shard: &ShardRange) -> bool {
    let parent = |name: &String| shards.iter().find(|other| other.name == *name)?.split_from.as_ref();
    std::iter::successors(shard.split_from.as_ref(), |name| parent(name))
        .take(shards.len())
        .any(|name| *name == shard.name)
}

fn overlapping(shards: &[ShardRange]) -> Vec<BucketsInTwoShards> {
    let mut found = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        for other in &shards[index + 1..] {
            if let Some(buckets) = shard.buckets.intersection(other.buckets) {
                let shards = [shard.name.clone(), other.name.clone()];
                found.push(BucketsInTwoShards { buckets, shards });
            }
        }
    }
    found
}

fn missing(shards: &[ShardRange]) -> Vec<BucketRange> {
    let mut ranges: Vec<BucketRange> = shards.iter().map(|shard| shard.buckets).collect();
    ranges.sort_by_key(|range| range.first);
    let mut found = Vec::new();
    // The first bucket that no earlier range covers.
    let mut open = 0;
    let mut gap = |open: u16, end: u16| {
        let last = end.checked_sub(1).and_then(Bucket::new);
        let range = Bucket::new(open).zip(last).and_then(|(first, last)| BucketRange::new(first, last));
        found.extend(range);
    };
    for range in ranges {
        gap(open, range.first.number());
        open = open.max(range.last.number() + 1);
    }
    gap(open, Bucket::COUNT);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(name: &str, buckets: &str) -> ShardRange {
        ShardRange { name: name.to_owned(), buckets: buckets.parse().unwrap(), split_from: None }
    }

    fn message(shards: &[(&str, &str)]) -> String {
        let shards = shards.iter().map(|(name, buckets)| shard(name, buckets)).collect();
        ShardMap::new(shards).unwrap_err().to_string()
    }

    #[test]
    fn invalid_ranges_are_refused() {
        for text in ["", "-", "0", "0-", "-5", "5-4", "0-4096", "+0-5", "0-+5", " 0-5", "0-5-6", "a-b", "0–5"]
        {
            assert!(text.parse::<BucketRange>().is_err(), "{text}");
        }
        assert_eq!("7-7".parse::<BucketRange>().unwrap().to_string(), "7-7");
    }

    #[test]
    fn a_range_is_split_without_loss() {
        let split = |range: &str, bucket: u16| {
            let halves = range.parse::<BucketRange>().unwrap().split_at(Bucket::new(bucket).unwrap());
            halves.map(|(below, above)| (below.to_string(), above.to_string()))
        };
        assert_eq!(split("0-4095", 2_048), Some(("0-2047".to_owned(), "2048-4095".to_owned())));
        assert_eq!(split("5-6", 6), Some(("5-5".to_owned(), "6-6".to_owned())));
        for (range, bucket) in [("0-4095", 0), ("5-6", 5), ("5-6", 7), ("5-6", 4), ("5-5", 5)] {
            assert_eq!(split(range, bucket), None, "{range} at {bucket}");
        }
    }

    #[test]
    fn the_error_of_an_invalid_map_names_the_reason() {
        for (shards, expected) in [
            (&[][..], "each bucket must be in exactly one shard: 0-4095 are in no shard"),
            (
                &[("a", "1-4094")],
                "each bucket must be in exactly one shard: 0-0 are in no shard, 4095-4095 are in no shard",
            ),
            (
                &[("a", "0-2000"), ("b", "1900-3000"), ("c", "3002-4095")],
                "each bucket must be in exactly one shard: 1900-2000 are in both a and b, 3001-3001 are in no shard",
            ),
            (
                &[("a", "0-4095"), ("b", "5-9")],
                "each bucket must be in exactly one shard: 5-9 are in both a and b",
            ),
            (&[("a", "0-2047"), ("a", "2048-4095")], "two shards have the name \"a\""),
            (
                &[("North", "0-4095")],
                "\"North\" is not a valid shard name: use 1 to 63 lower-case letters, digits, - and _",
            ),
        ] {
            assert_eq!(message(shards), expected);
        }
        let many = (0..=MAX_SHARDS).map(|index| shard(&format!("s{index}"), &format!("{index}-{index}")));
        assert_eq!(ShardMap::new(many.collect()), Err(ShardMapError::TooMany(65)));
    }

    /// Proves that a shard may be split from another shard of the map or from a former one, and never from itself.
    #[test]
    fn a_shard_is_not_split_from_itself() {
        let map = |parents: [Option<&str>; 3]| {
            let names = [("a", "0-9"), ("b", "10-19"), ("c", "20-4095")];
            let shards = names.into_iter().zip(parents).map(|((name, buckets), parent)| ShardRange {
                split_from: parent.map(str::to_owned),
                ..shard(name, buckets)
            });
            ShardMap::new(shards.collect())
        };
        for parents in [
            [None, Some("a"), Some("b")],
            [Some("former"), Some("a"), Some("a")],
            [Some("b"), Some("c"), None],
        ] {
            assert!(map(parents).is_ok(), "{parents:?}");
        }
        for (parents, name) in [
            ([Some("a"), None, None], "a"),
            ([Some("b"), Some("a"), None], "a"),
            ([None, Some("c"), Some("b")], "b"),
            ([Some("c"), Some("a"), Some("b")], "a"),
        ] {
            assert_eq!(map(parents), Err(ShardMapError::SplitFromItself(name.to_owned())), "{parents:?}");
        }
        assert_eq!(map([Some("North"), None, None]), Err(ShardMapError::BadName("North".to_owned())));
    }

    #[test]
    fn a_map_is_read_from_a_document_with_settings_around_it() {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(flatten)]
            shard: ShardRange,
            url: String,
        }
        let document = r#"[
            { "name": "north", "buckets": "2048-4095", "url": "postgres://north" },
            { "name": "south", "buckets": "0-2047", "url": "postgres://south" }
        ]"#;
        let map: ShardMap = serde_json::from_str(document).unwrap();
        let entries: Vec<Entry> = serde_json::from_str(document).unwrap();
        assert_eq!(entries[1].url, "postgres://south");
        assert_eq!(map, ShardMap::new(entries.into_iter().map(|entry| entry.shard).collect()).unwrap());
        assert_eq!(map.shard_of(Bucket::new(2_047).unwrap()), 1);
        assert_eq!(map.shard_of(Bucket::new(2_048).unwrap()), 0);
        let error = serde_json::from_str::<ShardMap>(r#"[{ "name": "a", "buckets": "0-9" }]"#).unwrap_err();
        assert!(error.to_string().contains("10-4095 are in no shard"), "{error}");
    }

    /// First buckets of all shards except the first shard.
    fn cuts() -> impl Strategy<Value = Vec<u16>> {
        proptest::collection::btree_set(1_u16..4_096, 0..MAX_SHARDS)
            .prop_map(|cuts| cuts.into_iter().collect())
    }

    fn cut_up(cuts: &[u16]) -> Vec<ShardRange> {
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([4_096]);
        let shard = |(start, end): (u16, u16)| shard(&format!("s{start}"), &format!("{start}-{}", end - 1));
        starts.zip(ends).map(shard).collect()
    }

    proptest! {
        /// Proves that a map that covers all buckets is accepted in any order of the shards, finds the shard
        /// of each bucket, and survives a round trip through its text form.
        #[test]
        fn every_bucket_is_in_its_shard(cuts in cuts(), turn: usize) {
            let mut shards = cut_up(&cuts);
            let turn = turn % shards.len();
            shards.rotate_left(turn);
            let map = ShardMap::new(shards.clone()).unwrap();
            for number in 0..Bucket::COUNT {
                let bucket = Bucket::new(number).unwrap();
                prop_assert!(shards[map.shard_of(bucket)].buckets.contains(bucket));
            }
            let text = serde_json::to_string(map.shards()).unwrap();
            prop_assert_eq!(serde_json::from_str::<ShardMap>(&text).unwrap(), map);
        }

        /// Proves that the error names a missing shard's buckets, and the shards and buckets of an overlap.
        #[test]
        fn missing_and_overlapping_buckets_are_named(cuts in cuts(), which: usize) {
            let mut shards = cut_up(&cuts);
            let which = which % shards.len();
            let taken = shards.remove(which);
            let error = ShardMap::new(shards.clone()).unwrap_err();
            let missing = vec![taken.buckets];
            prop_assert_eq!(error, ShardMapError::Cover { overlapping: Vec::new(), missing });
            if shards.len() + 2 <= MAX_SHARDS {
                let name = taken.name.clone();
                shards.push(taken.clone());
                shards.push(ShardRange { name: "double".to_owned(), ..taken.clone() });
                let error = ShardMap::new(shards).unwrap_err();
                let both = BucketsInTwoShards { buckets: taken.buckets, shards: [name, "double".to_owned()] };
                prop_assert_eq!(error, ShardMapError::Cover { overlapping: vec![both], missing: Vec::new() });
            }
        }
    }
}
