//! Tests of Stripe's webhooks.

use dabba_domain::{
    Timestamp,
    order::{DeclineReason, PaymentReport, RefundFailureReason, RefundNumber},
};
use dabba_engine::{ProviderNotice, ProviderObject};
use dabba_gateways::stripe::{StripeWebhookError, WEBHOOK_TOLERANCE, read_webhook};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::stub::{intent, order_id, pounds, reference};

const SECRET: &str = "whsec_current";
const FORMER_SECRET: &str = "whsec_former";

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn signature(secret: &str, sent_at: Timestamp, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}.", sent_at.as_second()).as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn header(secret: &str, sent_at: Timestamp, body: &[u8]) -> String {
    format!("t={},v1={}", sent_at.as_second(), signature(secret, sent_at, body))
}

fn event(kind: &str, object: &Value) -> Vec<u8> {
    let event = json!({
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "livemode": false,
        "data": { "object": object, "previous_attributes": {} },
    });
    event.to_string().into_bytes()
}

fn read(kind: &str, object: &Value) -> Result<Option<ProviderNotice>, StripeWebhookError> {
    let body = event(kind, object);
    read_webhook(SECRET, &header(SECRET, now(), &body), &body, now())
}

fn refund(status: &str) -> Value {
    json!({ "id": "re_1", "status": status, "metadata": { "order_id": order_id(), "refund": "3" } })
}

/// The signature was computed with `openssl dgst -sha256 -hmac whsec_current`.
#[test]
fn a_signature_of_openssl_is_accepted() {
    let body = br#"{"type":"charge.refunded","data":{"object":{}}}"#;
    let header = "t=1800000000,v1=81f43108cd7fa6398c540cce909d578c7a0f15311b743b7feec3737defa13c4f";
    assert_eq!(read_webhook(SECRET, header, body, now()), Ok(None));
}

#[test]
fn events_become_reports() {
    let reference = reference();
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({ "code": "expired_card" });
    let number = RefundNumber::new(3).unwrap();
    let made = PaymentReport::Refunded { number };
    let refused = |reason| Some(PaymentReport::RefundRefused { number, reason });
    let authorized = PaymentReport::AuthorizedAmount { reference: reference.clone(), money: pounds(1_250) };
    let captured = PaymentReport::CapturedAmount { reference: reference.clone(), money: pounds(1_250) };
    let voided = PaymentReport::Voided { reference };
    let expired = PaymentReport::Declined { reason: DeclineReason::ExpiredCard };
    let other = PaymentReport::Declined { reason: DeclineReason::Other };
    let rows = [
        ("payment_intent.amount_capturable_updated", intent("requires_capture"), Some(authorized)),
        ("payment_intent.amount_capturable_updated", intent("succeeded"), None),
        ("payment_intent.succeeded", intent("succeeded"), Some(captured)),
        ("payment_intent.payment_failed", failed, Some(expired)),
        ("payment_intent.payment_failed", intent("requires_payment_method"), Some(other)),
        ("payment_intent.canceled", intent("canceled"), Some(voided)),
        ("refund.created", refund("succeeded"), Some(made.clone())),
        ("refund.created", refund("pending"), None),
        ("refund.updated", refund("succeeded"), Some(made)),
        ("refund.updated", refund("requires_action"), None),
        ("refund.updated", refund("canceled"), refused(RefundFailureReason::CalledOff)),
        ("refund.failed", refund("failed"), refused(RefundFailureReason::Other)),
        ("charge.refund.updated", refund("failed"), refused(RefundFailureReason::Other)),
        ("payment_intent.created", intent("requires_confirmation"), None),
        ("charge.refunded", json!({}), None),
    ];
    for (kind, object, report) in rows {
        let expected = report.map(|report| ProviderNotice::Report(order_id(), report));
        assert_eq!(read(kind, &object), Ok(expected), "{kind} {object}");
    }
}

/// Proves that a partial capture by hand is reported with its amount.
#[test]
fn a_partial_capture_by_hand_is_reported() {
    let mut part = intent("succeeded");
    part["amount_received"] = 1_000.into();
    let report = PaymentReport::CapturedAmount { reference: reference(), money: pounds(1_000) };
    assert_eq!(read("payment_intent.succeeded", &part), Ok(Some(ProviderNotice::Report(order_id(), report))));
}

/// Proves that an event that names no order leads to a lookup at Stripe: refunds in the dashboard, and
/// disputes.
#[test]
fn an_event_without_an_order_is_looked_up() {
    let reference = |id: &str| dabba_domain::order::PaymentReference::new(id).unwrap();
    let by_hand = json!({ "id": "re_9", "status": "succeeded", "metadata": {}, "payment_intent": "pi_1" });
    for kind in ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"] {
        let expected = ProviderNotice::LookUp(ProviderObject::Refund(reference("re_9")));
        assert_eq!(read(kind, &by_hand), Ok(Some(expected)), "{kind}");
    }
    let dispute =
        json!({ "id": "du_1", "status": "needs_response", "charge": "ch_1", "payment_intent": "pi_1" });
    for kind in ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"] {
        let expected = ProviderNotice::LookUp(ProviderObject::Chargeback(reference("du_1")));
        assert_eq!(read(&format!("charge.dispute.{kind}"), &dispute), Ok(Some(expected)), "{kind}");
    }
}

#[test]
fn payments_of_other_systems_are_ignored() {
    for metadata in [json!({}), json!(null), json!({ "order_id": "6735" }), json!({ "refund": "1" })] {
        let mut payment = intent("succeeded");
        payment["metadata"] = metadata.clone();
        if metadata.is_null() {
            payment.as_object_mut().unwrap().remove("metadata");
        }
        assert_eq!(read("payment_intent.succeeded", &payment), Ok(None), "{metadata}");
    }
    for number in [json!(null), json!("0"), json!("first")] {
        let mut made = refund("succeeded");
        made["metadata"]["refund"] = number.clone();
        assert_eq!(read("refund.updated", &made), Ok(None), "{number}");
    }
}

#[test]
fn a_signed_event_that_cannot_be_parsed_is_an_error() {
    assert_eq!(read("payment_intent.succeeded", &json!({ "id": "pi_1" })), Err(StripeWebhookError::Body));
    for body in ["", "[]", "{}", "{\"type\":\"payment_intent.succeeded\"}", "\u{feff}"] {
        let answer = read_webhook(SECRET, &header(SECRET, now(), body.as_bytes()), body.as_bytes(), now());
        assert_eq!(answer, Err(StripeWebhookError::Body), "{body}");
    }
}

#[test]
fn only_events_with_a_valid_signature_are_accepted() {
    let body = event("payment_intent.succeeded", &intent("succeeded"));
    let time = now().as_second();
    let good = signature(SECRET, now(), &body);
    let former = signature(FORMER_SECRET, now(), &body);
    let is_accepted =
        |header: &str| read_webhook(SECRET, header, &body, now()).map(|report| report.is_some());
    let signature_error = Err(StripeWebhookError::Signature);
    let header_error = Err(StripeWebhookError::Header);
    let rows = [
        (format!("t={time},v1={good}"), Ok(true)),
        (format!("t={time}, v1={good}"), Ok(true)),
        (format!("v1={good},t={time}"), Ok(true)),
        (format!("t={time},v1={}", good.to_uppercase()), Ok(true)),
        // Two signatures, as while the secret is being replaced.
        (format!("t={time},v1={former},v1={good}"), Ok(true)),
        (format!("t={time},v1=junk,v1={good},v0={former}"), Ok(true)),
        (format!("t={time},v1={former}"), signature_error),
        (format!("t={},v1={good}", time + 1), signature_error),
        (format!("t={time},v0={good}"), header_error),
        (format!("t={time},v1={}", &good[1..]), header_error),
        (format!("t={time}"), header_error),
        (format!("v1={good}"), header_error),
        (format!("t=,v1={good}"), header_error),
        (format!("t={time},t={time},v1={good}"), header_error),
        (format!("t={},v1={good}", i64::MAX), header_error),
        (String::new(), header_error),
    ];
    for (header, expected) in rows {
        assert_eq!(is_accepted(&header), expected, "{header}");
    }
    let mut changed = body.clone();
    *changed.last_mut().unwrap() = b' ';
    let answer = read_webhook(SECRET, &header(SECRET, now(), &body), &changed, now());
    assert_eq!(answer, Err(StripeWebhookError::Signature));
    let answer = read_webhook("", &header("", now(), &body), &body, now());
    assert_eq!(answer, Err(StripeWebhookError::Signature), "an empty secret must be refused");
}

#[test]
fn only_recent_events_are_accepted() {
    let body = event("payment_intent.succeeded", &intent("succeeded"));
    let second = SignedDuration::from_secs(1);
    for (age, is_accepted) in [
        (SignedDuration::ZERO, true),
        (WEBHOOK_TOLERANCE, true),
        (-WEBHOOK_TOLERANCE, true),
        (WEBHOOK_TOLERANCE + second, false),
        (-WEBHOOK_TOLERANCE - second, false),
        (SignedDuration::from_hours(24), false),
    ] {
        let header = header(SECRET, now() - age, &body);
        let answer = read_webhook(SECRET, &header, &body, now());
        assert_eq!(
            answer.map(|report| report.is_some()),
            is_accepted.then_some(true).ok_or(StripeWebhookError::Time),
            "{age}"
        );
    }
}

proptest! {
    #[test]
    fn junk_is_never_accepted(header in any::<String>(), body in any::<Vec<u8>>()) {
        prop_assert!(read_webhook(SECRET, &header, &body, now()).is_err());
    }

    /// Generates headers that are closer to a valid header than random text.
    #[test]
    fn an_almost_valid_header_is_never_accepted(
        time in any::<i64>(),
        names in proptest::collection::vec("(t|v1|v0|)", 0..12),
        value in "[0-9a-fA-FéG=]{0,70}",
    ) {
        let parts = names.iter().map(|name| format!("{name}={value}"));
        let header = parts.fold(format!("t={time}"), |header, part| format!("{header},{part}"));
        let body = event("charge.refunded", &json!({}));
        prop_assert!(read_webhook(SECRET, &header, &body, now()).is_err());
    }

    /// Proves that a signed body with any content is read or refused without a panic.
    #[test]
    fn a_signed_body_is_read_or_refused(kind in "(payment_intent.succeeded|refund.updated)", text in any::<String>()) {
        let body = event(&kind, &json!({ "id": text, "status": text, "amount": 1, "metadata": { "order_id": text } }));
        let answer = read_webhook(SECRET, &header(SECRET, now(), &body), &body, now());
        prop_assert!(matches!(answer, Ok(None) | Err(StripeWebhookError::Body)));
    }
}
