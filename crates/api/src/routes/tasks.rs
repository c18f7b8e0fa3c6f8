//! Parked tasks: listing, retrying and resolving them.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use dabba_domain::TaskId;
use dabba_store::{PageSize, TaskPage};
use dabba_web::extract::{Caller, FromParameters, InPath, JsonBody, Parameters, QueryOf};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{lists, paths::TaskPath};
use crate::{
    app::App,
    bodies::tasks::{ResolutionBody, TaskListBody},
    problem::{BadBody, BadParameter, Failures, Missing, NotAllowed, NotRetried, Result, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_tasks)).routes(routes!(retry_task)).routes(routes!(resolve_task))
}

/// State of a task.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what TaskListQuery reads")]
pub(crate) enum TaskState {
    /// The task waits for an admin.
    Parked,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct TaskListQuery {
    /// Only tasks in this state. Default `parked`, the only state that can be listed.
    #[param(value_type = Option<TaskState>)]
    #[expect(dead_code, reason = "there is only one state")]
    state: (),
    /// Maximum number of tasks in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<TaskId>,
}

impl FromParameters for TaskListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let state = parameters.take("state", |value| match value {
            "parked" => Ok(()),
            _ => Err("must be parked".to_owned()),
        });
        Self {
            state: state.unwrap_or_default(),
            limit: parameters.take_limit(),
            cursor: parameters.take_cursor(),
        }
    }
}

/// Lists parked tasks
///
/// Tasks that failed too often or cannot be decoded, with their failures, and reviews, with their reason; oldest first.
/// For admins.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks",
    params(TaskListQuery),
    responses(
        (status = 200, description = "A page of tasks.", body = TaskListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if tasks may be missing, like `incomplete` in the body."),
        )),
        Unauthenticated, NotAllowed, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_tasks(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(query): QueryOf<TaskListQuery>,
) -> Result<Response> {
    let read = app.engine.work.parked_tasks(&caller, query.cursor, query.limit.and_one_more());
    let TaskPage { mut tasks, incomplete } = read.await?;
    let next_cursor = lists::next_cursor(&mut tasks, query.limit, |last| last.task.id);
    let tasks = tasks.into_iter().map(Into::into).collect();
    Ok(lists::answer(TaskListBody { tasks, next_cursor, incomplete }, incomplete))
}

/// Retries a parked task
///
/// The task gets one attempt, at once. If the attempt fails, the task is parked again. A review cannot be retried. For
/// admins.
#[utoipa::path(
    post, path = "/v1/tasks/{task_id}/retry", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 204, description = "The task is due for another attempt."),
        Unauthenticated, NotAllowed, Missing, NotRetried, Failures,
    ),
    security(("bearer" = [])),
)]
async fn retry_task(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(task_id): InPath<TaskId>,
) -> Result<StatusCode> {
    app.engine.work.retry_task(&caller, task_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resolves a parked task
///
/// Removes the task permanently, and keeps the reason with it. For admins.
#[utoipa::path(
    post, path = "/v1/tasks/{task_id}/resolve", tag = "tasks",
    params(TaskPath),
    request_body = ResolutionBody,
    responses(
        (status = 204, description = "The task is resolved."),
        Unauthenticated, NotAllowed, Missing, BadBody, Failures,
    ),
    security(("bearer" = [])),
)]
async fn resolve_task(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(task_id): InPath<TaskId>,
    JsonBody(body): JsonBody<ResolutionBody>,
) -> Result<StatusCode> {
    app.engine.work.resolve_task(&caller, task_id, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
