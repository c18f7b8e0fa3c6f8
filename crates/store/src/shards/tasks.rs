//! Tasks: an equal share from each shard; changes go to the shard that the task's id and the kind of its subject determine.

use async_trait::async_trait;
use dabba_domain::{
    TaskId, Timestamp,
    task::{TaskQueue, TaskSubject},
};

use futures::future::{BoxFuture, FutureExt as _};

use super::{orders::merge, router::ShardedStore, shard::Shard};
use crate::{
    ClaimedTask, NewTask, PageSize, StoreError, TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry,
    TaskStore,
};

impl ShardedStore {
    /// Returns the shard that stores a task. The task of an order has the bucket of the order, in its own id too; the id of
    /// the subject may be damaged.
    fn shard_of_task(&self, id: TaskId, subject: TaskSubject) -> &Shard {
        match subject {
            TaskSubject::Order(_) => self.shard(id.bucket()),
            TaskSubject::Restaurant(_) | TaskSubject::Account(_) => self.directory_shard(),
        }
    }

    /// Changes a parked task of which only the id is known: in the shard of the id, if it is the task of an order, or in the
    /// directory. The directory is asked second, because most tasks are about orders.
    async fn change_parked<'a, T: Send>(
        &'a self,
        id: TaskId,
        change: impl Fn(&'a Shard) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
        is_found: impl Fn(&T) -> bool + Send + Sync,
    ) -> Result<T, StoreError> {
        let (shard, directory) = (self.shard(id.bucket()), self.directory_shard());
        let first = change(shard).await;
        let is_elsewhere = match &first {
            Ok(answer) => !is_found(answer),
            // The shard does not say whether it has the task; the directory may have it.
            Err(StoreError::Unavailable(_) | StoreError::Unfit(_)) => true,
            Err(_) => false,
        };
        if !is_elsewhere || std::ptr::eq(shard, directory) {
            return first;
        }
        let second = change(directory).await?;
        if is_found(&second) { Ok(second) } else { first }
    }
}

#[async_trait]
impl TaskStore for ShardedStore {
    async fn enqueue_task(&self, task: &NewTask) -> Result<bool, StoreError> {
        let shard = self.shard_of_task(task.id, task.subject);
        shard.answer(shard.store().enqueue_task(task)).await
    }

    async fn complete_task(&self, lease: TaskLease) -> Result<bool, StoreError> {
        let shard = self.shard_of_task(lease.task_id, lease.subject);
        shard.answer(shard.store().complete_task(lease)).await
    }

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
        let shard = self.shard_of_task(lease.task_id, lease.subject);
        shard.answer(shard.store().postpone_task(lease, run_at, failure)).await
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        let shard = self.shard_of_task(lease.task_id, lease.subject);
        shard.answer(shard.store().park_task(lease, failure)).await
    }

    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        let (pages, is_any_missing) = self.ask_all(|store| store.parked_tasks(after, limit)).await.pages()?;
        let incomplete = is_any_missing || pages.iter().any(|page| page.incomplete);
        let lists = pages.into_iter().map(|page| page.tasks).collect();
        let (tasks, _) = merge(lists, limit.get() as usize, |parked| parked.task.id);
        Ok(TaskPage { tasks, incomplete })
    }

    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        self.change_parked(
            id,
            |shard| shard.answer(shard.store().retry_task(id, run_at)).boxed(),
            |outcome| *outcome != TaskRetry::NotParked,
        )
        .await
    }

    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError> {
        self.change_parked(
            id,
            |shard| shard.answer(shard.store().resolve_task(id, resolution)).boxed(),
            |is_resolved| *is_resolved,
        )
        .await
    }
}
