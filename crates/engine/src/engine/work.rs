//! The use cases of workers and tasks, as methods of the engine. Each calls the method of the part.

use std::sync::Arc;

use dabba_domain::{TaskId, order::TaskQueue, text::Note};
use dabba_store::{PageSize, TaskPage};

use crate::{Engine, Error, Principal};

impl Engine {
    /// Calls [`crate::Work::run`].
    pub async fn work(self: Arc<Self>, stop: impl Future<Output = ()>) {
        Arc::clone(&self.work).run(stop).await;
    }

    /// Calls [`crate::Work::work_next`].
    pub async fn work_next(&self, queue: TaskQueue) -> Result<bool, Error> {
        self.work.work_next(queue).await
    }

    /// Calls [`crate::Work::parked_tasks`].
    pub async fn parked_tasks(
        &self,
        principal: &Principal,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<TaskPage, Error> {
        self.work.parked_tasks(principal, after, limit).await
    }

    /// Calls [`crate::Work::retry_task`].
    pub async fn retry_task(&self, principal: &Principal, id: TaskId) -> Result<(), Error> {
        self.work.retry_task(principal, id).await
    }

    /// Calls [`crate::Work::resolve_task`].
    pub async fn resolve_task(&self, principal: &Principal, id: TaskId, reason: &Note) -> Result<(), Error> {
        self.work.resolve_task(principal, id, reason).await
    }

    /// Calls [`crate::Work::maintain`].
    pub async fn maintain(self: Arc<Self>) {
        self.work.maintain().await;
    }

    /// Calls [`crate::Work::nudge_workers`].
    pub fn nudge_workers(&self) {
        self.work.nudge_workers();
    }
}
