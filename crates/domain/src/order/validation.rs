//! Validation of requests and of the content of commands, which lists every problem with its place.
//!
//! The content of a command is checked independently of the order's status as far as possible.
//! [`decide`](super::decide()) checks the content first, and only then whether the command repeats an earlier one and
//! whether it fits the order. So a problem of the content is reported as such in every status.

use std::collections::HashSet;

use super::{
    CancelReason, Closure, Command, InterventionReason, Order, OrderRequest, OrderStatus, PaymentMethod,
    PaymentToken, RefundLine, RefundReason, RefundRequest, RejectReason, Rejection, refund_request::price_of,
};
use crate::{
    Actor, Amount, Problems, Timestamp,
    limits::MAX_PREPARATION_MINUTES,
    menu::{UnavailableItem, check_end},
    problem::whole_number,
    text::{Note, Slug},
};

/// Maximum number of the order's items that a message lists.
const MAX_ITEMS_LISTED: usize = 20;

impl OrderRequest {
    /// Returns the token of a payment by card; `None` for a payment in cash.
    pub fn card(&self) -> Result<Option<&PaymentToken>, Problems> {
        match (self.payment_method, &self.payment_token) {
            (PaymentMethod::Cash, None) => Ok(None),
            (PaymentMethod::Card, Some(token)) => Ok(Some(token)),
            (PaymentMethod::Cash, Some(_)) => {
                Err(Problems::one("/payment_token", "must be absent for a payment in cash"))
            }
            (PaymentMethod::Card, None) => {
                Err(Problems::one("/payment_token", "is required for a payment by card"))
            }
        }
    }
}

/// Checks the content of a command, as far as it does not depend on the order's status.
pub(super) fn check_content(
    order: &Order,
    command: &Command,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), Rejection> {
    let mut problems = Problems::new();
    match command {
        Command::Accept { preparation_minutes } if *preparation_minutes > MAX_PREPARATION_MINUTES => {
            let allowed = whole_number(0, MAX_PREPARATION_MINUTES);
            let text = format!("must be {allowed}, not {preparation_minutes}");
            problems.add("/preparation_minutes", text);
        }
        Command::Reject { reason, items, .. } => {
            let allowed = RejectReason::of(actor).iter().map(|it| it.as_str()).collect();
            let reason = Reason { name: reason.as_str(), names_items: reason.names_items(), allowed };
            check_early_end(order, &reason, items, now, &mut problems);
        }
        Command::Cancel { reason, items, .. } => {
            let allowed = CancelReason::of(actor).iter().map(|it| it.as_str()).collect();
            let reason = Reason { name: reason.as_str(), names_items: reason.names_items(), allowed };
            check_early_end(order, &reason, items, now, &mut problems);
        }
        Command::AssignCourier { courier_id, reason, note } => {
            let is_needed = order.status == OrderStatus::OutForDelivery;
            check_intervention(*reason, note.as_ref(), is_needed, actor, &mut problems);
            if let Actor::Courier { account_id } = actor
                && account_id != courier_id
            {
                problems.add(
                    "/courier_id",
                    "must be the caller's own account; a courier may assign an order only to themselves",
                );
            }
        }
        Command::Deliver { reason, note } => {
            check_intervention(*reason, note.as_ref(), true, actor, &mut problems);
        }
        Command::Refund(request) => check_refund(order, request, actor, &mut problems),
        Command::Accept { .. }
        | Command::Confirm
        | Command::MarkReady
        | Command::PickUp
        | Command::Warn
        | Command::Expire => {}
    }
    problems.into_result().map_err(Rejection::Invalid)
}

/// Checks that an admin who intervenes for a courier gives a reason, and that no other actor gives one.
fn check_intervention(
    reason: Option<InterventionReason>,
    note: Option<&Note>,
    is_needed: bool,
    actor: &Actor,
    problems: &mut Problems,
) {
    match (actor, reason) {
        (Actor::Admin { .. }, None) if is_needed => {
            let names: Vec<_> = InterventionReason::ALL.iter().map(|reason| reason.as_str()).collect();
            problems
                .add("/reason", format!("is required from an admin; must be one of {}", names.join(", ")));
        }
        (Actor::Admin { .. }, _) | (_, None) => {}
        (_, Some(_)) => problems.add("/reason", "must be absent; only an admin gives a reason"),
    }
    if note.is_some() && reason.is_none() {
        problems.add("/note", "must be absent without a reason");
    }
}

/// The reason for an early end of an order.
struct Reason {
    name: &'static str,
    /// Whether the reason requires the list of unavailable items.
    names_items: bool,
    /// Reasons that the actor may give.
    allowed: Vec<&'static str>,
}

/// Checks that the actor may give the reason, and that items are named exactly if the reason requires them.
fn check_early_end(
    order: &Order,
    reason: &Reason,
    items: &[UnavailableItem],
    now: Timestamp,
    problems: &mut Problems,
) {
    let Reason { name, names_items, allowed } = reason;
    let is_allowed = allowed.contains(name);
    if !is_allowed {
        let allowed = allowed.join(", ");
        let text = format!("{name} is not allowed for the caller; must be one of {allowed}");
        problems.add("/reason", text);
    }
    match (names_items, items) {
        (false, []) => {}
        (false, _) => {
            problems.add("/items", format!("only item_unavailable names items; must be absent with {name}"));
        }
        // If the actor may not give the reason, missing items are not reported as a second problem.
        (true, []) if !is_allowed => {}
        (true, []) => {
            let text = format!("is required with {name}; must name at least one of {}", items_of(order));
            problems.add("/items", text);
        }
        (true, items) => check_items(order, items, now, problems),
    }
}

/// Checks the items that an early end names: each must be in the order, occur once, and end in the future, if it ends.
fn check_items(order: &Order, items: &[UnavailableItem], now: Timestamp, problems: &mut Problems) {
    let ordered: HashSet<&Slug> = order.details.lines.iter().map(|line| &line.item).collect();
    let recorded = order.closure.as_ref().map_or(&[][..], Closure::items);
    let mut named = HashSet::new();
    for (index, unavailable) in items.iter().enumerate() {
        let UnavailableItem { item, until } = unavailable;
        if !ordered.contains(item) {
            let text = format!("{item} is not in the order; must be one of {}", items_of(order));
            problems.add(format!("/items/{index}/item"), text);
        } else if !named.insert(item) {
            problems.add(format!("/items/{index}/item"), format!("{item} must not be named twice"));
        }
        // A repeated command may state an end that has passed in the meantime.
        if !recorded.contains(unavailable) {
            problems.check(format!("/items/{index}/until"), check_end(*until, now));
        }
    }
}

/// Returns the order's items for a message, each once.
fn items_of(order: &Order) -> String {
    let mut items: Vec<&str> = Vec::new();
    for line in &order.details.lines {
        if !items.contains(&line.item.as_str()) {
            items.push(line.item.as_str());
        }
    }
    let listed = items.iter().take(MAX_ITEMS_LISTED).copied().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_ITEMS_LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// Adds the problems of a refund request that do not depend on the amount that is left to refund.
fn check_refund(order: &Order, request: &RefundRequest, actor: &Actor, problems: &mut Problems) {
    let RefundRequest { amount, lines, borne_by, .. } = request;
    let usual = order.default_bearer();
    if let Some(borne_by) = borne_by
        && *borne_by != usual
        && matches!(actor, Actor::Restaurant { .. })
    {
        let text = format!(
            "must be {usual} or absent, not {borne_by}; only an admin may name another bearer for this order"
        );
        problems.add("/borne_by", text);
    }
    if request.reason == RefundReason::OrderEnded && order.closure.is_none() {
        problems.add("/reason", "order_ended must not be given while the order has not ended early");
    }
    match amount {
        Some(_) if !lines.is_empty() => problems.add("/amount", "must be absent if lines are given"),
        Some(Amount::ZERO) => {
            problems.add("/amount", "must be at least 1; omit it to refund all that is left");
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
    if are_lines && !is_spent && price_of(order, lines).is_ok_and(|price| price.amount.is_zero()) {
        problems.add("/lines", "have a price of zero, so nothing can be refunded for them");
    }
}
