//! The messages of a board as JSON.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use dabba_domain::{order::Order, restaurant::Restaurant};
use dabba_engine::{BoardConnection, Engine, Error, Principal};
use dabba_outbound::{
    live::{
        EndReason,
        board::{BoardMessage, BoardSnapshot, BoardStream},
    },
    public::{Audience, RECONNECT_MS},
};
use dabba_web::Stopping;
use futures::stream;
use serde::Serialize;

use super::super::events::sse;
use crate::{
    app::App,
    bodies::{
        boards::{BoardBody, BoardGoneBody, BoardHeartbeatBody, BoardItemBody, BoardOrderBody},
        restaurants::RestaurantBody,
    },
};

/// Represents a board for its caller.
pub(super) struct Writer {
    engine: Arc<Engine>,
    build: &'static str,
    caller: Principal,
}

impl Writer {
    pub(super) fn new(app: &App, caller: Principal) -> Self {
        Self { engine: Arc::clone(&app.engine), build: app.config.build, caller }
    }

    const fn audience(&self) -> Audience {
        Audience::of_caller(&self.caller)
    }

    /// Returns the present state of a board, or a part of it.
    pub(super) async fn board<'a>(
        &'a self,
        board: &'a BoardSnapshot,
        restaurant: &Restaurant,
    ) -> Result<BoardBody<'a>, Error> {
        let now = self.engine.now();
        let mut orders = Vec::with_capacity(board.orders.len());
        for order in &board.orders {
            orders.push(self.order(order, restaurant).await?);
        }
        let shown = board.restaurant.as_deref();
        Ok(BoardBody {
            part: board.part,
            parts: board.parts,
            now,
            build: self.build,
            restaurant: shown.map(|entry| RestaurantBody::for_staff(entry.restaurant(), now)),
            items: board.items.as_ref().map(|items| items.iter().map(BoardItemBody::from).collect()),
            orders,
            truncated: board.is_truncated,
        })
    }

    async fn order(&self, order: &Order, restaurant: &Restaurant) -> Result<BoardOrderBody, Error> {
        let allowed_actions = self.engine.orders.allowed_actions(&self.caller, order).await?;
        Ok(BoardOrderBody::new(order, allowed_actions, &restaurant.settings, self.audience()))
    }

    /// Returns a message as it is sent.
    async fn message(&self, message: &BoardMessage, restaurant: &Restaurant) -> Result<String, Error> {
        match message {
            BoardMessage::Snapshot(part) => line("snapshot", &self.board(part, restaurant).await?),
            BoardMessage::Order(order) => line("order", &self.order(order, restaurant).await?),
            BoardMessage::Gone(order) => line("gone", &BoardGoneBody::new(order, self.audience())),
            BoardMessage::Restaurant(entry) => {
                line("restaurant", &RestaurantBody::for_staff(entry.restaurant(), self.engine.now()))
            }
            BoardMessage::Item(item) => line("item", &BoardItemBody::from(item)),
            BoardMessage::Heartbeat(sums) => {
                line("heartbeat", &BoardHeartbeatBody::new(self.engine.now(), self.build, *sums))
            }
            BoardMessage::End(reason) => Ok(sse::bye(&self.engine, *reason)),
        }
    }
}

/// Returns a message without an id. JSON in one line contains no line break.
fn line(event: &str, data: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_string(data).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(format!("event: {event}\ndata: {json}\n\n"))
}

struct Messages {
    stream: BoardStream,
    /// Registers the board as connected, until the response ends.
    _connection: Option<BoardConnection>,
    writer: Writer,
    stopping: Stopping,
    has_begun: bool,
}

/// Responds with the messages of a board.
pub(super) fn respond(
    writer: Writer,
    stream: BoardStream,
    connection: Option<BoardConnection>,
    stopping: Stopping,
) -> Response {
    let messages = Messages { stream, _connection: connection, writer, stopping, has_begun: false };
    sse::answer(Body::from_stream(stream::unfold(messages, async |mut messages| {
        let message = messages.next().await?;
        Some((Ok::<_, Infallible>(message), messages))
    })))
}

impl Messages {
    async fn next(&mut self) -> Option<Bytes> {
        let Self { stream, stopping, .. } = self;
        let message = tokio::select! {
            biased;
            () = stopping.begun() => None,
            message = stream.next() => Some(message),
        };
        // At the stop the stream ends before everything else.
        let message = message.unwrap_or_else(|| stream.finish(EndReason::Shutdown))?;
        let text = match self.writer.message(&message, self.stream.restaurant().restaurant()).await {
            Ok(text) => text,
            Err(error) => {
                // The client connects again, and so learns the reason from the response.
                tracing::debug!(%error, "the message of a board cannot be written");
                self.stream.finish(EndReason::Lagging)?;
                sse::bye(&self.writer.engine, EndReason::Lagging)
            }
        };
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        Some(if is_first { format!("retry: {RECONNECT_MS}\n{text}") } else { text }.into())
    }
}
