//! Commands on an order. Each responds with the changed order.
//!
//! A command that repeats an earlier one with the same content succeeds without a change. With the idempotency key of
//! the earlier command, the response is the earlier response, even if the order has changed since then.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use dabba_domain::{
    OrderId, Problems, Role,
    order::{Command, RefundRequest},
};
use dabba_engine::{CommandRequest, Principal};
use dabba_store::IdempotencyKey;
use dabba_web::{
    Problem,
    extract::{Caller, IfMatch, InPath, JsonBody, MaybeJsonBody, MaybeKey},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::orders::answer;
use crate::{
    app::App,
    bodies::{
        commands::{
            AcceptanceBody, AssignmentBody, CancellationBody, DeliveryBody, RefundBody, RejectionBody,
        },
        orders::OrderBody,
    },
    problem::{
        ApiProblem, Missing, NotAccepted, NotAllowed, NotAssigned, NotCancelled, NotDelivered, NotMoved,
        NotRefunded, NotRejected, NotSignedIn, Result, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(accept_order))
        .routes(routes!(reject_order))
        .routes(routes!(mark_order_ready))
        .routes(routes!(assign_courier))
        .routes(routes!(pick_up_order))
        .routes(routes!(deliver_order))
        .routes(routes!(cancel_order))
        .routes(routes!(refund_order))
}

/// The parts that all commands have: the caller, the order, the idempotency key and the condition.
struct Envelope {
    caller: Principal,
    order_id: OrderId,
    key: Option<IdempotencyKey>,
    condition: IfMatch,
}

impl FromRequestParts<Arc<App>> for Envelope {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Caller(caller) = Caller::from_request_parts(parts, app).await?;
        let InPath(order_id) = InPath::from_request_parts(parts, app).await?;
        let MaybeKey(key) = MaybeKey::from_request_parts(parts, app).await?;
        let condition = IfMatch::from_request_parts(parts, app).await?;
        Ok(Self { caller, order_id, key, condition })
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what Envelope reads")]
struct CommandHeaders {
    /// The same key for each retry; the command is carried out once.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#
    )]
    key: Option<String>,
    /// Entity tags of versions; the order must be at one of them. `*` allows any version.
    #[param(rename = "If-Match", pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#)]
    condition: Option<String>,
}

/// Carries out the command and responds with the order.
async fn act(app: &App, envelope: Envelope, command: Command) -> Result<Response> {
    let Envelope { caller, order_id, key, condition } = envelope;
    let request = CommandRequest { order_id, command, key, expected_versions: condition.into_versions() };
    let done = app.engine.act(&caller, &request).await?;
    answer(StatusCode::OK, &done)
}

/// Accepts an order
///
/// For the restaurant's staff; also after the acceptance deadline, as long as the order has not expired.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/accept", tag = "commands", operation_id = "accept_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = AcceptanceBody,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotAccepted, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn accept_order(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    JsonBody(body): JsonBody<AcceptanceBody>,
) -> Result<Response> {
    act(&app, envelope, Command::Accept { preparation_minutes: body.preparation_minutes }).await
}

/// Rejects an order
///
/// For the restaurant's staff, instead of accepting it. With `item_unavailable`, the named items become unavailable on
/// the menu, until their `until` if they have one; the stock of all other items is returned.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/reject", tag = "commands", operation_id = "reject_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = RejectionBody,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotRejected, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn reject_order(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    JsonBody(body): JsonBody<RejectionBody>,
) -> Result<Response> {
    let RejectionBody { reason, note, items } = body;
    act(&app, envelope, Command::Reject { reason, note, items }).await
}

/// Marks an order as ready
///
/// For the restaurant's staff.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/ready", tag = "commands", operation_id = "mark_order_ready",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotMoved, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn mark_order_ready(State(app): State<Arc<App>>, envelope: Envelope) -> Result<Response> {
    act(&app, envelope, Command::MarkReady).await
}

/// Assigns a courier
///
/// A courier takes an order that has no courier. An admin assigns any courier, also after the pick-up; then a reason is
/// required.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/assign", tag = "commands", operation_id = "assign_courier",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = Option<AssignmentBody>,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotAssigned, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn assign_courier(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    MaybeJsonBody(body): MaybeJsonBody<AssignmentBody>,
) -> Result<Response> {
    let AssignmentBody { courier_id, reason, note } = body.unwrap_or_default();
    let courier_id = match courier_id {
        Some(courier_id) => courier_id,
        None if envelope.caller.role == Role::Admin => {
            return Err(Problem::invalid(&Problems::one("/courier_id", "is required from an admin")).into());
        }
        // The engine refuses callers who are not couriers, whatever the body contains.
        None => envelope.caller.account_id,
    };
    act(&app, envelope, Command::AssignCourier { courier_id, reason, note }).await
}

/// Marks an order as picked up
///
/// For the courier of the order.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/pick-up", tag = "commands", operation_id = "pick_up_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotMoved, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn pick_up_order(State(app): State<Arc<App>>, envelope: Envelope) -> Result<Response> {
    act(&app, envelope, Command::PickUp).await
}

/// Marks an order as delivered
///
/// For the courier of the order; for the restaurant's staff if the customer collects the order; and for an admin, with
/// a reason, if the courier has picked up the order but does not mark it as delivered.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/deliver", tag = "commands", operation_id = "deliver_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = Option<DeliveryBody>,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotDelivered, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn deliver_order(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    MaybeJsonBody(body): MaybeJsonBody<DeliveryBody>,
) -> Result<Response> {
    let DeliveryBody { reason, note } = body.unwrap_or_default();
    act(&app, envelope, Command::Deliver { reason, note }).await
}

/// Cancels an order
///
/// For the customer until the restaurant accepts the order, for the restaurant's staff until the pick-up, for admins
/// until the delivery. With `item_unavailable`, the named items become unavailable on the menu, until their `until` if
/// they have one. Until the restaurant accepts the order, the stock of all other items is returned.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/cancel", tag = "commands", operation_id = "cancel_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = CancellationBody,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotCancelled, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn cancel_order(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    JsonBody(body): JsonBody<CancellationBody>,
) -> Result<Response> {
    let CancellationBody { reason, note, items } = body;
    act(&app, envelope, Command::Cancel { reason, note, items }).await
}

/// Refunds an order
///
/// For admins, and for the restaurant's staff up to its limit. Partial refunds are by amount or by lines. The payment
/// provider refunds a payment by card in the background. Send an idempotency key: without a key, a repeated request
/// refunds again.
#[utoipa::path(
    post, path = "/v1/orders/{order_id}/refund", tag = "commands", operation_id = "refund_order",
    params(("order_id" = OrderId, Path, description = "The order."), CommandHeaders),
    request_body = RefundBody,
    responses(
        (status = 200, description = "The order.", body = OrderBody,
            headers(("ETag" = String), ("Idempotency-Replayed" = String))),
        NotSignedIn, NotAllowed, Missing, NotRefunded, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn refund_order(
    State(app): State<Arc<App>>,
    envelope: Envelope,
    JsonBody(body): JsonBody<RefundBody>,
) -> Result<Response> {
    let RefundBody { amount, lines, reason, note, borne_by } = body;
    // An empty list must not mean the whole refundable amount; only a request without both members means that.
    if lines.as_ref().is_some_and(Vec::is_empty) {
        let text = "must not be empty; omit it to refund an amount or the whole rest";
        return Err(Problem::invalid(&Problems::one("/lines", text)).into());
    }
    let lines = lines.unwrap_or_default();
    act(&app, envelope, Command::Refund(RefundRequest { amount, lines, reason, note, borne_by })).await
}
