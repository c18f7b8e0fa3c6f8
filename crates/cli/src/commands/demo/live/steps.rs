//! Which step is next for an order, and after which time. The plan follows from the order as the server shows it, so it
//! is right after any interruption and beside any other client.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

/// A command that a person of the evening sends for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Cancel,
    Accept,
    Reject,
    Ready,
    HandOver,
    Assign,
    PickUp,
    Deliver,
}

/// The person who sends the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    Customer,
    Kitchen,
    Courier,
}

/// Decisions about an order, made when it is first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the customer cancels the order if the kitchen lets them wait.
    pub(super) cancels: bool,
    /// Whether the simulated kitchen rejects the order.
    pub(super) rejects: bool,
}

impl Step {
    /// Returns the last segment of the command's path.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Ready => "ready",
            Self::HandOver | Self::Deliver => "deliver",
            Self::Assign => "assign",
            Self::PickUp => "pick-up",
        }
    }

    /// Returns the person who sends the command.
    pub(super) const fn actor(self) -> Actor {
        match self {
            Self::Cancel => Actor::Customer,
            Self::Accept | Self::Reject | Self::Ready | Self::HandOver => Actor::Kitchen,
            Self::Assign | Self::PickUp | Self::Deliver => Actor::Courier,
        }
    }

    /// Returns the delay of the command in seconds, from the time at which it became possible.
    pub(super) const fn seconds(self) -> RangeInclusive<u64> {
        match self {
            Self::Cancel | Self::HandOver => 20..=90,
            Self::Accept | Self::Reject | Self::Assign => 5..=30,
            Self::Ready => 40..=150,
            Self::PickUp => 10..=45,
            Self::Deliver => 60..=180,
        }
    }

    /// Returns the body of the command. `minutes` is the preparation time that the kitchen announces.
    pub(super) fn body(self, minutes: u64) -> Option<Value> {
        match self {
            Self::Cancel => Some(json!({"reason": "changed_mind"})),
            Self::Accept => Some(json!({"preparation_minutes": minutes})),
            Self::Reject => Some(json!({"reason": "too_busy"})),
            _ => None,
        }
    }
}

/// Returns the steps that are possible for an order now. `is_ours` states whether the order's courier belongs to the
/// evening.
pub(super) fn possible(order: &Value, plan: Plan, with_kitchen: bool, is_ours: bool) -> Vec<Step> {
    let is_delivery = order["fulfilment"]["type"] == "delivery";
    let is_free = is_delivery && order["courier_id"].is_null();
    let (status, mut steps) = (order["status"].as_str().unwrap_or_default(), Vec::new());
    let mut add = |step, is_possible: bool| {
        if is_possible {
            steps.push(step);
        }
    };
    match status {
        "confirmed" => {
            add(Step::Cancel, plan.cancels);
            add(Step::Reject, with_kitchen && plan.rejects);
            add(Step::Accept, with_kitchen && !plan.rejects);
        }
        "preparing" => {
            add(Step::Ready, with_kitchen);
            add(Step::Assign, is_free);
        }
        "ready_for_pickup" => {
            add(Step::HandOver, with_kitchen && !is_delivery);
            add(Step::Assign, is_free);
            add(Step::PickUp, is_delivery && is_ours);
        }
        "out_for_delivery" => add(Step::Deliver, is_ours),
        _ => {}
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves which steps follow from the status, the courier and the kind of the order, with and without the kitchen.
    #[test]
    fn steps_follow_from_the_order() {
        use Step::{Accept, Assign, Cancel, Deliver, HandOver, PickUp, Ready, Reject};
        let plain = Plan { cancels: false, rejects: false };
        let impatient = Plan { cancels: true, ..plain };
        let busy = Plan { rejects: true, ..plain };
        // Kind, status, whether a courier has the order, whether that courier is one of the evening.
        for (kind, status, has_courier, is_ours, plan, without, with) in [
            ("delivery", "confirmed", false, false, plain, &[][..], &[Accept][..]),
            ("delivery", "confirmed", false, false, impatient, &[Cancel], &[Cancel, Accept]),
            ("collection", "confirmed", false, false, busy, &[], &[Reject]),
            ("delivery", "preparing", false, false, impatient, &[Assign], &[Ready, Assign]),
            ("delivery", "preparing", true, true, plain, &[], &[Ready]),
            ("collection", "preparing", false, false, plain, &[], &[Ready]),
            ("delivery", "ready_for_pickup", false, false, plain, &[Assign], &[Assign]),
            ("delivery", "ready_for_pickup", true, true, plain, &[PickUp], &[PickUp]),
            ("delivery", "ready_for_pickup", true, false, plain, &[], &[]),
            ("collection", "ready_for_pickup", false, false, plain, &[], &[HandOver]),
            ("delivery", "out_for_delivery", true, true, plain, &[Deliver], &[Deliver]),
            ("delivery", "out_for_delivery", true, false, plain, &[], &[]),
            ("delivery", "delivered", true, true, plain, &[], &[]),
            ("delivery", "cancelled", false, false, impatient, &[], &[]),
        ] {
            let mut order = json!({"status": status, "fulfilment": {"type": kind}});
            if has_courier {
                order["courier_id"] = json!("a courier");
            }
            for (with_kitchen, expected) in [(false, without), (true, with)] {
                assert_eq!(possible(&order, plan, with_kitchen, is_ours), expected, "{order} {with_kitchen}");
            }
        }
    }
}
