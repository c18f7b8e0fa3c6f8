//! Parked tasks, which wait for an admin, and the actions of admins on them.

use std::sync::Arc;

use dabba_domain::{TaskId, task::TaskQueue, text::Note};
use dabba_store::{PageSize, TaskPage, TaskResolution, TaskRetry};

use super::Work;
use crate::{Conflict, Error, Principal, Scope, writing::run_to_completion};

impl Work {
    /// Returns a page of the parked tasks with ids after `after`, ordered by id, with their recorded failures. For
    /// admins.
    pub async fn parked_tasks(
        &self,
        principal: &Principal,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<TaskPage, Error> {
        principal.require(Scope::ReadTasks)?;
        principal.require_admin("manage parked tasks")?;
        Ok(self.store.parked_tasks(after, limit).await?)
    }

    /// Retries a parked task at once. If the attempt fails, the task is parked again. A task for admins stays
    /// parked: [`Conflict::TaskNeedsAdmin`]. For admins.
    pub async fn retry_task(&self, principal: &Principal, id: TaskId) -> Result<(), Error> {
        principal.require(Scope::WriteTasks)?;
        principal.require_admin("manage parked tasks")?;
        let (store, post_commits) = (Arc::clone(&self.store), Arc::clone(&self.post_commits));
        let now = self.clock.now();
        let retried = run_to_completion(async move {
            let retried = store.retry_task(id, now).await?;
            if retried == TaskRetry::Queued {
                // The task's queue is not known here, so the workers of all queues are notified.
                post_commits.notify_workers(id.bucket(), TaskQueue::ALL);
            }
            Ok(retried)
        });
        match retried.await? {
            TaskRetry::Queued => {}
            TaskRetry::NotParked => return Err(Error::NotFound("parked task")),
            TaskRetry::NeedsAdmin => return Err(Conflict::TaskNeedsAdmin.into()),
        }
        tracing::info!(task_id = %id, by = %principal.account_id, "a parked task is retried");
        Ok(())
    }

    /// Resolves a parked task permanently. The reason is stored with the task. For admins.
    pub async fn resolve_task(&self, principal: &Principal, id: TaskId, reason: &Note) -> Result<(), Error> {
        principal.require(Scope::WriteTasks)?;
        principal.require_admin("manage parked tasks")?;
        let resolution = TaskResolution {
            at: self.clock.now(),
            by: principal.account_id,
            reason: reason.as_str().to_owned(),
        };
        found(self.store.resolve_task(id, &resolution).await?)?;
        tracing::info!(task_id = %id, by = %principal.account_id, "a parked task is resolved");
        Ok(())
    }
}

const fn found(is_parked: bool) -> Result<(), Error> {
    if is_parked { Ok(()) } else { Err(Error::NotFound("parked task")) }
}
