//! Orders: placing, reading and listing them, and their history.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    DisplayCode, OrderId, RestaurantId,
    order::{AllowedAction, Order, OrderRequest, OrderStatus, Version},
};
use dabba_engine::{CustomerName, OrderAnswer, Preview, Principal, check_email};
use dabba_outbound::public::{Audience, PublicOrder, PublicRecordedEvent};
use dabba_store::{OrderCursor, OrderPage, PageSize};
use dabba_web::{
    Problem,
    extract::{
        Caller, FromParameters, IfNoneMatch, InPath, JsonBody, Parameters, QueryOf, RequiredKey, etag,
    },
    headers,
};
use serde::Serialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::{OrderPath, RestaurantPath},
    writes::created,
};
use crate::{
    app::App,
    bodies::{
        orders::{CommandPreviewBody, EventListBody, LedgerBody, OrderDocument, OrderListBody, Search},
        receipts::ReceiptBody,
    },
    problem::{BadParameter, Failures, Missing, NotAllowed, NotPlaced, NotWritten, Result, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(place_order, list_restaurant_orders))
        .routes(routes!(list_orders))
        .routes(routes!(get_order))
        .routes(routes!(list_events))
        .routes(routes!(get_receipt))
        .routes(routes!(get_ledger))
}

/// Initial size of the buffer for an order's JSON. Most orders fit, so the buffer need not grow.
const ORDER_BYTES: usize = 2_048;

/// Makes the response to a write: the order, and whether an earlier request wrote it. It reads nothing from the store,
/// so no failed read can hide a successful write.
pub(super) fn answer(status: StatusCode, answer: &OrderAnswer, audience: Audience) -> Result<Response> {
    let mut response = represent(&answer.order, answer.allowed_actions.clone(), audience)?;
    *response.status_mut() = status;
    if answer.replayed {
        response
            .headers_mut()
            .insert(headers::IDEMPOTENCY_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Makes the response to a preview. It has no `ETag`, because the order does not have the version.
pub(super) fn preview(preview: &Preview, audience: Audience) -> Result<Response> {
    let order = preview.order.as_ref();
    let order = order.map(|order| PublicOrder::new(order, preview.allowed_actions.clone(), audience));
    in_json(&CommandPreviewBody { order, effect: preview.effect, preview: true })
}

fn represent(order: &Order, allowed_actions: Vec<AllowedAction>, audience: Audience) -> Result<Response> {
    let mut response = in_json(&PublicOrder::new(order, allowed_actions, audience))?;
    set_version_headers(&mut response, order);
    Ok(response)
}

fn in_json(body: &impl Serialize) -> Result<Response> {
    let mut json = Vec::with_capacity(ORDER_BYTES);
    serde_json::to_writer(&mut json, body).map_err(|error| Problem::internal(error.to_string()))?;
    let content_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, content_type)], json).into_response())
}

fn set_version_headers(response: &mut Response, order: &Order) {
    response.headers_mut().insert(header::ETAG, etag(order.version));
}

/// Places an order
///
/// The restaurant's menu determines the price. With `expected_total`, the order is placed only at that total. Use each
/// key for one order; a retry with the same key gets the first response, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders",
    params(
        RestaurantPath,
        ("Idempotency-Key" = String, Header, description = "A new key for each order, the same key for each retry."),
    ),
    request_body = OrderRequest,
    responses(
        (status = 201, description = "The order.", body = OrderDocument, headers(
            ("Location" = String, description = "Path of the order."),
            ("ETag" = String, description = "The order's version."),
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        NotWritten, NotPlaced,
    ),
    security(("bearer" = [])),
)]
async fn place_order(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(restaurant_id): InPath<RestaurantId>,
    RequiredKey(key): RequiredKey,
    JsonBody(request): JsonBody<OrderRequest>,
) -> Result<Response> {
    let placed = app.engine.orders.place(&caller, restaurant_id, &request, key).await?;
    let response = answer(StatusCode::CREATED, &placed, Audience::of_caller(&caller))?;
    created(response, &format!("/v1/orders/{}", placed.order.id))
}

/// Reads an order
///
/// For the customer, the restaurant's staff, the order's courier, and admins. Each role sees the members that are meant
/// for it.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}", tag = "orders",
    params(
        OrderPath,
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of the versions that the caller already has."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderDocument,
            headers(("ETag" = String, description = "The order's version."))),
        (status = 304, description = "The caller already has this version."),
        Unauthenticated, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_order(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
    present: IfNoneMatch,
) -> Result<Response> {
    let order = app.engine.orders.order(&caller, order_id).await?;
    if present.has(order.version) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set_version_headers(&mut response, &order);
        return Ok(response);
    }
    let allowed_actions = app.engine.orders.allowed_actions(&caller, &order).await?;
    represent(&order, allowed_actions, Audience::of_caller(&caller))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderListQuery {
    /// Only orders in these statuses: the parameter repeated, or once with names separated by commas. Default: all
    /// statuses.
    #[param(value_type = Option<Vec<OrderStatus>>, style = Form, explode = true)]
    status: Vec<OrderStatus>,
    /// Maximum number of orders in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<OrderCursor>,
}

impl FromParameters for OrderListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let status = parameters.take_list("status", |value| {
            OrderStatus::from_name(value).ok_or_else(|| {
                let names: Vec<_> = OrderStatus::ALL.iter().map(|status| status.as_str()).collect();
                format!("must be one or more of {}", names.join(", "))
            })
        });
        Self { status, limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// The parameters of [`OrderListQuery`], and those of a search.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderSearchQuery {
    /// Only orders with this display code, in upper or lower case; O is read as 0, and I and L as 1. For admins. The
    /// server searches the newest 100,000 orders of each shard. Not with `customer` or `cursor`.
    #[param(value_type = Option<String>, pattern = "^[0-9A-TV-Za-tv-z]{5}$")]
    code: Option<DisplayCode>,
    /// Only orders of this customer: an e-mail address or the id of an account. For admins; an API key needs the scope
    /// `accounts:read` for an e-mail address.
    #[param(value_type = Option<String>)]
    customer: Option<CustomerName>,
    /// Only orders in these statuses: the parameter repeated, or once with names separated by commas. Default: all
    /// statuses.
    #[param(value_type = Option<Vec<OrderStatus>>, style = Form, explode = true)]
    status: Vec<OrderStatus>,
    /// Maximum number of orders in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<OrderCursor>,
}

impl FromParameters for OrderSearchQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let code = parameters.take("code", |value| value.parse().map_err(|_| CODE_FORM.to_owned()));
        let customer = parameters.take("customer", |value| {
            let email = check_email(value).map(|()| CustomerName::Email(value.to_owned()));
            let account = value.parse().map(CustomerName::Account);
            account.or(email).map_err(|_| "must be an e-mail address or the id of an account".to_owned())
        });
        let OrderListQuery { status, limit, cursor } = OrderListQuery::take_from(parameters);
        Self { code, customer, status, limit, cursor }
    }
}

/// Form of a display code in a refusal.
const CODE_FORM: &str = "must be a display code: five letters and digits, such as PF2DB, without U";

/// Responds with a page of orders. Reads which actions the caller may take on each order.
async fn list(app: &App, caller: &Principal, page: OrderPage, search: Option<Search>) -> Result<Response> {
    let mut allowed_actions = Vec::with_capacity(page.orders.len());
    for order in &page.orders {
        allowed_actions.push(app.engine.orders.allowed_actions(caller, order).await?);
    }
    let body = OrderListBody::new(&page, allowed_actions, Audience::of_caller(caller), search);
    let body = body.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(lists::answer(body, page.incomplete))
}

/// Lists the caller's orders
///
/// Newest first. Customers see the orders that they placed, couriers the orders that they carry or carried, admins all
/// orders. Admins can search by `code` or by `customer`.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders",
    params(OrderSearchQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if orders may be missing, like `incomplete` in the body."),
        )),
        Unauthenticated, NotAllowed, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_orders(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(query): QueryOf<OrderSearchQuery>,
) -> Result<Response> {
    let OrderSearchQuery { code, customer, status, limit, cursor } = query;
    let orders = &app.engine.orders;
    let (page, search) = match (code, customer) {
        (None, None) => (orders.own_orders(&caller, status, cursor, limit).await?, None),
        (None, Some(customer)) => {
            (orders.orders_of_customer(&caller, &customer, status, cursor, limit).await?, None)
        }
        (Some(_), Some(_)) => return Err(not_with_code("customer", "search by one of the two").into()),
        (Some(_), None) if cursor.is_some() => {
            return Err(not_with_code("cursor", "a search by code has one page").into());
        }
        (Some(code), None) => {
            let (page, since) = orders.orders_with_code(&caller, code, &status, limit).await?;
            (page, Some(Search { since }))
        }
    };
    list(&app, &caller, page, search).await
}

/// Returns the problem of a parameter that a search by code does not have.
fn not_with_code(name: &str, reason: &str) -> Problem {
    Problem::bad_parameter(name, format!("must be absent together with code: {reason}"))
}

/// Lists a restaurant's orders
///
/// Open orders first, then ended ones; each newest first. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders",
    params(RestaurantPath, OrderListQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if orders may be missing, like `incomplete` in the body."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_restaurant_orders(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(restaurant_id): InPath<RestaurantId>,
    QueryOf(query): QueryOf<OrderListQuery>,
) -> Result<Response> {
    let OrderListQuery { status, limit, cursor } = query;
    let page = app.engine.orders.restaurant_orders(&caller, restaurant_id, status, cursor, limit).await?;
    list(&app, &caller, page, None).await
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventListQuery {
    /// Maximum number of events in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page, which is the version of its last event. Default: from the first event.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,9}$")]
    cursor: Option<Version>,
}

impl FromParameters for EventListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Reads an order's history
///
/// For everyone who may read the order; each role sees the members that are meant for it.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/events", tag = "orders", operation_id = "list_order_events",
    params(OrderPath, EventListQuery),
    responses(
        (status = 200, description = "A page of the history.", body = EventListBody),
        Unauthenticated, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_events(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
    QueryOf(query): QueryOf<EventListQuery>,
) -> Result<Json<EventListBody>> {
    let after = query.cursor.unwrap_or_default();
    let mut events = app.engine.orders.events(&caller, order_id, after, query.limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut events, query.limit, |last| last.version);
    let audience = Audience::of_caller(&caller);
    let events = events.into_iter().map(|event| PublicRecordedEvent::new(event, audience)).collect();
    Ok(Json(EventListBody { events, next_cursor }))
}

/// Reads an order's receipt
///
/// The lines, fees and taxes of the order with their amounts, what was paid, and what was returned. For the order's
/// customer, the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/receipt", tag = "orders",
    params(OrderPath),
    responses(
        (status = 200, description = "The receipt.", body = ReceiptBody<'_>),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_receipt(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
) -> Result<Response> {
    let order = app.engine.orders.receipt(&caller, order_id).await?;
    in_json(&ReceiptBody::new(&order))
}

/// Reads an order's ledger
///
/// A double-entry ledger of the customer's money. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/ledger", tag = "orders",
    params(OrderPath),
    responses(
        (status = 200, description = "The ledger.", body = LedgerBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_ledger(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
) -> Result<Json<LedgerBody>> {
    let (order, postings) = app.engine.orders.ledger(&caller, order_id).await?;
    Ok(Json(LedgerBody { currency: order.details.currency, postings }))
}
