//! Outages, disabling, enabling, replays and deletion.

use std::{sync::Arc, time::Duration};

use dabba_engine::Clock as _;
use dabba_outbound::webhooks::WebhookMetrics;
use dabba_store::{DisabledReason, FeedCursor, WebhookHealth, WebhookState};
use jiff::SignedDuration;
use prometheus_client::registry::Registry;

use crate::{
    bench::Bench,
    probe::{Fault, Moment},
    script::{Answer, always, healthy},
};

const URL: &str = "https://one.example/hook";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Proves that an outage of three days ends as a dead letter, after retries, and that a replay delivers it.
#[tokio::test(start_paused = true)]
async fn a_long_outage_ends_as_a_dead_letter() {
    let mut bench = Bench::new(11);
    let id = bench.endpoint(URL, always(5, Answer::Status(503)), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await;
    bench.act(order).await;
    bench.until(seconds(10), "the first attempt", || !bench.endpoints.calls(URL).is_empty()).await;
    bench.pass(seconds(60)).await;
    // The lease expires with each jump of the clock, so each step is a new session, too.
    for _ in 0..3 * 24 * 2 + 8 {
        bench.clock.advance(SignedDuration::from_mins(30));
        bench.pass(seconds(8)).await;
    }
    let failures = bench.failures(id).await;
    assert_eq!(failures.len(), 1);
    assert!(failures[0].dead_at.is_some(), "{failures:?}");
    assert!(failures[0].attempts > 30, "{failures:?}");
    let calls = bench.endpoints.calls(URL).len();
    bench.clock.advance(SignedDuration::from_hours(5));
    bench.pass(seconds(30)).await;
    assert_eq!(bench.endpoints.calls(URL).len(), calls, "a dead letter is not retried");
    bench.endpoints.script(URL, healthy());
    let start = FeedCursor::at_start(&bench.store.feed_sources()).to_string();
    bench.change(id, true, |endpoint| endpoint.settings.start = start).await;
    bench.until_complete(URL, seconds(60)).await;
    bench.pass(seconds(5)).await;
    assert!(bench.failures(id).await.is_empty());
    sender.abort();
}

/// Proves that 410 disables an endpoint at once, and that enabling resumes before the event that got 410.
#[tokio::test(start_paused = true)]
async fn gone_disables_an_endpoint() {
    let mut bench = Bench::new(12);
    let id = bench.endpoint(URL, always(5, Answer::Status(410)), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.pass(seconds(5)).await;
    let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
    let reason = match stored.settings.state {
        WebhookState::Disabled { reason, .. } => reason,
        WebhookState::Enabled => panic!("the endpoint is enabled"),
    };
    assert_eq!(reason, DisabledReason::Gone);
    assert_eq!(bench.endpoints.calls(URL).len(), 1);
    bench.place().await;
    bench.pass(seconds(60)).await;
    assert_eq!(bench.endpoints.calls(URL).len(), 1, "a disabled endpoint gets no request");
    bench.endpoints.script(URL, healthy());
    let now = bench.clock.now();
    bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
    bench.until_complete(URL, seconds(30)).await;
    sender.abort();
}

/// Proves that an endpoint that is disabled and enabled again receives the events in between, also if the sender
/// crashes while it is disabled, and receives nothing twice.
#[tokio::test(start_paused = true)]
async fn enabling_resumes_at_the_cursor() {
    let mut bench = Bench::new(13);
    let id = bench.endpoint(URL, healthy(), |_| {}).await;
    let other = "https://other.example/";
    bench.endpoint(other, healthy(), |_| {}).await;
    let mut sender = bench.start();
    let order = bench.place().await;
    bench.until_complete(URL, seconds(10)).await;
    bench.pass(seconds(3)).await;
    let now = bench.clock.now();
    bench
        .change(id, false, |endpoint| assert!(endpoint.settings.disable(DisabledReason::Requested, now)))
        .await;
    bench.pass(seconds(3)).await;
    bench.act(order).await;
    bench.place().await;
    bench.until_complete(other, seconds(10)).await;
    bench.pass(seconds(3)).await;
    sender.abort();
    sender = bench.start();
    bench.pass(seconds(30)).await;
    bench.act(order).await;
    assert_eq!(bench.endpoints.accepted(URL).len(), 2);
    bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
    bench.until_complete(URL, seconds(30)).await;
    assert_eq!(bench.endpoints.accepted(URL).len(), 6);
    sender.abort();
}

/// Proves that an event that commits before the sender learns of a new endpoint is delivered to it.
#[tokio::test(start_paused = true)]
async fn a_new_endpoint_misses_nothing() {
    let mut bench = Bench::new(14);
    let other = "https://other.example/";
    bench.endpoint(other, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.pass(seconds(3)).await;
    bench.endpoint(URL, healthy(), |_| {}).await;
    bench.place().await;
    bench.until_complete(other, seconds(10)).await;
    bench.until_complete(URL, seconds(10)).await;
    sender.abort();
}

/// Proves that an endpoint that fails for five days is disabled, and not before, and that a metric warns a day before.
#[tokio::test(start_paused = true)]
async fn five_days_of_failures_disable_an_endpoint() {
    let mut bench = Bench::new(15);
    let id = bench.endpoint(URL, always(5, Answer::Status(500)), |_| {}).await;
    let warned = bench.sender();
    let metrics = Arc::clone(warned.metrics());
    let sender = tokio::spawn(warned.run(std::future::pending()));
    bench.pass(seconds(3)).await;
    for hour in 0..5 * 24 + 4 {
        // New orders keep the breaker and the failures alive.
        bench.place().await;
        bench.clock.advance(SignedDuration::from_hours(1));
        bench.pass(seconds(20)).await;
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        assert!(stored.settings.is_enabled() || hour >= 5 * 24 - 1, "disabled after {hour} hours");
        if hour == 3 * 24 || hour == 4 * 24 + 12 {
            let expected = format!("endpoints_disabling_soon{{shard=\"main\"}} {}", u8::from(hour > 4 * 24));
            assert!(shown(&metrics).contains(&expected), "after {hour} hours: {}", shown(&metrics));
        }
    }
    let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
    let is_failing =
        matches!(stored.settings.state, WebhookState::Disabled { reason: DisabledReason::Failing, .. });
    assert!(is_failing, "{stored:?}");
    sender.abort();
}

/// Proves that a success in another shard counts: an endpoint that fails in this shard for longer is disabled five days
/// after that success, and not before, although each hour another session begins.
#[tokio::test(start_paused = true)]
async fn a_success_in_another_shard_counts() {
    let mut bench = Bench::new(19);
    let id = bench.endpoint(URL, always(5, Answer::Status(500)), |_| {}).await;
    let sender = bench.start();
    let mut success = bench.clock.now();
    let mut disabled_at = None;
    for hour in 0..60 + 5 * 24 + 4 {
        bench.place().await;
        if hour == 60 {
            success = bench.clock.now();
            let health = WebhookHealth { last_success: Some(success), last_failure: None };
            bench.store.report_webhook_health(&[(id, health)]).await.unwrap();
        }
        bench.clock.advance(SignedDuration::from_hours(1));
        bench.pass(seconds(20)).await;
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        if let WebhookState::Disabled { at, .. } = stored.settings.state {
            disabled_at = Some(at);
            break;
        }
    }
    let waited = disabled_at.unwrap().duration_since(success);
    assert!(waited >= SignedDuration::from_hours(5 * 24), "{waited}");
    sender.abort();
}

fn shown(metrics: &WebhookMetrics) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

/// Proves that a sender whose session has ended shows no gauges of the shard, and that all outcomes of attempts are
/// shown from the start.
#[tokio::test(start_paused = true)]
async fn gauges_end_with_the_session() {
    let mut bench = Bench::new(44);
    let sender = bench.sender();
    let metrics = Arc::clone(sender.metrics());
    for outcome in ["delivered", "failed"] {
        let expected = format!("attempts_total{{outcome=\"{outcome}\"}} 0");
        assert!(shown(&metrics).contains(&expected), "{}", shown(&metrics));
    }
    let sender = tokio::spawn(sender.run(std::future::pending()));
    bench.until(seconds(10), "a gauge", || shown(&metrics).contains("shard=\"main\"")).await;
    sender.abort();
    bench.until(seconds(1), "the end of the gauges", || !shown(&metrics).contains("shard=\"main\"")).await;
}

/// Proves that the gauge of failing orders counts the stored failures, also after a crash, and ends at 0.
#[tokio::test(start_paused = true)]
async fn failing_orders_are_counted() {
    let mut bench = Bench::new(46);
    bench.endpoint(URL, always(5, Answer::Status(422)), |_| {}).await;
    for is_second in [false, true] {
        let sender = bench.sender();
        let metrics = Arc::clone(sender.metrics());
        let sender = tokio::spawn(sender.run(std::future::pending()));
        if !is_second {
            for _ in 0..3 {
                bench.place().await;
            }
        }
        let is_counted = || shown(&metrics).contains("failing_orders{shard=\"main\"} 3");
        bench.until(seconds(30), "three failing orders", is_counted).await;
        if is_second {
            bench.endpoints.script(URL, healthy());
            bench.until_complete(URL, seconds(60)).await;
            let is_empty = || shown(&metrics).contains("failing_orders{shard=\"main\"} 0");
            bench.until(seconds(5), "no failing orders", is_empty).await;
        }
        sender.abort();
    }
}

/// Proves that a deleted endpoint receives nothing more, and leaves no rows behind.
#[tokio::test(start_paused = true)]
async fn a_deleted_endpoint_is_forgotten() {
    let mut bench = Bench::new(16);
    let id = bench.endpoint(URL, always(5, Answer::Refused), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.pass(seconds(10)).await;
    assert_eq!(bench.failures(id).await.len(), 1);
    let now = bench.clock.now();
    bench.change(id, false, |endpoint| endpoint.delete(now)).await;
    bench.pass(seconds(5)).await;
    let calls = bench.endpoints.calls(URL).len();
    bench.place().await;
    bench.pass(seconds(60)).await;
    assert_eq!(bench.endpoints.calls(URL).len(), calls);
    let group = dabba_store::ConsumerName::webhooks();
    assert_eq!(bench.store.own_feed_positions(0, &group, None, 10).await, Ok(vec![]));
    assert!(bench.failures(id).await.is_empty());
    sender.abort();
}

/// Proves that a report about the health of an endpoint is not lost if a write fails, and that a sender that stops writes
/// what it has not written yet.
#[tokio::test(start_paused = true)]
async fn the_health_of_an_endpoint_is_written_after_a_failure() {
    for is_stopped in [false, true] {
        let mut bench = Bench::new(18);
        let id = bench.endpoint(URL, healthy(), |_| {}).await;
        let stop = Arc::<tokio::sync::Notify>::default();
        let stopped = Arc::clone(&stop);
        let sender = tokio::spawn(bench.sender().run(async move { stopped.notified().await }));
        let failed = bench.probe.trap("report_webhook_health", Moment::Before, Fault::Fails);
        bench.place().await;
        bench.until_complete(URL, seconds(10)).await;
        failed.notified().await;
        if is_stopped {
            stop.notify_one();
            sender.await.unwrap();
        } else {
            bench.pass(seconds(70)).await;
            sender.abort();
        }
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        assert!(stored.health.last_success.is_some());
    }
}

/// Proves that `Retry-After` postpones the next attempt.
#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let mut bench = Bench::new(17);
    let script = |call: &crate::script::Call| {
        let answer = if call.number == 0 { Answer::RetryAfter(45) } else { Answer::Status(200) };
        (Duration::from_millis(5), answer)
    };
    bench.endpoint(URL, Box::new(script), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, seconds(60)).await;
    let calls = bench.endpoints.calls(URL);
    assert!(calls[1].at - calls[0].at >= seconds(45));
    sender.abort();
}
