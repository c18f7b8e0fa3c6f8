//! Restaurants: creation, settings, pause, closing, and staff.

mod list;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use dabba_domain::{AccountId, RestaurantId, menu::MenuDocument, restaurant::SettingsDocument};
use dabba_engine::{CatalogueEntry, RestaurantAnswer};
use dabba_store::PageSize;
use dabba_web::extract::{
    Caller, Cursor, FromParameters, IfMatch, InPath, JsonBody, KnownCaller, MaybeJsonBody, MaybeKey,
    Parameters, QueryOf,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::{MemberPath, RestaurantPath},
    writes::{
        AtVersion, ConditionalWrite, Created, KeyParameter, Shown, Written, created, mark, tagged,
        versions_to_replace,
    },
};
use crate::{
    app::App,
    bodies::{
        accounts::AccountBody,
        restaurants::{ClosingBody, MemberListBody, PauseBody, RestaurantBody},
    },
    problem::{
        BadParameter, BadParameterOrBody, Failures, Missing, NotAllowed, NotClosed, NotCreated, NotFitting,
        NotReopened, NotReplaced, NotUpdated, NotWritten, Result, Unauthenticated, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_restaurant, list::list_restaurants))
        .routes(routes!(get_restaurant, replace_restaurant))
        .routes(routes!(pause_restaurant))
        .routes(routes!(resume_restaurant))
        .routes(routes!(close_restaurant))
        .routes(routes!(reopen_restaurant))
        .routes(routes!(list_members))
        .routes(routes!(add_member, remove_member))
}

/// Represents a restaurant for its staff and admins.
fn represent(app: &App, entry: &CatalogueEntry) -> Response {
    let restaurant = entry.restaurant();
    tagged(restaurant.revision, RestaurantBody::for_staff(restaurant, app.engine.now()))
}

/// Makes the response to a write.
fn answer(app: &App, answer: &RestaurantAnswer) -> Response {
    mark(represent(app, &answer.entry), answer.replayed)
}

/// Creates a restaurant
///
/// For admins. The menu is empty at first. An `external_id` is unique: a second restaurant with it is refused with 409
/// `external_id_taken`, which names the first one. A retry with the same key creates nothing and gets the restaurant in
/// its current state, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants", tag = "restaurants",
    params(KeyParameter),
    request_body = SettingsDocument,
    responses(Created<RestaurantBody>, Unauthenticated, NotAllowed, NotCreated, WriteFailures),
    security(("bearer" = [])),
)]
async fn create_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    MaybeKey(key): MaybeKey,
    JsonBody(settings): JsonBody<SettingsDocument>,
) -> Result<Response> {
    let menu = MenuDocument::default();
    let made = app.engine.catalogue.create_restaurant_under(&caller, settings, menu, key).await?;
    created(answer(&app, &made), &format!("/v1/restaurants/{}", made.entry.restaurant().id))
}

/// Query of a list by id.
#[derive(Debug)]
struct PageQuery<T> {
    limit: PageSize,
    cursor: Option<T>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what PageQuery reads")]
struct PageParameters {
    /// Maximum number of entries in the page. 1 to 100; default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

impl<T: Cursor> FromParameters for PageQuery<T> {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Reads a restaurant
///
/// For everyone. Only the restaurant's staff and admins see `unattended_since`.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}", tag = "restaurants",
    params(RestaurantPath),
    responses(Shown<RestaurantBody>, Missing, Failures),
    security((), ("bearer" = [])),
)]
async fn get_restaurant(
    State(app): State<Arc<App>>,
    KnownCaller(caller): KnownCaller,
    InPath(id): InPath<RestaurantId>,
) -> Result<Response> {
    let entry = app.engine.catalogue.entry(id).await?;
    let (restaurant, now) = (entry.restaurant(), app.engine.now());
    let boards = &app.engine.boards;
    let body = if boards.may_know(caller.as_ref(), id).await {
        let unattended = boards.unattended_since(&[id]).await;
        RestaurantBody::for_staff(restaurant, now).unattended_since(unattended.get(&id).copied())
    } else {
        RestaurantBody::new(restaurant, now)
    };
    Ok(tagged(restaurant.revision, body))
}

/// Replaces a restaurant's settings
///
/// For the restaurant's staff and admins. Only an admin can change `refund_limit` and `tax_rate_basis_points`; a
/// request by staff must repeat their current values. The currency cannot be changed. Members that only the server
/// writes are ignored.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}", tag = "restaurants",
    params(
        RestaurantPath,
        ("If-Match" = String, Header, description = "ETags of revisions; the restaurant must be at one of them. `*` allows any revision.",
            pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#),
    ),
    request_body = SettingsDocument,
    responses(
        Shown<RestaurantBody>, Unauthenticated, NotAllowed, Missing, BadParameterOrBody, NotReplaced, Failures,
    ),
    security(("bearer" = [])),
)]
async fn replace_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    condition: IfMatch,
    JsonBody(settings): JsonBody<SettingsDocument>,
) -> Result<Response> {
    let expected = versions_to_replace(condition)?;
    let entry = app.engine.catalogue.replace_settings(&caller, id, settings, expected.as_deref()).await?;
    Ok(represent(&app, &entry))
}

/// Pauses a restaurant
///
/// The restaurant takes no orders until a time or until it is resumed. For the restaurant's staff and admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/pause", tag = "restaurants",
    params(RestaurantPath, AtVersion<RestaurantBody>, KeyParameter),
    request_body = Option<PauseBody>,
    responses(Written<RestaurantBody>, NotWritten, NotUpdated),
    security(("bearer" = [])),
)]
async fn pause_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    ConditionalWrite(conditional): ConditionalWrite,
    MaybeJsonBody(pause): MaybeJsonBody<PauseBody>,
) -> Result<Response> {
    let until = pause.unwrap_or_default().until;
    let changed = app.engine.catalogue.pause_under(&caller, id, until, conditional).await?;
    Ok(answer(&app, &changed))
}

/// Resumes a paused restaurant
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/resume", tag = "restaurants",
    params(RestaurantPath, AtVersion<RestaurantBody>, KeyParameter),
    responses(Written<RestaurantBody>, NotWritten, NotUpdated),
    security(("bearer" = [])),
)]
async fn resume_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    ConditionalWrite(conditional): ConditionalWrite,
) -> Result<Response> {
    let changed = app.engine.catalogue.resume_under(&caller, id, conditional).await?;
    Ok(answer(&app, &changed))
}

/// Closes a restaurant permanently
///
/// The restaurant takes no more orders. Its orders stay: staff complete the open orders, and all orders can be read and
/// refunded. For admins. A repeated request with the same reason changes nothing; with another reason it gets 409
/// `already_closed`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/close", tag = "restaurants",
    params(RestaurantPath, KeyParameter),
    request_body = ClosingBody,
    responses(Written<RestaurantBody>, NotWritten, NotClosed),
    security(("bearer" = [])),
)]
async fn close_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    MaybeKey(key): MaybeKey,
    JsonBody(ClosingBody { reason }): JsonBody<ClosingBody>,
) -> Result<Response> {
    let changed = app.engine.catalogue.close_restaurant(&caller, id, reason, key).await?;
    Ok(answer(&app, &changed))
}

/// Reopens a permanently closed restaurant
///
/// For restaurants that were closed by mistake: settings, menu and pause are unchanged. For admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/reopen", tag = "restaurants",
    params(RestaurantPath, KeyParameter),
    responses(Written<RestaurantBody>, NotWritten, NotReopened),
    security(("bearer" = [])),
)]
async fn reopen_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    MaybeKey(key): MaybeKey,
) -> Result<Response> {
    let changed = app.engine.catalogue.reopen_restaurant(&caller, id, key).await?;
    Ok(answer(&app, &changed))
}

/// Lists a restaurant's staff
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/members", tag = "restaurants",
    params(RestaurantPath, PageParameters),
    responses(
        (status = 200, description = "A page of accounts.", body = MemberListBody),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_members(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    QueryOf(query): QueryOf<PageQuery<AccountId>>,
) -> Result<Json<MemberListBody>> {
    let mut members =
        app.engine.accounts.members(&caller, id, query.cursor, query.limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut members, query.limit, |last| last.id);
    Ok(Json(MemberListBody { members: members.into_iter().map(AccountBody::from).collect(), next_cursor }))
}

/// Adds an account to a restaurant's staff
///
/// For the restaurant's staff and admins. The account's role must be `restaurant`.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/members/{account_id}", tag = "restaurants",
    params(MemberPath),
    responses(
        (status = 200, description = "The account.", body = AccountBody),
        Unauthenticated, NotAllowed, Missing, NotFitting, Failures,
    ),
    security(("bearer" = [])),
)]
async fn add_member(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((restaurant_id, account_id)): InPath<(RestaurantId, AccountId)>,
) -> Result<Json<AccountBody>> {
    Ok(Json(app.engine.accounts.add_member(&caller, restaurant_id, account_id).await?.into()))
}

/// Removes an account from a restaurant's staff
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    delete, path = "/v1/restaurants/{restaurant_id}/members/{account_id}", tag = "restaurants",
    params(MemberPath),
    responses(
        (status = 204, description = "The account is no longer a member of the staff."),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn remove_member(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((restaurant_id, account_id)): InPath<(RestaurantId, AccountId)>,
) -> Result<StatusCode> {
    app.engine.accounts.remove_member(&caller, restaurant_id, account_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
