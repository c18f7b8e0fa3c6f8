//! The objects of Stripe's API, as far as they are read. Fields and statuses that are not known are no
//! error: Stripe adds them without changing the version.

use dabba_domain::{
    Money, OrderId,
    order::{PaymentReference, PaymentReport, RefundNumber},
};
use serde::Deserialize;

use super::amounts;

/// The key of the order's id in the metadata of a payment intent and of a refund.
pub(super) const ORDER_ID_KEY: &str = "order_id";

/// The key of the refund's number in its metadata.
pub(super) const REFUND_KEY: &str = "refund";

/// One payment, with all attempts at it.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: PaymentReference,
    pub(super) status: IntentStatus,
    /// In Stripe's units.
    pub(super) amount: i64,
    /// The authorized amount that can be captured, in Stripe's units.
    pub(super) amount_capturable: Option<i64>,
    /// What has been collected, in Stripe's units.
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
            Some(money) => PaymentReport::AuthorizedFor { reference: self.id, money },
            None => PaymentReport::Authorized { reference: self.id },
        }
    }

    /// The report that money has been collected: how much, where Stripe says so. A person can collect a part by
    /// hand, at Stripe.
    pub(super) fn captured(self) -> PaymentReport {
        match self.money(self.amount_received) {
            Some(money) => PaymentReport::CapturedFor { reference: self.id, money },
            None => PaymentReport::Captured { reference: self.id },
        }
    }

    fn money(&self, units: Option<i64>) -> Option<Money> {
        amounts::money(units.unwrap_or(self.amount), self.currency.as_deref()?)
    }
}

/// How far a payment intent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntentStatus {
    /// The attempt failed, or there was none.
    RequiresPaymentMethod,
    RequiresConfirmation,
    /// The bank wants to hear from the customer.
    RequiresAction,
    Processing,
    /// The money is set aside.
    RequiresCapture,
    /// The money is collected.
    Succeeded,
    Canceled,
    #[serde(other)]
    Unknown,
}

/// Money on its way back.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: PaymentReference,
    pub(super) status: Option<RefundStatus>,
    /// In Stripe's units.
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) payment_intent: Option<Expandable>,
    /// Why it failed, where that is known.
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

/// Another object: its id, or all of it where that was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable {
    Intent(Box<PaymentIntent>),
    Id(PaymentReference),
}

/// Money that the customer's bank takes back.
#[derive(Debug, Deserialize)]
pub(super) struct Dispute {
    pub(super) id: PaymentReference,
    pub(super) status: Option<DisputeStatus>,
    /// In Stripe's units.
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) payment_intent: Option<Expandable>,
}

/// How far a dispute is. What begins with `warning_` is an inquiry, in which no money moves.
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

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefundStatus {
    /// It is on its way to the bank.
    Pending,
    /// The customer has to do something for it. Does not happen with cards.
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
    #[serde(other)]
    Unknown,
}

/// A page of objects, the newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// What was attached to an object when it was created.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    order_id: Option<String>,
    refund: Option<String>,
}

impl Metadata {
    /// The order, when it is one of Dabba's. Others may use the account too.
    pub(super) fn order_id(&self) -> Option<OrderId> {
        self.order_id.as_deref()?.parse().ok()
    }

    pub(super) fn refund_number(&self) -> Option<RefundNumber> {
        self.refund.as_deref()?.parse().ok()
    }
}

/// What went wrong: the body of an answer that is not a success, or the last failed attempt at a payment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetail {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) param: Option<String>,
    /// For people. May name the customer's token, so it is not passed on.
    pub(super) message: Option<String>,
    pub(super) payment_intent: Option<PaymentIntent>,
}

/// The body of an answer that is not a success.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorDetail,
}
