//! The secret of a session or of a login link: 256 random bits, as 43 characters of base64url.
//!
//! No dictionary contains 256 random bits, so a plain SHA-256 digest is enough to store them.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dabba_store::SecretHash;
use sha2::{Digest as _, Sha256};

use crate::Random;

/// Number of random bytes.
const BYTES: usize = 32;

/// The secret of a session or of a login link.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretToken([u8; BYTES]);

impl SecretToken {
    /// Returns a new random secret.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; BYTES];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&random.next_u64().to_le_bytes());
        }
        Self(bytes)
    }

    /// Parses the text of a secret; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Returns the secret text, for the cookie or the link.
    pub fn expose(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the hash that stores keep.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }
}

/// Omits the secret.
impl fmt::Debug for SecretToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    /// Proves that a secret has one text of 43 characters that need no escaping in a cookie or an address, and that other texts
    /// are refused.
    #[test]
    fn a_secret_has_one_text() {
        let random = SeededRandom::new(7);
        for _ in 0..20 {
            let secret = SecretToken::generate(&random);
            let text = secret.expose();
            assert_eq!(text.len(), 43);
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
                "{text}"
            );
            assert_eq!(SecretToken::parse(&text).as_ref(), Some(&secret));
            assert!(SecretToken::parse(&text[1..]).is_none());
            assert!(SecretToken::parse(&format!("{text}A")).is_none());
            assert!(SecretToken::parse(&format!("{text}=")).is_none());
            assert!(!format!("{secret:?} {:?}", secret.hash()).contains(&text[3..10]));
        }
        assert_ne!(SecretToken::generate(&random), SecretToken::generate(&random));
        // The last character has two unused bits, which must be zero.
        let zeros = SecretToken([0; BYTES]).expose();
        for text in ["", "é", &format!("{}B", &zeros[..42]), &"+".repeat(43), &"é".repeat(43)] {
            assert!(SecretToken::parse(text).is_none(), "{text}");
        }
    }
}
