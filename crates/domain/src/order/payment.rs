//! Payment by card: the identifiers of a payment provider, and the provider's reports.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{ChargebackOutcome, RefundFailureReason, RefundNumber, named::named_variants};
use crate::{Money, limits::MAX_PAYMENT_TEXT_LENGTH, text::RawText};

/// The text is not a valid identifier of a payment provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_PAYMENT_TEXT_LENGTH} letters, digits, hyphens and underscores")]
pub struct PaymentTextError;

/// Checks for letters, digits, `-` and `_`, which are safe wherever a provider's identifier is used.
fn check(text: &str) -> Result<(), PaymentTextError> {
    let well_formed = (1..=MAX_PAYMENT_TEXT_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if well_formed { Ok(()) } else { Err(PaymentTextError) }
}

macro_rules! payment_text {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks a text and returns it.
            pub fn new(text: &str) -> Result<Self, PaymentTextError> {
                check(text).map(|()| Self(text.to_owned()))
            }

            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = RawText::<'de>::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

payment_text! {
    /// Token that the payment provider issued to the customer's browser or app for the card. Dabba never receives the
    /// card itself.
    PaymentToken
}

payment_text! {
    /// The payment provider's id of a payment, a refund or a chargeback.
    PaymentReference
}

impl fmt::Debug for PaymentToken {
    /// Hides the token, because it can be used to take money.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PaymentToken(…)")
    }
}

impl fmt::Debug for PaymentReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for PaymentReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reason why a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The bank declined the card without a further reason.
    CardDeclined,
    /// The card has insufficient funds.
    InsufficientFunds,
    /// The card has expired.
    ExpiredCard,
    /// The bank requires the customer to authenticate the payment, which is impossible in the background.
    AuthenticationRequired,
    /// The provider does not know the token, or the token was used before.
    InvalidToken,
    /// The provider suspects fraud.
    SuspectedFraud,
    /// The payment was cancelled at the provider.
    CalledOff,
    /// The provider does not accept the amount, the currency or the request, and never will.
    NotAccepted,
    /// Another reason.
    Other,
}

named_variants!(DeclineReason {
    CardDeclined => "card_declined",
    InsufficientFunds => "insufficient_funds",
    ExpiredCard => "expired_card",
    AuthenticationRequired => "authentication_required",
    InvalidToken => "invalid_token",
    SuspectedFraud => "suspected_fraud",
    CalledOff => "called_off",
    NotAccepted => "not_accepted",
    Other => "other",
});

/// A payment provider's report about an order's payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentReport {
    /// The payment is authorized.
    Authorized {
        /// The provider's id of the payment.
        reference: PaymentReference,
    },
    /// The payment was declined permanently.
    Declined {
        /// Reason for the decline.
        reason: DeclineReason,
    },
    /// The whole total was captured.
    Captured {
        /// The provider's id of the payment.
        reference: PaymentReference,
    },
    /// The authorization was voided.
    Voided {
        /// The provider's id of the payment.
        reference: PaymentReference,
    },
    /// The payment was never requested from the provider, and will not be.
    NeverRequested,
    /// A refund is on its way to the customer.
    Refunded {
        /// Number of the refund within the order.
        number: RefundNumber,
    },
    /// The payment is authorized for this amount.
    AuthorizedAmount {
        /// The provider's id of the payment.
        reference: PaymentReference,
        /// Authorized amount.
        money: Money,
    },
    /// This amount was captured.
    CapturedAmount {
        /// The provider's id of the payment.
        reference: PaymentReference,
        /// Captured amount.
        money: Money,
    },
    /// A refund was made at the provider, without Dabba.
    ExternalRefund {
        /// The provider's id of the payment.
        payment: PaymentReference,
        /// The provider's id of the refund.
        reference: PaymentReference,
        /// Refunded amount.
        money: Money,
    },
    /// A refund that was made at the provider failed.
    ExternalRefundFailed {
        /// The provider's id of the refund.
        reference: PaymentReference,
        /// Reason for the failure.
        reason: RefundFailureReason,
    },
    /// The customer opened a chargeback, or a chargeback was decided.
    Chargeback {
        /// The provider's id of the payment.
        payment: PaymentReference,
        /// The provider's id of the chargeback.
        reference: PaymentReference,
        /// Amount of the chargeback.
        money: Money,
        /// State of the chargeback.
        outcome: ChargebackOutcome,
    },
    /// A refund was refused permanently. The provider may have reported it as made before.
    RefundRefused {
        /// Number of the refund within the order.
        number: RefundNumber,
        /// Reason for the failure.
        reason: RefundFailureReason,
    },
}
