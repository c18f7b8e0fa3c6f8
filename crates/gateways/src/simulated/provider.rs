//! The rules of the simulated payment provider, which moves no money.
//!
//! A [`Provider`] is a state machine: it takes a call and the current time and returns an [`Outcome`]. It
//! never waits and never reads a clock.
//!
//! The provider keeps these rules, which the engine's port demands of every provider:
//!
//! - A key identifies one request. A retry has no further effect, and its answer is the current state of the
//!   payment. The provider refuses the same key with a different request.
//! - Calls are the same if their keys are the same; the order does not matter. A caller who authorizes one
//!   order with two keys creates two payments, as with a real provider, and the ledger shows both.
//! - A payment that is in a later state than a call expects is not an error: the answer to a void of a
//!   captured payment is `Captured`.
//! - Refunds never exceed the captured amount. The provider refuses a refund that would exceed it, and gives
//!   the same answer for the same key from then on.
//! - A call that is refused or fails before it has an effect changes nothing, except that a failed call is
//!   counted for its key.

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

/// Default delay of a late reply.
const ANSWER_DELAY: Duration = Duration::from_secs(3);
/// Default time until a pending payment is decided.
const DECISION_DELAY: Duration = Duration::from_secs(3);

/// Minimum of a payment, in minor units.
const MINIMUM: i64 = 30;

/// Maximum of a payment, in minor units: eight digits.
const MAXIMUM: i64 = 99_999_999;
/// Minimum of a payment in currencies with thousandths, in minor units.
const THOUSANDTHS_MINIMUM: i64 = 300;
/// Amounts in thousandths must be a multiple of this number.
const THOUSANDTHS_STEP: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// A payment provider that moves no money. All callers share one provider.
pub struct Provider {
    random: Arc<dyn Random>,
    delays: Delays,
    state: Mutex<State>,
}

/// The delays that the provider simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Delay of a late reply (`tok_slow`).
    pub answer: Duration,
    /// Time until a pending payment is decided (`tok_pending`).
    pub decision: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { answer: ANSWER_DELAY, decision: DECISION_DELAY }
    }
}

/// The health of the whole provider. Tests and operators set it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProviderHealth {
    /// Every call behaves as its token demands.
    #[default]
    Up,
    /// Every call fails before it has an effect.
    Down,
    /// A random share of the calls fails, before or after the effect. The other calls behave as their tokens
    /// demand.
    Flapping {
        /// Percentage of calls that fail. From 100 on, all calls fail.
        percent: u8,
    },
}

impl ProviderHealth {
    fn course(self, random: &dyn Random) -> Course {
        match self {
            Self::Up => Course::Smooth,
            Self::Down => Course::FailsBefore,
            Self::Flapping { percent } => Course::flapping(percent, random),
        }
    }
}

/// The result of a call: the reply to the caller, and the changes since the last call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// The time that the caller waits for the reply.
    pub delay: Duration,
    /// The reply to the caller.
    pub reply: Reply,
    /// The changes in this call or since the last call, oldest first. The provider reports every change once,
    /// to the next caller, so that the caller can send webhooks.
    pub notifications: Vec<Notification>,
}

/// The reply to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The current state of the payment.
    Answer(Answer),
    /// The call is wrong. It had no effect.
    Refused(Refusal),
    /// An error. The caller does not learn whether the call had an effect.
    Failed(Failure),
    /// The call never gets a reply.
    Silence,
}

/// The reason why a call is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key is malformed.
    #[error("the idempotency key must have 1 to {MAX_KEY_LENGTH} letters, digits, hyphens or underscores")]
    KeyNotValid,
    /// The key belongs to a different request.
    #[error("the idempotency key was used for a different request; use a new key")]
    KeyReused,
    /// The amount is zero.
    #[error("the amount must be at least one minor unit")]
    NoAmount,
    /// The amount or the currency is not accepted.
    #[error(transparent)]
    AmountNotAccepted(AmountNotAccepted),
    /// The payment does not exist.
    #[error("there is no payment with this reference")]
    UnknownReference,
    /// The payment belongs to another order, or has another amount or currency.
    #[error("the payment with this reference has another order, amount or currency")]
    PaymentMismatch,
}

impl Refusal {
    /// Returns whether neither a retry nor an operator can make the provider accept the call.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::NoAmount | Self::AmountNotAccepted(_))
    }
}

/// The reason why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A token or the provider's health demands the failure.
    #[error("the simulated provider fails because the token or its health demands it")]
    Simulated,
    /// The memory for idempotency keys is full.
    #[error("the simulated provider is full: it stores at most {MAX_KEYS} idempotency keys; restart it")]
    Full,
}

/// Maximum length of an idempotency key, in characters.
pub const MAX_KEY_LENGTH: usize = 255;
/// Maximum number of idempotency keys that a provider stores. Payments and ledger entries grow only with the
/// number of keys. The maximum needs about a gigabyte, and lasts for more than a day of a busy server's
/// orders.
pub const MAX_KEYS: usize = 2_000_000;

/// A payment in the provider's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRecord {
    /// The provider's id of the payment.
    pub reference: PaymentReference,
    /// The order of the payment.
    pub order_id: OrderId,
    /// The authorized or captured amount.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// The time of the first authorization call.
    pub created_at: Timestamp,
    /// The state of the payment.
    #[serde(flatten)]
    pub state: PaymentState,
    /// Total of the refunds that did not fail.
    pub refunded: Amount,
    /// All refunds that Dabba requested, oldest first.
    pub refunds: Vec<RefundRecord>,
}

/// The state of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PaymentState {
    /// The payment is not decided yet.
    Pending,
    /// The amount is authorized.
    Authorized,
    /// The amount is captured.
    Captured,
    /// The authorization was voided.
    Voided,
    /// The payment was declined.
    Declined {
        /// The reason.
        reason: DeclineReason,
    },
}

/// A refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRecord {
    /// The number of the refund within its order.
    pub number: RefundNumber,
    /// The amount.
    pub amount: Amount,
    /// The time of the refund.
    pub at: Timestamp,
    /// The reason why the refund failed after it had succeeded; absent if it did not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RefundFailureReason>,
}

/// Returns the amounts that the simulated provider accepts in a currency. It accepts every currency whose
/// minor unit has no digits, two or three. The minimum is 30 minor units, or 300 in currencies with
/// thousandths. The maximum is 99,999,999 minor units. Amounts in thousandths must be multiples of ten.
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
    /// Creates a provider without payments. References and random failures depend only on `random`: with the
    /// same seed, the same calls have the same outcome.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self::with_delays(random, Delays::default())
    }

    /// Creates a provider without payments that uses these delays.
    pub fn with_delays(random: Arc<dyn Random>, delays: Delays) -> Self {
        Self { random, delays, state: Mutex::default() }
    }

    /// Authorizes the payment's amount.
    pub fn authorize(&self, payment: &Payment, token: &PaymentToken, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Authorize(token), now)
    }

    /// Captures the requested part of an authorized amount. The rest is released.
    pub fn capture(&self, payment: &Payment, reference: &PaymentReference, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Capture(reference), now)
    }

    /// Voids an authorized or pending payment.
    pub fn void(&self, payment: &Payment, reference: &PaymentReference, now: Timestamp) -> Outcome {
        self.call(payment, &Step::Void(reference), now)
    }

    /// Refunds `payment.amount` of the captured amount.
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

    /// Returns the delay and the reply of a call with this course.
    fn reply(&self, answer: Answer, course: Course) -> (Duration, Reply) {
        match course {
            Course::Smooth => (Duration::ZERO, Reply::Answer(answer)),
            Course::Late => (self.delays.answer, Reply::Answer(answer)),
            Course::FailsBefore | Course::FailsAfter => (Duration::ZERO, Reply::Failed(Failure::Simulated)),
            Course::Silent => (Duration::ZERO, Reply::Silence),
        }
    }

    /// Decides the payments that are due, and returns the changes since the last call. Otherwise the next
    /// call decides them, whichever call it is.
    pub fn settle(&self, now: Timestamp) -> Vec<Notification> {
        let mut state = self.lock();
        state.settle(now);
        state.take_notifications()
    }

    /// Refunds this amount of a payment by hand, as an operator does in a provider's dashboard, or the rest
    /// of the payment if that is less. Does nothing if no refund in this currency can have that amount.
    /// Returns the changes.
    pub fn refund_manually(
        &self,
        payment: &PaymentReference,
        amount: Amount,
        now: Timestamp,
    ) -> Vec<Notification> {
        let mut state = self.lock();
        state.refund_manually(payment, amount, now, &*self.random);
        state.take_notifications()
    }

    /// Opens a chargeback of the rest of a payment: the customer's bank claims the money back. Returns the
    /// changes.
    pub fn open_chargeback(&self, payment: &PaymentReference) -> Vec<Notification> {
        let mut state = self.lock();
        state.open_chargeback(payment, &*self.random);
        state.take_notifications()
    }

    /// Decides the chargeback of a payment. If `is_won` is false, the customer gets the money back. Returns
    /// the changes.
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

    /// Sets the provider's health.
    pub fn set_health(&self, health: ProviderHealth) {
        self.lock().health = health;
    }

    /// Returns the provider's health.
    pub fn health(&self) -> ProviderHealth {
        self.lock().health
    }

    /// Returns the payments of an order, oldest first. More than one payment is a defect of the caller,
    /// unless all but one were declined.
    pub fn payments(&self, order_id: OrderId) -> Vec<PaymentRecord> {
        self.lock().payments(order_id)
    }

    /// Returns at most `limit` ledger entries after the sequence `after`, oldest first. The first entry is
    /// number 1.
    pub fn ledger(&self, after: u64, limit: usize) -> Vec<Entry> {
        self.lock().ledger.after(after, limit)
    }

    /// Returns the ledger totals of an order. All totals of an unknown order are zero.
    pub fn summary(&self, order_id: OrderId) -> Summary {
        self.lock().ledger.summary(order_id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
