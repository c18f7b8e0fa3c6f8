//! Detection of commands that were carried out before.
//!
//! A command that repeats an earlier one with the same content succeeds without an event. With different content it is
//! refused, unless the lifecycle table allows it again. A command counts as carried out while its effect holds: a
//! delivered order still counts as accepted, but an order that ended early does not.
//!
//! An [`Order`] does not contain the complete content of earlier commands. If the content is unknown, `decide` refuses
//! with [`Rejection::Already`](super::Rejection::Already), and [`is_repeat`] compares the content with the order's
//! history.

use jiff::SignedDuration;

use super::{Closure, Command, Event, Order, OrderStatus as S, RecordedEvent};
use crate::menu::UnavailableItem;

/// Result of the comparison of a command with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The command was not carried out, or its effect no longer holds.
    Not,
    /// The command was carried out with the same content.
    Same,
    /// The command was carried out with different content, as far as the order shows.
    Other,
}

/// Compares a command with what the order contains of an earlier one.
pub(super) fn repeat(order: &Order, command: &Command) -> Repeat {
    let same = |is_same| if is_same { Repeat::Same } else { Repeat::Other };
    let once = |has_been| if has_been { Repeat::Same } else { Repeat::Not };
    match command {
        Command::Confirm => once(has_reached(order, S::Confirmed)),
        Command::Accept { preparation_minutes } if has_reached(order, S::Preparing) => {
            // Until the next event, `updated_at` is the time of the acceptance.
            let preparation = SignedDuration::from_mins(i64::from(*preparation_minutes));
            same(order.ready_by.is_some() && order.updated_at.checked_add(preparation).ok() == order.ready_by)
        }
        Command::MarkReady => once(has_reached(order, S::ReadyForPickup)),
        Command::PickUp => once(has_reached(order, S::OutForDelivery)),
        // An admin always gives a reason, which the order does not contain, and no other actor gives one.
        Command::Deliver { reason, .. } if has_reached(order, S::Delivered) => same(reason.is_none()),
        Command::AssignCourier { courier_id, reason, .. }
            if order.courier_id == Some(*courier_id) && order.closure.is_none() =>
        {
            same(reason.is_none())
        }
        Command::Reject { reason, note, items } => match &order.closure {
            Some(Closure::Rejected { reason: why, note: words, items: gone }) => {
                same(reason == why && note == words && is_same_set(items, gone))
            }
            _ => Repeat::Not,
        },
        Command::Cancel { reason, note, items } => match &order.closure {
            Some(Closure::Cancelled { reason: why, note: words, items: gone, .. }) => {
                same(reason == why && note == words && is_same_set(items, gone))
            }
            _ => Repeat::Not,
        },
        Command::Expire => once(matches!(order.closure, Some(Closure::Expired { .. }))),
        // Every warning and every refund is a new one.
        Command::Accept { .. }
        | Command::Deliver { .. }
        | Command::AssignCourier { .. }
        | Command::Warn
        | Command::Refund(_) => Repeat::Not,
    }
}

/// Returns whether two lists without duplicates contain the same items with the same ends, in any order.
fn is_same_set(one: &[UnavailableItem], other: &[UnavailableItem]) -> bool {
    one.len() == other.len() && one.iter().all(|item| other.contains(item))
}

/// Returns whether the order has reached this status and did not end early.
fn has_reached(order: &Order, status: S) -> bool {
    let place = |status: S| S::ALL.iter().position(|it| *it == status);
    // A refunded order that did not end early was delivered before.
    order.closure.is_none() && place(order.status) >= place(status)
}

/// Returns whether the latest event of this kind of command in the history has the same content as the command.
pub fn is_repeat(command: &Command, history: &[RecordedEvent]) -> bool {
    let says_the_same = |recorded: &RecordedEvent| match (command, &recorded.event) {
        (Command::Accept { preparation_minutes: again }, Event::Accepted { preparation_minutes, .. }) => {
            Some(again == preparation_minutes)
        }
        (
            Command::Reject { reason: why, note: words, items: gone },
            Event::Rejected { reason, note, items, .. },
        ) => Some(why == reason && words == note && is_same_set(gone, items)),
        (
            Command::Cancel { reason: why, note: words, items: gone },
            Event::Cancelled { reason, note, items, .. },
        ) => Some(why == reason && words == note && is_same_set(gone, items)),
        (Command::Deliver { reason: why, note: words }, Event::Delivered { reason, note }) => {
            Some(why == reason && words == note)
        }
        (
            Command::AssignCourier { courier_id: whom, reason: why, note: words },
            Event::CourierAssigned { courier_id, reason, note },
        ) => Some(whom == courier_id && why == reason && words == note),
        // Events of other commands, and commands that an order alone shows to be repeated.
        (
            Command::Accept { .. }
            | Command::Reject { .. }
            | Command::Cancel { .. }
            | Command::Deliver { .. }
            | Command::AssignCourier { .. }
            | Command::Confirm
            | Command::MarkReady
            | Command::PickUp
            | Command::Warn
            | Command::Expire
            | Command::Refund(_),
            _,
        ) => None,
    };
    history.iter().rev().find_map(says_the_same).unwrap_or(false)
}
