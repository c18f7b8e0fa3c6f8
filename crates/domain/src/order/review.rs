//! Reviews by an admin: facts that Dabba records but cannot decide on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{PaymentStep, RefundFailureReason, RefundNumber};
use crate::{Amount, Money};

/// Reason why an admin must review an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReviewReason {
    /// The payment provider refused a refund.
    RefundFailed {
        /// Number of the refund within the order.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Reason for the failure.
        reason: RefundFailureReason,
    },
    /// A refund failed after the payment provider had reported it as made.
    RefundReversed {
        /// Number of the refund within the order.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Reason for the failure.
        reason: RefundFailureReason,
    },
    /// The payment was voided after the restaurant had accepted the order.
    PaymentVoided,
    /// A refund was made at the payment provider, without Dabba.
    RefundedAtProvider {
        /// Number of the refund that represents it.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Refunded amount.
        amount: Amount,
    },
    /// The customer opened a chargeback at their bank.
    ChargebackOpened {
        /// Number of the refund that represents the chargeback.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Amount of the chargeback.
        amount: Amount,
    },
    /// A chargeback was decided in the customer's favour.
    ChargebackLost {
        /// Number of the refund that represents the chargeback.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// A chargeback was decided against the customer.
    ChargebackWon {
        /// Number of the refund that represents the chargeback.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// The payment provider authorized or captured another amount or currency than agreed.
    PaymentDiffers {
        /// The step that differs: authorization or capture.
        step: PaymentStep,
        /// Amount that the provider authorized or captured.
        money: Money,
    },
}

impl ReviewReason {
    /// Returns whether this version of Dabba knows a reason with this name.
    pub fn is_known(name: &str) -> bool {
        Self::NAMES.contains(&name)
    }

    /// Returns the number of the refund that the review is about, if any.
    pub const fn refund(&self) -> Option<RefundNumber> {
        match self {
            Self::RefundFailed { number, .. }
            | Self::RefundReversed { number, .. }
            | Self::RefundedAtProvider { number, .. }
            | Self::ChargebackOpened { number, .. }
            | Self::ChargebackLost { number }
            | Self::ChargebackWon { number } => Some(*number),
            Self::PaymentVoided | Self::PaymentDiffers { .. } => None,
        }
    }
}

macro_rules! named_reasons {
    ($($variant:ident => $name:literal,)*) => {
        impl ReviewReason {
            /// Names of the reasons that this version of Dabba knows.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Returns the name of the reason in the API.
            pub const fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }
    };
}

named_reasons! {
    RefundFailed => "refund_failed",
    RefundReversed => "refund_reversed",
    PaymentVoided => "payment_voided",
    RefundedAtProvider => "refunded_at_provider",
    ChargebackOpened => "chargeback_opened",
    ChargebackLost => "chargeback_lost",
    ChargebackWon => "chargeback_won",
    PaymentDiffers => "payment_differs",
}

impl fmt::Display for ReviewReason {
    /// Writes what happened and what the admin must do.
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
                "the payment was voided after the restaurant accepted the order; the food is not paid for: \
                 ask the customer for the money, or accept the loss",
            ),
            Self::RefundedAtProvider { number, amount } => write!(
                formatter,
                "a refund of {} minor units was made at the payment provider (refund {number}); the platform pays it: \
                 settle with the restaurant if the restaurant must pay it",
                amount.minor()
            ),
            Self::ChargebackOpened { number, amount } => write!(
                formatter,
                "the customer disputes {} minor units with their bank (refund {number}): answer at the payment provider",
                amount.minor()
            ),
            Self::ChargebackLost { number } => write!(
                formatter,
                "the chargeback of refund {number} is lost; the customer keeps the money and the platform pays for the \
                 loss: settle with the restaurant if the restaurant must pay for it"
            ),
            Self::ChargebackWon { number } => write!(
                formatter,
                "the chargeback of refund {number} is won; the platform has the money again: if the order ended early, refund \
                 the customer"
            ),
            Self::PaymentDiffers { step, money } => {
                let step = match step {
                    PaymentStep::Authorized => "authorized",
                    PaymentStep::Captured => "captured",
                };
                write!(
                    formatter,
                    "the payment provider {step} {money}, which is not the order's total: compare the order with the \
                     payment at the provider, and ask the customer for the rest, or refund the excess at the provider"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Proves that the names are those of the JSON form, in the same order.
    #[test]
    fn the_names_are_those_that_the_decoder_knows() {
        let error = serde_json::from_value::<ReviewReason>(json!({"type": "novel"})).unwrap_err().to_string();
        let known: Vec<String> = ReviewReason::NAMES.iter().map(|name| format!("`{name}`")).collect();
        assert!(error.contains(&format!("expected one of {}", known.join(", "))), "{error}");
        assert!(ReviewReason::NAMES.iter().all(|name| ReviewReason::is_known(name)));
        assert!(!ReviewReason::is_known("novel"));
    }
}
