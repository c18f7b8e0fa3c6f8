//! What can be paid with, and how the provider behaves then.
//!
//! | token | the authorization | later steps |
//! |---|---|---|
//! | `tok_succeed` | succeeds | succeed |
//! | `tok_decline` | is declined: `card_declined` | |
//! | `tok_insufficient_funds` | is declined: `insufficient_funds` | |
//! | `tok_expired_card` | is declined: `expired_card` | |
//! | `tok_fraud` | is declined: `suspected_fraud` | |
//! | `tok_slow` | succeeds; the first answer takes three seconds | succeed |
//! | `tok_pending` | is not decided at first, and succeeds after three seconds | succeed |
//! | `tok_timeout` | succeeds; the first answer never comes | succeed |
//! | `tok_timeout_all` | as `tok_timeout` | the same, each step |
//! | `tok_error` | the first two calls fail before anything is done; the third succeeds | succeed |
//! | `tok_error_after` | succeeds; the first call is answered with an error all the same | succeed |
//! | `tok_error_after_all` | as `tok_error_after` | the same, each step |
//! | `tok_flap` | about one call in two fails, before it is done or after, at random | the same, each step |
//! | `tok_refund_fails_late` | succeeds | succeed; the first refund is answered as made, and fails three seconds later |
//! | `tok_authorizes_less` | is of 10 minor units less than was asked for | the capture is of what was authorized |
//! | `tok_authorizes_more` | is of 10 minor units more than was asked for | the capture is of what was asked for |
//! | `tok_captures_less` | succeeds | the capture is of 10 minor units less than was asked for; the rest succeed |
//! | any other | is declined: `invalid_token` | |
//!
//! Calls are counted for each idempotency key, so "the first" means the first with this key. The times are
//! those of [`Delays`](super::provider::Delays), which can be set.
//!
//! To add a token, add a row here and one to `TOKENS`. The tests go through the list.

use dabba_domain::{
    Amount,
    order::{DeclineReason, PaymentToken},
};
use dabba_engine::Random;

/// How often a call that flaps fails, in percent.
const FLAP_PERCENT: u8 = 50;
/// How many calls fail first where they fail before anything is done.
const FAILURES_BEFORE: u32 = 2;

/// By how many minor units an amount differs that differs. In every currency the payment of it is accepted.
const DIFFERENCE: i64 = 10;

/// Every token that is known, with what it makes the provider do.
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

/// The names of all tokens that are known, in the order of the table.
pub fn known() -> impl Iterator<Item = &'static str> {
    TOKENS.iter().map(|(name, _)| *name)
}

/// The names of the tokens that move as much as is asked for, in the order of the table.
pub fn exact() -> impl Iterator<Item = &'static str> {
    let exact = TOKENS.iter().filter(|(_, it)| it.authorized_more == 0 && it.captured_more == 0);
    exact.map(|(name, _)| *name)
}

/// How the provider treats a payment that was made with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// What becomes of its authorization.
    pub(super) verdict: Verdict,
    /// Whether the payment's first refund fails after it was answered as made.
    pub(super) first_refund_fails_late: bool,
    /// How many minor units more are authorized than were asked for.
    authorized_more: i64,
    /// How many minor units more are captured than were asked for.
    captured_more: i64,
    fault: Fault,
    is_at_every_step: bool,
}

/// What becomes of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It succeeds at once.
    Authorize,
    /// It succeeds after a while.
    AuthorizeLater,
    /// It is declined.
    Decline(DeclineReason),
}

/// What goes wrong with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    FirstAnswerLate,
    FirstAnswerLost,
    FirstAnswerFails,
    FirstCallsFail,
    Flaps,
}

/// How one call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It is done, and answered.
    Smooth,
    /// It is done, and answered after a while.
    Late,
    /// It fails before anything is done.
    FailsBefore,
    /// It is done, and answered with an error.
    FailsAfter,
    /// It is done, and never answered.
    Silent,
}

impl Behaviour {
    /// Everything succeeds at once.
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

    /// The behaviour for a token, whether it is known or not.
    pub(super) fn of(token: &PaymentToken) -> Self {
        let known = TOKENS.iter().find(|(name, _)| *name == token.as_str());
        known.map_or(Self::declined(DeclineReason::InvalidToken), |(_, behaviour)| *behaviour)
    }

    /// How much is authorized where so much is asked for.
    pub(super) fn authorized(self, asked: Amount) -> Amount {
        Amount::from_minor(asked.minor() + self.authorized_more).unwrap_or(asked)
    }

    /// How much is captured where so much is asked for and so much is authorized.
    pub(super) fn captured(self, asked: Amount, authorized: Amount) -> Amount {
        Amount::from_minor(asked.minor() + self.captured_more).unwrap_or(asked).min(authorized)
    }

    /// How an authorization goes that is called for the `calls`th time with its key.
    pub(super) fn at_authorization(self, calls: u32, random: &dyn Random) -> Course {
        self.fault.course(calls, random)
    }

    /// How a later step goes that is called for the `calls`th time with its key.
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
    /// Fails so often, in percent: one time in two before anything is done, one time in two after.
    pub(super) fn flapping(percent: u8, random: &dyn Random) -> Self {
        let bits = random.next_u64();
        // The lowest bit says when it fails; the others, whether it does.
        match (bits >> 1) % 100 < u64::from(percent) {
            true if bits & 1 == 0 => Self::FailsBefore,
            true => Self::FailsAfter,
            false => Self::Smooth,
        }
    }

    /// How a call goes for which two things are wrong. The worse of them shows.
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
