//! Limited stock: the remaining number of an item.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{RestaurantId, text::Slug};
use dabba_engine::{Catalogues, Principal, StockAdjustment, StockAnswer};
use dabba_store::StockLevel;
use dabba_web::extract::{Caller, IfMatch, InPath, JsonBody, RequiredKey, etag};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    paths::{ItemPath, RestaurantPath},
    writes::{AtVersion, Shown, mark},
};
use crate::{
    app::App,
    bodies::stock::{AdjustmentBody, LevelBody, RemainingBody, StockBody},
    problem::{
        BadParameterOrBody, Failures, Missing, NotAdjusted, NotAllowed, NotAtRevision, NotWritten, Result,
        Unauthenticated,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_stock))
        .routes(routes!(get_stock, set_stock))
        .routes(routes!(adjust_stock))
}

fn represent(item: Slug, level: Option<StockLevel>) -> Response {
    let body = LevelBody::new(item, level);
    let tag = body.revision.map(etag);
    let mut response = Json(body).into_response();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// Lists limited stock
///
/// For the restaurant's staff and admins. Items that are not in the list have no limit.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/stock", tag = "menus",
    params(RestaurantPath),
    responses(
        (status = 200, description = "The stock.", body = StockBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
) -> Result<Json<StockBody>> {
    let levels = app.engine.catalogue.stock(&caller, id).await?;
    Ok(Json(StockBody { stock: levels.into_iter().map(LevelBody::from).collect() }))
}

/// Reads the stock of an item
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock", tag = "menus",
    params(ItemPath),
    responses(Shown<LevelBody>, Unauthenticated, NotAllowed, Missing, Failures),
    security(("bearer" = [])),
)]
async fn get_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
) -> Result<Response> {
    let level = app.engine.catalogue.stock_of(&caller, id, &item).await?;
    Ok(represent(item, level))
}

/// Returns the revision at which the stock must be; `None` for any. Reads the stock only if the condition lists several
/// revisions.
async fn expected_revision(
    catalogue: &Catalogues,
    caller: &Principal,
    id: RestaurantId,
    item: &Slug,
    condition: &IfMatch,
) -> Result<Option<u32>> {
    /// Revisions count from 1, so 0 is never the current revision.
    const NONE: u32 = 0;
    let current = if condition.needs_current() {
        catalogue.stock_of(caller, id, item).await?.map_or(NONE, |level| level.revision)
    } else {
        NONE
    };
    Ok(condition.expected(current))
}

/// Sets the stock of an item
///
/// For the restaurant's staff and admins. The new number overwrites concurrent sales: use `adjust` for changes relative
/// to the remaining number.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock", tag = "menus",
    params(ItemPath, AtVersion<LevelBody>),
    request_body = RemainingBody,
    responses(Shown<LevelBody>, Unauthenticated, NotAllowed, Missing, BadParameterOrBody, NotAtRevision, Failures),
    security(("bearer" = [])),
)]
async fn set_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    condition: IfMatch,
    JsonBody(RemainingBody { remaining }): JsonBody<RemainingBody>,
) -> Result<Response> {
    let expected = expected_revision(&app.engine.catalogue, &caller, id, &item, &condition).await?;
    let answer = app.engine.catalogue.set_stock(&caller, id, &item, remaining, expected).await?;
    Ok(represent(item, answer.level))
}

/// Adjusts the stock of an item
///
/// Adds to the remaining number or subtracts from it, without overwriting concurrent sales. The stock must be limited,
/// and the result must be from 0 to 1,000,000. For the restaurant's staff and admins. A retry with the same key changes
/// nothing and gets the first response, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock/adjust", tag = "menus",
    params(
        ItemPath,
        ("Idempotency-Key" = String, Header, description = "A new key for each adjustment, the same key for each retry."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the revision at which the stock must be."),
    ),
    request_body = AdjustmentBody,
    responses(
        (status = 200, description = "The item's stock.", body = LevelBody, headers(
            ("ETag" = String, description = "The stock's revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        NotWritten, NotAdjusted,
    ),
    security(("bearer" = [])),
)]
async fn adjust_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    RequiredKey(key): RequiredKey,
    condition: IfMatch,
    JsonBody(AdjustmentBody { by }): JsonBody<AdjustmentBody>,
) -> Result<Response> {
    let expected = expected_revision(&app.engine.catalogue, &caller, id, &item, &condition).await?;
    let adjustment = StockAdjustment { by, expected, key };
    let StockAnswer { level, replayed } =
        app.engine.catalogue.adjust_stock(&caller, id, &item, adjustment).await?;
    Ok(mark(represent(item, level), replayed))
}
