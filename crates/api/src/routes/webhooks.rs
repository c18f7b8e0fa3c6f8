//! Webhooks that payment providers call.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use dabba_web::{Problem, extract::read_bytes};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    problem::{Missing, NotReported, Result, WriteFailures},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(report_payment))
}

/// Reports the state of a payment
///
/// For the payment provider, which signs its reports. Reports may arrive repeatedly, late and in any order. On a server
/// without a webhook secret the path does not exist.
#[utoipa::path(
    post, path = "/v1/webhooks/payments", tag = "payments",
    request_body(content = serde_json::Value, description = "The report in the payment provider's format."),
    responses(
        (status = 204, description = "The report is recorded, or does not concern an order of this server."),
        NotReported, Missing, WriteFailures,
    ),
    security(()),
)]
async fn report_payment(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode> {
    let Some(reader) = &app.config.webhooks else { return Err(Problem::not_found().into()) };
    let header = reader.signature_header();
    let signature = request.headers().get(header).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let signature =
        signature.ok_or_else(|| Problem::bad_parameter(header, "is required, and must be text"))?;
    let body = read_bytes(request, &app).await?;
    let read = reader.read(&signature, &body, app.engine.now());
    let notice = read.map_err(|error| Problem::bad_parameter(header, error))?;
    if let Some(notice) = notice {
        app.engine.payments.record_notice(&notice).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
