//! Work that waits for its time, and for a worker.

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, TaskId, Timestamp,
    order::{Task, TaskQueue},
};

use crate::{PageSize, StoreError};

/// Most failures that are kept of one task. Beyond that the oldest is forgotten.
pub const MAX_TASK_FAILURES: u32 = 100;

/// Hands out tasks. They are written, and completed, by [`crate::OrderStore::commit`]. A task for people is parked
/// when it is written, and is never handed out.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Leases at most `limit` tasks of a queue whose time has come and that nobody holds at `now`, from each shard
    /// those due longest. No one else gets them for the time from `now` to `lease_until`, which a database measures by its own
    /// clock: servers whose clocks differ do not take over each other's leases. They are answered by the time at
    /// which they were due. Shards get an equal share of the limit, so that a long queue on one does
    /// not starve the others; what one does not use goes to the rest.
    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError>;

    /// Gives a leased task back, to be done from `run_at` on, with what went wrong, if anything did.
    /// `false` when the lease was lost.
    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError>;

    /// Puts a leased task aside, since it has failed too often: it is handed out no more, until somebody
    /// says so. `false` when the lease was lost.
    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError>;

    /// At most `limit` parked tasks behind an id, by id. Fewer, when there are no more.
    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError>;

    /// Has a parked task handed out again, from `run_at` on. A task for people stays parked.
    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError>;

    /// Puts a parked task away for good. What it was, what went wrong and who resolved it how is kept.
    /// `false` when it is not parked.
    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError>;
}

/// A task to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// The order that it is about.
    pub order_id: OrderId,
    /// What to do.
    pub task: Task,
    /// When, at the earliest.
    pub run_at: Timestamp,
}

/// A task in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTask {
    /// The task as it was written; `run_at` as last postponed.
    pub task: NewTask,
    /// How often it has been claimed, this time included.
    pub attempts: u32,
    /// How often it has failed; never more than [`MAX_TASK_FAILURES`].
    pub failures: u32,
    /// What went wrong the last time, if anything did.
    pub last_error: Option<String>,
    /// The right to complete it.
    pub lease: TaskLease,
}

/// The right to complete a task. Its token grows with each claim, so that a worker that comes
/// back late is told from the one that took over (a fencing token).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLease {
    /// The task.
    pub task_id: TaskId,
    /// The fencing token.
    pub token: u32,
}

/// What went wrong with a task, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// When.
    pub at: Timestamp,
    /// What. For operators only.
    pub error: String,
}

/// A failure in the history of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedTaskFailure {
    /// Which time that it was claimed.
    pub attempt: u32,
    /// What went wrong.
    pub failure: TaskFailure,
}

/// A task that has been put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedTask {
    /// The task; `run_at` as last postponed.
    pub task: NewTask,
    /// How often it was claimed.
    pub attempts: u32,
    /// When it was put aside.
    pub parked_at: Timestamp,
    /// All that went wrong, the oldest first; the last [`MAX_TASK_FAILURES`].
    pub failures: Vec<RecordedTaskFailure>,
}

/// A page of parked tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<ParkedTask>,
    /// Whether tasks may be missing here because a shard did not answer in time. They are not on a later
    /// page either: whoever needs them asks for this page again.
    pub incomplete: bool,
}

/// What came of the request to retry a parked task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRetry {
    /// It is handed out again.
    Queued,
    /// It is not parked.
    NotParked,
    /// It is for people ([`dabba_domain::order::TaskKind::is_for_people`]): no worker can do it, so it stays parked.
    ForPeople,
}

/// How a parked task was resolved, by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResolution {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: AccountId,
    /// Why it need not be done any more.
    pub reason: String,
}
