//! Work that has to be done for an order at some time, with nobody waiting.

use serde::{Deserialize, Serialize};

use super::{PaymentToken, RefundNumber, review::ReviewReason, state::named_variants};

/// A piece of work, with what is needed for it beside the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Task {
    /// Warn the restaurant when its time to accept runs out.
    WarnUnaccepted,
    /// Give the command `expire` when the acceptance deadline has passed.
    ExpireUnaccepted,
    /// Give the command `expire` when the payment is not certain in its time.
    ExpireUnpaid,
    /// Have the payment provider set the money aside.
    AuthorizePayment {
        /// What the customer pays with.
        token: PaymentToken,
    },
    /// Have the payment provider collect the money that is set aside.
    CapturePayment,
    /// Have the payment provider let go of the money that is set aside.
    VoidPayment,
    /// Have the payment provider give money back.
    RefundPayment {
        /// Which of the order's refunds.
        number: RefundNumber,
    },
    /// Have a person look at the order. No worker does it: it is parked from the start, until an admin
    /// resolves it.
    Review {
        /// Why.
        reason: ReviewReason,
    },
}

impl Task {
    /// Which kind of work it is.
    pub const fn kind(&self) -> TaskKind {
        match self {
            Self::WarnUnaccepted => TaskKind::WarnUnaccepted,
            Self::ExpireUnaccepted => TaskKind::ExpireUnaccepted,
            Self::ExpireUnpaid => TaskKind::ExpireUnpaid,
            Self::AuthorizePayment { .. } => TaskKind::AuthorizePayment,
            Self::CapturePayment => TaskKind::CapturePayment,
            Self::VoidPayment => TaskKind::VoidPayment,
            Self::RefundPayment { .. } => TaskKind::RefundPayment,
            Self::Review { .. } => TaskKind::Review,
        }
    }
}

/// The name of a kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is described at the variant of Task with its name")]
pub enum TaskKind {
    WarnUnaccepted,
    ExpireUnaccepted,
    ExpireUnpaid,
    AuthorizePayment,
    CapturePayment,
    VoidPayment,
    RefundPayment,
    Review,
}

named_variants!(TaskKind {
    WarnUnaccepted => "warn_unaccepted",
    ExpireUnaccepted => "expire_unaccepted",
    ExpireUnpaid => "expire_unpaid",
    AuthorizePayment => "authorize_payment",
    CapturePayment => "capture_payment",
    VoidPayment => "void_payment",
    RefundPayment => "refund_payment",
    Review => "review",
});

impl TaskKind {
    /// In which queue tasks of this kind wait.
    pub const fn queue(self) -> TaskQueue {
        match self {
            // No worker takes a review from the queue. It has to stand in one.
            Self::WarnUnaccepted | Self::ExpireUnaccepted | Self::ExpireUnpaid | Self::Review => {
                TaskQueue::Deadlines
            }
            Self::AuthorizePayment | Self::CapturePayment | Self::VoidPayment | Self::RefundPayment => {
                TaskQueue::Payments
            }
        }
    }
}

impl TaskKind {
    /// Whether tasks of this kind are for a person and not for a worker. A store parks them when it writes them.
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Review)
    }
}

/// Tasks of one queue are worked apart from those of the others: what waits for a payment provider that
/// does not answer keeps no deadline from being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskQueue {
    /// What has to happen at a certain time.
    Deadlines,
    /// What a payment provider has to do.
    Payments,
}

named_variants!(TaskQueue {
    Deadlines => "deadlines",
    Payments => "payments",
});
