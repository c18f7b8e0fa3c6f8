//! What commands may say, whoever gives them and whatever the order is like.
//!
//! [`decide`](super::decide()) checks this before it asks whether the command was carried out before and
//! whether it fits the order: what is wrong with a command's content is always reported as such.

use super::{CancelReason, Command, RejectReason, Rejection};
use crate::{Actor, Problems, limits::MAX_PREPARATION_MINUTES};

pub(super) fn check_content(command: &Command, actor: &Actor) -> Result<(), Rejection> {
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
        Command::AssignCourier { courier_id } => {
            if let Actor::Courier { account_id } = actor
                && account_id != courier_id
            {
                problems.add("/courier_id", "a courier may assign an order to themselves only");
            }
        }
        _ => {}
    }
    problems.into_result().map_err(Rejection::Invalid)
}

fn not_theirs(reason: &str, allowed: impl Iterator<Item = &'static str>) -> String {
    let allowed: Vec<_> = allowed.collect();
    format!("{reason} is not a reason that the caller may give; must be one of {}", allowed.join(", "))
}
