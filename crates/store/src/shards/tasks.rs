//! Tasks: an equal share from each shard, and back to the one that its id names.

use async_trait::async_trait;
use dabba_domain::Timestamp;

use super::router::ShardedStore;
use crate::{ClaimedTask, StoreError, TaskLease, TaskStore};

#[async_trait]
impl TaskStore for ShardedStore {
    /// A task that a shard leased and did not say in time comes back when its lease runs out, like that
    /// of a worker that died.
    async fn claim_due_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let claim = |store, limit| TaskStore::claim_due_tasks(store, now, lease_until, limit);
        let count = |claimed: &Vec<ClaimedTask>| u32::try_from(claimed.len()).unwrap_or(u32::MAX);
        let mut claimed = self.take(limit, claim, count).await?.concat();
        claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
        Ok(claimed)
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(lease.task_id.bucket());
        shard.answer(shard.store().postpone_task(lease, run_at, error)).await
    }
}
