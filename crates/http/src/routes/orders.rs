//! Orders: placing, reading, listing, and their history.

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
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{REPLAYED, created, lists};
use crate::{
    App,
    extract::{
        Caller, Cursor as _, FromParameters, IfNoneMatch, InPath, JsonBody, Parameters, QueryOf, RequiredKey,
        etag,
    },
    problem::{
        BadParameter, Failures, Missing, NotAllowed, NotPlaced, NotSignedIn, Problem, Result, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(place_order, list_restaurant_orders))
        .routes(routes!(list_orders))
        .routes(routes!(get_order))
        .routes(routes!(list_events))
        .routes(routes!(get_ledger))
}

/// An order at one version, as its caller may see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    id: OrderId,
    restaurant_id: RestaurantId,
    /// The restaurant's name when the order was placed.
    restaurant_name: &'a Name,
    /// Who ordered it.
    customer_id: AccountId,
    /// Who carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    courier_id: Option<AccountId>,
    status: OrderStatus,
    /// The number of its latest event. It is the order's `ETag`, too.
    #[schema(minimum = 1)]
    version: u32,
    payment: PaymentBody<'a>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    lines: &'a [OrderLine],
    fulfilment: &'a Fulfilment,
    /// Whom to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a Contact>,
    /// A wish for the restaurant.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    /// The menu from which it was priced.
    menu_revision: u32,
    placed_at: Timestamp,
    /// When its latest event happened.
    updated_at: Timestamp,
    /// Until when the restaurant has to accept it. There once it is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptance_deadline: Option<Timestamp>,
    /// When the restaurant expects the food to be ready. There once it has accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_by: Option<Timestamp>,
    /// How it ended before the customer had it, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    closure: Option<&'a Closure>,
    /// What the caller may do with it at this version.
    allowed_actions: Vec<AllowedAction>,
}

/// How an order is paid, and how far that is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentBody<'a> {
    method: PaymentMethod,
    status: PaymentStatus,
    /// Until when a payment by card has to be certain, while that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    /// What the payment provider calls the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a PaymentReference>,
    /// What has been collected.
    captured: Amount,
    /// What of it is back with the customer.
    refunded: Amount,
    /// What has been or is to be given back, the oldest first.
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

/// Room for what most orders are in JSON, so that it is written once and not moved as it grows.
const ORDER_BYTES: usize = 2_048;

/// The answer to a write: the order, and whether it was written by an earlier request. Nothing is read for it,
/// so that no failure hides what has been written.
pub(super) fn answer(status: StatusCode, answer: &Answer) -> Result<Response> {
    let mut response = represent(&answer.order, answer.allowed_actions.clone())?;
    *response.status_mut() = status;
    if answer.replayed {
        response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
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
/// The restaurant's menu says what it costs. With `expected_total` the order is placed at that total
/// or not at all. A key is used for one order; a repeated request is answered as it was at first, with
/// `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders", operation_id = "place_order",
    params(
        ("restaurant_id" = RestaurantId, Path, description = "The restaurant."),
        ("Idempotency-Key" = String, Header, description = "New for each order, the same when the request is repeated.",
            min_length = 1, max_length = 255, pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#),
    ),
    request_body = OrderRequest,
    responses(
        (status = 201, description = "The order.", body = OrderBody, headers(
            ("Location" = String, description = "Where the order is."),
            ("ETag" = String, description = "The order's version."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a repeated request."),
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
/// For the customer, the restaurant's staff, the courier who carries it, and admins.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}", tag = "orders", operation_id = "get_order",
    params(
        ("order_id" = OrderId, Path, description = "The order."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of versions that the caller has."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String, description = "The order's version."))),
        (status = 304, description = "The caller has this version."),
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
    /// Where the next page begins; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// There, and true, when orders may be missing here because a part of the store did not answer in
    /// time. They are not on a later page either; ask for this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    incomplete: bool,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderListQuery {
    /// Only orders in these statuses: the parameter repeated, or once with names separated by commas. All, when absent.
    #[param(value_type = Option<Vec<OrderStatus>>, style = Form, explode = true)]
    status: Vec<OrderStatus>,
    /// Most orders in the page. 50, when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the page before.
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
/// The newest first: those that a customer placed, those that a courier carries or carried, all for an
/// admin.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", operation_id = "list_orders",
    params(OrderListQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` when orders may be missing, as `incomplete` says."),
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
/// Those that are not at an end first, then the others; each the newest first. For the restaurant's
/// staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/orders", tag = "orders", operation_id = "list_restaurant_orders",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant."), OrderListQuery),
    responses(
        (status = 200, description = "A page of orders.", body = OrderListBody, headers(
            ("Dabba-Incomplete" = String, description = "`true` when orders may be missing, as `incomplete` says."),
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

/// Something that happened to an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedEvent)]
struct EventBody {
    /// Its place in the order's history, from 1 without a gap.
    #[schema(minimum = 1)]
    version: u32,
    #[serde(flatten)]
    event: Event,
    /// Who made it happen.
    actor: Actor,
    at: Timestamp,
}

impl From<RecordedEvent> for EventBody {
    fn from(recorded: RecordedEvent) -> Self {
        let RecordedEvent { order_id: _, version, at, actor, event } = recorded;
        Self { version, event, actor, at }
    }
}

/// A part of an order's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
struct EventListBody {
    events: Vec<EventBody>,
    /// Where the next part begins; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventListQuery {
    /// Most events in the answer. 50, when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the part before, which is the version of its last event. From the first event, when absent.
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
/// For those who may read the order.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/events", tag = "orders", operation_id = "list_order_events",
    params(("order_id" = OrderId, Path, description = "The order."), EventListQuery),
    responses(
        (status = 200, description = "A part of the history.", body = EventListBody),
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

/// Whose the money of an order is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ledger)]
struct LedgerBody {
    /// The currency of every amount.
    currency: Currency,
    /// One for each event that moved money, the oldest first. The entries of each sum to zero.
    postings: Vec<LedgerPosting>,
}

/// Reads an order's ledger
///
/// Whose the money is that the customer paid, by double entry. For the restaurant's staff and for admins.
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
