//! Tests of captures and voids.

use dabba_domain::order::PaymentReport;
use dabba_engine::PaymentGateway as _;
use serde_json::{Value, json};

use crate::stub::{INTENT, Outcome, Stub, answer, error, form, intent, payment, pounds, reference, replay};

/// The two calls, each with the intent's status after success.
const CALLS: [(&str, &str); 2] = [("capture", "succeeded"), ("cancel", "canceled")];

fn path(call: &str) -> String {
    format!("/v1/payment_intents/{INTENT}/{call}")
}

async fn end(stub: &Stub, call: &str) -> Outcome {
    let gateway = stub.gateway();
    let answer = match call {
        "capture" => gateway.capture(&payment("capture"), &reference()).await,
        _ => gateway.void(&payment("void"), &reference()).await,
    };
    Outcome::of(answer)
}

/// Returns Stripe's response if the intent's state does not permit the call.
fn unexpected(state: &Value) -> Value {
    error(json!({
        "type": "invalid_request_error",
        "code": "payment_intent_unexpected_state",
        "payment_intent": state,
    }))
}

async fn with_intent(stub: Stub, status: &str) -> Stub {
    stub.on("GET", &format!("/v1/payment_intents/{INTENT}"), answer(200, intent(status))).await
}

/// Returns the states of a previously authorized intent, with the expected outcomes.
fn states() -> [(&'static str, Outcome); 5] {
    [
        ("succeeded", Outcome::captured()),
        ("canceled", Outcome::voided()),
        ("processing", Outcome::Pending),
        ("requires_payment_method", Outcome::voided()),
        ("a_new_one", Outcome::Unavailable),
    ]
}

#[tokio::test]
async fn the_status_of_the_intent_decides() {
    for (call, _) in CALLS {
        for (status, expected) in states() {
            let stub = Stub::start().await.on("POST", &path(call), answer(200, intent(status))).await;
            assert_eq!(end(&stub, call).await, expected, "{call} {status}");
        }
    }
}

#[tokio::test]
async fn the_whole_amount_is_requested_with_the_key_of_the_step() {
    for ((call, done), step) in CALLS.into_iter().zip(["capture", "void"]) {
        let stub = Stub::start().await.on("POST", &path(call), answer(200, intent(done))).await;
        for _ in 0..2 {
            end(&stub, call).await;
        }
        for request in stub.requests().await {
            assert_eq!(request.headers["idempotency-key"], payment(step).key.as_str());
            assert!(form(&request).is_empty());
        }
    }
}

#[tokio::test]
async fn a_payment_in_a_later_state_is_not_an_error() {
    for (call, _) in CALLS {
        for (status, expected) in states() {
            let refused = answer(400, unexpected(&intent(status)));
            let stub = Stub::start().await.on("POST", &path(call), refused).await;
            assert_eq!(end(&stub, call).await, expected, "{call} {status}");
            // The error does not always include the intent.
            let refused = answer(400, error(json!({ "code": "charge_expired_for_capture" })));
            let stub = with_intent(Stub::start().await.on("POST", &path(call), refused).await, status).await;
            assert_eq!(end(&stub, call).await, expected, "{call} {status}");
        }
        // The state of the payment does not explain the refusal.
        let refused = answer(400, unexpected(&intent("requires_capture")));
        let stub = Stub::start().await.on("POST", &path(call), refused).await;
        assert_eq!(end(&stub, call).await, Outcome::Refused, "{call}");
    }
}

#[tokio::test]
async fn each_failure_has_its_outcome() {
    let rows = [
        (400, json!({ "type": "idempotency_error" }), Outcome::Refused),
        (400, json!({ "type": "invalid_request_error", "code": "lock_timeout" }), Outcome::Unavailable),
        (401, json!({ "type": "invalid_request_error" }), Outcome::Refused),
        (404, json!({ "type": "invalid_request_error", "code": "resource_missing" }), Outcome::Refused),
        (409, json!({ "code": "idempotency_key_in_use" }), Outcome::Unavailable),
        (429, json!({ "code": "lock_timeout" }), Outcome::Unavailable),
        (500, json!({ "type": "api_error" }), Outcome::Unavailable),
    ];
    for (call, _) in CALLS {
        for (status, members, expected) in &rows {
            let refused = answer(*status, error(members.clone()));
            let stub = Stub::start().await.on("POST", &path(call), refused).await;
            // The client must not read the payment's state, because it explains none of these failures.
            let stub = with_intent(stub, "succeeded").await;
            assert_eq!(end(&stub, call).await, *expected, "{call} {status} {members}");
        }
    }
}

#[tokio::test]
async fn a_partial_capture_by_hand_is_reported() {
    let mut part = intent("succeeded");
    part["amount_received"] = 1_000.into();
    let stub = Stub::start().await.on("POST", &path("cancel"), answer(400, unexpected(&part))).await;
    let report = PaymentReport::CapturedAmount { reference: reference(), money: pounds(1_000) };
    assert_eq!(end(&stub, "cancel").await, Outcome::Report(report));
}

#[tokio::test]
async fn a_stored_response_is_not_treated_as_current() {
    for (call, _) in CALLS {
        for stored in [
            replay(200, intent("processing")),
            replay(400, unexpected(&intent("processing"))),
            replay(500, error(json!({ "type": "api_error" }))),
        ] {
            for (status, expected) in states() {
                let stub = Stub::start().await.on("POST", &path(call), stored.clone()).await;
                let stub = with_intent(stub, status).await;
                assert_eq!(end(&stub, call).await, expected, "{call} {status}");
                assert_eq!(stub.calls().await.len(), 2);
            }
        }
    }
}

/// A retry with the same key would always return the stored failure.
#[tokio::test]
async fn a_stored_failure_is_followed_by_a_call_without_a_key() {
    for (call, done) in CALLS {
        let stub = with_intent(Stub::start().await, "requires_capture").await;
        let keyed = wiremock::Mock::given(wiremock::matchers::path(path(call)))
            .and(wiremock::matchers::header_exists("idempotency-key"))
            .respond_with(replay(500, error(json!({ "type": "api_error" }))));
        keyed.mount(&stub.0).await;
        let stub = stub.on("POST", &path(call), answer(200, intent(done))).await;
        let expected = if done == "succeeded" { Outcome::captured() } else { Outcome::voided() };
        assert_eq!(end(&stub, call).await, expected);
        let (keyed, bare) = (format!("POST! {}", path(call)), format!("POST {}", path(call)));
        assert_eq!(stub.calls().await, [keyed, format!("GET /v1/payment_intents/{INTENT}"), bare]);
    }
}
