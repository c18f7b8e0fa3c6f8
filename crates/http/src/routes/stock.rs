//! Limited stock: how many of an item there are.

use std::sync::Arc;

use axum::{Json, extract::State};
use dabba_domain::{RestaurantId, text::Slug};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    extract::{Caller, InPath, JsonBody},
    problem::{BadBody, Failures, Missing, NotAllowed, NotSignedIn, Result},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_stock)).routes(routes!(set_stock))
}

/// How many of an item there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockLevel)]
struct LevelBody {
    item: Slug,
    /// How many; absent if the item is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u32>,
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
    let level =
        |level: dabba_store::StockLevel| LevelBody { item: level.item, remaining: Some(level.remaining) };
    Ok(Json(StockBody { stock: levels.into_iter().map(level).collect() }))
}

/// How many of an item there are from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Stock)]
#[serde(deny_unknown_fields)]
struct RemainingBody {
    /// How many; `null`: as many as one wants.
    // Left out by a slip, it must not mean that there is no limit.
    #[serde(deserialize_with = "present")]
    #[schema(required)]
    remaining: Option<u32>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)
}

/// Says how many of an item there are
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock", tag = "menus", operation_id = "set_stock",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
    ),
    request_body = RemainingBody,
    responses(
        (status = 200, description = "The item's stock.", body = LevelBody),
        NotSignedIn, NotAllowed, Missing, BadBody, Failures,
    ),
    security(("bearer" = [])),
)]
async fn set_stock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    JsonBody(RemainingBody { remaining }): JsonBody<RemainingBody>,
) -> Result<Json<LevelBody>> {
    app.engine.set_stock(&caller, id, &item, remaining).await?;
    Ok(Json(LevelBody { item, remaining }))
}
