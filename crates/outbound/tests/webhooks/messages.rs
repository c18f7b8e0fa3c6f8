//! The requests: signatures, content types, batches, test events.

use std::time::Duration;

use dabba_engine::SeededRandom;
use dabba_outbound::webhooks::{TEST_TYPE, TestError, signature::WebhookSecret};
use dabba_store::{AttemptOutcome, SealedSecret, WebhookContentType};
use standardwebhooks::Webhook;

use crate::{
    bench::Bench,
    script::{Answer, Call, healthy},
};

const URL: &str = "https://one.example/hook";

/// Returns whether the independent implementation makes one of the signatures of a request.
fn is_signed_by(call: &Call, secret: &WebhookSecret) -> bool {
    let timestamp = call.headers["webhook-timestamp"].parse().unwrap();
    let webhook = Webhook::new(&secret.reveal()).unwrap();
    let signature = webhook.sign(&call.headers["webhook-id"], timestamp, call.body.as_bytes()).unwrap();
    call.headers["webhook-signature"].split(' ').any(|one| one == signature)
}

/// Proves that while secrets overlap each request has a signature of both, and afterwards one of the new secret only.
#[tokio::test(start_paused = true)]
async fn secrets_overlap() {
    let mut bench = Bench::new(21);
    let id = bench.endpoint(URL, healthy(), |_| {}).await;
    let (old, new) =
        (WebhookSecret::generate(&SeededRandom::new(1)), WebhookSecret::generate(&SeededRandom::new(2)));
    let now = dabba_engine::Clock::now(&*bench.clock);
    let sealed = bench.seal(id, &new);
    let overlap_end = now + Duration::from_mins(1);
    bench.change(id, false, |endpoint| endpoint.settings.rotate(sealed, now, overlap_end)).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, Duration::from_secs(10)).await;
    for call in bench.endpoints.calls(URL) {
        assert!(is_signed_by(&call, &old) && is_signed_by(&call, &new), "{call:?}");
        assert_eq!(call.headers["content-type"], "application/json");
        let (order, version) = &call.events[0];
        assert_eq!(call.headers["webhook-id"], format!("{order}-{version}"));
    }
    bench.pass(Duration::from_mins(1)).await;
    bench.place().await;
    bench.until_complete(URL, Duration::from_secs(10)).await;
    let calls = bench.endpoints.calls(URL);
    let last = calls.last().unwrap();
    assert!(!is_signed_by(last, &old) && is_signed_by(last, &new), "{last:?}");
    sender.abort();
}

/// Proves that an earlier secret that does not open, whether it still signs or has expired, does not stop deliveries,
/// and that they are signed by the newest secret.
#[tokio::test(start_paused = true)]
async fn an_earlier_secret_that_does_not_open_is_skipped() {
    let mut bench = Bench::new(24);
    let now = dabba_engine::Clock::now(&*bench.clock);
    let (damaged, expired) = (vec![1; 80].into_boxed_slice(), now - Duration::from_mins(1));
    let change = |endpoint: &mut dabba_store::WebhookEndpoint| {
        for until in [now + Duration::from_hours(1), expired] {
            endpoint.settings.secrets.push(SealedSecret { sealed: damaged.clone(), until: Some(until) });
        }
    };
    bench.endpoint(URL, healthy(), change).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, Duration::from_secs(10)).await;
    let call = &bench.endpoints.calls(URL)[0];
    assert!(is_signed_by(call, &WebhookSecret::generate(&SeededRandom::new(1))), "{call:?}");
    assert_eq!(call.headers["webhook-signature"].split(' ').count(), 1);
    sender.abort();
}

/// Proves that a failed batch is retried one event at a time, and that only the event that fails waits.
#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_retried_one_event_at_a_time() {
    let mut bench = Bench::new(22);
    let poisoned = bench.place().await;
    let poison = poisoned.to_string();
    let script = move |call: &Call| {
        let is_poison = call.events.iter().any(|(order, _)| *order == poison);
        (Duration::from_millis(5), if is_poison { Answer::Status(500) } else { Answer::Status(200) })
    };
    let id = bench.endpoint(URL, Box::new(script), |endpoint| endpoint.settings.batch = 50).await;
    for _ in 0..20 {
        bench.place().await;
    }
    bench.act(poisoned).await;
    let sender = bench.start();
    bench.pass(Duration::from_secs(5)).await;
    let mut expected = bench.expected();
    expected.remove(&poisoned.to_string());
    assert_eq!(crate::script::check(&bench.endpoints.accepted(URL), &expected), Ok(()));
    assert_eq!(bench.failures(id).await.len(), 1);
    let calls = bench.endpoints.calls(URL);
    assert!(calls[0].events.len() > 20, "{}", calls[0].events.len());
    assert!(calls.iter().all(|call| call.body.starts_with('[')));
    assert!(calls.iter().all(|call| call.headers["content-type"] == "application/cloudevents-batch+json"));
    sender.abort();
}

/// Proves that a batch that fails with `Retry-After`, or with a status that asks for a pause, is not retried before.
#[tokio::test(start_paused = true)]
async fn a_failed_batch_pauses_its_endpoint() {
    for (answer, pause) in [(Answer::RetryAfter(45), 45_000), (Answer::Status(429), 800)] {
        let mut bench = Bench::new(25);
        let script = move |call: &Call| {
            (Duration::from_millis(5), if call.number == 0 { answer } else { Answer::Status(200) })
        };
        bench.endpoint(URL, Box::new(script), |endpoint| endpoint.settings.batch = 50).await;
        for _ in 0..10 {
            bench.place().await;
        }
        let sender = bench.start();
        bench.until_complete(URL, Duration::from_mins(1)).await;
        let calls = bench.endpoints.calls(URL);
        assert!(calls[0].events.len() > 1, "{:?}", calls[0]);
        let waited = calls[1].at - calls[0].at;
        assert!(waited >= Duration::from_millis(pause), "{waited:?}");
        sender.abort();
    }
}

/// Proves that a test event is signed and sent at once, and that its failure is returned.
#[tokio::test(start_paused = true)]
async fn a_test_event_is_sent_now() {
    let mut bench = Bench::new(23);
    let change = |endpoint: &mut dabba_store::WebhookEndpoint| {
        endpoint.settings.content_type = WebhookContentType::CloudEvents;
    };
    let id = bench.endpoint(URL, healthy(), change).await;
    let sender = bench.sender();
    let attempt = sender.send_test(id).await.unwrap();
    assert_eq!(attempt.outcome, AttemptOutcome::Delivered { status: 200, events: 1 });
    assert_eq!(attempt.duration_ms, 5);
    let call = &bench.endpoints.calls(URL)[0];
    assert!(is_signed_by(call, &WebhookSecret::generate(&SeededRandom::new(1))));
    assert_eq!(call.headers["content-type"], "application/cloudevents+json");
    let event: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(event["type"], TEST_TYPE);
    assert_eq!(event["id"], call.headers["webhook-id"]);
    bench.endpoints.script(URL, crate::script::always(5, Answer::Refused));
    let attempt = sender.send_test(id).await.unwrap();
    assert!(matches!(attempt.outcome, AttemptOutcome::Failed { status: None, .. }), "{attempt:?}");
    let now = dabba_engine::Clock::now(&*bench.clock);
    bench.change(id, false, |endpoint| endpoint.delete(now)).await;
    assert_eq!(sender.send_test(id).await, Err(TestError::NotFound));
}
