//! Menus: read from memory, replaced as a whole; and the availability of single items.

use std::{fmt, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    RestaurantId, Timestamp,
    menu::{Availability, MenuDocument},
    text::Slug,
};
use dabba_engine::{CatalogueEntry, ExpectedMenu};
use dabba_store::Catalogue;
use dabba_web::{
    Problem,
    extract::{Caller, EntityTag, IfMatch, IfNoneMatch, InPath, JsonBody, etag},
};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::{
    paths::{ItemPath, RestaurantPath},
    writes::{tagged, versions_to_replace},
};
use crate::{
    MAX_MENU_BYTES,
    app::App,
    bodies::menus::{AvailabilityBody, MenuBody},
    problem::{
        BadParameter, BadParameterOrBody, Failures, Missing, NotAllowed, NotAtRevision, NotReplaced, Result,
        Unauthenticated,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(get_menu, replace_menu).layer(DefaultBodyLimit::max(MAX_MENU_BYTES)))
        .routes(routes!(set_availability))
}

/// Number of headers in a response with a menu.
const HEADERS_OF_MENU: usize = 12;

/// The entity tag of a menu: `7-12-3`, or `7` for a menu with any availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MenuTag {
    /// Revision of the menu.
    menu: u32,
    /// Revision of the availability, and the number for what has changed with time since: see
    /// [`CatalogueEntry::state_at`].
    availability: Option<(u32, u32)>,
}

impl MenuTag {
    fn new(entry: &CatalogueEntry, now: Timestamp) -> Self {
        let state = u32::try_from(entry.state_at(now)).unwrap_or(u32::MAX);
        let Catalogue { menu_revision, availability_revision, .. } = entry.catalogue;
        Self { menu: menu_revision, availability: Some((availability_revision, state)) }
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
    /// Ignores what changes with time: a replacement cannot undo an expiry.
    fn from(tag: &MenuTag) -> Self {
        Self { menu: tag.menu, availability: tag.availability.map(|(revision, _)| revision) }
    }
}

/// Makes the response with a menu. The menu's bytes are rendered once and shared by all responses.
fn represent(entry: &CatalogueEntry, now: Timestamp) -> Result<Response> {
    let body = entry.rendered(now, |catalogue| match serde_json::to_vec(&MenuBody::new(catalogue, now)) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            tracing::error!(%error, "a menu cannot be serialized as JSON");
            Bytes::new()
        }
    });
    if body.is_empty() {
        return Err(Problem::internal(
            "the menu cannot be serialized; the log has the cause at its first request",
        )
        .into());
    }
    let mut response = Body::from(body).into_response();
    // Reserves room for the headers that all responses get, too, because menus are read more often than anything else.
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
/// For everyone. Use `If-None-Match`: the response does not repeat an unchanged menu. The `ETag` changes with the menu,
/// with the availability of an item, and when an item or option becomes available because its `until` has passed, or its hours
/// begin or end.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus",
    params(
        RestaurantPath,
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of the revisions that the caller already has.",
            pattern = r#"^(\*|(W/)?"[0-9]{1,9}(-[0-9]{1,9}-[0-9]{1,9})?")$"#),
    ),
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "The menu's state: the revision of the menu, the revision of the availability, \
                and the number of items that have become available by themselves since then."))),
        (status = 304, description = "The caller already has this revision."),
        Missing, BadParameter, Failures,
    ),
    security(()),
)]
async fn get_menu(
    State(app): State<Arc<App>>,
    InPath(id): InPath<RestaurantId>,
    present: IfNoneMatch,
) -> Result<Response> {
    let (entry, now) = (app.engine.catalogue.entry(id).await?, app.engine.now());
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
/// For the restaurant's staff and admins. The body has at most 4 MiB. A refusal lists every problem. Members that only
/// the server writes (`revision`, `stock_limited` and others) are ignored, so a menu that was read can be sent back.
///
/// The replacement keeps what the body does not state: the availability of an item without `availability`, and the
/// stock of an item, also while the item is not on the menu.
///
/// `If-Match` contains the `ETag` of the menu that was read. The replacement is then also refused if it would undo a
/// change of availability. The menu's revision alone in quotes (`"7"`) allows any change of availability.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu", tag = "menus",
    params(
        RestaurantPath,
        ("If-Match" = String, Header, description = "The ETag of the menu to replace, or the menu's revision in \
            quotes; `*` for any.", pattern = r#"^(\*|"[0-9]{1,9}(-[0-9]{1,9}-[0-9]{1,9})?")$"#),
    ),
    request_body = MenuDocument,
    responses(
        (status = 200, description = "The menu.", body = MenuBody,
            headers(("ETag" = String, description = "The menu's state."))),
        Unauthenticated, NotAllowed, Missing, BadParameterOrBody, NotReplaced, Failures,
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
    let tags = versions_to_replace(condition)?;
    let expected: Option<Vec<_>> = tags.map(|tags| tags.iter().map(ExpectedMenu::from).collect());
    let entry = app.engine.catalogue.replace_menu(&caller, id, menu, expected.as_deref()).await?;
    represent(&entry, app.engine.now())
}

/// Sets the availability of an item
///
/// For the restaurant's staff and admins. The menu and its revision do not change. The `ETag` is the revision of the
/// availability of all items, so `If-Match` also refuses the request if the availability of another item has changed.
/// `until` must be in the future.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability", tag = "menus",
    params(
        ItemPath,
        ("If-Match" = Option<String>, Header,
            description = "Values of `availability_revision` in quotes; the availability must be at one of them.",
            pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#),
    ),
    request_body = Availability,
    responses(
        (status = 200, description = "The item's availability.", body = AvailabilityBody,
            headers(("ETag" = String, description = "Revision of the availability."))),
        Unauthenticated, NotAllowed, Missing, BadParameterOrBody, NotAtRevision, Failures,
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
        app.engine.catalogue.set_availability(&caller, id, &item, availability, expected.as_deref()).await?;
    Ok(tagged(availability_revision, AvailabilityBody { item, availability, availability_revision }))
}
