//! Configuration of the API, with its limits and their defaults.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use dabba_engine::{AdjustableClock, WebhookReader};

use crate::{Network, SigningKey};

/// Maximum size of a request body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Maximum size of the body of a menu, in bytes.
pub const MAX_MENU_BYTES: usize = 4 * 1024 * 1024;

/// Configuration of the API.
#[derive(Clone)]
pub struct HttpConfig {
    /// Key that signs and verifies bearer tokens.
    pub signing_key: SigningKey,
    /// Lifetime of a token. Default 12 hours.
    pub token_lifetime: Duration,
    /// Timeout of one request, including reading its body. Default 30 seconds.
    pub request_timeout: Duration,
    /// Rate limits.
    pub rate_limits: RateLimits,
    /// Proxies whose `X-Forwarded-For` is trusted. The client's address is the last address in that header that is not a trusted
    /// proxy. Empty: the client's address is the connection's address, because any client can write any `X-Forwarded-For`.
    /// Default empty.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose pages may call the API from a browser. Default none.
    pub cors_origins: CorsOrigins,
    /// Hosts under which the API is served, without ports. Empty: any host. An admin listener is served under any host. Default
    /// empty.
    pub allowed_hosts: Vec<String>,
    /// `max-age` of `Strict-Transport-Security`, in seconds: browsers use HTTPS only for this time. 0: the header is not sent.
    /// Default 0.
    pub hsts_seconds: u32,
    /// Whether only [`crate::Apps::admin`] serves `/metrics`, `/openapi.json` and `/docs`. Default off.
    pub has_admin_listener: bool,
    /// Reader of the payment provider's webhooks. `None`: the server accepts no webhooks.
    pub webhooks: Option<Arc<dyn WebhookReader>>,
    /// The engine's clock, if admins may advance it (sandbox). `None`: nobody can advance the clock.
    pub sandbox: Option<Arc<dyn AdjustableClock>>,
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpConfig")
            .field("token_lifetime", &self.token_lifetime)
            .field("request_timeout", &self.request_timeout)
            .field("rate_limits", &self.rate_limits)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}

impl HttpConfig {
    /// Returns the default configuration with this signing key.
    pub fn new(signing_key: SigningKey) -> Self {
        Self {
            signing_key,
            token_lifetime: Duration::from_hours(12),
            request_timeout: Duration::from_secs(30),
            rate_limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
            cors_origins: CorsOrigins::None,
            allowed_hosts: Vec::new(),
            hsts_seconds: 0,
            has_admin_listener: false,
            webhooks: None,
            sandbox: None,
        }
    }
}

/// Origins whose pages may call the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// No origin except the server's own.
    None,
    /// Any origin.
    Any,
    /// These origins, such as `https://shop.example.org`.
    List(Vec<String>),
}

/// Rate limits of requests that are expensive or that guess passwords.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Maximum number of wrong passwords for one e-mail address from one client address. For one e-mail address from all client
    /// addresses that have failed before, ten times as many in ten times the time. Default 10 in 5 minutes.
    pub tokens_per_email: Rate,
    /// Maximum number of wrong passwords from one client address. Default 60 per minute.
    pub tokens_per_address: Rate,
    /// Maximum number of accounts registered from one client address, not counting registrations by admins. Default 20 per hour.
    pub accounts_per_address: Rate,
    /// Maximum number of quotes from one client address. `None`: no limit. Default 600 per minute.
    pub quotes_per_address: Option<Rate>,
    /// Maximum writes of each customer. Default 120 requests and 1 MiB of bodies per minute.
    pub customers: AccountRates,
    /// Maximum writes of each account of staff or of a courier. Default 1,200 requests and 64 MiB of bodies per minute. Admins
    /// have no limit.
    pub staff: AccountRates,
}

impl Default for RateLimits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        Self {
            tokens_per_email: Rate { requests: at_least_one(10), per: MINUTE.saturating_mul(5) },
            tokens_per_address: Rate { requests: at_least_one(60), per: MINUTE },
            accounts_per_address: Rate { requests: at_least_one(20), per: MINUTE.saturating_mul(60) },
            quotes_per_address: Some(Rate { requests: at_least_one(600), per: MINUTE }),
            customers: AccountRates::per_minute(120, 1024 * 1024),
            staff: AccountRates::per_minute(1_200, 64 * 1024 * 1024),
        }
    }
}

impl RateLimits {
    /// Returns limits that no client reaches. For tests, and for servers that nobody else can reach.
    pub fn unlimited() -> Self {
        let rate = Rate { requests: NonZeroU32::MAX, per: Duration::from_secs(1) };
        let accounts = AccountRates { writes: None, body_bytes: None };
        Self {
            tokens_per_email: rate,
            tokens_per_address: rate,
            accounts_per_address: rate,
            quotes_per_address: None,
            customers: accounts,
            staff: accounts,
        }
    }
}

/// Maximum writes of one account. Refused and failed writes count too.
#[derive(Clone, Copy, Debug)]
pub struct AccountRates {
    /// Maximum number of write requests (all methods that do not read). `None`: no limit.
    pub writes: Option<Rate>,
    /// Maximum number of bytes in the bodies of write requests. `None`: no limit.
    pub body_bytes: Option<Rate>,
}

impl AccountRates {
    /// Returns limits per minute; 0 means no limit.
    pub fn per_minute(writes: u32, body_bytes: u32) -> Self {
        Self { writes: Rate::per_minute(writes), body_bytes: Rate::per_minute(body_bytes) }
    }
}

/// Maximum number of requests in a time. All may come at once; after that, capacity refills evenly over the time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Maximum number of requests.
    pub requests: NonZeroU32,
    /// Time in which the requests are allowed. The time per request is at least 1 nanosecond.
    pub per: Duration,
}

impl Rate {
    /// Returns a rate of `number` requests per minute; `None` (no limit) for 0.
    pub fn per_minute(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(|requests| Self { requests, per: Duration::from_mins(1) })
    }
}

pub(crate) const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
