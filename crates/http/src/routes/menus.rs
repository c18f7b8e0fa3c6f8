//! Menus: shown from memory, replaced whole, and the availability of single items.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    Amount, Currency, RestaurantId,
    menu::{Availability, MenuDocument, MenuItem, OptionGroup},
    text::{Name, Note, Slug},
};
use dabba_engine::CatalogueEntry;
use dabba_store::Catalogue;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::restaurants::expected_revision;
use crate::{
    App, MAX_MENU_BYTES,
    extract::{Caller, IfMatch, IfNoneMatch, InPath, JsonBody, etag},
    problem::{
        BadBody, BadParameter, BadParameterOrBody, Failures, Missing, NotAllowed, NotChanged, NotReplaced,
        NotSignedIn, Problem, Result,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(get_menu, replace_menu).layer(DefaultBodyLimit::max(MAX_MENU_BYTES)))
        .routes(routes!(set_availability))
}

/// A restaurant's menu.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Menu)]
struct MenuBody<'a> {
    restaurant_id: RestaurantId,
    /// The currency of every price.
    currency: Currency,
    /// Goes up with every change. It is the `ETag`, too.
    #[schema(minimum = 1)]
    revision: u32,
    categories: Vec<CategoryBody<'a>>,
}

/// A part of a menu.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MenuCategory)]
struct CategoryBody<'a> {
    name: &'a Name,
    items: Vec<ItemBody<'a>>,
}

/// Something that can be ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MenuItem)]
struct ItemBody<'a> {
    /// Unique within the menu.
    id: &'a Slug,
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Note>,
    /// The price of one, before options.
    price_minor: Amount,
    tags: &'a [Name],
    availability: Availability,
    option_groups: &'a [OptionGroup],
    /// Whether only so many of it are left. How many is asked with a quote.
    stock_limited: bool,
}

impl<'a> MenuBody<'a> {
    fn new(catalogue: &'a Catalogue) -> Self {
        let item = |item: &'a MenuItem| ItemBody {
            id: &item.id,
            name: &item.name,
            description: item.description.as_ref(),
            price_minor: item.price_minor,
            tags: &item.tags,
            availability: item.availability,
            option_groups: &item.option_groups,
            stock_limited: catalogue.limited.contains(&item.id),
        };
        Self {
            restaurant_id: catalogue.restaurant.id,
            currency: catalogue.restaurant.settings.currency,
            revision: catalogue.menu_revision,
            categories: catalogue
                .menu
                .categories()
                .iter()
                .map(|category| CategoryBody {
                    name: &category.name,
                    items: category.items.iter().map(item).collect(),
                })
                .collect(),
        }
    }
}

/// The menu as bytes that were made once and are shared by all answers.
fn represent(entry: &CatalogueEntry) -> Result<Response> {
    let body = entry.rendered(|catalogue| match serde_json::to_vec(&MenuBody::new(catalogue)) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            tracing::error!(%error, "a menu cannot be written as JSON");
            Bytes::new()
        }
    });
    if body.is_empty() {
        return Err(Problem::internal("the menu is not shown, as logged when it was first asked for"));
    }
    let mut response = Body::from(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set_revision_headers(&mut response, entry);
    Ok(response)
}

fn set_revision_headers(response: &mut Response, entry: &CatalogueEntry) {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(entry.catalogue.menu_revision));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// Reads a menu
///
/// For everyone. Ask with `If-None-Match`: a menu that has not changed is not sent again.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus", operation_id = "get_menu",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of revisions that the caller has.",
            pattern = r#"^(\*|(W/)?"[0-9]{1,9}")$"#),
    ),
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 304, description = "The caller has this revision."),
        Missing, BadParameter, Failures,
    ),
    security(()),
)]
async fn get_menu(
    State(app): State<Arc<App>>,
    InPath(id): InPath<RestaurantId>,
    present: IfNoneMatch,
) -> Result<Response> {
    let entry = app.engine.catalogue(id).await?;
    if present.has(entry.catalogue.menu_revision) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set_revision_headers(&mut response, &entry);
        return Ok(response);
    }
    represent(&entry)
}

/// Replaces a menu
///
/// For the restaurant's staff and admins. The body may have up to 4 MiB. Every problem with it is
/// listed.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus", operation_id = "replace_menu",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-Match" = String, Header, description = "The ETag of the revision that is replaced; `*` for any.",
            pattern = r#"^(\*|"[0-9]{1,9}")$"#),
    ),
    request_body = MenuDocument,
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "Its revision."))),
        NotSignedIn, NotAllowed, Missing, BadParameterOrBody, NotReplaced, Failures,
    ),
    security(("bearer" = [])),
)]
async fn replace_menu(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    condition: IfMatch,
    JsonBody(menu): JsonBody<MenuDocument>,
) -> Result<Response> {
    let current = app.engine.catalogue(id).await?.catalogue.menu_revision;
    let expected = expected_revision(&condition, current)?;
    represent(&*app.engine.replace_menu(&caller, id, menu, expected).await?)
}

/// Whether an item can be ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemAvailability)]
struct AvailabilityBody {
    item: Slug,
    availability: Availability,
    /// The menu's revision with it.
    #[schema(minimum = 1)]
    menu_revision: u32,
}

/// Says whether an item can be ordered
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability", tag = "menus",
    operation_id = "set_availability",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
    ),
    request_body = Availability,
    responses(
        (status = 200, description = "The item's availability.", body = AvailabilityBody),
        NotSignedIn, NotAllowed, Missing, BadBody, NotChanged, Failures,
    ),
    security(("bearer" = [])),
)]
async fn set_availability(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    JsonBody(availability): JsonBody<Availability>,
) -> Result<Json<AvailabilityBody>> {
    let entry = app.engine.set_availability(&caller, id, &item, availability).await?;
    Ok(Json(AvailabilityBody { item, availability, menu_revision: entry.catalogue.menu_revision }))
}
