//! For those who run the server: whether it lives, whether it is ready, what it measures.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    problem::{Failures, Problem, Result},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// `ok`.
    status: &'static str,
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
/// Its store is asked.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "get_readiness",
    responses((status = 200, description = "It can.", body = HealthBody), Failures),
    security(()),
)]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<HealthBody>> {
    app.engine.check_ready().await?;
    Ok(Json(HealthBody { status: "ok" }))
}

/// Shows what the server measures
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "get_metrics",
    responses(
        (status = 200, description = "The measurements, in the text format of OpenMetrics.",
            content_type = "application/openmetrics-text", body = String),
        Failures,
    ),
    security(()),
)]
async fn metrics(State(app): State<Arc<App>>) -> Result<Response> {
    let text = app.metrics.render().map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response())
}
