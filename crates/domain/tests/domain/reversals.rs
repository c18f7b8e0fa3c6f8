//! Refunds that fail after the payment provider reported them as made.

use dabba_domain::{
    ledger::ledger,
    order::{
        Command, Event, Order, OrderStatus, PaymentReport, PaymentStatus, RecordedEvent, RefundBearer,
        RefundFailureReason, RefundReason, RefundRequest, RefundStatus, ReviewReason, evolve, fold, settle,
    },
    task::Task,
};
use proptest::prelude::*;

use crate::{
    common::{admin, amount, courier, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, act, assign, cancel, refund},
    payments::{authorized, captured, number, refund_paid, refused, voided},
};

/// An order with its history.
#[derive(Clone)]
struct Life {
    order: Order,
    history: Vec<RecordedEvent>,
}

impl Life {
    fn placed() -> Self {
        let decision = placed_by_card(delivery());
        Self { order: decision.order, history: decision.events }
    }

    fn give(mut self, actor: &dabba_domain::Actor, command: &Command) -> Self {
        let decision = act(&self.order, actor, command).unwrap();
        (self.order, self.history) = (decision.order, [self.history, decision.events].concat());
        self
    }

    /// Applies a report, and returns the tasks that follow.
    fn receive(&mut self, report: &PaymentReport) -> Vec<Task> {
        let decision = settle(&self.order, report, &settings(), now()).unwrap();
        self.order = decision.order;
        self.history.extend(decision.events);
        assert_eq!(fold(&self.history).unwrap().as_ref(), Some(&self.order));
        decision.tasks.into_iter().map(|spec| spec.task).collect()
    }

    fn after(mut self, report: &PaymentReport) -> Self {
        self.receive(report);
        self
    }

    fn preparing() -> Self {
        let confirmed = Self::placed().after(&authorized());
        confirmed.give(&courier(), &assign()).give(&staff(), &accept()).after(&captured())
    }

    fn delivered() -> Self {
        Self::preparing()
            .give(&staff(), &Command::MarkReady)
            .give(&courier(), &Command::PickUp)
            .give(&courier(), &Command::deliver())
    }

    /// Returns the balance of every account.
    fn balances(&self) -> Vec<(String, i64)> {
        let mut sums = std::collections::BTreeMap::new();
        for posting in ledger(&self.history) {
            assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0, "{posting:?}");
            for entry in posting.entries {
                *sums.entry(format!("{:?}", entry.account)).or_insert(0) += entry.amount;
            }
        }
        sums.into_iter().filter(|(_, sum)| *sum != 0).collect()
    }
}

/// Proves that a refund that fails late restores the state before the refund: status, amounts, payment status, ledger
/// and refundable amount.
#[test]
fn a_reversed_refund_restores_the_earlier_state() {
    let ended_by = |cancelled: Life| cancelled.after(&refund_paid(1));
    let lives = [
        // The status after the reversal, the order before the refund, and the order after it.
        (
            OrderStatus::Delivered,
            Life::delivered(),
            Life::delivered().give(&admin(), &refund(None)).after(&refund_paid(1)),
        ),
        (
            OrderStatus::Delivered,
            Life::delivered(),
            Life::delivered().give(&staff(), &refund(Some(100))).after(&refund_paid(1)),
        ),
        (OrderStatus::Cancelled, Life::preparing(), ended_by(Life::preparing().give(&admin(), &cancel()))),
        (
            OrderStatus::Cancelled,
            Life::placed().after(&authorized()).after(&captured()),
            ended_by(Life::placed().give(&customer(), &cancel()).after(&captured())),
        ),
    ];
    for (status, before, after) in lives {
        let mut life = after.clone();
        let reason = RefundFailureReason::Declined;
        let tasks = life.receive(&refused(1));
        let review = Task::Review { reason: ReviewReason::RefundReversed { number: number(1), reason } };
        assert_eq!(tasks, [review], "an admin gets one review");
        let last = &life.history.last().unwrap().event;
        assert_eq!(*last, Event::RefundReversed { number: number(1), reason });
        let order = &life.order;
        assert_eq!((order.status, order.payment_status), (status, PaymentStatus::Captured));
        assert_eq!((order.refunded, order.refundable()), (amount(0), before.order.refundable()));
        assert_eq!(
            (order.refunds[0].status, order.refunds[0].failure),
            (RefundStatus::Reversed, Some(reason))
        );
        assert_eq!(life.balances(), before.balances());
        // A repeated, late or out-of-order report changes nothing.
        for report in [refused(1), refund_paid(1), refused(1)] {
            assert_eq!(life.receive(&report), [], "{report:?}");
        }
        assert_eq!(life.order.version, u32::try_from(life.history.len()).unwrap());
        // The amount can be refunded again.
        let again = life.clone().give(&admin(), &refund(None)).after(&refund_paid(2));
        assert_eq!(again.order.status, OrderStatus::Refunded);
        assert_eq!(again.order.refunded, again.order.captured);
    }
}

/// Proves that an admin also gets a review of a refund that is refused at once, but no review of an unknown refund or
/// of an expected void.
#[test]
fn an_admin_gets_a_review_of_each_failure() {
    let mut refused_at_once = Life::delivered().give(&admin(), &refund(Some(100)));
    let reason = RefundFailureReason::Declined;
    let review = Task::Review { reason: ReviewReason::RefundFailed { number: number(1), reason } };
    assert_eq!(refused_at_once.receive(&refused(1)), [review]);
    assert_eq!(refused_at_once.receive(&refused(2)), [], "there is no such refund");
    let mut unpaid = Life::placed().after(&authorized()).give(&staff(), &accept());
    assert_eq!(unpaid.receive(&voided()), [Task::Review { reason: ReviewReason::PaymentVoided }]);
    assert_eq!(unpaid.receive(&voided()), []);
    let mut cancelled = Life::placed().after(&authorized()).give(&customer(), &cancel());
    assert_eq!(cancelled.receive(&voided()), [], "a void after a cancellation is expected");
    for reason in [
        ReviewReason::PaymentVoided,
        ReviewReason::RefundFailed { number: number(7), reason },
        ReviewReason::RefundReversed { number: number(7), reason },
    ] {
        let text = reason.to_string();
        assert!(text.contains(": ") && !text.contains('\n'), "{text}");
        let json = serde_json::to_value(&reason).unwrap();
        assert_eq!(json["type"], reason.as_str());
        assert_eq!(serde_json::from_value::<ReviewReason>(json).unwrap(), reason);
    }
}

/// Proves the stored form of the event, and that the event cannot follow a refund that is not paid.
#[test]
fn the_event_is_stored_under_its_name() {
    let event = Event::RefundReversed { number: number(1), reason: RefundFailureReason::CardClosed };
    let expected =
        serde_json::json!({"type": "refund_reversed", "data": {"number": 1, "reason": "card_closed"}});
    assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    assert_eq!(event.name(), "refund_reversed");
    let pending = Life::delivered().give(&admin(), &refund(Some(100)));
    let last = pending.history.last().unwrap();
    let recorded = RecordedEvent { version: last.version + 1, event, ..last.clone() };
    assert!(evolve(Some(pending.order), &recorded).is_err());
}

/// Proves that a stored refusal without a reason, from before reasons were recorded, can be read.
#[test]
fn a_refusal_without_a_reason_is_read() {
    let old = serde_json::json!({"type": "refund_failed", "data": {"number": 1}});
    let event: Event = serde_json::from_value(old.clone()).unwrap();
    assert_eq!(event, Event::RefundFailed { number: number(1), reason: None });
    assert_eq!(serde_json::to_value(&event).unwrap(), old);
}

proptest! {
    /// Proves, for refunds by any bearer, some of which fail late, in any order: every posting sums to zero, the
    /// customer's refunds equal the order's, and after all refunds have failed every account has its earlier balance.
    #[test]
    fn reversed_refunds_leave_the_ledger_unchanged(
        parts in proptest::collection::vec((1_i64..600, 0_usize..3, any::<bool>()), 1..8),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 8),
    ) {
        let mut life = Life::delivered();
        let before = life.balances();
        let mut paid = Vec::new();
        for (minor, bearer, is_reversed) in parts {
            let left = life.order.refundable().minor();
            if left == 0 {
                break;
            }
            let request = RefundRequest {
                borne_by: Some(RefundBearer::ALL[bearer]),
                ..RefundRequest::new(Some(amount(minor.min(left))), RefundReason::Late)
            };
            life = life.give(&admin(), &Command::Refund(request));
            let number = life.order.refunds.last().unwrap().refund.number.get();
            life.receive(&refund_paid(number));
            paid.push(number);
            if is_reversed {
                let place = order[paid.len() % order.len()].index(paid.len());
                life.receive(&refused(paid.swap_remove(place)));
            }
            let refunds: i64 = life.balances().iter().filter(|(name, _)| name == "Refunds").map(|(_, sum)| sum).sum();
            prop_assert_eq!(refunds, life.order.refunded.minor());
        }
        for number in paid {
            life.receive(&refused(number));
        }
        prop_assert_eq!(life.order.payment_status, PaymentStatus::Captured);
        prop_assert_eq!(life.order.status, OrderStatus::Delivered);
        prop_assert_eq!(life.balances(), before);
    }
}
