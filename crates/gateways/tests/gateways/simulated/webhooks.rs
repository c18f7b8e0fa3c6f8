//! Tests of webhooks: each report arrives at least once, and the reader accepts only signed webhooks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use dabba_domain::{
    OrderId, Timestamp,
    order::{DeclineReason, PaymentReport, RefundFailureReason},
};
use dabba_engine::{Clock, ManualClock, Random, SeededRandom};
use dabba_gateways::simulated::{
    Provider, SimulatedGateway, SimulatedWebhookError, WebhookSecret, WebhookTarget,
    provider::Delays,
    read_webhook, router_with_webhooks,
    signature::{MAX_WEBHOOK_LENGTH, MIN_SECRET_LENGTH, SIGNATURE_HEADER, TOLERANCE},
};
use jiff::SignedDuration;
use tokio::{sync::mpsc, time::timeout};

use super::world::{Step, World, number, order, provider, serve, start_of_time};

/// Timeout for a webhook. Only a failing test takes this long.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Number of webhooks that the receiver rejects at first.
const REJECTED_CALLS: u32 = 3;

fn secret() -> WebhookSecret {
    WebhookSecret::new("a secret of some length").unwrap()
}

/// A received webhook.
struct Received {
    signature: String,
    body: Bytes,
}

/// Returns a receiver that rejects the first webhooks.
fn receiver() -> (Router, mpsc::UnboundedReceiver<Received>) {
    let (sender, received) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicU32::new(0));
    let handler = move |headers: HeaderMap, body: Bytes| {
        let (sender, call) = (sender.clone(), calls.fetch_add(1, Ordering::Relaxed));
        async move {
            if call < REJECTED_CALLS {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let signature = headers[SIGNATURE_HEADER].to_str().unwrap().to_owned();
            sender.send(Received { signature, body }).unwrap();
            StatusCode::NO_CONTENT
        }
    };
    (Router::new().route("/webhooks", post(handler)), received)
}

/// Returns a provider over HTTP that sends webhooks, and the stream of received webhooks.
async fn world_with_webhooks() -> (World, mpsc::UnboundedReceiver<Received>) {
    let (app, received) = receiver();
    let url = format!("http://{}/webhooks", serve(app).await);
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(5));
    let target = WebhookTarget::new(&url, secret(), random).unwrap().late_by(Duration::from_millis(50));
    let clock = Arc::new(ManualClock::new(start_of_time()));
    let provider: Arc<Provider> = provider(1);
    let app = router_with_webhooks(Arc::clone(&provider), Arc::clone(&clock) as Arc<dyn Clock>, target);
    let base_url = format!("http://{}", serve(app).await);
    let gateway = Arc::new(SimulatedGateway::new(&base_url, TIMEOUT).unwrap());
    let world = World { provider, clock, gateway, delays: Delays::default(), call_timeout: TIMEOUT };
    (world, received)
}

#[tokio::test]
async fn every_change_is_reported_at_least_once() {
    let (world, mut received) = world_with_webhooks().await;
    let mut expected: Vec<(OrderId, PaymentReport)> = Vec::new();
    for index in 0..30 {
        let order_id = order(index);
        let token = if index % 2 == 0 { "tok_succeed" } else { "tok_error_after" };
        world.call_until_answered(order_id, Step::Authorize(token)).await;
        let reference = || world.reference(order_id);
        expected.push((order_id, PaymentReport::Authorized { reference: reference() }));
        if index % 3 == 0 {
            world.call_until_answered(order_id, Step::Void).await;
            expected.push((order_id, PaymentReport::Voided { reference: reference() }));
            continue;
        }
        for step in [Step::Capture, Step::Capture, Step::Refund(1, 2_000), Step::Refund(2, 2_000)] {
            world.call_until_answered(order_id, step).await;
        }
        expected.push((order_id, PaymentReport::Captured { reference: reference() }));
        expected.push((order_id, PaymentReport::Refunded { number: number(1) }));
        expected.push((
            order_id,
            PaymentReport::RefundRefused { number: number(2), reason: RefundFailureReason::NothingLeft },
        ));
    }
    world.call_until_answered(order(30), Step::Authorize("tok_decline")).await;
    let reason = DeclineReason::CardDeclined;
    expected.push((order(30), PaymentReport::Declined { reason }));

    // Every report arrives, and none arrives more than twice.
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut order_of_arrival = Vec::new();
    while seen.len() < expected.len() {
        let Received { signature, body } = timeout(TIMEOUT, received.recv()).await.unwrap().unwrap();
        let report = read_webhook(&secret(), &signature, &body, world.clock.now()).unwrap();
        let place = expected.iter().position(|it| *it == report);
        order_of_arrival.push(place.unwrap_or_else(|| panic!("unexpected report: {report:?}")));
        *seen.entry(format!("{report:?}")).or_default() += 1;
    }
    assert!(seen.values().all(|times| *times <= 2), "{seen:?}");
    assert!(seen.values().any(|times| *times == 2), "some reports must arrive twice");
    assert!(!order_of_arrival.is_sorted(), "some reports must arrive late");
}

/// Proves that a pending payment is reported when it is decided, even if nobody calls the provider.
#[tokio::test]
async fn a_pending_payment_is_reported_when_it_is_decided() {
    let (world, mut received) = world_with_webhooks().await;
    let order_id = order(1);
    let _pending = world.call(order_id, Step::Authorize("tok_pending")).await;
    world.advance_to_decision();
    let Received { signature, body } = timeout(TIMEOUT, received.recv()).await.unwrap().unwrap();
    let report = read_webhook(&secret(), &signature, &body, world.clock.now());
    assert_eq!(report, Ok((order_id, PaymentReport::Authorized { reference: world.reference(order_id) })));
}

fn body() -> String {
    format!(r#"{{"order_id":"{}","report":{{"type":"refunded","number":1}}}}"#, order(1))
}

fn read(
    signature: &str,
    body: &str,
    now: Timestamp,
) -> Result<(OrderId, PaymentReport), SimulatedWebhookError> {
    read_webhook(&secret(), signature, body.as_bytes(), now)
}

#[test]
fn a_webhook_is_accepted_within_the_tolerance() {
    let (at, body) = (start_of_time(), body());
    let signature = secret().sign(body.as_bytes(), at);
    let good = Ok((order(1), PaymentReport::Refunded { number: number(1) }));
    let second = SignedDuration::from_secs(1);
    for age in [SignedDuration::ZERO, second, TOLERANCE, -TOLERANCE] {
        assert_eq!(read(&signature, &body, at + age), good, "{age}");
    }
    for age in [TOLERANCE + second, -TOLERANCE - second, SignedDuration::from_hours(24)] {
        assert_eq!(read(&signature, &body, at + age), Err(SimulatedWebhookError::OutOfTime), "{age}");
    }
}

#[test]
fn a_webhook_with_a_wrong_signature_is_refused() {
    let (at, body) = (start_of_time(), body());
    let signature = secret().sign(body.as_bytes(), at);
    let (time, code) = signature.split_once(',').unwrap();
    let later = at.as_second() + 1;

    let other_body = body.replace('1', "2");
    assert_eq!(read(&signature, &other_body, at), Err(SimulatedWebhookError::WrongSignature));
    assert_eq!(read(&signature, "", at), Err(SimulatedWebhookError::WrongSignature));
    let of_another = WebhookSecret::new("another secret of some length").unwrap().sign(body.as_bytes(), at);
    let forged = [
        of_another,
        format!("t={later},{code}"),
        format!("{time},v1="),
        format!("{time},{}", &code[..code.len() - 2]),
        format!("{time},{code}00"),
        format!("{time},v1={}", "0".repeat(64)),
    ];
    for signature in forged {
        assert_eq!(read(&signature, &body, at), Err(SimulatedWebhookError::WrongSignature), "{signature}");
    }
    let unreadable = [
        String::new(),
        ",".to_owned(),
        time.to_owned(),
        code.to_owned(),
        format!("{code},{time}"),
        format!("t=now,{code}"),
        format!("t=99999999999999999999,{code}"),
        format!("{time},{}", &code[..code.len() - 1]),
        format!("{time},v1={}", "g".repeat(64)),
        format!("{time},v1={}", "é".repeat(32)),
        format!("{time},v2={}", "0".repeat(64)),
    ];
    for signature in unreadable {
        assert_eq!(
            read(&signature, &body, at),
            Err(SimulatedWebhookError::MalformedSignature),
            "{signature}"
        );
    }
}

#[test]
fn a_signed_webhook_with_an_invalid_body_is_refused() {
    let at = start_of_time();
    let id = order(1);
    let bodies = [
        String::new(),
        "{}".to_owned(),
        format!(r#"{{"order_id":"{id}"}}"#),
        format!(r#"{{"order_id":"{id}","report":{{"type":"stolen"}}}}"#),
        format!(r#"{{"order_id":"{id}","report":{{"type":"refunded","number":0}}}}"#),
        format!(r#"{{"order_id":"{id}","report":{{"type":"captured","reference":"a b"}}}}"#),
        format!("{}{}", body(), " ".repeat(MAX_WEBHOOK_LENGTH)),
    ];
    for body in bodies {
        let signature = secret().sign(body.as_bytes(), at);
        assert_eq!(read(&signature, &body, at), Err(SimulatedWebhookError::InvalidBody), "{body}");
    }
    let far = Timestamp::MAX;
    let signature = secret().sign(body().as_bytes(), far).replace(&far.as_second().to_string(), "1");
    assert_eq!(read(&signature, &body(), at), Err(SimulatedWebhookError::WrongSignature));
}

#[test]
fn a_secret_has_a_minimum_length_and_is_not_shown() {
    assert!(WebhookSecret::new(&"s".repeat(MIN_SECRET_LENGTH - 1)).is_err());
    let secret = WebhookSecret::new(&"s".repeat(MIN_SECRET_LENGTH)).unwrap();
    assert!(!format!("{secret:?}").contains("ss"), "{secret:?}");
}
