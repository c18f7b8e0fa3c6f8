//! Bodies of parked tasks.

use dabba_domain::{
    AccountId, OrderId, RestaurantId, TaskId, Timestamp, order::ReviewReason, task::TaskKind, text::Note,
};
use dabba_store::{ParkedTask, RecordedTaskFailure, TaskFailure};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A task that is parked because it failed too often or cannot be decoded, or a review: a subject that an admin must
/// check. Exactly one of `order_id`, `restaurant_id` and `account_id` is present.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParkedTask)]
pub(crate) struct ParkedTaskBody {
    id: TaskId,
    /// The order, if the task is about an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    /// The restaurant, if the task is about a restaurant.
    #[serde(skip_serializing_if = "Option::is_none")]
    restaurant_id: Option<RestaurantId>,
    /// The account, if the task is about an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<AccountId>,
    /// The kind of task.
    kind: TaskKind,
    /// The reason why an admin must check the subject; only for tasks of the kind `review`, and omitted if this server
    /// cannot read the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReviewReason>,
    /// The reason in words, with instructions; only for tasks of the kind `review`. States why `reason` is omitted, if
    /// it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Number of attempts.
    attempts: u32,
    parked_at: Timestamp,
    /// The last 100 failures, oldest first.
    failures: Vec<TaskFailureBody>,
}

/// A failed attempt of a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskFailure)]
pub(crate) struct TaskFailureBody {
    /// Number of the attempt.
    attempt: u32,
    at: Timestamp,
    error: String,
}

impl From<ParkedTask> for ParkedTaskBody {
    fn from(parked: ParkedTask) -> Self {
        let ParkedTask { task, attempts, parked_at, failures } = parked;
        let failures = failures.into_iter().map(|recorded| {
            let RecordedTaskFailure { attempt, failure: TaskFailure { at, error } } = recorded;
            TaskFailureBody { attempt, at, error }
        });
        Self {
            id: task.id,
            order_id: task.subject.order_id(),
            restaurant_id: task.subject.restaurant_id(),
            account_id: task.subject.account_id(),
            kind: task.kind,
            reason: task.review_reason().cloned(),
            detail: task.review_detail(),
            attempts,
            parked_at,
            failures: failures.collect(),
        }
    }
}

/// A page of parked tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskList)]
pub(crate) struct TaskListBody {
    pub(crate) tasks: Vec<ParkedTaskBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    /// Present and `true` if tasks may be missing in this page because a shard did not answer in time. The missing
    /// tasks are not on a later page either; request this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) incomplete: bool,
}

/// The reason why a task is resolved without being carried out.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TaskResolution)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolutionBody {
    /// What was done instead, for later readers.
    pub(crate) reason: Note,
}
