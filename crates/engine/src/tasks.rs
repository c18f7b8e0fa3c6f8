//! Working the tasks: what has to be done for an order at some time, with nobody waiting.
//!
//! A task is written in the transaction of the decision from which it follows, and completed in the
//! transaction that holds its result. In between, a worker leases it. A worker that dies, or is too slow,
//! is followed by another; the lease's token keeps the first from completing what the second has taken
//! over (a fencing token). So a task is carried out at least once, and its result is written exactly once.
//!
//! Workers ask for what is due, again and again. Any number of them may work on the same databases, in as
//! many processes. Nothing hinges on a signal, and nothing has to be remembered across a restart.
//!
//! What can go wrong with a task, and what is done about it:
//!
//! | | |
//! |---|---|
//! | the order has moved on | the task is completed, and nothing else changes |
//! | the order changes meanwhile | it is decided again, a bounded number of times |
//! | another worker has taken over | nothing |
//! | the store is away or overloaded | the task comes back after a pause; after its lease at the latest |
//! | the outcome is unknown | the task comes back when its lease has run out, unless it is done |
//! | anything else, a panic too | it comes back after a pause; when it has failed too often, it is parked until an admin sees to it |
//!
//! To add a kind: a variant of `TaskKind`, a file here that carries it out, and its arms below.

mod expire;
mod parked;

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use dabba_domain::{Timestamp, order::TaskKind};
use dabba_store::{Backoff, ClaimedTask, StoreError, TaskFailure};
use futures::FutureExt as _;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Conflict, Engine, Error, TaskConfig, TaskOutcome,
    condition::{Condition, News},
};

/// How often an expiry is tried before it is parked: with the default pauses, for about twenty minutes.
const MAX_EXPIRY_ATTEMPTS: u32 = 16;

/// The shortest interval at which it is looked for tasks.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Longest text of an error that is kept with a task, in bytes.
const MAX_ERROR_LENGTH: usize = 2_000;

/// How far a task came.
enum Progress {
    /// It is done, and gone.
    Completed,
    /// Somebody else has taken it over.
    LeaseLost,
    /// Its time has not come.
    NotBefore(Timestamp),
}

/// How often a task may be tried before it is parked.
const fn max_attempts(kind: TaskKind) -> u32 {
    match kind {
        TaskKind::ExpireUnaccepted => MAX_EXPIRY_ATTEMPTS,
    }
}

impl Engine {
    /// Works the tasks that are due, of all orders of the store. When `stop` is ready, takes no more and
    /// returns when those in hand are finished. When the future is dropped, those in hand are broken off,
    /// and come back when their leases have run out.
    ///
    /// To be stopped before [`Engine::shut_down`], or what is in hand cannot be written.
    pub async fn work(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut in_hand = JoinSet::new();
        let mut condition = Condition::default();
        let concurrency = self.config.tasks.concurrency.max(1);
        loop {
            let asked = self.config.tasks.batch_size.clamp(1, concurrency - in_hand.len());
            let claimed = match self.claim(asked).await {
                Ok(claimed) => {
                    log(&mut condition, Ok(()));
                    claimed
                }
                Err(error) => {
                    log(&mut condition, Err(error));
                    Vec::new()
                }
            };
            let there_may_be_more = claimed.len() >= asked;
            for task in claimed {
                in_hand.spawn(Arc::clone(&self).work_one(task));
            }
            let pause = async {
                if !there_may_be_more {
                    tokio::time::sleep(self.config.tasks.poll_interval.max(MIN_POLL_INTERVAL)).await;
                }
                room_for_more(&mut in_hand, concurrency).await;
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = pause => {}
            }
        }
        while let Some(worked) = in_hand.join_next().await {
            report(worked);
        }
    }

    /// Leases tasks that are due, at most so many.
    async fn claim(&self, limit: usize) -> Result<Vec<ClaimedTask>, StoreError> {
        let lease = self.config.tasks.lease;
        let now = self.now();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claim = self.store.claim_due_tasks(now, after(now, lease), limit);
        // What comes later than this is no longer leased.
        let claimed = timeout(lease, claim)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("it does not hand out tasks in time".into())))?;
        for task in &claimed {
            self.metrics.tasks_claimed(task.task.kind).inc();
        }
        Ok(claimed)
    }

    /// Works one task and counts what became of it. Does not panic, whatever happens in it.
    async fn work_one(self: Arc<Self>, claimed: ClaimedTask) {
        // Longer than for its lease nobody keeps it from others.
        let worked = timeout(self.config.tasks.lease, self.work_to_an_end(&claimed)).await;
        let outcome = worked.unwrap_or(TaskOutcome::Left);
        self.metrics.tasks(claimed.task.kind, outcome).inc();
    }

    async fn work_to_an_end(&self, claimed: &ClaimedTask) -> TaskOutcome {
        // A panic is caught, so that it is put down to its task and its task alone. What it leaves behind
        // is what an error in the same place would.
        let progress = AssertUnwindSafe(self.carry_out(claimed)).catch_unwind().await;
        let progress = progress.unwrap_or_else(|panic| Err(Error::Internal(text_of(&*panic))));
        match progress {
            Ok(Progress::Completed) => TaskOutcome::Completed,
            Ok(Progress::LeaseLost) => TaskOutcome::LeaseLost,
            Ok(Progress::NotBefore(run_at)) => {
                let postponed = self.store.postpone_task(claimed.lease, run_at, None).await;
                given_back(claimed, postponed, TaskOutcome::Postponed)
            }
            Err(Error::OutcomeUnknown) => TaskOutcome::Left,
            Err(error) => self.fail(claimed, &error).await,
        }
    }

    async fn carry_out(&self, claimed: &ClaimedTask) -> Result<Progress, Error> {
        match claimed.task.kind {
            TaskKind::ExpireUnaccepted => self.expire(claimed).await,
        }
    }

    /// Gives a task back that failed: to be tried again, or to be seen to.
    async fn fail(&self, claimed: &ClaimedTask, error: &Error) -> TaskOutcome {
        let (task, attempts, now) = (&claimed.task, claimed.attempts, self.now());
        let (order_id, kind) = (task.order_id, task.kind.as_str());
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(MAX_ERROR_LENGTH));
        let failure = TaskFailure { at: now, error: text };
        let passes_by_itself = matches!(
            error,
            Error::Unavailable | Error::Overloaded | Error::Conflict(Conflict::TooManyChanges)
        );
        if !passes_by_itself && attempts >= max_attempts(task.kind) {
            tracing::error!(%order_id, kind, attempts, %error, "a task keeps failing and is parked");
            let parked = self.store.park_task(claimed.lease, &failure).await;
            return given_back(claimed, parked, TaskOutcome::GivenUp);
        }
        tracing::warn!(%order_id, kind, attempts, %error, "a task failed");
        let TaskConfig { base_backoff: base, max_backoff: longest, .. } = self.config.tasks;
        let pause = Backoff { base, longest }.pause(attempts, self.random.next_u64());
        let postponed = self.store.postpone_task(claimed.lease, after(now, pause), Some(&failure)).await;
        given_back(claimed, postponed, TaskOutcome::Postponed)
    }
}

/// What became of a task that was given back, when `outcome` is what was meant.
fn given_back(
    claimed: &ClaimedTask,
    given_back: Result<bool, StoreError>,
    outcome: TaskOutcome,
) -> TaskOutcome {
    match given_back {
        Ok(true) => outcome,
        Ok(false) => TaskOutcome::LeaseLost,
        // It comes back when its lease runs out.
        Err(error) => {
            tracing::warn!(task_id = %claimed.task.id, %error, "a task could not be given back");
            TaskOutcome::Left
        }
    }
}

/// Returns when less than so many tasks are in hand; at once, when they are.
async fn room_for_more(in_hand: &mut JoinSet<()>, concurrency: usize) {
    while let Some(worked) = in_hand.try_join_next() {
        report(worked);
    }
    while in_hand.len() >= concurrency
        && let Some(worked) = in_hand.join_next().await
    {
        report(worked);
    }
}

/// A task's own errors and panics are dealt with where it is worked; what is left is a defect there.
fn report(worked: Result<(), tokio::task::JoinError>) {
    if let Err(error) = worked {
        tracing::error!(%error, "working a task ended badly");
    }
}

/// Tells the log when the store begins to hand out no tasks, and when it does again.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.news(outcome) {
        Some(News::Fails(error)) => tracing::warn!(%error, "no tasks are worked until the store answers"),
        Some(News::WorksAgain) => tracing::info!("tasks are worked again"),
        None => {}
    }
}

/// What a panic says.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}

/// `duration` after `now`; the last moment there is, when that is beyond it.
fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
