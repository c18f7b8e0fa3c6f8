//! Webhook readers for the engine's port. Each reader verifies a provider's signatures with a shared secret.

use dabba_domain::Timestamp;
use dabba_engine::{ProviderNotice, WebhookError, WebhookReader};

use crate::{simulated, stripe};

/// Reads Stripe's webhooks.
pub struct StripeWebhooks {
    secret: String,
}

impl StripeWebhooks {
    /// Creates a reader with the complete secret of the webhook endpoint (`whsec_…`).
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into() }
    }
}

impl WebhookReader for StripeWebhooks {
    fn signature_header(&self) -> &'static str {
        stripe::SIGNATURE_HEADER
    }

    fn read(
        &self,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<ProviderNotice>, WebhookError> {
        let read = stripe::read_webhook(&self.secret, signature, body, now);
        read.map_err(|error| WebhookError(error.to_string()))
    }
}

/// Reads the webhooks of the simulated provider.
pub struct SimulatedWebhooks {
    secret: simulated::WebhookSecret,
}

impl SimulatedWebhooks {
    /// Creates a reader with the same secret that the provider was started with.
    pub const fn new(secret: simulated::WebhookSecret) -> Self {
        Self { secret }
    }
}

impl WebhookReader for SimulatedWebhooks {
    fn signature_header(&self) -> &'static str {
        simulated::signature::SIGNATURE_HEADER
    }

    fn read(
        &self,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<ProviderNotice>, WebhookError> {
        let read = simulated::read_webhook(&self.secret, signature, body, now);
        let (order_id, report) = read.map_err(|error| WebhookError(error.to_string()))?;
        Ok(Some(ProviderNotice::Report(order_id, report)))
    }
}
