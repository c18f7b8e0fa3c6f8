//! Registry of tasks: how workers execute each kind and treat each queue.
//!
//! What stores need to know about a kind (subjects, queue, whether it is for an admin) is one entry in the domain
//! ([`TaskKind::rules`]), because a store checks the subject and writes the queue with the task. How workers execute the
//! kind (handler, attempts, back-off) is one entry here, because the domain knows neither workers nor their settings.
//!
//! To add a kind of task: add its variants and its rules in [`dabba_domain::task`], and an entry to [`KindPolicy::of`]. To
//! add a queue: add a variant to [`TaskQueue`] and an entry to [`QueuePolicy::of`]. The compiler names each entry that is
//! missing, and the snapshot below shows the whole table.
//!
//! The handler of a task about an order completes the task in the order's commit. The handler of another task calls
//! [`dabba_store::TaskStore::complete_task`]. A task may be executed twice, so each handler is idempotent.

use dabba_domain::task::{TaskKind, TaskQueue};
use dabba_store::{Backoff, ClaimedTask};
use futures::future::BoxFuture;

use super::Work;
use crate::{
    Error, TaskConfig,
    order_writer::{Outcome, Progress},
};

/// Maximum number of failures of a deadline task before it is parked: about 20 minutes with the default backoff.
const MAX_DEADLINE_FAILURES: u32 = 16;

/// Maximum number of failures of a payment task before it is parked: about half an hour with the default backoff, in
/// which the provider answers other calls.
const MAX_PAYMENT_FAILURES: u32 = 20;

/// Executes a task.
type Handler = for<'a> fn(&'a Work, &'a ClaimedTask) -> BoxFuture<'a, Result<Outcome<Progress>, Error>>;

/// How workers execute the tasks of one kind.
pub(super) struct KindPolicy {
    /// Number of failures after which a task is parked.
    pub(super) max_failures: u32,
    /// Returns the limits of the pauses between attempts.
    pub(super) backoff: fn(&TaskConfig) -> Backoff,
    pub(super) handler: Handler,
}

impl KindPolicy {
    pub(super) const fn of(kind: TaskKind) -> Self {
        match kind {
            TaskKind::WarnUnaccepted | TaskKind::ExpireUnaccepted | TaskKind::ExpireUnpaid => Self {
                max_failures: MAX_DEADLINE_FAILURES,
                backoff: TaskConfig::backoff,
                handler: |work, task| Box::pin(work.enforce_deadline(task)),
            },
            TaskKind::AuthorizePayment
            | TaskKind::CapturePayment
            | TaskKind::VoidPayment
            | TaskKind::RefundPayment => Self {
                max_failures: MAX_PAYMENT_FAILURES,
                backoff: TaskConfig::backoff,
                handler: |work, task| Box::pin(work.payments.execute_step(task)),
            },
            TaskKind::Review => Self {
                max_failures: 1,
                backoff: TaskConfig::backoff,
                handler: |_, _| Box::pin(async { Err(left_to_admins()) }),
            },
        }
    }
}

/// Returns the error of a task for admins that a worker leased. Stores never hand out such a task. If one is unparked
/// nevertheless, this failure parks it again.
fn left_to_admins() -> Error {
    Error::Internal("only an admin can do this task; resolve it with dabba tasks".into())
}

/// How workers treat a queue.
pub(super) struct QueuePolicy {
    /// Returns the maximum number of tasks in flight now; `None`: only the configured limit applies.
    pub(super) max_in_flight: fn(&Work) -> Option<usize>,
}

impl QueuePolicy {
    pub(super) const fn of(queue: TaskQueue) -> Self {
        match queue {
            TaskQueue::Deadlines => Self { max_in_flight: |_| None },
            TaskQueue::Payments => {
                Self { max_in_flight: |work| work.payments.max_in_flight(work.clock.now()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::task::TaskRules;

    use super::*;

    /// Shows the registry: a change of a queue or a limit is visible in the review.
    #[test]
    fn the_registry_states_each_kind() {
        let table = TaskKind::ALL.iter().map(|kind| {
            let KindPolicy { max_failures, backoff, .. } = KindPolicy::of(*kind);
            let Backoff { base, max } = backoff(&TaskConfig::default());
            let TaskRules { subjects, queue, needs_admin } = kind.rules();
            let subjects = subjects.iter().map(|subject| subject.as_str()).collect::<Vec<_>>().join(" or ");
            let executor = if needs_admin { "admin" } else { "worker" };
            format!(
                "{kind}: {executor}, {subjects}, queue {queue}, {max_failures} failures, \
                 back-off {base:?} to {max:?}"
            )
        });
        insta::assert_snapshot!(table.collect::<Vec<_>>().join("\n"), @"
        warn_unaccepted: worker, order, queue deadlines, 16 failures, back-off 1s to 300s
        expire_unaccepted: worker, order, queue deadlines, 16 failures, back-off 1s to 300s
        expire_unpaid: worker, order, queue deadlines, 16 failures, back-off 1s to 300s
        authorize_payment: worker, order, queue payments, 20 failures, back-off 1s to 300s
        capture_payment: worker, order, queue payments, 20 failures, back-off 1s to 300s
        void_payment: worker, order, queue payments, 20 failures, back-off 1s to 300s
        refund_payment: worker, order, queue payments, 20 failures, back-off 1s to 300s
        review: admin, order or restaurant or account, queue deadlines, 1 failures, back-off 1s to 300s
        ");
    }
}
