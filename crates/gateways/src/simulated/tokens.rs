//! The payment tokens, and the provider's behaviour for each of them.
//!
//! | token | authorization | later steps |
//! |---|---|---|
//! | `tok_succeed` | succeeds | succeed |
//! | `tok_decline` | is declined: `card_declined` | |
//! | `tok_insufficient_funds` | is declined: `insufficient_funds` | |
//! | `tok_expired_card` | is declined: `expired_card` | |
//! | `tok_fraud` | is declined: `suspected_fraud` | |
//! | `tok_slow` | succeeds; the first reply takes three seconds | succeed |
//! | `tok_pending` | is pending, and succeeds after three seconds | succeed |
//! | `tok_timeout` | succeeds; the first call never gets a reply | succeed |
//! | `tok_timeout_all` | as `tok_timeout` | the same, each step |
//! | `tok_error` | the first two calls fail without effect; the third succeeds | succeed |
//! | `tok_error_after` | succeeds; the first reply is an error nevertheless | succeed |
//! | `tok_error_after_all` | as `tok_error_after` | the same, each step |
//! | `tok_flap` | a random half of the calls fails, before or after the effect | the same, each step |
//! | `tok_refund_fails_late` | succeeds | succeed; the reply to the first refund says refunded, and the refund fails three seconds later |
//! | `tok_authorizes_less` | authorizes 10 minor units less than requested | the capture takes the authorized amount |
//! | `tok_authorizes_more` | authorizes 10 minor units more than requested | the capture takes the requested amount |
//! | `tok_captures_less` | succeeds | the capture takes 10 minor units less than requested; other steps succeed |
//! | any other | is declined: `invalid_token` | |
//!
//! Calls are counted per idempotency key, so "the first" means the first call with this key. The times are
//! the defaults of [`Delays`](super::provider::Delays).
//!
//! To add a token, add a row to this table and an entry to `TOKENS`. The tests iterate over the list.

use dabba_domain::{
    Amount,
    order::{DeclineReason, PaymentToken},
};
use dabba_engine::Random;

/// Percentage of calls that fail with `tok_flap`.
const FLAP_PERCENT: u8 = 50;
/// Number of calls that fail without effect before the first success.
const FAILURES_BEFORE: u32 = 2;

/// Number of minor units by which a differing amount differs. The differing amount of an accepted payment is
/// valid in every currency.
const DIFFERENCE: i64 = 10;

/// All known tokens, with the behaviour that they cause.
const TOKENS: &[(&str, Behaviour)] = &[
    ("tok_succeed", Behaviour::SMOOTH),
    ("tok_decline", Behaviour::declined(DeclineReason::CardDeclined)),
    ("tok_insufficient_funds", Behaviour::declined(DeclineReason::InsufficientFunds)),
    ("tok_expired_card", Behaviour::declined(DeclineReason::ExpiredCard)),
    ("tok_fraud", Behaviour::declined(DeclineReason::SuspectedFraud)),
    ("tok_slow", Behaviour::SMOOTH.with(Fault::FirstAnswerLate)),
    ("tok_pending", Behaviour { verdict: Verdict::AuthorizeLater, ..Behaviour::SMOOTH }),
    ("tok_timeout", Behaviour::SMOOTH.with(Fault::FirstAnswerLost)),
    ("tok_timeout_all", Behaviour::SMOOTH.with(Fault::FirstAnswerLost).at_every_step()),
    ("tok_error", Behaviour::SMOOTH.with(Fault::FirstCallsFail)),
    ("tok_error_after", Behaviour::SMOOTH.with(Fault::FirstAnswerFails)),
    ("tok_error_after_all", Behaviour::SMOOTH.with(Fault::FirstAnswerFails).at_every_step()),
    ("tok_flap", Behaviour::SMOOTH.with(Fault::Flaps).at_every_step()),
    ("tok_refund_fails_late", Behaviour { first_refund_fails_late: true, ..Behaviour::SMOOTH }),
    ("tok_authorizes_less", Behaviour { authorized_more: -DIFFERENCE, ..Behaviour::SMOOTH }),
    ("tok_authorizes_more", Behaviour { authorized_more: DIFFERENCE, ..Behaviour::SMOOTH }),
    ("tok_captures_less", Behaviour { captured_more: -DIFFERENCE, ..Behaviour::SMOOTH }),
];

/// Returns the names of all known tokens, in the order of the table.
pub fn known() -> impl Iterator<Item = &'static str> {
    TOKENS.iter().map(|(name, _)| *name)
}

/// Returns the names of the tokens that move exactly the requested amount, in the order of the table.
pub fn exact() -> impl Iterator<Item = &'static str> {
    let exact = TOKENS.iter().filter(|(_, it)| it.authorized_more == 0 && it.captured_more == 0);
    exact.map(|(name, _)| *name)
}

/// The provider's behaviour for a payment with a certain token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// The result of the authorization.
    pub(super) verdict: Verdict,
    /// Whether the payment's first refund fails after the reply said that it succeeded.
    pub(super) first_refund_fails_late: bool,
    /// Difference between the authorized and the requested amount, in minor units.
    authorized_more: i64,
    /// Difference between the captured and the requested amount, in minor units.
    captured_more: i64,
    fault: Fault,
    is_at_every_step: bool,
}

/// The result of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The authorization succeeds at once.
    Authorize,
    /// The authorization succeeds after a delay.
    AuthorizeLater,
    /// The authorization is declined.
    Decline(DeclineReason),
}

/// A fault that calls suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    FirstAnswerLate,
    FirstAnswerLost,
    FirstAnswerFails,
    FirstCallsFail,
    Flaps,
}

/// The course of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// The call has its effect, and a reply.
    Smooth,
    /// The call has its effect, and a late reply.
    Late,
    /// The call fails without effect.
    FailsBefore,
    /// The call has its effect, and the reply is an error.
    FailsAfter,
    /// The call has its effect, and never gets a reply.
    Silent,
}

impl Behaviour {
    /// All calls succeed at once.
    const SMOOTH: Self = Self {
        verdict: Verdict::Authorize,
        first_refund_fails_late: false,
        authorized_more: 0,
        captured_more: 0,
        fault: Fault::Nothing,
        is_at_every_step: false,
    };

    const fn declined(reason: DeclineReason) -> Self {
        Self { verdict: Verdict::Decline(reason), ..Self::SMOOTH }
    }

    const fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    const fn at_every_step(self) -> Self {
        Self { is_at_every_step: true, ..self }
    }

    /// Returns the behaviour for a token. An unknown token is declined.
    pub(super) fn of(token: &PaymentToken) -> Self {
        let known = TOKENS.iter().find(|(name, _)| *name == token.as_str());
        known.map_or(Self::declined(DeclineReason::InvalidToken), |(_, behaviour)| *behaviour)
    }

    /// Returns the amount that is authorized for the requested amount.
    pub(super) fn authorized(self, requested: Amount) -> Amount {
        Amount::from_minor(requested.minor() + self.authorized_more).unwrap_or(requested)
    }

    /// Returns the amount that is captured for the requested and the authorized amount.
    pub(super) fn captured(self, requested: Amount, authorized: Amount) -> Amount {
        Amount::from_minor(requested.minor() + self.captured_more).unwrap_or(requested).min(authorized)
    }

    /// Returns the course of the `calls`th authorization call with the same key.
    pub(super) fn at_authorization(self, calls: u32, random: &dyn Random) -> Course {
        self.fault.course(calls, random)
    }

    /// Returns the course of the `calls`th call of a later step with the same key.
    pub(super) fn at_later_step(self, calls: u32, random: &dyn Random) -> Course {
        if self.is_at_every_step { self.fault.course(calls, random) } else { Course::Smooth }
    }
}

impl Fault {
    fn course(self, calls: u32, random: &dyn Random) -> Course {
        match self {
            Self::FirstAnswerLate if calls <= 1 => Course::Late,
            Self::FirstAnswerLost if calls <= 1 => Course::Silent,
            Self::FirstAnswerFails if calls <= 1 => Course::FailsAfter,
            Self::FirstCallsFail if calls <= FAILURES_BEFORE => Course::FailsBefore,
            Self::Flaps => Course::flapping(FLAP_PERCENT, random),
            _ => Course::Smooth,
        }
    }
}

impl Course {
    /// Returns a random course that fails in `percent` of the calls: half of the failures before the effect,
    /// half after it.
    pub(super) fn flapping(percent: u8, random: &dyn Random) -> Self {
        let bits = random.next_u64();
        // The lowest bit decides whether the failure comes before or after the effect. The other bits decide
        // whether there is a failure.
        match (bits >> 1) % 100 < u64::from(percent) {
            true if bits & 1 == 0 => Self::FailsBefore,
            true => Self::FailsAfter,
            false => Self::Smooth,
        }
    }

    /// Returns the course of a call with two faults: the worse one.
    pub(super) fn worse(self, other: Self) -> Self {
        let badness = |course| match course {
            Self::Smooth => 0,
            Self::Late => 1,
            Self::FailsAfter => 2,
            Self::Silent => 3,
            Self::FailsBefore => 4,
        };
        if badness(other) > badness(self) { other } else { self }
    }
}
