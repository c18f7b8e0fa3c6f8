//! Execution of tasks: work on an order, a restaurant or an account at a later time.
//!
//! The task of an order is written in the transaction of the decision that causes it, and completed in the transaction
//! that contains its result. Other tasks are written and completed on their own. In between, a worker leases the task.
//! If a worker dies or is too slow, another worker leases the task again. The lease's fencing token prevents the first
//! worker from completing a task that the second one has leased. So a task is executed at least once, and its result is
//! written exactly once.
//!
//! Workers poll for due tasks. Any number of workers in any number of processes may work on the same databases. Nothing
//! depends on notifications, and a restart loses nothing.
//!
//! Failures of a task:
//!
//! | failure | effect |
//! |---|---|
//! | the subject no longer needs the task | the task is completed, and nothing else changes |
//! | the order changes during the execution | the task is decided again, a bounded number of times |
//! | another worker has leased the task | nothing |
//! | the store is unavailable or overloaded | the task is retried after a pause, at the latest when its lease expires |
//! | the payment provider answers no calls | the task is retried when the circuit breaker allows calls |
//! | the outcome is unknown | the task is retried when its lease expires, unless it is completed |
//! | only a newer server understands the task or its order | the task is postponed for that server, without a failure |
//! | the content of the task cannot be decoded | the task is parked at once, because a retry would fail in the same way; an admin retries it on a newer server, or resolves it |
//! | anything else, including a panic | the task is retried after a pause; after too many failures it is parked until an admin retries or resolves it |
//!
//! Work that only an admin can do is a task too (`Task::Review`): the store parks it when it is written, no worker ever
//! leases it, and an admin resolves it.
//!
//! Each queue has its own worker, so that tasks that wait for a payment provider do not delay deadlines.
//!
//! `registry.rs` states how workers treat each kind of task and each queue, and how to add one.

mod deadlines;
mod maintenance;
mod parked;
mod registry;
mod signals;

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use dabba_domain::{Timestamp, task::TaskQueue};
use dabba_store::{ClaimedTask, Need, Store, StoreError, Supervisor, TaskFailure, TaskRecord, panicked};
use futures::{FutureExt as _, future::join_all};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

pub(crate) use maintenance::MaintenanceConfig;
pub(crate) use signals::{ANNOUNCEMENT_INTERVAL, WorkerSignals};

use self::registry::{KindPolicy, QueuePolicy};
use crate::{
    Clock, Conflict, EngineMetrics, Error, Random, TaskConfig, TaskOutcome,
    boards::Boards,
    clock::after,
    condition::{Condition, Transition},
    order_writer::{Outcome, Progress, Unattended},
    payments::Payments,
    post_commit::PostCommits,
};

/// Minimum interval at which workers poll for due tasks.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Pause after which a task that only a newer server can execute can be leased again.
const NEWER_PAUSE: Duration = Duration::from_secs(2);

/// Maximum length of an error text that is stored with a task, in bytes.
const MAX_ERROR_LENGTH: usize = 2_000;

/// Workers, which execute tasks and maintain the store, and the actions of admins on tasks.
pub struct Work {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) signals: Arc<WorkerSignals>,
    pub(crate) post_commits: Arc<PostCommits>,
    pub(crate) unattended: Arc<Unattended>,
    pub(crate) payments: Arc<Payments>,
    pub(crate) boards: Arc<Boards>,
    pub(crate) config: TaskConfig,
    pub(crate) maintenance: MaintenanceConfig,
}

impl Work {
    /// Executes all due tasks of the store. When `stop` is ready, leases no more tasks and returns after the
    /// tasks in flight are finished. Dropping the future cancels the tasks in flight; they are retried when their
    /// leases expire.
    ///
    /// Stop the workers before [`crate::Engine::shut_down`]; otherwise the results of tasks in flight cannot be written.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let _presence = self.signals.listen();
        let stop = stop.shared();
        let queues = TaskQueue::ALL.iter().map(|queue| {
            let (work, stop) = (Arc::clone(&self), stop.clone());
            // Outside the worker, so that tasks in flight survive a panic of the worker.
            let in_flight = Arc::new(Mutex::new(JoinSet::new()));
            let part = self.supervisor.part(format!("worker_{}", queue.as_str()), Need::Essential);
            async move {
                let run = || Arc::clone(&work).work_queue(*queue, Arc::clone(&in_flight), stop.clone());
                work.supervisor.run(&part, run).await;
            }
        });
        join_all(queues).await;
    }

    /// Executes the task of a queue that has been due longest, if a task is due and the queue has capacity. Returns
    /// whether a task was executed. For simulations and tests, which choose the order of events.
    pub async fn run_next(&self, queue: TaskQueue) -> Result<bool, Error> {
        self.clock.check()?;
        let claimed = self.claim(queue, self.max_in_flight(queue, 1).min(1)).await?;
        for task in &claimed {
            self.execute_and_count(task).await;
        }
        Ok(!claimed.is_empty())
    }

    /// Executes the tasks of a queue until `stop` is ready and the tasks in flight are finished.
    async fn work_queue(
        self: Arc<Self>,
        queue: TaskQueue,
        in_flight: Arc<Mutex<JoinSet<()>>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let mut stop = pin!(stop);
        let mut in_flight = in_flight.lock().await;
        let mut condition = Condition::default();
        let concurrency = self.config.concurrency.max(1);
        loop {
            let free = self.max_in_flight(queue, concurrency).saturating_sub(in_flight.len());
            let asked = self.config.batch_size.max(1).min(free);
            let claimed = match self.claim(queue, asked).await {
                Ok(claimed) => {
                    log(&mut condition, Ok(()));
                    claimed
                }
                Err(error) => {
                    log(&mut condition, Err(error));
                    Vec::new()
                }
            };
            let may_have_more = asked > 0 && claimed.len() >= asked;
            for task in claimed {
                let work = Arc::clone(&self);
                in_flight.spawn(async move { work.execute_and_count(&task).await });
            }
            let pause = async {
                if !may_have_more {
                    let interval = self.config.poll_interval.max(MIN_POLL_INTERVAL);
                    // A notification ends the pause early.
                    let _ = timeout(interval, self.signals.wait_for_wake(queue)).await;
                }
                wait_for_capacity(&mut in_flight, concurrency).await;
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = pause => {}
            }
        }
        while let Some(worked) = in_flight.join_next().await {
            report(worked);
        }
        Ok(())
    }

    /// Returns the maximum number of tasks of a queue in flight.
    fn max_in_flight(&self, queue: TaskQueue, concurrency: usize) -> usize {
        let limit = (QueuePolicy::of(queue).max_in_flight)(self);
        limit.map_or(concurrency, |limit| limit.min(concurrency))
    }

    /// Leases due tasks, at most `limit`.
    async fn claim(&self, queue: TaskQueue, limit: usize) -> Result<Vec<ClaimedTask>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // With a wrong clock, deadlines would be enforced too early or too late.
        self.clock.check().map_err(|skew| StoreError::Unavailable(skew.to_string()))?;
        let lease = self.config.lease;
        let now = self.clock.now();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claim = self.store.claim_due_tasks(queue, now, after(now, lease), limit);
        // After the length of a lease, the leases that the store grants have expired.
        let claimed = timeout(lease, claim).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("it did not return due tasks within the lease".into()))
        })?;
        for task in &claimed {
            self.metrics.tasks_claimed(task.task.kind).inc();
        }
        Ok(claimed)
    }

    /// Executes one task and counts its outcome. Never panics.
    async fn execute_and_count(&self, claimed: &ClaimedTask) {
        // After the lease expires, another worker may lease the task.
        let worked = timeout(self.config.lease, self.execute_and_release(claimed)).await;
        let outcome = worked.unwrap_or(TaskOutcome::Unknown);
        self.metrics.tasks(claimed.task.kind, outcome).inc();
    }

    async fn execute_and_release(&self, claimed: &ClaimedTask) -> TaskOutcome {
        if let Err(error) = &claimed.task.content {
            return self.release_undecodable(claimed, error).await;
        }
        // A panic is caught, so that it counts as a failure of this task only. It leaves the same state behind as an
        // error at the same place.
        let progress = AssertUnwindSafe(async {
            let policy = KindPolicy::of(claimed.task.kind);
            (policy.handler)(self, claimed).await
        })
        .catch_unwind()
        .await;
        let progress = progress.unwrap_or_else(|panic| Err(Error::Internal(panicked(&*panic))));
        match progress {
            Ok(Outcome::Concluded(Progress::Completed)) => TaskOutcome::Completed,
            Ok(Outcome::LeaseLost) => TaskOutcome::LeaseLost,
            Ok(Outcome::Concluded(Progress::NotBefore(run_at))) => {
                let postponed = self.store.postpone_task(claimed.lease, run_at, None).await;
                release_outcome(claimed, postponed, TaskOutcome::Postponed)
            }
            // The order writer refuses a replay of a commit without an idempotency key (`AllowedRefusals`), and no task
            // has a key.
            Ok(Outcome::Replayed { .. }) => {
                self.fail(claimed, &Error::Internal("a task's commit was a replay".into())).await
            }
            Err(Error::OutcomeUnknown) => TaskOutcome::Unknown,
            Err(error) => self.fail(claimed, &error).await,
        }
    }

    /// Ends the lease of a task whose content this program cannot decode. If a newer server wrote the content, or only
    /// a newer server understands the task's order, that server executes the task. Otherwise the task is parked at once.
    async fn release_undecodable(&self, claimed: &ClaimedTask, error: &StoreError) -> TaskOutcome {
        match self.needs_newer_server(claimed, error).await {
            Ok(true) => return self.fail(claimed, &Error::WrittenByNewer).await,
            Ok(false) => {}
            Err(error) => return self.fail(claimed, &error.into()).await,
        }
        let TaskRecord { id, subject, kind, .. } = claimed.task;
        let order_id = subject.order_id().map(tracing::field::display);
        let attempts = claimed.attempts;
        let text = format!(
            "{error}. If a newer version of Dabba wrote the task, upgrade this server and retry the task; otherwise do the \
             work of the task by hand, and resolve the task"
        );
        let failure = failure_of(self.clock.now(), text);
        let parked = self.store.park_task(claimed.lease, &failure).await;
        if parked == Ok(true) {
            tracing::error!(
                task_id = %id, order_id, %subject, %kind, attempts, %error, "a task cannot be decoded and was parked"
            );
        }
        release_outcome(claimed, parked, TaskOutcome::Parked)
    }

    /// Returns whether a task with content that this program cannot decode belongs to a newer server.
    async fn needs_newer_server(
        &self,
        claimed: &ClaimedTask,
        error: &StoreError,
    ) -> Result<bool, StoreError> {
        if matches!(error, StoreError::WrittenByNewer(_)) {
            return Ok(true);
        }
        let Some(order_id) = claimed.task.subject.order_id() else { return Ok(false) };
        match self.store.order(order_id).await {
            Ok(order) => Ok(order.is_some_and(|order| order.is_written_by_newer)),
            Err(StoreError::WrittenByNewer(_)) => Ok(true),
            // The order is damaged too.
            Err(StoreError::Corrupt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends the lease of a failed task: postpones the task for a retry, or parks it.
    async fn fail(&self, claimed: &ClaimedTask, error: &Error) -> TaskOutcome {
        let (attempts, now) = (claimed.attempts, self.clock.now());
        let TaskRecord { id, subject, kind, .. } = claimed.task;
        let order_id = subject.order_id().map(tracing::field::display);
        if matches!(error, Error::WrittenByNewer) {
            // This is not a failure of the task: a newer server executes it.
            tracing::debug!(task_id = %id, order_id, %subject, %kind, "a task is left to a newer server");
            let postponed = self.store.postpone_task(claimed.lease, after(now, NEWER_PAUSE), None).await;
            return release_outcome(claimed, postponed, TaskOutcome::Postponed);
        }
        let policy = KindPolicy::of(kind);
        let failures = claimed.failures.saturating_add(1);
        let failure = failure_of(now, error.to_string());
        let passes_by_itself = matches!(
            error,
            Error::Unavailable | Error::Overloaded | Error::Conflict(Conflict::TooManyChanges)
        );
        if !passes_by_itself && failures >= policy.max_failures {
            let parked = self.store.park_task(claimed.lease, &failure).await;
            if parked == Ok(true) {
                tracing::error!(
                    task_id = %id, order_id, %subject, %kind, attempts, %error, "a task failed too often and was parked"
                );
            }
            return release_outcome(claimed, parked, TaskOutcome::Parked);
        }
        tracing::warn!(task_id = %id, order_id, %subject, %kind, attempts, %error, "a task failed");
        let backoff = (policy.backoff)(&self.config);
        let pause = backoff.pause(failures, self.random.next_u64());
        let postponed = self.store.postpone_task(claimed.lease, after(now, pause), Some(&failure)).await;
        release_outcome(claimed, postponed, TaskOutcome::Postponed)
    }
}

/// Returns a failure with this text, cut to its maximum length.
fn failure_of(at: Timestamp, mut error: String) -> TaskFailure {
    error.truncate(error.floor_char_boundary(MAX_ERROR_LENGTH));
    TaskFailure { at, error }
}

/// Returns the outcome of a task whose lease was ended: `outcome`, unless ending the lease did not succeed.
fn release_outcome(
    claimed: &ClaimedTask,
    released: Result<bool, StoreError>,
    outcome: TaskOutcome,
) -> TaskOutcome {
    match released {
        Ok(true) => outcome,
        Ok(false) => TaskOutcome::LeaseLost,
        // The task is retried when its lease expires.
        Err(error) => {
            tracing::warn!(task_id = %claimed.task.id, %error, "the lease of a task could not be ended; it expires");
            TaskOutcome::Unknown
        }
    }
}

/// Waits until fewer than `concurrency` tasks are in flight.
async fn wait_for_capacity(in_flight: &mut JoinSet<()>, concurrency: usize) {
    while let Some(worked) = in_flight.try_join_next() {
        report(worked);
    }
    while in_flight.len() >= concurrency
        && let Some(worked) = in_flight.join_next().await
    {
        report(worked);
    }
}

/// Errors and panics of a task are handled where it is executed; anything that arrives here is a defect.
fn report(worked: Result<(), tokio::task::JoinError>) {
    if let Err(error) = worked {
        tracing::error!(%error, "the execution of a task panicked or was cancelled");
    }
}

/// Logs when the store or the clock begins to prevent the execution of tasks, and when it stops.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.record(outcome) {
        Some(Transition::Failed(error)) => {
            tracing::warn!(%error, "no tasks are executed until the error is gone");
        }
        Some(Transition::Recovered) => tracing::info!("tasks are executed again"),
        None => {}
    }
}
