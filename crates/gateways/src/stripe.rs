//! The client of the payment provider Stripe, and the reader of its webhooks.
//!
//! An order has one payment intent. Stripe confirms it at once. Dabba captures it when the restaurant accepts
//! the order and cancels it if the order ends before that. The customer's token is the id of a payment method
//! (`pm_…`) that Stripe's library created in the customer's browser or app.
//!
//! | step | call | source of the result |
//! |---|---|---|
//! | authorize | `POST /v1/payment_intents` | the intent's status, or HTTP 402 with the reason of the decline |
//! | capture, void | `POST /v1/payment_intents/{id}/capture`, `…/cancel` | the intent's status, also when Stripe refuses the call because of that status |
//! | refund | `GET /v1/refunds` of the intent, then `POST /v1/refunds` | the refund's status |
//!
//! # Authentication by the bank
//!
//! The customer is not present when a task authorizes a payment, so the customer cannot authenticate with the
//! bank. Stripe therefore declines a payment that needs authentication at once (`error_on_requires_action`),
//! and Dabba reports [`AuthenticationRequired`](dabba_domain::order::DeclineReason::AuthenticationRequired).
//! Dabba does not send `off_session`: that flag would need the customer's earlier consent, and it would claim
//! that the customer left the checkout, which is not the case.
//!
//! Retries
//!
//! Stripe stores the first response to an idempotency key for at least 24 hours. A retry returns the stored
//! response, marked by a header. A stored response may be stale, so this client never treats it as the
//! current state:
//!
//! - After a stored response to an authorization, the client reads the payment intent and returns its current
//!   state.
//! - If the stored response to a capture or a cancellation did not carry it out, the client repeats the call
//!   without a key. This is safe: Stripe captures or cancels an intent only once.
//! - Before the client requests a refund, it searches for the refund by the number in the refund's metadata.
//!   So a refund happens once even after Stripe has forgotten the key.
//! - If the stored response to an authorization or a refund is a server error (5xx), the client keeps
//!   returning [`Unavailable`](dabba_engine::GatewayError::Unavailable). Only Stripe knows whether the call
//!   was carried out, and a call with another key could move the money twice. If the call was carried out,
//!   Stripe reports it by webhook. If not, the order ends at its payment deadline, and the task is parked for
//!   an admin.
//! - If the stored response to an authorization or a refund is a refusal (4xx), the call was not carried out.
//!   Stripe returns the same refusal for that day, even after its cause has been removed.
//!
//! Stripe forgets a key after a day at the earliest. If an authorization is retried after that, Stripe
//! declines it if the first authorization used up the payment method; otherwise Stripe authorizes a second
//! time. The order has ended by then, so Dabba voids the second authorization at once. Stripe reports the
//! first authorization by webhook, and Dabba voids it; without a report, it expires after seven days.
//!
//! Sources: Stripe's API reference and its pages "Idempotent requests", "Advanced error handling", "Place a
//! hold on a payment method", "Refund and cancel payments", "Decline codes", "Supported currencies" and
//! "Receive Stripe events in your webhook endpoint" (docs.stripe.com).

mod amounts;
mod client;
mod declines;
mod external;
mod gateway;
mod objects;
mod webhook;

use std::{fmt, time::Duration};

use reqwest::header::HeaderValue;

pub use webhook::{SIGNATURE_HEADER, StripeWebhookError, WEBHOOK_TOLERANCE, read_webhook};

/// The address of Stripe's API.
pub const DEFAULT_BASE_URL: &str = "https://api.stripe.com";

/// The version of Stripe's API that this client uses. The client sends it with every call, so the account's
/// default version does not matter. Create webhook endpoints with the same version.
pub const API_VERSION: &str = "2026-06-24.dahlia";

/// The default timeout for connecting.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether this secret key moves real money. Test-mode keys begin with `sk_test_` or `rk_test_`.
pub fn is_live_key(secret_key: &str) -> bool {
    secret_key.starts_with("sk_live_") || secret_key.starts_with("rk_live_")
}

/// The configuration of the Stripe client.
#[derive(Clone)]
pub struct StripeConfig {
    /// The account's secret key, or a restricted key that may write payment intents and refunds.
    pub secret_key: String,
    /// The API's base URL, without the `/v1`.
    pub base_url: String,
    /// Timeout for connecting. The caller limits the time of the whole call.
    pub connect_timeout: Duration,
}

impl StripeConfig {
    /// Creates a configuration with this key, Stripe's own address and the default connect timeout.
    pub fn new(secret_key: impl Into<String>) -> Self {
        Self {
            secret_key: secret_key.into(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        }
    }
}

impl fmt::Debug for StripeConfig {
    /// Omits the secret key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StripeConfig")
            .field("base_url", &self.base_url)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// The reason why a configuration is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeConfigError {
    /// The key is empty or contains a character that no key contains.
    #[error("the secret key must consist of printable ASCII characters without spaces")]
    SecretKey,
    /// The base URL is not a valid http or https URL.
    #[error("the base URL must be an http or https URL without a query or a fragment")]
    BaseUrl,
    /// A live key would be sent unencrypted.
    #[error("a live key is only sent over https: the base URL must begin with https://")]
    LiveKeyWithoutTls,
    /// The HTTP client cannot be created, for example because the system has no root certificates.
    #[error("cannot create the HTTP client: {0}")]
    Client(String),
}

/// The Stripe client behind the engine's port. See the module documentation.
pub struct StripeGateway {
    client: client::Client,
}

impl StripeGateway {
    /// Creates a client for this account. It sends nothing yet, so a wrong key causes an error only at the
    /// first call.
    pub fn new(config: StripeConfig) -> Result<Self, StripeConfigError> {
        let StripeConfig { secret_key, base_url, connect_timeout } = config;
        if secret_key.is_empty() || !secret_key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(StripeConfigError::SecretKey);
        }
        let url = reqwest::Url::parse(&base_url).map_err(|_| StripeConfigError::BaseUrl)?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(StripeConfigError::BaseUrl);
        }
        if is_live_key(&secret_key) && url.scheme() != "https" {
            return Err(StripeConfigError::LiveKeyWithoutTls);
        }
        let authorization = HeaderValue::try_from(format!("Bearer {secret_key}"));
        let mut authorization = authorization.map_err(|_| StripeConfigError::SecretKey)?;
        authorization.set_sensitive(true);
        let base_url = base_url.trim_end_matches('/').to_owned();
        let client = client::Client::new(base_url, authorization, connect_timeout)
            .map_err(|error| StripeConfigError::Client(error.to_string()))?;
        Ok(Self { client })
    }
}

impl fmt::Debug for StripeGateway {
    /// Omits the secret key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StripeGateway")
            .field("base_url", &self.client.base_url())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_keys_are_recognized_by_their_prefix() {
        for (key, is_live) in [
            ("sk_live_1", true),
            ("rk_live_1", true),
            ("sk_test_1", false),
            ("rk_test_1", false),
            ("pk_live_1", false),
            ("", false),
        ] {
            assert_eq!(is_live_key(key), is_live, "{key}");
        }
    }

    #[test]
    fn an_invalid_configuration_is_refused() {
        let made = |key: &str, base_url: &str| {
            let config = StripeConfig { base_url: base_url.to_owned(), ..StripeConfig::new(key) };
            StripeGateway::new(config).map(|_| ())
        };
        assert_eq!(made("sk_test_1", DEFAULT_BASE_URL), Ok(()));
        assert_eq!(made("sk_live_1", "https://stripe.test/"), Ok(()));
        assert_eq!(made("sk_test_1", "http://127.0.0.1:8420"), Ok(()));
        assert_eq!(made("", DEFAULT_BASE_URL), Err(StripeConfigError::SecretKey));
        assert_eq!(made("sk_test_1\n", DEFAULT_BASE_URL), Err(StripeConfigError::SecretKey));
        for url in ["", "api.stripe.com", "ftp://api.stripe.com", "https://api.stripe.com?a=b"] {
            assert_eq!(made("sk_test_1", url), Err(StripeConfigError::BaseUrl), "{url}");
        }
        let in_the_clear = made("sk_live_1", "http://api.stripe.com");
        assert_eq!(in_the_clear, Err(StripeConfigError::LiveKeyWithoutTls));
    }

    #[test]
    fn debug_output_omits_the_secret_key() {
        let config = StripeConfig::new("sk_test_51secret");
        let gateway = StripeGateway::new(config.clone()).unwrap();
        assert!(!format!("{config:?} {gateway:?}").contains("51secret"));
    }
}
