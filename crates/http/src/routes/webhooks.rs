//! What payment providers report of their own accord.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    extract::take,
    problem::{Missing, NotReported, Problem, Result, WriteFailures},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(report_payment))
}

/// Reports what has become of a payment
///
/// For the payment provider, which signs what it posts. It may post the same twice, late, and in any order.
/// On a server without a webhook's secret there is nothing here.
#[utoipa::path(
    post, path = "/v1/webhooks/payments", tag = "payments", operation_id = "report_payment",
    request_body(content = serde_json::Value, description = "As the payment provider writes it."),
    responses(
        (status = 204, description = "It is recorded, or says nothing about an order here."),
        NotReported, Missing, WriteFailures,
    ),
    security(()),
)]
async fn report_payment(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode> {
    let Some(reader) = &app.config.webhooks else { return Err(Problem::not_found()) };
    let header = reader.signature_header();
    let signature = request.headers().get(header).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let signature = signature.ok_or_else(|| Problem::bad_parameter(header, "is missing or not text"))?;
    let body = take(request, &app).await?;
    let read = reader.read(&signature, &body, app.engine.now());
    let notice = read.map_err(|error| Problem::bad_parameter(header, error))?;
    if let Some(notice) = notice {
        app.engine.record_notice(&notice).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
