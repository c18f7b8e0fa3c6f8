//! Payment by card: the decision for each report of a payment provider, and the token of the payment.

use std::fmt::Write as _;

use dabba_domain::{
    InputProblem,
    limits::{MAX_ORDER_VERSION, MAX_PAYMENT_TEXT_LENGTH},
    order::{
        Command, DeclineReason, Fulfilment, Order, OrderRequest, OrderStatus, PaymentMethod,
        PaymentReference, PaymentReport, PaymentStatus, PaymentTextError, PaymentToken, RefundFailureReason,
        RefundNumber, settle,
    },
    task::Task,
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    common::{
        account, admin, amount, courier, customer, delivery, now, order, placed_by_card, settings, staff,
        token,
    },
    moves::{accept, act, assign, cancel, must, refund, reject},
};

/// The payment's id at the provider.
pub(crate) fn reference() -> PaymentReference {
    PaymentReference::new("pay_1").unwrap()
}

/// The id of a payment that the order does not know.
fn other_reference() -> PaymentReference {
    PaymentReference::new("pay_2").unwrap()
}

pub(crate) fn number(number: u32) -> RefundNumber {
    RefundNumber::new(number).unwrap()
}

pub(crate) fn authorized() -> PaymentReport {
    PaymentReport::Authorized { reference: reference() }
}
pub(crate) fn captured() -> PaymentReport {
    PaymentReport::Captured { reference: reference() }
}
pub(crate) fn voided() -> PaymentReport {
    PaymentReport::Voided { reference: reference() }
}
pub(crate) fn declined() -> PaymentReport {
    PaymentReport::Declined { reason: DeclineReason::InsufficientFunds }
}
pub(crate) fn refund_paid(refund: u32) -> PaymentReport {
    PaymentReport::Refunded { number: number(refund) }
}
pub(crate) fn refused(refund: u32) -> PaymentReport {
    PaymentReport::RefundRefused { number: number(refund), reason: RefundFailureReason::Declined }
}

/// Returns the order after a report.
pub(crate) fn settled(order: &Order, report: &PaymentReport) -> Order {
    settle(order, report, &settings(), now()).unwrap().order
}

/// Returns every report, with its name in the table.
fn every_report() -> Vec<(&'static str, PaymentReport)> {
    let reference = other_reference();
    vec![
        ("authorized", authorized()),
        ("authorized, another payment", PaymentReport::Authorized { reference: reference.clone() }),
        ("declined", declined()),
        ("captured", captured()),
        ("captured, another payment", PaymentReport::Captured { reference: reference.clone() }),
        ("voided", voided()),
        ("voided, another payment", PaymentReport::Voided { reference }),
        ("never requested", PaymentReport::NeverRequested),
        ("refunded 1", refund_paid(1)),
        ("refunded 2", refund_paid(2)),
        ("refund refused 1", refused(1)),
        ("refund refused 2", refused(2)),
    ]
}

/// Returns orders by card in every payment status, in progress and ended.
pub(crate) fn orders_by_card() -> Vec<Order> {
    let created = placed_by_card(delivery()).order;
    let voided_early = settled(&created, &voided());
    let confirmed = settled(&created, &authorized());
    let paid_early = settled(&confirmed, &captured());
    let preparing = must(&must(&confirmed, &courier(), &assign()), &staff(), &accept());
    let paid = settled(&preparing, &captured());
    let unpaid = settled(&preparing, &voided());
    let delivered =
        [(staff(), Command::MarkReady), (courier(), Command::PickUp), (courier(), Command::deliver())]
            .iter()
            .fold(paid.clone(), |order, (actor, command)| must(&order, actor, command));
    let owed = must(&delivered, &admin(), &refund(Some(100)));
    let in_part = settled(&owed, &refund_paid(1));
    let rejected_paid = must(&paid_early, &staff(), &reject());
    vec![
        must(&created, &customer(), &cancel()),
        settled(&created, &declined()),
        voided_early,
        settled(&must(&created, &customer(), &cancel()), &PaymentReport::NeverRequested),
        must(&confirmed, &customer(), &cancel()),
        settled(&must(&confirmed, &customer(), &cancel()), &voided()),
        must(&paid, &admin(), &cancel()),
        settled(&rejected_paid, &refused(1)),
        settled(&rejected_paid, &refund_paid(1)),
        settled(&owed, &refused(1)),
        must(&in_part, &admin(), &refund(None)),
        settled(&must(&in_part, &admin(), &refund(None)), &refund_paid(2)),
        settled(&in_part, &refused(1)),
        settled(&settled(&rejected_paid, &refund_paid(1)), &refused(1)),
        created,
        confirmed,
        paid_early,
        preparing,
        paid,
        unpaid,
        delivered,
        owed,
        in_part,
    ]
}

fn title(order: &Order) -> String {
    let refunds: Vec<_> = order
        .refunds
        .iter()
        .map(|state| {
            format!("refund {} of {} {:?}", state.refund.number, state.refund.amount.minor(), state.status)
        })
        .collect();
    let known = if order.payment_reference.is_some() { ", payment known" } else { "" };
    let refunds = if refunds.is_empty() { String::new() } else { format!(", {}", refunds.join(", ")) };
    format!("{}, {}{known}{refunds}", order.status, order.payment_status).to_lowercase()
}

/// Prints the decision for every report in every state as a text that a person can check.
#[test]
fn what_follows_from_a_report() {
    let mut lives = orders_by_card();
    lives.sort_by_key(|order| {
        let place = PaymentStatus::ALL.iter().position(|status| *status == order.payment_status);
        (place, order.status.is_terminal(), order.version)
    });
    let mut text = String::new();
    for order in lives {
        writeln!(text, "{}", title(&order)).unwrap();
        let mut nothing_new = Vec::new();
        for (name, report) in every_report() {
            let decision = settle(&order, &report, &settings(), now()).unwrap();
            if decision.events.is_empty() {
                assert_eq!((&decision.order, decision.tasks.len()), (&order, 0), "{name}");
                nothing_new.push(name);
                continue;
            }
            let events: Vec<_> = decision.events.iter().map(|recorded| recorded.event.name()).collect();
            let tasks: Vec<_> = decision.tasks.iter().map(|spec| spec.task.kind().as_str()).collect();
            let tasks =
                if tasks.is_empty() { String::new() } else { format!("; to do: {}", tasks.join(", ")) };
            let after = &decision.order;
            writeln!(
                text,
                "  {name}: {}{tasks} ⇒ {}, {}",
                events.join(", "),
                after.status,
                after.payment_status
            )
            .unwrap();
        }
        writeln!(text, "  nothing new: {}\n", nothing_new.join("; ")).unwrap();
    }
    insta::assert_snapshot!(text);
}

/// Proves that a payment provider's report does not change an order in cash.
#[test]
fn provider_reports_do_not_change_an_order_in_cash() {
    let order = order(delivery());
    for (name, report) in every_report() {
        assert_eq!(settled(&order, &report), order, "{name}");
    }
}

/// Proves that a report is accepted although the order has the maximum number of events.
#[test]
fn a_report_is_accepted_when_the_history_is_full() {
    let mut order = settled(&placed_by_card(delivery()).order, &authorized());
    for version in order.version..MAX_ORDER_VERSION - 1 {
        let courier_id = account(100 + u64::from(version));
        order = must(&order, &admin(), &Command::assign(courier_id));
    }
    order = must(&order, &staff(), &accept());
    assert_eq!(order.version, MAX_ORDER_VERSION);
    assert_eq!(settled(&order, &authorized()), order, "the report is already known");
    assert_eq!(settled(&order, &captured()).payment_status, PaymentStatus::Captured);
}

#[test]
fn an_order_that_ends_early_voids_or_refunds_its_payment() {
    let tasks = |order: &Order, actor, command: &Command| -> Vec<Task> {
        act(order, &actor, command).unwrap().tasks.into_iter().map(|spec| spec.task).collect()
    };
    let created = placed_by_card(delivery()).order;
    assert_eq!(
        tasks(&created, customer(), &cancel()),
        [],
        "the worker that calls the provider sees that the order has ended"
    );
    let confirmed = settled(&created, &authorized());
    assert_eq!(tasks(&confirmed, customer(), &cancel()), [Task::VoidPayment]);
    assert_eq!(tasks(&confirmed, staff(), &reject()), [Task::VoidPayment]);
    assert_eq!(tasks(&confirmed, staff(), &accept()), [Task::CapturePayment]);
    let paid = settled(&must(&confirmed, &staff(), &accept()), &captured());
    assert_eq!(tasks(&paid, staff(), &cancel()), [Task::RefundPayment { number: number(1) }]);
    let paid_early = settled(&confirmed, &captured());
    assert_eq!(tasks(&paid_early, staff(), &accept()), [], "the payment is already captured");
}

#[test]
fn an_order_by_card_is_placed_with_the_task_to_authorize_it() {
    let decision = placed_by_card(Fulfilment::Collection);
    assert_eq!(decision.events.len(), 1);
    assert_eq!(
        (decision.order.status, decision.order.payment_status),
        (OrderStatus::Created, PaymentStatus::Pending)
    );
    let first = &decision.tasks[0];
    assert_eq!((&first.task, first.run_at), (&Task::AuthorizePayment { token: token() }, now()));
    let confirm = act(&decision.order, &dabba_domain::Actor::System, &Command::Confirm);
    assert!(confirm.is_err(), "only the provider's report confirms the order");
}

#[test]
fn texts_of_a_provider_are_checked() {
    let longest = "x".repeat(MAX_PAYMENT_TEXT_LENGTH);
    for good in ["tok_1", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "A-1", "0", &longest] {
        assert_eq!(PaymentToken::new(good).unwrap().as_str(), good);
        let reference = PaymentReference::new(good).unwrap();
        assert_eq!((reference.as_str(), reference.to_string()), (good, good.to_owned()));
        assert_eq!(serde_json::from_value::<PaymentReference>(json!(good)).unwrap(), reference);
        assert_eq!(serde_json::to_value(&reference).unwrap(), json!(good));
    }
    let too_long = "x".repeat(MAX_PAYMENT_TEXT_LENGTH + 1);
    for bad in ["", " ", "a b", "a.b", "a/../b", "tok\n", "é", "4242 4242 4242 4242", "{\"a\":1}", &too_long]
    {
        assert_eq!(PaymentToken::new(bad), Err(PaymentTextError), "{bad}");
        assert_eq!(PaymentReference::new(bad), Err(PaymentTextError), "{bad}");
        assert!(serde_json::from_value::<PaymentToken>(json!(bad)).is_err(), "{bad}");
    }
}

/// Proves that no output shows a token, because a token can be used to take money.
#[test]
fn a_token_is_not_shown() {
    let secret = "tok_SECRET";
    let token = PaymentToken::new(secret).unwrap();
    let task = Task::AuthorizePayment { token: token.clone() };
    for shown in [format!("{token:?}"), format!("{task:?}"), format!("{:#?}", Some(&task))] {
        assert!(!shown.contains("SECRET"), "{shown}");
    }
    assert_eq!(format!("{:?}", reference()), "\"pay_1\"", "people search for a reference");
}

#[test]
fn a_card_needs_a_token_and_cash_has_none() {
    let request = |method, token| OrderRequest {
        lines: Vec::new(),
        fulfilment: Fulfilment::Collection,
        tip: amount(0),
        payment_method: method,
        payment_token: token,
        contact: None,
        note: None,
        expected_total: None,
    };
    assert_eq!(request(PaymentMethod::Cash, None).card(), Ok(None));
    assert_eq!(request(PaymentMethod::Card, Some(token())).card(), Ok(Some(&token())));
    for (method, token) in [(PaymentMethod::Cash, Some(token())), (PaymentMethod::Card, None)] {
        let problems = request(method, token).card().unwrap_err();
        assert!(matches!(problems.as_slice(), [InputProblem { pointer, .. }] if pointer == "/payment_token"));
    }
}

proptest! {
    /// Proves for late and repeated reports, in any order: an order that has ended keeps its status, except for refunds
    /// and refunds that fail later; its payment is captured at most once; its history folds to its state.
    #[test]
    fn reports_in_any_order_leave_an_ended_order_ended(
        life in 0_usize..23,
        reports in proptest::collection::vec(0_usize..12, 1..30),
    ) {
        let mut order = orders_by_card().swap_remove(life);
        let mut ended = order.status.is_terminal();
        for report in reports {
            let (name, report) = every_report().swap_remove(report);
            let decision = settle(&order, &report, &settings(), now()).unwrap();
            let doubled = settled(&decision.order, &report);
            prop_assert_eq!(&doubled, &decision.order, "{} twice", name);
            let is_reversed = order.status == OrderStatus::Refunded && decision.order.status != order.status;
            if is_reversed {
                prop_assert!(matches!(report, PaymentReport::RefundRefused { .. }), "{}", name);
                let ended_early = decision.order.closure.is_some();
                let expected = if ended_early { OrderStatus::Cancelled } else { OrderStatus::Delivered };
                prop_assert_eq!(decision.order.status, expected);
                prop_assert!(decision.order.refunded < order.captured);
            } else if decision.order.status != order.status && ended {
                prop_assert!(matches!(report, PaymentReport::Refunded { .. }), "{}", name);
                prop_assert_eq!(decision.order.status, OrderStatus::Refunded);
                prop_assert_eq!(decision.order.refunded, order.captured);
            }
            if !order.captured.is_zero() {
                prop_assert_eq!(decision.order.captured, order.captured, "{}", name);
            }
            order = decision.order;
            ended = order.status.is_terminal();
        }
    }
}

/// Proves that a declined payment returns the stock of an order that it ends, and that it returns no stock of an order that
/// had ended before.
#[test]
fn a_declined_payment_returns_the_stock_once() {
    let order = placed_by_card(delivery()).order;
    let drawn = &order.details.stock_drawn;
    assert!(!drawn.is_empty());
    let decision = settle(&order, &declined(), &settings(), now()).unwrap();
    assert_eq!(decision.stock_returned, *drawn);
    let returned = decision.events[0].event.returned_stock(drawn);
    assert_eq!(returned.cloned().collect::<Vec<_>>(), *drawn);
    let cancelled = act(&order, &customer(), &cancel()).unwrap();
    assert_eq!(cancelled.stock_returned, *drawn);
    let late = settle(&cancelled.order, &declined(), &settings(), now()).unwrap();
    assert_eq!((late.events.len(), late.stock_returned.len()), (1, 0));
    assert_eq!(late.events[0].event.returned_stock(drawn).count(), 0);
}

/// Proves that the debug text of a token shows that there is a token, and not which one.
#[test]
fn the_debug_text_of_a_token_hides_it() {
    assert_eq!(format!("{:?}", token()), "PaymentToken(…)");
}
