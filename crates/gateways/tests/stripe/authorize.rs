//! Tests of authorizations.

use std::collections::BTreeMap;

use dabba_domain::order::DeclineReason;
use dabba_engine::{GatewayError, PaymentGateway as _};
use dabba_gateways::stripe::API_VERSION;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::stub::{
    INTENT, Outcome, SECRET_KEY, Stub, TOKEN, answer, error, form, gateway, intent, order_id, payment,
    payment_of, replay, token,
};

const CREATE: &str = "/v1/payment_intents";

async fn authorize(stub: &Stub) -> Outcome {
    Outcome::of(stub.gateway().authorize(&payment("authorize"), &token()).await)
}

#[tokio::test]
async fn the_status_of_the_intent_decides() {
    let rows = [
        ("requires_capture", Outcome::authorized()),
        ("processing", Outcome::Pending),
        ("succeeded", Outcome::captured()),
        ("canceled", Outcome::voided()),
        ("requires_payment_method", Outcome::declined(DeclineReason::Other)),
        ("requires_confirmation", Outcome::declined(DeclineReason::Other)),
        ("requires_action", Outcome::declined(DeclineReason::AuthenticationRequired)),
        ("a_new_one", Outcome::Unavailable),
    ];
    for (status, expected) in rows {
        let stub = Stub::start().await.on("POST", CREATE, answer(200, intent(status))).await;
        assert_eq!(authorize(&stub).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_decline_has_its_reason() {
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({ "code": "card_declined", "decline_code": "insufficient_funds" });
    let stub = Stub::start().await.on("POST", CREATE, answer(200, failed)).await;
    assert_eq!(authorize(&stub).await, Outcome::declined(DeclineReason::InsufficientFunds));
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes() {
    let stub = Stub::start().await.on("POST", CREATE, answer(200, intent("requires_capture"))).await;
    let gateway = stub.gateway();
    for _ in 0..2 {
        let authorized = gateway.authorize(&payment("authorize"), &token()).await;
        assert_eq!(Outcome::of(authorized), Outcome::authorized());
    }
    let requests = stub.requests().await;
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    for request in &requests {
        let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(header("idempotency-key"), payment("authorize").key);
        assert_eq!(header("authorization"), format!("Bearer {SECRET_KEY}"));
        assert_eq!(header("stripe-version"), API_VERSION);
        assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    }
    let order_id = order_id().to_string();
    let expected: BTreeMap<String, String> = [
        ("amount", "1250"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("currency", "gbp"),
        ("error_on_requires_action", "true"),
        ("metadata[order_id]", order_id.as_str()),
        ("payment_method", TOKEN),
        ("payment_method_types[]", "card"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(form(&requests[0]), expected);
}

#[tokio::test]
async fn amounts_are_sent_in_the_units_of_stripe() {
    for (minor, currency, sent) in
        [(1_250, "JPY", "1250"), (5, "ISK", "500"), (5, "UGX", "500"), (5_120, "KWD", "5120")]
    {
        let stub = Stub::start().await.on("POST", CREATE, answer(200, intent("requires_capture"))).await;
        stub.gateway().authorize(&payment_of("authorize", minor, currency), &token()).await.unwrap();
        assert_eq!(form(&stub.requests().await[0])["amount"], sent, "{currency}");
    }
    // If Stripe does not accept the amount or the currency, the payment is declined without a retry.
    for (minor, currency) in [(5_124, "KWD"), (501, "MGA"), (100, "XAU")] {
        let stub = Stub::start().await;
        let answer = stub.gateway().authorize(&payment_of("authorize", minor, currency), &token()).await;
        assert_eq!(Outcome::of(answer), Outcome::declined(DeclineReason::NotAccepted), "{currency}");
        assert!(stub.requests().await.is_empty(), "{currency}");
    }
}

#[tokio::test]
async fn each_failure_has_its_outcome() {
    let card = |code: &str, decline_code: Value| {
        let members = json!({
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "payment_intent": intent("requires_payment_method"),
        });
        (402, members)
    };
    let invalid =
        |code: Value, param: Value| json!({ "type": "invalid_request_error", "code": code, "param": param });
    let used_up = json!({
        "type": "invalid_request_error",
        "message": "The provided PaymentMethod was previously used. It may not be used again.",
    });
    let none = Value::Null;
    let declined = Outcome::declined;
    let rows = [
        (card("card_declined", "generic_decline".into()), declined(DeclineReason::CardDeclined)),
        (card("card_declined", "insufficient_funds".into()), declined(DeclineReason::InsufficientFunds)),
        (card("card_declined", "fraudulent".into()), declined(DeclineReason::SuspectedFraud)),
        (
            card("card_declined", "authentication_not_handled".into()),
            declined(DeclineReason::AuthenticationRequired),
        ),
        (card("expired_card", none.clone()), declined(DeclineReason::ExpiredCard)),
        (card("incorrect_cvc", none.clone()), declined(DeclineReason::CardDeclined)),
        (card("processing_error", none.clone()), declined(DeclineReason::Other)),
        (
            (400, invalid("resource_missing".into(), "payment_method".into())),
            declined(DeclineReason::InvalidToken),
        ),
        (
            (404, invalid("resource_missing".into(), "payment_method".into())),
            declined(DeclineReason::InvalidToken),
        ),
        ((400, used_up), declined(DeclineReason::InvalidToken)),
        ((400, invalid("parameter_unknown".into(), "confirm".into())), declined(DeclineReason::NotAccepted)),
        ((400, invalid("amount_too_small".into(), "amount".into())), declined(DeclineReason::NotAccepted)),
        ((400, invalid(none.clone(), "currency".into())), declined(DeclineReason::NotAccepted)),
        ((400, invalid("account_closed".into(), none.clone())), Outcome::Refused),
        ((400, invalid("testmode_charges_only".into(), none.clone())), Outcome::Refused),
        ((400, json!({ "type": "idempotency_error" })), Outcome::Refused),
        ((401, invalid(none.clone(), none.clone())), Outcome::Refused),
        ((403, invalid(none.clone(), none.clone())), Outcome::Refused),
        ((404, invalid(none.clone(), none.clone())), Outcome::Refused),
        ((409, invalid("idempotency_key_in_use".into(), none.clone())), Outcome::Unavailable),
        ((424, json!({ "type": "api_error" })), Outcome::Unavailable),
        ((429, invalid("lock_timeout".into(), none.clone())), Outcome::Unavailable),
        ((429, invalid("rate_limit".into(), none)), Outcome::Unavailable),
        ((500, json!({ "type": "api_error" })), Outcome::Unavailable),
        ((503, json!({ "type": "api_error" })), Outcome::Unavailable),
    ];
    for ((status, members), expected) in rows {
        let stub = Stub::start().await.on("POST", CREATE, answer(status, error(members.clone()))).await;
        assert_eq!(authorize(&stub).await, expected, "{status} {members}");
    }
}

#[tokio::test]
async fn an_error_names_code_parameter_and_request() {
    let members = json!({ "type": "invalid_request_error", "code": "parameter_missing", "param": "amount" });
    let stub = Stub::start().await.on("POST", CREATE, answer(403, error(members))).await;
    let error = stub.gateway().authorize(&payment("authorize"), &token()).await.unwrap_err();
    let text = "Stripe responded with 403, type invalid_request_error, code parameter_missing, parameter amount, \
                request req_1";
    assert_eq!(error, GatewayError::Refused(text.to_owned()));
}

#[tokio::test]
async fn a_stored_response_is_not_treated_as_current() {
    let declined = error(json!({
        "type": "card_error",
        "code": "expired_card",
        "payment_intent": intent("requires_payment_method"),
    }));
    let expired = Outcome::declined(DeclineReason::ExpiredCard);
    let rows = [
        ((200, intent("requires_capture")), "requires_capture", Outcome::authorized()),
        ((200, intent("requires_capture")), "canceled", Outcome::voided()),
        ((200, intent("requires_capture")), "succeeded", Outcome::captured()),
        ((200, intent("processing")), "processing", Outcome::Pending),
        ((200, intent("processing")), "requires_capture", Outcome::authorized()),
        ((402, declined.clone()), "requires_payment_method", expired.clone()),
        ((402, declined.clone()), "canceled", expired),
        ((402, declined), "requires_capture", Outcome::authorized()),
    ];
    for ((status, stored), present, expected) in rows {
        let stub = Stub::start().await.on("POST", CREATE, replay(status, stored)).await;
        let stub = stub.on("GET", &format!("{CREATE}/{INTENT}"), answer(200, intent(present))).await;
        assert_eq!(authorize(&stub).await, expected, "{status}, {present}");
        assert_eq!(stub.calls().await.len(), 2);
    }
}

/// Only Stripe knows whether the call was carried out. The client neither reports a result nor uses another
/// key.
#[tokio::test]
async fn a_stored_server_error_stays_unavailable() {
    let stored = replay(500, error(json!({ "type": "api_error" })));
    let stub = Stub::start().await.on("POST", CREATE, stored).await;
    assert_eq!(authorize(&stub).await, Outcome::Unavailable);
    assert_eq!(stub.calls().await, ["POST! /v1/payment_intents"]);
}

#[tokio::test]
async fn a_response_from_elsewhere_is_unavailable() {
    let padded = format!("{}{}", intent("requires_capture"), " ".repeat(2 * 1024 * 1024));
    let rows = [
        ("not JSON", ResponseTemplate::new(200).set_body_string("<html>")),
        ("another object", answer(200, json!({ "id": INTENT }))),
        ("an id that is none", answer(200, json!({ "id": "../1", "status": "succeeded", "amount": 1 }))),
        ("endless", ResponseTemplate::new(200).set_body_string(padded)),
        ("elsewhere", ResponseTemplate::new(302).insert_header("location", "/v1/elsewhere")),
        ("a proxy", ResponseTemplate::new(502).set_body_string("Bad gateway")),
    ];
    for (what, answer) in rows {
        let stub = Stub::start().await.on("POST", CREATE, answer).await;
        assert_eq!(authorize(&stub).await, Outcome::Unavailable, "{what}");
        assert_eq!(stub.requests().await.len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = gateway(&format!("http://{address}")).authorize(&payment("authorize"), &token()).await;
    assert_eq!(Outcome::of(answer), Outcome::Unavailable);
}
