//! Configuration that every face shares, and its defaults.

use std::{fmt, time::Duration};

use crate::{Network, RateLimits, SigningKey};

/// Configuration that every face shares.
#[derive(Clone)]
pub struct WebConfig {
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
    /// Whether login with a session is allowed over plain HTTP from other machines, where the network can read the session. Default
    /// no.
    pub insecure_sessions: bool,
    /// Origins whose pages may call this server from a browser. Default none.
    pub cors_origins: CorsOrigins,
    /// Hosts under which the faces are served, without ports. Empty: any host. An admin listener is served under any host. Default
    /// empty.
    pub allowed_hosts: Vec<String>,
    /// `max-age` of `Strict-Transport-Security`, in seconds: browsers use HTTPS only for this time. 0: the header is not sent.
    /// Default 0.
    pub hsts_seconds: u32,
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebConfig")
            .field("token_lifetime", &self.token_lifetime)
            .field("request_timeout", &self.request_timeout)
            .field("rate_limits", &self.rate_limits)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}

impl WebConfig {
    /// Returns the default configuration with this signing key.
    pub fn new(signing_key: SigningKey) -> Self {
        Self {
            signing_key,
            token_lifetime: Duration::from_hours(12),
            request_timeout: Duration::from_secs(30),
            rate_limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
            insecure_sessions: false,
            cors_origins: CorsOrigins::None,
            allowed_hosts: Vec::new(),
            hsts_seconds: 0,
        }
    }
}

/// Origins whose pages may call this server from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// No origin except the server's own.
    None,
    /// Any origin.
    Any,
    /// These origins, such as `https://shop.example.org`.
    List(Vec<String>),
}
