//! Payments: the port to the payment provider, and the circuit breaker that protects the rest of the engine from it.
//!
//! A [`PaymentGateway`] executes one step per call: authorize, capture, void or refund. The idempotency key of a call
//! consists of the order and the step, so a repeated step takes effect once (I8). The provider answers with a report,
//! from which the domain derives the events ([`dabba_domain::order::settle`]). Reports also arrive as webhooks:
//! [`Payments::record_payment`].
//!
//! The circuit breaker stops calls to a provider that does not answer ([`BreakerConfig`]). Meanwhile payment tasks wait
//! in their queue, orders are still accepted, and nothing else slows down.

mod acceptance;
mod breaker;
mod port;
mod reports;
mod steps;

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    Amount, Currency, Problems, Timestamp,
    order::{Decision, Event, PaymentMethod},
};
use dabba_store::Store;

pub use acceptance::{AmountNotAccepted, AmountRules};
use breaker::Breaker;
pub use breaker::{BreakerConfig, BreakerState};
use port::Step;
pub use port::{
    GatewayAnswer, GatewayError, Payment, PaymentGateway, ProviderNotice, ProviderObject, WebhookError,
    WebhookReader,
};

use crate::{Clock, EngineMetrics, Error, Obstacle, Random, order_writer::Unattended};

/// Use cases of payments by card.
pub struct Payments {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) unattended: Arc<Unattended>,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) config: PaymentConfig,
}

/// A payment provider and its circuit breaker.
pub(crate) struct Gateway {
    port: Arc<dyn PaymentGateway>,
    breaker: Breaker,
}

impl Gateway {
    /// Creates the gateway and its counters.
    pub(crate) fn new(
        port: Arc<dyn PaymentGateway>,
        config: &PaymentConfig,
        metrics: &EngineMetrics,
    ) -> Self {
        metrics.show_gateway(port.name());
        Self { port, breaker: Breaker::new(config.breaker) }
    }
}

impl Payments {
    /// Returns the state of the payment provider's circuit breaker; `None` without a provider.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        self.gateway.as_ref().map(|gateway| gateway.breaker.state(self.clock.now()))
    }

    /// Returns why a total cannot be paid by card; `None` if it can, or if the payment is not by card. A total of zero
    /// needs no provider.
    pub(crate) fn not_payable(
        &self,
        payment_method: Option<PaymentMethod>,
        total: Amount,
        currency: Currency,
    ) -> Option<Obstacle> {
        if payment_method != Some(PaymentMethod::Card) {
            return None;
        }
        let Some(gateway) = &self.gateway else {
            return Some(Obstacle::CardsNotAccepted);
        };
        if total.is_zero() {
            return None;
        }
        let accepted = AmountNotAccepted::check_payment(total, currency, gateway.port.rules(currency));
        accepted.err().map(Obstacle::NotPayableByCard)
    }

    /// Checks that the payment provider accepts the refund that a decision requests.
    pub(crate) fn check_refundable(&self, decision: &Decision) -> Result<(), Error> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let currency = decision.order.details.currency;
        for recorded in &decision.events {
            let Event::RefundRequested(refund) = &recorded.event else { continue };
            let checked =
                AmountNotAccepted::check_refund(refund.amount, currency, gateway.port.rules(currency));
            let pointer = if refund.lines.is_empty() { "/amount" } else { "/lines" };
            checked.map_err(|refusal| Error::Invalid(Problems::one(pointer, refusal.to_string())))?;
        }
        Ok(())
    }

    /// Returns the maximum number of payment tasks in flight at `now`; `None` for no limit.
    pub(crate) fn max_in_flight(&self, now: Timestamp) -> Option<usize> {
        let Some(gateway) = &self.gateway else { return Some(0) };
        self.metrics.show_breaker(gateway.port.name(), gateway.breaker.state(now));
        gateway.breaker.max_calls(now)
    }
}

/// Settings of payments.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// Time from placing an order until its payment must be authorized.
    pub deadline: Duration,
    /// Timeout of one call. Must be shorter than a task's lease; otherwise the result of a slow call is lost.
    pub call_timeout: Duration,
    /// Interval between calls for a payment whose result is pending.
    pub pending_interval: Duration,
    /// Settings of the circuit breaker.
    pub breaker: BreakerConfig,
}

impl Default for PaymentConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_mins(10),
            call_timeout: Duration::from_secs(15),
            pending_interval: Duration::from_secs(2),
            breaker: BreakerConfig::default(),
        }
    }
}
