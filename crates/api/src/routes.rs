//! All operations: one file per group, with the group's request and response types.

#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod access;
mod accounts;
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
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dabba_web::{Problem, headers};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use tasks::TaskState;

use crate::{app::App, problem::Result};

/// Makes the response to a write that created a resource at this path.
fn created(mut response: Response, path: &str) -> Result<Response> {
    let path = HeaderValue::from_str(path).map_err(|error| Problem::internal(error.to_string()))?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, path);
    Ok(response)
}

/// Marks a response if it repeats the response to an earlier request with the same key.
fn mark(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response
            .headers_mut()
            .insert(headers::IDEMPOTENCY_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    response
}

/// The idempotency key of an operation for which it is optional.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what MaybeKey reads")]
struct KeyParameter {
    /// A new key for each intention, the same key for each retry.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#
    )]
    key: Option<String>,
}

/// Returns all operations.
pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::router())
}

fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
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

/// Returns all operations except those of the operators' own listener.
pub(crate) fn public() -> OpenApiRouter<Arc<App>> {
    api().merge(operations::probes())
}

/// Returns the operations of the operators' listener.
pub(crate) fn admin() -> OpenApiRouter<Arc<App>> {
    operations::router()
}
