//! Every operation: one file a group, each with what its operations take and answer.

#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod access;
mod accounts;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod commands;
mod lists;
mod menus;
pub(crate) mod operations;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod orders;
mod quotes;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod restaurants;
mod sandbox;
mod stock;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod tasks;
mod tokens;
mod webhooks;

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use quotes::{ObstacleBody, QuoteBody};
pub(crate) use tasks::TaskState;

use crate::{
    App,
    problem::{Problem, Result},
};

/// Marks the answer to a repeated request.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The answer to a write that made a resource at this path.
fn created(mut response: Response, path: &str) -> Result<Response> {
    let path = HeaderValue::from_str(path).map_err(|error| Problem::internal(error.to_string()))?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, path);
    Ok(response)
}

/// The answer to a write, marked if it answers an earlier request with the same key.
fn mark(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    response
}

/// The idempotency key of an operation that can do without one.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what MaybeKey reads")]
struct KeyParameter {
    /// New for each intention, the same for a retry.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#
    )]
    key: Option<String>,
}

/// All operations, with their description.
pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::router())
}

fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .merge(accounts::router())
        .merge(access::router())
        .merge(tokens::router())
        .merge(restaurants::router())
        .merge(menus::router())
        .merge(stock::router())
        .merge(quotes::router())
        .merge(orders::router())
        .merge(commands::router())
        .merge(tasks::router())
        .merge(webhooks::router())
        .merge(sandbox::router())
}

/// All operations but those for operators, which have their own listener.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::probes())
}

/// The operations of the listener for operators.
pub(crate) fn admin() -> OpenApiRouter<Arc<App>> {
    operations::router()
}
