//! Bearer tokens: JWT (RFC 7519) signed with HMAC-SHA-256. No other algorithm is accepted.

use std::time::Duration;

use dabba_domain::{AccountId, Role, Timestamp};
use dabba_engine::Principal;
use dabba_store::RevocationRevision;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

/// Issuer of the tokens (`iss`).
const ISSUER: &str = "dabba";
/// Maximum number of verified tokens in the cache.
const CACHED_TOKENS: u64 = 50_000;
/// Maximum length of a token that is verified, in bytes. Issued tokens have about 300.
const MAX_TOKEN_BYTES: usize = 2_048;

/// Key that signs and verifies tokens. Anyone who has the key can issue a token for any account.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Error: a signing key is too short to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key must have at least {} bytes, not {length}", SigningKey::MIN_BYTES)]
pub struct SigningKeyError {
    /// Length of the key, in bytes.
    pub length: usize,
}

impl SigningKey {
    /// Minimum length of a key, in bytes: the length of the signature (RFC 7518, section 3.2).
    pub const MIN_BYTES: usize = 32;

    /// Creates a key from bytes, which should be random.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SigningKeyError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(SigningKeyError { length: bytes.len() });
        }
        Ok(Self::new(bytes))
    }

    /// Creates a key from random bits, for a process whose tokens nobody needs.
    pub fn from_random(mut bits: impl FnMut() -> u64) -> Self {
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
    /// Revision of the account's last revocation when the token was issued. Tokens of earlier versions lack this claim.
    #[serde(default)]
    rev: RevocationRevision,
}

/// Issues a token that identifies the bearer until its lifetime ends or the account is revoked again.
pub fn issue_token(key: &SigningKey, bearer: &Principal, now: Timestamp, lifetime: Duration) -> String {
    let Principal { account_id, role, as_of, .. } = *bearer;
    let iat = now.as_second();
    let exp = iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
    let claims = Claims { iss: ISSUER.to_owned(), sub: account_id, role, iat, exp, rev: as_of };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key.encoding).unwrap_or_else(|error| {
        // These claims can always be serialized and signed. If that ever failed, the empty token would give no access.
        tracing::error!(%error, "a token could not be signed");
        String::new()
    })
}

/// Reason why a token is refused. The bearer sees the text, so the text contains nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
}

#[derive(Clone, Copy)]
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    pub(crate) issued_at: Timestamp,
    /// Time of the expiry, in seconds since the epoch.
    pub(crate) expires_at: i64,
}

/// Verifies tokens and caches the verified ones, because most requests repeat a token of an earlier request.
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
        // `verify` compares the expiry with the engine's clock, without leeway. The library knows only the machine's clock.
        validation.validate_exp = false;
        // Dabba's tokens name no audience.
        validation.validate_aud = false;
        let verified = Cache::new(CACHED_TOKENS);
        Self { key: key.decoding.clone(), validation, verified }
    }

    /// Returns the bearer of a token. Does not check whether the token is revoked.
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
        let principal = Principal { as_of: claims.rev, ..Principal::new(claims.sub, claims.role) };
        let issued_at = Timestamp::from_second(claims.iat).map_err(|_| TokenError::Invalid)?;
        let verified = Verified { principal, issued_at, expires_at: claims.exp };
        self.verified.insert(token.into(), verified);
        Ok(verified)
    }
}
