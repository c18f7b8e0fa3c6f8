//! Bearer tokens: JWT (RFC 7519) signed with HMAC-SHA-256. No other algorithm is taken.

use std::time::Duration;

use dabba_domain::{AccountId, Role, Timestamp};
use dabba_engine::Principal;
use dabba_store::RevocationRevision;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

/// Who issues the tokens, and for whom they are.
const ISSUER: &str = "dabba";
/// Most verified tokens remembered.
const REMEMBERED_TOKENS: u64 = 50_000;
/// Longest token that is looked at, in bytes. The issued ones have about 300.
const MAX_TOKEN_BYTES: usize = 2_048;

/// The key that signs and verifies tokens. Whoever has it can be anyone.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// A signing key is too short to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key must have at least {} bytes, not {length}", SigningKey::MIN_BYTES)]
pub struct SigningKeyError {
    /// How many bytes there were.
    pub length: usize,
}

impl SigningKey {
    /// Fewest bytes in a key: as many as the signature has (RFC 7518, section 3.2).
    pub const MIN_BYTES: usize = 32;

    /// Takes a key, which should be random bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SigningKeyError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(SigningKeyError { length: bytes.len() });
        }
        Ok(Self::new(bytes))
    }

    /// Makes a key of these random bits, for a process whose tokens nobody needs.
    pub(crate) fn from_random(mut bits: impl FnMut() -> u64) -> Self {
        let bytes: Vec<u8> = (0..Self::MIN_BYTES / 8).flat_map(|_| bits().to_le_bytes()).collect();
        Self::new(&bytes)
    }

    fn new(bytes: &[u8]) -> Self {
        Self { encoding: EncodingKey::from_secret(bytes), decoding: DecodingKey::from_secret(bytes) }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: AccountId,
    role: Role,
    iat: i64,
    exp: i64,
    /// The revision of the account's last revocation when the token was issued. Tokens of earlier versions lack it.
    #[serde(default)]
    rev: RevocationRevision,
}

/// Issues a token with which its bearer is this caller until the lifetime is over, or until the account is revoked again.
pub fn issue_token(key: &SigningKey, bearer: &Principal, now: Timestamp, lifetime: Duration) -> String {
    let Principal { account_id, role, as_of } = *bearer;
    let iat = now.as_second();
    let exp = iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
    let claims = Claims { iss: ISSUER.to_owned(), sub: account_id, role, iat, exp, rev: as_of };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key.encoding).unwrap_or_else(|error| {
        // These claims can always be written and signed. Were it not so, the empty token would let
        // nobody in.
        tracing::error!(%error, "a token could not be signed");
        String::new()
    })
}

/// Why a token is not taken. The bearer is told, so the text says nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not valid; get a new one with POST /v1/tokens")]
    Invalid,
    #[error("the token has expired; get a new one with POST /v1/tokens")]
    Expired,
}

#[derive(Clone, Copy)]
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    pub(crate) issued_at: Timestamp,
    expires_at: i64,
}

/// Verifies tokens, and remembers those that it has verified: most requests come with a token that
/// was seen before.
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    verified: Cache<Box<str>, Verified>,
}

impl Verifier {
    pub(crate) fn new(key: &SigningKey) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["iss"]);
        // The expiry is compared with the engine's clock below, without leeway; the library knows
        // the machine's only.
        validation.validate_exp = false;
        // Dabba's tokens name no audience.
        validation.validate_aud = false;
        let verified = Cache::new(REMEMBERED_TOKENS);
        Self { key: key.decoding.clone(), validation, verified }
    }

    /// Who the bearer is. Whether the token is revoked is not looked at.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        if let Some(verified) = self.verified.get(token) {
            if now.as_second() < verified.expires_at {
                return Ok(verified);
            }
            self.verified.invalidate(token);
            return Err(TokenError::Expired);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.exp <= now.as_second() {
            return Err(TokenError::Expired);
        }
        let principal = Principal { account_id: claims.sub, role: claims.role, as_of: claims.rev };
        let issued_at = Timestamp::from_second(claims.iat).map_err(|_| TokenError::Invalid)?;
        let verified = Verified { principal, issued_at, expires_at: claims.exp };
        self.verified.insert(token.into(), verified);
        Ok(verified)
    }
}
