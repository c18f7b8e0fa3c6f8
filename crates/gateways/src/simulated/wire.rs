//! What client and service say to each other, in JSON, and what a provider reports by itself.

use dabba_domain::{
    Amount, Currency, Money, OrderId,
    order::{
        ChargebackOutcome, DeclineReason, PaymentReference, PaymentReport, PaymentToken, RefundFailureReason,
        RefundNumber,
    },
};
use dabba_engine::GatewayAnswer;
use serde::{Deserialize, Serialize};

/// The header that carries the idempotency key of a request.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// The beginning of the type of every problem.
pub const PROBLEM_URN: &str = "urn:dabba-simulated:problem:";
/// The kind of problem of an amount of nothing.
pub const NO_AMOUNT: &str = "no_amount";
/// The kind of problem of an amount or a currency that is not accepted.
pub const AMOUNT_NOT_ACCEPTED: &str = "amount_not_accepted";

/// To set money aside: `POST /v1/authorizations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// The order that is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
    /// What is paid with.
    pub token: PaymentToken,
}

/// To collect money or let go of it: `POST /v1/captures`, `POST /v1/voids`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// The order that is paid.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// How much: all of it.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
}

/// To give money back: `POST /v1/refunds`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// The order that was paid.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// Which of the order's refunds it is.
    pub number: RefundNumber,
    /// How much.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
}

/// The answer to a request that changes a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerBody {
    /// What has become of the payment; absent, while that is not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// Why a request is refused or fails, as problem details (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// Which kind of problem it is, as a URN.
    pub r#type: String,
    /// The kind, for a person.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
}

impl ProblemBody {
    /// Whether neither a retry nor an operator can change that the request is refused.
    pub fn is_final(&self) -> bool {
        matches!(self.r#type.strip_prefix(PROBLEM_URN), Some(NO_AMOUNT | AMOUNT_NOT_ACCEPTED))
    }
}

/// What follows from an authorization that is refused for good.
pub(super) const fn not_authorized() -> GatewayAnswer {
    GatewayAnswer::Report(PaymentReport::Declined { reason: DeclineReason::NotAccepted })
}

/// What follows from a refund that is refused for good.
pub(super) const fn not_refunded(number: RefundNumber) -> GatewayAnswer {
    GatewayAnswer::Report(PaymentReport::RefundRefused { number, reason: RefundFailureReason::NotAccepted })
}

/// Something that has happened to an order's payment: the body of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The order.
    pub order_id: OrderId,
    /// What has happened.
    pub report: Report,
}

/// What the provider says of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Report {
    /// The money is set aside.
    Authorized {
        /// The payment.
        reference: PaymentReference,
    },
    /// It was refused, for good.
    Declined {
        /// Why.
        reason: DeclineReason,
    },
    /// The money has been collected.
    Captured {
        /// The payment.
        reference: PaymentReference,
    },
    /// The money that was set aside is free again.
    Voided {
        /// The payment.
        reference: PaymentReference,
    },
    /// A refund is on its way to the customer.
    Refunded {
        /// Which of the order's refunds.
        number: RefundNumber,
    },
    /// The payment is authorized for this amount.
    AuthorizedFor {
        /// The payment.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// Money has been collected: this much.
    CapturedFor {
        /// The payment.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// Somebody refunded money by hand.
    RefundedElsewhere {
        /// The payment.
        payment: PaymentReference,
        /// The refund.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// A refund failed that somebody had made by hand.
    FailedElsewhere {
        /// The refund.
        reference: PaymentReference,
        /// Why.
        reason: RefundFailureReason,
    },
    /// The customer has their bank take money back.
    Chargeback {
        /// The payment.
        payment: PaymentReference,
        /// The chargeback.
        reference: PaymentReference,
        /// How much.
        money: Money,
        /// How far it is.
        outcome: ChargebackOutcome,
    },
    /// A refund was refused, for good.
    RefundRefused {
        /// Which of the order's refunds.
        number: RefundNumber,
        /// Why.
        reason: RefundFailureReason,
    },
}

/// What the provider answers to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What has become of the payment.
    Report(Report),
    /// It has begun, and is not decided yet.
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
            Report::AuthorizedFor { reference, money } => Self::AuthorizedFor { reference, money },
            Report::CapturedFor { reference, money } => Self::CapturedFor { reference, money },
            Report::RefundedElsewhere { payment, reference, money } => {
                Self::RefundedElsewhere { payment, reference, money }
            }
            Report::FailedElsewhere { reference, reason } => Self::FailedElsewhere { reference, reason },
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
