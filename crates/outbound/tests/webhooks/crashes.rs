//! Crashes of senders at chosen moments, and senders that share the work or lose it, on each store.

use std::{sync::Arc, time::Duration};

use dabba_outbound::webhooks::limits::{LEASE, STORE_TIMEOUT};
use dabba_store::{ConsumerName, Store, conformance::builders::World};
use dabba_testkit::postgres;
use jiff::SignedDuration;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    bench::{Bench, two_shards},
    probe::{Fault, Moment},
    script::{Answer, Call, Script, healthy},
};

/// Number of kills of a sender.
const KILLS: usize = 20;

const GOOD: &str = "https://good.example/";
const FLAKY: &str = "https://flaky.example/";
const BATCHED: &str = "https://batched.example/";

/// Returns a store of two shards, each a PostgreSQL database.
async fn two_databases() -> Arc<dyn Store> {
    two_shards(postgres()().await, postgres()().await)
}

/// Fails at random.
fn flaky(seed: u64) -> Script {
    Box::new(move |call: &Call| {
        let mut world = World::new(seed * 1_000_003 + call.number as u64);
        let is_failing = world.below(100) < 30;
        (Duration::from_millis(5), if is_failing { Answer::Status(500) } else { Answer::Status(200) })
    })
}

/// Creates the endpoints.
async fn endpoints(bench: &mut Bench) {
    bench.endpoint(GOOD, healthy(), |_| {}).await;
    bench.endpoint(FLAKY, flaky(5), |_| {}).await;
    bench.endpoint(BATCHED, flaky(6), |endpoint| endpoint.settings.batch = 10).await;
}

/// Adds some events in every shard.
async fn load(bench: &mut Bench) {
    for shard in 0..bench.store.shard_count() {
        let order = bench.place_in(shard).await;
        bench.act(order).await;
        let earlier: Vec<_> = bench.orders.keys().copied().collect();
        let earlier = earlier[bench.world.below(earlier.len())];
        bench.act(earlier).await;
    }
}

/// Kills a sender, lets its lease expire, and starts another one.
fn replace(bench: &mut Bench, sender: &mut JoinHandle<()>) {
    sender.abort();
    bench.clock.advance(SignedDuration::from_secs(16));
    *sender = bench.start();
}

/// Waits until all endpoints have received everything in the order of first delivery, although some of it fails.
async fn complete(bench: &Bench, limit: Duration) {
    for url in [GOOD, FLAKY, BATCHED] {
        bench.endpoints.script(url, healthy());
    }
    // Retries are due, whatever they were postponed to.
    bench.clock.advance(SignedDuration::from_secs(10));
    for url in [GOOD, FLAKY, BATCHED] {
        bench.until_complete(url, limit).await;
    }
    assert!(bench.endpoints.overlaps().is_empty());
}

/// Kills a sender under load [`KILLS`] times: at any time, between a receipt and its checkpoint, and after a checkpoint
/// with positions and failures whose response is lost.
async fn kill_under_load(mut bench: Bench, patience: Duration) {
    let never = Arc::<Notify>::default();
    endpoints(&mut bench).await;
    let mut sender = bench.start();
    for kill in 0..KILLS {
        load(&mut bench).await;
        let moment = match kill % 4 {
            0 => Some(("checkpoint_feed", Moment::Before)),
            1 => Some(("checkpoint_feed", Moment::After)),
            2 => Some(("due_webhook_failures", Moment::After)),
            _ => None,
        };
        if let Some((method, moment)) = moment {
            // The events are received, and the session is at the chosen call.
            let received = bench.endpoints.accepted(GOOD).len();
            bench.until(patience, "a receipt", || bench.endpoints.accepted(GOOD).len() > received).await;
            let sprung = bench.probe.trap(method, moment, Fault::Waits(Arc::clone(&never)));
            let _ = timeout(Duration::from_secs(3), sprung.notified()).await;
        } else {
            let pause = bench.world.below(700) as u64;
            bench.pass(Duration::from_millis(pause)).await;
        }
        replace(&mut bench, &mut sender);
        bench.probe.clear();
    }
    complete(&bench, patience).await;
    sender.abort();
}

/// Proves I10 over kills of the sender, on the embedded store.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_by_kills_on_sqlite() {
    kill_under_load(Bench::new(41), Duration::from_mins(10)).await;
}

/// Proves I10 over kills of the sender, on PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_on_postgres() {
    let store = postgres()().await;
    kill_under_load(Bench::on(store, 42), Duration::from_mins(1)).await;
}

/// Proves I10 over kills of the sender, on two shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_on_shards() {
    let store = two_databases().await;
    kill_under_load(Bench::on(store, 43), Duration::from_mins(1)).await;
}

/// Proves that two senders share the shards of a store without delivering anything twice, and that the one that remains
/// takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_share_the_work() {
    let mut bench = Bench::on(two_databases().await, 44);
    bench.endpoint(GOOD, healthy(), |_| {}).await;
    let (first, second) = (bench.start(), bench.start());
    for _ in 0..5 {
        load(&mut bench).await;
    }
    bench.until_complete(GOOD, Duration::from_secs(30)).await;
    let expected: usize = bench.orders.values().map(|order| order.version as usize).sum();
    assert_eq!(bench.endpoints.accepted(GOOD).len(), expected, "nothing is delivered twice");
    first.abort();
    bench.clock.advance(SignedDuration::from_secs(16));
    load(&mut bench).await;
    bench.until_complete(GOOD, Duration::from_secs(30)).await;
    assert!(bench.endpoints.overlaps().is_empty());
    second.abort();
}

/// A sender stands still in a checkpoint until its lease has expired and another sender has delivered everything. Its
/// checkpoint is then refused, and the position of the other one stays.
async fn stale_holder(mut bench: Bench, patience: Duration) {
    endpoints(&mut bench).await;
    let stale = bench.start();
    load(&mut bench).await;
    let released = Arc::<Notify>::default();
    let fault = Fault::Waits(Arc::clone(&released));
    let sprung = bench.probe.trap("checkpoint_feed", Moment::Before, fault);
    timeout(patience, sprung.notified()).await.unwrap();
    bench.clock.advance(SignedDuration::from_secs(16));
    let next = bench.start();
    load(&mut bench).await;
    bench.until_complete(GOOD, patience).await;
    let (group, refused) = (ConsumerName::webhooks(), bench.probe.refused());
    // The stale sender gives its call up after 4 seconds, and then sends nothing either.
    released.notify_one();
    bench.until(patience, "the refusal", || bench.probe.refused() > refused).await;
    complete(&bench, patience).await;
    bench.pass(Duration::from_secs(3)).await;
    for shard in 0..bench.store.shard_count() {
        let stored = bench.store.feed_position(shard, &group, None).await.unwrap().unwrap();
        assert_eq!(stored.place.position, bench.store.feed_end(shard).await.unwrap().position);
    }
    stale.abort();
    next.abort();
}

/// Proves that a holder whose lease has expired writes nothing, on the embedded store.
#[tokio::test(start_paused = true)]
async fn a_stale_holder_writes_nothing_on_sqlite() {
    stale_holder(Bench::new(45), Duration::from_mins(10)).await;
}

/// Proves that a holder whose lease has expired writes nothing, on PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_holder_writes_nothing_on_postgres() {
    let store = postgres()().await;
    stale_holder(Bench::on(store, 46), Duration::from_mins(1)).await;
}

/// Proves that a lease is extended while the state of a session is read for longer than a lease lasts: the session
/// begins, and no other sender takes the lease.
#[tokio::test(start_paused = true)]
async fn a_lease_lasts_while_a_session_loads_slowly() {
    let mut bench = Bench::new(47);
    bench.endpoint(GOOD, healthy(), |_| {}).await;
    // Almost as long as one call may take.
    let slow = Fault::Slow(STORE_TIMEOUT.saturating_sub(Duration::from_millis(100)));
    let reads = ["feed_position", "own_feed_positions", "webhook_changes", "failing_webhook_endpoints"];
    let sprung = reads.map(|method| bench.probe.trap(method, Moment::Before, slow.clone()));
    let (began, first) = (Instant::now(), bench.start());
    sprung[0].notified().await;
    let second = bench.start();
    bench.place().await;
    bench.until_complete(GOOD, Duration::from_secs(30)).await;
    assert!(began.elapsed() > LEASE, "the load took only {:?}", began.elapsed());
    assert_eq!(bench.calls("own_feed_positions"), 1, "one session began");
    assert_eq!(bench.endpoints.accepted(GOOD).len(), 2);
    first.abort();
    second.abort();
}
