//! The port to the payment provider.

use async_trait::async_trait;
use dabba_domain::{
    Amount, Currency, OrderId, Timestamp,
    order::{Order, PaymentReference, PaymentReport, PaymentToken, RefundNumber},
};

use super::AmountRules;

/// Port to one payment provider, which moves the money of orders paid by card.
///
/// A repeated call with the same key must have no further effect, and must be answered with the current state of the
/// payment. A call on a payment that is already in a later state is not an error: voiding a captured payment is
/// answered with `Captured`.
#[async_trait]
pub trait PaymentGateway: Send + Sync {
    /// Returns the provider's name for metrics and logs.
    fn name(&self) -> &'static str;

    /// Returns what the provider accepts in a currency; `None` if it does not accept the currency. Dabba asks before it
    /// places an order and before it records a refund.
    fn rules(&self, currency: Currency) -> Option<AmountRules>;

    /// Authorizes the payment's amount. A permanent refusal by the provider, for example of the amount, is answered
    /// with a decline.
    async fn authorize(&self, payment: &Payment, token: &PaymentToken)
    -> Result<GatewayAnswer, GatewayError>;

    /// Captures the whole authorized amount.
    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError>;

    /// Voids the authorization.
    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError>;

    /// Looks up the state of an object that changed at the provider without Dabba, and its order; `None` if the object
    /// belongs to no order or its state reports nothing. Only for providers whose notices do not name the order.
    async fn look_up(
        &self,
        _object: &ProviderObject,
    ) -> Result<Option<(OrderId, PaymentReport)>, GatewayError> {
        Ok(None)
    }

    /// Refunds `payment.amount` of the captured amount. A permanent refusal by the provider is answered with a refused
    /// refund.
    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError>;
}

/// Data common to all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The order that is paid.
    pub order_id: OrderId,
    /// Idempotency key of the step: the same for each repetition of this step of this order, and never used for another
    /// step. Consists of letters, digits and hyphens.
    pub key: String,
    /// The amount.
    pub amount: Amount,
    /// The currency of the amount.
    pub currency: Currency,
}

/// A step of a payment, as the idempotency key names it.
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

/// Answer of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAnswer {
    /// The state of the payment.
    Report(PaymentReport),
    /// The step has begun and its result is not known yet. The provider reports the result later, or answers with it
    /// when it is asked again.
    Pending,
}

/// Reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The provider did not answer, or reports that it is unavailable. Whether it executed the step is unknown;
    /// repeating the call with the same key is safe.
    #[error("the payment provider does not answer: {0}")]
    Unavailable(String),
    /// The provider refused the call for a reason that an operator can remove: a wrong credential, an account without
    /// enough money, a reference of another account. The step was not executed. A refusal that nobody can remove, for
    /// example of an amount, is a decline or a refused refund instead of an error.
    #[error("the payment provider refuses the call: {0}")]
    Refused(String),
}

/// Content of a webhook of a payment provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderNotice {
    /// A report on an order.
    Report(OrderId, PaymentReport),
    /// An object changed at the provider without Dabba, and the notice does not name its order.
    /// [`PaymentGateway::look_up`] finds the order.
    LookUp(ProviderObject),
}

/// An object at the provider that can change without Dabba.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderObject {
    /// A refund, by the provider's id.
    Refund(PaymentReference),
    /// A chargeback, by the provider's id.
    Chargeback(PaymentReference),
}

/// Verifies and reads the webhooks of a payment provider.
pub trait WebhookReader: Send + Sync {
    /// Returns the name of the header that contains the provider's signature, in lower case.
    fn signature_header(&self) -> &'static str;

    /// Returns the content of a webhook; `None` if it reports nothing about the payment of an order. Fails if the
    /// signature is not the provider's or is too old.
    fn read(
        &self,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<ProviderNotice>, WebhookError>;
}

/// Error for a webhook that is not from the provider or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebhookError(
    /// The reason, for the sender.
    pub String,
);
