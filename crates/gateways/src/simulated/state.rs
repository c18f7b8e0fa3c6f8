//! The state of a provider, and how a call changes it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use dabba_domain::{
    Amount, Money, OrderId, Timestamp,
    order::{ChargebackOutcome, PaymentReference, PaymentToken, RefundFailureReason, RefundNumber},
};
use dabba_engine::{AmountNotAccepted, Payment, Random};
use sha2::{Digest as _, Sha256};

use super::{
    ledger::{Entry, Ledger, Operation},
    provider::{
        Failure, MAX_KEY_LENGTH, MAX_KEYS, PaymentRecord, PaymentState, ProviderHealth, RefundRecord,
        Refusal, Reply, rules,
    },
    tokens::{Behaviour, Course, Verdict},
    wire::{Answer, Notification, Report},
};

/// A step of a payment.
pub(super) enum Step<'call> {
    /// Authorizes the amount.
    Authorize(&'call PaymentToken),
    /// Captures the authorized amount.
    Capture(&'call PaymentReference),
    /// Voids the authorization.
    Void(&'call PaymentReference),
    /// Refunds a part of the captured amount.
    Refund(&'call PaymentReference, RefundNumber),
}

/// The time of a call, and the delay until the call's pending changes happen.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// The time of the call.
    pub(super) now: Timestamp,
    /// Time until a pending payment is decided, and until a refund that fails late fails.
    pub(super) decided_after: Duration,
}

/// The state of a provider.
#[derive(Default)]
pub(super) struct State {
    /// The provider's health.
    pub(super) health: ProviderHealth,
    /// The provider's ledger.
    pub(super) ledger: Ledger,
    keys: HashMap<String, Key>,
    payments: HashMap<PaymentReference, Held>,
    references_by_order: HashMap<OrderId, Vec<PaymentReference>>,
    /// The pending payments with the times when they are decided, in order of time. All payments wait equally
    /// long, so they are due in the order in which they arrived.
    undecided: VecDeque<(Timestamp, PaymentReference)>,
    /// The refunds that fail later with the times when they fail, in order of time for the same reason.
    failing: VecDeque<(Timestamp, PaymentReference, RefundNumber)>,
    /// The changes that were not reported yet. Each call takes them, so the list stays short.
    notifications: Vec<Notification>,
}

/// An idempotency key.
struct Key {
    request: Fingerprint,
    calls: u32,
    /// The result of the request, as soon as there is one.
    result: Option<KeyResult>,
}

/// The hash of a request. The provider does not store the request itself, because it contains the token.
type Fingerprint = [u8; 32];

/// The result of a request.
#[derive(Clone)]
enum KeyResult {
    /// The request concerns this payment.
    Payment(PaymentReference),
    /// The refund of this payment exists.
    Refund(PaymentReference, RefundNumber),
    /// The refund was refused.
    NoRefund(RefundNumber, RefundFailureReason),
}

/// A payment and its behaviour.
struct Held {
    record: PaymentRecord,
    /// The requested amount. Some tokens authorize or capture another amount.
    requested: Amount,
    behaviour: Behaviour,
    /// The idempotency key of the authorization.
    key: String,
    /// The chargeback and its amount, until it is decided.
    disputed: Option<(PaymentReference, Amount)>,
}

impl Held {
    /// The captured amount that is neither refunded nor disputed.
    fn left(&self) -> Amount {
        let disputed = self.disputed.as_ref().map_or(Amount::ZERO, |(_, amount)| *amount);
        let given = self.record.refunded.plus(disputed).unwrap_or(self.record.amount);
        match self.record.state {
            PaymentState::Captured => self.record.amount.minus(given).unwrap_or(Amount::ZERO),
            _ => Amount::ZERO,
        }
    }
}

impl State {
    /// Carries out a call. Returns the current state of the payment, and the course that decides how the
    /// reply reaches the caller. An error means that the call had no effect.
    pub(super) fn perform(
        &mut self,
        payment: &Payment,
        step: &Step<'_>,
        moment: Moment,
        random: &dyn Random,
    ) -> Result<(Answer, Course), Reply> {
        let behaviour = self.check(payment, step).map_err(Reply::Refused)?;
        let calls = self.count_call(payment, step)?;
        let course = match step {
            Step::Authorize(_) => behaviour.at_authorization(calls, random),
            _ => behaviour.at_later_step(calls, random),
        };
        if course == Course::FailsBefore {
            return Err(Reply::Failed(Failure::Simulated));
        }
        let result = self.keys.get(&payment.key).and_then(|key| key.result.clone());
        let result = match (result, step) {
            (Some(result), Step::Authorize(_) | Step::Refund(..)) => result,
            // Captures and voids start from one state only, so repeating them is safe. Their first attempt
            // may also have come before the payment was in that state.
            (_, Step::Capture(_) | Step::Void(_)) | (None, _) => {
                let result = self.carry_out(payment, step, behaviour, moment, random);
                result.ok_or(Reply::Failed(Failure::Full))?
            }
        };
        let answer = self.answer(&result);
        if let Some(key) = self.keys.get_mut(&payment.key) {
            key.result = Some(result);
        }
        Ok((answer, course))
    }

    /// Checks whether a call is valid, and returns the behaviour of its payment.
    fn check(&self, payment: &Payment, step: &Step<'_>) -> Result<Behaviour, Refusal> {
        let is_key_character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_KEY_LENGTH).contains(&payment.key.len()) || !payment.key.bytes().all(is_key_character) {
            return Err(Refusal::KeyNotValid);
        }
        if self.keys.get(&payment.key).is_some_and(|key| key.request != fingerprint(payment, step)) {
            return Err(Refusal::KeyReused);
        }
        if payment.amount.is_zero() {
            return Err(Refusal::NoAmount);
        }
        let (amount, currency) = (payment.amount, payment.currency);
        let accepted = match step {
            Step::Authorize(_) => AmountNotAccepted::check_payment(amount, currency, rules(currency)),
            Step::Refund(..) => AmountNotAccepted::check_refund(amount, currency, rules(currency)),
            Step::Capture(_) | Step::Void(_) => Ok(()),
        };
        accepted.map_err(Refusal::AmountNotAccepted)?;
        let (reference, is_in_part) = match step {
            Step::Authorize(token) => return Ok(Behaviour::of(token)),
            Step::Capture(reference) | Step::Void(reference) => (*reference, false),
            Step::Refund(reference, _) => (*reference, true),
        };
        let Held { record, requested, behaviour, .. } =
            self.payments.get(reference).ok_or(Refusal::UnknownReference)?;
        let is_this = record.order_id == payment.order_id
            && record.currency == payment.currency
            && (is_in_part || *requested == payment.amount);
        if is_this { Ok(*behaviour) } else { Err(Refusal::PaymentMismatch) }
    }

    /// Counts a call of a key, and returns the number of its calls.
    fn count_call(&mut self, payment: &Payment, step: &Step<'_>) -> Result<u32, Reply> {
        if !self.keys.contains_key(&payment.key) && self.keys.len() >= MAX_KEYS {
            return Err(Reply::Failed(Failure::Full));
        }
        let new = || Key { request: fingerprint(payment, step), calls: 0, result: None };
        let key = self.keys.entry(payment.key.clone()).or_insert_with(new);
        key.calls = key.calls.saturating_add(1);
        Ok(key.calls)
    }

    /// Carries out the request of a key. Returns `None` if there is no room for it.
    fn carry_out(
        &mut self,
        payment: &Payment,
        step: &Step<'_>,
        behaviour: Behaviour,
        moment: Moment,
        random: &dyn Random,
    ) -> Option<KeyResult> {
        let now = moment.now;
        Some(match step {
            Step::Authorize(_) => KeyResult::Payment(self.begin(payment, behaviour, moment, random)?),
            Step::Capture(reference) => {
                self.advance(reference, Operation::Capture, &payment.key, now);
                KeyResult::Payment((*reference).clone())
            }
            Step::Void(reference) => {
                self.advance(reference, Operation::Void, &payment.key, now);
                KeyResult::Payment((*reference).clone())
            }
            Step::Refund(reference, number) => self.refund(payment, reference, *number, moment),
        })
    }

    /// Creates a payment. Returns `None` if no reference is free.
    fn begin(
        &mut self,
        payment: &Payment,
        behaviour: Behaviour,
        moment: Moment,
        random: &dyn Random,
    ) -> Option<PaymentReference> {
        let reference = self.new_reference(random)?;
        let record = PaymentRecord {
            reference: reference.clone(),
            order_id: payment.order_id,
            amount: behaviour.authorized(payment.amount),
            currency: payment.currency,
            created_at: moment.now,
            state: PaymentState::Pending,
            refunded: Amount::ZERO,
            refunds: Vec::new(),
        };
        let key = payment.key.clone();
        self.references_by_order.entry(payment.order_id).or_default().push(reference.clone());
        let held = Held { record, requested: payment.amount, behaviour, key: key.clone(), disputed: None };
        self.payments.insert(reference.clone(), held);
        match behaviour.verdict {
            Verdict::Authorize => self.advance(&reference, Operation::Authorize, &key, moment.now),
            Verdict::AuthorizeLater => {
                let at = moment.now.checked_add(moment.decided_after).unwrap_or(Timestamp::MAX);
                self.undecided.push_back((at, reference.clone()));
            }
            Verdict::Decline(_) => self.advance(&reference, Operation::Decline, &key, moment.now),
        }
        Some(reference)
    }

    /// Returns an unused reference.
    fn new_reference(&self, random: &dyn Random) -> Option<PaymentReference> {
        let first = random.next_u64();
        // There are at most as many payments as keys, so one of these references is free, nearly always the
        // first.
        (0..=MAX_KEYS as u64)
            .filter_map(|offset| {
                PaymentReference::new(&format!("pay_{:016x}", first.wrapping_add(offset))).ok()
            })
            .find(|reference| !self.payments.contains_key(reference))
    }

    /// Applies an operation to a payment if the payment is in the state from which the operation starts.
    /// Otherwise does nothing, because the payment is in a later state or has ended.
    fn advance(&mut self, reference: &PaymentReference, operation: Operation, key: &str, now: Timestamp) {
        let Some(held) = self.payments.get_mut(reference) else { return };
        let Held { record, requested, behaviour, .. } = held;
        let next = match (operation, record.state) {
            (Operation::Authorize, PaymentState::Pending) => PaymentState::Authorized,
            (Operation::Decline, PaymentState::Pending) => match behaviour.verdict {
                Verdict::Decline(reason) => PaymentState::Declined { reason },
                Verdict::Authorize | Verdict::AuthorizeLater => return,
            },
            (Operation::Capture, PaymentState::Authorized) => PaymentState::Captured,
            (Operation::Void, PaymentState::Pending | PaymentState::Authorized) => PaymentState::Voided,
            _ => return,
        };
        record.state = next;
        if next == PaymentState::Captured {
            record.amount = behaviour.captured(*requested, record.amount);
        }
        let (order_id, amount) = (record.order_id, record.amount);
        if let Some(report) = report_of(held) {
            self.notifications.push(Notification { order_id, report });
        }
        self.add_entry(order_id, reference, operation, amount, key, now);
    }

    /// Refunds the requested amount if at least that much of the captured amount is left.
    fn refund(
        &mut self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
        moment: Moment,
    ) -> KeyResult {
        let now = moment.now;
        let Payment { order_id, ref key, amount, .. } = *payment;
        let left = self.payments.get(reference).map_or(Amount::ZERO, Held::left);
        let refunded = self.payments.get_mut(reference).and_then(|Held { record, behaviour, .. }| {
            let fails_late = behaviour.first_refund_fails_late && record.refunds.is_empty();
            let refunded = record.refunded.plus(amount).ok()?;
            let is_covered = amount <= left;
            is_covered.then(|| {
                record.refunded = refunded;
                record.refunds.push(RefundRecord { number, amount, at: now, failure: None });
                fails_late
            })
        });
        if refunded == Some(true) {
            let at = now.checked_add(moment.decided_after).unwrap_or(Timestamp::MAX);
            self.failing.push_back((at, reference.clone(), number));
        }
        let (result, report) = if refunded.is_some() {
            (KeyResult::Refund(reference.clone(), number), Report::Refunded { number })
        } else {
            let reason = RefundFailureReason::NothingLeft;
            (KeyResult::NoRefund(number, reason), Report::RefundRefused { number, reason })
        };
        self.notifications.push(Notification { order_id, report });
        if refunded.is_some() {
            self.add_entry(order_id, reference, Operation::Refund, amount, key, now);
        }
        result
    }

    fn add_entry(
        &mut self,
        order_id: OrderId,
        reference: &PaymentReference,
        operation: Operation,
        amount: Amount,
        key: &str,
        at: Timestamp,
    ) {
        let (reference, key) = (reference.clone(), key.to_owned());
        // The ledger sets the sequence.
        self.ledger.add(Entry { sequence: 0, at, order_id, reference, operation, amount, key });
    }

    /// Returns the current answer to the request of a key.
    fn answer(&self, result: &KeyResult) -> Answer {
        let report = match result {
            KeyResult::Payment(reference) => self.payments.get(reference).and_then(report_of),
            KeyResult::Refund(reference, number) => {
                let refunds = self.payments.get(reference).map(|held| held.record.refunds.as_slice());
                let refund = refunds.unwrap_or_default().iter().find(|refund| refund.number == *number);
                Some(match refund.and_then(|refund| refund.failure) {
                    Some(reason) => Report::RefundRefused { number: *number, reason },
                    None => Report::Refunded { number: *number },
                })
            }
            KeyResult::NoRefund(number, reason) => {
                Some(Report::RefundRefused { number: *number, reason: *reason })
            }
        };
        report.map_or(Answer::Pending, Answer::Report)
    }

    /// Decides the payments and fails the refunds that are due.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.fail_refunds(now);
        while let Some((at, reference)) = self.undecided.pop_front_if(|(at, _)| *at <= now) {
            if let Some(key) = self.payments.get(&reference).map(|held| held.key.clone()) {
                self.advance(&reference, Operation::Authorize, &key, at);
            }
        }
    }

    /// Fails the refunds that are due.
    fn fail_refunds(&mut self, now: Timestamp) {
        while let Some((at, reference, number)) = self.failing.pop_front_if(|(at, ..)| *at <= now) {
            let Some(Held { record, .. }) = self.payments.get_mut(&reference) else { continue };
            let is_this = |refund: &&mut RefundRecord| refund.number == number && refund.failure.is_none();
            let Some(refund) = record.refunds.iter_mut().find(is_this) else { continue };
            let (amount, reason) = (refund.amount, RefundFailureReason::CardClosed);
            refund.failure = Some(reason);
            record.refunded = record.refunded.minus(amount).unwrap_or(Amount::ZERO);
            let order_id = record.order_id;
            self.notifications
                .push(Notification { order_id, report: Report::RefundRefused { number, reason } });
            let key = format!("{order_id}-refund-{number}");
            self.add_entry(order_id, &reference, Operation::FailRefund, amount, &key, at);
        }
    }

    /// Refunds the given amount by hand, or the rest of the payment if that is less. Returns `None` if
    /// nothing is left, or if no refund can have this amount.
    pub(super) fn refund_manually(
        &mut self,
        payment: &PaymentReference,
        amount: Amount,
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<()> {
        let reference = PaymentReference::new(&format!("re_{:016x}", random.next_u64())).ok()?;
        let held = self.payments.get_mut(payment)?;
        let (amount, currency) = (amount.min(held.left()), held.record.currency);
        let accepted = AmountNotAccepted::check_refund(amount, currency, rules(currency));
        if amount.is_zero() || accepted.is_err() {
            return None;
        }
        held.record.refunded = held.record.refunded.plus(amount).ok()?;
        let (order_id, money) = (held.record.order_id, Money { amount, currency });
        let report = Report::ExternalRefund { payment: payment.clone(), reference: reference.clone(), money };
        self.notifications.push(Notification { order_id, report });
        self.add_entry(order_id, payment, Operation::Refund, amount, reference.as_str(), now);
        Some(())
    }

    /// Opens a chargeback of the rest of a payment. Returns `None` if nothing is left, or if a chargeback is
    /// open.
    pub(super) fn open_chargeback(&mut self, payment: &PaymentReference, random: &dyn Random) -> Option<()> {
        let reference = PaymentReference::new(&format!("dp_{:016x}", random.next_u64())).ok()?;
        let held = self.payments.get_mut(payment)?;
        let amount = held.left();
        if amount.is_zero() || held.disputed.is_some() {
            return None;
        }
        held.disputed = Some((reference.clone(), amount));
        let money = Money { amount, currency: held.record.currency };
        let (order_id, outcome, payment) = (held.record.order_id, ChargebackOutcome::Open, payment.clone());
        let report = Report::Chargeback { payment, reference, money, outcome };
        self.notifications.push(Notification { order_id, report });
        Some(())
    }

    /// Decides the chargeback of a payment. Returns `None` if no chargeback is open.
    pub(super) fn close_chargeback(
        &mut self,
        payment: &PaymentReference,
        is_won: bool,
        now: Timestamp,
    ) -> Option<()> {
        let held = self.payments.get_mut(payment)?;
        let (reference, amount) = held.disputed.take()?;
        let (order_id, money) = (held.record.order_id, Money { amount, currency: held.record.currency });
        let outcome = if is_won { ChargebackOutcome::Won } else { ChargebackOutcome::Lost };
        if !is_won {
            held.record.refunded = held.record.refunded.plus(amount).ok()?;
            self.add_entry(order_id, payment, Operation::Refund, amount, reference.as_str(), now);
        }
        let report = Report::Chargeback { payment: payment.clone(), reference, money, outcome };
        self.notifications.push(Notification { order_id, report });
        Some(())
    }

    /// Returns the changes since the last call of this function.
    pub(super) fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    /// Returns the payments of an order, oldest first.
    pub(super) fn payments(&self, order_id: OrderId) -> Vec<PaymentRecord> {
        let references = self.references_by_order.get(&order_id).into_iter().flatten();
        references
            .filter_map(|reference| self.payments.get(reference))
            .map(|held| held.record.clone())
            .collect()
    }
}

/// Returns the report of a payment's current state; `None` while the payment is pending.
fn report_of(Held { record, requested, .. }: &Held) -> Option<Report> {
    let reference = record.reference.clone();
    let money = Money { amount: record.amount, currency: record.currency };
    let differs = record.amount != *requested;
    match record.state {
        PaymentState::Pending => None,
        PaymentState::Authorized if differs => Some(Report::AuthorizedAmount { reference, money }),
        PaymentState::Captured if differs => Some(Report::CapturedAmount { reference, money }),
        PaymentState::Authorized => Some(Report::Authorized { reference }),
        PaymentState::Captured => Some(Report::Captured { reference }),
        PaymentState::Voided => Some(Report::Voided { reference }),
        PaymentState::Declined { reason } => Some(Report::Declined { reason }),
    }
}

/// Returns the fingerprint of a request. Different requests have different fingerprints.
fn fingerprint(payment: &Payment, step: &Step<'_>) -> Fingerprint {
    let step = match step {
        Step::Authorize(token) => format!("authorize {}", token.as_str()),
        Step::Capture(reference) => format!("capture {reference}"),
        Step::Void(reference) => format!("void {reference}"),
        Step::Refund(reference, number) => format!("refund {number} {reference}"),
    };
    // No part contains a space, so different requests have different texts.
    let Payment { order_id, amount, currency, .. } = payment;
    let text = format!("{order_id} {} {} {step}", amount.minor(), currency.code());
    Sha256::digest(text).into()
}
