//! Refunds: how much, of what, who bears it, and how far it is.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Order, PaymentReference, RefundReason, Rejection, state::named_variants};
use crate::{Actor, Amount, Money, Problems, pricing::OrderLine, text::Note};

/// Counts the refunds of an order: 1, 2, 3, …
pub type RefundNumber = NonZeroU32;

/// Money that goes back to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refund {
    /// Which of the order's refunds it is.
    #[serde(default = "first")]
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub number: RefundNumber,
    /// How much this time.
    pub amount: Amount,
    /// For which lines it is, where it is for certain lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// Why.
    pub reason: RefundReason,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Out of whose pocket.
    #[serde(default)]
    pub borne_by: RefundBearer,
    /// Where the money went back at the payment provider, and Dabba did not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// Money that went back at the payment provider without Dabba.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct External {
    /// In which way.
    pub kind: ExternalKind,
    /// What the payment provider calls the refund or the chargeback.
    pub reference: PaymentReference,
    /// How much it is, where it is in another currency than the order. The amount of the refund is zero then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
}

/// In which way money went back without Dabba.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExternalKind {
    /// Somebody refunded it at the provider.
    Refund,
    /// The customer had their bank take it back.
    Chargeback,
}

const fn first() -> RefundNumber {
    RefundNumber::MIN
}

/// So many of a line of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefundLine {
    /// The line's place in the order, from 0.
    pub line: u32,
    /// How many of it.
    pub quantity: u32,
}

/// Out of whose pocket a refund is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundBearer {
    /// The restaurant pays all but the tax share, which the tax office returns.
    #[default]
    Restaurant,
    /// The platform pays all but the tax share, which the tax office returns.
    Platform,
    /// Restaurant, platform and courier pay all but the tax share, in proportion to what each still holds of
    /// the sale: the sale is undone.
    Everyone,
}

impl RefundBearer {
    /// The bearer of what is refunded when an order ends early, unless its end says otherwise.
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

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// The payment provider has to do it yet; of a chargeback: it is open.
    Pending,
    /// The money is with the customer, or on its way there.
    Paid,
    /// The payment provider refused it.
    Failed,
    /// The payment provider reported it as made, and it failed later; of a chargeback: it was won. The amount can
    /// be refunded again.
    Reversed,
}

impl RefundStatus {
    /// Whether the customer has the money, or is about to.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Pending | Self::Paid)
    }
}

/// Why a payment provider did not give money back.
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
    /// The payment has been refunded in full, or less is left than was asked for.
    NothingLeft,
    /// The refund was called off at the provider.
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

/// A refund of an order, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefundState {
    /// How far it is.
    pub status: RefundStatus,
    /// Why the provider did not give the money back, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RefundFailureReason>,
    /// What it is.
    #[serde(flatten)]
    pub refund: Refund,
}

/// What is asked for when money is to be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// How much; all that is left, when neither this nor lines are given.
    pub amount: Option<Amount>,
    /// For which lines, with the tax on them; instead of an amount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// Why.
    pub reason: RefundReason,
    /// Why, in their own words.
    pub note: Option<Note>,
    /// Who bears it. Default: of an order that ended early the bearer of its end, else the restaurant.
    pub borne_by: Option<RefundBearer>,
}

impl RefundRequest {
    /// So much, or all that is left, for a reason; nothing else is said.
    pub const fn new(amount: Option<Amount>, reason: RefundReason) -> Self {
        Self { amount, lines: Vec::new(), reason, note: None, borne_by: None }
    }
}

impl RefundState {
    /// A refund that is this far, and has not failed.
    pub const fn new(status: RefundStatus, refund: Refund) -> Self {
        Self { status, failure: None, refund }
    }
}

impl Order {
    /// What has been collected and is neither given back nor about to be.
    pub fn refundable(&self) -> Amount {
        let settled = self.captured.minus(self.refunded).unwrap_or(Amount::ZERO);
        settled.minus(self.pending_refunds()).unwrap_or(Amount::ZERO)
    }

    /// What is about to be given back.
    pub fn pending_refunds(&self) -> Amount {
        let pending = self.refunds.iter().filter(|state| state.status == RefundStatus::Pending);
        Amount::sum(pending.map(|state| state.refund.amount)).unwrap_or(Amount::ZERO)
    }

    /// The refund with this number, while the payment provider has to do it yet.
    pub fn pending_refund(&self, number: RefundNumber) -> Option<&Refund> {
        let state = self.refunds.iter().find(|state| state.refund.number == number)?;
        let is_asked_for = state.status == RefundStatus::Pending && state.refund.external.is_none();
        is_asked_for.then_some(&state.refund)
    }

    /// What went back at the provider under this reference, without Dabba.
    pub fn external_refund(&self, reference: &PaymentReference) -> Option<&RefundState> {
        let is_it = |external: &External| external.reference == *reference;
        self.refunds.iter().find(|state| state.refund.external.as_ref().is_some_and(is_it))
    }

    /// The number of a refund that comes now.
    pub(super) fn next_refund_number(&self) -> RefundNumber {
        self.refunds.last().map_or(RefundNumber::MIN, |state| state.refund.number.saturating_add(1))
    }

    /// What is given back of certain lines, or about to be.
    fn refunds_of_lines(&self) -> impl Iterator<Item = &Refund> {
        let refunds = self.refunds.iter().filter(|state| state.status.counts());
        refunds.map(|state| &state.refund).filter(|refund| !refund.lines.is_empty())
    }

    /// How many of a line are given back, or about to be.
    fn refunded_quantity(&self, line: u32) -> u32 {
        let lines = self.refunds_of_lines().flat_map(|refund| &refund.lines).filter(|it| it.line == line);
        lines.fold(0, |sum, it| sum.saturating_add(it.quantity))
    }
}

/// Adds what is wrong with a request for a refund, whatever is left to refund.
pub(super) fn check_refund(order: &Order, request: &RefundRequest, actor: &Actor, problems: &mut Problems) {
    let RefundRequest { amount, lines, borne_by, .. } = request;
    let usual = order.usual_bearer();
    if let Some(borne_by) = borne_by
        && *borne_by != usual
        && matches!(actor, Actor::Restaurant { .. })
    {
        let text = format!(
            "must be {usual} or absent, not {borne_by}; only an admin names another bearer of this order"
        );
        problems.add("/borne_by", text);
    }
    if request.reason == RefundReason::OrderEnded && order.closure.is_none() {
        problems.add("/reason", "order_ended must not be given while the order has not ended early");
    }
    match amount {
        Some(_) if !lines.is_empty() => problems.add("/amount", "an amount or lines, not both"),
        Some(Amount::ZERO) => {
            problems.add("/amount", "must be at least 1; leave it out to refund all that is left");
        }
        _ => {}
    }
    let problems_before = problems.as_slice().len();
    // If nothing is refundable, the lines only have to be lines of the order.
    let is_spent = order.refundable().is_zero();
    let refunded = |line| if is_spent { 0 } else { order.refunded_quantity(line) };
    let mut quantities: Vec<u32> = (0..).take(order.details.lines.len()).map(refunded).collect();
    for (index, RefundLine { line, quantity }) in lines.iter().enumerate() {
        let place = usize::try_from(*line).unwrap_or(usize::MAX);
        let Some((ordered, refunded)) = order.details.lines.get(place).zip(quantities.get_mut(place)) else {
            let text = format!("the order has {} lines, counted from 0", order.details.lines.len());
            problems.add(format!("/lines/{index}/line"), text);
            continue;
        };
        let left = ordered.quantity.saturating_sub(*refunded);
        if *quantity == 0 || *quantity > left {
            let text = match left {
                0 => "nothing is left of this line".to_owned(),
                _ => format!("must be from 1 to {left}, which is what is left of this line"),
            };
            problems.add(format!("/lines/{index}/quantity"), text);
            continue;
        }
        *refunded += quantity;
    }
    let are_lines = !lines.is_empty() && problems.as_slice().len() == problems_before;
    if are_lines && !is_spent && price_of(order, lines).is_ok_and(Amount::is_zero) {
        problems.add("/lines", "cost nothing, so there is nothing to refund for them");
    }
}

/// What a request for a refund comes to, for this actor. Its content has been checked.
pub(super) fn refund_of(
    order: &Order,
    request: &RefundRequest,
    actor: &Actor,
    refund_limit: Amount,
) -> Result<Refund, Rejection> {
    let borne_by = request.borne_by.unwrap_or_else(|| order.usual_bearer());
    let refundable = order.refundable();
    let amount = match (request.amount, request.lines.as_slice()) {
        (Some(amount), _) => amount,
        (None, []) => refundable,
        (None, _) if refundable.is_zero() => return Err(Rejection::AmountNotRefundable { refundable }),
        (None, lines) => price_of(order, lines)?,
    };
    if amount.is_zero() || amount > refundable {
        return Err(Rejection::AmountNotRefundable { refundable });
    }
    if amount > refundable_by(order, actor, refund_limit) {
        return Err(Rejection::RefundLimit { limit: refund_limit });
    }
    Ok(Refund {
        number: order.next_refund_number(),
        amount,
        lines: request.lines.clone(),
        reason: request.reason,
        note: request.note.clone(),
        borne_by,
        external: None,
    })
}

/// How much of an order this actor may give back.
pub(super) fn refundable_by(order: &Order, actor: &Actor, refund_limit: Amount) -> Amount {
    let left = order.refundable();
    match actor {
        Actor::Restaurant { .. } => {
            let given = order.refunded.plus(order.pending_refunds()).unwrap_or(order.captured);
            left.min(refund_limit.minus(given).unwrap_or(Amount::ZERO))
        }
        _ => left,
    }
}

/// What these lines cost, with the tax on them. The tax is rounded over all that is given back by lines,
/// so that the parts never make more or less than the whole. What has been given back is therefore taken as
/// it was: priced anew, it would come out otherwise where a refund before it has failed since.
fn price_of(order: &Order, lines: &[RefundLine]) -> Result<Amount, Rejection> {
    let before: i128 = order.refunds_of_lines().map(|refund| i128::from(refund.amount.minor())).sum();
    let given_now = |line| {
        let quantities = lines.iter().filter(|it| it.line == line).map(|it| it.quantity);
        quantities.fold(order.refunded_quantity(line), u32::saturating_add)
    };
    let quantities: Vec<u32> = (0..).take(order.details.lines.len()).map(given_now).collect();
    let after = priced(&order.details.lines, &quantities);
    let amounts = &order.details.amounts;
    let price = after + share(amounts.tax, after, amounts.subtotal) - before;
    let price = i64::try_from(price).ok().and_then(|minor| Amount::from_minor(minor).ok());
    price.ok_or(Rejection::AmountNotRefundable { refundable: order.refundable() })
}

fn priced(lines: &[OrderLine], quantities: &[u32]) -> i128 {
    let prices = lines.iter().zip(quantities);
    prices.map(|(line, quantity)| i128::from(line.unit_price.minor()) * i128::from(*quantity)).sum()
}

/// The part of `amount` that belongs to `part` of `whole`, rounded half up to a whole minor unit.
fn share(amount: Amount, part: i128, whole: Amount) -> i128 {
    let (amount, whole) = (i128::from(amount.minor()), i128::from(whole.minor()));
    if whole == 0 { 0 } else { (2 * amount * part + whole) / (2 * whole) }
}
