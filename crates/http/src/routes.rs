//! Every operation: one file a group, each with what its operations take and answer.

mod accounts;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
mod commands;
mod lists;
mod menus;
mod operations;
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

use axum::http::HeaderName;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use quotes::QuoteBody;

use crate::App;

/// Marks the answer to a repeated request.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// All operations, with their description.
pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .merge(accounts::router())
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
        .merge(operations::router())
}
