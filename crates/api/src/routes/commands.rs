//! Commands on an order. Each responds with the changed order.
//!
//! A command that repeats an earlier one with the same content succeeds without a change. With the idempotency key of
//! the earlier command, the response is the earlier response, even if the order has changed since then.
//!
//! With `?preview=true`, a command is decided and not carried out. The preview passes the same extractors and the same
//! decision, so it is refused like the command.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use dabba_domain::{OrderId, order::Command};
use dabba_engine::{CommandRequest, Principal};
use dabba_outbound::public::Audience;
use dabba_store::IdempotencyKey;
use dabba_web::extract::{
    Caller, FromParameters, IfMatch, InPath, JsonBody, MaybeJsonBody, MaybeKey, Parameters, QueryOf,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    orders::{answer, preview},
    paths::OrderPath,
};
use crate::{
    app::App,
    bodies::{
        commands::{
            AcceptanceBody, AssignmentBody, CancellationBody, CommandBody, DeliveryBody, RefundBody,
            RejectionBody,
        },
        orders::CommandResultBody,
    },
    problem::{
        ApiProblem, NotAccepted, NotAssigned, NotCancelled, NotDelivered, NotMoved, NotRefunded, NotRejected,
        NotWritten, Result,
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

/// The parts that all commands have: the caller, the order, whether it is a preview, the idempotency key and the condition.
struct Envelope {
    caller: Principal,
    order_id: OrderId,
    is_preview: bool,
    key: Option<IdempotencyKey>,
    condition: IfMatch,
}

impl FromRequestParts<Arc<App>> for Envelope {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Caller(caller) = Caller::from_request_parts(parts, app).await?;
        let InPath(order_id) = InPath::from_request_parts(parts, app).await?;
        let QueryOf(CommandQuery { preview }) = QueryOf::from_request_parts(parts, app).await?;
        let MaybeKey(key) = MaybeKey::from_request_parts(parts, app).await?;
        let condition = IfMatch::from_request_parts(parts, app).await?;
        Ok(Self { caller, order_id, is_preview: preview.unwrap_or(false), key, condition })
    }
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct CommandQuery {
    /// `true`: the response states what the command would do, as a `CommandPreview`; nothing is changed, and the
    /// idempotency key is ignored. Default: `false`.
    preview: Option<bool>,
}

impl FromParameters for CommandQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { preview: parameters.take_bool("preview") }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what Envelope and other commands read")]
pub(super) struct CommandHeaders {
    /// The same key for each retry; the command is carried out once.
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
    /// Entity tags of versions; the order must be at one of them. `*` allows any version.
    #[param(rename = "If-Match", pattern = r#"^(\*|"[0-9]{1,9}"( *, *"[0-9]{1,9}"){0,31})$"#)]
    condition: Option<String>,
}

/// Carries out the command that a body states.
async fn act_by(app: &App, envelope: Envelope, body: impl CommandBody) -> Result<Response> {
    let command = body.into_command(&envelope.caller)?;
    act(app, envelope, command).await
}

/// Carries out the command and responds with the order, or previews the command.
async fn act(app: &App, envelope: Envelope, command: Command) -> Result<Response> {
    let Envelope { caller, order_id, is_preview, key, condition } = envelope;
    let request = CommandRequest { order_id, command, key, expected_versions: condition.into_versions() };
    if is_preview {
        let previewed = app.engine.orders.preview(&caller, &request).await?;
        return preview(&previewed, Audience::of_caller(&caller));
    }
    let done = app.engine.orders.act(&caller, &request).await?;
    answer(StatusCode::OK, &done, Audience::of_caller(&caller))
}

/// Defines the operation of a command: its documentation, name, path and own refusals, and either the command or the extractor
/// of the body that states it.
macro_rules! command {
    ($(#[doc = $doc:tt])* $name:ident, $path:tt, $refusals:ident, Command::$command:ident) => {
        command! {
            @operation [$($doc)*] $name, $path, $refusals, [],
            (app, envelope) => act(&app, envelope, Command::$command)
        }
    };
    ($(#[doc = $doc:tt])* $name:ident, $path:tt, $refusals:ident, JsonBody<$body:ident>) => {
        command! {
            @operation [$($doc)*] $name, $path, $refusals, [request_body = $body,],
            (app, envelope, JsonBody(body) => JsonBody<$body>) => act_by(&app, envelope, body)
        }
    };
    ($(#[doc = $doc:tt])* $name:ident, $path:tt, $refusals:ident, MaybeJsonBody<$body:ident>) => {
        command! {
            @operation [$($doc)*] $name, $path, $refusals, [request_body = Option<$body>,],
            (app, envelope, MaybeJsonBody(body) => MaybeJsonBody<$body>) => act_by(&app, envelope, body.unwrap_or_default())
        }
    };
    (
        @operation [$($doc:tt)*] $name:ident, $path:tt, $refusals:ident, [$($request_body:tt)*],
        ($app:ident, $envelope:ident $(, $body:pat_param => $type:ty)?) => $response:expr
    ) => {
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "commands",
            params(OrderPath, CommandQuery, CommandHeaders),
            $($request_body)*
            responses(
                (status = 200, description = "The order; with `preview=true`, the preview.", body = CommandResultBody,
                    headers(("ETag" = String), ("Idempotency-Replayed" = String))),
                NotWritten, $refusals,
            ),
            security(("bearer" = [])),
        )]
        async fn $name(
            State($app): State<Arc<App>>,
            $envelope: Envelope,
            $($body: $type,)?
        ) -> Result<Response> {
            $response.await
        }
    };
}

command! {
    /// Accepts an order
    ///
    /// For the restaurant's staff; also after the acceptance deadline, as long as the order has not expired.
    accept_order, "/v1/orders/{order_id}/accept", NotAccepted, JsonBody<AcceptanceBody>
}

command! {
    /// Rejects an order
    ///
    /// For the restaurant's staff, instead of accepting it. With `item_unavailable`, the named items become unavailable on
    /// the menu, until their `until` if they have one; the stock of all other items is returned.
    reject_order, "/v1/orders/{order_id}/reject", NotRejected, JsonBody<RejectionBody>
}

command! {
    /// Marks an order as ready
    ///
    /// For the restaurant's staff.
    mark_order_ready, "/v1/orders/{order_id}/ready", NotMoved, Command::MarkReady
}

command! {
    /// Assigns a courier
    ///
    /// A courier takes an order that has no courier. An admin assigns any courier, also after the pick-up; then a reason is
    /// required.
    assign_courier, "/v1/orders/{order_id}/assign", NotAssigned, MaybeJsonBody<AssignmentBody>
}

command! {
    /// Marks an order as picked up
    ///
    /// For the courier of the order.
    pick_up_order, "/v1/orders/{order_id}/pick-up", NotMoved, Command::PickUp
}

command! {
    /// Marks an order as delivered
    ///
    /// For the courier of the order; for the restaurant's staff if the customer collects the order; and for an admin, with
    /// a reason, if the courier has picked up the order but does not mark it as delivered.
    deliver_order, "/v1/orders/{order_id}/deliver", NotDelivered, MaybeJsonBody<DeliveryBody>
}

command! {
    /// Cancels an order
    ///
    /// For the customer until the restaurant accepts the order, for the restaurant's staff until the pick-up, for admins
    /// until the delivery. With `item_unavailable`, the named items become unavailable on the menu, until their `until` if
    /// they have one. Until the restaurant accepts the order, the stock of all other items is returned.
    cancel_order, "/v1/orders/{order_id}/cancel", NotCancelled, JsonBody<CancellationBody>
}

command! {
    /// Refunds an order
    ///
    /// For admins, and for the restaurant's staff up to its limit. Partial refunds are by amount or by lines. The payment
    /// provider refunds a payment by card in the background. Send an idempotency key: without a key, a repeated request
    /// refunds again.
    refund_order, "/v1/orders/{order_id}/refund", NotRefunded, JsonBody<RefundBody>
}
