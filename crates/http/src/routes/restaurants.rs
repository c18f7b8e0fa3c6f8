//! Restaurants: registering, settings, pause, and who works there.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    AccountId, Amount, Currency, ExternalId, RestaurantId, Timestamp,
    menu::MenuDocument,
    restaurant::{
        Closed, DeliveryTerms, Location, OpeningHours, OpeningInterval, Restaurant, SettingsDocument,
    },
    text::{Name, Note},
};
use dabba_engine::{CatalogueEntry, Conditional, RestaurantAnswer};
use dabba_store::{IdempotencyKey, PageSize, RestaurantPage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KeyParameter, accounts::AccountBody, created, lists, mark};
use crate::{
    App,
    extract::{
        Caller, Cursor, FromParameters, IfMatch, InPath, JsonBody, MaybeJsonBody, MaybeKey, Parameters,
        QueryOf, etag,
    },
    problem::{
        BadParameter, BadParameterOrBody, Code, Failures, Missing, NotAllowed, NotClosed, NotCreated,
        NotReopened, NotReplaced, NotSignedIn, NotUpdated, Problem, Result, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_restaurant, list_restaurants))
        .routes(routes!(get_restaurant, replace_restaurant))
        .routes(routes!(pause_restaurant))
        .routes(routes!(resume_restaurant))
        .routes(routes!(close_restaurant))
        .routes(routes!(reopen_restaurant))
        .routes(routes!(list_members))
        .routes(routes!(add_member, remove_member))
}

/// A restaurant, with its settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Restaurant)]
struct RestaurantBody<'a> {
    id: RestaurantId,
    /// Goes up with every change of the settings or the pause. It is the `ETag`, too.
    #[schema(minimum = 1)]
    revision: u32,
    /// Its id in another system, if it has one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    name: &'a Name,
    currency: Currency,
    /// Country code of ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// The IANA time zone of the opening hours.
    time_zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    /// When it is open; always, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_hours: Option<&'a [OpeningInterval]>,
    /// Tax on the subtotal in basis points.
    tax_rate_basis_points: u32,
    /// Whether it delivers.
    delivers: bool,
    /// Terms of delivery; absent if it does not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryTerms>,
    /// Whether customers may collect.
    collection: bool,
    /// Time to accept an order, in seconds.
    acceptance_deadline_seconds: u32,
    /// Most that its staff may refund of one order.
    refund_limit: Amount,
    /// There while its staff have stopped orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<PauseBody>,
    /// There once it is closed permanently.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'a Closed>,
    /// Whether it takes orders now.
    accepting: bool,
    /// The first moment at which it takes orders again: it is neither closed nor paused then. Absent while it takes
    /// orders, if the pause has no end, and if it never opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// A restaurant takes no orders for a while.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Pause)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// When it takes orders again by itself; when it is resumed, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl<'a> RestaurantBody<'a> {
    fn new(restaurant: &'a Restaurant, now: Timestamp) -> Self {
        let settings = &restaurant.settings;
        let not_accepting = restaurant.check_accepting(now).err();
        Self {
            id: restaurant.id,
            revision: restaurant.revision,
            external_id: settings.external_id.as_ref().map(ExternalId::as_str),
            name: &settings.name,
            currency: settings.currency,
            country: settings.country.as_deref(),
            time_zone: settings.time_zone.name(),
            location: settings.location,
            opening_hours: match &settings.opening_hours {
                OpeningHours::Always => None,
                OpeningHours::Weekly(intervals) => Some(intervals),
            },
            tax_rate_basis_points: settings.tax_rate_basis_points,
            delivers: settings.delivery.is_some(),
            delivery: settings.delivery,
            collection: settings.collection,
            acceptance_deadline_seconds: settings.acceptance_deadline_seconds,
            refund_limit: settings.refund_limit,
            // A pause that has ended by itself is none any more.
            pause: restaurant
                .pause
                .filter(|pause| pause.until.is_none_or(|until| now < until))
                .map(|pause| PauseBody { until: pause.until }),
            closed: restaurant.closed.as_ref(),
            accepting: not_accepting.is_none(),
            opens_at: not_accepting.and_then(|reason| reason.opens_at()),
            created_at: restaurant.created_at,
        }
    }
}

fn represent(app: &App, entry: &CatalogueEntry) -> Response {
    let restaurant = entry.restaurant();
    let mut response = Json(RestaurantBody::new(restaurant, app.engine.now())).into_response();
    response.headers_mut().insert(header::ETAG, etag(restaurant.revision));
    response
}

/// The revisions that a replacement expects, which have to be said: `None` for whatever there is.
fn expected_revisions(condition: IfMatch) -> Result<Option<Vec<u32>>> {
    expected_revision(&condition, 0)?;
    Ok(condition.into_versions())
}

/// The revision that a replacement expects, which has to be said.
fn expected_revision(condition: &IfMatch, current: u32) -> Result<Option<u32>> {
    match condition {
        IfMatch::Absent => Err(precondition_required()),
        condition => Ok(condition.expected(current)),
    }
}

/// The refusal of a replacement that does not say what it replaces.
pub(super) fn precondition_required() -> Problem {
    Problem::new(
        Code::PreconditionRequired,
        "This operation needs If-Match with the ETag of what is to be replaced, or * for whatever there is.",
    )
}

/// Registers a restaurant
///
/// For admins. Its menu is empty at first. An `external_id` has one restaurant: a second one is refused with 409
/// `external_id_taken`, which names the first. A retry with the same key registers nothing and is answered with the
/// restaurant as it is, and `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants", tag = "restaurants", operation_id = "create_restaurant",
    params(KeyParameter),
    request_body = SettingsDocument,
    responses(
        (status = 201, description = "The restaurant.", body = RestaurantBody, headers(
            ("Location" = String, description = "Where the restaurant is."),
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, NotCreated, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn create_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    MaybeKey(key): MaybeKey,
    JsonBody(settings): JsonBody<SettingsDocument>,
) -> Result<Response> {
    let menu = MenuDocument::default();
    let RestaurantAnswer { entry, replayed } =
        app.engine.create_restaurant_under(&caller, settings, menu, key).await?;
    let location = format!("/v1/restaurants/{}", entry.restaurant().id);
    Ok(mark(created(represent(&app, &entry), &location)?, replayed))
}

/// A page of a list by id.
#[derive(Debug)]
struct PageQuery<T> {
    limit: PageSize,
    cursor: Option<T>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what PageQuery reads")]
struct PageParameters {
    /// Most entries in the page. 50, when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl<T: Cursor> FromParameters for PageQuery<T> {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what RestaurantListQuery reads")]
struct RestaurantListParameters {
    /// Most entries in the page. 50, when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// `true`: only restaurants that are closed permanently; `false`: only the others. All, when absent.
    closed: Option<bool>,
    /// Only the restaurant with this external id.
    external_id: Option<String>,
}

/// Which restaurants are listed.
struct RestaurantListQuery {
    limit: PageSize,
    cursor: Option<RestaurantId>,
    is_closed: Option<bool>,
    external_id: Option<ExternalId>,
}

impl FromParameters for RestaurantListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let is_closed = parameters.take("closed", |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        });
        let external_id =
            parameters.take("external_id", |value| ExternalId::new(value).map_err(|error| error.to_string()));
        let (limit, cursor) = (parameters.take_limit(), parameters.take_cursor());
        Self { limit, cursor, is_closed, external_id }
    }
}

impl RestaurantListQuery {
    async fn page(&self, app: &App) -> Result<RestaurantPage> {
        let Self { limit, cursor, is_closed, external_id } = self;
        let Some(external_id) = external_id else {
            return Ok(app.engine.restaurants(*cursor, *is_closed, limit.and_one_more()).await?);
        };
        let found = app.engine.restaurant_by_external_id(external_id).await?;
        let restaurants = found.into_iter().map(|entry| entry.restaurant().clone());
        let restaurants = restaurants.filter(|restaurant| {
            is_closed.is_none_or(|is_closed| restaurant.closed.is_some() == is_closed)
                && cursor.is_none_or(|cursor| restaurant.id > cursor)
        });
        Ok(RestaurantPage { restaurants: restaurants.collect(), incomplete: false })
    }
}

/// A page of restaurants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RestaurantList)]
struct RestaurantListBody<'a> {
    restaurants: Vec<RestaurantBody<'a>>,
    /// Where the next page begins; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// There, and true, when restaurants may be missing here because a part of the store did not answer
    /// in time. They cannot take an order either, and they are not on a later page; ask for this page
    /// again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    incomplete: bool,
}

/// Lists restaurants
///
/// For everyone; the oldest first. Restaurants that are closed permanently are listed too, unless `closed=false` leaves
/// them out.
#[utoipa::path(
    get, path = "/v1/restaurants", tag = "restaurants", operation_id = "list_restaurants",
    params(RestaurantListParameters),
    responses(
        (status = 200, description = "A page of restaurants.", body = RestaurantListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` when restaurants may be missing, as `incomplete` says."),
        )),
        BadParameter, Failures,
    ),
    security(()),
)]
async fn list_restaurants(
    State(app): State<Arc<App>>,
    QueryOf(query): QueryOf<RestaurantListQuery>,
) -> Result<Response> {
    let RestaurantPage { mut restaurants, incomplete } = query.page(&app).await?;
    let now = app.engine.now();
    let next_cursor = lists::next_cursor(&mut restaurants, query.limit, |last| last.id);
    let restaurants = restaurants.iter().map(|restaurant| RestaurantBody::new(restaurant, now)).collect();
    Ok(lists::answer(RestaurantListBody { restaurants, next_cursor, incomplete }, incomplete))
}

/// Reads a restaurant
///
/// For everyone.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}", tag = "restaurants", operation_id = "get_restaurant",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant.")),
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody,
            headers(("ETag" = String, description = "Its revision."))),
        Missing, Failures,
    ),
    security(()),
)]
async fn get_restaurant(State(app): State<Arc<App>>, InPath(id): InPath<RestaurantId>) -> Result<Response> {
    Ok(represent(&app, &*app.engine.catalogue(id).await?))
}

/// Replaces a restaurant's settings
///
/// For its staff and admins. Only an admin changes `refund_limit` and `tax_rate_basis_points`: from staff they must
/// be as they are. The currency cannot be changed. Members that only the server writes are ignored.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}", tag = "restaurants", operation_id = "replace_restaurant",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-Match" = String, Header, description = "The ETags of the revisions that may be replaced; `*` for any.",
            pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#),
    ),
    request_body = SettingsDocument,
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody,
            headers(("ETag" = String, description = "Its revision."))),
        NotSignedIn, NotAllowed, Missing, BadParameterOrBody, NotReplaced, Failures,
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
    let expected = expected_revisions(condition)?;
    let entry = app.engine.replace_settings(&caller, id, settings, expected.as_deref()).await?;
    Ok(represent(&app, &entry))
}

/// Stops orders
///
/// Until a time or until resumed. For the restaurant's staff and admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/pause", tag = "restaurants", operation_id = "pause_restaurant",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-Match" = Option<String>, Header, description = "The ETags at one of which the restaurant has to be."),
        KeyParameter,
    ),
    request_body = Option<PauseBody>,
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody, headers(
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotUpdated, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn pause_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    condition: IfMatch,
    MaybeKey(key): MaybeKey,
    MaybeJsonBody(pause): MaybeJsonBody<PauseBody>,
) -> Result<Response> {
    let until = pause.unwrap_or_default().until;
    let conditional = conditional(condition, key);
    Ok(answer(&app, &app.engine.pause_under(&caller, id, until, conditional).await?))
}

/// Takes orders again
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/resume", tag = "restaurants", operation_id = "resume_restaurant",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("If-Match" = Option<String>, Header, description = "The ETags at one of which the restaurant has to be."),
        KeyParameter,
    ),
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody, headers(
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotUpdated, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn resume_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    condition: IfMatch,
    MaybeKey(key): MaybeKey,
) -> Result<Response> {
    let conditional = conditional(condition, key);
    Ok(answer(&app, &app.engine.resume_under(&caller, id, conditional).await?))
}

/// What a request says of the restaurant's revision and of its key.
fn conditional(condition: IfMatch, key: Option<IdempotencyKey>) -> Conditional {
    Conditional { expected: condition.into_versions(), key }
}

fn answer(app: &App, answer: &RestaurantAnswer) -> Response {
    mark(represent(app, &answer.entry), answer.replayed)
}

/// Why a restaurant is closed permanently.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RestaurantClosing)]
#[serde(deny_unknown_fields)]
struct ClosingBody {
    /// In words that everyone may read.
    reason: Note,
}

/// Closes a restaurant permanently
///
/// It takes no more orders. Its orders stay: staff carry on those that are open, and all can be read and refunded.
/// For admins. A repeated request with the same reason changes nothing; with another reason it is 409
/// `already_closed`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/close", tag = "restaurants", operation_id = "close_restaurant",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant."), KeyParameter),
    request_body = ClosingBody,
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody, headers(
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotClosed, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn close_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    MaybeKey(key): MaybeKey,
    JsonBody(ClosingBody { reason }): JsonBody<ClosingBody>,
) -> Result<Response> {
    Ok(answer(&app, &app.engine.close_restaurant(&caller, id, reason, key).await?))
}

/// Opens a restaurant that was closed permanently
///
/// For the case that it was closed by mistake: settings, menu and pause are as they were. For admins.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/reopen", tag = "restaurants", operation_id = "reopen_restaurant",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant."), KeyParameter),
    responses(
        (status = 200, description = "The restaurant.", body = RestaurantBody, headers(
            ("ETag" = String, description = "Its revision."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotReopened, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn reopen_restaurant(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    MaybeKey(key): MaybeKey,
) -> Result<Response> {
    Ok(answer(&app, &app.engine.reopen_restaurant(&caller, id, key).await?))
}

/// A page of a restaurant's staff.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberList)]
struct MemberListBody {
    members: Vec<AccountBody>,
    /// Where the next page begins; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists a restaurant's staff
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/members", tag = "restaurants", operation_id = "list_members",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant."), PageParameters),
    responses(
        (status = 200, description = "A page of accounts.", body = MemberListBody),
        NotSignedIn, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_members(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<RestaurantId>,
    QueryOf(query): QueryOf<PageQuery<AccountId>>,
) -> Result<Json<MemberListBody>> {
    let mut members = app.engine.members(&caller, id, query.cursor, query.limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut members, query.limit, |last| last.id);
    Ok(Json(MemberListBody { members: members.into_iter().map(AccountBody::from).collect(), next_cursor }))
}

/// Adds someone to a restaurant's staff
///
/// For the restaurant's staff and admins. The account's role must be `restaurant`.
#[utoipa::path(
    put, path = "/v1/restaurants/{restaurant_id}/members/{account_id}", tag = "restaurants", operation_id = "add_member",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("account_id" = AccountId, Path, description = "The account."),
    ),
    responses(
        (status = 200, description = "The account.", body = AccountBody),
        NotSignedIn, NotAllowed, Missing, crate::problem::NotFitting, Failures,
    ),
    security(("bearer" = [])),
)]
async fn add_member(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((restaurant_id, account_id)): InPath<(RestaurantId, AccountId)>,
) -> Result<Json<AccountBody>> {
    Ok(Json(app.engine.add_member(&caller, restaurant_id, account_id).await?.into()))
}

/// Takes someone from a restaurant's staff
///
/// For the restaurant's staff and admins.
#[utoipa::path(
    delete, path = "/v1/restaurants/{restaurant_id}/members/{account_id}", tag = "restaurants", operation_id = "remove_member",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("account_id" = AccountId, Path, description = "The account."),
    ),
    responses(
        (status = 204, description = "They no longer work there."),
        NotSignedIn, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn remove_member(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((restaurant_id, account_id)): InPath<(RestaurantId, AccountId)>,
) -> Result<StatusCode> {
    app.engine.remove_member(&caller, restaurant_id, account_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
