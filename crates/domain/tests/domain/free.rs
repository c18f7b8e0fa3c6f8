//! Orders by card whose total is zero: confirmed at once, without a call to the payment provider.

use dabba_domain::{
    Amount,
    ledger::ledger,
    order::{
        Command, Fulfilment, OrderDetails, OrderStatus, PaymentMethod, PaymentStatus, Rejection, fold, settle,
    },
    pricing::{Amounts, OrderLine},
    task::{Task, TaskKind},
};

use crate::{
    bill::Life,
    common::{admin, amount, courier, customer, delivery, details, now, placed_with, settings, staff},
    moves::{accept, act, assign, cancel, must, refund, reject},
    payments::{authorized, captured, declined, voided},
};

fn free(fulfilment: Fulfilment, payment_method: PaymentMethod) -> OrderDetails {
    let details = details(fulfilment);
    let lines = details.lines.iter().map(|line| OrderLine {
        unit_price: Amount::ZERO,
        total: Amount::ZERO,
        ..line.clone()
    });
    OrderDetails { lines: lines.collect(), amounts: Amounts::default(), payment_method, ..details }
}

/// Proves that the events and tasks equal those of the same order in cash, up to the delivery and at every early end.
#[test]
fn a_total_of_zero_by_card_is_handled_like_cash() {
    for fulfilment in [delivery(), Fulfilment::Collection] {
        let card = placed_with(free(fulfilment.clone(), PaymentMethod::Card));
        let cash = placed_with(free(fulfilment, PaymentMethod::Cash));
        assert_eq!(card.tasks, cash.tasks);
        assert!(card.tasks.iter().all(|spec| spec.task.kind() == TaskKind::WarnUnaccepted));
        assert_eq!(card.events[1..], cash.events[1..]);
        assert_eq!(
            (card.order.status, card.order.payment_status),
            (OrderStatus::Confirmed, PaymentStatus::Captured)
        );
        assert_eq!((card.order.captured, card.order.refundable()), (Amount::ZERO, Amount::ZERO));
        assert_eq!(fold(&card.events).unwrap().unwrap(), card.order);
        for (actor, command) in [(customer(), cancel()), (staff(), reject()), (admin(), cancel())] {
            let (by_card, in_cash) =
                (act(&card.order, &actor, &command).unwrap(), act(&cash.order, &actor, &command).unwrap());
            assert_eq!((by_card.events.len(), by_card.tasks.len()), (1, 0), "{command:?}");
            assert_eq!(by_card.events, in_cash.events);
            assert_eq!(by_card.stock_returned, in_cash.stock_returned);
            let late = act(&by_card.order, &admin(), &refund(None));
            assert_eq!(late, Err(Rejection::AmountNotRefundable { refundable: Amount::ZERO }));
        }
    }
}

#[test]
fn a_total_of_zero_is_delivered_without_a_capture_and_has_an_empty_ledger() {
    let placed = placed_with(free(delivery(), PaymentMethod::Card));
    let mut life = Life { order: placed.order, history: placed.events };
    for (command, actor) in [
        (accept(), staff()),
        (assign(), courier()),
        (Command::MarkReady, staff()),
        (Command::PickUp, courier()),
        (Command::deliver(), courier()),
    ] {
        let decided = act(&life.order, &actor, &command).unwrap();
        let is_about_money = |task: &Task| task.kind() == TaskKind::CapturePayment;
        assert!(!decided.tasks.iter().any(|spec| is_about_money(&spec.task)), "{command:?}");
        life.give(&command, &actor);
    }
    assert_eq!(
        (life.order.status, life.order.payment_status),
        (OrderStatus::Delivered, PaymentStatus::Captured)
    );
    assert_eq!(ledger(&life.history), []);
    for request in [refund(None), refund(Some(1))] {
        let refused = act(&life.order, &admin(), &request);
        assert_eq!(refused, Err(Rejection::AmountNotRefundable { refundable: Amount::ZERO }));
    }
}

/// Proves that a provider's report does not change such an order, because the order has no payment at the provider.
#[test]
fn provider_reports_do_not_change_an_order_with_a_total_of_zero() {
    let placed = placed_with(free(delivery(), PaymentMethod::Card)).order;
    let cancelled = must(&placed, &customer(), &cancel());
    for order in [placed, cancelled] {
        for report in [authorized(), captured(), voided(), declined()] {
            let decided = settle(&order, &report, &settings(), now()).unwrap();
            assert!(decided.events.is_empty() && decided.tasks.is_empty(), "{report:?}");
        }
    }
}

/// Proves that an order with a total above zero waits for its payment, even if its food is free.
#[test]
fn a_tip_alone_requires_a_payment() {
    let amounts = Amounts { tip: amount(1), total: amount(1), ..Amounts::default() };
    let details = OrderDetails { amounts, ..free(delivery(), PaymentMethod::Card) };
    let placed = placed_with(details);
    assert_eq!(
        (placed.order.status, placed.order.payment_status),
        (OrderStatus::Created, PaymentStatus::Pending)
    );
    assert!(placed.tasks.iter().any(|spec| spec.task.kind() == TaskKind::AuthorizePayment));
}
