//! Boards: the orders on which a restaurant works, and a stream of their changes (server-sent events).

mod messages;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{RestaurantId, text::Name};
use dabba_engine::{CatalogueEntry, NewBoard};
use dabba_outbound::live::{OpenError, board::BoardError};
use dabba_store::DeviceId;
use dabba_web::{
    Problem, Stopping,
    extract::{Caller, CallerSession, FromParameters, InPath, Parameters, QueryOf},
};
use futures::FutureExt as _;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::messages::Writer;
use super::{
    events::{not_opened, session},
    paths::RestaurantPath,
};
use crate::{
    app::App,
    bodies::boards::{BoardBody, BoardDevicesBody, BoardMessage},
    problem::{
        ApiProblem, BadParameter, Failures, Missing, NotAllowed, Result, TooManyStreams, Unauthenticated,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(get_board)).routes(routes!(stream_board)).routes(routes!(list_boards))
}

/// Reads a restaurant's board
///
/// The orders on which the restaurant works: those with the statuses `confirmed`, `preparing`, `ready_for_pickup` and
/// `out_for_delivery`, oldest first, in one response. Of more than 1,000 such orders, or more than 8 MiB of them, the newest
/// ones, and `truncated` is `true`. For the restaurant's staff and admins.
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

/// Query of the stream of a board.
struct BoardStreamQuery {
    device_id: Option<DeviceId>,
    device: Option<Name>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what BoardStreamQuery reads")]
struct BoardStreamParameters {
    /// Id of the device: a random UUID that the device keeps. Default: the board is not recorded.
    #[param(format = Uuid)]
    device_id: Option<String>,
    /// Name of the device, for people. Used only with `device_id`.
    device: Option<Name>,
}

impl FromParameters for BoardStreamQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        let device_id = parameters.take("device_id", |value| {
            value
                .parse()
                .map_err(|_| "must be a UUID, such as 7f3c1f6e-2b4d-4c8a-9d3e-5a6b7c8d9e0f".to_owned())
        });
        let device = parameters.take("device", |value| Name::new(value).map_err(|error| error.to_string()));
        Self { device_id, device }
    }
}

/// Streams a restaurant's board
///
/// Server-sent events without `id`: `event` is the kind of the message, `data` its content as JSON. The stream begins
/// with the present state in parts (`snapshot`), and sends each order after each change (`order`, `gone`), the
/// restaurant (`restaurant`) and its items (`item`). Nothing resumes: a client that was interrupted connects again, and
/// replaces everything by the new snapshot. `heartbeat` follows every 10 seconds, with sums over the orders: a client
/// whose own sums differ connects again. A client without any message for 25 seconds connects again. `bye` ends the
/// stream. For the restaurant's staff and admins.
///
/// A board of the restaurant's staff that states `device_id` is among the restaurant's boards
/// (`GET /v1/restaurants/{restaurant_id}/boards`), and the restaurant is attended while the board is connected. A board of an
/// admin is not recorded.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/board/stream", tag = "orders",
    params(RestaurantPath, BoardStreamParameters),
    responses(
        (status = 200, description = "The messages of the stream.", body = BoardMessage,
            content_type = "text/event-stream", headers(
            ("X-Accel-Buffering" = String, description = "`no`: proxies pass each message on at once."),
        )),
        Unauthenticated, NotAllowed, Missing, BadParameter, TooManyStreams, Failures,
    ),
    security(("bearer" = [])),
)]
async fn stream_board(
    State(app): State<Arc<App>>,
    caller: CallerSession,
    stopping: Stopping,
    InPath(restaurant_id): InPath<RestaurantId>,
    QueryOf(query): QueryOf<BoardStreamQuery>,
) -> Result<Response> {
    app.engine.orders.authorize_board(&caller.principal, restaurant_id).await?;
    stopping.expect_stream();
    let opened = app.live.board_stream(session(&caller), restaurant_id).boxed().await;
    let stream = opened.map_err(|error| match error {
        BoardError::Engine(error) => ApiProblem::from(error),
        BoardError::Full(full) => not_opened(OpenError::Full(full)),
    })?;
    let BoardStreamQuery { device_id, device } = query;
    let connection = device_id.and_then(|device_id| {
        app.engine.boards.connect(&caller.principal, NewBoard { restaurant_id, device_id, device })
    });
    Ok(messages::respond(Writer::new(&app, caller.principal), stream, connection, stopping))
}

/// Lists the devices of a restaurant's board
///
/// The devices of staff whose stream of the board stated a `device_id` in the last 30 days, connected ones first, newest connection
/// first; at most 50. For the restaurant's staff and admins.
#[utoipa::path(
    get, path = "/v1/restaurants/{restaurant_id}/boards", tag = "restaurants",
    params(RestaurantPath),
    responses(
        (status = 200, description = "The devices.", body = BoardDevicesBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_boards(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(restaurant_id): InPath<RestaurantId>,
) -> Result<Json<BoardDevicesBody>> {
    Ok(Json(app.engine.boards.of_restaurant(&caller, restaurant_id).await?.into()))
}
