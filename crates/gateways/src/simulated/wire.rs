//! The JSON messages between client and service, and the reports that the provider sends by webhook.

use dabba_domain::{
    Amount, Currency, Money, OrderId,
    order::{
        ChargebackOutcome, DeclineReason, PaymentReference, PaymentReport, PaymentToken, RefundFailureReason,
        RefundNumber,
    },
};
use dabba_engine::{GatewayAnswer, Payment};
use serde::{Deserialize, Serialize};

/// The header with the idempotency key of a request.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// The prefix of the type of every problem.
pub const PROBLEM_URN: &str = "urn:dabba-simulated:problem:";
/// The problem kind of a zero amount.
pub const NO_AMOUNT: &str = "no_amount";
/// The problem kind of an amount or a currency that the provider does not accept.
pub const AMOUNT_NOT_ACCEPTED: &str = "amount_not_accepted";

/// The request to authorize a payment: `POST /v1/authorizations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// The order that is paid.
    pub order_id: OrderId,
    /// The amount to authorize.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// The customer's payment token.
    pub token: PaymentToken,
}

/// The request to capture or void a payment: `POST /v1/captures`, `POST /v1/voids`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// The order that is paid.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// The whole amount that was requested at the authorization.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
}

impl PaymentRequest {
    /// Returns the payment under this key, and its reference.
    pub(super) fn into_payment(self, key: String) -> (Payment, PaymentReference) {
        let Self { order_id, reference, amount, currency } = self;
        (Payment { order_id, key, amount, currency }, reference)
    }
}

/// The request for a refund: `POST /v1/refunds`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRefundRequest {
    /// The order that was paid.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// The number of the refund within its order.
    pub number: RefundNumber,
    /// The amount to refund.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
}

/// The response to a request that changes a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerBody {
    /// The current state of the payment or refund; absent while the payment is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// The error response to a request, as problem details (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// The kind of problem, as a URN.
    pub r#type: String,
    /// The kind of problem, as a text for humans.
    pub title: String,
    /// The HTTP status of the response.
    pub status: u16,
    /// The details of this occurrence.
    pub detail: String,
}

impl ProblemBody {
    /// Returns whether neither a retry nor an operator can make the provider accept the request.
    pub fn is_final(&self) -> bool {
        matches!(self.r#type.strip_prefix(PROBLEM_URN), Some(NO_AMOUNT | AMOUNT_NOT_ACCEPTED))
    }
}

/// The answer to an authorization that the provider refuses finally.
pub(super) const fn not_authorized() -> GatewayAnswer {
    GatewayAnswer::Report(PaymentReport::Declined { reason: DeclineReason::NotAccepted })
}

/// The answer to a refund that the provider refuses finally.
pub(super) const fn not_refunded(number: RefundNumber) -> GatewayAnswer {
    GatewayAnswer::Report(PaymentReport::RefundRefused { number, reason: RefundFailureReason::NotAccepted })
}

/// A change of an order's payment: the body of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The order.
    pub order_id: OrderId,
    /// The change.
    pub report: Report,
}

/// A provider's report about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Report {
    /// The money is authorized.
    Authorized {
        /// The payment.
        reference: PaymentReference,
    },
    /// The payment was declined finally.
    Declined {
        /// The reason.
        reason: DeclineReason,
    },
    /// The money is captured.
    Captured {
        /// The payment.
        reference: PaymentReference,
    },
    /// The authorization was voided.
    Voided {
        /// The payment.
        reference: PaymentReference,
    },
    /// A refund is on its way to the customer.
    Refunded {
        /// The number of the refund within its order.
        number: RefundNumber,
    },
    /// The payment is authorized, for another amount than requested.
    #[serde(rename = "authorized_for")]
    AuthorizedAmount {
        /// The payment.
        reference: PaymentReference,
        /// The authorized amount.
        money: Money,
    },
    /// The money is captured, with another amount than requested.
    #[serde(rename = "captured_for")]
    CapturedAmount {
        /// The payment.
        reference: PaymentReference,
        /// The captured amount.
        money: Money,
    },
    /// An operator refunded money by hand.
    #[serde(rename = "refunded_elsewhere")]
    ExternalRefund {
        /// The payment.
        payment: PaymentReference,
        /// The refund.
        reference: PaymentReference,
        /// The amount.
        money: Money,
    },
    /// A refund by hand failed.
    #[serde(rename = "failed_elsewhere")]
    ExternalRefundFailed {
        /// The refund.
        reference: PaymentReference,
        /// The reason.
        reason: RefundFailureReason,
    },
    /// The customer's bank claims money back.
    Chargeback {
        /// The payment.
        payment: PaymentReference,
        /// The chargeback.
        reference: PaymentReference,
        /// The disputed amount.
        money: Money,
        /// The state of the chargeback.
        outcome: ChargebackOutcome,
    },
    /// A refund was refused finally.
    RefundRefused {
        /// The number of the refund within its order.
        number: RefundNumber,
        /// The reason.
        reason: RefundFailureReason,
    },
}

/// The provider's answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The current state of the payment or refund.
    Report(Report),
    /// The payment is pending: not decided yet.
    Pending,
}

impl From<Report> for PaymentReport {
    fn from(report: Report) -> Self {
        match report {
            Report::Authorized { reference } => Self::Authorized { reference },
            Report::Declined { reason } => Self::Declined { reason },
            Report::Captured { reference } => Self::Captured { reference },
            Report::Voided { reference } => Self::Voided { reference },
            Report::Refunded { number } => Self::Refunded { number },
            Report::AuthorizedAmount { reference, money } => Self::AuthorizedAmount { reference, money },
            Report::CapturedAmount { reference, money } => Self::CapturedAmount { reference, money },
            Report::ExternalRefund { payment, reference, money } => {
                Self::ExternalRefund { payment, reference, money }
            }
            Report::ExternalRefundFailed { reference, reason } => {
                Self::ExternalRefundFailed { reference, reason }
            }
            Report::Chargeback { payment, reference, money, outcome } => {
                Self::Chargeback { payment, reference, money, outcome }
            }
            Report::RefundRefused { number, reason } => Self::RefundRefused { number, reason },
        }
    }
}

impl From<Answer> for GatewayAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Report(report) => Self::Report(report.into()),
            Answer::Pending => Self::Pending,
        }
    }
}

impl From<Answer> for AnswerBody {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Report(report) => Self { report: Some(report) },
            Answer::Pending => Self { report: None },
        }
    }
}

impl From<AnswerBody> for Answer {
    fn from(body: AnswerBody) -> Self {
        body.report.map_or(Self::Pending, Self::Report)
    }
}
