//! Operations for the server's operators: health, readiness and metrics.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use dabba_engine::{Error, Readiness};
use dabba_web::{Format, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
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

/// Health of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// Always `ok`.
    status: &'static str,
}

/// Readiness of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadinessBody {
    status: ReadinessStatus,
    /// Names of the shards that do not answer. Present while the status is `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    shards: Vec<String>,
    /// Names of the shards that were split after this server read its shard map. The server refuses requests about the moved
    /// restaurants until it is restarted with the new map. Present while the status is `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    outdated_shards: Vec<String>,
    /// Names of the background parts that keep failing and are restarted, or that cannot work. Present while the status is
    /// `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    parts: Vec<String>,
}

/// `ok`: the server can do all its work. `degraded`: shards do not answer or the shard map is outdated, so the server refuses
/// requests about some restaurants; or background parts fail, so changes by other servers may be seen late.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReadinessStatus {
    Ok,
    Degraded,
}

impl From<Readiness> for ReadinessBody {
    fn from(readiness: Readiness) -> Self {
        let status = if readiness.is_whole() { ReadinessStatus::Ok } else { ReadinessStatus::Degraded };
        let Readiness { silent_shards, outdated_shards, parts_down } = readiness;
        Self { status, shards: silent_shards, outdated_shards, parts: parts_down }
    }
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
