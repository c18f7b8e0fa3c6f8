//! The secrets that sign deliveries.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Random, sealing::SecretPlace};

/// The text before the base64 of a secret.
pub const WEBHOOK_SECRET_PREFIX: &str = "whsec_";
/// Minimum length of a secret, in bytes.
pub const MIN_WEBHOOK_SECRET_BYTES: usize = 24;
/// Maximum length of a secret, in bytes.
pub const MAX_WEBHOOK_SECRET_BYTES: usize = 64;

/// Length of a generated secret, in bytes: that of the hash.
const GENERATED_BYTES: usize = 32;

/// Purpose under which the secrets of webhook endpoints are sealed. Part of stored data.
pub const WEBHOOK_SECRET_PURPOSE: &str = "webhook endpoint";

/// Returns the place of the sealed secrets of an endpoint, whose id is given as text.
pub const fn webhook_secret_place(endpoint: &str) -> SecretPlace<'_> {
    SecretPlace { purpose: WEBHOOK_SECRET_PURPOSE, row: endpoint }
}

/// The secret that signs the webhooks of one endpoint, and that its receiver knows.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// The reason why a text is no secret. The texts follow the name of the field and do not repeat the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// The prefix is absent.
    #[error("must begin with {WEBHOOK_SECRET_PREFIX}")]
    Prefix,
    /// The rest is not base64.
    #[error("must contain base64 with padding after {WEBHOOK_SECRET_PREFIX}")]
    Encoding,
    /// The secret is too short or too long.
    #[error("must encode {MIN_WEBHOOK_SECRET_BYTES} to {MAX_WEBHOOK_SECRET_BYTES} random bytes")]
    Length,
}

impl WebhookSecret {
    /// Generates a secret.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = Vec::with_capacity(GENERATED_BYTES);
        while bytes.len() < GENERATED_BYTES {
            bytes.extend(random.next_u64().to_be_bytes());
        }
        Self(bytes)
    }

    /// Parses a secret in the form `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, WebhookSecretError> {
        let encoded = text.strip_prefix(WEBHOOK_SECRET_PREFIX).ok_or(WebhookSecretError::Prefix)?;
        // The limit applies before decoding, so that a long text costs nothing.
        if encoded.len() > MAX_WEBHOOK_SECRET_BYTES.div_ceil(3) * 4 {
            return Err(WebhookSecretError::Length);
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| WebhookSecretError::Encoding)?;
        Self::from_bytes(&bytes)
    }

    /// Takes the bytes of a secret, such as those that were sealed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WebhookSecretError> {
        if !(MIN_WEBHOOK_SECRET_BYTES..=MAX_WEBHOOK_SECRET_BYTES).contains(&bytes.len()) {
            return Err(WebhookSecretError::Length);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Returns the bytes, to be sealed, or to sign.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the form that the receiver gets, once.
    pub fn reveal(&self) -> String {
        format!("{WEBHOOK_SECRET_PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(…)")
    }
}
