//! Refunds: amount, lines, bearer and status.

use std::fmt::Write as _;

use dabba_domain::{
    Amount,
    order::{
        Closure, Command, Event, Order, OrderStatus, PaymentMethod, PaymentStatus, RecordedEvent,
        RefundBearer, RefundLine, RefundReason, RefundRequest, RefundStatus, Rejection, evolve, fold,
    },
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    bill::{Bill, Life, any_bill, any_method},
    common::{admin, amount, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, act, any_refund, cancel, must, refund, reject},
    payments::{authorized, captured, number, refund_paid, refused, settled},
};

fn bill(method: PaymentMethod) -> Bill {
    Bill {
        lines: vec![(3, 333), (1, 1_050), (2, 95)],
        tax_rate: 1_750,
        delivery_fee: 250,
        tip: 120,
        discount: 0,
        method,
        collects: false,
    }
}

fn lines(lines: &[(u32, u32)]) -> RefundRequest {
    let lines = lines.iter().map(|(line, quantity)| RefundLine { line: *line, quantity: *quantity });
    RefundRequest { lines: lines.collect(), ..RefundRequest::new(None, RefundReason::MissingItem) }
}

fn refused_with(order: &Order, request: RefundRequest) -> Rejection {
    act(order, &admin(), &Command::Refund(request)).unwrap_err()
}

/// Returns the sum of the order's refunds, except those that failed.
fn given(order: &Order) -> i64 {
    let refunds = order.refunds.iter().filter(|state| state.status != RefundStatus::Failed);
    refunds.map(|state| state.refund.amount.minor()).sum()
}

#[test]
fn lines_are_refunded_with_the_tax_on_them() {
    let mut life = bill(PaymentMethod::Cash).delivered();
    let mut text = String::new();
    for request in [lines(&[(0, 1)]), lines(&[(0, 1), (1, 1)]), lines(&[(2, 1)]), lines(&[(2, 1), (0, 1)])] {
        life.give(&Command::Refund(request), &admin());
        let refund = &life.order.refunds.last().unwrap().refund;
        let of: Vec<_> =
            refund.lines.iter().map(|it| format!("{} of line {}", it.quantity, it.line)).collect();
        writeln!(text, "{}: {}", of.join(", "), refund.amount.minor()).unwrap();
    }
    let amounts = life.order.details.amounts;
    let food = amounts.subtotal.plus(amounts.tax).unwrap();
    writeln!(text, "subtotal {} and tax {}", amounts.subtotal.minor(), amounts.tax.minor()).unwrap();
    insta::assert_snapshot!(text, @"
    1 of line 0: 391
    1 of line 0, 1 of line 1: 1625
    1 of line 2: 112
    1 of line 2, 1 of line 0: 503
    subtotal 2239 and tax 392
    ");
    assert_eq!(life.order.refunded, food);
    // Delivery fee and tip are left, and can be refunded as an amount.
    assert_eq!(life.order.refundable(), amount(370));
    life.give(&refund(None), &admin());
    assert_eq!(life.order.status, OrderStatus::Refunded);
}

#[test]
fn all_invalid_lines_are_listed() {
    let mut life = bill(PaymentMethod::Card).delivered();
    life.give(&Command::Refund(lines(&[(0, 2), (1, 1)])), &admin());
    let order = &life.order;
    let wrong = lines(&[(0, 0), (0, 1), (0, 1), (3, 1), (1, 1), (2, 3), (u32::MAX, u32::MAX), (2, 2)]);
    let Rejection::Invalid(problems) = refused_with(order, wrong) else { panic!() };
    let text: Vec<_> =
        problems.as_slice().iter().map(|it| format!("{}: {}", it.pointer, it.detail)).collect();
    insta::assert_snapshot!(text.join("\n"), @"
    /lines/0/quantity: must be from 1 to 1, which is what is left of this line
    /lines/2/quantity: nothing is left of this line
    /lines/3/line: the order has 3 lines, counted from 0
    /lines/4/quantity: nothing is left of this line
    /lines/5/quantity: must be from 1 to 2, which is what is left of this line
    /lines/6/line: the order has 3 lines, counted from 0
    ");
    let both = RefundRequest { amount: Some(amount(1)), ..lines(&[(0, 1)]) };
    let Rejection::Invalid(problems) = refused_with(order, both) else { panic!() };
    assert_eq!(problems.to_string(), "/amount: must be absent if lines are given");
}

/// Proves that the content is checked first, even if nothing is refundable.
#[test]
fn a_refund_of_a_refunded_order_is_refused() {
    for method in [PaymentMethod::Cash, PaymentMethod::Card] {
        let mut life = bill(method).delivered();
        life.give(&refund(None), &admin());
        if method == PaymentMethod::Card {
            // A pending refund cannot be requested again.
            let nothing = Rejection::AmountNotRefundable { refundable: Amount::ZERO };
            assert_eq!(refused_with(&life.order, lines(&[(0, 1)])), nothing);
            life.receive(&refund_paid(1));
        }
        let order = &life.order;
        assert_eq!(order.status, OrderStatus::Refunded);
        let amounts = [None, Some(amount(1)), Some(amount(1_000_000))];
        let valid = amounts.map(|amount| RefundRequest::new(amount, RefundReason::Late));
        for request in valid.into_iter().chain([lines(&[(0, 1)]), lines(&[(0, 3), (2, 2)])]) {
            let rejection = refused_with(order, request.clone());
            assert_eq!(rejection, Rejection::AmountNotRefundable { refundable: Amount::ZERO }, "{request:?}");
            assert_eq!(rejection.to_string(), "nothing is left to refund");
        }
        let both = RefundRequest { amount: Some(amount(1)), ..lines(&[(0, 1)]) };
        for (request, pointer) in [
            (both, "/amount"),
            (lines(&[(7, 1)]), "/lines/0/line"),
            (lines(&[(0, 4)]), "/lines/0/quantity"),
            (lines(&[(0, 2), (0, 2)]), "/lines/1/quantity"),
        ] {
            let Rejection::Invalid(problems) = refused_with(order, request) else { panic!("{pointer}") };
            assert_eq!(problems.as_slice()[0].pointer, pointer);
        }
        let by_staff = RefundRequest { borne_by: Some(RefundBearer::Platform), ..lines(&[(7, 1)]) };
        let Err(Rejection::Invalid(problems)) = act(order, &staff(), &Command::Refund(by_staff)) else {
            panic!()
        };
        assert_eq!(problems.as_slice().len(), 2, "all problems are listed: {problems}");
    }
}

/// Proves that a line without a price cannot be refunded.
#[test]
fn a_free_line_cannot_be_refunded() {
    let life = Bill { lines: vec![(1, 500), (1, 0)], ..bill(PaymentMethod::Cash) }.delivered();
    let Rejection::Invalid(problems) = refused_with(&life.order, lines(&[(1, 1)])) else { panic!() };
    assert_eq!(problems.as_slice()[0].pointer, "/lines");
    assert!(act(&life.order, &admin(), &Command::Refund(lines(&[(0, 1), (1, 1)]))).is_ok());
}

#[test]
fn a_restaurant_refunds_up_to_its_limit_and_at_its_own_cost() {
    let order = bill(PaymentMethod::Card).delivered().order;
    let by_staff = |order: &Order, request: RefundRequest| act(order, &staff(), &Command::Refund(request));
    let limit = settings().refund_limit;
    assert_eq!(limit, amount(500));
    assert_eq!(by_staff(&order, lines(&[(1, 1)])), Err(Rejection::RefundLimit { limit }));
    let pending = by_staff(&order, lines(&[(0, 1)])).unwrap().order;
    assert_eq!(pending.pending_refunds(), amount(391));
    // Pending refunds count towards the limit; failed refunds do not.
    assert_eq!(by_staff(&pending, lines(&[(0, 1)])), Err(Rejection::RefundLimit { limit }));
    assert!(by_staff(&settled(&pending, &refused(1)), lines(&[(0, 1)])).is_ok());
    assert!(
        by_staff(
            &settled(&pending, &refund_paid(1)),
            RefundRequest::new(Some(amount(110)), RefundReason::Late)
        )
        .is_err()
    );
    for borne_by in [RefundBearer::Platform, RefundBearer::Everyone] {
        let request = RefundRequest { borne_by: Some(borne_by), ..lines(&[(2, 1)]) };
        let Err(Rejection::Invalid(problems)) = by_staff(&order, request.clone()) else { panic!() };
        assert_eq!(problems.as_slice()[0].pointer, "/borne_by");
        let by_admin = must(&order, &admin(), &Command::Refund(request));
        assert_eq!(by_admin.refunds[0].refund.borne_by, borne_by);
    }
    for actor in [staff(), admin()] {
        let refunded = must(&order, &actor, &Command::Refund(lines(&[(2, 1)])));
        assert_eq!(refunded.refunds[0].refund.borne_by, RefundBearer::Restaurant, "the default bearer");
    }
}

/// Proves that the actor who ends a paid order determines the bearer of its refund.
#[test]
fn the_actor_who_ends_an_order_determines_the_bearer() {
    let confirmed = settled(&settled(&placed_by_card(delivery()).order, &authorized()), &captured());
    let preparing = must(&confirmed, &staff(), &accept());
    for (order, actor, command, borne_by) in [
        (&confirmed, customer(), cancel(), RefundBearer::Everyone),
        (&confirmed, staff(), reject(), RefundBearer::Everyone),
        (&confirmed, admin(), cancel(), RefundBearer::Everyone),
        (&preparing, staff(), cancel(), RefundBearer::Everyone),
        (&preparing, admin(), cancel(), RefundBearer::Platform),
    ] {
        let ended = must(order, &actor, &command);
        let refund = &ended.refunds[0].refund;
        assert_eq!(
            (refund.borne_by, refund.amount),
            (borne_by, order.captured),
            "{actor:?} {}",
            order.status
        );
        assert_eq!((refund.reason, ended.refundable()), (RefundReason::OrderEnded, Amount::ZERO));
        // The bearer is the same if the payment is captured only after the end.
        let unpaid = settled(&placed_by_card(delivery()).order, &authorized());
        let unpaid =
            if order.status == OrderStatus::Preparing { must(&unpaid, &staff(), &accept()) } else { unpaid };
        let ended = settled(&must(&unpaid, &actor, &command), &captured());
        let refund = &ended.refunds[0].refund;
        assert_eq!((refund.borne_by, refund.amount), (borne_by, ended.captured), "{actor:?} in flight");
    }
}

/// Proves the rule for old cancellations, which did not record their bearer: a capture after such a cancellation is
/// refunded as before.
#[test]
fn an_old_cancellation_is_borne_by_everyone() {
    let preparing = must(&settled(&placed_by_card(delivery()).order, &authorized()), &staff(), &accept());
    let old = json!({"type": "cancelled", "data": {"reason": "other", "stock_returned": false}});
    let event: Event = serde_json::from_value(old.clone()).unwrap();
    let (order_id, version, at) = (preparing.id, preparing.version + 1, now());
    let recorded = RecordedEvent { order_id, version, at, actor: admin(), event };
    assert_eq!(serde_json::to_value(&recorded.event).unwrap(), old, "the bearer `everyone` is omitted");
    let ended = settled(&evolve(Some(preparing), &recorded).unwrap(), &captured());
    assert_eq!(ended.refunds[0].refund.borne_by, RefundBearer::Everyone);
    let closure = json!({"how": "cancelled", "by": admin(), "reason": "other"});
    assert_eq!(serde_json::from_value::<Closure>(closure.clone()).unwrap(), ended.closure.clone().unwrap());
    assert_eq!(serde_json::to_value(ended.closure).unwrap(), closure);
}

#[test]
fn a_refund_in_cash_is_paid_at_once() {
    let life = bill(PaymentMethod::Cash).delivered();
    let decision = act(&life.order, &staff(), &refund(Some(100))).unwrap();
    assert!(decision.tasks.is_empty());
    assert!(matches!(decision.events[..], [RecordedEvent { event: Event::Refunded(_), .. }]));
    assert_eq!(decision.order.refunds[0].status, RefundStatus::Paid);
    assert_eq!(decision.order.refunded, amount(100));
}

#[test]
fn a_failed_refund_by_card_can_be_requested_again() {
    let mut life = bill(PaymentMethod::Card).delivered();
    let captured = life.order.captured;
    life.give(&refund(Some(100)), &admin());
    assert_eq!((life.order.refunded, life.order.pending_refunds()), (Amount::ZERO, amount(100)));
    assert_eq!(life.order.payment_status, PaymentStatus::Captured, "nothing is refunded yet");
    assert_eq!(life.order.refundable(), captured.minus(amount(100)).unwrap());
    life.receive(&refused(1));
    assert_eq!(life.order.refunds[0].status, RefundStatus::Failed);
    assert_eq!(life.order.refundable(), captured);
    life.give(&refund(None), &admin());
    assert_eq!(life.order.refunds[1].refund.number, number(2));
    assert_eq!(life.order.status, OrderStatus::Delivered, "the refund is requested, not made");
    life.receive(&refund_paid(1));
    assert_eq!(life.order.refunded, Amount::ZERO, "the first refund failed permanently");
    life.receive(&refund_paid(2));
    assert_eq!(
        (life.order.status, life.order.payment_status),
        (OrderStatus::Refunded, PaymentStatus::Refunded)
    );
    let statuses: Vec<_> = life.order.refunds.iter().map(|state| state.status).collect();
    assert_eq!(statuses, [RefundStatus::Failed, RefundStatus::Paid]);
}

/// Proves that old refunds without number, lines and bearer can be read. All of them count as the first refund.
#[test]
fn old_refunds_without_numbers_are_read() {
    let mut life = bill(PaymentMethod::Cash).delivered();
    for old in [
        json!({"type": "refunded", "data": {"amount": 100, "reason": "late", "note": "sorry"}}),
        json!({"type": "refunded", "data": {"amount": 50, "reason": "quality"}}),
    ] {
        let event: Event = serde_json::from_value(old).unwrap();
        let Event::Refunded(refund) = &event else { panic!() };
        assert_eq!((refund.number, refund.borne_by), (number(1), RefundBearer::Restaurant));
        let version = life.order.version + 1;
        life.history.push(RecordedEvent {
            order_id: life.order.id,
            version,
            at: now(),
            actor: staff(),
            event,
        });
        life.order = fold(&life.history).unwrap().unwrap();
    }
    assert_eq!((life.order.refunded, life.order.refunds.len()), (amount(150), 1));
    assert_eq!(life.order.refundable(), life.order.captured.minus(amount(150)).unwrap());
    life.give(&refund(None), &admin());
    assert_eq!(life.order.refunds[1].refund.number, number(2));
    assert_eq!(life.order.status, OrderStatus::Refunded);
}

/// Applies the provider's answer to the last request.
fn answer(life: &mut Life, agrees: bool) {
    let Some(state) = life.order.refunds.last().filter(|state| state.status == RefundStatus::Pending) else {
        return;
    };
    let number = state.refund.number.get();
    life.receive(&if agrees { refund_paid(number) } else { refused(number) });
}

proptest! {
    /// Proves that refunds of all lines, one by one and in any order, sum to exactly the price of the lines, even if
    /// some refunds fail and are requested again.
    #[test]
    fn refunds_of_all_lines_sum_to_the_whole(
        bill in any_bill(Just(PaymentMethod::Card)).prop_map(|bill| Bill { discount: 0, ..bill }),
        picks in proptest::collection::vec((0_usize..100, proptest::option::of(proptest::bool::weighted(0.7))), 1..20),
    ) {
        let mut life = bill.delivered();
        let mut left: Vec<u32> =
            (0..).zip(&bill.lines).flat_map(|(line, (quantity, _))| vec![line; *quantity as usize]).collect();
        let mut picks = picks.into_iter();
        while !left.is_empty() {
            let (pick, agrees) = picks.next().unwrap_or((0, Some(true)));
            let line = left.swap_remove(pick % left.len());
            life.give(&Command::Refund(lines(&[(line, 1)])), &admin());
            match agrees {
                Some(true) => answer(&mut life, true),
                Some(false) => {
                    answer(&mut life, false);
                    left.push(line);
                }
                None => {}
            }
            prop_assert!(given(&life.order) <= life.order.captured.minor());
            // Sometimes an unanswered refund fails after others have been requested.
            let first = life.order.refunds.iter().find(|state| state.status == RefundStatus::Pending).cloned();
            if let Some(first) = first && pick % 3 == 0 {
                life.receive(&refused(first.refund.number.get()));
                left.push(first.refund.lines[0].line);
            }
        }
        let amounts = bill.amounts();
        prop_assert_eq!(given(&life.order), amounts.subtotal.minor() + amounts.tax.minor());
    }

    /// Proves that any number of partial refunds, by any actor, can refund the full amount and never more.
    #[test]
    fn partial_refunds_reach_the_full_amount_and_never_more(
        bill in any_bill(any_method()),
        requests in proptest::collection::vec((any_refund(), any::<bool>(), any::<bool>()), 0..12),
    ) {
        let mut life = bill.delivered();
        let mut numbers = 0;
        for (request, by_staff, agrees) in requests {
            let actor = if by_staff { staff() } else { admin() };
            numbers += usize::from(life.try_give(&Command::Refund(request), &actor));
            answer(&mut life, agrees);
            prop_assert!(life.order.refunded <= life.order.captured);
            prop_assert_eq!(fold(&life.history).unwrap(), Some(life.order.clone()));
        }
        if life.order.status != OrderStatus::Refunded {
            life.give(&refund(None), &admin());
            answer(&mut life, true);
            numbers += 1;
        }
        prop_assert_eq!((life.order.status, life.order.refunded), (OrderStatus::Refunded, life.order.captured));
        prop_assert_eq!(given(&life.order), life.order.captured.minor());
        let counted: Vec<_> = life.order.refunds.iter().map(|state| state.refund.number.get() as usize).collect();
        prop_assert_eq!(counted, (1..=numbers).collect::<Vec<_>>());
        let again = act(&life.order, &admin(), &refund(Some(1)));
        prop_assert_eq!(again, Err(Rejection::AmountNotRefundable { refundable: Amount::ZERO }));
    }
}
