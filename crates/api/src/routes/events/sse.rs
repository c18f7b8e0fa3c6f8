//! Server-sent events: the messages of a stream.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use dabba_engine::Engine;
use dabba_outbound::{
    live::{EndReason, FeedStream, Item, OrderStream, TrackingItem, TrackingStream},
    public::{Audience, PublicTracking, RECONNECT_MS},
};
use dabba_web::Stopping;
use futures::stream;

use crate::app::App;

/// Minimum time before a client reconnects to a server that shuts down, in milliseconds.
const SHUTDOWN_RETRY_MS: u64 = 500;
/// Range of the random part of the time before a client reconnects, in milliseconds, so that clients do not reconnect
/// at once.
const RETRY_SPREAD_MS: u64 = 2_500;
/// Tells proxies such as nginx to pass each message on at once.
static ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream of either kind.
pub(super) enum Source {
    Feed(Box<FeedStream>),
    Order(Box<OrderStream>),
}

impl From<FeedStream> for Source {
    fn from(stream: FeedStream) -> Self {
        Self::Feed(Box::new(stream))
    }
}

impl From<OrderStream> for Source {
    fn from(stream: OrderStream) -> Self {
        Self::Order(Box::new(stream))
    }
}

impl Source {
    fn id(&self) -> String {
        match self {
            Self::Feed(stream) => stream.id(),
            Self::Order(stream) => stream.version().to_string(),
        }
    }

    async fn next(&mut self) -> Option<Item> {
        match self {
            Self::Feed(stream) => stream.next().await,
            Self::Order(stream) => stream.next().await,
        }
    }

    fn finish(&mut self, reason: EndReason) -> Option<Item> {
        match self {
            Self::Feed(stream) => stream.finish(reason),
            Self::Order(stream) => stream.finish(reason),
        }
    }
}

struct Messages {
    source: Source,
    audience: Audience,
    stopping: Stopping,
    engine: Arc<Engine>,
    has_begun: bool,
}

/// Responds with the messages of a stream.
pub(super) fn respond(app: &App, source: Source, audience: Audience, stopping: Stopping) -> Response {
    let engine = Arc::clone(&app.engine);
    let messages = Messages { source, audience, stopping, engine, has_begun: false };
    let body = stream::unfold(messages, async |mut messages| {
        let message = messages.next().await?;
        Some((Ok::<_, Infallible>(message), messages))
    });
    answer(Body::from_stream(body))
}

/// Responds with the messages of a tracking link's stream.
pub(in crate::routes) fn respond_tracking(app: &App, source: TrackingStream, stopping: Stopping) -> Response {
    let engine = Arc::clone(&app.engine);
    let messages = TrackingMessages { source, stopping, engine, has_begun: false };
    let body = stream::unfold(messages, async |mut messages| {
        let message = messages.next().await?;
        Some((Ok::<_, Infallible>(message), messages))
    });
    answer(Body::from_stream(body))
}

/// Returns the response with a body that consists of messages.
pub(in crate::routes) fn answer(messages: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (ACCEL_BUFFERING.clone(), HeaderValue::from_static("no")),
    ];
    (headers, messages).into_response()
}

/// Returns the last message of a stream.
pub(in crate::routes) fn bye(engine: &Engine, reason: EndReason) -> String {
    let spread = engine.random_u64() % RETRY_SPREAD_MS;
    let retry = match reason {
        EndReason::Shutdown => SHUTDOWN_RETRY_MS + spread,
        EndReason::Lagging | EndReason::SessionEnded | EndReason::BoardChanged => spread,
    };
    let reason = reason.as_str();
    format!("event: bye\ndata: {{\"reason\":\"{reason}\",\"retry_after_ms\":{retry}}}\n\n")
}

struct TrackingMessages {
    source: TrackingStream,
    stopping: Stopping,
    engine: Arc<Engine>,
    has_begun: bool,
}

impl TrackingMessages {
    async fn next(&mut self) -> Option<Bytes> {
        let Self { source, stopping, .. } = self;
        let item = tokio::select! {
            biased;
            () = stopping.begun() => None,
            item = source.next() => Some(item),
        };
        // At the stop the stream ends before everything else.
        let item = item.unwrap_or_else(|| source.finish(EndReason::Shutdown))?;
        let message = match item {
            TrackingItem::Tracked(tracked) => {
                let json = serde_json::to_string(&PublicTracking::new(&tracked)).unwrap_or_else(|error| {
                    // It consists of texts and numbers, which can always be serialized.
                    tracing::error!(%error, "an order could not be represented for a tracking link");
                    "{}".to_owned()
                });
                format!("event: tracking\ndata: {json}\n\n")
            }
            TrackingItem::Heartbeat => {
                format!("event: heartbeat\ndata: {{\"now\":\"{}\"}}\n\n", self.engine.now())
            }
            TrackingItem::End(reason) => bye(&self.engine, reason),
        };
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        Some(if is_first { format!("retry: {RECONNECT_MS}\n{message}").into() } else { message.into() })
    }
}

impl Messages {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.has_begun, true) {
            // The first message gives the client a position at once, and makes proxies send the head of the response.
            let heartbeat = self.heartbeat(&self.source.id());
            return Some(format!("retry: {RECONNECT_MS}\n{heartbeat}").into());
        }
        let Self { source, stopping, .. } = self;
        let item = tokio::select! {
            biased;
            () = stopping.begun() => None,
            item = source.next() => Some(item),
        };
        // At the stop the stream ends before everything else.
        let item = item.unwrap_or_else(|| source.finish(EndReason::Shutdown))?;
        Some(self.message(item).into())
    }

    fn message(&self, item: Item) -> String {
        match item {
            Item::Event { id, event } => {
                let (name, json) = (&event.event.name, event.json(self.audience));
                format!("id: {id}\nevent: {name}\ndata: {json}\n\n")
            }
            Item::Heartbeat { id } => self.heartbeat(&id),
            Item::End(reason) => bye(&self.engine, reason),
        }
    }

    fn heartbeat(&self, id: &str) -> String {
        format!("id: {id}\nevent: heartbeat\ndata: {{\"now\":\"{}\"}}\n\n", self.engine.now())
    }
}
