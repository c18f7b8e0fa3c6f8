//! Configuration of the API.

use std::{fmt, sync::Arc};

use dabba_engine::{AdjustableClock, WebhookReader, Webhooks};
use dabba_outbound::{live::LiveConfig, webhooks::WebhookSender};

/// Maximum size of the body of a menu, in bytes.
pub const MAX_MENU_BYTES: usize = 4 * 1024 * 1024;

/// Configuration of the API, besides the configuration that every face shares.
#[derive(Clone, Default)]
pub struct ApiConfig {
    /// Whether only [`crate::Apps::admin`] serves `/metrics`, the descriptions and `/docs`. Default off.
    pub has_admin_listener: bool,
    /// Whether card payments are simulated, so that pages may offer the provider's test cards. Default off.
    pub has_simulated_payments: bool,
    /// Reader of the payment provider's webhooks. `None`: the server accepts no webhooks.
    pub webhooks: Option<Arc<dyn WebhookReader>>,
    /// The engine's clock, if admins may advance it (sandbox). `None`: nobody can advance the clock.
    pub sandbox: Option<Arc<dyn AdjustableClock>>,
    /// The webhook endpoints. `None`: the server has no webhook endpoints.
    pub webhook_endpoints: Option<WebhookEndpoints>,
    /// Address under which people reach the server, without a slash at its end. `None`: responses contain no absolute
    /// links.
    pub public_url: Option<String>,
    /// Limits, heartbeats and measurements of streams.
    pub live: LiveConfig,
    /// Name of the build of the server. Pages compare it to learn that the server was upgraded. Default empty.
    pub build: &'static str,
}

/// What the operations on webhook endpoints use.
#[derive(Clone)]
pub struct WebhookEndpoints {
    /// The use cases.
    pub manager: Arc<Webhooks>,
    /// The sender, for test events.
    pub sender: Arc<WebhookSender>,
}

impl ApiConfig {
    /// Returns the address of a path for people; `None` without [`Self::public_url`].
    pub(crate) fn address_of(&self, path: &str) -> Option<String> {
        self.public_url.as_ref().map(|public_url| format!("{public_url}{path}"))
    }
}

impl fmt::Debug for ApiConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApiConfig")
            .field("has_admin_listener", &self.has_admin_listener)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}
