//! The payment provider for cards.

use std::{path::PathBuf, str::FromStr};

use confique::Config;
use dabba_engine::{BreakerConfig, PaymentConfig};

use super::{Bounded, Milliseconds, WebUrl, values::read_from_text};
use crate::redaction::shown;

/// Payments.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: payments")))]
#[expect(
    clippy::struct_field_names,
    reason = "a field is named like its setting, and the names of settings are flat"
)]
pub(crate) struct PaymentProvider {
    /// Payment provider for cards: `stripe`, or `simulated`, which moves no money. By default, cards are not accepted.
    #[config(env = "DABBA_PAYMENT_GATEWAY")]
    #[config(layer_attr(arg(long, value_name = "stripe|simulated")))]
    pub(crate) payment_gateway: Option<PaymentGatewayName>,

    /// URL of the payment provider; default Stripe itself, or a simulation within the server.
    #[config(env = "DABBA_PAYMENT_URL")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) payment_url: Option<WebUrl>,

    /// File with the secret key for the payment provider; default none. Required for `stripe`.
    #[config(env = "DABBA_PAYMENT_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_key_file: Option<PathBuf>,

    /// File with the secret with which the payment provider signs its webhooks to `/v1/webhooks/payments`. By default, webhooks
    /// are refused.
    #[config(env = "DABBA_PAYMENT_WEBHOOK_SECRET_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_webhook_secret_file: Option<PathBuf>,

    /// Maximum time from placing an order until its card payment is certain, in seconds. 10 to 86,400; default 600. After it the
    /// order is cancelled.
    #[config(env = "DABBA_PAYMENT_DEADLINE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_deadline_seconds: Bounded<10, 86_400>,

    /// Timeout for one call to the payment provider, in seconds. 1 to 25; default 15.
    #[config(env = "DABBA_PAYMENT_TIMEOUT_SECONDS", default = 15)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_timeout_seconds: Bounded<1, 25>,

    /// Number of consecutive calls without an answer after which the circuit breaker of the payment provider opens. 1 to 1,000;
    /// default 5.
    #[config(env = "DABBA_PAYMENT_BREAKER_FAILURES", default = 5)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_failures: Bounded<1, 1_000>,

    /// Time for which the open circuit breaker refuses calls to the payment provider, in milliseconds. 1 to 600,000; default
    /// 5,000.
    #[config(env = "DABBA_PAYMENT_BREAKER_OPEN_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) payment_breaker_open_milliseconds: Milliseconds,

    /// Maximum number of concurrent trial calls after that time. 1 to 100; default 2.
    #[config(env = "DABBA_PAYMENT_BREAKER_PROBES", default = 2)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_probes: Bounded<1, 100>,
}

impl PaymentProvider {
    /// Returns the configuration of the engine's payments.
    pub(crate) fn payment_config(&self) -> PaymentConfig {
        PaymentConfig {
            deadline: self.payment_deadline_seconds.seconds(),
            call_timeout: self.payment_timeout_seconds.seconds(),
            breaker: BreakerConfig {
                failure_threshold: self.payment_breaker_failures.small(),
                open_duration: self.payment_breaker_open_milliseconds.milliseconds(),
                probes: self.payment_breaker_probes.size(),
            },
            ..PaymentConfig::default()
        }
    }
}

/// Payment provider for cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaymentGatewayName {
    /// Stripe.
    Stripe,
    /// A simulation that moves no money.
    Simulated,
}

impl FromStr for PaymentGatewayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stripe" => Ok(Self::Stripe),
            "simulated" => Ok(Self::Simulated),
            _ => Err(format!("must be stripe or simulated, not {:?}", shown(text))),
        }
    }
}

read_from_text!(PaymentGatewayName);
