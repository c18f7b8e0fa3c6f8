//! Requests for a refund, and the refund that follows from a valid request.

use serde::{Deserialize, Serialize};

use super::{Order, Refund, RefundBearer, RefundLine, RefundReason, Rejection};
use crate::{Actor, Amount, pricing::OrderLine, text::Note};

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
    let amount = match (request.amount, request.lines.as_slice()) {
        (Some(amount), _) => amount,
        (None, []) => refundable,
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

/// Returns the price of these lines, with the tax on them. The tax is rounded over all refunds of lines together, so
/// that the parts sum to exactly the whole. Earlier refunds count with the amounts that they had. Pricing them again
/// could give other amounts, if an even earlier refund has failed since.
pub(super) fn price_of(order: &Order, lines: &[RefundLine]) -> Result<Amount, Rejection> {
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

/// Returns the part of `amount` that belongs to `part` of `whole`, rounded half up to a whole minor unit.
fn share(amount: Amount, part: i128, whole: Amount) -> i128 {
    let (amount, whole) = (i128::from(amount.minor()), i128::from(whole.minor()));
    if whole == 0 { 0 } else { (2 * amount * part + whole) / (2 * whole) }
}
