//! Deadlines: who is warned before them, and what happens after them.

use dabba_domain::{
    Actor, Timestamp,
    limits::MAX_PREPARATION_MINUTES,
    order::{
        Closure, Command, CommandKind, Decision, Event, ExpiryReason, Fulfilment, Order, OrderStatus,
        PaymentReport, PaymentStatus, Rejection, TaskSpec, allowed_actions, decide, place, settle,
    },
    restaurant::RestaurantSettings,
    task::Task,
};
use jiff::SignedDuration;

use crate::{
    common::{
        PAYMENT_TIME, admin, amount, customer, delivery, details, now, order, placed, placed_by_card,
        settings, staff,
    },
    moves::{accept, act, cancel, must, reject},
    payments::{authorized, captured, orders_by_card, settled},
};

fn with_time_to_accept(seconds: u32) -> RestaurantSettings {
    RestaurantSettings { acceptance_deadline_seconds: seconds, ..settings() }
}

fn expire(order: &Order, at: Timestamp) -> Result<Decision, Rejection> {
    decide(order, &Command::Expire, &Actor::System, &settings(), at)
}

/// Proves that the warning comes two minutes before the deadline, or after half of the time if the time is short.
#[test]
fn the_warning_precedes_the_acceptance_deadline() {
    for (time_to_accept, warned_after) in
        [(30, 15), (31, 15), (60, 30), (239, 119), (240, 120), (241, 121), (480, 360), (86_400, 86_280)]
    {
        let settings = with_time_to_accept(time_to_accept);
        let confirmed = place(order(delivery()).id, details(delivery()), None, &settings, now()).unwrap();
        let [TaskSpec { task: Task::WarnUnaccepted, run_at }] = confirmed.tasks[..] else { panic!() };
        assert_eq!(run_at.duration_since(now()).as_secs(), warned_after, "{time_to_accept}");
        assert!(run_at < confirmed.order.deadline().unwrap());
    }
}

/// Proves that the time of the warning is known exactly while the order waits for the restaurant.
#[test]
fn only_an_order_that_waits_for_the_restaurant_has_a_warning_time() {
    let confirmed = order(delivery());
    let expected = confirmed.acceptance_deadline.unwrap() - SignedDuration::from_mins(2);
    assert_eq!(confirmed.warning_time(&settings()), Some(expected));
    for other in [placed_by_card(delivery()).order, must(&confirmed, &staff(), &accept())] {
        assert_eq!(other.warning_time(&settings()), None, "{}", other.status);
    }
}

/// Proves that the restaurant's time to accept an order by card begins when the payment is certain.
#[test]
fn the_time_to_accept_begins_with_the_confirmation() {
    let created = placed_by_card(delivery()).order;
    let later = now() + SignedDuration::from_mins(3);
    let confirmed = settle(&created, &authorized(), &settings(), later).unwrap();
    let deadline = later + SignedDuration::from_mins(8);
    assert_eq!(confirmed.order.deadline(), Some(deadline));
    let warning = TaskSpec { task: Task::WarnUnaccepted, run_at: deadline - SignedDuration::from_mins(2) };
    assert_eq!(confirmed.tasks, [warning]);
}

#[test]
fn the_warning_is_recorded_and_followed_by_the_expiry() {
    let confirmed = order(delivery());
    let deadline = confirmed.acceptance_deadline.unwrap();
    let at = now() + SignedDuration::from_mins(6);
    let warned = decide(&confirmed, &Command::Warn, &Actor::System, &settings(), at).unwrap();
    assert_eq!(warned.events.len(), 1);
    assert_eq!(warned.events[0].event, Event::AcceptanceDue { acceptance_deadline: deadline });
    assert_eq!(warned.tasks, [TaskSpec { task: Task::ExpireUnaccepted, run_at: deadline }]);
    assert_eq!(warned.order.status, OrderStatus::Confirmed, "the order can still be accepted");
    assert_eq!(warned.order.deadline(), Some(deadline));
    let accepted = must(&warned.order, &staff(), &accept());
    for order in [&accepted, &must(&confirmed, &customer(), &cancel()), &placed_by_card(delivery()).order] {
        let late = decide(order, &Command::Warn, &Actor::System, &settings(), at);
        assert!(matches!(late, Err(Rejection::IllegalMove { .. })), "{}", order.status);
    }
    let by_admin = decide(&confirmed, &Command::Warn, &admin(), &settings(), at);
    assert_eq!(by_admin, Err(Rejection::RoleNotAllowed { command: CommandKind::Warn }));
}

#[test]
fn an_order_that_is_not_paid_in_time_expires() {
    let Decision { order: created, tasks, .. } = placed_by_card(Fulfilment::Collection);
    let deadline = now() + PAYMENT_TIME;
    assert_eq!(created.deadline(), Some(deadline));
    assert_eq!(tasks[1], TaskSpec { task: Task::ExpireUnpaid, run_at: deadline });
    let too_early = expire(&created, deadline - SignedDuration::from_nanos(1));
    assert!(matches!(too_early, Err(Rejection::IllegalMove { .. })));
    let expired = expire(&created, deadline).unwrap();
    let order = &expired.order;
    assert_eq!(order.closure, Some(Closure::Expired { waited_for: ExpiryReason::Payment }));
    assert_eq!((order.status, order.payment_status), (OrderStatus::Cancelled, PaymentStatus::Pending));
    assert_eq!(expired.stock_returned, order.details.stock_drawn);
    let returned = expired.events[0].event.returned_stock(&order.details.stock_drawn);
    assert_eq!(returned.cloned().collect::<Vec<_>>(), order.details.stock_drawn);
    assert!(expired.tasks.is_empty(), "the worker that calls the provider sees that the order has ended");
    assert!(expire(order, deadline).unwrap().events.is_empty(), "a repeated expiry changes nothing");
    let never = settled(order, &PaymentReport::NeverRequested);
    assert_eq!((never.status, never.payment_status), (OrderStatus::Cancelled, PaymentStatus::Voided));
}

/// Proves that the event recorded first counts: a payment after its deadline, but before the expiry, confirms the
/// order.
#[test]
fn a_late_payment_counts_until_the_order_expires() {
    let created = placed_by_card(delivery()).order;
    let late = now() + PAYMENT_TIME + SignedDuration::from_secs(1);
    let confirmed = settle(&created, &authorized(), &settings(), late).unwrap().order;
    assert_eq!(confirmed.status, OrderStatus::Confirmed);
    assert!(expire(&confirmed, late).is_err(), "the restaurant's time to accept has begun");
}

#[test]
fn the_payment_of_an_unaccepted_order_is_voided_or_refunded() {
    let confirmed = settled(&placed_by_card(delivery()).order, &authorized());
    let deadline = confirmed.deadline().unwrap();
    let authorized_order = expire(&confirmed, deadline).unwrap();
    assert_eq!(authorized_order.tasks, [TaskSpec { task: Task::VoidPayment, run_at: deadline }]);
    let captured_order = expire(&settled(&confirmed, &captured()), deadline).unwrap();
    assert_eq!(captured_order.order.pending_refunds(), amount(1_560));
    assert_eq!(
        captured_order.order.closure,
        Some(Closure::Expired { waited_for: ExpiryReason::Restaurant }),
        "the payment was certain"
    );
}

/// Proves that an order has a deadline only while it waits, and that the deadline is shown with the awaited actions.
#[test]
fn an_order_has_a_deadline_only_while_it_waits() {
    let lives = orders_by_card().into_iter().chain([placed(delivery()).order]);
    for order in lives {
        let expected = match order.status {
            OrderStatus::Created => Some(now() + PAYMENT_TIME),
            OrderStatus::Confirmed => order.acceptance_deadline,
            _ => None,
        };
        assert_eq!(order.deadline(), expected, "{}", order.status);
        assert_eq!(order.awaits_payment(), order.status == OrderStatus::Created);
        for actor in [customer(), staff(), admin(), Actor::System] {
            for action in allowed_actions(&order, &actor, settings().refund_limit) {
                let has_deadline =
                    matches!(action.command, CommandKind::Accept | CommandKind::Reject | CommandKind::Expire);
                let expected = if has_deadline { order.deadline() } else { None };
                assert_eq!(action.deadline, expected, "{} while {}", action.command, order.status);
            }
        }
    }
    let rejected = must(&order(delivery()), &staff(), &reject());
    assert_eq!(rejected.deadline(), None);
}

/// Proves that the preparation time has a maximum, and that a repeated acceptance is compared with the first by it.
#[test]
fn the_preparation_time_is_limited_and_compared() {
    let confirmed = placed(delivery()).order;
    let accepts = |preparation_minutes| act(&confirmed, &staff(), &Command::Accept { preparation_minutes });
    for minutes in [0, MAX_PREPARATION_MINUTES] {
        let accepted = accepts(minutes).unwrap().order;
        let ready_by = accepted.ready_by.unwrap();
        assert_eq!(ready_by.duration_since(now()), SignedDuration::from_mins(minutes.into()));
        let again = |preparation_minutes| act(&accepted, &staff(), &Command::Accept { preparation_minutes });
        assert!(again(minutes).unwrap().events.is_empty(), "the same acceptance is done already");
        let other = again(minutes.abs_diff(1));
        assert!(matches!(other, Err(Rejection::Already { command: CommandKind::Accept })), "{other:?}");
    }
    for minutes in [MAX_PREPARATION_MINUTES + 1, MAX_PREPARATION_MINUTES + 2, u32::MAX] {
        let refused = accepts(minutes);
        let Err(Rejection::Invalid(problems)) = refused else { panic!("{minutes}: {refused:?}") };
        let problem = &problems.as_slice()[0];
        assert_eq!(problem.pointer, "/preparation_minutes");
        assert!(problem.detail.contains(&minutes.to_string()), "{problem:?}");
    }
}
