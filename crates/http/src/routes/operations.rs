//! For those who run the server: whether it lives, whether it is ready, what it measures.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use dabba_engine::{Error, Readiness};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    metrics::Format,
    problem::{Code, Failures, Problem, Result},
};

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    probes().routes(routes!(metrics))
}

/// The probes, which every listener has.
pub(super) fn probes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// `ok`.
    status: &'static str,
}

/// How much of its work the server can do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadinessBody {
    status: ReadinessStatus,
    /// The names of the shards that do not answer. There while it is degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    shards: Vec<String>,
    /// The names of the shards that were split after this server read its shard map, and whose moved restaurants it refuses
    /// until it is restarted with the new map. There while it is degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    outdated_shards: Vec<String>,
    /// The names of the parts of the server that keep failing and are restarted, or that cannot do their work. There while it is
    /// degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    parts: Vec<String>,
}

/// `ok`: all of it. `degraded`: all but what concerns some of the restaurants, because shards do not answer or the shard map is
/// outdated, or with parts that fail: what other servers change may be seen late.
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

/// Tells that the server runs
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "get_health",
    responses((status = 200, description = "It runs.", body = HealthBody)),
    security(()),
)]
async fn healthz() -> Json<HealthBody> {
    Json(HealthBody { status: "ok" })
}

/// Tells whether the server can work
///
/// Its store is asked, every shard of it. Without some shards the server is ready all the same: requests
/// about their restaurants are refused and lists are incomplete, on every server alike. It is not ready
/// when no shard answers, and while a part of it keeps failing without which it cannot do its work: a committer or a
/// worker.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "get_readiness",
    responses((status = 200, description = "It can, if need be in part.", body = ReadinessBody), Failures),
    security(()),
)]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<ReadinessBody>> {
    match app.engine.check_ready().await {
        Ok(readiness) => Ok(Json(readiness.into())),
        // With any fault of the store the server is not ready: a probe does not tell faults apart.
        Err(error @ (Error::Internal(_) | Error::OutcomeUnknown)) => {
            tracing::error!(%error, "the server is not ready");
            Err(Problem::new(Code::Unavailable, "The store cannot be used."))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows what the server measures
///
/// In the text format of Prometheus, or in `OpenMetrics` if `Accept` prefers it. Measurements of databases are the last ones of
/// the background, so this never waits for a database.
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
    let text = app.metrics.render(format).map_err(|error| Problem::internal(error.to_string()))?;
    let vary = HeaderValue::from_static("accept");
    Ok(([(header::CONTENT_TYPE, format.content_type()), (header::VARY, vary)], text).into_response())
}
