//! Registry of tasks: how workers treat each kind and each queue.
//!
//! To add a kind of task: add a variant to [`dabba_domain::order::Task`], state its queue in [`TaskKind::queue`], because
//! stores write the queue with the task, and add an entry to [`KindPolicy::of`]. To add a queue: add a variant to
//! [`TaskQueue`] and an entry to [`QueuePolicy::of`]. The compiler names each entry that is missing.

use dabba_domain::order::{TaskKind, TaskQueue};
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

/// How workers treat the tasks of one kind. [`TaskKind::queue`] states the queue.
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
                handler: |_, _| Box::pin(async { Err(left_to_people()) }),
            },
        }
    }
}

/// Returns the error of a task for people that a worker leased. Stores never hand out such a task. If one is unparked
/// nevertheless, this failure parks it again.
fn left_to_people() -> Error {
    Error::Internal("only a person can do this task; resolve it with dabba tasks".into())
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
    use super::*;

    /// Shows the registry: a change of a queue or a limit is visible in the review.
    #[test]
    fn the_registry_states_each_kind() {
        let table = TaskKind::ALL.iter().map(|kind| {
            let KindPolicy { max_failures, backoff, .. } = KindPolicy::of(*kind);
            let Backoff { base, longest } = backoff(&TaskConfig::default());
            let queue = kind.queue();
            format!("{kind}: queue {queue}, {max_failures} failures, back-off {base:?} to {longest:?}")
        });
        insta::assert_snapshot!(table.collect::<Vec<_>>().join("\n"), @"
        warn_unaccepted: queue deadlines, 16 failures, back-off 1s to 300s
        expire_unaccepted: queue deadlines, 16 failures, back-off 1s to 300s
        expire_unpaid: queue deadlines, 16 failures, back-off 1s to 300s
        authorize_payment: queue payments, 20 failures, back-off 1s to 300s
        capture_payment: queue payments, 20 failures, back-off 1s to 300s
        void_payment: queue payments, 20 failures, back-off 1s to 300s
        refund_payment: queue payments, 20 failures, back-off 1s to 300s
        review: queue deadlines, 1 failures, back-off 1s to 300s
        ");
    }
}
