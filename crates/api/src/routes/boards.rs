//! Boards: the orders on which a restaurant works, and a stream of their changes (server-sent events).

mod messages;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use dabba_domain::RestaurantId;
use dabba_engine::CatalogueEntry;
use dabba_outbound::live::{OpenError, board::BoardError};
use dabba_web::{
    Problem, Stopping,
    extract::{Caller, CallerSession, InPath},
};
use futures::FutureExt as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::messages::Writer;
use super::{
    events::{not_opened, session},
    paths::RestaurantPath,
};
use crate::{
    app::App,
    bodies::boards::{BoardBody, BoardMessage},
    problem::{ApiProblem, Failures, Missing, NotAllowed, Result, TooManyStreams, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(get_board)).routes(routes!(stream_board))
}

/// Reads a restaurant's board
///
/// The orders on which the restaurant works: those with the statuses `confirmed`, `preparing`, `ready_for_pickup` and
/// `out_for_delivery`, oldest first, in one response. Of more than 1,000 such orders, the newest ones, and `truncated`
/// is `true`. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/board", tag = "orders",
    params(RestaurantPath),
    responses(
        (status = 200, description = "The board.", body = BoardBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_board(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(restaurant_id): InPath<RestaurantId>,
) -> Result<Response> {
    app.engine.orders.authorize_board(&caller, restaurant_id).await?;
    let board = app.live.board(restaurant_id).boxed().await?;
    let writer = Writer::new(&app, caller);
    let restaurant = board.restaurant.as_deref().map(CatalogueEntry::restaurant);
    let Some(restaurant) = restaurant else {
        return Err(Problem::internal("a board has no restaurant".to_owned()).into());
    };
    Ok(Json(writer.board(&board, restaurant).await?).into_response())
}

/// Streams a restaurant's board
///
/// Server-sent events without `id`: `event` is the kind of the message, `data` its content as JSON. The stream begins
/// with the present state in parts (`snapshot`), and sends each order after each change (`order`, `gone`), the
/// restaurant (`restaurant`) and its items (`item`). Nothing resumes: a client that was interrupted connects again, and
/// replaces everything by the new snapshot. `heartbeat` follows every 10 seconds, with sums over the orders: a client
/// whose own sums differ connects again. A client without any message for 25 seconds connects again. `bye` ends the
/// stream. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/board/stream", tag = "orders",
    params(RestaurantPath),
    responses(
        (status = 200, description = "The messages of the stream.", body = BoardMessage,
            content_type = "text/event-stream", headers(
            ("X-Accel-Buffering" = String, description = "`no`: proxies pass each message on at once."),
        )),
        Unauthenticated, NotAllowed, Missing, TooManyStreams, Failures,
    ),
    security(("bearer" = [])),
)]
async fn stream_board(
    State(app): State<Arc<App>>,
    caller: CallerSession,
    stopping: Stopping,
    InPath(restaurant_id): InPath<RestaurantId>,
) -> Result<Response> {
    app.engine.orders.authorize_board(&caller.principal, restaurant_id).await?;
    let opened = app.live.board_stream(session(&caller), restaurant_id).boxed().await;
    let stream = opened.map_err(|error| match error {
        BoardError::Engine(error) => ApiProblem::from(error),
        BoardError::Full(full) => not_opened(OpenError::Full(full)),
    })?;
    Ok(messages::respond(Writer::new(&app, caller.principal), stream, stopping))
}
