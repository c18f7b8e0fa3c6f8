//! Webhooks that can be trusted: how they are signed, and how they are read.
//!
//! A webhook carries `Dabba-Simulated-Signature: t=<unix seconds>,v1=<hex>`, where the second part is the
//! HMAC-SHA256 of `<unix seconds>.<body>` under the secret that sender and receiver share. The time is
//! signed too, so that a webhook that was overheard is of no use later.

use std::fmt;

use dabba_domain::{OrderId, Timestamp, order::PaymentReport};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::SignedDuration;
use sha2::Sha256;

use super::wire::Notification;

/// The header that carries the signature of a webhook.
pub const SIGNATURE_HEADER: &str = "dabba-simulated-signature";
/// How far the time of a signature may be from the receiver's. Within it an overheard webhook can be sent
/// again, which does nothing: what is known is not recorded twice.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Shortest secret, in bytes.
pub const MIN_SECRET_LENGTH: usize = 16;
/// Longest body of a webhook, in bytes. Those that are sent have a few hundred.
pub const MAX_WEBHOOK_LENGTH: usize = 16 * 1024;

/// What sender and receiver of webhooks share.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

/// The secret is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret has at least {MIN_SECRET_LENGTH} characters")]
pub struct WebhookSecretError;

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The signature is not written as one.
    #[error("the signature cannot be read")]
    SignatureNotRead,
    /// It was not made with the secret, or not for this body and time.
    #[error("the signature is wrong")]
    WrongSignature,
    /// It was signed too long ago, or in the future.
    #[error("the time of the signature is too far from now")]
    OutOfTime,
    /// It is signed, but nothing that is understood here.
    #[error("the body cannot be understood")]
    BodyNotRead,
}

impl WebhookSecret {
    /// Takes a text as the secret.
    pub fn new(text: &str) -> Result<Self, WebhookSecretError> {
        if text.len() < MIN_SECRET_LENGTH {
            return Err(WebhookSecretError);
        }
        Hmac::new_from_slice(text.as_bytes()).map(Self).map_err(|_| WebhookSecretError)
    }

    fn code(&self, unix_seconds: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        code.update(unix_seconds.to_string().as_bytes());
        code.update(b".");
        code.update(body);
        code
    }

    /// The signature of a body at this time, as it stands in the header.
    pub fn sign(&self, body: &[u8], at: Timestamp) -> String {
        let unix_seconds = at.as_second();
        let code = self.code(unix_seconds, body).finalize().into_bytes();
        format!("t={unix_seconds},v1={}", to_hex(&code))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(…)")
    }
}

/// Reads a webhook, if it is what it claims to be. `signature` is what stands in [`SIGNATURE_HEADER`].
pub fn read_webhook(
    secret: &WebhookSecret,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(OrderId, PaymentReport), WebhookError> {
    if body.len() > MAX_WEBHOOK_LENGTH {
        return Err(WebhookError::BodyNotRead);
    }
    let (unix_seconds, code) = parts(signature).ok_or(WebhookError::SignatureNotRead)?;
    // Compared in constant time, so that a wrong one does not tell how much of it is right.
    secret.code(unix_seconds, body).verify_slice(&code).map_err(|_| WebhookError::WrongSignature)?;
    let at = Timestamp::from_second(unix_seconds).map_err(|_| WebhookError::OutOfTime)?;
    if now.duration_since(at).abs() > TOLERANCE {
        return Err(WebhookError::OutOfTime);
    }
    let Notification { order_id, report } =
        serde_json::from_slice(body).map_err(|_| WebhookError::BodyNotRead)?;
    Ok((order_id, report.into()))
}

/// The time and the code in a signature.
fn parts(signature: &str) -> Option<(i64, Vec<u8>)> {
    let (time, code) = signature.split_once(',')?;
    let unix_seconds = time.trim().strip_prefix("t=")?.parse().ok()?;
    let code = from_hex(code.trim().strip_prefix("v1=")?)?;
    Some((unix_seconds, code))
}

fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
