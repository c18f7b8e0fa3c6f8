//! The feed of events, and the streams of events (server-sent events).

pub(super) mod sse;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use dabba_domain::{
    OrderId, RestaurantId,
    limits::MAX_ORDER_VERSION,
    order::{Event, Version},
};
use dabba_outbound::{
    Filter, TypeSet,
    feed::{Budget, FeedError, Start},
    live::{Full, OpenError, Session},
    public::{Audience, type_of},
};
use dabba_store::FeedCursor;
use dabba_web::{
    Problem, Stopping, Waited,
    extract::{CallerSession, Cursor as _, FromParameters, InPath, Parameters, QueryOf},
    headers,
};
use futures::FutureExt as _;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paths::OrderPath;
use crate::{
    app::App,
    bodies::events::{FeedDocument, StreamMessage, page},
    code,
    problem::{
        ApiProblem, BadParameter, Expired, Failures, Missing, NotAllowed, Result, TooManyStreams,
        Unauthenticated,
    },
};

/// Maximum number of events of a page of the feed.
const MAX_LIMIT: u32 = 1_000;
/// Number of events of a page of the feed without `limit`.
const DEFAULT_LIMIT: u32 = 100;
/// Maximum time for which a request waits for an event, in seconds.
const MAX_WAIT_SECONDS: u32 = 25;
/// Time that remains of the timeout of a request after it has waited.
const WAIT_MARGIN: Duration = Duration::from_secs(5);
/// Value of `Retry-After` when too many streams are open. A stream whose client has disconnected ends with its next
/// heartbeat.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(10);
/// The description of `after` states the number.
const _: () = assert!(MAX_ORDER_VERSION == 1_000);
/// Value of `after` for the start of the feed.
const START: &str = "start";

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(read_feed)).routes(routes!(stream_feed)).routes(routes!(stream_order))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// The position after which the page begins: the `next_cursor` of the previous page, the id of an event of the
    /// stream, or `start` for the first event. Default: now, so that only later events follow. Use a cursor with the
    /// same `restaurant`: with another one, events are skipped.
    #[param(value_type = Option<String>)]
    after: Option<Start>,
    /// Maximum number of events in the page. 1 to 1000; default 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: u32,
    /// Maximum time to wait for an event if there is none, in seconds. 0 to 25; default 0.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 25)]
    wait: u32,
    /// Only events of these types, by their short names: the parameter repeated, or once with names separated by
    /// commas. Default: all types.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = true)]
    types: TypeSet,
    /// Only the events of this restaurant's orders. Required for the restaurant's staff.
    #[param(value_type = Option<RestaurantId>)]
    restaurant: Option<RestaurantId>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedStreamQuery {
    /// The position after which the stream begins: an id of this stream, a `next_cursor` of the feed, or `start` for
    /// the first event. Default: now. `Last-Event-ID` takes precedence. Use a cursor with the same `restaurant`: with
    /// another one, events are skipped.
    #[param(value_type = Option<String>)]
    after: Option<Start>,
    /// Only events of these types, by their short names: the parameter repeated, or once with names separated by
    /// commas. Default: all types.
    #[param(value_type = Option<Vec<String>>, style = Form, explode = true)]
    types: TypeSet,
    /// Only the events of this restaurant's orders. Required for the restaurant's staff.
    #[param(value_type = Option<RestaurantId>)]
    restaurant: Option<RestaurantId>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderStreamQuery {
    /// The version after which the stream begins. Default 0: from the first event. The header `Last-Event-ID` takes
    /// precedence.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 1000)]
    after: Option<Version>,
}

fn number(text: &str, from: u32, to: u32) -> Result<u32, String> {
    let number = u32::read(text).filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {from} to {to} in digits"))
}

/// Returns the position that a cursor states.
fn start(text: &str) -> Result<Start, String> {
    if text == START {
        return Ok(Start::Beginning);
    }
    FeedCursor::parse(text)
        .map(Start::After)
        .map_err(|_| "must be a next_cursor of the feed, an id of its stream, or start".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    number(text, 0, MAX_ORDER_VERSION)
}

fn take_types(parameters: &mut Parameters) -> TypeSet {
    let names = parameters.take_list("types", |name| {
        let known = Event::NAMES.iter().find(|known| **known == name);
        known.copied().ok_or_else(|| {
            let names = Event::NAMES.join(", ");
            format!("must be one or more short names of types (placed for {}): {names}", type_of("placed"))
        })
    });
    if names.is_empty() { TypeSet::ALL } else { TypeSet::of_names(names).unwrap_or(TypeSet::ALL) }
}

fn take_restaurant(parameters: &mut Parameters) -> Option<RestaurantId> {
    parameters.take("restaurant", |id| id.parse().map_err(|_| "must be the id of a restaurant".to_owned()))
}

impl FromParameters for FeedQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self {
            after: parameters.take("after", start),
            limit: parameters.take("limit", |text| number(text, 1, MAX_LIMIT)).unwrap_or(DEFAULT_LIMIT),
            wait: parameters.take("wait", |text| number(text, 0, MAX_WAIT_SECONDS)).unwrap_or(0),
            types: take_types(parameters),
            restaurant: take_restaurant(parameters),
        }
    }
}

impl FromParameters for FeedStreamQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self {
            after: parameters.take("after", start),
            types: take_types(parameters),
            restaurant: take_restaurant(parameters),
        }
    }
}

impl FromParameters for OrderStreamQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { after: parameters.take("after", version) }
    }
}

/// Returns the position in `Last-Event-ID`, if the header has a value.
fn last_event_id<T>(given: &HeaderMap, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>> {
    let Some(value) = given.get(&headers::LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let parsed = value.to_str().map_err(|_| "must be text".to_owned()).and_then(parse);
    parsed.map(Some).map_err(|detail| Problem::bad_parameter("Last-Event-ID", detail).into())
}

pub(super) const fn session(caller: &CallerSession) -> Session {
    let CallerSession { principal, issued_at, expires_at, credential } = *caller;
    Session { principal, issued_at, expires_at, credential }
}

impl From<FeedError> for ApiProblem {
    fn from(error: FeedError) -> Self {
        let text = error.to_string();
        match error {
            FeedError::Expired(_) => Problem::new(code::CURSOR_EXPIRED, text),
            FeedError::Unavailable => Problem::new(code::UNAVAILABLE, text),
            FeedError::Store(error) => Problem::internal(error.to_string()),
        }
        .into()
    }
}

/// Returns the problem of a stream or poll that cannot be opened.
pub(super) fn not_opened(error: OpenError) -> ApiProblem {
    let problem = match error {
        OpenError::Feed(error) => return error.into(),
        OpenError::Full(Full::Credential { limit }) => Problem::new(
            code::TOO_MANY_REQUESTS,
            format!(
                "The token, API key, session or link has {limit} streams and waiting requests, which is the maximum; close one, or share \
                 a stream."
            ),
        ),
        OpenError::Full(Full::Process) => {
            Problem::new(code::OVERLOADED, "The server has the maximum number of streams; retry later.")
        }
    };
    problem.retry_after(RETRY_AFTER_FULL).into()
}

/// Reads the feed of events
///
/// The events of all orders, or of one restaurant's orders, from the position `after`. Read pages with their
/// `next_cursor` until `at_end`, then repeat the request with `wait`: the response arrives with the next event, or
/// empty after that time. Every event arrives at least once; `id` identifies it. For admins, and for the staff of the
/// restaurant that `restaurant` names. An API key needs the scope `events:read` or `events:partner`. If the credential
/// ends during `wait`, the response is 200 without events and with `at_end` `false`, and the next request gets 401.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(FeedQuery),
    responses(
        (status = 200, description = "A page of the feed.", body = FeedDocument),
        Unauthenticated, NotAllowed, Missing, BadParameter, Expired, TooManyStreams, Failures,
    ),
    security(("bearer" = [])),
)]
async fn read_feed(
    State(app): State<Arc<App>>,
    caller: CallerSession,
    stopping: Stopping,
    QueryOf(query): QueryOf<FeedQuery>,
) -> Result<Response> {
    let FeedQuery { after, limit, wait, types, restaurant } = query;
    app.engine.accounts.authorize_feed(&caller.principal, restaurant).await?;
    let (filter, limit) = (Filter { restaurant, types }, limit as usize);
    let start = after.unwrap_or(Start::Now);
    let longest = app.web.config().request_timeout.saturating_sub(WAIT_MARGIN);
    let wait = Duration::from_secs(wait.into()).min(longest);
    let began = Instant::now();
    let read = if wait.is_zero() {
        app.live.read(start, &filter, limit, Budget::default()).await?
    } else {
        let until = (wait, stopping.begun());
        // Boxed, because most requests do not wait, and every request would contain the future.
        let waited = app.live.wait(session(&caller), start, filter, limit, until).boxed().await;
        waited.map_err(not_opened)?
    };
    let content_type = HeaderValue::from_static("application/json");
    let body = page(&read, Audience::of_caller(&caller.principal));
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    if !wait.is_zero() {
        response.extensions_mut().insert(Waited(began.elapsed()));
    }
    Ok(response)
}

/// Streams the feed of events
///
/// Server-sent events: the `id` of each is the position after it, `event` the short type, `data` the event. The first
/// message is a `heartbeat`, and further ones follow every 10 seconds, with the current `id`; `bye`
/// `{reason, retry_after_ms}`, without an `id`, ends the stream, with a reason such as `lagging`, `shutdown` or
/// `session_ended`. A client without any message for 25 seconds reconnects, with the last `id` in `Last-Event-ID`. The
/// header takes precedence over `after`, because browsers repeat the URL when they reconnect. `/asyncapi.json`
/// describes the messages. For the same callers as the feed.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events",
    params(
        FeedStreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last message that the client received."),
    ),
    responses(
        (status = 200, description = "The messages of the stream.", body = StreamMessage, content_type = "text/event-stream", headers(
            ("X-Accel-Buffering" = String, description = "`no`: proxies pass each message on at once."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, Expired, TooManyStreams, Failures,
    ),
    security(("bearer" = [])),
)]
async fn stream_feed(
    State(app): State<Arc<App>>,
    caller: CallerSession,
    stopping: Stopping,
    given: HeaderMap,
    QueryOf(query): QueryOf<FeedStreamQuery>,
) -> Result<Response> {
    let FeedStreamQuery { after, types, restaurant } = query;
    app.engine.accounts.authorize_feed(&caller.principal, restaurant).await?;
    let start = last_event_id(&given, start)?.or(after).unwrap_or(Start::Now);
    stopping.expect_stream();
    let opened = app.live.feed_stream(session(&caller), start, Filter { restaurant, types }).boxed().await;
    let stream = opened.map_err(not_opened)?;
    Ok(sse::respond(&app, stream.into(), Audience::of_caller(&caller.principal), stopping))
}

/// Streams an order's events
///
/// Server-sent events: the `id` of each is the order's version after it, without a gap; `event` is the short type,
/// `data` the event. The stream begins after `Last-Event-ID` or `after`. `heartbeat` and `bye` are those of `GET
/// /v1/events/stream`. The stream contains every type of event. For everyone who may read the order; an API key needs
/// the scope `events:read` or `events:partner`.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}/stream", tag = "events",
    params(
        OrderPath, OrderStreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last message that the client received."),
    ),
    responses(
        (status = 200, description = "The messages of the stream.", body = StreamMessage, content_type = "text/event-stream", headers(
            ("X-Accel-Buffering" = String, description = "`no`: proxies pass each message on at once."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, Expired, TooManyStreams, Failures,
    ),
    security(("bearer" = [])),
)]
async fn stream_order(
    State(app): State<Arc<App>>,
    caller: CallerSession,
    stopping: Stopping,
    given: HeaderMap,
    InPath(order_id): InPath<OrderId>,
    QueryOf(query): QueryOf<OrderStreamQuery>,
) -> Result<Response> {
    let order = app.engine.orders.order_for_events(&caller.principal, order_id).await?;
    let after = last_event_id(&given, version)?.or(query.after).unwrap_or_default();
    if after > order.version {
        let text = format!(
            "the order has only {} events, so it was restored after the client received event {after}; begin again with after=0",
            order.version
        );
        return Err(Problem::new(code::CURSOR_EXPIRED, text).into());
    }
    stopping.expect_stream();
    let opened = app.live.order_stream(session(&caller), &order, after).boxed().await;
    let stream = opened.map_err(not_opened)?;
    Ok(sse::respond(&app, stream.into(), Audience::of_caller(&caller.principal), stopping))
}
