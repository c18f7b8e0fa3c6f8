//! Tasks: work that a worker does later.

use async_trait::async_trait;
use dabba_domain::{
    AccountId, TaskId, Timestamp,
    order::ReviewReason,
    task::{Task, TaskKind, TaskQueue, TaskSubject, TaskSubjectKind},
};

use crate::{PageSize, StoreError};

/// Maximum number of recorded failures per task. Further failures displace the oldest.
pub const MAX_TASK_FAILURES: u32 = 100;

/// Writes tasks, and leases them to workers.
///
/// A task is stored where its subject is: the task of an order in the order's shard, every other task in the directory. Only the
/// order's commit ([`crate::OrderStore::commit`]) writes and completes the tasks of an order, together with the change that causes
/// them (I3). [`TaskStore::enqueue_task`] and [`TaskStore::complete_task`] write and complete every other task.
///
/// A task for admins is parked when it is written, and no worker ever receives it. A task that does not fit the rules
/// of its kind ([`TaskKind::rules`]) is not written. Tasks of a kind or with a subject that this program does not know
/// are left to newer programs. A task whose content this program cannot decode is leased and listed like every other
/// task: see [`TaskRecord::content`].
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Writes a task that is not about an order; a task for admins is parked from its `run_at` on. Idempotent by the
    /// task's id: returns `false`, and changes nothing, if a task with this id exists. A completed task no longer
    /// exists. After [`StoreError::OutcomeUnknown`], retry with the same task.
    ///
    /// A task about an order, and a task that does not fit the rules of its kind, is a defect in the caller, hence
    /// [`StoreError::Corrupt`].
    async fn enqueue_task(&self, task: &NewTask) -> Result<bool, StoreError>;

    /// Completes a leased task that is not about an order: the task is deleted. Returns `false` if the lease was lost; an expired
    /// lease is not lost until another worker has taken over the task. The lease of an order's task is
    /// [`StoreError::Corrupt`].
    ///
    /// After [`StoreError::OutcomeUnknown`], do not retry: `false` would not tell a completed task from a lost lease. Either the
    /// task is deleted, or it becomes due again when its lease expires.
    async fn complete_task(&self, lease: TaskLease) -> Result<bool, StoreError>;

    /// Leases at most `limit` due tasks of a queue that nobody holds at `now`; from each shard, the tasks that are due longest.
    /// The lease lasts for the time from `now` to `lease_until`, measured by the database's own clock, so that servers with
    /// different clocks do not take over each other's leases. The result is ordered by due time. Each shard gets an equal share
    /// of the limit, so that a long queue on one shard does not starve the others; the unused share of a shard goes to the
    /// others.
    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError>;

    /// Returns a leased task to the queue, due at `run_at`, and records the failure, if any. Returns `false` if the lease was
    /// lost.
    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError>;

    /// Parks a leased task that has failed too often or cannot be decoded: no worker receives it until an operator
    /// retries it. Returns `false` if the lease was lost.
    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError>;

    /// Returns at most `limit` parked tasks after an id, ordered by id. Returns fewer only if there are no more.
    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError>;

    /// Returns a parked task to its queue, due at `run_at`. A task for admins stays parked.
    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError>;

    /// Resolves a parked task permanently. The store keeps the task, its failures and the resolution. Returns `false` if the task
    /// is not parked.
    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError>;
}

/// A task to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The task's id.
    pub id: TaskId,
    /// The order, restaurant or account that the task is about.
    pub subject: TaskSubject,
    /// The work to do.
    pub task: Task,
    /// Earliest time at which the task may run.
    pub run_at: Timestamp,
}

impl NewTask {
    /// Checks that the task fits the rules of its kind. Every store calls this check before it writes a task.
    ///
    /// A task that does not fit is a defect in the caller, hence [`StoreError::Corrupt`].
    pub fn check(&self) -> Result<(), StoreError> {
        check_task_subject(self.id, self.task.kind(), self.subject.kind())
    }

    /// Like [`NewTask::check`], for a task that no order's commit writes. Refuses the task of an order.
    pub fn check_outside_order(&self) -> Result<(), StoreError> {
        self.check()?;
        refuse_order(self.id, self.subject)
    }
}

/// Checks that a task of this kind may have a subject of this kind, by [`TaskKind::rules`].
pub fn check_task_subject(id: TaskId, kind: TaskKind, subject: TaskSubjectKind) -> Result<(), StoreError> {
    if kind.accepts(subject) {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "the task {id} is invalid: a task of the kind {kind} cannot have a subject of the kind {subject}"
    )))
}

/// A task as a store reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// The task's id.
    pub id: TaskId,
    /// The order, restaurant or account that the task is about.
    pub subject: TaskSubject,
    /// Kind of the task.
    pub kind: TaskKind,
    /// Time at which the task is due, as last postponed.
    pub run_at: Timestamp,
    /// The work to do; an error that names the task if this program cannot decode the content. The error does not
    /// affect other tasks: they are leased, listed and audited, and so is this task. [`StoreError::WrittenByNewer`]: a
    /// newer program wrote the content. [`StoreError::Corrupt`]: the content is damaged, or a newer program wrote it.
    pub content: Result<Task, StoreError>,
}

impl TaskRecord {
    /// Like [`NewTask::check`].
    pub fn check(&self) -> Result<(), StoreError> {
        check_task_subject(self.id, self.kind, self.subject.kind())
    }

    /// Returns the reason of a review; `None` for a task of another kind, and if this program cannot decode the reason.
    pub const fn review_reason(&self) -> Option<&ReviewReason> {
        match &self.content {
            Ok(Task::Review { reason }) => Some(reason),
            _ => None,
        }
    }

    /// Returns the reason of a review in words, with instructions for an admin; `None` for a task of another kind.
    pub fn review_detail(&self) -> Option<String> {
        if self.kind != TaskKind::Review {
            return None;
        }
        Some(match (self.review_reason(), &self.content) {
            (Some(reason), _) => reason.to_string(),
            (None, Err(StoreError::WrittenByNewer(_))) => {
                "this server cannot read the reason of the review, because a newer version of Dabba wrote it: upgrade \
                 this server, or list the tasks with the newer version"
                    .to_owned()
            }
            (None, _) => "this server cannot read the reason of the review: the stored review is damaged, or a newer \
                          version of Dabba wrote it; check the subject, then resolve the review"
                .to_owned(),
        })
    }
}

impl From<NewTask> for TaskRecord {
    fn from(task: NewTask) -> Self {
        let NewTask { id, subject, task, run_at } = task;
        Self { id, subject, kind: task.kind(), run_at, content: Ok(task) }
    }
}

/// A task that a worker has leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTask {
    /// The task as written; `run_at` as last postponed.
    pub task: TaskRecord,
    /// Number of times that the task was claimed, including this time.
    pub attempts: u32,
    /// Number of recorded failures; at most [`MAX_TASK_FAILURES`].
    pub failures: u32,
    /// Text of the latest failure, if any.
    pub last_error: Option<String>,
    /// The lease.
    pub lease: TaskLease,
}

/// The right to complete a task. The fencing token increases with each claim, so that the store can tell a late worker from the
/// worker that took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLease {
    /// The task.
    pub task_id: TaskId,
    /// The subject of the task. Its kind and the id of the task determine where the task is stored.
    pub subject: TaskSubject,
    /// The fencing token.
    pub token: u32,
}

impl TaskLease {
    /// Refuses the lease of an order's task, which only the order's commit completes. Every store calls this check before it
    /// completes a task without a commit.
    pub fn check_outside_order(&self) -> Result<(), StoreError> {
        refuse_order(self.task_id, self.subject)
    }
}

fn refuse_order(task_id: TaskId, subject: TaskSubject) -> Result<(), StoreError> {
    match subject {
        TaskSubject::Order(order_id) => Err(StoreError::Corrupt(format!(
            "the task {task_id} is about the order {order_id}: only a commit of the order writes and completes it"
        ))),
        TaskSubject::Restaurant(_) | TaskSubject::Account(_) => Ok(()),
    }
}

/// A failure of a task, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// Time of the failure.
    pub at: Timestamp,
    /// Text of the failure. For operators only.
    pub error: String,
}

/// A failure in the history of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedTaskFailure {
    /// Number of the claim during which the task failed.
    pub attempt: u32,
    /// The failure.
    pub failure: TaskFailure,
}

/// A parked task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedTask {
    /// The task; `run_at` as last postponed.
    pub task: TaskRecord,
    /// Number of times that the task was claimed.
    pub attempts: u32,
    /// Time at which the task was parked.
    pub parked_at: Timestamp,
    /// The latest [`MAX_TASK_FAILURES`] failures, oldest first. If the stored failures are damaged, one failure that
    /// states this.
    pub failures: Vec<RecordedTaskFailure>,
}

/// A page of parked tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<ParkedTask>,
    /// Whether tasks may be missing from this page because a shard did not answer in time. Later pages do not contain the missing
    /// tasks: a caller that needs them requests this page again.
    pub incomplete: bool,
}

/// Outcome of a request to retry a parked task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRetry {
    /// The task is queued again.
    Queued,
    /// The task is not parked.
    NotParked,
    /// The task needs an admin ([`TaskKind::needs_admin`]): no worker can do it, so it stays parked.
    NeedsAdmin,
}

/// Manual resolution of a parked task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResolution {
    /// Time of the resolution.
    pub at: Timestamp,
    /// Admin who resolved the task.
    pub by: AccountId,
    /// Reason why the task is no longer needed.
    pub reason: String,
}
