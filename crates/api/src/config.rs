//! Configuration of the API.

use std::{fmt, sync::Arc};

use dabba_engine::{AdjustableClock, WebhookReader};
use dabba_outbound::live::LiveConfig;

/// Maximum size of the body of a menu, in bytes.
pub const MAX_MENU_BYTES: usize = 4 * 1024 * 1024;

/// Configuration of the API, besides the configuration that every face shares.
#[derive(Clone, Default)]
pub struct ApiConfig {
    /// Whether only [`crate::Apps::admin`] serves `/metrics`, `/openapi.json` and `/docs`. Default off.
    pub has_admin_listener: bool,
    /// Reader of the payment provider's webhooks. `None`: the server accepts no webhooks.
    pub webhooks: Option<Arc<dyn WebhookReader>>,
    /// The engine's clock, if admins may advance it (sandbox). `None`: nobody can advance the clock.
    pub sandbox: Option<Arc<dyn AdjustableClock>>,
    /// Limits, heartbeats and measurements of streams.
    pub live: LiveConfig,
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
