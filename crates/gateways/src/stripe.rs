//! Stripe, as the payment provider: its client and the reader of its webhooks.
//!
//! An order is paid with one payment intent, which is confirmed at once, captured when the restaurant
//! accepts and cancelled when the order ends before that. The token of the customer is the id of a payment
//! method (`pm_…`) that Stripe's library made in their browser or app.
//!
//! | step | call | what tells how it went |
//! |---|---|---|
//! | authorize | `POST /v1/payment_intents` | the intent's status, or HTTP 402 with the reason of the decline |
//! | capture, void | `POST /v1/payment_intents/{id}/capture`, `…/cancel` | the intent's status, also when Stripe refuses the call because of it |
//! | refund | `GET /v1/refunds` of the intent, then `POST /v1/refunds` | the refund's status |
//!
//! # Authentication by the bank
//!
//! Nobody is there to confirm a payment with their bank when a task asks for it, so such a payment is
//! declined at once (`error_on_requires_action`) with
//! [`AuthenticationRequired`](dabba_domain::order::DeclineReason::AuthenticationRequired). `off_session` would
//! say that the customer is away, which they are not, and would need their earlier consent.
//!
//! # What is repeated
//!
//! Stripe keeps the first answer to an idempotency key for at least 24 hours and gives it again, marked by
//! a header. Such an answer may be out of date, so it is never taken for the present state:
//!
//! - The payment intent is read, and the answer is what has become of it.
//! - A capture or a cancellation whose stored answer did not carry it out is asked for once more without a
//!   key. This is safe: Stripe captures or cancels an intent only once.
//! - A refund is looked for before it is asked for, by the number that stands in its metadata. So it is
//!   made once even when its key has been forgotten.
//! - An authorization or a refund whose stored answer is a server error (5xx) stays
//!   [`Unavailable`](dabba_engine::GatewayError::Unavailable): only Stripe knows whether it was carried out,
//!   and to ask with another key could move the money twice. If it was, Stripe reports it by a webhook. If
//!   not, the order ends at its payment deadline, and the task is parked for an admin.
//! - An authorization or a refund whose stored answer is a refusal (4xx) was not carried out. The answer
//!   stays the same for that day, also when its cause has been removed.
//!
//! An authorization that is repeated after Stripe has forgotten its key, after a day at the earliest, is
//! declined if the payment method was used up by the first, and otherwise would be a second one. The order
//! has ended by then, so that it is let go of at once; the first one is reported by a webhook and let go of,
//! or lapses by itself after seven days.
//!
//! Sources: Stripe's API reference and its pages "Idempotent requests", "Advanced error handling", "Place a
//! hold on a payment method", "Refund and cancel payments", "Decline codes", "Supported currencies" and
//! "Receive Stripe events in your webhook endpoint" (docs.stripe.com).

mod amounts;
mod client;
mod declines;
mod elsewhere;
mod gateway;
mod objects;
mod webhook;

use std::{fmt, time::Duration};

use reqwest::header::HeaderValue;

pub use webhook::{SIGNATURE_HEADER, WEBHOOK_TOLERANCE, WebhookError, read_webhook};

/// Where Stripe's API is.
pub const DEFAULT_BASE_URL: &str = "https://api.stripe.com";

/// The version of Stripe's API that this client speaks. It is sent with every call, so that what an
/// account is set to does not matter. Webhook endpoints should be created with the same.
pub const API_VERSION: &str = "2026-06-24.dahlia";

/// How long connecting may take, unless configured.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether this secret key moves real money. Keys of test mode begin with `sk_test_` or `rk_test_`.
pub fn is_live_key(secret_key: &str) -> bool {
    secret_key.starts_with("sk_live_") || secret_key.starts_with("rk_live_")
}

/// How Stripe is reached.
#[derive(Clone)]
pub struct StripeConfig {
    /// The account's secret key, or a restricted key that may write payment intents and refunds.
    pub secret_key: String,
    /// The API's address, without the `/v1`.
    pub base_url: String,
    /// Longest time to connect. The time of a whole call is limited by whoever calls.
    pub connect_timeout: Duration,
}

impl StripeConfig {
    /// Stripe's own address and the default time to connect, with this key.
    pub fn new(secret_key: impl Into<String>) -> Self {
        Self {
            secret_key: secret_key.into(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        }
    }
}

impl fmt::Debug for StripeConfig {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StripeConfig")
            .field("base_url", &self.base_url)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// Why there can be no client with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeConfigError {
    /// The key is empty, or has characters that no key has.
    #[error("the secret key is not one of Stripe's")]
    SecretKey,
    /// The address is not one.
    #[error("the base URL must be an http or https URL without a query")]
    BaseUrl,
    /// A live key would be sent where everybody on the way can read it.
    #[error("a live key is only sent over https")]
    LiveKeyInTheClear,
    /// The HTTP client cannot be made, for example without the system's root certificates.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// Stripe, behind the engine's port. See the module's description.
pub struct StripeGateway {
    client: client::Client,
}

impl StripeGateway {
    /// A client for this account. Nothing is sent yet, so that a wrong key shows with the first call.
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
            return Err(StripeConfigError::LiveKeyInTheClear);
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
    /// Without the key.
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
    fn keys_say_whether_they_move_real_money() {
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
    fn a_configuration_is_checked() {
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
        assert_eq!(in_the_clear, Err(StripeConfigError::LiveKeyInTheClear));
    }

    #[test]
    fn the_key_is_not_shown() {
        let config = StripeConfig::new("sk_test_51secret");
        let gateway = StripeGateway::new(config.clone()).unwrap();
        assert!(!format!("{config:?} {gateway:?}").contains("51secret"));
    }
}
