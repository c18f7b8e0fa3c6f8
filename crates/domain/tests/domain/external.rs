//! Changes at the payment provider without Dabba: refunds in its dashboard, chargebacks, other amounts.

use dabba_domain::{
    Amount, Currency, Money,
    ledger::ledger,
    order::{
        ChargebackOutcome, Command, Event, ExternalKind, Order, OrderStatus, PaymentReference, PaymentReport,
        PaymentStatus, PaymentStep, RecordedEvent, RefundFailureReason, RefundStatus, ReviewReason, fold,
        settle,
    },
    task::Task,
};
use proptest::prelude::*;

use crate::{
    common::{admin, amount, courier, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, act, assign, cancel, refund},
    payments::{authorized, captured, reference, refund_paid, refused},
};

fn gbp(minor: i64) -> Money {
    Money { amount: amount(minor), currency: settings().currency }
}

fn named(name: &str) -> PaymentReference {
    PaymentReference::new(name).unwrap()
}

fn dashboard_refund(name: &str, minor: i64) -> PaymentReport {
    PaymentReport::ExternalRefund { payment: reference(), reference: named(name), money: gbp(minor) }
}

fn chargeback(name: &str, minor: i64, outcome: ChargebackOutcome) -> PaymentReport {
    PaymentReport::Chargeback { payment: reference(), reference: named(name), money: gbp(minor), outcome }
}

struct Life {
    order: Order,
    history: Vec<RecordedEvent>,
    reviews: Vec<&'static str>,
}

impl Life {
    fn placed() -> Self {
        let decision = placed_by_card(delivery());
        Self { order: decision.order, history: decision.events, reviews: Vec::new() }
    }

    fn give(mut self, actor: &dabba_domain::Actor, command: &Command) -> Self {
        let decision = act(&self.order, actor, command).unwrap();
        self.order = decision.order;
        self.history.extend(decision.events);
        self
    }

    fn after(mut self, report: &PaymentReport) -> Self {
        let decision = settle(&self.order, report, &settings(), now()).unwrap();
        self.order = decision.order;
        self.history.extend(decision.events);
        for spec in decision.tasks {
            if let Task::Review { reason } = spec.task {
                self.reviews.push(reason.as_str());
            }
        }
        assert_eq!(fold(&self.history).unwrap().as_ref(), Some(&self.order));
        for posting in ledger(&self.history) {
            assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0, "{posting:?}");
            assert!(!posting.entries.is_empty(), "{posting:?}");
        }
        self
    }

    fn preparing() -> Self {
        let confirmed = Self::placed().after(&authorized());
        confirmed.give(&courier(), &assign()).give(&staff(), &accept()).after(&captured())
    }

    fn delivered() -> Self {
        let ready = Self::preparing().give(&staff(), &Command::MarkReady);
        ready.give(&courier(), &Command::PickUp).give(&courier(), &Command::deliver())
    }

    fn platform(&self) -> i64 {
        let entries = ledger(&self.history).into_iter().flat_map(|posting| posting.entries);
        let platform = entries.filter(|entry| entry.account == dabba_domain::ledger::LedgerAccount::Platform);
        platform.map(|entry| entry.amount).sum()
    }
}

/// Proves that a refund in the provider's dashboard is recorded once, is borne by the platform, and cannot be made
/// again.
#[test]
fn a_refund_in_the_dashboard_is_recorded() {
    let life = Life::delivered();
    let (total, held) = (life.order.captured.minor(), life.platform());
    let life = life.after(&dashboard_refund("re_1", 300)).after(&dashboard_refund("re_1", 300));
    assert_eq!(life.reviews, ["refunded_at_provider"]);
    let state = &life.order.refunds[0];
    let external = state.refund.external.as_ref().unwrap();
    assert_eq!((state.status, external.kind), (RefundStatus::Paid, ExternalKind::Refund));
    assert_eq!(life.order.refundable(), amount(total - 300));
    assert_eq!(life.order.payment_status, PaymentStatus::PartiallyRefunded);
    assert!(life.platform() < held);
    let life = life.after(&dashboard_refund("re_2", total - 300));
    assert_eq!((life.order.status, life.order.refundable()), (OrderStatus::Refunded, Amount::ZERO));
    // The second refund fails days later.
    let failed = PaymentReport::ExternalRefundFailed {
        reference: named("re_2"),
        reason: RefundFailureReason::CardClosed,
    };
    let life = life.after(&failed).after(&failed).after(&dashboard_refund("re_2", total - 300));
    assert_eq!((life.order.status, life.order.refunded), (OrderStatus::Delivered, amount(300)));
    assert_eq!(life.reviews, ["refunded_at_provider", "refunded_at_provider", "refund_reversed"]);
}

/// Proves that an order that is still on its way continues, even if all of its money was refunded.
#[test]
fn an_order_in_progress_continues_after_a_full_refund() {
    let life = Life::preparing();
    let total = life.order.captured.minor();
    let life = life.after(&dashboard_refund("re_1", total));
    assert_eq!(
        (life.order.status, life.order.payment_status),
        (OrderStatus::Preparing, PaymentStatus::Refunded)
    );
    let life = life.give(&admin(), &cancel());
    assert_eq!((life.order.status, life.order.pending_refunds()), (OrderStatus::Cancelled, Amount::ZERO));
}

/// Proves that a chargeback blocks its amount and is lost or won once, and that late or repeated reports change
/// nothing.
#[test]
fn a_chargeback_is_lost_or_won() {
    use ChargebackOutcome::{Lost, Open, Won};
    let total = Life::delivered().order.captured.minor();
    let rows: [(&[ChargebackOutcome], &[&str], i64, RefundStatus); 6] = [
        (&[Open, Open], &["chargeback_opened"], 0, RefundStatus::Pending),
        (&[Open, Lost, Open, Lost], &["chargeback_opened", "chargeback_lost"], 500, RefundStatus::Paid),
        (&[Lost, Open], &["chargeback_opened", "chargeback_lost"], 500, RefundStatus::Paid),
        (&[Open, Won, Won, Lost, Open], &["chargeback_opened", "chargeback_won"], 0, RefundStatus::Reversed),
        (&[Won, Open, Lost], &["chargeback_opened", "chargeback_won"], 0, RefundStatus::Reversed),
        (
            &[Lost, Won, Lost],
            &["chargeback_opened", "chargeback_lost", "chargeback_won"],
            0,
            RefundStatus::Reversed,
        ),
    ];
    for (outcomes, reviews, back, status) in rows {
        let mut life = Life::delivered();
        let held = life.platform();
        for outcome in outcomes {
            life = life.after(&chargeback("dp_1", 500, *outcome));
        }
        assert_eq!(life.reviews, reviews, "{outcomes:?}");
        let state = &life.order.refunds[0];
        assert_eq!((state.status, life.order.refunded), (status, amount(back)), "{outcomes:?}");
        let blocked = if status == RefundStatus::Reversed { 0 } else { 500 };
        assert_eq!(life.order.refundable(), amount(total - blocked), "{outcomes:?}");
        assert_eq!(life.platform() == held, back == 0, "{outcomes:?}");
        // No task makes this refund, and a report on Dabba's refund with the same number is not about it.
        let version = life.order.version;
        life = life.after(&refund_paid(1)).after(&refused(1));
        assert_eq!(life.order.version, version, "{outcomes:?}");
    }
}

/// Proves that an authorization or capture of an amount other than the total is recorded.
#[test]
fn another_amount_or_currency_is_recorded() {
    let total = Life::placed().order.details.amounts.total.minor();
    let eur = Money { amount: amount(total), currency: Currency::from_code("EUR").unwrap() };
    let authorized_amount = |money| PaymentReport::AuthorizedAmount { reference: reference(), money };
    let captured_amount = |money| PaymentReport::CapturedAmount { reference: reference(), money };
    let agreed = Life::placed().after(&authorized_amount(gbp(total)));
    assert_eq!((agreed.order.status, agreed.reviews.len()), (OrderStatus::Confirmed, 0));
    let more = Life::placed().after(&authorized_amount(gbp(total + 1)));
    assert_eq!(
        (more.order.status, more.reviews.as_slice()),
        (OrderStatus::Confirmed, ["payment_differs"].as_slice())
    );
    for money in [gbp(total - 1), eur] {
        let life = Life::placed().after(&authorized_amount(money)).after(&authorized_amount(money));
        assert_eq!(
            (life.order.status, life.order.payment_status),
            (OrderStatus::Created, PaymentStatus::Authorized)
        );
        assert_eq!(life.reviews, ["payment_differs"]);
        let last = &life.history.last().unwrap().event;
        assert_eq!(*last, Event::PaymentDiffers { step: PaymentStep::Authorized, money });
    }
    for (money, expected) in [(gbp(total - 1), total - 1), (gbp(total + 5), total + 5), (eur, 0)] {
        let life = Life::placed().after(&authorized()).give(&staff(), &accept());
        let life = life.after(&captured_amount(money)).after(&captured_amount(money)).after(&captured());
        assert_eq!((life.order.captured, life.order.refundable()), (amount(expected), amount(expected)));
        assert_eq!(life.reviews, ["payment_differs"], "{money}");
        assert_eq!(life.order.status, OrderStatus::Preparing);
    }
    // An order that has ended refunds at most the captured amount.
    let ended = Life::placed().after(&authorized()).give(&customer(), &cancel());
    let ended = ended.after(&captured_amount(gbp(total - 1)));
    assert_eq!(ended.order.pending_refunds(), amount(total - 1));
}

/// Proves that a refund report implies the capture, and that a report on another payment does not change the order.
#[test]
fn a_refund_report_implies_the_capture() {
    let life = Life::placed().after(&authorized()).after(&dashboard_refund("re_1", 100)).after(&captured());
    assert_eq!(
        (life.order.payment_status, life.order.refunded),
        (PaymentStatus::PartiallyRefunded, amount(100))
    );
    let other =
        PaymentReport::ExternalRefund { payment: named("pay_2"), reference: named("re_9"), money: gbp(1) };
    let life = Life::delivered().after(&other);
    assert_eq!((life.order.refunds.len(), life.reviews.len()), (0, 0));
}

/// Proves the names under which the events and a review are stored.
#[test]
fn the_events_are_stored_under_their_names() {
    let life = Life::delivered();
    let life =
        life.after(&dashboard_refund("re_1", 1)).after(&chargeback("dp_1", 2, ChargebackOutcome::Lost));
    let life = life.after(&chargeback("dp_1", 2, ChargebackOutcome::Won));
    let json: Vec<_> =
        life.history.iter().rev().take(4).map(|it| serde_json::to_value(&it.event).unwrap()).collect();
    let names: Vec<_> = json.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["chargeback_won", "chargeback_lost", "chargeback_opened", "refunded"]);
    assert_eq!(json[3]["data"]["external"], serde_json::json!({"kind": "refund", "reference": "re_1"}));
    assert_eq!(json[2]["data"]["external"], serde_json::json!({"kind": "chargeback", "reference": "dp_1"}));
    let differs = Event::PaymentDiffers { step: PaymentStep::Captured, money: gbp(5) };
    let expected = serde_json::json!({"type": "payment_differs", "data": {
        "step": "captured", "money": {"amount": 5, "currency": "GBP"}}});
    assert_eq!(serde_json::to_value(differs).unwrap(), expected);
    for reason in [
        ReviewReason::ChargebackOpened { number: life.order.refunds[0].refund.number, amount: amount(5) },
        ReviewReason::PaymentDiffers { step: PaymentStep::Captured, money: gbp(5) },
    ] {
        assert_eq!(serde_json::to_value(&reason).unwrap()["type"], reason.as_str());
        assert!(reason.to_string().contains('5'), "{reason}");
    }
}

proptest! {
    /// Proves for any changes at the provider, repeated and in any order, together with refunds by Dabba: histories
    /// fold to their orders, postings sum to zero, nothing is recorded twice, and Dabba never offers more than is left.
    #[test]
    fn nothing_is_recorded_twice(steps in proptest::collection::vec((0_usize..8, 0_usize..3), 1..25)) {
        use ChargebackOutcome::{Lost, Open, Won};
        let mut life = Life::delivered();
        for (step, which) in steps {
            let name = format!("x_{which}");
            let report = match step {
                0 | 1 => dashboard_refund(&name, 300),
                2 => PaymentReport::ExternalRefundFailed { reference: named(&name), reason: RefundFailureReason::Other },
                3 => chargeback(&format!("dp_{which}"), 400, Open),
                4 => chargeback(&format!("dp_{which}"), 400, Lost),
                5 => chargeback(&format!("dp_{which}"), 400, Won),
                6 => refund_paid(u32::try_from(which).unwrap() + 1),
                _ => {
                    if act(&life.order, &admin(), &refund(Some(100))).is_ok() {
                        life = life.give(&admin(), &refund(Some(100)));
                    }
                    continue;
                }
            };
            life = life.after(&report);
            let again = settle(&life.order, &report, &settings(), now()).unwrap();
            prop_assert_eq!(again.events, vec![], "{:?}", report);
            let back: i64 = life.order.refunds.iter().filter(|it| it.status.counts()).map(|it| it.refund.amount.minor()).sum();
            prop_assert_eq!(life.order.refundable().minor(), (life.order.captured.minor() - back).max(0));
        }
    }
}

/// Proves that refunds without Dabba, which the provider does not limit to what is left, count up to the captured amount, and
/// that the others count if one of them fails.
#[test]
fn refunds_beyond_the_captured_amount_count_up_to_it() {
    let life = Life::delivered();
    let total = life.order.captured;
    let life = life.after(&dashboard_refund("re_1", total.minor())).after(&dashboard_refund("re_2", 300));
    assert_eq!((life.order.refunded, life.order.refundable()), (total, Amount::ZERO));
    let failed = PaymentReport::ExternalRefundFailed {
        reference: named("re_2"),
        reason: RefundFailureReason::CardClosed,
    };
    let life = life.after(&failed);
    assert_eq!((life.order.status, life.order.refunded), (OrderStatus::Refunded, total));
}

/// Proves that a refund in another currency, whose amount the order cannot state, leaves the payment captured, and that an
/// admin has to look at it.
#[test]
fn a_refund_in_another_currency_counts_as_zero() {
    let money = Money { amount: amount(300), currency: Currency::from_code("EUR").unwrap() };
    let report = PaymentReport::ExternalRefund { payment: reference(), reference: named("re_1"), money };
    let delivered = Life::delivered().order;
    let decision = settle(&delivered, &report, &settings(), now()).unwrap();
    let order = &decision.order;
    assert_eq!((order.refunded, order.refundable()), (Amount::ZERO, delivered.captured));
    assert_eq!((order.status, order.payment_status), (OrderStatus::Delivered, PaymentStatus::Captured));
    assert!(matches!(
        decision.tasks[0].task,
        Task::Review { reason: ReviewReason::RefundedAtProvider { amount: Amount::ZERO, .. } }
    ));
    assert_eq!(order.refunds[0].refund.external.as_ref().unwrap().money, Some(money));
}
