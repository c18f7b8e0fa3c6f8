//! Payments: the port to whoever moves the money, and what shields the rest from them.
//!
//! A [`PaymentGateway`] is told one step at a time: to set money aside, to collect it, to let go of it, to
//! give it back. Each step has an idempotency key that is made of the order and the step, so a step that is
//! repeated, for whatever reason, is done once (I8). What the provider answers is a
//! [`PaymentReport`]; what follows from it, the domain decides
//! ([`dabba_domain::order::settle`]). Reports may also come unasked, as webhooks:
//! [`crate::Engine::record_payment`].
//!
//! A provider that does not answer is left alone for a while ([`BreakerConfig`]): its tasks wait in their
//! queue, orders are taken as ever, and nothing else slows down.

mod acceptance;
mod breaker;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_domain::{
    Amount, Currency, OrderId, Timestamp,
    order::{Order, PaymentReference, PaymentReport, PaymentToken, RefundNumber},
};

pub use acceptance::{AmountNotAccepted, AmountRules};
pub(crate) use breaker::Breaker;
pub use breaker::{BreakerConfig, BreakerState};

/// Moves the money of orders that are paid by card. Implementations speak to one payment provider.
///
/// A call that is repeated with the same key must have no effect beyond that of the first, and be answered
/// with what has become of the payment. A call on a payment that is further than the call expects is no
/// error: to void what is captured is answered with `Captured`.
#[async_trait]
pub trait PaymentGateway: Send + Sync {
    /// The provider's name: in metrics and logs.
    fn name(&self) -> &'static str;

    /// What the provider accepts in a currency; `None` where it does not accept the currency. Dabba asks before
    /// it places an order and before it records a refund.
    fn rules(&self, currency: Currency) -> Option<AmountRules>;

    /// Sets the payment's amount aside. What the provider refuses for good, such as an amount, is answered with
    /// a decline.
    async fn authorize(&self, payment: &Payment, token: &PaymentToken)
    -> Result<GatewayAnswer, GatewayError>;

    /// Collects the whole amount, which has been set aside.
    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError>;

    /// Lets go of the amount, which has been set aside.
    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError>;

    /// What has become of something that changed at the provider without Dabba, and of which order it is; `None`
    /// where it is of no order, or says nothing. Only of providers whose notices do not name the order.
    async fn look_up(
        &self,
        _object: &ProviderObject,
    ) -> Result<Option<(OrderId, PaymentReport)>, GatewayError> {
        Ok(None)
    }

    /// Gives `payment.amount` back, of what has been collected. What the provider refuses for good is answered
    /// with a refused refund.
    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError>;
}

/// What every call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The order that is paid.
    pub order_id: OrderId,
    /// The same whenever this step of this order is repeated, and never for another: letters, digits and
    /// hyphens.
    pub key: String,
    /// How much.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
}

/// A step of a payment, as its idempotency key names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Authorize,
    Capture,
    Void,
    Refund(RefundNumber, Amount),
}

impl Payment {
    pub(crate) fn new(order: &Order, step: Step) -> Self {
        let id = order.id;
        let total = order.details.amounts.total;
        let (key, amount) = match step {
            Step::Authorize => (format!("{id}-authorize"), total),
            Step::Capture => (format!("{id}-capture"), total),
            Step::Void => (format!("{id}-void"), total),
            Step::Refund(number, amount) => (format!("{id}-refund-{number}"), amount),
        };
        Self { order_id: id, key, amount, currency: order.details.currency }
    }
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAnswer {
    /// What has become of the payment.
    Report(PaymentReport),
    /// It has begun, and is not decided yet. It will be reported, or told when asked again.
    Pending,
}

/// Why a call got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The provider did not answer, or says that it cannot. Whether it has done it is not known; repeating
    /// it with the same key is safe.
    #[error("the payment provider does not answer: {0}")]
    Unavailable(String),
    /// The provider does not take the call, and an operator can change that: a wrong credential, an account
    /// without enough money, a reference of another account. It has not been done. What nobody can change, such
    /// as an amount, is no error but a decline or a refused refund.
    #[error("the payment provider refuses the call: {0}")]
    Refused(String),
}

/// What a payment provider posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderNotice {
    /// A report on an order.
    Report(OrderId, PaymentReport),
    /// Something changed at the provider without Dabba, and the notice does not name the order.
    /// [`PaymentGateway::look_up`] tells.
    Ask(ProviderObject),
}

/// Something at the provider that can change without Dabba.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderObject {
    /// A refund, by what the provider calls it.
    Refund(PaymentReference),
    /// A chargeback, by what the provider calls it.
    Chargeback(PaymentReference),
}

/// Reads what a payment provider posts of its own accord.
pub trait WebhookReader: Send + Sync {
    /// The name of the header with which the provider signs, in lower case.
    fn signature_header(&self) -> &'static str;

    /// What is reported; `None` for what says nothing about a payment of an order. The
    /// signature must be the provider's, and not old.
    fn read(
        &self,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<ProviderNotice>, WebhookError>;
}

/// What was posted is not the provider's, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebhookError(
    /// Why, for whoever posted it.
    pub String,
);

/// How payments are made.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// How long after placing an order its payment has to be certain.
    pub deadline: Duration,
    /// Longest time for one call. Less than a task's lease, or what comes of a slow call is lost.
    pub call_timeout: Duration,
    /// How soon it is asked again after a payment that is not decided yet.
    pub pending_interval: Duration,
    /// When a provider that does not answer is left alone.
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

/// A provider, with what shields the rest from it.
pub(crate) struct Gateway {
    pub(crate) port: Arc<dyn PaymentGateway>,
    pub(crate) breaker: Breaker,
}
