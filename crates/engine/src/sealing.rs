//! Sealing of secrets that Dabba must read again, such as the signing secrets of webhooks.
//!
//! Stores contain only sealed secrets, so a copy of a database reveals none without `secrets_key_file`. This module is
//! in the engine, because everything above it may hold such secrets: webhooks in `outbound`, partners in `gateways`.
//!
//! A sealed secret has this form, version 1:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | the version of the format: 1 |
//! | 8 | the id of the key |
//! | 12 | the nonce, random |
//! | rest | the secret, encrypted with AES-256-GCM, and 16 bytes of authentication |
//!
//! HKDF-SHA256 derives the encryption key and the key's id from the bytes of the key file, each with its own label. The
//! associated data are the version, the key's id, the purpose and the row. A sealed secret that is copied to another
//! row, or used for another purpose, therefore does not open. A key may seal 2³² secrets (NIST SP 800-38D, section
//! 8.3), which no installation reaches.
//!
//! **Rotation**: put the new key into the first line of the file. The first key seals; every key opens. Remove an old
//! key when no row needs it ([`SecretKeys::is_sealed_with_newest`]).

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

use crate::Random;

/// Minimum length of a key in the key file, in bytes (twice as many hexadecimal digits).
pub const MIN_KEY_BYTES: usize = 32;
/// Maximum length of a key in the key file, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Maximum number of keys in the key file.
pub const MAX_SECRET_KEYS: usize = 16;
/// Maximum length of a secret, in bytes.
pub const MAX_SECRET_BYTES: usize = 4_096;

const MIN_KEY_DIGITS: usize = MIN_KEY_BYTES * 2;
const MAX_KEY_DIGITS: usize = MAX_KEY_BYTES * 2;
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const TAG_BYTES: usize = 16;
/// Salt and labels of HKDF. A change makes every sealed secret unreadable.
const SALT: &[u8] = b"dabba sealed secrets v1";
const ENCRYPTION_LABEL: &[u8] = b"AES-256-GCM key";
const KEY_ID_LABEL: &[u8] = b"key id";

/// The place of a sealed secret. A secret opens only in the place in which it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretPlace<'a> {
    /// The kind of secret, such as `webhook endpoint`. Part of stored data: never change it.
    pub purpose: &'a str,
    /// The id of the row.
    pub row: &'a str,
}

impl fmt::Display for SecretPlace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.purpose, self.row)
    }
}

/// An opened secret. Debug output does not contain it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedSecret(Vec<u8>);

impl OpenedSecret {
    /// Returns the bytes of the secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for OpenedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OpenedSecret(…)")
    }
}

/// The keys of `secrets_key_file`, newest first.
pub struct SecretKeys {
    newest: SecretKey,
    older: Vec<SecretKey>,
}

struct SecretKey {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

/// The reason why the content of a key file is refused. No text contains a part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeysError {
    /// The file contains no key.
    #[error("the file must contain a key of at least {MIN_KEY_DIGITS} hexadecimal digits")]
    Empty,
    /// The file contains too many keys.
    #[error("the file must contain at most {MAX_SECRET_KEYS} keys; remove keys that no stored secret needs")]
    TooMany,
    /// A line is not a key.
    #[error("line {0} must contain {MIN_KEY_DIGITS} to {MAX_KEY_DIGITS} hexadecimal digits and nothing else")]
    Line(usize),
    /// A line repeats a key.
    #[error("line {0} repeats an earlier key; remove the line")]
    Repeated(usize),
    /// The library refused the key. This is a defect.
    #[error("line {0}: the key cannot be used")]
    Unusable(usize),
}

/// How an operator replaces a secret that does not open. An overlap would keep the old secret, and each delivery would
/// still fail.
const REPLACE: &str = "replace the secret: dabba webhooks rotate-secret ENDPOINT --overlap-seconds 0";

/// The reason why a secret was not sealed or opened. No text contains a part of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The secret is too long.
    #[error("the secret of {place} must have at most {MAX_SECRET_BYTES} bytes")]
    TooLong {
        /// The place of the secret.
        place: String,
    },
    /// A newer version of Dabba sealed the secret, or the bytes are no sealed secret.
    #[error(
        "the sealed secret of {place} has a format that this version does not know; upgrade, or {REPLACE}"
    )]
    UnknownFormat {
        /// The place of the secret.
        place: String,
    },
    /// The key file does not contain the key.
    #[error(
        "the secret of {place} was sealed with the key {key_id}, which secrets_key_file does not contain; add this key again, or {REPLACE}"
    )]
    UnknownKey {
        /// The place of the secret.
        place: String,
        /// The id of the key, in hexadecimal digits.
        key_id: String,
    },
    /// The bytes were changed, or sealed for another place.
    #[error("the sealed secret of {place} is damaged, or belongs to another row; restore it, or {REPLACE}")]
    Damaged {
        /// The place of the secret.
        place: String,
    },
    /// The library could not encrypt. This is a defect.
    #[error("the secret of {place} cannot be sealed")]
    Failed {
        /// The place of the secret.
        place: String,
    },
}

impl SecretKeys {
    /// Parses the content of a key file: one key per line in hexadecimal digits, the newest first. Empty lines and
    /// lines that begin with `#` do not count.
    pub fn parse(text: &str) -> Result<Self, SecretKeysError> {
        let mut keys: Vec<SecretKey> = Vec::new();
        let lines = text.lines().map(str::trim).zip(1_usize..);
        for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
            if keys.len() == MAX_SECRET_KEYS {
                return Err(SecretKeysError::TooMany);
            }
            let bytes = hex::decode(line).map_err(|_| SecretKeysError::Line(number))?;
            if !(MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&bytes.len()) {
                return Err(SecretKeysError::Line(number));
            }
            let key = SecretKey::derive(&bytes).ok_or(SecretKeysError::Unusable(number))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(SecretKeysError::Repeated(number));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or(SecretKeysError::Empty)?;
        Ok(Self { newest, older: keys.collect() })
    }

    /// Seals a secret with the newest key.
    pub fn seal(
        &self,
        place: SecretPlace<'_>,
        secret: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SealingError> {
        if secret.len() > MAX_SECRET_BYTES {
            return Err(SealingError::TooLong { place: place.to_string() });
        }
        let header = self.newest.header();
        let nonce = nonce(random);
        let mut encrypted = secret.to_vec();
        let associated = Aad::from(associated_data(&header, place));
        self.newest
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated, &mut encrypted)
            .map_err(|_| SealingError::Failed { place: place.to_string() })?;
        Ok([&header[..], &nonce[..], &encrypted[..]].concat())
    }

    /// Opens a sealed secret with the key that sealed it.
    pub fn open(&self, place: SecretPlace<'_>, sealed: &[u8]) -> Result<OpenedSecret, SealingError> {
        let damaged = || SealingError::Damaged { place: place.to_string() };
        match sealed.first() {
            Some(&FORMAT) => {}
            Some(_) => return Err(SealingError::UnknownFormat { place: place.to_string() }),
            None => return Err(damaged()),
        }
        if sealed.len() > HEADER_BYTES + NONCE_LEN + MAX_SECRET_BYTES + TAG_BYTES {
            return Err(damaged());
        }
        let (header, rest) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or_else(damaged)?;
        let (nonce, encrypted) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let key = self.key(&header[1..]).ok_or_else(|| SealingError::UnknownKey {
            place: place.to_string(),
            key_id: hex::encode(&header[1..]),
        })?;
        let mut bytes = encrypted.to_vec();
        let associated = Aad::from(associated_data(header, place));
        let secret = key
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), associated, &mut bytes)
            .map_err(|_| damaged())?;
        let length = secret.len();
        bytes.truncate(length);
        Ok(OpenedSecret(bytes))
    }

    /// Returns whether the newest key sealed a secret. If not, seal the secret again before the removal of its key.
    pub fn is_sealed_with_newest(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&self.newest.header())
    }

    fn key(&self, id: &[u8]) -> Option<&SecretKey> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.id == id)
    }
}

/// Shows the ids of the keys, which reveal nothing about the keys.
impl fmt::Debug for SecretKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = std::iter::once(&self.newest).chain(&self.older);
        formatter.debug_list().entries(keys.map(|key| hex::encode(key.id))).finish()
    }
}

impl SecretKey {
    fn derive(bytes: &[u8]) -> Option<Self> {
        let derived = Salt::new(HKDF_SHA256, SALT).extract(bytes);
        let key = derived.expand(&[ENCRYPTION_LABEL], &AES_256_GCM).ok()?;
        Some(Self { id: key_id(&derived)?, key: LessSafeKey::new(UnboundKey::from(key)) })
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [FORMAT; HEADER_BYTES];
        header[1..].copy_from_slice(&self.id);
        header
    }
}

/// Length of a key's id, as HKDF takes it.
struct KeyIdLength;

impl KeyType for KeyIdLength {
    fn len(&self) -> usize {
        KEY_ID_BYTES
    }
}

fn key_id(derived: &Prk) -> Option<[u8; KEY_ID_BYTES]> {
    let mut id = [0; KEY_ID_BYTES];
    derived.expand(&[KEY_ID_LABEL], KeyIdLength).ok()?.fill(&mut id).ok()?;
    Some(id)
}

fn nonce(random: &dyn Random) -> [u8; NONCE_LEN] {
    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&bits.to_be_bytes()[..NONCE_LEN]);
    nonce
}

/// Returns what the tag authenticates besides the secret. Each text follows its length, so that two places never have
/// the same bytes.
fn associated_data(header: &[u8; HEADER_BYTES], place: SecretPlace<'_>) -> Vec<u8> {
    let mut data = header.to_vec();
    for text in [place.purpose, place.row] {
        data.extend((text.len() as u64).to_be_bytes());
        data.extend(text.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests;
