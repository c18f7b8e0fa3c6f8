//! Tests of refunds.

use std::collections::BTreeMap;

use dabba_domain::order::{PaymentReport, RefundFailureReason, RefundNumber};
use dabba_engine::{Payment, PaymentGateway as _};
use serde_json::{Value, json};
use wiremock::{Mock, matchers};

use crate::stub::{INTENT, Outcome, Stub, answer, error, form, order_id, payment_of, reference, replay};

const REFUNDS: &str = "/v1/refunds";

fn two() -> RefundNumber {
    RefundNumber::new(2).unwrap()
}

fn made() -> Outcome {
    Outcome::Report(PaymentReport::Refunded { number: two() })
}

fn refused(reason: RefundFailureReason) -> Outcome {
    Outcome::Report(PaymentReport::RefundRefused { number: two(), reason })
}

fn half() -> Payment {
    payment_of("refund-2", 625, "GBP")
}

async fn refund(stub: &Stub) -> Outcome {
    Outcome::of(stub.gateway().refund(&half(), &reference(), two()).await)
}

fn object(id: &str, number: &str, status: &str) -> Value {
    json!({
        "id": id,
        "object": "refund",
        "amount": 625,
        "metadata": { "order_id": order_id(), "refund": number },
        "payment_intent": INTENT,
        "status": status,
    })
}

fn page(refunds: &[Value], has_more: bool) -> Value {
    json!({ "object": "list", "data": refunds, "has_more": has_more, "url": REFUNDS })
}

/// Returns a stub for a payment whose first refund exists.
async fn refunded_once() -> Stub {
    let by_hand = json!({ "id": "re_0", "status": "succeeded", "metadata": {} });
    let earlier = [object("re_1", "1", "succeeded"), by_hand];
    Stub::start().await.on("GET", REFUNDS, answer(200, page(&earlier, false))).await
}

fn statuses() -> [(&'static str, Outcome); 6] {
    [
        ("succeeded", made()),
        ("pending", made()),
        ("requires_action", Outcome::Pending),
        ("failed", refused(RefundFailureReason::Other)),
        ("canceled", refused(RefundFailureReason::CalledOff)),
        ("a_new_one", Outcome::Unavailable),
    ]
}

#[tokio::test]
async fn the_status_of_the_refund_decides() {
    for (status, expected) in statuses() {
        let stub = refunded_once().await.on("POST", REFUNDS, answer(200, object("re_2", "2", status))).await;
        assert_eq!(refund(&stub).await, expected, "{status}");
    }
}

#[tokio::test]
async fn the_amount_is_requested_with_the_key_of_the_step() {
    let stub = refunded_once().await.on("POST", REFUNDS, answer(200, object("re_2", "2", "succeeded"))).await;
    refund(&stub).await;
    let requests = stub.requests().await;
    assert_eq!(requests[0].url.query(), Some("payment_intent=pi_3Mabc&limit=100"));
    assert_eq!(requests[1].headers["idempotency-key"], half().key.as_str());
    let order_id = order_id().to_string();
    let expected: BTreeMap<String, String> = [
        ("amount", "625"),
        ("metadata[order_id]", order_id.as_str()),
        ("metadata[refund]", "2"),
        ("payment_intent", INTENT),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(form(&requests[1]), expected);
}

/// Proves that an existing refund is not requested again, even after Stripe has forgotten the key of the
/// first call.
#[tokio::test]
async fn an_existing_refund_is_not_requested_again() {
    for (status, expected) in statuses() {
        let refunds = [object("re_3", "3", "succeeded"), object("re_2", "2", status)];
        let stub = Stub::start().await.on("GET", REFUNDS, answer(200, page(&refunds, false))).await;
        assert_eq!(refund(&stub).await, expected, "{status}");
        assert_eq!(stub.calls().await, ["GET /v1/refunds"], "{status}");
    }
}

#[tokio::test]
async fn all_pages_are_searched_for_the_refund() {
    let stub = Stub::start().await;
    let next = Mock::given(matchers::query_param("starting_after", "re_3"));
    let last = answer(200, page(&[object("re_2", "2", "succeeded")], false));
    next.respond_with(last).mount(&stub.0).await;
    let first = page(&[object("re_4", "4", "succeeded"), object("re_3", "3", "succeeded")], true);
    let stub = stub.on("GET", REFUNDS, answer(200, first)).await;
    assert_eq!(refund(&stub).await, made());
    assert_eq!(stub.calls().await.len(), 2);
}

#[tokio::test]
async fn the_search_is_limited() {
    let endless = page(&[object("re_3", "3", "succeeded")], true);
    let stub = Stub::start().await.on("GET", REFUNDS, answer(200, endless)).await;
    assert_eq!(refund(&stub).await, Outcome::Refused);
    assert_eq!(stub.calls().await, ["GET /v1/refunds"; 10]);
}

#[tokio::test]
async fn each_failure_has_its_outcome() {
    let rows = [
        (400, json!({ "code": "charge_already_refunded" }), refused(RefundFailureReason::NothingLeft)),
        (
            400,
            json!({ "code": "amount_too_large", "param": "amount" }),
            refused(RefundFailureReason::NothingLeft),
        ),
        (400, json!({ "param": "amount" }), refused(RefundFailureReason::NothingLeft)),
        (400, json!({ "code": "charge_disputed" }), refused(RefundFailureReason::Disputed)),
        (400, json!({ "code": "refund_disputed_payment" }), refused(RefundFailureReason::Disputed)),
        (
            400,
            json!({ "code": "parameter_invalid_integer", "param": "amount" }),
            refused(RefundFailureReason::NotAccepted),
        ),
        (400, json!({ "code": "account_closed" }), Outcome::Refused),
        (400, json!({ "code": "balance_insufficient" }), Outcome::Refused),
        (400, json!({ "type": "idempotency_error" }), Outcome::Refused),
        (401, json!({}), Outcome::Refused),
        (404, json!({ "code": "resource_missing", "param": "payment_intent" }), Outcome::Refused),
        (409, json!({ "code": "idempotency_key_in_use" }), Outcome::Unavailable),
        (429, json!({ "code": "rate_limit" }), Outcome::Unavailable),
        (500, json!({ "type": "api_error" }), Outcome::Unavailable),
    ];
    for (status, members, expected) in rows {
        let failed = answer(status, error(members.clone()));
        let stub = refunded_once().await.on("POST", REFUNDS, failed).await;
        assert_eq!(refund(&stub).await, expected, "{status} {members}");
    }
}

/// Proves that the client requests no refund while it does not know which refunds exist.
#[tokio::test]
async fn no_refund_is_requested_without_the_list() {
    let stub = Stub::start().await.on("GET", REFUNDS, answer(500, error(json!({})))).await;
    assert_eq!(refund(&stub).await, Outcome::Unavailable);
    assert_eq!(stub.calls().await, ["GET /v1/refunds"]);
}

#[tokio::test]
async fn a_stored_response_is_not_treated_as_current() {
    let stored = replay(200, object("re_2", "2", "pending"));
    let stub = refunded_once().await.on("POST", REFUNDS, stored).await;
    let stub = stub.on("GET", "/v1/refunds/re_2", answer(200, object("re_2", "2", "failed"))).await;
    assert_eq!(refund(&stub).await, refused(RefundFailureReason::Other));

    let stored = replay(500, error(json!({ "type": "api_error" })));
    let stub = refunded_once().await.on("POST", REFUNDS, stored).await;
    assert_eq!(refund(&stub).await, Outcome::Unavailable);
    assert_eq!(stub.calls().await, ["GET /v1/refunds", "POST! /v1/refunds"]);
}

/// Proves that Stripe's reason for a failed refund becomes the reason of the report.
#[tokio::test]
async fn the_reason_of_a_failed_refund_is_reported() {
    let rows = [
        ("lost_or_stolen_card", RefundFailureReason::CardClosed),
        ("expired_or_canceled_card", RefundFailureReason::CardClosed),
        ("declined", RefundFailureReason::Declined),
        ("insufficient_funds", RefundFailureReason::InsufficientFunds),
        ("charge_for_pending_refund_disputed", RefundFailureReason::Disputed),
        ("merchant_request", RefundFailureReason::CalledOff),
        ("unknown", RefundFailureReason::Other),
        ("a_new_one", RefundFailureReason::Other),
    ];
    for (reason, expected) in rows {
        let mut failed = object("re_2", "2", "failed");
        failed["failure_reason"] = reason.into();
        let stub = refunded_once().await.on("POST", REFUNDS, answer(200, failed)).await;
        assert_eq!(refund(&stub).await, refused(expected), "{reason}");
    }
}

/// Proves that a refund that Stripe's units cannot express exactly is refused without a call and never
/// rounded.
#[tokio::test]
async fn an_amount_that_stripe_does_not_accept_is_refused() {
    for (minor, currency) in [(1_234, "KWD"), (150, "MGA"), (100, "XAU")] {
        let stub = Stub::start().await.on("GET", REFUNDS, answer(200, page(&[], false))).await;
        let payment = payment_of("refund-2", minor, currency);
        let outcome = Outcome::of(stub.gateway().refund(&payment, &reference(), two()).await);
        assert_eq!(outcome, refused(RefundFailureReason::NotAccepted), "{currency}");
        assert_eq!(stub.calls().await, ["GET /v1/refunds"], "{currency}");
    }
}
