//! Identifiers: one type per kind of entity, each a `UUIDv7` (RFC 9562, section 5.7).
//!
//! The twelve bits after the version (`rand_a` in the RFC) hold a [`Bucket`]. The bucket of a restaurant is random, or
//! determined by its external id. The bucket of an order is that of its restaurant. So the id of an order alone
//! determines where the order is stored, and ids still sort by creation time.
//!
//! To add a kind, add a line to the registry at the end of this file.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::text::RawText;

/// One of 4,096 slices of all orders. Each shard owns ranges of buckets. The number of buckets never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// Number of buckets. It never changes.
    pub const COUNT: u16 = 4_096;

    /// The first bucket.
    pub const FIRST: Self = Self(0);
    /// The last bucket.
    pub const LAST: Self = Self(Self::COUNT - 1);

    /// Returns the bucket with this number; `None` if the number is [`Bucket::COUNT`] or more.
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Returns the bucket that these random bits select, each bucket with the same probability.
    pub const fn from_random(random: u64) -> Self {
        Self((random & 0x0fff) as u16)
    }

    /// Returns the bucket's number, from 0 to 4,095.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The kind of entity that an [`Id`] identifies. Only the registry below implements it.
pub trait IdKind: 'static {
    /// Name of the kind, as in error messages: `order`.
    const NAME: &'static str;
}

/// The identifier of a `K`. See the description of the module.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// Reason why a text or a number is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a UUID in the canonical form with hyphens.
    #[error("not a UUID in the form 01234567-89ab-7cde-8f01-23456789abcd")]
    NotAUuid,
    /// The UUID does not have version 7 and the variant of the RFC.
    #[error("a UUID, but not of version 7")]
    NotVersion7,
}

impl<K> Id<K> {
    /// Length of the canonical text form.
    const TEXT_LENGTH: usize = 36;

    /// Returns an id made from the time, the bucket and 62 of the 64 random bits. A time before 1970 counts as 1970.
    pub fn generate(at: Timestamp, bucket: Bucket, random: u64) -> Self {
        let unix_ms = u64::try_from(at.as_millisecond()).unwrap_or(0) & 0x0000_ffff_ffff_ffff;
        let high = (unix_ms << 16) | 0x7000 | u64::from(bucket.number());
        let low = (random >> 2) | 0x8000_0000_0000_0000;
        Self { uuid: Uuid::from_u64_pair(high, low), kind: PhantomData }
    }

    /// Returns the id for a UUID that [`Id::generate`] made, for example one read from a store.
    pub fn from_uuid(uuid: Uuid) -> Result<Self, IdError> {
        if uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122 {
            Ok(Self { uuid, kind: PhantomData })
        } else {
            Err(IdError::NotVersion7)
        }
    }

    /// Returns the id of a row that must be shown although it may be damaged. If [`Id::generate`] did not make the UUID,
    /// no order, restaurant or account has this id.
    pub const fn unchecked(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// Returns the id as a UUID.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// Returns the bucket that the id contains.
    pub fn bucket(self) -> Bucket {
        Bucket((self.uuid.as_u64_pair().0 & 0x0fff) as u16)
    }

    /// Returns the creation time that the id contains, to the millisecond.
    pub fn created_at(self) -> Timestamp {
        let unix_ms = self.uuid.as_u64_pair().0 >> 16;
        i64::try_from(unix_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.as_hyphenated().fmt(formatter)
    }
}
impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", K::NAME, self.uuid.as_hyphenated())
    }
}
impl<K> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != Self::TEXT_LENGTH {
            return Err(IdError::NotAUuid);
        }
        Self::from_uuid(Uuid::try_parse(text).map_err(|_| IdError::NotAUuid)?)
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $kind:ident, $alias:ident, $name:literal;)*) => {$(
        #[doc = concat!("Marks the id of a ", $name, ".")]
        #[derive(Debug)]
        pub enum $kind {}
        impl IdKind for $kind {
            const NAME: &'static str = $name;
        }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

id_kinds! {
    /// Identifies an order. Its bucket is that of its restaurant.
    OrderKind, OrderId, "order";
    /// Identifies a restaurant. Its bucket is random, or determined by the restaurant's external id.
    RestaurantKind, RestaurantId, "restaurant";
    /// Identifies an account: a customer, a courier, a member of staff. Its bucket has no meaning.
    AccountKind, AccountId, "account";
    /// Identifies a background task. The bucket of an order's task is that of the order. The bucket of another task has
    /// no meaning.
    TaskKind, TaskId, "task";
    /// Identifies an API key of a service account. Its bucket has no meaning.
    ApiKeyKind, ApiKeyId, "API key";
    /// Identifies a session of a person's account. Its bucket has no meaning.
    SessionKind, SessionId, "session";
    /// Identifies a webhook endpoint. Its bucket has no meaning: endpoints are in the directory.
    WebhookEndpointKind, WebhookEndpointId, "webhook endpoint";
}

/// The short name of an order for people: five characters of Crockford's base 32, without I, L, O and U. It is made of
/// the random end of the order's id, so orders can have the same code: it identifies an order on a counter, and not in
/// a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DisplayCode([u8; Self::LENGTH]);

impl DisplayCode {
    /// Number of characters.
    pub const LENGTH: usize = 5;
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
}

/// Reason why a text is not a [`DisplayCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not five letters and digits as on a ticket, such as PF2DB; U is in no code")]
pub struct DisplayCodeError;

impl DisplayCode {
    /// Returns the 25 bits that the code states, the highest ones first.
    pub fn bits(self) -> u32 {
        let value = |digit: u8| {
            let known = (0_u32..).zip(Self::DIGITS).find(|(_, known)| **known == digit);
            known.map_or(0, |(value, _)| value)
        };
        self.0.iter().fold(0, |bits, digit| (bits << 5) | value(*digit))
    }
}

/// Reads a code as people write it: in upper or lower case, with O for 0, and with I or L for 1.
impl FromStr for DisplayCode {
    type Err = DisplayCodeError;

    fn from_str(text: &str) -> Result<Self, DisplayCodeError> {
        let mut code: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| DisplayCodeError)?;
        for digit in &mut code {
            *digit = match digit.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                known if Self::DIGITS.contains(&known) => known,
                _ => return Err(DisplayCodeError),
            };
        }
        Ok(Self(code))
    }
}

impl OrderId {
    /// Returns the display code: the lowest 25 bits of the id.
    pub fn display_code(self) -> DisplayCode {
        let bits = self.uuid.as_u64_pair().1;
        let digit = |place: usize| {
            DisplayCode::DIGITS[((bits >> (5 * (DisplayCode::LENGTH - 1 - place))) & 31) as usize]
        };
        DisplayCode(std::array::from_fn(digit))
    }
}

impl fmt::Display for DisplayCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| fmt::Write::write_char(formatter, char::from(*digit)))
    }
}

impl fmt::Debug for DisplayCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for DisplayCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_keeps_its_time_and_bucket(ms in 0_i64..=253_402_207_200_000, bucket in 0_u16..4_096, random: u64) {
            let at = Timestamp::from_millisecond(ms).unwrap();
            let bucket = Bucket::new(bucket).unwrap();
            let id = OrderId::generate(at, bucket, random);
            prop_assert_eq!(id.bucket(), bucket);
            prop_assert_eq!(id.created_at(), at);
            prop_assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
            prop_assert_eq!(OrderId::from_uuid(id.uuid()).unwrap(), id);
        }

        #[test]
        fn ids_sort_by_time(earlier in 0_i64..1_000_000, later in 1_000_001_i64..2_000_000, a: u64, b: u64) {
            let id = |ms, random| {
                OrderId::generate(Timestamp::from_millisecond(ms).unwrap(), Bucket::from_random(random), random)
            };
            prop_assert!(id(earlier, a) < id(later, b));
            prop_assert!(id(earlier, a).to_string() < id(later, b).to_string());
        }
    }

    #[test]
    fn invalid_ids_are_refused_with_a_reason() {
        for (text, error) in [
            ("", IdError::NotAUuid),
            ("not an id", IdError::NotAUuid),
            ("{0198b2f4-0000-7000-8000-00000000000}", IdError::NotAUuid),
            ("0198b2f4000070008000000000000000", IdError::NotAUuid),
            ("0198b2f4-0000-4000-8000-000000000000", IdError::NotVersion7),
            ("0198b2f4-0000-7000-0000-000000000000", IdError::NotVersion7),
        ] {
            assert_eq!(text.parse::<OrderId>(), Err(error), "{text}");
        }
    }

    /// Proves that a display code states the last 25 bits of an id, the highest ones first, and no other bits.
    #[test]
    fn a_display_code_is_the_random_end_of_an_id() {
        for (id, code) in [
            ("0198b2f4-0000-7000-8000-000000000000", "00000"),
            ("0198b2f4-0000-7000-8000-000000000001", "00001"),
            ("0198b2f4-0000-7000-8000-000000000012", "0000J"),
            ("0198b2f4-0000-7000-8000-000000000400", "00100"),
            ("0198b2f4-0000-7000-8000-0000001fffff", "1ZZZZ"),
            ("0198b2f4-0000-7000-8000-000001ffffff", "ZZZZZ"),
            ("0198b2f4-0000-7000-8000-000002000000", "00000"),
            ("ffffffff-ffff-7fff-bfff-fffffe000000", "00000"),
            ("0198b2f4-1234-7abc-9def-0123456789ab", "PF2DB"),
        ] {
            let order: OrderId = id.parse().unwrap();
            assert_eq!(order.display_code().to_string(), code, "{id}");
            assert_eq!(serde_json::to_value(order.display_code()).unwrap(), code, "{id}");
        }
    }

    proptest! {
        #[test]
        fn a_display_code_has_no_ambiguous_characters(random: u64) {
            let code = OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, random).display_code().to_string();
            prop_assert_eq!(code.len(), DisplayCode::LENGTH);
            prop_assert!(code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z')), "{}", code);
            prop_assert!(!code.contains(['I', 'L', 'O', 'U']), "{}", code);
        }
    }

    proptest! {
        #[test]
        fn a_display_code_reads_back_in_either_case(random: u64) {
            let order = OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, random);
            let code = order.display_code();
            prop_assert_eq!(code.to_string().parse(), Ok(code));
            prop_assert_eq!(code.to_string().to_ascii_lowercase().parse(), Ok(code));
            prop_assert_eq!(u64::from(code.bits()), order.uuid().as_u64_pair().1 & 0x1ff_ffff);
        }
    }

    #[test]
    fn a_display_code_is_read_as_people_write_it() {
        for (text, code) in [("o0O0o", "00000"), ("ilLI1", "11111"), ("pf2db", "PF2DB")] {
            assert_eq!(text.parse::<DisplayCode>().unwrap().to_string(), code, "{text}");
        }
        for text in ["", "PF2D", "PF2DBB", "PF2DU", "PF-DB", "PF2D ", "PF2Dß", "ééé"] {
            assert_eq!(text.parse::<DisplayCode>(), Err(DisplayCodeError), "{text}");
        }
    }

    #[test]
    fn there_are_4096_buckets() {
        assert_eq!(Bucket::new(4_095).map(Bucket::number), Some(4_095));
        assert_eq!(Bucket::new(4_096), None);
        assert_eq!(Bucket::from_random(u64::MAX).number(), 4_095);
    }
}
