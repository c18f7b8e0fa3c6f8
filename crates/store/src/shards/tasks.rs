//! Tasks: an equal share from each shard; changes go to the shard that the id determines.

use async_trait::async_trait;
use dabba_domain::{TaskId, Timestamp, order::TaskQueue};

use super::{orders::merge, router::ShardedStore};
use crate::{
    ClaimedTask, PageSize, StoreError, TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore,
};

#[async_trait]
impl TaskStore for ShardedStore {
    /// If a shard leases a task and its answer is late, the task becomes due again when the lease expires,
    /// like a task of a worker that died.
    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let claim = |store, limit| TaskStore::claim_due_tasks(store, queue, now, lease_until, limit);
        let count = |claimed: &Vec<ClaimedTask>| u32::try_from(claimed.len()).unwrap_or(u32::MAX);
        let mut claimed = self.distribute(limit, claim, count).await?.concat();
        claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
        Ok(claimed)
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(lease.task_id.bucket());
        shard.answer(shard.store().postpone_task(lease, run_at, failure)).await
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        let shard = self.shard(lease.task_id.bucket());
        shard.answer(shard.store().park_task(lease, failure)).await
    }

    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        let gathered = self.ask_all(|store| store.parked_tasks(after, limit)).await;
        let is_any_missing = !gathered.failures.is_empty();
        let pages = gathered.any()?;
        let incomplete = is_any_missing || pages.iter().any(|page| page.incomplete);
        let lists = pages.into_iter().map(|page| page.tasks).collect();
        let (tasks, _) = merge(lists, limit.get() as usize, |parked| parked.task.id);
        Ok(TaskPage { tasks, incomplete })
    }

    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().retry_task(id, run_at)).await
    }

    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().resolve_task(id, resolution)).await
    }
}
