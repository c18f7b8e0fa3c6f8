//! Refunds of an order: amount, lines, bearer and status.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Order, PaymentReference, RefundReason, named::named_variants};
use crate::{Amount, Money, pricing::TaxShare, text::Note};

/// Number of a refund within an order: 1, 2, 3, …
pub type RefundNumber = NonZeroU32;

/// A refund to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refund {
    /// Number of the refund within the order.
    #[serde(default = "first")]
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub number: RefundNumber,
    /// Refunded amount.
    pub amount: Amount,
    /// Refunded lines, if the refund is for certain lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// Taxes that the refund of lines returns; included ones are part of the price. Absent for other refunds, and for
    /// orders that do not state their taxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxShare>,
    /// Reason for the refund.
    pub reason: RefundReason,
    /// Explanation in the actor's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Bearer of the refund.
    #[serde(default)]
    pub borne_by: RefundBearer,
    /// Set if the money went back at the payment provider without a request by Dabba.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// Money that went back at the payment provider without Dabba.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct External {
    /// Kind: refund or chargeback.
    pub kind: ExternalKind,
    /// The payment provider's id of the refund or the chargeback.
    pub reference: PaymentReference,
    /// Amount with its currency, if the currency differs from the order's. The amount of the refund is zero then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
}

/// Way in which money went back without Dabba.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExternalKind {
    /// A refund was made at the provider.
    Refund,
    /// The customer's bank took the money back.
    Chargeback,
}

const fn first() -> RefundNumber {
    RefundNumber::MIN
}

/// A quantity of one line of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefundLine {
    /// Index of the line in the order, from 0.
    pub line: u32,
    /// Quantity of the line.
    pub quantity: u32,
}

/// Bearer of a refund: the party that pays it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundBearer {
    /// The restaurant pays all except the tax share, which the taxes return.
    #[default]
    Restaurant,
    /// The platform pays all except the tax share, which the taxes return.
    Platform,
    /// Restaurant, platform, courier and authority pay all except the tax share, in proportion to what each still holds of
    /// the sale. So the sale is undone.
    Everyone,
}

impl RefundBearer {
    /// Returns the default bearer of the refunds that follow from an early end.
    pub(super) const fn of_an_early_end() -> Self {
        Self::Everyone
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) const fn is_of_an_early_end(&self) -> bool {
        matches!(self, Self::Everyone)
    }
}

named_variants!(RefundBearer {
    Restaurant => "restaurant",
    Platform => "platform",
    Everyone => "everyone",
});

/// Status of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// The payment provider has not made the refund yet; for a chargeback: the chargeback is open.
    Pending,
    /// The customer has the money, or the money is on its way to the customer.
    Paid,
    /// The payment provider refused it.
    Failed,
    /// The refund failed after the payment provider had reported it as made; for a chargeback: the chargeback was won.
    /// The amount can be refunded again.
    Reversed,
}

impl RefundStatus {
    /// Returns whether the customer has the money, or will get it.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Pending | Self::Paid)
    }
}

/// Reason why a payment provider did not make a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundFailureReason {
    /// The customer's card was lost, stolen, cancelled, or has expired.
    CardClosed,
    /// The customer's bank declined the refund.
    Declined,
    /// The provider's account does not hold enough money.
    InsufficientFunds,
    /// The customer disputes the payment with their bank.
    Disputed,
    /// The payment has been refunded in full, or less is left than was requested.
    NothingLeft,
    /// The refund was cancelled at the provider.
    CalledOff,
    /// The provider does not accept the amount, the currency or the request, and never will.
    NotAccepted,
    /// Another reason.
    Other,
}

named_variants!(RefundFailureReason {
    CardClosed => "card_closed",
    Declined => "declined",
    InsufficientFunds => "insufficient_funds",
    Disputed => "disputed",
    NothingLeft => "nothing_left",
    CalledOff => "called_off",
    NotAccepted => "not_accepted",
    Other => "other",
});

/// A refund of an order, with its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundState {
    /// Status of the refund.
    pub status: RefundStatus,
    /// Reason why the provider did not make the refund, if the provider gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RefundFailureReason>,
    /// The refund.
    #[serde(flatten)]
    pub refund: Refund,
}

impl RefundState {
    /// Returns a refund with this status that has not failed.
    pub const fn new(status: RefundStatus, refund: Refund) -> Self {
        Self { status, failure: None, refund }
    }
}

impl Order {
    /// Returns the captured amount that is neither refunded nor requested to be refunded.
    pub fn refundable(&self) -> Amount {
        let settled = self.captured.minus(self.refunded).unwrap_or(Amount::ZERO);
        settled.minus(self.pending_refunds()).unwrap_or(Amount::ZERO)
    }

    /// Returns the sum of the pending refunds.
    pub fn pending_refunds(&self) -> Amount {
        let pending = self.refunds.iter().filter(|state| state.status == RefundStatus::Pending);
        Amount::sum(pending.map(|state| state.refund.amount)).unwrap_or(Amount::ZERO)
    }

    /// Returns the refund with this number if it was requested from the payment provider and is still pending.
    pub fn pending_refund(&self, number: RefundNumber) -> Option<&Refund> {
        let state = self.refunds.iter().find(|state| state.refund.number == number)?;
        let is_asked_for = state.status == RefundStatus::Pending && state.refund.external.is_none();
        is_asked_for.then_some(&state.refund)
    }

    /// Returns the refund or chargeback that was made at the provider, without Dabba, under this reference.
    pub fn external_refund(&self, reference: &PaymentReference) -> Option<&RefundState> {
        let is_it = |external: &External| external.reference == *reference;
        self.refunds.iter().find(|state| state.refund.external.as_ref().is_some_and(is_it))
    }

    /// Returns the number of the next refund.
    pub(super) fn next_refund_number(&self) -> RefundNumber {
        self.refunds.last().map_or(RefundNumber::MIN, |state| state.refund.number.saturating_add(1))
    }

    /// Returns the paid and pending refunds of certain lines.
    pub(super) fn refunds_of_lines(&self) -> impl Iterator<Item = &Refund> {
        let refunds = self.refunds.iter().filter(|state| state.status.counts());
        refunds.map(|state| &state.refund).filter(|refund| !refund.lines.is_empty())
    }

    /// Returns the quantity of a line that is refunded or pending.
    pub(super) fn refunded_quantity(&self, line: u32) -> u32 {
        let lines = self.refunds_of_lines().flat_map(|refund| &refund.lines).filter(|it| it.line == line);
        lines.fold(0, |sum, it| sum.saturating_add(it.quantity))
    }
}
