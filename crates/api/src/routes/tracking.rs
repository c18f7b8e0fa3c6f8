//! Tracking links: an order for the link's holder, without an account.
//!
//! A request with an unknown token counts like one with an unknown API key: a network that sends too many is refused
//! before the next lookup. A request with a known token counts in a budget that all links of its order share. The token
//! is part of the path: every response of a server has `Referrer-Policy: no-referrer`, those with data have
//! `Cache-Control: no-store`, and the log of requests masks the token.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use dabba_domain::OrderId;
use dabba_engine::{Error, LinkedOrder, Tracked, TrackingToken};
use dabba_outbound::public::PublicTracking;
use dabba_web::{
    ClientAddress, Problem, Secrets, Stopping, TrackingRequest,
    extract::{Caller, IfMatch, InPath, JsonBody, MaybeKey, credential_number},
};
use futures::FutureExt as _;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::CommandHeaders,
    events::{not_opened, sse},
    paths::OrderPath,
};
use crate::{
    app::App,
    bodies::{
        commands::CancellationBody,
        tracking::{TrackingDocument, TrackingLinkBody, TrackingMessage},
    },
    problem::{
        Failures, Missing, NoTrackingLink, NotCancelledByLink, NotWritten, Result, TooManyStreams, TooOften,
        WriteFailures,
    },
};

/// Path of the page that shows an order, before the token.
const PAGE: &str = "/t/";

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_tracking_link))
        .routes(routes!(track_order))
        .routes(routes!(stream_tracking))
        .routes(routes!(cancel_tracked_order))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what Link reads")]
struct TokenPath {
    /// The token of the link.
    #[param(pattern = "^[0-9a-f]{3}[0-9A-Za-z]{43}$")]
    token: String,
}

/// The link that a request names.
struct Link {
    token: Option<TrackingToken>,
    client: ClientAddress,
    request: TrackingRequest,
}

impl FromRequestParts<Arc<App>> for Link {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let Ok(client) = ClientAddress::from_request_parts(parts, app).await;
        let token = InPath::<String>::from_request_parts(parts, app).await.ok();
        let token = token.and_then(|InPath(token)| TrackingToken::parse(&token));
        Ok(Self { token, client, request: TrackingRequest::of(parts) })
    }
}

impl Link {
    /// Returns the order of the link, and counts the request in the budget of the order. Refuses a client that has sent too many
    /// unknown tokens. Only a link that does not exist counts as unknown; a text that is no token is such a link. So a handler calls
    /// this after all other parts of the request are read.
    async fn order(&self, app: &App) -> Result<LinkedOrder> {
        let (engine, token) = (Arc::clone(&app.engine), self.token.clone());
        let read = async move {
            match &token {
                Some(token) => engine.orders.linked_order(token).await,
                None => Err(Error::NotFound("tracking link")),
            }
        };
        let is_unknown = |found: &std::result::Result<_, _>| matches!(found, Err(Error::NotFound(_)));
        let linked =
            app.web.limits().look_up(Secrets::TrackingLinks, self.client, read, is_unknown).await??;
        app.web.limits().check_tracking(linked.id(), &self.request)?;
        Ok(linked)
    }
}

fn represent(tracked: &Tracked) -> Result<Response> {
    let json = serde_json::to_vec(&PublicTracking::new(tracked));
    let json = json.map_err(|error| Problem::internal(error.to_string()))?;
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([content_type], json).into_response())
}

/// Creates a tracking link
///
/// The link's holder can follow the order without an account, and cancel it while its customer could. For the
/// customer and admins. Each request creates another link, up to 20 for an order. Links are valid
/// until 24 hours after the order's end.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/tracking-link", tag = "tracking",
    params(OrderPath),
    responses(
        (status = 201, description = "The link.", body = TrackingLinkBody),
        NotWritten, NoTrackingLink,
    ),
    security(("bearer" = [])),
)]
async fn create_tracking_link(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(order_id): InPath<OrderId>,
) -> Result<Response> {
    let token = app.engine.orders.create_tracking_link(&caller, order_id).await?;
    let path = format!("{PAGE}{}", token.expose());
    let url = app.config.address_of(&path);
    let body = TrackingLinkBody { token: token.expose().to_owned(), path, url };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Reads what a tracking link shows
///
/// For the link's holder: the order, the times of its steps, and its restaurant. An unknown link, and one whose order
/// ended more than 24 hours ago, is 404. All links of an order share a budget of requests.
#[utoipa::path(
    get, path = "/v1/tracking/{token}", tag = "tracking",
    params(TokenPath),
    responses(
        (status = 200, description = "The order.", body = TrackingDocument),
        Missing, TooOften, Failures,
    ),
    security(()),
)]
async fn track_order(State(app): State<Arc<App>>, link: Link) -> Result<Response> {
    let linked = link.order(&app).await?;
    represent(&app.engine.orders.track(linked).await?)
}

/// Streams what a tracking link shows
///
/// Server-sent events without `id`: `tracking` is the whole content of `GET /v1/tracking/{token}`, at once and after each
/// change of the order; `heartbeat` `{now}` follows every 10 seconds; `bye` `{reason, retry_after_ms}` ends the stream. A
/// client without any message for 25 seconds reconnects. A slow client gets the latest state, not each one.
#[utoipa::path(
    get, path = "/v1/tracking/{token}/stream", tag = "tracking",
    params(TokenPath),
    responses(
        (status = 200, description = "The messages of the stream.", body = TrackingMessage, content_type = "text/event-stream", headers(
            ("X-Accel-Buffering" = String, description = "`no`: proxies pass each message on at once."),
        )),
        Missing, TooManyStreams, Failures,
    ),
    security(()),
)]
async fn stream_tracking(State(app): State<Arc<App>>, link: Link, stopping: Stopping) -> Result<Response> {
    let followed = app.engine.orders.followed_by(link.order(&app).await?).await?;
    // All links of an order share their limit.
    let credential = credential_number(&followed.order.id.to_string());
    stopping.expect_stream();
    let opened = app.live.tracking_stream(credential, followed).boxed().await;
    let stream = opened.map_err(not_opened)?;
    Ok(sse::respond_tracking(&app, stream, stopping))
}

/// Cancels a tracked order
///
/// For the link's holder, while the order's customer could cancel the order, with the reasons of customers. The
/// history records it as the customer's, with `"via": "link"`.
#[utoipa::path(
    post, path = "/v1/tracking/{token}/cancel", tag = "tracking",
    params(
        TokenPath,
        CommandHeaders,
    ),
    request_body = CancellationBody,
    responses(
        (status = 200, description = "The order after the command.", body = TrackingDocument),
        Missing, NotCancelledByLink, WriteFailures,
    ),
    security(()),
)]
async fn cancel_tracked_order(
    State(app): State<Arc<App>>,
    link: Link,
    MaybeKey(key): MaybeKey,
    condition: IfMatch,
    JsonBody(body): JsonBody<CancellationBody>,
) -> Result<Response> {
    let linked = link.order(&app).await?;
    let versions = condition.into_versions();
    represent(&app.engine.orders.cancel_by_link(linked, body.command(), key, versions).await?)
}
