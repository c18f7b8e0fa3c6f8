//! Requests for a refund, and the refund that follows from a valid request.

use serde::{Deserialize, Serialize};

use super::{Order, Refund, RefundBearer, RefundLine, RefundReason, Rejection};
use crate::{
    Actor, Amount,
    pricing::{OrderLine, TaxShare},
    share::portion,
    text::Note,
};

/// A request for a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// Amount. Default: all that is left, if no lines are given either.
    pub amount: Option<Amount>,
    /// Lines to refund, with the tax on them. Given instead of an amount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// Reason for the refund.
    pub reason: RefundReason,
    /// Explanation in the actor's own words.
    pub note: Option<Note>,
    /// Bearer. Default: if the order ended early, the bearer of its end, otherwise the restaurant.
    pub borne_by: Option<RefundBearer>,
}

impl RefundRequest {
    /// Returns a request for this amount, or for all that is left, with a reason and default values.
    pub const fn new(amount: Option<Amount>, reason: RefundReason) -> Self {
        Self { amount, lines: Vec::new(), reason, note: None, borne_by: None }
    }
}

/// Returns the refund that a request leads to, for this actor. The content of the request has been checked.
pub(super) fn refund_of(
    order: &Order,
    request: &RefundRequest,
    actor: &Actor,
    refund_limit: Amount,
) -> Result<Refund, Rejection> {
    let borne_by = request.borne_by.unwrap_or_else(|| order.default_bearer());
    let refundable = order.refundable();
    let LinesPrice { amount, taxes } = match (request.amount, request.lines.as_slice()) {
        (Some(amount), _) => LinesPrice { amount, taxes: Vec::new() },
        (None, []) => LinesPrice { amount: refundable, taxes: Vec::new() },
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
        taxes,
        reason: request.reason,
        note: request.note.clone(),
        borne_by,
        external: None,
    })
}

/// Returns the amount of an order that this actor may refund now.
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

/// The price of lines to refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinesPrice {
    /// Price of the lines, with the taxes that are added to it.
    pub(super) amount: Amount,
    /// Taxes on the lines, if the order states its taxes.
    pub(super) taxes: Vec<TaxShare>,
}

/// Returns the price of these lines, with the taxes on them. Each tax is rounded over all refunds of lines together, so
/// that the parts sum to exactly the whole, in any order. Earlier refunds count with the amounts that they had. Pricing
/// them again could give other amounts, if an even earlier refund has failed since.
pub(super) fn price_of(order: &Order, lines: &[RefundLine]) -> Result<LinesPrice, Rejection> {
    let given_now = |line| {
        let quantities = lines.iter().filter(|it| it.line == line).map(|it| it.quantity);
        quantities.fold(order.refunded_quantity(line), u32::saturating_add)
    };
    let quantities: Vec<u32> = (0..).take(order.details.lines.len()).map(given_now).collect();
    let price = if order.details.is_itemized() {
        itemized_price(order, lines, &quantities)
    } else {
        unitemized_price(order, &quantities)
    };
    price.ok_or(Rejection::AmountNotRefundable { refundable: order.refundable() })
}

/// Returns the price of lines with their own taxes. `quantities` are those of all refunds of lines after this one.
fn itemized_price(order: &Order, lines: &[RefundLine], quantities: &[u32]) -> Option<LinesPrice> {
    let details = &order.details;
    let mut taxes = Vec::new();
    let mut amount = lines.iter().try_fold(0_i64, |sum, it| {
        let line = details.lines.get(usize::try_from(it.line).ok()?)?;
        sum.checked_add(line.unit_price.times(it.quantity).ok()?.minor())
    })?;
    for tax in &details.taxes {
        let after: i64 = details
            .lines
            .iter()
            .zip(quantities)
            .map(|(line, quantity)| {
                portion(line.tax(&tax.id), i64::from(*quantity), i64::from(line.quantity))
            })
            .sum();
        let before =
            order.refunds_of_lines().flat_map(|refund| &refund.taxes).filter(|share| share.tax == tax.id);
        let before: i64 = before.map(|share| share.amount.minor()).sum();
        // After a refund has failed, the others may have returned more than the portion of their quantities.
        let share = (after - before).max(0);
        if !tax.included.is_included() {
            amount = amount.checked_add(share)?;
        }
        if share != 0 {
            taxes.push(TaxShare { tax: tax.id.clone(), amount: Amount::from_minor(share).ok()? });
        }
    }
    Some(LinesPrice { amount: Amount::from_minor(amount).ok()?, taxes })
}

/// Returns the price of lines of an order that states only the sum of its taxes.
fn unitemized_price(order: &Order, quantities: &[u32]) -> Option<LinesPrice> {
    let before: i128 = order.refunds_of_lines().map(|refund| i128::from(refund.amount.minor())).sum();
    let amounts = &order.details.amounts;
    let after = i64::try_from(priced(&order.details.lines, quantities)).ok()?;
    let tax = portion(amounts.tax.minor(), after, amounts.subtotal.minor());
    let price = i128::from(after) + i128::from(tax) - before;
    Some(LinesPrice { amount: Amount::from_minor(i64::try_from(price).ok()?).ok()?, taxes: Vec::new() })
}

fn priced(lines: &[OrderLine], quantities: &[u32]) -> i128 {
    let prices = lines.iter().zip(quantities);
    prices.map(|(line, quantity)| i128::from(line.unit_price.minor()) * i128::from(*quantity)).sum()
}
