//! Histories of orders: their stored form, and properties of any sequence of commands.

use crate::{
    common::{
        COURIER, CUSTOMER, account, amount, courier, customer, delivery, now, order, placed, settings, staff,
    },
    moves::{accept, act, any_command, everyone},
};
use dabba_domain::{
    Actor, Amount, Via,
    order::{
        CancelReason, Command, Decision, Event, Fulfilment, OrderStatus, OrderSteps, OrderWithSteps,
        RecordedEvent, RefundNumber, RefundReason, RefundRequest, UnknownEvent, decide, fold,
    },
};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

/// Proves that events from before admins could intervene can be read, and keep their stored form.
#[test]
fn events_without_a_reason_keep_their_stored_form() {
    let old = json!({"type": "courier_assigned", "data": {"courier_id": account(COURIER)}});
    let event = Event::assigned(account(COURIER));
    assert_eq!(serde_json::from_value::<Event>(old.clone()).unwrap(), event);
    assert_eq!(serde_json::to_value(&event).unwrap(), old);
    let command = json!({"command": "deliver"});
    assert_eq!(
        serde_json::to_value(Command::deliver()).unwrap(),
        command,
        "the fingerprints of idempotency keys do not change"
    );
    let command = json!({"command": "assign_courier", "courier_id": account(COURIER)});
    assert_eq!(serde_json::to_value(Command::assign(account(COURIER))).unwrap(), command);
}

/// Proves that exactly the named events are known, and that an event of another name keeps its stored form.
#[test]
fn events_are_known_by_their_names() {
    for name in Event::NAMES {
        assert!(Event::is_known(name), "{name}");
    }
    for name in ["", "Placed", "held_back", "unknown"] {
        assert!(!Event::is_known(name), "{name}");
    }
    let unknown = UnknownEvent { name: "held_back".into(), data: Some(json!({"by": "police"})) };
    let stored = json!({"type": "held_back", "data": {"by": "police"}});
    assert_eq!(serde_json::to_value(Event::Unknown(unknown)).unwrap(), stored);
}

#[test]
fn time_never_runs_backwards_within_an_order() {
    let confirmed = order(delivery());
    let earlier = now() - SignedDuration::from_secs(60);
    let accepted = decide(&confirmed, &accept(), &staff(), &settings(), earlier).unwrap();
    assert_eq!(accepted.events[0].at, confirmed.updated_at);
}

#[test]
fn an_inconsistent_history_is_refused() {
    let mut history = placed(delivery()).events;
    assert!(fold(&history).is_ok());
    assert!(fold(&history[1..]).is_err(), "without its beginning");
    history[1].version = 3;
    assert!(fold(&history).is_err(), "with a gap");
    let twice = [history[0].clone(), history[0].clone()];
    assert!(fold(&twice).is_err(), "placed twice");
}

/// The legal moves of `docs/reference/lifecycle.md`, written independently, so that the table is not compared with itself.
fn is_a_legal_move(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::{
        Cancelled, Confirmed, Created, Delivered, OutForDelivery, Preparing, ReadyForPickup, Refunded,
    };
    matches!(
        (from, to),
        (Created, Confirmed | Cancelled)
            | (Confirmed, Preparing | Cancelled)
            | (Preparing, ReadyForPickup | Cancelled)
            | (ReadyForPickup, OutForDelivery | Delivered | Cancelled)
            | (OutForDelivery, Delivered | Cancelled)
            | (Delivered | Cancelled, Refunded)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Proves for any commands in any order: I4 (the history folds to the state and is numbered without gaps), I5 (only
    /// legal moves) and I6 (amounts add up, and money is never refunded twice).
    #[test]
    fn any_sequence_of_commands_keeps_the_invariants(
        collects: bool,
        steps in proptest::collection::vec((any_command(), 0_usize..8, 0_i64..600), 1..40),
    ) {
        let fulfilment = if collects { Fulfilment::Collection } else { delivery() };
        let Decision { mut order, events: mut history, .. } = placed(fulfilment);
        let mut time = now();
        for (command, actor, seconds) in steps {
            time += SignedDuration::from_secs(seconds);
            let (_, actor) = everyone()[actor];
            let before = order.clone();
            let Ok(decision) = decide(&order, &command, &actor, &settings(), time) else { continue };
            history.extend(decision.events.iter().cloned());
            order = decision.order;

            prop_assert_eq!(fold(&history).unwrap(), Some(order.clone()));
            let OrderWithSteps { order: followed, steps } = OrderWithSteps::of(&history).unwrap().unwrap();
            prop_assert_eq!(&followed, &order);
            prop_assert_eq!(steps.ended_at.is_some(), order.status.is_terminal());
            prop_assert_eq!(steps.accepted_at.is_some(), order.ready_by.is_some());
            prop_assert!(steps.delivered_at.is_none_or(|at| steps.ended_at == Some(at)));
            for (index, recorded) in history.iter().enumerate() {
                prop_assert_eq!(usize::try_from(recorded.version).unwrap(), index + 1);
            }
            if order.status != before.status {
                prop_assert!(is_a_legal_move(before.status, order.status), "{} to {}", before.status, order.status);
            }
            if decision.events.is_empty() {
                prop_assert_eq!(&order, &before);
            }
            prop_assert_eq!(&order.details, &before.details);
            prop_assert_eq!(order.details.amounts.sum().unwrap(), order.details.amounts.total);
            prop_assert!(order.captured <= order.details.amounts.total);
            prop_assert!(order.refunded <= order.captured);
            let refunds = history.iter().filter_map(|recorded| match &recorded.event {
                Event::Refunded(refund) => Some(refund.amount),
                _ => None,
            });
            prop_assert_eq!(Amount::sum(refunds).unwrap(), order.refunded);
            prop_assert!(before.is_visible_to(&actor) || order.is_visible_to(&actor));
        }
    }

    /// Proves that events survive their stored JSON form.
    #[test]
    fn events_survive_storage(steps in proptest::collection::vec((any_command(), 0_usize..5), 1..20)) {
        let Decision { mut order, events: mut history, .. } = placed(delivery());
        for (command, actor) in steps {
            if let Ok(decision) = act(&order, &everyone()[actor].1, &command) {
                history.extend(decision.events);
                order = decision.order;
            }
        }
        let stored = serde_json::to_string(&history).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<RecordedEvent>>(&stored).unwrap(), history);
    }
}

/// Proves that the times of the steps are those of their events, and that nothing after the end of the order changes them.
#[test]
fn the_times_of_steps_are_those_of_their_events() {
    let Decision { mut order, events: mut history, .. } = placed(delivery());
    let mut time = now();
    let admin = crate::common::admin();
    let refund = || Command::Refund(RefundRequest::new(Some(amount(100)), RefundReason::Late));
    let steps = [
        (accept(), staff()),
        (Command::MarkReady, staff()),
        (Command::assign(account(COURIER)), courier()),
        (Command::PickUp, courier()),
        (Command::Deliver { reason: None, note: None }, courier()),
        (refund(), admin),
        (refund(), admin),
    ];
    for (command, actor) in steps {
        time += SignedDuration::from_secs(60);
        let decision = decide(&order, &command, &actor, &settings(), time).unwrap();
        history.extend(decision.events);
        order = decision.order;
    }
    let at = |minutes: i64| Some(now() + SignedDuration::from_mins(minutes));
    let expected = OrderSteps {
        confirmed_at: at(0),
        accepted_at: at(1),
        ready_at: at(2),
        picked_up_at: at(4),
        delivered_at: at(5),
        ended_at: at(5),
    };
    assert_eq!(OrderWithSteps::of(&history).unwrap(), Some(OrderWithSteps { order, steps: expected }));
    assert_eq!(OrderWithSteps::of(&[]).unwrap(), None);
}

/// Proves that a program that does not know the way of a customer's command computes the same order from the events.
#[test]
fn the_way_of_a_command_does_not_change_the_state() {
    let Decision { order, events: mut history, .. } = placed(delivery());
    let by_link = Actor::Customer { account_id: account(CUSTOMER), via: Some(Via::Link) };
    let cancel = Command::cancel(CancelReason::ChangedMind);
    let ended = decide(&order, &cancel, &by_link, &settings(), now()).unwrap();
    let by_account = decide(&order, &cancel, &customer(), &settings(), now()).unwrap();
    assert_eq!(ended.order, by_account.order);
    history.extend(ended.events);
    let mut stored = serde_json::to_value(&history).unwrap();
    assert_eq!(stored[2]["actor"]["via"], "link");
    for event in stored.as_array_mut().unwrap() {
        event["actor"].as_object_mut().unwrap().remove("via");
    }
    let known: Vec<RecordedEvent> = serde_json::from_value(stored).unwrap();
    assert_eq!(fold(&known).unwrap(), Some(ended.order));
}

/// Proves that a history begins with a placement at version 1, has no second one, and has no event about a refund that was
/// never requested. The error names the version after which the event does not fit.
#[test]
fn an_event_that_does_not_fit_is_refused() {
    let placed = placed(delivery()).events;
    let first = &placed[0];
    let later = RecordedEvent { version: 2, ..first.clone() };
    assert_eq!(fold(std::slice::from_ref(&later)).unwrap_err().after, 0);
    assert_eq!(fold([first, &later]).unwrap_err().after, 1);
    let event = Event::RefundFailed { number: RefundNumber::MIN, reason: None };
    let version = placed.last().unwrap().version + 1;
    let failed = RecordedEvent { version, event, ..first.clone() };
    let error = fold(placed.iter().chain([&failed])).unwrap_err();
    assert_eq!((error.version, error.after), (version, version - 1));
}
