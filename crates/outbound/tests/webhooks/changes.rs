//! Changes of endpoints while requests are in flight.

use std::time::Duration;

use dabba_engine::Clock as _;
use dabba_store::DisabledReason;

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
