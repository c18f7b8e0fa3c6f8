//! Deleted endpoints leave the directory.

use std::time::Duration;

use dabba_domain::WebhookEndpointId;
use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::{FIRST_PURGE_MAX, KEEP_DELETED, PURGE_INTERVAL, PURGE_RETRY};
use dabba_store::{ConsumerName, LeaseRequest, LeaseTaken};
use jiff::SignedDuration;
use tokio::time::advance;

use crate::{
    bench::Bench,
    probe::{Fault, Moment},
    script::healthy,
};

const DELETED: &str = "https://deleted.example/";
const KEPT: &str = "https://kept.example/";

/// Time after which a sender has carried out a change and stored that it did.
const CARRIED_OUT: Duration = Duration::from_secs(10);

/// Creates an endpoint to delete, and one that stays.
async fn endpoints(bench: &mut Bench) -> [WebhookEndpointId; 2] {
    let deleted = bench.endpoint(DELETED, healthy(), |_| {}).await;
    [deleted, bench.endpoint(KEPT, healthy(), |_| {}).await]
}

async fn delete(bench: &Bench, id: WebhookEndpointId) {
    let now = bench.clock.now();
    bench.change(id, false, |endpoint| endpoint.delete(now)).await;
}

/// Lets this time pass at once, and waits for the purge that is then due.
async fn purge_after(bench: &Bench, time: Duration) {
    let calls = bench.calls("purge_webhook_endpoints");
    advance(time).await;
    let is_purged = || bench.calls("purge_webhook_endpoints") > calls;
    bench.until(Duration::from_secs(5), "a purge", is_purged).await;
    bench.pass(CARRIED_OUT).await;
}

/// Returns the endpoints with a row in the directory.
async fn rows(bench: &Bench) -> Vec<WebhookEndpointId> {
    let mut ids: Vec<_> =
        bench.store.webhook_changes(0, 10).await.unwrap().into_iter().map(|change| change.id).collect();
    ids.sort_unstable();
    ids
}

/// Proves that a deleted endpoint stays in the directory for some time and then leaves it, and that others stay.
#[tokio::test(start_paused = true)]
async fn a_deleted_endpoint_is_purged_after_a_time() {
    let mut bench = Bench::new(61);
    let mut both = endpoints(&mut bench).await;
    let [deleted, kept] = both;
    both.sort_unstable();
    let sender = bench.start();
    delete(&bench, deleted).await;
    bench.pass(CARRIED_OUT).await;
    purge_after(&bench, PURGE_INTERVAL).await;
    assert_eq!(rows(&bench).await, both);
    purge_after(&bench, KEEP_DELETED).await;
    assert_eq!(rows(&bench).await, [kept]);
    bench.place().await;
    bench.until_complete(KEPT, Duration::from_secs(30)).await;
    assert!(bench.endpoints.calls(DELETED).is_empty());
    sender.abort();
}

/// Proves that a deleted endpoint stays in the directory, however long, until the sender of every shard knows of the
/// deletion.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_a_shard_has_not_forgotten_stays() {
    let mut bench = Bench::with_two_shards(62);
    let mut both = endpoints(&mut bench).await;
    let [deleted, kept] = both;
    both.sort_unstable();
    let sender = bench.start();
    bench.place_in(0).await;
    bench.place_in(1).await;
    bench.until_complete(DELETED, Duration::from_secs(30)).await;
    bench.pass(CARRIED_OUT).await;
    sender.abort();
    bench.clock.advance(SignedDuration::from_secs(16));
    // Another process holds the lease of a shard, and does not read the deletion.
    let request =
        LeaseRequest { group: ConsumerName::webhooks(), holder: ConsumerName::new("other").unwrap() };
    let now = bench.clock.now();
    let until = now + KEEP_DELETED * 2;
    let taken = bench.store.take_feed_lease(1, &request, now, until).await.unwrap();
    let LeaseTaken::Taken(lease) = taken else { panic!("the lease is held") };
    let sender = bench.start();
    delete(&bench, deleted).await;
    bench.pass(CARRIED_OUT).await;
    purge_after(&bench, KEEP_DELETED + PURGE_INTERVAL).await;
    assert_eq!(rows(&bench).await, both, "a shard has not forgotten the endpoint");
    assert!(bench.store.release_feed_lease(1, &lease, bench.clock.now()).await.unwrap());
    bench.pass(CARRIED_OUT).await;
    purge_after(&bench, PURGE_INTERVAL).await;
    assert_eq!(rows(&bench).await, [kept]);
    sender.abort();
}

/// Proves that a process purges soon after its start.
#[tokio::test(start_paused = true)]
async fn the_first_purge_follows_the_start() {
    let mut bench = Bench::new(63);
    let [deleted, kept] = endpoints(&mut bench).await;
    let sender = bench.start();
    delete(&bench, deleted).await;
    bench.pass(CARRIED_OUT).await;
    sender.abort();
    bench.clock.advance(SignedDuration::try_from(KEEP_DELETED).unwrap());
    assert_eq!(bench.calls("purge_webhook_endpoints"), 0);
    let sender = bench.start();
    bench.pass(CARRIED_OUT).await;
    purge_after(&bench, FIRST_PURGE_MAX).await;
    assert_eq!(rows(&bench).await, [kept]);
    sender.abort();
}

/// Proves that a purge that fails is retried every minute, that the part is stuck while the purge fails repeatedly, and
/// that the interval counts again after a success.
#[tokio::test(start_paused = true)]
async fn a_purge_that_fails_is_retried_and_visible() {
    let mut bench = Bench::new(64);
    endpoints(&mut bench).await;
    let sender = bench.start();
    bench.pass(CARRIED_OUT).await;
    let is_stuck = |bench: &Bench| {
        let parts = bench.supervisor.parts();
        parts.into_iter().find(|part| part.name == "webhook_purge").unwrap().is_stuck
    };
    for _ in 0..3 {
        bench.probe.trap("purge_webhook_endpoints", Moment::Before, Fault::Fails);
    }
    purge_after(&bench, FIRST_PURGE_MAX).await;
    assert!(!is_stuck(&bench), "one failure is no reason to report the part");
    purge_after(&bench, PURGE_RETRY).await;
    purge_after(&bench, PURGE_RETRY).await;
    assert!(is_stuck(&bench));
    purge_after(&bench, PURGE_RETRY).await;
    assert!(!is_stuck(&bench));
    let calls = bench.calls("purge_webhook_endpoints");
    advance(PURGE_RETRY).await;
    bench.pass(CARRIED_OUT).await;
    assert_eq!(bench.calls("purge_webhook_endpoints"), calls);
    purge_after(&bench, PURGE_INTERVAL).await;
    sender.abort();
}
