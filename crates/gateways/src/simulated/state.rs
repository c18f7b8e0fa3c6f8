//! What a provider knows, and how a call changes it.

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
        Failure, Health, MAX_KEY_LENGTH, MAX_KEYS, PaymentRecord, PaymentState, RefundRecord, Refusal, Reply,
        rules,
    },
    tokens::{Behaviour, Course, Verdict},
    wire::{Answer, Notification, Report},
};

/// A step of a payment.
pub(super) enum Step<'call> {
    /// To set its amount aside.
    Authorize(&'call PaymentToken),
    /// To collect it.
    Capture(&'call PaymentReference),
    /// To let go of it.
    Void(&'call PaymentReference),
    /// To give some of it back.
    Refund(&'call PaymentReference, RefundNumber),
}

/// When a call comes, and how long something takes that it begins.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// The time of the call.
    pub(super) now: Timestamp,
    /// How long a payment is undecided that is decided later.
    pub(super) decided_after: Duration,
}

/// What a provider knows.
#[derive(Default)]
pub(super) struct State {
    /// How well it works.
    pub(super) health: Health,
    /// What it did.
    pub(super) ledger: Ledger,
    keys: HashMap<String, Key>,
    payments: HashMap<PaymentReference, Held>,
    references_by_order: HashMap<OrderId, Vec<PaymentReference>>,
    /// Payments that are decided later, and when; the next one first. Each waits for the same time, so the
    /// order in which they came is that in which they are due.
    undecided: VecDeque<(Timestamp, PaymentReference)>,
    /// Refunds that fail later, and when; the next one first, for the same reason.
    failing: VecDeque<(Timestamp, PaymentReference, RefundNumber)>,
    /// What has happened and was told nobody yet. Taken with each call, so it stays short.
    notifications: Vec<Notification>,
}

/// An idempotency key.
struct Key {
    request: Fingerprint,
    calls: u32,
    /// What came of it, once something has.
    made: Option<Made>,
}

/// What stands for a request. The request itself has the token in it, which is not kept.
type Fingerprint = [u8; 32];

/// What came of a key.
#[derive(Clone)]
enum Made {
    /// It is about this payment.
    Payment(PaymentReference),
    /// A refund of this payment was made.
    Refund(PaymentReference, RefundNumber),
    /// A refund was refused.
    NoRefund(RefundNumber, RefundFailureReason),
}

/// A payment, and how it behaves.
struct Held {
    record: PaymentRecord,
    /// How much was asked for. Cards that authorize or capture another amount move another.
    asked: Amount,
    behaviour: Behaviour,
    /// The key of its authorization.
    key: String,
    /// What the customer's bank wants back, while that is not decided.
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
    /// Carries a call out. The answer is what has become of the payment, and the course says how it reaches
    /// the caller. An error says that nothing has been done.
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
        let made = self.keys.get(&payment.key).and_then(|key| key.made.clone());
        let made = match (made, step) {
            (Some(made), Step::Authorize(_) | Step::Refund(..)) => made,
            // These start from one place only, so repeating them is safe; and the first time may have been
            // too early for them.
            (_, Step::Capture(_) | Step::Void(_)) | (None, _) => {
                let made = self.carry_out(payment, step, behaviour, moment, random);
                made.ok_or(Reply::Failed(Failure::Full))?
            }
        };
        let answer = self.answer(&made);
        if let Some(key) = self.keys.get_mut(&payment.key) {
            key.made = Some(made);
        }
        Ok((answer, course))
    }

    /// Whether a call can be carried out at all, and how its payment behaves.
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
        let Held { record, asked, behaviour, .. } =
            self.payments.get(reference).ok_or(Refusal::UnknownReference)?;
        let is_this = record.order_id == payment.order_id
            && record.currency == payment.currency
            && (is_in_part || *asked == payment.amount);
        if is_this { Ok(*behaviour) } else { Err(Refusal::AnotherPayment) }
    }

    /// Counts a call with its key, and says how many there were.
    fn count_call(&mut self, payment: &Payment, step: &Step<'_>) -> Result<u32, Reply> {
        if !self.keys.contains_key(&payment.key) && self.keys.len() >= MAX_KEYS {
            return Err(Reply::Failed(Failure::Full));
        }
        let new = || Key { request: fingerprint(payment, step), calls: 0, made: None };
        let key = self.keys.entry(payment.key.clone()).or_insert_with(new);
        key.calls = key.calls.saturating_add(1);
        Ok(key.calls)
    }

    /// Does what a key stands for. `None` when there is no room for it.
    fn carry_out(
        &mut self,
        payment: &Payment,
        step: &Step<'_>,
        behaviour: Behaviour,
        moment: Moment,
        random: &dyn Random,
    ) -> Option<Made> {
        let now = moment.now;
        Some(match step {
            Step::Authorize(_) => Made::Payment(self.begin(payment, behaviour, moment, random)?),
            Step::Capture(reference) => {
                self.move_on(reference, Operation::Capture, &payment.key, now);
                Made::Payment((*reference).clone())
            }
            Step::Void(reference) => {
                self.move_on(reference, Operation::Void, &payment.key, now);
                Made::Payment((*reference).clone())
            }
            Step::Refund(reference, number) => self.give_back(payment, reference, *number, moment),
        })
    }

    /// Begins a payment. `None` when there is no reference for it.
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
        let held = Held { record, asked: payment.amount, behaviour, key: key.clone(), disputed: None };
        self.payments.insert(reference.clone(), held);
        match behaviour.verdict {
            Verdict::Authorize => self.move_on(&reference, Operation::Authorize, &key, moment.now),
            Verdict::AuthorizeLater => {
                let at = moment.now.checked_add(moment.decided_after).unwrap_or(Timestamp::MAX);
                self.undecided.push_back((at, reference.clone()));
            }
            Verdict::Decline(_) => self.move_on(&reference, Operation::Decline, &key, moment.now),
        }
        Some(reference)
    }

    /// A reference that no payment has.
    fn new_reference(&self, random: &dyn Random) -> Option<PaymentReference> {
        let first = random.next_u64();
        // There are no more payments than keys, so one of these is free: nearly always the first.
        (0..=MAX_KEYS as u64)
            .filter_map(|offset| {
                PaymentReference::new(&format!("pay_{:016x}", first.wrapping_add(offset))).ok()
            })
            .find(|reference| !self.payments.contains_key(reference))
    }

    /// Moves a payment on, where it is at the place from which this operation starts. Elsewhere nothing
    /// happens: it is further than that, or has ended.
    fn move_on(&mut self, reference: &PaymentReference, operation: Operation, key: &str, now: Timestamp) {
        let Some(held) = self.payments.get_mut(reference) else { return };
        let Held { record, asked, behaviour, .. } = held;
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
            record.amount = behaviour.captured(*asked, record.amount);
        }
        let (order_id, amount) = (record.order_id, record.amount);
        if let Some(report) = report_of(held) {
            self.notifications.push(Notification { order_id, report });
        }
        self.note(order_id, reference, operation, amount, key, now);
    }

    /// Gives back what is asked for, where as much is left of what was captured.
    fn give_back(
        &mut self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
        moment: Moment,
    ) -> Made {
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
        let (made, report) = if refunded.is_some() {
            (Made::Refund(reference.clone(), number), Report::Refunded { number })
        } else {
            let reason = RefundFailureReason::NothingLeft;
            (Made::NoRefund(number, reason), Report::RefundRefused { number, reason })
        };
        self.notifications.push(Notification { order_id, report });
        if refunded.is_some() {
            self.note(order_id, reference, Operation::Refund, amount, key, now);
        }
        made
    }

    fn note(
        &mut self,
        order_id: OrderId,
        reference: &PaymentReference,
        operation: Operation,
        amount: Amount,
        key: &str,
        at: Timestamp,
    ) {
        let (reference, key) = (reference.clone(), key.to_owned());
        // The ledger numbers it.
        self.ledger.add(Entry { sequence: 0, at, order_id, reference, operation, amount, key });
    }

    /// What has become of what a key stands for.
    fn answer(&self, made: &Made) -> Answer {
        let report = match made {
            Made::Payment(reference) => self.payments.get(reference).and_then(report_of),
            Made::Refund(reference, number) => {
                let refunds = self.payments.get(reference).map(|held| held.record.refunds.as_slice());
                let refund = refunds.unwrap_or_default().iter().find(|refund| refund.number == *number);
                Some(match refund.and_then(|refund| refund.failure) {
                    Some(reason) => Report::RefundRefused { number: *number, reason },
                    None => Report::Refunded { number: *number },
                })
            }
            Made::NoRefund(number, reason) => {
                Some(Report::RefundRefused { number: *number, reason: *reason })
            }
        };
        report.map_or(Answer::Pending, Answer::Report)
    }

    /// Decides the payments that are due to be decided, and has refunds fail that are due to fail.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.fail_refunds(now);
        while let Some((at, reference)) = self.undecided.pop_front_if(|(at, _)| *at <= now) {
            if let Some(key) = self.payments.get(&reference).map(|held| held.key.clone()) {
                self.move_on(&reference, Operation::Authorize, &key, at);
            }
        }
    }

    /// Has the refunds fail that are due to fail.
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
            self.note(order_id, &reference, Operation::FailRefund, amount, &key, at);
        }
    }

    /// Gives so much back by hand, or what is left of it. `None` where nothing is left, and where no refund can be
    /// of such an amount.
    pub(super) fn refund_by_hand(
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
        let report =
            Report::RefundedElsewhere { payment: payment.clone(), reference: reference.clone(), money };
        self.notifications.push(Notification { order_id, report });
        self.note(order_id, payment, Operation::Refund, amount, reference.as_str(), now);
        Some(())
    }

    /// Has the customer's bank want back what is left. `None` where nothing is, or a chargeback is open.
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

    /// Decides the chargeback of a payment. `None` where none is open.
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
            self.note(order_id, payment, Operation::Refund, amount, reference.as_str(), now);
        }
        let report = Report::Chargeback { payment: payment.clone(), reference, money, outcome };
        self.notifications.push(Notification { order_id, report });
        Some(())
    }

    /// What has happened since this was last asked.
    pub(super) fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    /// The payments of an order, oldest first.
    pub(super) fn payments(&self, order_id: OrderId) -> Vec<PaymentRecord> {
        let references = self.references_by_order.get(&order_id).into_iter().flatten();
        references
            .filter_map(|reference| self.payments.get(reference))
            .map(|held| held.record.clone())
            .collect()
    }
}

/// What is to be said of a payment; nothing, while it is not decided.
fn report_of(Held { record, asked, .. }: &Held) -> Option<Report> {
    let reference = record.reference.clone();
    let money = Money { amount: record.amount, currency: record.currency };
    let differs = record.amount != *asked;
    match record.state {
        PaymentState::Pending => None,
        PaymentState::Authorized if differs => Some(Report::AuthorizedFor { reference, money }),
        PaymentState::Captured if differs => Some(Report::CapturedFor { reference, money }),
        PaymentState::Authorized => Some(Report::Authorized { reference }),
        PaymentState::Captured => Some(Report::Captured { reference }),
        PaymentState::Voided => Some(Report::Voided { reference }),
        PaymentState::Declined { reason } => Some(Report::Declined { reason }),
    }
}

/// The same for the same request only.
fn fingerprint(payment: &Payment, step: &Step<'_>) -> Fingerprint {
    let step = match step {
        Step::Authorize(token) => format!("authorize {}", token.as_str()),
        Step::Capture(reference) => format!("capture {reference}"),
        Step::Void(reference) => format!("void {reference}"),
        Step::Refund(reference, number) => format!("refund {number} {reference}"),
    };
    // No part has a space in it, so no two requests make the same text.
    let Payment { order_id, amount, currency, .. } = payment;
    let text = format!("{order_id} {} {} {step}", amount.minor(), currency.code());
    Sha256::digest(text).into()
}
