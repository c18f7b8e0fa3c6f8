//! Proves with random calls, retries and lost replies, in any order, that money moves once.

use std::{collections::BTreeSet, sync::Arc};

use dabba_domain::{
    Timestamp,
    order::{PaymentReport, RefundFailureReason},
};
use dabba_engine::{GatewayAnswer, SeededRandom};
use dabba_gateways::simulated::{
    Provider, ProviderHealth,
    ledger::{Entry, Operation, Summary},
    provider::{Outcome, Reply},
    tokens,
    wire::{Notification, Report},
};
use jiff::SignedDuration;
use proptest::{collection::vec, prelude::*, sample::select};

use super::world::{TOTAL, WHOLE_LEDGER, number, order, payment, start_of_time, token};

/// Number of orders that are paid at the same time.
const ORDERS: u64 = 3;
/// Maximum number of attempts until a call is answered.
const MAX_ATTEMPTS: u32 = 200;

/// Returns all tokens whose refunds do not fail late and that move exactly the requested amount. In these
/// tests money moves in one direction only.
fn known_tokens() -> Vec<&'static str> {
    tokens::exact().filter(|token| *token != "tok_refund_fails_late").collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Authorize,
    Capture,
    Void,
    /// The number determines the amount, so a retry is the same request.
    Refund(u32),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Call(u64, Step),
    Switch(ProviderHealth),
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Authorize),
        3 => Just(Step::Capture),
        1 => Just(Step::Void),
        4 => (1_u32..=5).prop_map(Step::Refund),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let health = prop_oneof![
        2 => Just(ProviderHealth::Up),
        1 => Just(ProviderHealth::Down),
        2 => (0_u8..=100).prop_map(|percent| ProviderHealth::Flapping { percent }),
    ];
    prop_oneof![
        12 => (0..ORDERS, any_step()).prop_map(|(index, step)| Action::Call(index, step)),
        1 => health.prop_map(Action::Switch),
        1 => (0_i64..5).prop_map(Action::Wait),
    ]
}

/// A provider, the changes that it reported to its callers, and the refunds that it refused.
struct Run {
    provider: Provider,
    tokens: Vec<&'static str>,
    now: Timestamp,
    notified: Vec<Notification>,
    refused_refunds: BTreeSet<String>,
}

impl Run {
    /// Makes a call. Returns `None` if the step needs a payment and there is none yet.
    fn call(&mut self, index: u64, step: Step) -> Option<Reply> {
        let order_id = order(index);
        let reference = self.provider.payments(order_id).first().map(|payment| payment.reference.clone());
        let (provider, now) = (&self.provider, self.now);
        let Outcome { reply, notifications, .. } = match step {
            Step::Authorize => {
                let name = self.tokens[usize::try_from(index).unwrap()];
                provider.authorize(&payment(order_id, "authorize", TOTAL), &token(name), now)
            }
            Step::Capture => provider.capture(&payment(order_id, "capture", TOTAL), &reference?, now),
            Step::Void => provider.void(&payment(order_id, "void", TOTAL), &reference?, now),
            Step::Refund(which) => {
                let payment = payment(order_id, &format!("refund-{which}"), i64::from(which) * 400);
                provider.refund(&payment, &reference?, number(which), now)
            }
        };
        for notification in &notifications {
            if let Report::RefundRefused { number, .. } = notification.report {
                let is_new = self.refused_refunds.insert(format!("{}-{number}", notification.order_id));
                assert!(is_new, "a refusal of a refund must be reported once: {notification:?}");
            }
        }
        self.notified.extend(notifications);
        Some(reply)
    }

    /// Retries a call until it is answered.
    fn call_until_answered(&mut self, index: u64, step: Step) -> Option<PaymentReport> {
        for _ in 0..MAX_ATTEMPTS {
            match self.call(index, step)? {
                Reply::Answer(answer) => match answer.into() {
                    GatewayAnswer::Report(report) => return Some(report),
                    GatewayAnswer::Pending => self.wait(1),
                },
                Reply::Failed(_) | Reply::Silence => {}
                Reply::Refused(refusal) => panic!("{step:?}: {refusal}"),
            }
        }
        panic!("{step:?} got no answer after {MAX_ATTEMPTS} attempts");
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// Verifies the ledger against rules that this test computes itself, and against the provider's other
    /// data.
    fn check(&self) {
        let ledger = self.provider.ledger(0, WHOLE_LEDGER);
        let keys: BTreeSet<&str> = ledger.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys.len(), ledger.len(), "a key must have at most one effect: {ledger:?}");
        for (place, entry) in (1..).zip(&ledger) {
            assert_eq!(entry.sequence, place);
        }
        let reported_changes = self.notified.len() - self.refused_refunds.len();
        assert_eq!(reported_changes, ledger.len(), "every change must be reported once");
        for index in 0..ORDERS {
            let entries: Vec<&Entry> = ledger.iter().filter(|entry| entry.order_id == order(index)).collect();
            self.check_order(index, &entries);
        }
    }

    fn check_order(&self, index: u64, entries: &[&Entry]) {
        let sum = |operation| {
            let of_kind = entries.iter().filter(|entry| entry.operation == operation);
            of_kind.fold((0_u32, 0_i64), |(count, sum), entry| (count + 1, sum + entry.amount.minor()))
        };
        let (authorizations, authorized) = sum(Operation::Authorize);
        let (captures, captured) = sum(Operation::Capture);
        let (voids, voided) = sum(Operation::Void);
        let (refunds, refunded) = sum(Operation::Refund);
        let (declines, _) = sum(Operation::Decline);
        assert!(authorizations + declines <= 1 && captures + voids <= 1, "{entries:?}");
        assert!(captured <= authorized && refunded <= captured, "{entries:?}");
        let summary = Summary {
            authorized,
            captured,
            voided,
            refunded,
            authorizations,
            captures,
            voids,
            refunds,
            declines,
            returned: 0,
            failed_refunds: 0,
        };
        assert_eq!(self.provider.summary(order(index)), summary);
        for payment in self.provider.payments(order(index)) {
            assert_eq!(payment.refunded.minor(), refunded, "{payment:?}");
            assert_eq!(payment.refunds.len(), usize::try_from(refunds).unwrap(), "{payment:?}");
        }
    }

    /// Verifies that at the end the answer to every call agrees with the ledger.
    fn check_answers(&mut self, index: u64) {
        let report = self.call_until_answered(index, Step::Authorize).unwrap();
        let summary = self.provider.summary(order(index));
        let is_right = match report {
            PaymentReport::Authorized { .. } => summary.authorizations == 1 && summary.captures == 0,
            PaymentReport::Captured { .. } => summary.captures == 1,
            PaymentReport::Voided { .. } => summary.voids == 1,
            PaymentReport::Declined { .. } => summary.declines == 1,
            _ => false,
        };
        assert!(is_right, "{report:?} {summary:?}");
        for which in 1..=5 {
            let report = self.call_until_answered(index, Step::Refund(which)).unwrap();
            let key = payment(order(index), &format!("refund-{which}"), 1).key;
            let is_done = self.provider.ledger(0, WHOLE_LEDGER).iter().any(|entry| entry.key == key);
            let number = number(which);
            let expected = if is_done {
                PaymentReport::Refunded { number }
            } else {
                PaymentReport::RefundRefused { number, reason: RefundFailureReason::NothingLeft }
            };
            assert_eq!(report, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn money_moves_once(
        seed: u64,
        tokens in vec(select(known_tokens()), usize::try_from(ORDERS).unwrap()),
        actions in vec(any_action(), 0..120),
    ) {
        let provider = Provider::new(Arc::new(SeededRandom::new(seed)));
        let (notified, refused_refunds) = (Vec::new(), BTreeSet::new());
        let mut run = Run { provider, tokens, now: start_of_time(), notified, refused_refunds };
        for action in actions {
            match action {
                Action::Call(index, step) => drop(run.call(index, step)),
                Action::Switch(health) => run.provider.set_health(health),
                Action::Wait(seconds) => run.wait(seconds),
            }
            run.check();
        }
        run.provider.set_health(ProviderHealth::Up);
        for index in 0..ORDERS {
            run.check_answers(index);
        }
        run.check();
    }
}

/// Proves that the same calls with the same seed have the same outcome.
#[test]
fn the_same_seed_gives_the_same_outcomes() {
    let outcomes = |seed| {
        let provider = Provider::new(Arc::new(SeededRandom::new(seed)));
        let call = |index| {
            provider.authorize(
                &payment(order(index), "authorize", TOTAL),
                &token("tok_flap"),
                start_of_time(),
            )
        };
        (0..50).map(call).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(7), outcomes(7));
    assert_ne!(outcomes(7), outcomes(8));
}
