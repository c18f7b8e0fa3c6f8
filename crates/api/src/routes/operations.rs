//! Operations for the server's operators: health, readiness and metrics.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use dabba_engine::Error;
use dabba_web::{Problem, metrics::Format};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies::operations::{HealthBody, ReadinessBody},
    code,
    problem::{Failures, Result},
};

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    probes().routes(routes!(metrics))
}

/// Returns the probes, which every listener serves.
pub(super) fn probes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Reports that the server runs
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "get_health",
    responses((status = 200, description = "The server runs.", body = HealthBody)),
    security(()),
)]
async fn healthz() -> Json<HealthBody> {
    Json(HealthBody { status: "ok" })
}

/// Reports whether the server can work
///
/// The server checks its store with all shards. If some shards do not answer, the server is ready nevertheless: it refuses
/// requests about their restaurants and its lists are incomplete, like on every other server. It is not ready if no shard
/// answers, or while a part keeps failing that it needs for its work: a committer or a worker.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "get_readiness",
    responses((status = 200, description = "The server can work, fully or in part.", body = ReadinessBody), Failures),
    security(()),
)]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<ReadinessBody>> {
    match app.engine.check_ready().await {
        Ok(readiness) => Ok(Json(readiness.into())),
        // The server is not ready with any fault of the store; probes do not distinguish faults.
        Err(error @ (Error::Internal(_) | Error::OutcomeUnknown)) => {
            tracing::error!(%error, "the server is not ready");
            Err(Problem::new(code::UNAVAILABLE, "The store is unavailable.").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the measurements
///
/// In Prometheus' text format, or in `OpenMetrics` if `Accept` prefers it. Measurements of databases are taken in the background,
/// so this request never waits for a database.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "get_metrics",
    responses(
        (status = 200, description = "The measurements.", content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        )),
        Failures,
    ),
    security(()),
)]
async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response> {
    let format = Format::preferred(&headers);
    let text = app.web.metrics().render(format).map_err(|error| Problem::internal(error.to_string()))?;
    let vary = HeaderValue::from_static("accept");
    Ok(([(header::CONTENT_TYPE, format.content_type()), (header::VARY, vary)], text).into_response())
}
