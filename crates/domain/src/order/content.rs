//! Checks of a command's content that depend on neither the actor nor the order.
//!
//! [`decide`](super::decide()) checks this before it asks whether the command was carried out before and
//! whether it fits the order: what is wrong with a command's content is always reported as such.

use super::{
    CancelReason, Command, InterventionReason, Order, OrderStatus, RejectReason, Rejection,
    refund::check_refund,
};
use crate::{Actor, Problems, limits::MAX_PREPARATION_MINUTES, text::Note};

pub(super) fn check_content(order: &Order, command: &Command, actor: &Actor) -> Result<(), Rejection> {
    let mut problems = Problems::new();
    match command {
        Command::Accept { preparation_minutes } if *preparation_minutes > MAX_PREPARATION_MINUTES => {
            let text = format!("must be from 0 to {MAX_PREPARATION_MINUTES}, not {preparation_minutes}");
            problems.add("/preparation_minutes", text);
        }
        Command::Reject { reason, .. } => {
            let allowed = RejectReason::of(actor);
            if !allowed.contains(reason) {
                problems.add("/reason", not_theirs(reason.as_str(), allowed.iter().map(|it| it.as_str())));
            }
        }
        Command::Cancel { reason, .. } => {
            let allowed = CancelReason::of(actor);
            if !allowed.contains(reason) {
                problems.add("/reason", not_theirs(reason.as_str(), allowed.iter().map(|it| it.as_str())));
            }
        }
        Command::AssignCourier { courier_id, reason, note } => {
            let is_needed = order.status == OrderStatus::OutForDelivery;
            check_intervention(*reason, note.as_ref(), is_needed, actor, &mut problems);
            if let Actor::Courier { account_id } = actor
                && account_id != courier_id
            {
                problems.add("/courier_id", "a courier may assign an order to themselves only");
            }
        }
        Command::Deliver { reason, note } => {
            check_intervention(*reason, note.as_ref(), true, actor, &mut problems);
        }
        Command::Refund(request) => check_refund(order, request, actor, &mut problems),
        _ => {}
    }
    problems.into_result().map_err(Rejection::Invalid)
}

/// Admins say why they step in for a courier, and nobody else gives a reason.
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
        (_, Some(_)) => problems.add("/reason", "only an admin gives a reason; must be absent"),
    }
    if note.is_some() && reason.is_none() {
        problems.add("/note", "explains a reason; must be absent without one");
    }
}

fn not_theirs(reason: &str, allowed: impl Iterator<Item = &'static str>) -> String {
    let allowed: Vec<_> = allowed.collect();
    format!("{reason} is not a reason that the caller may give; must be one of {}", allowed.join(", "))
}
