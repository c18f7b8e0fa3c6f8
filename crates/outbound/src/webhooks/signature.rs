//! Signatures of webhooks, as [Standard Webhooks](https://www.standardwebhooks.com) 1.0.0 specifies them
//! ([specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! sections "Signature scheme" and "Webhook headers").
//!
//! A receiver verifies a webhook with one of the libraries of Standard Webhooks. It gets these headers:
//!
//! | header | value |
//! |---|---|
//! | `webhook-id` | the id of the message, the same in each attempt |
//! | `webhook-timestamp` | the time of the attempt, in seconds since 1970 |
//! | `webhook-signature` | `v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in base64; while secrets overlap, one signature per secret, separated by spaces |

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dabba_domain::Timestamp;
pub use dabba_engine::{
    MAX_WEBHOOK_SECRET_BYTES as MAX_SECRET_BYTES, MIN_WEBHOOK_SECRET_BYTES as MIN_SECRET_BYTES,
    WEBHOOK_SECRET_PREFIX as SECRET_PREFIX, WebhookSecret, WebhookSecretError,
};
use dabba_store::WebhookSettings;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Name of the header with the id of the message.
pub const ID_HEADER: &str = "webhook-id";
/// Name of the header with the time of the attempt.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Name of the header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// Maximum number of secrets that sign one webhook: the current secret and those that it replaced.
pub const MAX_SIGNING_SECRETS: usize = WebhookSettings::MAX_SECRETS;
/// Maximum length of the id of a message, in bytes.
pub const MAX_MESSAGE_ID_LENGTH: usize = 256;

/// The scheme of a signature with a shared secret.
const SCHEME: &str = "v1";

/// The reason why a webhook cannot be signed. Both are defects of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The id of the message is empty or too long, or contains a dot or a character that a header cannot contain. With
    /// a dot, two different messages could have the same signature.
    #[error(
        "the id of a message must have 1 to {MAX_MESSAGE_ID_LENGTH} visible ASCII characters without a dot"
    )]
    MessageId,
    /// There is no secret, or there are too many.
    #[error("a webhook must have 1 to {MAX_SIGNING_SECRETS} signing secrets")]
    Secrets,
}

fn signature(secret: &WebhookSecret, id: &str, timestamp: &str, body: &[u8]) -> Result<String, SigningError> {
    // HMAC accepts a key of any length, so this error does not occur.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| SigningError::Secrets)?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(format!("{SCHEME},{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Returns the headers of a webhook, signed with each secret. `secrets` are the current secret and those that still
/// overlap, newest first; `at` is the time of the attempt; `body` are exactly the bytes that are sent.
pub fn signed_headers(
    secrets: &[WebhookSecret],
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> Result<[(&'static str, String); 3], SigningError> {
    let is_valid = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
    if id.is_empty() || id.len() > MAX_MESSAGE_ID_LENGTH || !id.bytes().all(is_valid) {
        return Err(SigningError::MessageId);
    }
    if !(1..=MAX_SIGNING_SECRETS).contains(&secrets.len()) {
        return Err(SigningError::Secrets);
    }
    let timestamp = at.as_second().to_string();
    let signatures = secrets.iter().map(|secret| signature(secret, id, &timestamp, body));
    let signatures = signatures.collect::<Result<Vec<_>, _>>()?.join(" ");
    Ok([(ID_HEADER, id.to_owned()), (TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signatures)])
}

#[cfg(test)]
mod tests;
