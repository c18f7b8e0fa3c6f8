//! Tasks: work on an order that Dabba does later, without a waiting client.

use serde::{Deserialize, Serialize};

use super::{PaymentToken, RefundNumber, ReviewReason, named::named_variants};

/// A task, with the data that it needs in addition to the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "snake_case")]
pub enum Task {
    /// Warn the restaurant that its time to accept is running out.
    WarnUnaccepted,
    /// Give the command `expire` once the acceptance deadline has passed.
    ExpireUnaccepted,
    /// Give the command `expire` if the payment is not certain by its deadline.
    ExpireUnpaid,
    /// Ask the payment provider to authorize the payment.
    AuthorizePayment {
        /// Token for the customer's card.
        token: PaymentToken,
    },
    /// Ask the payment provider to capture the authorized payment.
    CapturePayment,
    /// Ask the payment provider to void the authorization.
    VoidPayment,
    /// Ask the payment provider to refund money.
    RefundPayment {
        /// Number of the refund within the order.
        number: RefundNumber,
    },
    /// Ask an admin to review the order. No worker runs this task: it is parked from the start, until an admin resolves
    /// it.
    Review {
        /// Reason for the review.
        reason: ReviewReason,
    },
}

impl Task {
    /// Returns the kind of the task.
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

/// The kind of a task.
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
    /// Returns the queue of tasks of this kind.
    pub const fn queue(self) -> TaskQueue {
        match self {
            // Every task needs a queue, although no worker leases a review.
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
    /// Whether tasks of this kind are for an admin and not for a worker. A store parks such tasks when it writes them.
    pub const fn needs_admin(self) -> bool {
        matches!(self, Self::Review)
    }
}

/// A queue of tasks. Workers process each queue separately, so that tasks for a payment provider that does not respond
/// do not delay deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskQueue {
    /// Tasks that must run at a certain time.
    Deadlines,
    /// Tasks for the payment provider.
    Payments,
}

named_variants!(TaskQueue {
    Deadlines => "deadlines",
    Payments => "payments",
});
