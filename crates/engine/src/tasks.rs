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
//! | the payment provider answers nobody | the task comes back when it is called again |
//! | the outcome is unknown | the task comes back when its lease has run out, unless it is done |
//! | anything else, a panic too | it comes back after a pause; when it has failed too often, it is parked until an admin sees to it |
//!
//! What only a person can decide is a task as well (`Task::Review`): a store parks it when it writes it, no worker
//! ever takes it, and an admin resolves it.
//!
//! Each queue is worked by itself, so that what waits for a payment provider holds up no deadline.
//!
//! To add a kind: a variant of `Task`, a file here that carries it out, and its arms below.

mod deadlines;
mod parked;
mod payments;

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use dabba_domain::{
    OrderId, Timestamp,
    order::{Decision, Order, TaskKind, TaskQueue},
    restaurant::Settings,
};
use dabba_store::{Backoff, ClaimedTask, CommitOutcome, Need, StoreError, TaskFailure, TaskLease, panicked};
use futures::{FutureExt as _, future::join_all};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

use crate::{
    CatalogueEntry, Conflict, Engine, Error, TaskConfig, TaskOutcome,
    condition::{Condition, News},
    orders::Conditions,
    post_commit::Memory,
};

/// How often a deadline's task fails before it is parked: with the default pauses, within about twenty
/// minutes.
const MAX_DEADLINE_FAILURES: u32 = 16;

/// How often a payment provider's task fails before it is parked: with the default pauses, within about
/// half an hour, in which the provider answers others.
const MAX_PAYMENT_FAILURES: u32 = 20;

/// The shortest interval at which it is looked for tasks.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Pause after which a task that only a newer server can carry out is handed out again.
const NEWER_PAUSE: Duration = Duration::from_secs(2);

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

/// How a task comes out on its order as it is.
enum Verdict {
    /// With this decision, which may change nothing.
    Write(Box<Decision>),
    /// Its time has not come.
    NotBefore(Timestamp),
}

impl Verdict {
    /// There is nothing to do.
    fn unchanged(order: &Order) -> Self {
        Self::Write(Box::new(Decision::unchanged(order)))
    }
}

/// How often a task may fail before it is parked.
const fn max_failures(kind: TaskKind) -> u32 {
    if kind.is_for_people() {
        return 1;
    }
    match kind.queue() {
        TaskQueue::Deadlines => MAX_DEADLINE_FAILURES,
        TaskQueue::Payments => MAX_PAYMENT_FAILURES,
    }
}

impl Engine {
    /// Works the tasks that are due, of all orders of the store. When `stop` is ready, takes no more and
    /// returns when those in hand are finished. When the future is dropped, those in hand are broken off,
    /// and come back when their leases have run out.
    ///
    /// To be stopped before [`Engine::shut_down`], or what is in hand cannot be written.
    pub async fn work(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let _presence = self.nudges.listen();
        let stop = stop.shared();
        let queues = TaskQueue::ALL.iter().map(|queue| {
            let (engine, stop) = (Arc::clone(&self), stop.clone());
            // What is in hand outlives a worker that panics.
            let in_hand = Arc::new(Mutex::new(JoinSet::new()));
            let part = self.supervisor.part(format!("worker_{}", queue.as_str()), Need::Essential);
            async move {
                let work = || Arc::clone(&engine).work_queue(*queue, Arc::clone(&in_hand), stop.clone());
                engine.supervisor.run(&part, work).await;
            }
        });
        join_all(queues).await;
    }

    /// Works the task of a queue that has been due longest, if one is due and may be begun now, and says
    /// whether there was one. For those who decide themselves when something happens: simulations and tests.
    pub async fn work_next(&self, queue: TaskQueue) -> Result<bool, Error> {
        self.clock.check()?;
        let claimed = self.claim(queue, self.room(queue, 1).min(1)).await?;
        for task in &claimed {
            self.work_one(task).await;
        }
        Ok(!claimed.is_empty())
    }

    /// Works the tasks of a queue until `stop` is ready and those in hand are finished.
    async fn work_queue(
        self: Arc<Self>,
        queue: TaskQueue,
        in_hand: Arc<Mutex<JoinSet<()>>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let mut stop = pin!(stop);
        let mut in_hand = in_hand.lock().await;
        let mut condition = Condition::default();
        let concurrency = self.config.tasks.concurrency.max(1);
        loop {
            let room = self.room(queue, concurrency).saturating_sub(in_hand.len());
            let asked = self.config.tasks.batch_size.max(1).min(room);
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
            let there_may_be_more = asked > 0 && claimed.len() >= asked;
            for task in claimed {
                let engine = Arc::clone(&self);
                in_hand.spawn(async move { engine.work_one(&task).await });
            }
            let pause = async {
                if !there_may_be_more {
                    let interval = self.config.tasks.poll_interval.max(MIN_POLL_INTERVAL);
                    // Sooner, when there is something to do at once.
                    let _ = timeout(interval, self.nudges.nudged(queue)).await;
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
        Ok(())
    }

    /// How many tasks of a queue may be in hand.
    fn room(&self, queue: TaskQueue, concurrency: usize) -> usize {
        match queue {
            TaskQueue::Deadlines => concurrency,
            TaskQueue::Payments => {
                self.payment_room(self.now()).map_or(concurrency, |room| room.min(concurrency))
            }
        }
    }

    /// Leases tasks that are due, at most so many.
    async fn claim(&self, queue: TaskQueue, limit: usize) -> Result<Vec<ClaimedTask>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // With a clock that is off, deadlines would be kept too early or too late.
        self.clock.check().map_err(|skew| StoreError::Unavailable(skew.to_string()))?;
        let lease = self.config.tasks.lease;
        let now = self.now();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claim = self.store.claim_due_tasks(queue, now, after(now, lease), limit);
        // What comes later than this is no longer leased.
        let claimed = timeout(lease, claim)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("it does not hand out tasks in time".into())))?;
        for task in &claimed {
            self.metrics.tasks_claimed(task.task.task.kind()).inc();
        }
        Ok(claimed)
    }

    /// Works one task and counts what became of it. Does not panic, whatever happens in it.
    async fn work_one(&self, claimed: &ClaimedTask) {
        // Longer than for its lease nobody keeps it from others.
        let worked = timeout(self.config.tasks.lease, self.work_to_an_end(claimed)).await;
        let outcome = worked.unwrap_or(TaskOutcome::Left);
        self.metrics.tasks(claimed.task.task.kind(), outcome).inc();
    }

    async fn work_to_an_end(&self, claimed: &ClaimedTask) -> TaskOutcome {
        // A panic is caught, so that it is put down to its task and its task alone. What it leaves behind
        // is what an error in the same place would.
        let progress = AssertUnwindSafe(self.carry_out(claimed)).catch_unwind().await;
        let progress = progress.unwrap_or_else(|panic| Err(Error::Internal(panicked(&*panic))));
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
        let kind = claimed.task.task.kind();
        if kind.is_for_people() {
            // Stores never hand one out. Whatever unparked it, it is parked again.
            return Err(Error::Internal("it is for a person and not for a worker".into()));
        }
        match kind.queue() {
            TaskQueue::Deadlines => self.keep_deadline(claimed).await,
            TaskQueue::Payments => self.move_money(claimed).await,
        }
    }

    /// Decides on an order and writes what is decided: together with the completion of the task that is leased,
    /// or, without one, if it is anything. When the order changes between deciding and writing, it is decided
    /// again.
    async fn conclude(
        &self,
        order_id: OrderId,
        lease: Option<TaskLease>,
        verdict: impl Fn(&Order, &Settings, Timestamp) -> Result<Verdict, Error>,
    ) -> Result<Progress, Error> {
        for _ in 0..self.config.max_decision_attempts {
            let (order, entry) = self.order_with_catalogue(order_id).await?;
            if order.is_newer {
                // Not even that there is nothing to do can be decided here.
                return Err(Error::WrittenByNewer);
            }
            let decision = match verdict(&order, &entry.restaurant().settings, self.now())? {
                Verdict::Write(decision) => decision,
                Verdict::NotBefore(run_at) => return Ok(Progress::NotBefore(run_at)),
            };
            let conditions = Conditions::on(&order);
            let changes = !decision.events.is_empty();
            let conditions = match lease {
                Some(lease) => conditions.completing(lease),
                None if !changes => return Ok(Progress::Completed),
                None => conditions,
            };
            let memory = if changes { Memory::Forget(order_id) } else { Memory::Keep };
            match self.write(*decision, conditions, memory).await? {
                CommitOutcome::Committed => return Ok(Progress::Completed),
                CommitOutcome::LeaseLost => return Ok(Progress::LeaseLost),
                CommitOutcome::VersionConflict { .. } => {}
                // Another process that knows the new map will do it.
                CommitOutcome::Moved => return Err(Error::Unavailable),
                outcome => return Err(Error::Internal(format!("the write was answered with {outcome:?}"))),
            }
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// An order, and what holds at its restaurant.
    async fn order_with_catalogue(&self, id: OrderId) -> Result<(Order, Arc<CatalogueEntry>), Error> {
        let order = self.store.order(id).await?.ok_or(Error::NotFound("order"))?;
        let entry = self.catalogues.get(order.details.restaurant_id).await?;
        Ok((order, entry))
    }

    /// Gives a task back that failed: to be tried again, or to be seen to.
    async fn fail(&self, claimed: &ClaimedTask, error: &Error) -> TaskOutcome {
        let (task, attempts, now) = (&claimed.task, claimed.attempts, self.now());
        let (order_id, kind) = (task.order_id, task.task.kind());
        if matches!(error, Error::WrittenByNewer) {
            // No failure of the task: a newer server carries it out.
            tracing::debug!(%order_id, %kind, "a task is left to a newer server");
            let postponed = self.store.postpone_task(claimed.lease, after(now, NEWER_PAUSE), None).await;
            return given_back(claimed, postponed, TaskOutcome::Postponed);
        }
        let failures = claimed.failures.saturating_add(1);
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(MAX_ERROR_LENGTH));
        let failure = TaskFailure { at: now, error: text };
        let passes_by_itself = matches!(
            error,
            Error::Unavailable | Error::Overloaded | Error::Conflict(Conflict::TooManyChanges)
        );
        if !passes_by_itself && failures >= max_failures(kind) {
            tracing::error!(%order_id, %kind, attempts, %error, "a task keeps failing and is parked");
            let parked = self.store.park_task(claimed.lease, &failure).await;
            return given_back(claimed, parked, TaskOutcome::GivenUp);
        }
        tracing::warn!(%order_id, %kind, attempts, %error, "a task failed");
        let TaskConfig { base_backoff: base, max_backoff: longest, .. } = self.config.tasks;
        let pause = Backoff { base, longest }.pause(failures, self.random.next_u64());
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

/// Tells the log when the store or the clock begins to keep tasks from being worked, and when it does again.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.news(outcome) {
        Some(News::Fails(error)) => tracing::warn!(%error, "no tasks are worked"),
        Some(News::WorksAgain) => tracing::info!("tasks are worked again"),
        None => {}
    }
}

/// `duration` after `now`; the last moment there is, when that is beyond it.
fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
