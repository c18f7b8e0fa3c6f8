//! Orders: placing, reading and listing them, and their history.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    AccountId, Actor, Amount, Currency, OrderId, RestaurantId, Timestamp,
    ledger::LedgerPosting,
    order::{
        AllowedAction, Closure, Contact, Event, Fulfilment, Order, OrderRequest, OrderStatus, PaymentMethod,
        PaymentReference, PaymentStatus, RecordedEvent, RefundState, Version,
    },
    pricing::{Amounts, OrderLine},
    text::{Name, Note},
};
use dabba_engine::{Answer, Principal};
use dabba_store::{OrderCursor, OrderPage, PageSize};
use dabba_web::{
    Problem,
    extract::{
        Caller, Cursor as _, FromParameters, IfNoneMatch, InPath, JsonBody, Parameters, QueryOf, RequiredKey,
        etag,
    },
    headers,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{created, lists};
use crate::{
    app::App,
    problem::{BadParameter, Failures, Missing, NotAllowed, NotPlaced, NotSignedIn, Result, WriteFailures},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(place_order, list_restaurant_orders))
        .routes(routes!(list_orders))
        .routes(routes!(get_order))
        .routes(routes!(list_events))
        .routes(routes!(get_ledger))
}

/// An order at one version, with the fields that its caller may see.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    id: OrderId,
    restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    restaurant_name: &'a Name,
    /// The customer's account.
    customer_id: AccountId,
    /// The courier's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    courier_id: Option<AccountId>,
    status: OrderStatus,
    /// Number of the latest event; also the order's `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    payment: PaymentBody<'a>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    lines: &'a [OrderLine],
    fulfilment: &'a Fulfilment,
    /// The person to contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a Contact>,
    /// A note to the restaurant.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    /// Revision of the menu from which the order was priced.
    menu_revision: u32,
    placed_at: Timestamp,
    /// Time of the latest event.
    updated_at: Timestamp,
    /// Deadline for the restaurant's acceptance. Present once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Present once the restaurant has accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_by: Option<Timestamp>,
    /// How the order ended before the delivery, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    closure: Option<&'a Closure>,
    /// The actions that the caller may take at this version.
    allowed_actions: Vec<AllowedAction>,
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentBody<'a> {
    method: PaymentMethod,
    status: PaymentStatus,
    /// Deadline of a payment by card. Present while the order waits for the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    /// The payment provider's reference of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a PaymentReference>,
    /// The captured amount.
    captured: Amount,
    /// The refunded part of the captured amount.
    refunded: Amount,
    /// Completed and pending refunds, oldest first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    refunds: &'a [RefundState],
}

impl<'a> OrderBody<'a> {
    fn new(order: &'a Order, allowed_actions: Vec<AllowedAction>) -> Self {
        let details = &*order.details;
        Self {
            id: order.id,
            restaurant_id: details.restaurant_id,
            restaurant_name: &details.restaurant_name,
            customer_id: details.customer_id,
            courier_id: order.courier_id,
            status: order.status,
            version: order.version,
            payment: PaymentBody {
                method: details.payment_method,
                status: order.payment_status,
                deadline: details.payment_deadline.filter(|_| order.awaits_payment()),
                reference: order.payment_reference.as_ref(),
                captured: order.captured,
                refunded: order.refunded,
                refunds: &order.refunds,
            },
            currency: details.currency,
            amounts: details.amounts,
            lines: &details.lines,
            fulfilment: &details.fulfilment,
            contact: details.contact.as_ref(),
            note: details.note.as_ref(),
            menu_revision: details.menu_revision,
            placed_at: order.placed_at,
            updated_at: order.updated_at,
            acceptance_deadline: order.acceptance_deadline,
            ready_by: order.ready_by,
            closure: order.closure.as_ref(),
            allowed_actions,
        }
    }
}

/// Initial size of the buffer for an order's JSON. Most orders fit, so the buffer need not grow.
const ORDER_BYTES: usize = 2_048;

/// Makes the response to a write: the order, and whether an earlier request wrote it. It reads nothing from the store,
/// so no failed read can hide a successful write.
pub(super) fn answer(status: StatusCode, answer: &Answer) -> Result<Response> {
    let mut response = represent(&answer.order, answer.allowed_actions.clone())?;
    *response.status_mut() = status;
    if answer.replayed {
        response
            .headers_mut()
            .insert(headers::IDEMPOTENCY_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn represent(order: &Order, allowed_actions: Vec<AllowedAction>) -> Result<Response> {
    let body = OrderBody::new(order, allowed_actions);
    let mut json = Vec::with_capacity(ORDER_BYTES);
    serde_json::to_writer(&mut json, &body).map_err(|error| Problem::internal(error.to_string()))?;
    let content_type = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, content_type)], json).into_response();
    set_version_headers(&mut response, order);
    Ok(response)
}

fn set_version_headers(response: &mut Response, order: &Order) {
    response.headers_mut().insert(header::ETAG, etag(order.version));
}

/// Places an order
///
/// The restaurant's menu determines the price. With `expected_total`, the order is placed only at that total. Use each
/// key for one order; a retry with the same key gets the first response, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders", operation_id = "place_order",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("Idempotency-Key" = String, Header, description = "A new key for each order, the same key for each retry.",
            min_length = 1, max_length = 255, pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#),
    ),
    request_body = OrderRequest,
    responses(
        (status = 201, description = "The order.", body = OrderBody, headers(
            ("Location" = String, description = "Path of the order."),
            ("ETag" = String, description = "The order's version."),
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        NotSignedIn, NotAllowed, Missing, NotPlaced, WriteFailures,
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
    let placed = app.engine.place(&caller, restaurant_id, &request, key).await?;
    created(answer(StatusCode::CREATED, &placed)?, &format!("/v1/orders/{}", placed.order.id))
}

/// Reads an order
///
/// For the customer, the restaurant's staff, the order's courier, and admins.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}", tag = "orders", operation_id = "get_order",
    params(
        ("order_id" = OrderId, Path, description = "The order."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of the versions that the caller already has."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String, description = "The order's version."))),
        (status = 304, description = "The caller already has this version."),
        NotSignedIn, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_order(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
    present: IfNoneMatch,
) -> Result<Response> {
    let order = app.engine.order(&caller, order_id).await?;
    if present.has(order.version) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set_version_headers(&mut response, &order);
        return Ok(response);
    }
    let allowed_actions = app.engine.allowed_actions(&caller, &order).await?;
    represent(&order, allowed_actions)
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderList)]
struct OrderListBody<'a> {
    orders: Vec<OrderBody<'a>>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Present and `true` if orders may be missing in this page because a shard did not answer in time. The missing
    /// orders are not on a later page either; request this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    incomplete: bool,
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

async fn list(app: &App, caller: &Principal, page: OrderPage) -> Result<Response> {
    let mut orders = Vec::with_capacity(page.orders.len());
    for order in &page.orders {
        orders.push(OrderBody::new(order, app.engine.allowed_actions(caller, order).await?));
    }
    let next_cursor = page.next.map(|cursor| cursor.write());
    let incomplete = page.incomplete;
    Ok(lists::answer(OrderListBody { orders, next_cursor, incomplete }, incomplete))
}

/// Lists the caller's orders
///
/// Newest first. Customers see the orders that they placed, couriers the orders that they carry or carried, admins all
/// orders.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "list_orders",
    params(OrderListQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if orders may be missing, like `incomplete` in the body."),
        )),
        NotSignedIn, NotAllowed, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_orders(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(query): QueryOf<OrderListQuery>,
) -> Result<Response> {
    let page = app.engine.own_orders(&caller, query.status, query.cursor, query.limit).await?;
    list(&app, &caller, page).await
}

/// Lists a restaurant's orders
///
/// Open orders first, then ended ones; each newest first. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders", operation_id = "list_restaurant_orders",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant."), OrderListQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` if orders may be missing, like `incomplete` in the body."),
        )),
        NotSignedIn, NotAllowed, Missing, BadParameter, Failures,
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
    let page = app.engine.restaurant_orders(&caller, restaurant_id, status, cursor, limit).await?;
    list(&app, &caller, page).await
}

/// An event of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedEvent)]
struct EventBody {
    /// Number of the event in the order's history: 1, 2, 3, … without gaps.
    #[schema(minimum = 1)]
    version: u32,
    #[serde(flatten)]
    event: Event,
    /// Who caused the event.
    actor: Actor,
    at: Timestamp,
}

impl From<RecordedEvent> for EventBody {
    fn from(recorded: RecordedEvent) -> Self {
        let RecordedEvent { order_id: _, version, at, actor, event } = recorded;
        Self { version, event, actor, at }
    }
}

/// A page of an order's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
struct EventListBody {
    events: Vec<EventBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
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
/// For everyone who may read the order.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/events", tag = "orders", operation_id = "list_order_events",
    params(("order_id" = OrderId, Path, description = "The order."), EventListQuery),
    responses(
        (status = 200, description = "A page of the history.", body = EventListBody),
        NotSignedIn, Missing, BadParameter, Failures,
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
    let mut events = app.engine.events(&caller, order_id, after, query.limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut events, query.limit, |last| last.version);
    Ok(Json(EventListBody { events: events.into_iter().map(EventBody::from).collect(), next_cursor }))
}

/// The ledger of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ledger)]
struct LedgerBody {
    /// The currency of every amount.
    currency: Currency,
    /// One posting for each event that moved money, oldest first. The entries of each posting sum to zero.
    postings: Vec<LedgerPosting>,
}

/// Reads an order's ledger
///
/// A double-entry ledger of the customer's money. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/ledger", tag = "orders", operation_id = "get_ledger",
    params(("order_id" = OrderId, Path, description = "The order.")),
    responses(
        (status = 200, description = "The ledger.", body = LedgerBody),
        NotSignedIn, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_ledger(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
) -> Result<Json<LedgerBody>> {
    let (order, postings) = app.engine.ledger(&caller, order_id).await?;
    Ok(Json(LedgerBody { currency: order.details.currency, postings }))
}
