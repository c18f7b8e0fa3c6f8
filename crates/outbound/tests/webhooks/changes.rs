//! Changes of endpoints while requests are in flight.

use std::{sync::Arc, time::Duration};

use dabba_domain::WebhookEndpointId;
use dabba_engine::Clock as _;
use dabba_store::{AttemptOutcome, DisabledReason, WebhookAttempt};

use crate::{
    bench::Bench,
    script::{Answer, always, healthy},
};

const URL: &str = "https://one.example/hook";
const NEW: &str = "https://two.example/hook";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Proves that 410 from an old URL does not disable the new URL, whether the endpoint was only changed or also disabled
/// and enabled, and that the new URL gets the event at once.
#[tokio::test(start_paused = true)]
async fn gone_from_an_old_url_does_not_disable_the_new_one() {
    for is_enabled_again in [false, true] {
        let mut bench = Bench::new(41);
        bench.endpoints.script(NEW, healthy());
        let id = bench.endpoint(URL, always(4_000, Answer::Status(410)), |_| {}).await;
        let sender = bench.start();
        bench.place().await;
        bench.until(seconds(5), "the request", || !bench.endpoints.calls(URL).is_empty()).await;
        if is_enabled_again {
            let now = bench.clock.now();
            let disable = |endpoint: &mut dabba_store::WebhookEndpoint| {
                endpoint.settings.disable(DisabledReason::Requested, now);
            };
            bench.change(id, false, disable).await;
            bench.pass(seconds(2)).await;
            let enable = |endpoint: &mut dabba_store::WebhookEndpoint| assert!(endpoint.settings.enable(now));
            bench.change(id, false, enable).await;
        }
        bench.change(id, false, |endpoint| endpoint.settings.url = NEW.to_owned()).await;
        bench.until_complete(NEW, seconds(8)).await;
        bench.pass(seconds(5)).await;
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        assert!(stored.settings.is_enabled(), "{stored:?}");
        assert_eq!(bench.failures(id).await, vec![]);
        sender.abort();
    }
}

/// Proves that a retry that fails at an old URL does not postpone the event at the new URL.
#[tokio::test(start_paused = true)]
async fn a_retry_that_fails_at_an_old_url_does_not_postpone() {
    let mut bench = Bench::new(42);
    bench.endpoints.script(NEW, healthy());
    let script = |call: &crate::script::Call| {
        let millis = if call.number == 0 { 5 } else { 4_000 };
        (Duration::from_millis(millis), Answer::RetryAfter(if call.number == 0 { 1 } else { 3_000 }))
    };
    let id = bench.endpoint(URL, Box::new(script), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await.to_string();
    bench.until(seconds(10), "the retry", || bench.endpoints.calls(URL).len() == 2).await;
    bench.change(id, false, |endpoint| endpoint.settings.url = NEW.to_owned()).await;
    bench.until_complete(NEW, seconds(10)).await;
    assert!(bench.endpoints.accepted(NEW).iter().any(|(of, _)| *of == order));
    sender.abort();
}

/// Time after which a sender knows a change of an endpoint.
const KNOWN: Duration = Duration::from_secs(2);

/// Proves that a success at an old URL decides its own deliveries only: it does not close the breaker of the new URL,
/// and is not in the health of the endpoint.
#[tokio::test(start_paused = true)]
async fn a_success_at_an_old_url_does_not_close_the_breaker_of_the_new_one() {
    let mut bench = Bench::new(44);
    bench.endpoints.script(NEW, always(5, Answer::Refused));
    let id = bench.endpoint(URL, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, seconds(10)).await;
    bench.endpoints.script(URL, always(7_000, Answer::Status(200)));
    let (calls, accepted) = (bench.endpoints.calls(URL).len(), bench.endpoints.accepted(URL).len());
    bench.place().await;
    bench.until(seconds(5), "the request", || bench.endpoints.calls(URL).len() > calls).await;
    let changed_at = bench.clock.now();
    bench.change(id, false, |endpoint| endpoint.settings.url = NEW.to_owned()).await;
    bench.pass(KNOWN).await;
    for _ in 0..8 {
        bench.place().await;
    }
    bench.until(seconds(2), "an open breaker", || bench.endpoints.calls(NEW).len() >= 5).await;
    bench.pass(seconds(1)).await;
    let calls = bench.endpoints.calls(NEW).len();
    assert_eq!(bench.endpoints.accepted(URL).len(), accepted, "the success comes later");
    bench.until(seconds(10), "the success", || bench.endpoints.accepted(URL).len() > accepted).await;
    bench.pass(seconds(1)).await;
    assert_eq!(bench.endpoints.calls(NEW).len(), calls, "the breaker is open");
    // Longer than the interval at which the health of endpoints is written.
    bench.pass(seconds(70)).await;
    let health = bench.store.webhook_endpoint(id).await.unwrap().unwrap().health;
    assert!(health.last_success.is_none_or(|at| at < changed_at), "{health:?}");
    assert!(health.last_failure.is_some(), "{health:?}");
    sender.abort();
}

/// Proves that a success at an old URL does not prove the new URL, which gets one request at a time until its first
/// success, and that the delivery is not repeated there.
#[tokio::test(start_paused = true)]
async fn a_success_at_an_old_url_does_not_prove_the_new_one() {
    let mut bench = Bench::new(46);
    bench.endpoints.script(NEW, always(5_000, Answer::Status(200)));
    let id = bench.endpoint(URL, always(4_000, Answer::Status(200)), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await.to_string();
    bench.until(seconds(5), "the request", || !bench.endpoints.calls(URL).is_empty()).await;
    bench.change(id, false, |endpoint| endpoint.settings.url = NEW.to_owned()).await;
    bench.pass(KNOWN).await;
    for _ in 0..5 {
        bench.place().await;
    }
    bench.until(seconds(10), "a request to the new URL", || !bench.endpoints.calls(NEW).is_empty()).await;
    bench.pass(seconds(4)).await;
    assert_eq!(bench.endpoints.calls(NEW).len(), 1, "the new URL is not proven");
    bench.until(seconds(30), "many requests", || bench.endpoints.calls(NEW).len() > 5).await;
    assert_eq!(bench.endpoints.accepted(URL), [(order.clone(), 1)]);
    let repeated = bench.endpoints.calls(NEW).iter().any(|call| call.events.contains(&(order.clone(), 1)));
    assert!(!repeated, "the delivery was decided");
    sender.abort();
}

/// What an owner does to end a pause.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Enable,
    Replay,
    Url,
}

/// Proves that the pause of a breaker ends at once when the owner enables the endpoint, which is enabled, replays it,
/// or changes its URL.
#[tokio::test(start_paused = true)]
async fn the_owner_ends_the_pause() {
    for ending in [Ending::Enable, Ending::Replay, Ending::Url] {
        let mut bench = Bench::new(43);
        let id = bench.endpoint(URL, always(5, Answer::Refused), |_| {}).await;
        let sender = bench.start();
        for _ in 0..8 {
            bench.place().await;
        }
        bench.pass(seconds(200)).await;
        for url in [URL, NEW] {
            bench.endpoints.script(url, healthy());
        }
        let calls = bench.endpoints.calls(URL).len();
        bench.pass(seconds(5)).await;
        assert_eq!(bench.endpoints.calls(URL).len(), calls, "the endpoint is paused");
        let now = bench.clock.now();
        match ending {
            Ending::Enable => bench.change(id, false, |endpoint| endpoint.settings.enabled_at = now).await,
            Ending::Replay => bench.replay_from_end(id).await,
            Ending::Url => bench.change(id, false, |endpoint| endpoint.settings.url = NEW.to_owned()).await,
        }
        let url = if matches!(ending, Ending::Url) { NEW } else { URL };
        bench.until_complete(url, seconds(10)).await;
        sender.abort();
    }
}

/// Proves that an endpoint that is down gets ever fewer probes, although the same orders wait.
#[tokio::test(start_paused = true)]
async fn probes_become_rare() {
    let mut bench = Bench::new(45);
    bench.endpoint(URL, always(5, Answer::Status(503)), |_| {}).await;
    let sender = bench.start();
    for _ in 0..5 {
        bench.place().await;
    }
    bench.pass(seconds(5)).await;
    let first = bench.endpoints.calls(URL).len();
    bench.pass(seconds(300)).await;
    let probes = bench.endpoints.calls(URL).len() - first;
    assert!((3..=7).contains(&probes), "{probes} probes");
    sender.abort();
}

/// Proves that the first success after an idle time is soon in the log of attempts, and that a summary of the following
/// ones is written after a minute, also if nothing follows, and when the sender stops.
#[tokio::test(start_paused = true)]
async fn successes_are_logged_without_further_ones() {
    for is_stopped in [false, true] {
        let mut bench = Bench::new(47);
        let id = bench.endpoint(URL, healthy(), |_| {}).await;
        let stop = Arc::<tokio::sync::Notify>::default();
        let stopped = Arc::clone(&stop);
        let sender = tokio::spawn(bench.sender().run(async move { stopped.notified().await }));
        let order = bench.place().await;
        bench.until_complete(URL, seconds(10)).await;
        bench.pass(seconds(3)).await;
        assert_eq!(logged(&bench, id).await, [2]);
        bench.act(order).await;
        bench.until_complete(URL, seconds(10)).await;
        bench.pass(seconds(10)).await;
        assert_eq!(logged(&bench, id).await, [2]);
        if is_stopped {
            stop.notify_one();
            sender.await.unwrap();
        } else {
            bench.pass(seconds(60)).await;
            sender.abort();
        }
        assert_eq!(logged(&bench, id).await, [1, 2]);
    }
}

/// Returns the numbers of delivered events in the log of attempts, newest entry first.
async fn logged(bench: &Bench, id: WebhookEndpointId) -> Vec<u32> {
    let log = bench.store.webhook_attempts(0, id).await.unwrap();
    let events = |attempt: &WebhookAttempt| match attempt.outcome {
        AttemptOutcome::Delivered { events, .. } => events,
        AttemptOutcome::Failed { .. } => 0,
    };
    log.iter().map(events).collect()
}
