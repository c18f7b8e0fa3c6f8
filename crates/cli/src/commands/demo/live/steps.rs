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
    TakeOver,
    PickUp,
    Deliver,
}

/// The person who sends the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    Customer,
    Kitchen,
    Courier,
    Admin,
}

/// The courier of an order, as the evening sees the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// The order has no courier yet.
    Nobody,
    /// A courier of this evening.
    Present,
    /// A courier of an evening that began earlier.
    Gone,
    /// A courier of another client.
    Other,
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
            Self::Assign | Self::TakeOver => "assign",
            Self::PickUp => "pick-up",
        }
    }

    /// Returns the person who sends the command.
    pub(super) const fn actor(self) -> Actor {
        match self {
            Self::Cancel => Actor::Customer,
            Self::Accept | Self::Reject | Self::Ready | Self::HandOver => Actor::Kitchen,
            Self::Assign | Self::PickUp | Self::Deliver => Actor::Courier,
            // Only an admin assigns another courier.
            Self::TakeOver => Actor::Admin,
        }
    }

    /// Returns the delay of the command in seconds, from the time at which it became possible.
    pub(super) const fn seconds(self) -> RangeInclusive<u64> {
        match self {
            Self::Cancel | Self::HandOver => 20..=90,
            Self::Accept | Self::Reject | Self::Assign | Self::TakeOver => 5..=30,
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

/// Returns the body of the admin's command that gives an order to another courier. After the pick-up, the server requires a
/// reason.
pub(super) fn taking_over(order: &Value, courier_id: &str) -> Value {
    let mut body = json!({"courier_id": courier_id});
    if order["status"] == "out_for_delivery" {
        body["reason"] = json!("courier_unreachable");
    }
    body
}

/// Returns the steps that are possible for an order now.
pub(super) fn possible(order: &Value, plan: Plan, with_kitchen: bool, carrier: Carrier) -> Vec<Step> {
    let is_delivery = order["fulfilment"]["type"] == "delivery";
    let is_free = is_delivery && carrier == Carrier::Nobody;
    let (is_ours, is_left) = (carrier == Carrier::Present, carrier == Carrier::Gone);
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
            add(Step::TakeOver, is_left);
        }
        "ready_for_pickup" => {
            add(Step::HandOver, with_kitchen && !is_delivery);
            add(Step::Assign, is_free);
            add(Step::TakeOver, is_left);
            add(Step::PickUp, is_delivery && is_ours);
        }
        "out_for_delivery" => {
            add(Step::TakeOver, is_left);
            add(Step::Deliver, is_ours);
        }
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
        use Carrier::{Gone, Nobody, Other, Present};
        use Step::{Accept, Assign, Cancel, Deliver, HandOver, PickUp, Ready, Reject, TakeOver};
        let plain = Plan { cancels: false, rejects: false };
        let impatient = Plan { cancels: true, ..plain };
        let busy = Plan { rejects: true, ..plain };
        for (kind, status, carrier, plan, without, with) in [
            ("delivery", "confirmed", Nobody, plain, &[][..], &[Accept][..]),
            ("delivery", "confirmed", Nobody, impatient, &[Cancel], &[Cancel, Accept]),
            ("collection", "confirmed", Nobody, busy, &[], &[Reject]),
            ("delivery", "preparing", Nobody, impatient, &[Assign], &[Ready, Assign]),
            ("delivery", "preparing", Present, plain, &[], &[Ready]),
            ("delivery", "preparing", Gone, plain, &[TakeOver], &[Ready, TakeOver]),
            ("collection", "preparing", Nobody, plain, &[], &[Ready]),
            ("delivery", "ready_for_pickup", Nobody, plain, &[Assign], &[Assign]),
            ("delivery", "ready_for_pickup", Present, plain, &[PickUp], &[PickUp]),
            ("delivery", "ready_for_pickup", Gone, plain, &[TakeOver], &[TakeOver]),
            ("delivery", "ready_for_pickup", Other, plain, &[], &[]),
            ("collection", "ready_for_pickup", Nobody, plain, &[], &[HandOver]),
            ("delivery", "out_for_delivery", Present, plain, &[Deliver], &[Deliver]),
            ("delivery", "out_for_delivery", Gone, plain, &[TakeOver], &[TakeOver]),
            ("delivery", "out_for_delivery", Other, plain, &[], &[]),
            ("delivery", "delivered", Gone, plain, &[], &[]),
            ("delivery", "cancelled", Nobody, impatient, &[], &[]),
        ] {
            let order = json!({"status": status, "fulfilment": {"type": kind}});
            for (with_kitchen, expected) in [(false, without), (true, with)] {
                let possible = possible(&order, plan, with_kitchen, carrier);
                assert_eq!(possible, expected, "{order} {carrier:?} {with_kitchen}");
            }
        }
    }

    #[test]
    fn an_order_on_its_way_is_taken_over_with_a_reason() {
        let body = |status: &str| taking_over(&json!({"status": status}), "bo");
        assert_eq!(body("ready_for_pickup"), json!({"courier_id": "bo"}));
        assert_eq!(body("out_for_delivery"), json!({"courier_id": "bo", "reason": "courier_unreachable"}));
    }
}
