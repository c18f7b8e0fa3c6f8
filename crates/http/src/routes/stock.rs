//! Limited stock: how many of an item there are.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{RestaurantId, limits::MAX_STOCK, text::Slug};
use dabba_engine::{Principal, StockAdjustment, StockAnswer};
use dabba_store::StockLevel;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::mark;
use crate::{
    App,
    extract::{Caller, IfMatch, InPath, JsonBody, RequiredKey, etag, null_or_at_most},
    problem::{
        BadParameterOrBody, Failures, Missing, NotAdjusted, NotAllowed, NotAtRevision, NotSignedIn, Result,
        WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_stock))
        .routes(routes!(get_stock, set_stock))
        .routes(routes!(adjust_stock))
}

/// How many of an item there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockLevel)]
struct LevelBody {
    item: Slug,
    /// How many; absent if the stock is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u32>,
    /// Goes up with every change by hand; orders leave it as it is. It is the `ETag`, too. Absent when the stock
    /// is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    revision: Option<u32>,
}

impl From<StockLevel> for LevelBody {
    fn from(level: StockLevel) -> Self {
        let StockLevel { item, remaining, revision } = level;
        Self { item, remaining: Some(remaining), revision: Some(revision) }
    }
}

fn represent(item: Slug, level: Option<StockLevel>) -> Response {
    let body = level.map_or(LevelBody { item, remaining: None, revision: None }, LevelBody::from);
    let tag = body.revision.map(etag);
    let mut response = Json(body).into_response();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// The stock of a restaurant's limited items.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockList)]
struct StockBody {
    stock: Vec<LevelBody>,
}

/// Lists limited stock
///
/// For the restaurant's staff and admins. Items that are not listed are not limited.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/stock", tag = "menus", operation_id = "list_stock",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant.")),
    responses(
        (status = 200, description = "The stock.", body = StockBody),
        NotSignedIn, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
) -> Result<Json<StockBody>> {
    let levels = app.engine.stock(&caller, id).await?;
    Ok(Json(StockBody { stock: levels.into_iter().map(LevelBody::from).collect() }))
}

/// Reads the stock of an item
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock", tag = "menus", operation_id = "get_stock",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
    ),
    responses(
        (status = 200, description = "The item's stock.", body = LevelBody,
            headers(("ETag" = String, description = "Its revision, if the stock is limited."))),
        NotSignedIn, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
) -> Result<Response> {
    let level = app.engine.stock_of(&caller, id, &item).await?;
    Ok(represent(item, level))
}

/// How many of an item there are from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Stock)]
#[serde(deny_unknown_fields)]
struct RemainingBody {
    /// How many; `null` lifts the limit.
    // Left out by a slip, it must not mean that there is no limit.
    #[serde(deserialize_with = "null_or_at_most::<MAX_STOCK, _>")]
    #[schema(required)]
    remaining: Option<u32>,
}

/// The revision at which the stock has to be, `None` for any. The stock is read only where several revisions are
/// listed.
async fn expected_revision(
    app: &App,
    caller: &Principal,
    id: RestaurantId,
    item: &Slug,
    condition: &IfMatch,
) -> Result<Option<u32>> {
    /// Revisions count from one, so this is never the current one.
    const NONE: u32 = 0;
    let current = if condition.needs_current() {
        app.engine.stock_of(caller, id, item).await?.map_or(NONE, |level| level.revision)
    } else {
        NONE
    };
    Ok(condition.expected(current))
}

/// Sets how many of an item there are
///
/// For the restaurant's staff and admins. What is sold at the same moment is overwritten: use `adjust` to count
/// from what is left.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock", tag = "menus", operation_id = "set_stock",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
        ("If-Match" = Option<String>, Header,
            description = "The ETag at which the stock has to be. Stock that is not limited has none and matches `*` only."),
    ),
    request_body = RemainingBody,
    responses(
        (status = 200, description = "The item's stock.", body = LevelBody,
            headers(("ETag" = String, description = "Its revision, if the stock is limited."))),
        NotSignedIn, NotAllowed, Missing, BadParameterOrBody, NotAtRevision, Failures,
    ),
    security(("bearer" = [])),
)]
async fn set_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    condition: IfMatch,
    JsonBody(RemainingBody { remaining }): JsonBody<RemainingBody>,
) -> Result<Response> {
    let expected = expected_revision(&app, &caller, id, &item, &condition).await?;
    let answer = app.engine.set_stock(&caller, id, &item, remaining, expected).await?;
    Ok(represent(item, answer.level))
}

/// A relative change of an item's stock.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = StockAdjustment)]
#[serde(deny_unknown_fields)]
struct AdjustmentBody {
    /// What is added; negative to take away, and not 0.
    by: i64,
}

/// Adjusts how many of an item there are
///
/// Adds to what is left, or takes from it; what is sold at the same moment is not overwritten. The stock has to be
/// limited, and the result must lie between 0 and 1,000,000. For the restaurant's staff and admins. A retry with
/// the same key changes nothing and is answered as at first, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock/adjust", tag = "menus",
    operation_id = "adjust_stock",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
        ("Idempotency-Key" = String, Header, description = "New for each adjustment, the same for a retry.",
            min_length = 1, max_length = 255, pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#),
        ("If-Match" = Option<String>, Header, description = "The ETag at which the stock has to be."),
    ),
    request_body = AdjustmentBody,
    responses(
        (status = 200, description = "The item's stock.", body = LevelBody, headers(
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotAdjusted, WriteFailures,
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
    let expected = expected_revision(&app, &caller, id, &item, &condition).await?;
    let adjustment = StockAdjustment { by, expected, key };
    let StockAnswer { level, replayed } = app.engine.adjust_stock(&caller, id, &item, adjustment).await?;
    Ok(mark(represent(item, level), replayed))
}
