//! Menus: shown from memory, replaced whole, and the availability of single items.

use std::{fmt, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    Amount, Currency, RestaurantId, Timestamp,
    menu::{Availability, MenuDocument, MenuItem, OptionGroup},
    text::{ExternalCode, Name, Note, Slug},
};
use dabba_engine::{CatalogueEntry, ExpectedMenu};
use dabba_store::Catalogue;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::restaurants::precondition_required;
use crate::{
    App, MAX_MENU_BYTES,
    extract::{Caller, EntityTag, IfMatch, IfNoneMatch, InPath, JsonBody, etag},
    problem::{
        BadParameter, BadParameterOrBody, Failures, Missing, NotAllowed, NotAtRevision, NotReplaced,
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
    /// Goes up with every change of the menu, and of which items are limited.
    #[schema(minimum = 1)]
    revision: u32,
    /// Goes up with every change of an item's availability.
    #[schema(minimum = 1)]
    availability_revision: u32,
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
    /// Its code in another system, unique within the menu.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Note>,
    /// The price of one, before options.
    price_minor: Amount,
    tags: &'a [Name],
    /// Whether it can be ordered now.
    availability: Availability,
    option_groups: &'a [OptionGroup],
    /// Whether only so many of it are left. How many is asked with a quote.
    stock_limited: bool,
}

impl<'a> MenuBody<'a> {
    fn new(catalogue: &'a Catalogue, now: Timestamp) -> Self {
        let item = |item: &'a MenuItem| ItemBody {
            id: &item.id,
            external_code: item.external_code.as_ref(),
            name: &item.name,
            description: item.description.as_ref(),
            price_minor: item.price_minor,
            tags: &item.tags,
            availability: catalogue.unavailable.availability_at(item.id.as_str(), now),
            option_groups: &item.option_groups,
            stock_limited: catalogue.limited.contains(&item.id),
        };
        Self {
            restaurant_id: catalogue.restaurant.id,
            currency: catalogue.restaurant.settings.currency,
            revision: catalogue.menu_revision,
            availability_revision: catalogue.availability_revision,
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

/// Number of headers of a response with a menu.
const HEADERS_OF_MENU: usize = 12;

/// What the entity tag of a menu stands for: `7-12-3`, or `7` for a menu with any availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MenuTag {
    /// The menu's revision.
    menu: u32,
    /// The availability's revision, and how many marks of unavailable items have ended since they were set.
    availability: Option<(u32, u32)>,
}

impl MenuTag {
    fn new(entry: &CatalogueEntry, now: Timestamp) -> Self {
        let ended = u32::try_from(entry.ended_at(now)).unwrap_or(u32::MAX);
        let Catalogue { menu_revision, availability_revision, .. } = entry.catalogue;
        Self { menu: menu_revision, availability: Some((availability_revision, ended)) }
    }
}

impl fmt::Display for MenuTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.menu)?;
        match self.availability {
            Some((revision, ended)) => write!(formatter, "-{revision}-{ended}"),
            None => Ok(()),
        }
    }
}

impl EntityTag for MenuTag {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(u32::read);
        let menu = parts.next()??;
        let availability = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some(Some(revision)), Some(Some(ended)), None) => Some((revision, ended)),
            _ => return None,
        };
        Some(Self { menu, availability })
    }
}

impl From<&MenuTag> for ExpectedMenu {
    /// That a mark has ended by itself is no change that a replacement could undo.
    fn from(tag: &MenuTag) -> Self {
        Self { menu: tag.menu, availability: tag.availability.map(|(revision, _)| revision) }
    }
}

/// The menu as bytes that were made once and are shared by all answers.
fn represent(entry: &CatalogueEntry, now: Timestamp) -> Result<Response> {
    let body = entry.rendered(now, |catalogue| match serde_json::to_vec(&MenuBody::new(catalogue, now)) {
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
    // Room for the headers of every response as well: menus are read more than anything else.
    response.headers_mut().reserve(HEADERS_OF_MENU);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set_revision_headers(&mut response, MenuTag::new(entry, now));
    Ok(response)
}

fn set_revision_headers(response: &mut Response, tag: MenuTag) {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(tag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// Reads a menu
///
/// For everyone. Ask with `If-None-Match`: a menu that has not changed is not sent again. The `ETag` changes with
/// the menu, with the availability of an item, and when an item becomes available by itself.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus", operation_id = "get_menu",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of revisions that the caller has.",
            pattern = r#"^(\*|(W/)?"[0-9]{1,9}(-[0-9]{1,9}-[0-9]{1,9})?")$"#),
    ),
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "Its state: the menu's revision, the availability's revision, \
                and how many items have become available by themselves since then."))),
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
    let (entry, now) = (app.engine.catalogue(id).await?, app.engine.now());
    let tag = MenuTag::new(&entry, now);
    if present.has(tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set_revision_headers(&mut response, tag);
        return Ok(response);
    }
    represent(&entry, now)
}

/// Replaces a menu
///
/// For the restaurant's staff and admins. The body may have up to 4 MiB. Every problem with it is
/// listed. What reading the menu adds (`revision`, `stock_limited` and the like) is ignored, so that what was read
/// can be sent back.
///
/// What the body does not state is kept: the availability of an item without `availability`, and the stock of an
/// item, also while the item is off the menu.
///
/// `If-Match` takes the `ETag` of the menu that was read, and then refuses to undo a change of availability, too.
/// The menu's revision alone in quotes (`"7"`) allows any change of availability.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus", operation_id = "replace_menu",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-Match" = String, Header, description = "The ETag of the menu that is replaced, or the menu's revision in \
            quotes; `*` for any.", pattern = r#"^(\*|"[0-9]{1,9}(-[0-9]{1,9}-[0-9]{1,9})?")$"#),
    ),
    request_body = MenuDocument,
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "Its state."))),
        NotSignedIn, NotAllowed, Missing, BadParameterOrBody, NotReplaced, Failures,
    ),
    security(("bearer" = [])),
)]
async fn replace_menu(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    condition: IfMatch<MenuTag>,
    JsonBody(menu): JsonBody<MenuDocument>,
) -> Result<Response> {
    let expected: Option<Vec<ExpectedMenu>> = match &condition {
        IfMatch::Absent => return Err(precondition_required()),
        IfMatch::Any => None,
        IfMatch::OneOf(tags) => Some(tags.iter().map(ExpectedMenu::from).collect()),
    };
    let entry = app.engine.replace_menu(&caller, id, menu, expected.as_deref()).await?;
    represent(&entry, app.engine.now())
}

/// Whether an item can be ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemAvailability)]
struct AvailabilityBody {
    item: Slug,
    availability: Availability,
    /// The availability's revision with it.
    #[schema(minimum = 1)]
    availability_revision: u32,
}

/// Says whether an item can be ordered
///
/// For the restaurant's staff and admins. The menu and its revision stay as they are. The `ETag` is the revision of the
/// availability of all items; `If-Match` refuses the change if another item's availability has changed as well. `until`
/// must be in the future.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability", tag = "menus",
    operation_id = "set_availability",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("item_id" = Slug, Path, description = "The item's id in the menu."),
        ("If-Match" = Option<String>, Header,
            description = "The `availability_revision` in quotes, at one of which the availability has to be.",
            pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#),
    ),
    request_body = Availability,
    responses(
        (status = 200, description = "The item's availability.", body = AvailabilityBody,
            headers(("ETag" = String, description = "The availability's revision."))),
        NotSignedIn, NotAllowed, Missing, BadParameterOrBody, NotAtRevision, Failures,
    ),
    security(("bearer" = [])),
)]
async fn set_availability(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((id, item)): InPath<(RestaurantId, Slug)>,
    condition: IfMatch,
    JsonBody(availability): JsonBody<Availability>,
) -> Result<Response> {
    let expected = condition.into_versions();
    let availability_revision =
        app.engine.set_availability(&caller, id, &item, availability, expected.as_deref()).await?;
    let tag = [(header::ETAG, etag(availability_revision))];
    Ok((tag, Json(AvailabilityBody { item, availability, availability_revision })).into_response())
}
