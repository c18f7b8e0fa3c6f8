//! A provider offered over HTTP.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /v1/authorizations` | sets money aside |
//! | `POST /v1/captures` | collects it |
//! | `POST /v1/voids` | lets go of it |
//! | `POST /v1/refunds` | gives it back |
//! | `GET /v1/payments?order_id=` | the payments of an order |
//! | `GET /v1/ledger?after=&limit=` | what was done, entry by entry |
//! | `GET /v1/summary/{order_id}` | what was done for an order, summed up |
//! | `GET /v1/health`, `PUT /v1/health` | how well the provider works, and to change that |
//! | `POST /v1/dashboard/refunds` | gives money back by hand: `{"payment", "amount"}` |
//! | `POST /v1/dashboard/chargebacks` | has the customer's bank want back what is left: `{"payment"}` |
//! | `POST /v1/dashboard/chargebacks/close` | decides that: `{"payment", "is_won"}` |
//! | `GET /healthz` | whether the process is there, whatever the provider's health |
//!
//! Each `POST` but those of the dashboard needs an `Idempotency-Key`. Bodies are those of [`wire`](super::wire). A request that is wrong
//! changes nothing, and is answered with problem details.
//!
//! There is no authentication: no money is moved, and whoever reaches it may do with it as they like.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dabba_domain::{Amount, OrderId, order::PaymentReference};
use dabba_engine::{Clock, Payment};
use serde::{Deserialize, Serialize};

use super::{
    ledger::{Entry, Summary},
    problem::{Body, IdempotencyKey, InPath, Parameters, Problem},
    provider::{Health, Outcome, PaymentRecord, Provider, Reply},
    webhooks::{self, WebhookTarget, Webhooks},
    wire::{AnswerBody, AuthorizationRequest, Notification, PaymentRequest, RefundRequest},
};

/// Longest body of a request, in bytes. The longest that makes sense has less than a kilobyte.
const MAX_BODY_LENGTH: usize = 16 * 1024;
/// How long a request is kept open that is never answered. It outlasts every caller's patience.
const MAX_SILENCE: Duration = Duration::from_mins(10);
/// Most entries of the ledger in one answer.
pub const MAX_LEDGER_PAGE: usize = 1_000;
/// How many entries of the ledger are in an answer when no limit is asked for.
const DEFAULT_LEDGER_PAGE: usize = 100;

/// What all requests share.
struct Shared {
    provider: Arc<Provider>,
    clock: Arc<dyn Clock>,
    webhooks: Option<Webhooks>,
}

/// The service of a provider, to be served on any socket.
pub fn router(provider: Arc<Provider>, clock: Arc<dyn Clock>) -> Router {
    routes(Shared { provider, clock, webhooks: None })
}

/// The same, where what happens is reported to `target` besides. Needs to be called on a Tokio runtime, on
/// which the reports are sent for as long as the router lives.
pub fn router_with_webhooks(provider: Arc<Provider>, clock: Arc<dyn Clock>, target: WebhookTarget) -> Router {
    let webhooks = webhooks::start(target, Arc::clone(&provider), Arc::clone(&clock));
    routes(Shared { provider, clock, webhooks: Some(webhooks) })
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/v1/authorizations", post(authorize))
        .route("/v1/captures", post(capture))
        .route("/v1/voids", post(void))
        .route("/v1/refunds", post(refund))
        .route("/v1/payments", get(payments))
        .route("/v1/ledger", get(ledger))
        .route("/v1/summary/{order_id}", get(summary))
        .route("/v1/health", get(health).put(set_health))
        .route("/v1/dashboard/refunds", post(refund_by_hand))
        .route("/v1/dashboard/chargebacks", post(open_chargeback))
        .route("/v1/dashboard/chargebacks/close", post(close_chargeback))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY_LENGTH))
        .with_state(Arc::new(shared))
}

impl Shared {
    /// Lets the caller have what the provider says they get, and the webhooks what has happened.
    async fn act_out(&self, outcome: Outcome) -> Response {
        if let Some(webhooks) = &self.webhooks {
            webhooks.send(outcome.notifications);
        }
        if !outcome.delay.is_zero() {
            tokio::time::sleep(outcome.delay).await;
        }
        match outcome.reply {
            Reply::Answer(answer) => {
                let body = AnswerBody::from(answer);
                let status = if body.report.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
                (status, Json(body)).into_response()
            }
            Reply::Refused(refusal) => Problem::from(refusal).into_response(),
            Reply::Failed(failure) => Problem::from(failure).into_response(),
            Reply::Silence => {
                tokio::time::sleep(MAX_SILENCE).await;
                StatusCode::GATEWAY_TIMEOUT.into_response()
            }
        }
    }

    /// Has the webhooks tell what somebody did by hand. Where it did nothing, nothing was left for it.
    fn tell(&self, notifications: Vec<Notification>) -> StatusCode {
        let status = if notifications.is_empty() { StatusCode::CONFLICT } else { StatusCode::NO_CONTENT };
        if let Some(webhooks) = &self.webhooks {
            webhooks.send(notifications);
        }
        status
    }

    /// Decides what is due, so that what is read is true now.
    fn settle(&self) {
        let notifications = self.provider.settle(self.clock.now());
        if let Some(webhooks) = &self.webhooks {
            webhooks.send(notifications);
        }
    }
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<AuthorizationRequest>,
) -> Response {
    let AuthorizationRequest { order_id, amount, currency, token } = request;
    let payment = Payment { order_id, key, amount, currency };
    shared.act_out(shared.provider.authorize(&payment, &token, shared.clock.now())).await
}

async fn capture(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PaymentRequest>,
) -> Response {
    let PaymentRequest { order_id, reference, amount, currency } = request;
    let payment = Payment { order_id, key, amount, currency };
    shared.act_out(shared.provider.capture(&payment, &reference, shared.clock.now())).await
}

async fn void(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PaymentRequest>,
) -> Response {
    let PaymentRequest { order_id, reference, amount, currency } = request;
    let payment = Payment { order_id, key, amount, currency };
    shared.act_out(shared.provider.void(&payment, &reference, shared.clock.now())).await
}

async fn refund(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<RefundRequest>,
) -> Response {
    let RefundRequest { order_id, reference, number, amount, currency } = request;
    let payment = Payment { order_id, key, amount, currency };
    shared.act_out(shared.provider.refund(&payment, &reference, number, shared.clock.now())).await
}

/// A refund by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    payment: PaymentReference,
    amount: Amount,
}

/// The payment of a chargeback.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disputed {
    payment: PaymentReference,
}

/// How a chargeback is decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    payment: PaymentReference,
    is_won: bool,
}

async fn refund_by_hand(
    State(shared): State<Arc<Shared>>,
    Body(ByHand { payment, amount }): Body<ByHand>,
) -> StatusCode {
    shared.tell(shared.provider.refund_by_hand(&payment, amount, shared.clock.now()))
}

async fn open_chargeback(
    State(shared): State<Arc<Shared>>,
    Body(Disputed { payment }): Body<Disputed>,
) -> StatusCode {
    shared.tell(shared.provider.open_chargeback(&payment))
}

async fn close_chargeback(
    State(shared): State<Arc<Shared>>,
    Body(Decided { payment, is_won }): Body<Decided>,
) -> StatusCode {
    shared.tell(shared.provider.close_chargeback(&payment, is_won, shared.clock.now()))
}

/// Whose payments are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrder {
    order_id: OrderId,
}

/// The payments of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentsBody {
    /// Oldest first.
    pub payments: Vec<PaymentRecord>,
}

async fn payments(
    State(shared): State<Arc<Shared>>,
    Parameters(OfOrder { order_id }): Parameters<OfOrder>,
) -> Json<PaymentsBody> {
    shared.settle();
    Json(PaymentsBody { payments: shared.provider.payments(order_id) })
}

/// Which part of the ledger is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerPart {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// A part of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBody {
    /// Oldest first. Where there are as many as were asked for, there may be more, after the last of them.
    pub entries: Vec<Entry>,
}

async fn ledger(
    State(shared): State<Arc<Shared>>,
    Parameters(LedgerPart { after, limit }): Parameters<LedgerPart>,
) -> Result<Json<LedgerBody>, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LEDGER_PAGE);
    if !(1..=MAX_LEDGER_PAGE).contains(&limit) {
        return Err(Problem::out_of_bounds(format!("limit: must be from 1 to {MAX_LEDGER_PAGE}")));
    }
    shared.settle();
    Ok(Json(LedgerBody { entries: shared.provider.ledger(after, limit) }))
}

async fn summary(State(shared): State<Arc<Shared>>, InPath(order_id): InPath<OrderId>) -> Json<Summary> {
    shared.settle();
    Json(shared.provider.summary(order_id))
}

async fn health(State(shared): State<Arc<Shared>>) -> Json<Health> {
    Json(shared.provider.health())
}

async fn set_health(
    State(shared): State<Arc<Shared>>,
    Body(health): Body<Health>,
) -> Result<Json<Health>, Problem> {
    if matches!(health, Health::Flapping { percent } if percent > 100) {
        return Err(Problem::out_of_bounds("percent: must be from 0 to 100"));
    }
    tracing::info!(?health, "the simulated provider's health is switched");
    shared.provider.set_health(health);
    Ok(Json(health))
}
