//! The state of the shards.

use std::sync::Arc;

use axum::{Json, extract::State};
use dabba_engine::CheckedShards;
use dabba_web::extract::Caller;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies::shards::ShardListBody,
    problem::{Failures, NotAllowed, Result, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_shards))
}

/// Lists the shards with their state
///
/// The server asks every shard and waits at most two seconds for each, so one shard that does not answer delays no other.
/// Requests at the same time share one check, and `checked_at` states when it began. For admins.
#[utoipa::path(
    get, path = "/v1/shards", tag = "operations",
    responses(
        (status = 200, description = "The shards.", body = ShardListBody),
        Unauthenticated, NotAllowed, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_shards(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<ShardListBody>> {
    let CheckedShards { checked_at, shards } = app.engine.check_shards(&caller).await?;
    Ok(Json(ShardListBody { shards: shards.into_iter().map(Into::into).collect(), checked_at }))
}
