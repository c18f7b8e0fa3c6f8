//! What a person has to look at: facts that Dabba records and cannot decide on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{RefundFailureReason, RefundNumber};

/// Why a person has to look at an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReviewReason {
    /// The payment provider refused a refund.
    RefundFailed {
        /// Which of the order's refunds.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Why.
        reason: RefundFailureReason,
    },
    /// A refund failed after the payment provider had reported it as made.
    RefundReversed {
        /// Which of the order's refunds.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Why.
        reason: RefundFailureReason,
    },
    /// The payment was voided after the restaurant had accepted the order.
    PaymentVoided,
}

impl ReviewReason {
    /// Its name in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RefundFailed { .. } => "refund_failed",
            Self::RefundReversed { .. } => "refund_reversed",
            Self::PaymentVoided => "payment_voided",
        }
    }
}

impl fmt::Display for ReviewReason {
    /// What happened, and what to do.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefundFailed { number, reason } => write!(
                formatter,
                "the payment provider refused refund {number} ({reason}); the customer does not have the money: \
                 refund it again, or pay the customer another way"
            ),
            Self::RefundReversed { number, reason } => write!(
                formatter,
                "refund {number} failed after it was reported as made ({reason}); the customer does not have the \
                 money: refund it again, or pay the customer another way"
            ),
            Self::PaymentVoided => formatter.write_str(
                "the payment was voided after the restaurant accepted the order; nobody has paid for the food: \
                 ask the customer for the money, or bear the loss",
            ),
        }
    }
}
