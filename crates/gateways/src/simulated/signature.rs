//! Signing and reading of webhooks.
//!
//! A webhook has the header `Dabba-Simulated-Signature: t=<unix seconds>,v1=<hex>`. The second part is the
//! HMAC-SHA256 of `<unix seconds>.<body>` with the secret that sender and receiver share. The signature
//! includes the time, so that an intercepted webhook cannot be replayed later.

use std::fmt;

use dabba_domain::{OrderId, Timestamp, order::PaymentReport};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::SignedDuration;
use sha2::Sha256;

use super::wire::Notification;

/// The header with the signature of a webhook.
pub const SIGNATURE_HEADER: &str = "dabba-simulated-signature";
/// Maximum difference between the time of a signature and the receiver's time. An intercepted webhook can be
/// replayed within this time, but that has no effect: a known report is not recorded again.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Minimum length of a secret, in bytes.
pub const MIN_SECRET_LENGTH: usize = 16;
/// Maximum size of a webhook body, in bytes. The provider sends a few hundred bytes.
pub const MAX_WEBHOOK_LENGTH: usize = 16 * 1024;

/// The secret that the sender and the receiver of webhooks share.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

/// The secret is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook secret must have at least {MIN_SECRET_LENGTH} characters")]
pub struct WebhookSecretError;

/// The reason why a webhook is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulatedWebhookError {
    /// The signature header is malformed.
    #[error("the signature header must have the form t=SECONDS,v1=SIGNATURE")]
    MalformedSignature,
    /// The signature does not match the secret, the body and the time.
    #[error("the signature does not match the webhook secret")]
    WrongSignature,
    /// The signature's time is too long ago, or in the future.
    #[error("the signature time differs too much from the current time")]
    OutOfTime,
    /// The signature is valid, but the body is not a notification.
    #[error("the body is not a notification of the simulated provider")]
    InvalidBody,
}

impl WebhookSecret {
    /// Creates a secret from a text.
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

    /// Returns the signature of a body at this time, in the form of the header's value.
    pub fn sign(&self, body: &[u8], at: Timestamp) -> String {
        let unix_seconds = at.as_second();
        let code = self.code(unix_seconds, body).finalize().into_bytes();
        format!("t={unix_seconds},v1={}", hex::encode(code))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(…)")
    }
}

/// Verifies and reads a webhook. `signature` is the value of [`SIGNATURE_HEADER`].
pub fn read_webhook(
    secret: &WebhookSecret,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(OrderId, PaymentReport), SimulatedWebhookError> {
    if body.len() > MAX_WEBHOOK_LENGTH {
        return Err(SimulatedWebhookError::InvalidBody);
    }
    let (unix_seconds, code) = parts(signature).ok_or(SimulatedWebhookError::MalformedSignature)?;
    // Compares in constant time, so that the duration does not reveal how much of a wrong signature is right.
    secret.code(unix_seconds, body).verify_slice(&code).map_err(|_| SimulatedWebhookError::WrongSignature)?;
    let at = Timestamp::from_second(unix_seconds).map_err(|_| SimulatedWebhookError::OutOfTime)?;
    if now.duration_since(at).abs() > TOLERANCE {
        return Err(SimulatedWebhookError::OutOfTime);
    }
    let Notification { order_id, report } =
        serde_json::from_slice(body).map_err(|_| SimulatedWebhookError::InvalidBody)?;
    Ok((order_id, report.into()))
}

/// Splits a signature into its time and its code.
fn parts(signature: &str) -> Option<(i64, Vec<u8>)> {
    let (time, code) = signature.split_once(',')?;
    let unix_seconds = time.trim().strip_prefix("t=")?.parse().ok()?;
    let code = hex::decode(code.trim().strip_prefix("v1=")?).ok()?;
    Some((unix_seconds, code))
}
