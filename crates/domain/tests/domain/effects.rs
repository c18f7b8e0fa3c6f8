//! The effect of a decision: what a preview states about an order's status and money.

use dabba_domain::{
    Amount,
    order::{
        Command, Decision, MoneyEffect, Order, OrderStatus, PaymentMethod, PaymentReport, PaymentStatus,
        RefundReason, RefundRequest, decide, settle,
    },
    task::Task,
};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::{
    bill::{Bill, any_bill, any_method},
    common::{admin, amount, courier, customer, delivery, now, order, placed_by_card, settings, staff},
    moves::{accept, act, any_command, assign, cancel, everyone, must, refund, reject},
    payments::{authorized, captured, refund_paid, settled, voided},
};

/// Returns the order after the payment provider has carried out the decision's tasks.
fn carry_out(decision: &Decision) -> Order {
    let report = |task: &Task| -> Option<PaymentReport> {
        match task {
            Task::VoidPayment => Some(voided()),
            Task::CapturePayment => Some(captured()),
            Task::RefundPayment { number } => Some(refund_paid(number.get())),
            _ => None,
        }
    };
    let reports = decision.tasks.iter().filter_map(|spec| report(&spec.task));
    reports.fold(decision.order.clone(), |order, report| settled(&order, &report))
}

fn money() -> MoneyEffect {
    MoneyEffect {
        currency: settings().currency,
        authorized_voided: None,
        captured: None,
        refunded: None,
        refund_scheduled: None,
    }
}

/// Proves the money of each kind of command, in cash and by card, in amounts that a person can check.
#[test]
fn the_money_of_each_command() {
    let total = Some(amount(1_560));
    let cash = order(delivery());
    let card = settled(&placed_by_card(delivery()).order, &authorized());
    let prepare = |order: &Order| must(&must(order, &courier(), &assign()), &staff(), &accept());
    let (cash_begun, card_begun) = (prepare(&cash), settled(&prepare(&card), &captured()));
    let carry = |order: &Order| {
        let ready = must(order, &staff(), &Command::MarkReady);
        must(&ready, &courier(), &Command::PickUp)
    };
    let cash_delivered = must(&carry(&cash_begun), &courier(), &Command::deliver());
    let card_delivered = must(&carry(&card_begun), &courier(), &Command::deliver());
    let voided = MoneyEffect { authorized_voided: total, ..money() };
    let captured = MoneyEffect { captured: total, ..money() };
    let (cash_refund, card_refund) = (
        MoneyEffect { refunded: Some(amount(100)), ..money() },
        MoneyEffect { refund_scheduled: Some(amount(100)), ..money() },
    );
    let all_back = MoneyEffect { refund_scheduled: total, ..money() };
    let cases = [
        ("accept, cash", &cash, staff(), accept(), money()),
        ("accept, card", &card, staff(), accept(), captured),
        ("reject, cash", &cash, staff(), reject(), money()),
        ("reject, card", &card, staff(), reject(), voided),
        ("cancel, cash", &cash, customer(), cancel(), money()),
        ("cancel, authorized", &card, customer(), cancel(), voided),
        ("cancel, unpaid", &placed_by_card(delivery()).order, customer(), cancel(), money()),
        ("cancel, captured", &card_begun, admin(), cancel(), all_back),
        ("ready", &card_begun, staff(), Command::MarkReady, money()),
        ("deliver, cash", &carry(&cash_begun), courier(), Command::deliver(), captured),
        ("deliver, card", &carry(&card_begun), courier(), Command::deliver(), money()),
        ("refund, cash", &cash_delivered, admin(), refund(Some(100)), cash_refund),
        ("refund, card", &card_delivered, admin(), refund(Some(100)), card_refund),
    ];
    for (name, order, actor, command, expected) in cases {
        let decision = act(order, &actor, &command).unwrap();
        let effect = decision.effect(order);
        assert_eq!(effect.money, expected, "{name}");
        assert_eq!((effect.status_from, effect.status_to), (order.status, decision.order.status), "{name}");
        assert_eq!(effect.version, decision.order.version, "{name}");
    }
}

/// Proves that a repeated command has no effect.
#[test]
fn a_repeated_command_moves_no_money() {
    let accepted = must(&order(delivery()), &staff(), &accept());
    let effect = act(&accepted, &staff(), &accept()).unwrap().effect(&accepted);
    assert_eq!((effect.status_from, effect.status_to), (OrderStatus::Preparing, OrderStatus::Preparing));
    assert_eq!((effect.version, effect.money), (accepted.version, money()));
}

/// Returns the difference of two amounts; zero if both are equal.
fn difference(before: Amount, after: Amount) -> Option<Amount> {
    Some(after.minus(before).unwrap()).filter(|difference| !difference.is_zero())
}

fn sum(amounts: [Option<Amount>; 2]) -> Option<Amount> {
    let sum = Amount::sum(amounts.into_iter().flatten()).unwrap();
    Some(sum).filter(|sum| !sum.is_zero())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Proves for any commands in any order, in cash and by card: the effect is the difference between the order before
    /// the command, and the order after the command and after the payment provider has carried out its tasks.
    #[test]
    fn the_effect_is_what_happens(
        bill in any_bill(any_method()),
        is_authorized in proptest::bool::weighted(0.9),
        steps in proptest::collection::vec((any_command(), 0_usize..8, 0_i64..600, any::<bool>()), 1..40),
    ) {
        let mut order = bill.placed().order;
        if bill.method == PaymentMethod::Card && is_authorized {
            order = settle(&order, &authorized(), &settings(), now()).unwrap().order;
        }
        let mut time = now();
        for (command, actor, seconds, is_carried_out) in steps {
            time += SignedDuration::from_secs(seconds);
            let Ok(decision) = decide(&order, &command, &everyone()[actor].1, &settings(), time) else { continue };
            let effect = decision.effect(&order);
            let after = carry_out(&decision);
            prop_assert_eq!(effect.version, decision.order.version);
            prop_assert_eq!((effect.status_from, effect.status_to), (order.status, decision.order.status));
            prop_assert_eq!(effect.money.captured, difference(order.captured, after.captured));
            let returned = difference(order.refunded, after.refunded);
            prop_assert_eq!(sum([effect.money.refunded, effect.money.refund_scheduled]), returned);
            prop_assert_eq!(effect.money.refunded, difference(order.refunded, decision.order.refunded));
            let is_voided = order.payment_status == PaymentStatus::Authorized
                && after.payment_status == PaymentStatus::Voided;
            let total = order.details.amounts.total;
            prop_assert_eq!(effect.money.authorized_voided, is_voided.then_some(total));
            prop_assert_eq!(effect.money.currency, order.details.currency);
            order = if is_carried_out { after } else { decision.order };
        }
    }

    /// Proves that the effect of a refund is what is refundable, after any refunds before it.
    #[test]
    fn the_effect_of_a_full_refund_is_the_rest(bill in any_bill(any_method()), first in 1_i64..2_000) {
        let mut life = Bill::delivered(&bill);
        life.try_give(&refund(Some(first)), &admin());
        if let Some(state) = life.order.refunds.last().cloned() {
            life.receive(&refund_paid(state.refund.number.get()));
        }
        let rest = Command::Refund(RefundRequest::new(None, RefundReason::Late));
        if let Ok(decision) = act(&life.order, &admin(), &rest) {
            let money = decision.effect(&life.order).money;
            let expected = Some(life.order.refundable());
            prop_assert_eq!(sum([money.refunded, money.refund_scheduled]), expected);
        }
    }
}
