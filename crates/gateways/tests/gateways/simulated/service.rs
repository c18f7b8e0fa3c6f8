//! Tests of the service's responses that the client does not use.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use dabba_engine::{Clock, ManualClock};
use dabba_gateways::simulated::{Provider, ProviderHealth, ledger::Operation, router};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::world::{TOTAL, WHOLE_LEDGER, order, provider, serve, start_of_time};

/// A service, and an HTTP client that can send any request.
struct Service {
    provider: Arc<Provider>,
    clock: Arc<ManualClock>,
    base_url: String,
    client: Client,
}

impl Service {
    async fn start() -> Self {
        let (provider, clock) = (provider(1), Arc::new(ManualClock::new(start_of_time())));
        let app = router(Arc::clone(&provider), Arc::clone(&clock) as Arc<dyn Clock>);
        let base_url = format!("http://{}", serve(app).await);
        Self { provider, clock, base_url, client: Client::builder().no_proxy().build().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base_url))
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).header("Idempotency-Key", key).json(body)
    }

    async fn authorize(&self, index: u64, token: &str) -> Value {
        let request = self.post("/v1/authorizations", &format!("key-{index}"), &authorization(index, token));
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }
}

fn authorization(index: u64, token: &str) -> Value {
    json!({"order_id": order(index), "amount": TOTAL, "currency": "GBP", "token": token})
}

#[track_caller]
fn assert_problem(response: &Response, status: u16) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn an_invalid_request_is_refused_without_effect() {
    let service = Service::start().await;
    let good = authorization(1, "tok_succeed");
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    let step = json!({"order_id": order(1), "amount": TOTAL, "currency": "GBP", "reference": "pay_0"});
    let post = |body: &Value| service.post("/v1/authorizations", "key", body);
    let bare = || service.request(Method::POST, "/v1/authorizations");
    let requests = [
        (400, bare().json(&good)),
        (400, bare().json(&good).header("Idempotency-Key", "")),
        (400, bare().json(&good).header("Idempotency-Key", "a key")),
        (400, bare().json(&good).header("Idempotency-Key", "clé")),
        (400, bare().json(&good).header("Idempotency-Key", "k".repeat(256))),
        (400, bare().json(&good).header("Idempotency-Key", "a").header("Idempotency-Key", "b")),
        (415, bare().header("Idempotency-Key", "key").body(good.to_string())),
        (400, post(&good).body("{")),
        (413, post(&good).body(" ".repeat(17 * 1024))),
        (422, post(&json!([]))),
        (422, post(&with("amount", json!(-1)))),
        (422, post(&with("amount", json!(0)))),
        (422, post(&with("amount", json!(1.5)))),
        (422, post(&with("currency", json!("pounds")))),
        (422, post(&with("token", json!("tok succeed")))),
        (422, post(&with("order_id", json!("1")))),
        (422, post(&with("colour", json!("blue")))),
        (404, service.post("/v1/captures", "key", &step)),
        (404, service.post("/v1/voids", "key", &step)),
        (422, service.post("/v1/refunds", "key", &step)),
        (404, service.post("/v1/thefts", "key", &good)),
        (405, service.request(Method::GET, "/v1/authorizations")),
        (422, service.request(Method::GET, "/v1/ledger?limit=0")),
        (422, service.request(Method::GET, "/v1/ledger?limit=1001")),
        (400, service.request(Method::GET, "/v1/ledger?after=-1")),
        (400, service.request(Method::GET, "/v1/ledger?colour=blue")),
        (400, service.request(Method::GET, "/v1/payments")),
        (400, service.request(Method::GET, "/v1/summary/1")),
        (422, service.request(Method::PUT, "/v1/health").json(&json!({"state": "ill"}))),
        (422, service.request(Method::PUT, "/v1/health").json(&json!({"state": "flapping", "percent": 101}))),
    ];
    for (status, request) in requests {
        let response = request.send().await.unwrap();
        assert_problem(&response, status);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    assert_eq!(service.provider.ledger(0, WHOLE_LEDGER), []);
    assert_eq!(service.provider.health(), ProviderHealth::Up);
    assert_eq!(service.provider.payments(order(1)), []);
    // None of these requests used up the key.
    let response = post(&good).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reused_key_is_a_problem() {
    let service = Service::start().await;
    service.authorize(1, "tok_succeed").await;
    let response =
        service.post("/v1/authorizations", "key-1", &authorization(2, "tok_succeed")).send().await.unwrap();
    assert_problem(&response, 422);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "urn:dabba-simulated:problem:idempotency_key_reused");
}

#[tokio::test]
async fn payments_ledger_and_totals_can_be_read() {
    let service = Service::start().await;
    let authorized = service.authorize(1, "tok_succeed").await;
    let reference = authorized["report"]["reference"].as_str().unwrap();
    assert_eq!(authorized, json!({"report": {"type": "authorized", "reference": reference}}));
    let mut step = json!({"order_id": order(1), "amount": TOTAL, "currency": "GBP", "reference": reference});
    service.post("/v1/captures", "capture", &step).send().await.unwrap();
    step["amount"] = json!(500);
    step["number"] = json!(1);
    service.post("/v1/refunds", "refund", &step).send().await.unwrap();
    let declined = service.authorize(2, "tok_fraud").await;
    assert_eq!(declined, json!({"report": {"type": "declined", "reason": "suspected_fraud"}}));

    let at = "2026-01-05T12:00:00Z";
    let payment = json!({
        "reference": reference, "order_id": order(1), "amount": TOTAL, "currency": "GBP",
        "created_at": at, "state": "captured", "refunded": 500,
        "refunds": [{"number": 1, "amount": 500, "at": at}],
    });
    let payments = service.get(&format!("/v1/payments?order_id={}", order(1))).await;
    assert_eq!(payments, json!({"payments": [payment]}));

    let all = service.get("/v1/ledger").await;
    let operations: Vec<_> = all["entries"].as_array().unwrap().iter().map(|it| &it["operation"]).collect();
    assert_eq!(operations, ["authorize", "capture", "refund", "decline"]);
    let page = service.get("/v1/ledger?after=1&limit=1").await;
    let entry = json!({
        "sequence": 2, "at": at, "order_id": order(1), "reference": reference,
        "operation": "capture", "amount": TOTAL, "key": "capture",
    });
    assert_eq!(page, json!({"entries": [entry]}));
    assert_eq!(service.get("/v1/ledger?after=4").await, json!({"entries": []}));

    let summary = service.get(&format!("/v1/summary/{}", order(1))).await;
    let sums = ["authorized", "captured", "voided", "refunded"].map(|name| summary[name].as_i64().unwrap());
    assert_eq!(sums, [TOTAL, TOTAL, 0, 500]);
    let summary = service.get(&format!("/v1/summary/{}", order(3))).await;
    assert_eq!(summary["authorizations"], 0, "the totals of an order without payments must be zero");
}

/// Proves that a pending payment is decided when a caller reads it, even if no call asked for it before.
#[tokio::test]
async fn reading_decides_due_payments() {
    let service = Service::start().await;
    assert_eq!(service.authorize(1, "tok_pending").await, json!({}));
    let path = format!("/v1/payments?order_id={}", order(1));
    assert_eq!(service.get(&path).await["payments"][0]["state"], "pending");
    service.clock.advance(jiff::SignedDuration::from_secs(3));
    assert_eq!(service.get(&path).await["payments"][0]["state"], "authorized");
    assert_eq!(service.provider.ledger(0, WHOLE_LEDGER)[0].operation, Operation::Authorize);
}

#[tokio::test]
async fn the_health_can_be_set() {
    let service = Service::start().await;
    for health in [json!({"state": "flapping", "percent": 20}), json!({"state": "down"})] {
        let request = service.request(Method::PUT, "/v1/health").json(&health);
        assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap(), health);
        assert_eq!(service.get("/v1/health").await, health);
    }
    assert_eq!(service.provider.health(), ProviderHealth::Down);
    let request = service.post("/v1/authorizations", "key", &authorization(1, "tok_succeed"));
    assert_problem(&request.send().await.unwrap(), 500);
    // The health check of the process still succeeds.
    let response = service.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
