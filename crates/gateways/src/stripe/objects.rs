//! The objects of Stripe's API, with the fields that Dabba reads. Unknown fields and statuses are not an
//! error, because Stripe adds them without changing the version.

use dabba_domain::{
    Money, OrderId,
    order::{PaymentReference, PaymentReport, RefundNumber},
};
use serde::Deserialize;

use super::amounts;

/// The metadata key of the order's id, in a payment intent and in a refund.
pub(super) const ORDER_ID_KEY: &str = "order_id";

/// The metadata key of the refund's number, in a refund.
pub(super) const REFUND_KEY: &str = "refund";

/// One payment, with all its attempts.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: PaymentReference,
    pub(super) status: IntentStatus,
    /// In Stripe's units.
    pub(super) amount: i64,
    /// The authorized amount that can be captured, in Stripe's units.
    pub(super) amount_capturable: Option<i64>,
    /// The captured amount, in Stripe's units.
    pub(super) amount_received: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) last_payment_error: Option<Box<ErrorDetail>>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

impl PaymentIntent {
    /// Returns the report of an authorization, with the amount if Stripe states it.
    pub(super) fn authorized(self) -> PaymentReport {
        match self.money(self.amount_capturable.filter(|units| *units > 0)) {
            Some(money) => PaymentReport::AuthorizedAmount { reference: self.id, money },
            None => PaymentReport::Authorized { reference: self.id },
        }
    }

    /// Returns the report of a capture, with the amount if Stripe states it. An operator can capture a part of
    /// the amount in Stripe's dashboard.
    pub(super) fn captured(self) -> PaymentReport {
        match self.money(self.amount_received) {
            Some(money) => PaymentReport::CapturedAmount { reference: self.id, money },
            None => PaymentReport::Captured { reference: self.id },
        }
    }

    fn money(&self, units: Option<i64>) -> Option<Money> {
        amounts::money(units.unwrap_or(self.amount), self.currency.as_deref()?)
    }
}

/// The status of a payment intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntentStatus {
    /// The attempt failed, or there was no attempt.
    RequiresPaymentMethod,
    RequiresConfirmation,
    /// The bank requires the customer to authenticate.
    RequiresAction,
    Processing,
    /// The money is authorized.
    RequiresCapture,
    /// The money is captured.
    Succeeded,
    Canceled,
    #[serde(other)]
    Unknown,
}

/// A refund of a payment.
#[derive(Debug, Deserialize)]
pub(super) struct StripeRefund {
    pub(super) id: PaymentReference,
    pub(super) status: Option<StripeRefundStatus>,
    /// In Stripe's units.
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) payment_intent: Option<Expandable>,
    /// Why the refund failed, if known.
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

/// A referenced object: its id, or the whole object if the call asked to expand it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable {
    Intent(Box<PaymentIntent>),
    Id(PaymentReference),
}

/// A dispute (chargeback): the customer's bank claims the money back.
#[derive(Debug, Deserialize)]
pub(super) struct Dispute {
    pub(super) id: PaymentReference,
    pub(super) status: Option<DisputeStatus>,
    /// In Stripe's units.
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) payment_intent: Option<Expandable>,
}

/// The status of a dispute. A status that begins with `warning_` is an inquiry, in which no money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DisputeStatus {
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    #[serde(other)]
    Other,
}

/// The status of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StripeRefundStatus {
    /// The refund is on its way to the bank.
    Pending,
    /// The customer must act first. This status does not occur with cards.
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
    #[serde(other)]
    Unknown,
}

/// A page of objects, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// Metadata that was attached to an object at its creation.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    order_id: Option<String>,
    refund: Option<String>,
}

impl Metadata {
    /// Returns the order's id, if the object belongs to one of Dabba's orders. Other systems may use the same
    /// account.
    pub(super) fn order_id(&self) -> Option<OrderId> {
        self.order_id.as_deref()?.parse().ok()
    }

    pub(super) fn refund_number(&self) -> Option<RefundNumber> {
        self.refund.as_deref()?.parse().ok()
    }
}

/// The error of a response that is not a success, or the last failed attempt at a payment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetail {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) param: Option<String>,
    /// A text for humans. It may contain the customer's token, so Dabba does not pass it on.
    pub(super) message: Option<String>,
    pub(super) payment_intent: Option<PaymentIntent>,
}

/// The body of a response that is not a success.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorDetail,
}
