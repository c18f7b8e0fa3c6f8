//! Work that waits for its time, and for a worker.

use async_trait::async_trait;
use dabba_domain::{OrderId, TaskId, Timestamp, order::TaskKind};

use crate::StoreError;

/// Hands out tasks. They are written, and completed, by [`crate::OrderStore::commit`].
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Leases at most `limit` tasks whose time has come and that nobody holds at `now`, from each shard
    /// those due longest. Until `lease_until` no one else gets them. They are answered by the time at
    /// which they were due. Shards get an equal share of the limit, so that a long queue on one does
    /// not starve the others; what one does not use goes to the rest.
    async fn claim_due_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError>;

    /// Gives a leased task back, to be done from `run_at` on. `false` when the lease was lost.
    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError>;
}

/// A task to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// The order that it is about.
    pub order_id: OrderId,
    /// What to do.
    pub kind: TaskKind,
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
