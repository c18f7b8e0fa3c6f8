//! The text of an API key.
//!
//! `dk_`, 32 random characters and 6 characters of checksum, all of them digits and letters (base 62). The random
//! characters hold 190 bits, so a plain SHA-256 digest is enough to store the key: no dictionary contains them. The checksum is
//! the CRC-32 of the 35 characters before it. It tells a typo from an unknown key without a database, and lets scanners of
//! source code find leaked keys with few false alarms.

use std::fmt;

use dabba_store::SecretHash;
use sha2::{Digest as _, Sha256};

use crate::{
    Random,
    base62::{digit, random_digits},
};

/// Prefix of every key.
const PREFIX: &str = "dk_";
/// Number of random characters.
const RANDOM_LENGTH: usize = 32;
/// Number of characters of the checksum: 62 to the power of 6 is more than 2 to the power of 32.
const CHECKSUM_LENGTH: usize = 6;
/// Length of a key.
const LENGTH: usize = PREFIX.len() + RANDOM_LENGTH + CHECKSUM_LENGTH;

/// The secret text of an API key, with a valid checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeySecret(String);

/// Error: a text is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key is incomplete or has a typo: a key is {PREFIX} and {} letters and digits", LENGTH - PREFIX.len())]
pub struct ApiKeyFormatError;

impl ApiKeySecret {
    /// Returns a new random key.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        text.extend(random_digits(random, RANDOM_LENGTH));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// Returns whether a bearer token claims to be an API key. No JWT has this prefix, because it begins with `ey`.
    pub fn is_claimed_by(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// Parses a key, and verifies its checksum.
    pub fn parse(text: &str) -> Result<Self, ApiKeyFormatError> {
        let is_whole = text.len() == LENGTH
            && text
                .strip_prefix(PREFIX)
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        // Sliced only when all characters are ASCII.
        if is_whole && text[LENGTH - CHECKSUM_LENGTH..] == checksum(&text[..LENGTH - CHECKSUM_LENGTH]) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ApiKeyFormatError)
        }
    }

    /// Returns the secret text, for the response that creates the key.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the hash that stores keep.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

/// Omits the secret.
impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKeySecret(…)")
    }
}

/// Returns the checksum of the characters before it, most significant digit first.
fn checksum(text: &str) -> String {
    let mut rest = u64::from(crc32fast::hash(text.as_bytes()));
    let mut digits = ['0'; CHECKSUM_LENGTH];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    /// Proves the published form: a key made by another program with the documented rule is accepted. The checksum was
    /// computed with zlib's `crc32`.
    #[test]
    fn the_form_is_as_documented() {
        let text = "dk_0123456789ABCDEFGHIJKLMNOPQRSTUV";
        assert_eq!(checksum(text), CHECKSUM_BY_ZLIB);
        let key = ApiKeySecret::parse(&format!("{text}{CHECKSUM_BY_ZLIB}")).unwrap();
        assert_eq!(key.expose().len(), LENGTH);
        assert!(ApiKeySecret::is_claimed_by(key.expose()));
    }

    /// Proves that each changed, missing or additional character is refused, and that texts of any kind do not panic.
    #[test]
    fn a_typo_is_refused() {
        let random = SeededRandom::new(7);
        for _ in 0..20 {
            let key = ApiKeySecret::generate(&random);
            let text = key.expose();
            assert_eq!(ApiKeySecret::parse(text).as_ref(), Ok(&key));
            for place in 0..LENGTH {
                for other in ['0', 'z', '-', 'é'] {
                    let changed = format!("{}{other}{}", &text[..place], &text[place + 1..]);
                    assert!(changed == text || ApiKeySecret::parse(&changed).is_err(), "{place} {other}");
                }
                let shorter = format!("{}{}", &text[..place], &text[place + 1..]);
                assert!(ApiKeySecret::parse(&shorter).is_err());
            }
            assert!(ApiKeySecret::parse(&format!("{text}0")).is_err());
            assert!(!format!("{key:?} {:?}", key.hash()).contains(&text[3..10]));
        }
        for text in ["", "dk_", "dk_é", &"é".repeat(LENGTH), &"dk_é".repeat(10)] {
            assert_eq!(ApiKeySecret::parse(text), Err(ApiKeyFormatError));
        }
    }

    const CHECKSUM_BY_ZLIB: &str = "0N6wrR";
}
