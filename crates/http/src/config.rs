//! How the API is set up, with its limits and their defaults.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use dabba_engine::{AdjustableClock, WebhookReader};

use crate::{Network, SigningKey};

/// Largest request body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Largest menu that can be sent, in bytes.
pub const MAX_MENU_BYTES: usize = 4 * 1024 * 1024;

/// How the API is set up.
#[derive(Clone)]
pub struct HttpConfig {
    /// Signs bearer tokens, and verifies them.
    pub signing_key: SigningKey,
    /// How long a token is valid. 12 hours.
    pub token_lifetime: Duration,
    /// Longest time for one request, its body included. 30 seconds.
    pub request_timeout: Duration,
    /// How often someone may log in or register.
    pub rate_limits: RateLimits,
    /// The proxies whose `X-Forwarded-For` is believed: the client's address is the last one in it that is not a proxy's.
    /// None: the client's address is the connection's, since anyone could write in the header what they like.
    pub trusted_proxies: Vec<Network>,
    /// Origins whose pages may call the API from a browser. None.
    pub cors_origins: CorsOrigins,
    /// Hosts under which the API is served, without ports. Empty: any host. An admin listener is served under any.
    pub allowed_hosts: Vec<String>,
    /// Time for which browsers use HTTPS only, in seconds (`Strict-Transport-Security`). 0: the header is not sent.
    pub hsts_seconds: u32,
    /// Whether `/metrics`, `/openapi.json` and `/docs` are served by [`crate::Apps::admin`] alone. Off.
    pub has_admin_listener: bool,
    /// Reads what the payment provider posts. None, and nothing can be posted.
    pub webhooks: Option<Arc<dyn WebhookReader>>,
    /// The engine's clock, where admins may put it forward: in a sandbox. None, and nobody can.
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
    /// The defaults, with this key.
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
    /// None but the server's own.
    None,
    /// Any.
    Any,
    /// These, such as `https://shop.example.org`.
    List(Vec<String>),
}

/// How often someone may do what is expensive, or what guesses passwords.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Wrong passwords for one e-mail address from one client address; ten times as many, in ten times the time, from all that
    /// have failed before. 10 in 5 minutes.
    pub tokens_per_email: Rate,
    /// Wrong passwords from one client address. 60 in a minute.
    pub tokens_per_address: Rate,
    /// Accounts registered from one client address, other than by admins. 20 in an hour.
    pub accounts_per_address: Rate,
    /// Quotes asked for from one client address. 600 in a minute. `None`: no limit.
    pub quotes_per_address: Option<Rate>,
    /// What each customer may write. 120 requests and 1 MiB of bodies in a minute.
    pub customers: AccountRates,
    /// What each account of staff or of a courier may write. 1,200 requests and 64 MiB of bodies in a minute. Admins have no
    /// limit.
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
    /// No limit that anyone meets. For tests and for servers that nobody else can reach.
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

/// What one account may write, whatever comes of it.
#[derive(Clone, Copy, Debug)]
pub struct AccountRates {
    /// Requests that are no reads. `None`: no limit.
    pub writes: Option<Rate>,
    /// Bytes of their bodies. `None`: no limit.
    pub body_bytes: Option<Rate>,
}

impl AccountRates {
    /// So many requests and bytes in a minute; no limit where the number is 0.
    pub fn per_minute(writes: u32, body_bytes: u32) -> Self {
        Self { writes: Rate::per_minute(writes), body_bytes: Rate::per_minute(body_bytes) }
    }
}

/// So many requests in a time. All may come at once; then they come back evenly over the time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// In which time. Less than a nanosecond for each request counts as that.
    pub per: Duration,
}

impl Rate {
    /// So many in a minute; `None`, which means no limit, for 0.
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
