//! The token of a tracking link.
//!
//! Three hexadecimal digits for the order's bucket, so that a lookup asks one shard, and 43 random digits and letters
//! (base 62). The random characters hold 256 bits, so a plain SHA-256 digest is enough to store the token. A token is
//! longer than 40 characters: the log of requests masks such a part of a path, whatever the route.

use std::fmt;

use dabba_domain::Bucket;
use dabba_store::TrackingLinkHash;
use sha2::{Digest as _, Sha256};

use crate::{Random, base62::random_digits};

/// Number of digits of the bucket.
const BUCKET_LENGTH: usize = 3;
/// Number of random characters: 62 to the power of 43 is more than 2 to the power of 256.
const RANDOM_LENGTH: usize = 43;
/// Length of a token.
const LENGTH: usize = BUCKET_LENGTH + RANDOM_LENGTH;

/// The secret token of a tracking link.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackingToken {
    text: String,
    bucket: Bucket,
}

impl TrackingToken {
    /// Returns a new random token for an order in this bucket.
    pub(crate) fn generate(bucket: Bucket, random: &dyn Random) -> Self {
        let mut text = format!("{:0BUCKET_LENGTH$x}", bucket.number());
        text.extend(random_digits(random, RANDOM_LENGTH));
        Self { text, bucket }
    }

    /// Parses a token; `None` for a text that is not a token.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (bucket, _) = is_whole.then(|| text.split_at(BUCKET_LENGTH))?;
        let is_canonical = bucket.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = is_canonical.then(|| u16::from_str_radix(bucket, 16).ok())??;
        Some(Self { text: text.to_owned(), bucket: Bucket::new(number)? })
    }

    /// Returns the secret text.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Returns the bucket of the order.
    pub(crate) const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// Returns the hash that stores keep.
    pub(crate) fn hash(&self) -> TrackingLinkHash {
        TrackingLinkHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

/// Omits the secret.
impl fmt::Debug for TrackingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrackingToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    /// Proves that a token is read as it was written, with its bucket, and that no other text is a token.
    #[test]
    fn a_token_states_its_bucket() {
        let random = SeededRandom::new(11);
        for number in [0, 1, 15, 16, 255, 4_095] {
            let bucket = Bucket::new(number).unwrap();
            let token = TrackingToken::generate(bucket, &random);
            assert_eq!((token.expose().len(), token.bucket()), (LENGTH, bucket));
            assert_eq!(TrackingToken::parse(token.expose()).as_ref(), Some(&token));
            assert!(!format!("{token:?} {:?}", token.hash()).contains(&token.expose()[3..10]));
            let text = token.expose();
            assert_eq!(TrackingToken::parse(&text[1..]), None);
            assert_eq!(TrackingToken::parse(&format!("{text}0")), None);
            assert_eq!(TrackingToken::parse(&format!("{}-", &text[1..])), None);
        }
        for text in
            ["", "é", &"é".repeat(23), &"0".repeat(45), &format!("FFF{}", "0".repeat(43)), &"z".repeat(46)]
        {
            assert_eq!(TrackingToken::parse(text), None, "{text}");
        }
    }

    /// Proves that a token is masked in the log of requests wherever it occurs in a path: longer segments than 40 are.
    #[test]
    fn a_token_is_longer_than_what_the_log_shows() {
        const { assert!(LENGTH > 40) };
    }
}
