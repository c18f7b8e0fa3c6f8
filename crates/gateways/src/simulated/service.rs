//! The HTTP service of a provider.
//!
//! | request | effect |
//! |---|---|
//! | `POST /v1/authorizations` | authorizes a payment |
//! | `POST /v1/captures` | captures an authorized payment |
//! | `POST /v1/voids` | voids an authorized payment |
//! | `POST /v1/refunds` | refunds captured money |
//! | `GET /v1/payments?order_id=` | returns the payments of an order |
//! | `GET /v1/ledger?after=&limit=` | returns ledger entries |
//! | `GET /v1/summary/{order_id}` | returns the ledger totals of an order |
//! | `GET /v1/health`, `PUT /v1/health` | returns or sets the provider's health |
//! | `POST /v1/dashboard/refunds` | refunds money by hand: `{"payment", "amount"}` |
//! | `POST /v1/dashboard/chargebacks` | opens a chargeback of the rest of a payment: `{"payment"}` |
//! | `POST /v1/dashboard/chargebacks/close` | decides a chargeback: `{"payment", "is_won"}` |
//! | `GET /healthz` | returns 200 while the process runs, whatever the provider's health |
//!
//! Each `POST` except those of the dashboard needs an `Idempotency-Key` header. The bodies are defined in
//! [`wire`](super::wire). An invalid request changes nothing; the service responds with problem details.
//!
//! There is no authentication, because the provider moves no money: every client may use all requests.

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
    provider::{Outcome, PaymentRecord, Provider, ProviderHealth, Reply},
    webhooks::{self, WebhookTarget, Webhooks},
    wire::{AnswerBody, AuthorizationRequest, Notification, PaymentRequest, ProviderRefundRequest},
};

/// Maximum size of a request body, in bytes. The largest meaningful body has less than a kilobyte.
const MAX_BODY_LENGTH: usize = 16 * 1024;
/// Time for which the service keeps a request open that gets no reply. It is longer than every caller's
/// timeout.
const MAX_SILENCE: Duration = Duration::from_mins(10);
/// Maximum number of ledger entries in one response.
pub const MAX_LEDGER_PAGE: usize = 1_000;
/// Default number of ledger entries in one response.
const DEFAULT_LEDGER_PAGE: usize = 100;

/// The state that all requests share.
struct Shared {
    provider: Arc<Provider>,
    clock: Arc<dyn Clock>,
    webhooks: Option<Webhooks>,
}

/// Returns the router of a provider's service, to be served on any socket.
pub fn router(provider: Arc<Provider>, clock: Arc<dyn Clock>) -> Router {
    routes(Shared { provider, clock, webhooks: None })
}

/// Returns the same router, which also reports every change to `target`. Call this function on a Tokio
/// runtime. A task on that runtime sends the reports for as long as the router exists.
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
        .route("/v1/dashboard/refunds", post(refund_manually))
        .route("/v1/dashboard/chargebacks", post(open_chargeback))
        .route("/v1/dashboard/chargebacks/close", post(close_chargeback))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY_LENGTH))
        .with_state(Arc::new(shared))
}

impl Shared {
    /// Passes the changes to the webhook sender and sends the reply to the caller as the outcome demands.
    async fn respond(&self, outcome: Outcome) -> Response {
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

    /// Passes changes by hand to the webhook sender. Returns a conflict if there was no change, because
    /// nothing of the payment was left.
    fn notify(&self, notifications: Vec<Notification>) -> StatusCode {
        let status = if notifications.is_empty() { StatusCode::CONFLICT } else { StatusCode::NO_CONTENT };
        if let Some(webhooks) = &self.webhooks {
            webhooks.send(notifications);
        }
        status
    }

    /// Decides the payments that are due, so that the response shows the current state.
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
    shared.respond(shared.provider.authorize(&payment, &token, shared.clock.now())).await
}

async fn capture(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PaymentRequest>,
) -> Response {
    let (payment, reference) = request.into_payment(key);
    shared.respond(shared.provider.capture(&payment, &reference, shared.clock.now())).await
}

async fn void(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<PaymentRequest>,
) -> Response {
    let (payment, reference) = request.into_payment(key);
    shared.respond(shared.provider.void(&payment, &reference, shared.clock.now())).await
}

async fn refund(
    State(shared): State<Arc<Shared>>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<ProviderRefundRequest>,
) -> Response {
    let ProviderRefundRequest { order_id, reference, number, amount, currency } = request;
    let payment = Payment { order_id, key, amount, currency };
    shared.respond(shared.provider.refund(&payment, &reference, number, shared.clock.now())).await
}

/// The body of a refund by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManualRefund {
    payment: PaymentReference,
    amount: Amount,
}

/// The body that names the payment of a chargeback.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DisputedPayment {
    payment: PaymentReference,
}

/// The body that decides a chargeback.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargebackDecision {
    payment: PaymentReference,
    is_won: bool,
}

async fn refund_manually(
    State(shared): State<Arc<Shared>>,
    Body(ManualRefund { payment, amount }): Body<ManualRefund>,
) -> StatusCode {
    shared.notify(shared.provider.refund_manually(&payment, amount, shared.clock.now()))
}

async fn open_chargeback(
    State(shared): State<Arc<Shared>>,
    Body(DisputedPayment { payment }): Body<DisputedPayment>,
) -> StatusCode {
    shared.notify(shared.provider.open_chargeback(&payment))
}

async fn close_chargeback(
    State(shared): State<Arc<Shared>>,
    Body(ChargebackDecision { payment, is_won }): Body<ChargebackDecision>,
) -> StatusCode {
    shared.notify(shared.provider.close_chargeback(&payment, is_won, shared.clock.now()))
}

/// The query that names the order of the payments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentsQuery {
    order_id: OrderId,
}

/// The body with the payments of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentsBody {
    /// The payments, oldest first.
    pub payments: Vec<PaymentRecord>,
}

async fn payments(
    State(shared): State<Arc<Shared>>,
    Parameters(PaymentsQuery { order_id }): Parameters<PaymentsQuery>,
) -> Json<PaymentsBody> {
    shared.settle();
    Json(PaymentsBody { payments: shared.provider.payments(order_id) })
}

/// The query that selects a page of the ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// The body with a page of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBody {
    /// The entries, oldest first. If there are as many entries as the limit, more may follow.
    pub entries: Vec<Entry>,
}

async fn ledger(
    State(shared): State<Arc<Shared>>,
    Parameters(LedgerQuery { after, limit }): Parameters<LedgerQuery>,
) -> Result<Json<LedgerBody>, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LEDGER_PAGE);
    if !(1..=MAX_LEDGER_PAGE).contains(&limit) {
        return Err(Problem::out_of_bounds(format!("limit must be from 1 to {MAX_LEDGER_PAGE}")));
    }
    shared.settle();
    Ok(Json(LedgerBody { entries: shared.provider.ledger(after, limit) }))
}

async fn summary(State(shared): State<Arc<Shared>>, InPath(order_id): InPath<OrderId>) -> Json<Summary> {
    shared.settle();
    Json(shared.provider.summary(order_id))
}

async fn health(State(shared): State<Arc<Shared>>) -> Json<ProviderHealth> {
    Json(shared.provider.health())
}

async fn set_health(
    State(shared): State<Arc<Shared>>,
    Body(health): Body<ProviderHealth>,
) -> Result<Json<ProviderHealth>, Problem> {
    if matches!(health, ProviderHealth::Flapping { percent } if percent > 100) {
        return Err(Problem::out_of_bounds("percent must be from 0 to 100"));
    }
    tracing::info!(?health, "the simulated provider's health was set");
    shared.provider.set_health(health);
    Ok(Json(health))
}
