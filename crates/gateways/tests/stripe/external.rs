//! Tests of lookups at Stripe of changes that Dabba did not cause.

use dabba_domain::{
    OrderId,
    order::{ChargebackOutcome, PaymentReference, PaymentReport, RefundFailureReason, RefundNumber},
};
use dabba_engine::{GatewayError, PaymentGateway as _, ProviderObject};
use serde_json::{Value, json};

use crate::stub::{Stub, answer, error, intent, order_id, pounds, reference};

const REFUND: &str = "/v1/refunds/re_9";
const DISPUTE: &str = "/v1/disputes/du_1";

fn named(id: &str) -> PaymentReference {
    PaymentReference::new(id).unwrap()
}

/// Returns the result of a lookup, and verifies that the client makes one call that includes the payment
/// intent.
async fn found(
    object: ProviderObject,
    path: &str,
    body: &Value,
) -> Result<Option<(OrderId, PaymentReport)>, GatewayError> {
    let stub = Stub::start().await.on("GET", path, answer(200, body.clone())).await;
    let found = stub.gateway().look_up(&object).await;
    let requests = stub.requests().await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].url.query(), Some("expand[]=payment_intent"));
    found
}

#[tokio::test]
async fn a_refund_in_the_dashboard_is_found_with_its_order() {
    let made = || PaymentReport::ExternalRefund {
        payment: reference(),
        reference: named("re_9"),
        money: pounds(300),
    };
    let failed = |reason| PaymentReport::ExternalRefundFailed { reference: named("re_9"), reason };
    let number = RefundNumber::new(2).unwrap();
    let rows = [
        (json!({}), "succeeded", Some(made())),
        (json!({}), "pending", Some(made())),
        (json!({}), "failed", Some(failed(RefundFailureReason::Other))),
        (json!({}), "canceled", Some(failed(RefundFailureReason::CalledOff))),
        (json!({}), "requires_action", None),
        (json!({ "refund": "2" }), "succeeded", Some(PaymentReport::Refunded { number })),
    ];
    for (metadata, status, expected) in rows {
        let refund = json!({
            "id": "re_9", "status": status, "amount": 300, "currency": "gbp", "metadata": metadata,
            "payment_intent": intent("succeeded"),
        });
        let found = found(ProviderObject::Refund(named("re_9")), REFUND, &refund).await;
        assert_eq!(found, Ok(expected.map(|report| (order_id(), report))), "{refund}");
    }
}

#[tokio::test]
async fn a_dispute_is_found_with_its_order() {
    let rows = [
        ("needs_response", Some(ChargebackOutcome::Open)),
        ("under_review", Some(ChargebackOutcome::Open)),
        ("lost", Some(ChargebackOutcome::Lost)),
        ("won", Some(ChargebackOutcome::Won)),
        ("warning_needs_response", None),
        ("warning_closed", None),
        ("prevented", None),
        ("a_new_one", None),
    ];
    for (status, outcome) in rows {
        let dispute = json!({
            "id": "du_1", "status": status, "amount": 1_250, "currency": "gbp", "metadata": {},
            "charge": "ch_1", "payment_intent": intent("succeeded"),
        });
        let found = found(ProviderObject::Chargeback(named("du_1")), DISPUTE, &dispute).await;
        let expected = outcome.map(|outcome| {
            let (payment, reference, money) = (reference(), named("du_1"), pounds(1_250));
            (order_id(), PaymentReport::Chargeback { payment, reference, money, outcome })
        });
        assert_eq!(found, Ok(expected), "{status}");
    }
}

#[tokio::test]
async fn an_object_without_an_order_is_ignored() {
    let mut foreign = intent("succeeded");
    foreign["metadata"] = json!({});
    for intent in [foreign, json!("pi_not_expanded"), Value::Null] {
        let refund = json!({
            "id": "re_9", "status": "succeeded", "amount": 300, "currency": "gbp", "payment_intent": intent,
        });
        assert_eq!(found(ProviderObject::Refund(named("re_9")), REFUND, &refund).await, Ok(None), "{refund}");
    }
}

#[tokio::test]
async fn a_failed_lookup_is_an_error() {
    for status in [404, 500] {
        let stub = Stub::start().await.on("GET", REFUND, answer(status, error(json!({})))).await;
        assert!(stub.gateway().look_up(&ProviderObject::Refund(named("re_9"))).await.is_err(), "{status}");
    }
}
