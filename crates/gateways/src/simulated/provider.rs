//! The rules of a payment provider that moves no money.
//!
//! A [`Provider`] is a state machine: a call goes in with the time, and an [`Outcome`] comes out. It never
//! waits and never asks what time it is.
//!
//! What it holds to, which is what the engine's port asks of any provider:
//!
//! - A key stands for one request. Repeating it has no further effect, and is answered with what has become
//!   of the payment meanwhile. The same key with another request is refused.
//! - Keys, not orders, make calls the same. Whoever authorizes one order with two keys gets two payments,
//!   as with a real provider, and the ledger shows it.
//! - A payment that is further than a call expects is no error: to void what is captured is answered with
//!   `Captured`.
//! - Refunds never exceed what was captured. One that would is refused for good, by its key.
//! - A call that is refused or fails before anything is done leaves no trace but the count of its key.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_domain::{
    Amount, Currency, OrderId, Timestamp,
    order::{DeclineReason, PaymentReference, PaymentToken, RefundFailureReason, RefundNumber},
};
use dabba_engine::{AmountNotAccepted, AmountRules, Payment, Random};
use serde::{Deserialize, Serialize};

use super::{
    ledger::{Entry, Summary},
    state::{Moment, State, Step},
    tokens::Course,
    wire::{Answer, Notification},
};

/// How long an answer takes that is late, unless set otherwise.
const ANSWER_DELAY: Duration = Duration::from_secs(3);
/// How long a payment is undecided that is decided later, unless set otherwise.
const DECISION_DELAY: Duration = Duration::from_secs(3);

/// The smallest payment, in minor units.
const MINIMUM: i64 = 30;

/// The largest payment, in minor units: eight digits.
const MAXIMUM: i64 = 99_999_999;
/// The smallest payment in currencies with thousandths, in minor units.
const THOUSANDTHS_MINIMUM: i64 = 300;
/// Amounts in thousandths have to be a multiple of this.
const THOUSANDTHS_STEP: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// A payment provider that moves no money. To be shared by all that speak to it.
pub struct Provider {
    random: Arc<dyn Random>,
    delays: Delays,
    state: Mutex<State>,
}

/// How long things take that take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// How long an answer takes that is late (`tok_slow`).
    pub answer: Duration,
    /// How long a payment is undecided that is decided later (`tok_pending`).
    pub decision: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { answer: ANSWER_DELAY, decision: DECISION_DELAY }
    }
}

/// How well the whole provider works. It is switched by tests and operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Health {
    /// As the tokens say.
    #[default]
    Up,
    /// Every call fails before anything is done.
    Down,
    /// Some calls fail, before they are done or after, at random; the others go as their tokens say.
    Flapping {
        /// How many of a hundred calls fail. From 100 on, all of them.
        percent: u8,
    },
}

impl Health {
    fn course(self, random: &dyn Random) -> Course {
        match self {
            Self::Up => Course::Smooth,
            Self::Down => Course::FailsBefore,
            Self::Flapping { percent } => Course::flapping(percent, random),
        }
    }
}

/// What comes of a call: what the caller gets to see, and what has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// How long the caller waits for the reply.
    pub delay: Duration,
    /// What the caller gets.
    pub reply: Reply,
    /// What has happened since the last call or in this one, oldest first. Each thing that happens is told
    /// once, to whoever calls next, so that webhooks can be made of it.
    pub notifications: Vec<Notification>,
}

/// What a caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What has become of the payment.
    Answer(Answer),
    /// The call is wrong. Nothing has been done.
    Refused(Refusal),
    /// An error. Whether the call has been done, the caller does not learn.
    Failed(Failure),
    /// Nothing, ever.
    Silence,
}

/// Why a call is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key cannot be read.
    #[error("an idempotency key has 1 to {MAX_KEY_LENGTH} letters, digits, hyphens and underscores")]
    KeyNotValid,
    /// The key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// There is nothing to move.
    #[error("the amount must be more than nothing")]
    NoAmount,
    /// The amount or the currency is not accepted.
    #[error(transparent)]
    AmountNotAccepted(AmountNotAccepted),
    /// There is no such payment.
    #[error("there is no payment with this reference")]
    UnknownReference,
    /// The payment is another order's, or of another amount or currency.
    #[error("the payment with this reference is for another order, amount or currency")]
    AnotherPayment,
}

impl Refusal {
    /// Whether neither a retry nor an operator can change that the call is refused.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::NoAmount | Self::AmountNotAccepted(_))
    }
}

/// Why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was made to, by its token or by the provider's health.
    #[error("the simulated provider fails, as it was told to")]
    Simulated,
    /// There is no room for another key.
    #[error("the simulated provider keeps {MAX_KEYS} calls in memory, and is full")]
    Full,
}

/// Longest idempotency key, in characters.
pub const MAX_KEY_LENGTH: usize = 255;
/// Most idempotency keys that a provider keeps. Payments and the ledger grow with them only. That is about
/// a gigabyte, and more than a day of a busy server's orders.
pub const MAX_KEYS: usize = 2_000_000;

/// A payment, as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRecord {
    /// What the provider calls it.
    pub reference: PaymentReference,
    /// The order that it is for.
    pub order_id: OrderId,
    /// How much is set aside or collected.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
    /// When it was first asked for.
    pub created_at: Timestamp,
    /// How far it is.
    #[serde(flatten)]
    pub state: PaymentState,
    /// Sum of the refunds that were not reversed.
    pub refunded: Amount,
    /// What has been given back, one by one, oldest first.
    pub refunds: Vec<RefundRecord>,
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PaymentState {
    /// It is not decided.
    Pending,
    /// The amount is set aside.
    Authorized,
    /// The amount is collected.
    Captured,
    /// The amount was let go of.
    Voided,
    /// It was refused.
    Declined {
        /// Why.
        reason: DeclineReason,
    },
}

/// A refund that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRecord {
    /// Which of the order's refunds it is.
    pub number: RefundNumber,
    /// How much.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
    /// Why it failed after it was made, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RefundFailureReason>,
}

/// What a simulated provider accepts in a currency: every currency that has a minor unit of its own or none. The
/// minimum is 30 minor units, in thousandths 300; the maximum is 99,999,999 minor units; thousandths have to be
/// multiples of ten.
pub fn rules(currency: Currency) -> Option<AmountRules> {
    let (minimum, multiple_of) = match currency.minor_digits()? {
        0 | 2 => (MINIMUM, NonZeroU32::MIN),
        3 => (THOUSANDTHS_MINIMUM, THOUSANDTHS_STEP),
        _ => return None,
    };
    let [minimum, maximum] = [minimum, MAXIMUM].map(Amount::from_minor);
    Some(AmountRules { minimum: minimum.ok()?, maximum: maximum.ok()?, multiple_of })
}

impl Provider {
    /// A provider that knows no payments. References and what is random follow from `random`, so the same
    /// calls after the same seed have the same outcome.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self::with_delays(random, Delays::default())
    }

    /// The same, where long things take as long as this.
    pub fn with_delays(random: Arc<dyn Random>, delays: Delays) -> Self {
        Self { random, delays, state: Mutex::default() }
    }

    /// Sets the payment's amount aside.
    pub fn authorize(&self, payment: &Payment, token: &PaymentToken, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Authorize(token), now)
    }

    /// Captures the requested part of an authorized amount. The rest is released.
    pub fn capture(&self, payment: &Payment, reference: &PaymentReference, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Capture(reference), now)
    }

    /// Lets go of an amount that is set aside, or may be soon.
    pub fn void(&self, payment: &Payment, reference: &PaymentReference, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Void(reference), now)
    }

    /// Gives `payment.amount` back, of what has been collected.
    pub fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
        now: Timestamp,
    ) -> Outcome {
        self.call(payment, &Step::Refund(reference, number), now)
    }

    fn call(&self, payment: &Payment, step: &Step<'_>, now: Timestamp) -> Outcome {
        let mut state = self.lock();
        state.settle(now);
        let random = &*self.random;
        let health = state.health.course(random);
        let performed = match health {
            Course::FailsBefore => Err(Reply::Failed(Failure::Simulated)),
            _ => state.perform(payment, step, Moment { now, decided_after: self.delays.decision }, random),
        };
        let (delay, reply) = match performed {
            Ok((answer, course)) => self.reply(answer, course.worse(health)),
            Err(reply) => (Duration::ZERO, reply),
        };
        Outcome { delay, reply, notifications: state.take_notifications() }
    }

    /// How an answer reaches the caller of a call that goes like this.
    fn reply(&self, answer: Answer, course: Course) -> (Duration, Reply) {
        match course {
            Course::Smooth => (Duration::ZERO, Reply::Answer(answer)),
            Course::Late => (self.delays.answer, Reply::Answer(answer)),
            Course::FailsBefore | Course::FailsAfter => (Duration::ZERO, Reply::Failed(Failure::Simulated)),
            Course::Silent => (Duration::ZERO, Reply::Silence),
        }
    }

    /// Decides what is to be decided by now, and says what has happened since the last call. Without it
    /// that is done with the next call, whichever it is.
    pub fn settle(&self, now: Timestamp) -> Vec<Notification> {
        let mut state = self.lock();
        state.settle(now);
        state.take_notifications()
    }

    /// Gives so much of a payment back by hand, as somebody does in a provider's dashboard, or what is left of it.
    /// An amount that no refund in this currency can have does nothing.
    /// Answers what has happened.
    pub fn refund_by_hand(
        &self,
        payment: &PaymentReference,
        amount: Amount,
        now: Timestamp,
    ) -> Vec<Notification> {
        let mut state = self.lock();
        state.refund_by_hand(payment, amount, now, &*self.random);
        state.take_notifications()
    }

    /// Has the customer's bank want back what is left of a payment. Answers what has happened.
    pub fn open_chargeback(&self, payment: &PaymentReference) -> Vec<Notification> {
        let mut state = self.lock();
        state.open_chargeback(payment, &*self.random);
        state.take_notifications()
    }

    /// Decides the chargeback of a payment, for or against the customer. Answers what has happened.
    pub fn close_chargeback(
        &self,
        payment: &PaymentReference,
        is_won: bool,
        now: Timestamp,
    ) -> Vec<Notification> {
        let mut state = self.lock();
        state.close_chargeback(payment, is_won, now);
        state.take_notifications()
    }

    /// Makes the provider work, fail, or do both by turns.
    pub fn set_health(&self, health: Health) {
        self.lock().health = health;
    }

    /// How well the provider works.
    pub fn health(&self) -> Health {
        self.lock().health
    }

    /// The payments of an order, oldest first. More than one is a defect of the caller, unless all but one
    /// were declined.
    pub fn payments(&self, order_id: OrderId) -> Vec<PaymentRecord> {
        self.lock().payments(order_id)
    }

    /// The entries of the ledger after this one, oldest first, at most `limit`. The first is number 1.
    pub fn ledger(&self, after: u64, limit: usize) -> Vec<Entry> {
        self.lock().ledger.after(after, limit)
    }

    /// What the ledger says of an order, summed up. Of an order that is not known: nothing.
    pub fn summary(&self, order_id: OrderId) -> Summary {
        self.lock().ledger.summary(order_id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
