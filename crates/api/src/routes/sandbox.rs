//! Reading and advancing the clock of a sandbox.

use std::sync::Arc;

use axum::{Json, extract::State};
use dabba_domain::{Problems, Role, whole_number};
use dabba_engine::{AdjustableClock, Principal};
use dabba_web::{
    Problem,
    extract::{Caller, JsonBody},
};
use jiff::SignedDuration;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies::sandbox::{AdvanceBody, ClockBody, MAX_ADVANCE_SECONDS},
    code,
    problem::{BadBody, Failures, Missing, NotAllowed, Result, Unauthenticated},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(get_clock)).routes(routes!(advance_clock))
}

/// Returns the sandbox's clock, for admins. On other servers the path does not exist.
fn clock_for<'a>(app: &'a App, caller: &Principal) -> Result<&'a Arc<dyn AdjustableClock>> {
    let clock = app.config.sandbox.as_ref().ok_or_else(Problem::not_found)?;
    if caller.role == Role::Admin {
        return Ok(clock);
    }
    Err(Problem::new(code::FORBIDDEN, "only an admin may read or advance the sandbox's clock").into())
}

/// Reads the sandbox's clock
///
/// For admins, on a server that was started as a sandbox.
#[utoipa::path(
    get, path = "/v1/sandbox/clock", tag = "sandbox", operation_id = "get_sandbox_clock",
    responses(
        (status = 200, description = "The time.", body = ClockBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_clock(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<ClockBody>> {
    Ok(Json(ClockBody { now: clock_for(&app, &caller)?.now() }))
}

/// Advances the sandbox's clock
///
/// The server carries out everything that is due by then at once, in the background: an order that nobody accepts
/// expires in moments instead of minutes. Tokens age with the clock, too. A board that is connected stays connected,
/// unless its credential expires by then. For admins, on a server that was started as a sandbox.
#[utoipa::path(
    post, path = "/v1/sandbox/clock/advance", tag = "sandbox", operation_id = "advance_sandbox_clock",
    request_body = AdvanceBody,
    responses(
        (status = 200, description = "The time after the change.", body = ClockBody),
        Unauthenticated, NotAllowed, Missing, BadBody, Failures,
    ),
    security(("bearer" = [])),
)]
async fn advance_clock(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    JsonBody(body): JsonBody<AdvanceBody>,
) -> Result<Json<ClockBody>> {
    let clock = clock_for(&app, &caller)?;
    if !(1..=MAX_ADVANCE_SECONDS).contains(&body.seconds) {
        let text = format!("must be {}, not {}", whole_number(1, MAX_ADVANCE_SECONDS), body.seconds);
        return Err(Problem::invalid(&Problems::one("/seconds", text)).into());
    }
    let now = app.engine.advance_clock(clock, SignedDuration::from_secs(body.seconds.into())).await?;
    Ok(Json(ClockBody { now }))
}
