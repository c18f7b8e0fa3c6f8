//! Tasks: work that Dabba does later, without a waiting client.
//!
//! Each task has a [`TaskSubject`]: the order, restaurant or account that the work is about. [`TaskKind::rules`] states,
//! for each kind of task, what stores need to know: the subjects that it may have, its queue, and whether a worker or
//! an admin does it. How workers execute a kind (handler, attempts, back-off) is stated in the engine's registry.
//!
//! To add a kind, add a variant to [`Task`] and to [`TaskKind`], and its rules to [`TaskKind::rules`]. To add a queue,
//! add a variant to [`TaskQueue`] with its name. The compiler then names the entry that is missing in the engine's
//! registry.
//!
//! To allow a published kind another subject kind, consider older servers on the same database. A subject kind that older
//! servers do not know is safe: they leave such tasks alone. Therefore a review accepts every subject kind, including
//! those of later versions. A subject kind that they already know is not: they refuse a task that does not fit their
//! rules. Add a kind of task instead.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    AccountId, OrderId, RestaurantId,
    order::{PaymentToken, RefundNumber, ReviewReason, named::named_variants},
};

/// The order, restaurant or account that a task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskSubject {
    /// An order. The order's commit writes the task.
    Order(OrderId),
    /// A restaurant.
    Restaurant(RestaurantId),
    /// An account.
    Account(AccountId),
}

impl TaskSubject {
    /// Returns the subject of this kind with this id from a store. A damaged id is the id of nothing: the task stays
    /// visible, and its handler finds no order, restaurant or account.
    pub const fn stored(kind: TaskSubjectKind, id: Uuid) -> Self {
        match kind {
            TaskSubjectKind::Order => Self::Order(OrderId::unchecked(id)),
            TaskSubjectKind::Restaurant => Self::Restaurant(RestaurantId::unchecked(id)),
            TaskSubjectKind::Account => Self::Account(AccountId::unchecked(id)),
        }
    }

    /// Returns the kind of the subject.
    pub const fn kind(self) -> TaskSubjectKind {
        match self {
            Self::Order(_) => TaskSubjectKind::Order,
            Self::Restaurant(_) => TaskSubjectKind::Restaurant,
            Self::Account(_) => TaskSubjectKind::Account,
        }
    }

    /// Returns the id of the subject.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Order(id) => id.uuid(),
            Self::Restaurant(id) => id.uuid(),
            Self::Account(id) => id.uuid(),
        }
    }

    /// Returns the order; `None` for another subject.
    pub const fn order_id(self) -> Option<OrderId> {
        match self {
            Self::Order(id) => Some(id),
            Self::Restaurant(_) | Self::Account(_) => None,
        }
    }

    /// Returns the restaurant; `None` for another subject.
    pub const fn restaurant_id(self) -> Option<RestaurantId> {
        match self {
            Self::Restaurant(id) => Some(id),
            Self::Order(_) | Self::Account(_) => None,
        }
    }

    /// Returns the account; `None` for another subject.
    pub const fn account_id(self) -> Option<AccountId> {
        match self {
            Self::Account(id) => Some(id),
            Self::Order(_) | Self::Restaurant(_) => None,
        }
    }
}

/// Writes the kind and the id: `restaurant 01234567-89ab-7cde-8f01-23456789abcd`.
impl fmt::Display for TaskSubject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind(), self.uuid())
    }
}

/// The kind of a task's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described at the variant of TaskSubject with its name")]
pub enum TaskSubjectKind {
    Order,
    Restaurant,
    Account,
}

named_variants!(TaskSubjectKind {
    Order => "order",
    Restaurant => "restaurant",
    Account => "account",
});

/// A task, with the data that it needs in addition to its subject.
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
    /// Ask an admin to review the subject. No worker runs this task: it is parked from the start, until an admin
    /// resolves it.
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

/// What stores need to know about the tasks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRules {
    /// Kinds of subjects that the tasks may have.
    pub subjects: &'static [TaskSubjectKind],
    /// Queue of the tasks.
    pub queue: TaskQueue,
    /// Whether the tasks are for an admin and not for a worker. A store parks such tasks when it writes them.
    pub needs_admin: bool,
}

impl TaskRules {
    /// Returns the rules of tasks about an order that a worker executes.
    const fn of_orders(queue: TaskQueue) -> Self {
        Self { subjects: &[TaskSubjectKind::Order], queue, needs_admin: false }
    }
}

impl TaskKind {
    /// Returns the rules of tasks of this kind.
    pub const fn rules(self) -> TaskRules {
        match self {
            Self::WarnUnaccepted | Self::ExpireUnaccepted | Self::ExpireUnpaid => {
                TaskRules::of_orders(TaskQueue::Deadlines)
            }
            Self::AuthorizePayment | Self::CapturePayment | Self::VoidPayment | Self::RefundPayment => {
                TaskRules::of_orders(TaskQueue::Payments)
            }
            // Every task needs a queue, although no worker leases a review.
            Self::Review => {
                TaskRules { subjects: TaskSubjectKind::ALL, queue: TaskQueue::Deadlines, needs_admin: true }
            }
        }
    }

    /// Returns the queue of tasks of this kind.
    pub const fn queue(self) -> TaskQueue {
        self.rules().queue
    }

    /// Returns whether tasks of this kind are for an admin and not for a worker.
    pub const fn needs_admin(self) -> bool {
        self.rules().needs_admin
    }

    /// Returns whether tasks of this kind may have a subject of this kind.
    pub fn accepts(self, subject: TaskSubjectKind) -> bool {
        self.rules().subjects.contains(&subject)
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
