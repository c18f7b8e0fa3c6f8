//! A database that takes over and lacks the latest events.

use std::{sync::Arc, time::Duration};

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::{CHECKPOINT_INTERVAL, LEASE, PAGE};
use dabba_store::{
    Checkpoint, ConsumerName, DisabledReason, FeedPlace, FeedPosition, LeaseRequest, LeaseTaken,
    StoredPosition, WebhookEndpoint,
};
use jiff::SignedDuration;
use tokio::{
    sync::Notify,
    time::{Instant, interval, timeout},
};

use crate::{
    bench::Bench,
    log::Log,
    probe::{Fault, Moment},
    script::{Answer, always, check, healthy},
};

const URL: &str = "https://one.example/";
const OTHER: &str = "https://two.example/";

/// Time after which everything has arrived.
const SOON: Duration = Duration::from_secs(20);

async fn shared(bench: &Bench) -> Option<StoredPosition> {
    bench.store.feed_position(0, &ConsumerName::webhooks(), None).await.unwrap()
}

/// Waits until the stored position of the group is as given: it is compared with the end of the feed.
async fn until_saved(bench: &Bench, is_as_given: impl Fn(FeedPosition, FeedPosition) -> bool) {
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(50));
    loop {
        let end = bench.store.feed_end(0).await.unwrap().position;
        if shared(bench).await.is_some_and(|stored| is_as_given(stored.place.position, end)) {
            return;
        }
        assert!(began.elapsed() < SOON, "the position is not stored");
        ticks.tick().await;
    }
}

/// Waits until an endpoint has accepted all orders that exist, in order. Some orders were lost after their delivery.
async fn until_complete_without(bench: &Bench, url: &str, lost: &[OrderId]) {
    let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
    let is_complete = || {
        let mut accepted = bench.endpoints.accepted(url);
        accepted.retain(|(order, _)| !lost.contains(order));
        check(&accepted, &bench.expected()).is_ok()
    };
    bench.until(SOON, "the delivery of everything", is_complete).await;
}

async fn enable(bench: &Bench, id: WebhookEndpointId) {
    let now = bench.clock.now();
    bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
}

/// Proves that a session whose shared position is after the end of the feed of a database that took over ends without a
/// checkpoint, and that the events that exist are delivered.
#[tokio::test(start_paused = true)]
async fn a_session_ends_if_the_database_lacks_events_that_it_has_read() {
    let mut bench = Bench::new(80);
    bench.endpoint(URL, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, SOON).await;
    until_saved(&bench, |stored, end| stored == end).await;
    let standby = bench.standby();
    let before = shared(&bench).await;
    // The session has something to store when the primary dies.
    let failed = bench.probe.trap("checkpoint_feed", Moment::Before, Fault::Fails);
    let lost = [bench.place().await, bench.place().await];
    bench.until_complete(URL, SOON).await;
    timeout(SOON, failed.notified()).await.unwrap();
    // A read is under way while the primary dies, until a checkpoint is due.
    let released = Arc::<Notify>::default();
    let sprung = bench.probe.trap("feed", Moment::Before, Fault::Waits(Arc::clone(&released)));
    bench.probe.trap("feed", Moment::After, Fault::Fails);
    timeout(SOON, sprung.notified()).await.unwrap();
    bench.probe.fail_over(standby);
    bench.orders.retain(|id, _| !lost.contains(id));
    // Its events take the positions of lost events.
    bench.place().await;
    let checkpoints = bench.calls("checkpoint_feed");
    let ended = bench.probe.trap("take_feed_lease", Moment::Before, Fault::Waits(Arc::clone(&released)));
    bench.pass(2 * CHECKPOINT_INTERVAL).await;
    released.notify_one();
    timeout(SOON, ended.notified()).await.expect("the session should end");
    assert_eq!(bench.calls("checkpoint_feed"), checkpoints);
    assert_eq!(shared(&bench).await.map(|stored| stored.place), before.map(|stored| stored.place));
    released.notify_one();
    until_complete_without(&bench, URL, &lost).await;
    sender.abort();
}

/// Proves the same for a session in which only the own position of an endpoint is after the end: the shared reader stands
/// still.
#[tokio::test(start_paused = true)]
async fn a_session_ends_if_the_database_lacks_events_that_an_endpoint_has_read() {
    let mut bench = Bench::new(81);
    let id = bench.endpoint(URL, always(14_000, Answer::Status(200)), |_| {}).await;
    let now = bench.clock.now();
    let disable = |endpoint: &mut WebhookEndpoint| {
        assert!(endpoint.settings.disable(DisabledReason::Requested, now));
    };
    bench.change(id, false, disable).await;
    let sender = bench.start();
    until_saved(&bench, |_, _| true).await;
    let standby = bench.standby();
    // More than one page, so that the shared reader does not reach the end. Each order has two events.
    let mut lost = Vec::new();
    for _ in 0..=PAGE / 2 {
        lost.push(bench.place().await);
    }
    enable(&bench, id).await;
    bench.until(SOON, "a request", || !bench.endpoints.calls(URL).is_empty()).await;
    let leases = bench.calls("take_feed_lease");
    bench.probe.fail_over(standby);
    bench.probe.trap("renew_feed_lease", Moment::Before, Fault::Fails);
    bench.orders.clear();
    bench.endpoints.script(URL, healthy());
    bench.until(SOON, "the end of the session", || bench.calls("take_feed_lease") > leases).await;
    // The standby lacks this change, too.
    enable(&bench, id).await;
    bench.place().await;
    until_complete_without(&bench, URL, &lost).await;
    sender.abort();
}

/// Proves that a session whose first call after a failover is a checkpoint, and whose next call fails, sets the stored
/// position back before it ends: the next session delivers what is committed meanwhile, although the feed is then longer
/// than the position.
#[tokio::test(start_paused = true)]
async fn a_session_sets_its_position_back_before_it_ends() {
    let mut bench = Bench::new(83);
    bench.endpoint(URL, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, SOON).await;
    until_saved(&bench, |stored, end| stored == end).await;
    let standby = bench.standby();
    let lost = [bench.place().await, bench.place().await];
    bench.until_complete(URL, SOON).await;
    bench.probe.fail_over(standby);
    bench.orders.retain(|id, _| !lost.contains(id));
    until_saved(&bench, |stored, end| stored > end).await;
    let released = Arc::<Notify>::default();
    let ended = bench.probe.trap("take_feed_lease", Moment::Before, Fault::Waits(Arc::clone(&released)));
    bench.probe.trap("feed", Moment::Before, Fault::Fails);
    timeout(SOON, ended.notified()).await.expect("the session should end");
    let end = bench.store.feed_end(0).await.unwrap().position;
    assert_eq!(shared(&bench).await.map(|stored| stored.place.position), Some(end));
    for _ in 0..5 {
        bench.place().await;
    }
    released.notify_one();
    until_complete_without(&bench, URL, &lost).await;
    sender.abort();
}

/// Stores positions after the end of the feed: that of the group, and an own position of an endpoint. A session whose
/// first call after a failover is a checkpoint stores such positions.
async fn store_positions_after_the_end(bench: &Bench, id: WebhookEndpointId) {
    let (now, group) = (bench.clock.now(), ConsumerName::webhooks());
    let holder = ConsumerName::new("earlier").unwrap();
    let request = LeaseRequest { group, holder };
    let taken = bench.store.take_feed_lease(0, &request, now, now + LEASE).await.unwrap();
    let LeaseTaken::Taken(lease) = taken else { panic!("the lease is free: {taken:?}") };
    let stored = shared(bench).await.unwrap();
    let after = |events| {
        let FeedPosition { transaction, sequence } = stored.place.position;
        FeedPlace { position: FeedPosition { transaction, sequence: sequence + events }, ..stored.place }
    };
    let checkpoint = Checkpoint {
        shared: Some((after(1_000), stored.known)),
        advanced: vec![(ConsumerName::from(id), after(500))],
        ..Checkpoint::default()
    };
    assert_eq!(bench.store.checkpoint_feed(0, &lease, &checkpoint, now, now + LEASE).await, Ok(true));
    assert_eq!(bench.store.release_feed_lease(0, &lease, now).await, Ok(true));
}

/// Proves that stored positions after the end of the feed are logged and set back to the end: events that are committed
/// afterwards are delivered, also if the sender crashes before their delivery.
#[tokio::test(start_paused = true)]
async fn positions_after_the_end_are_set_back() {
    let log = Log::record();
    let mut bench = Bench::new(82);
    bench.endpoint(URL, healthy(), |_| {}).await;
    let id = bench.endpoint(OTHER, healthy(), |_| {}).await;
    let stop = Arc::<Notify>::default();
    let stopped = Arc::clone(&stop);
    let sender = tokio::spawn(bench.sender().run(async move { stopped.notified().await }));
    bench.place().await;
    for url in [URL, OTHER] {
        bench.until_complete(url, SOON).await;
    }
    stop.notify_one();
    sender.await.unwrap();
    store_positions_after_the_end(&bench, id).await;
    let calls = [URL, OTHER].map(|url| bench.endpoints.calls(url).len());
    for url in [URL, OTHER] {
        bench.endpoints.script(url, always(14_000, Answer::Status(200)));
    }
    let text = "a position of the webhooks is after the last event";
    assert_eq!(log.lines_with(text), 0);
    let sender = bench.start();
    until_saved(&bench, |stored, end| stored <= end).await;
    assert_eq!(log.lines_with(text), 2);
    bench.place().await;
    let is_sent =
        || [URL, OTHER].iter().zip(calls).all(|(url, calls)| bench.endpoints.calls(url).len() > calls);
    bench.until(SOON, "requests to both endpoints", is_sent).await;
    sender.abort();
    bench.clock.advance(SignedDuration::from_secs(16));
    for url in [URL, OTHER] {
        bench.endpoints.script(url, healthy());
    }
    let sender = bench.start();
    for url in [URL, OTHER] {
        bench.until_complete(url, SOON).await;
    }
    assert_eq!(log.lines_with(text), 2, "the positions were set back");
    sender.abort();
}
