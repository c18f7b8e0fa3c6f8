//! Reads of the store that last while the session goes on, or that fail.

use std::{sync::Arc, time::Duration};

use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::GIVE_UP_AFTER;
use dabba_store::{DisabledReason, FeedCursor, WebhookEndpoint};
use dabba_testkit::restorable_postgres;
use tokio::sync::Notify;

use crate::{
    bench::{Bench, Fault, Moment},
    script::{Answer, Call, healthy},
};

const URL: &str = "https://reads.example/";

/// Time after which everything has arrived.
const SOON: Duration = Duration::from_secs(20);

/// Waits until the sender has read the feed again.
async fn feed_is_read(bench: &Bench) {
    let before = bench.calls("feed");
    bench.until(SOON, "two reads of the feed", || bench.calls("feed") >= before + 2).await;
}

/// Proves that an event that the feed has during the read of an order's history, which does not contain it, is delivered.
#[tokio::test(start_paused = true)]
async fn an_event_during_the_read_of_a_history_is_delivered() {
    let mut bench = Bench::new(70);
    let fails_once = |call: &Call| {
        let status = if call.number == 0 { 500 } else { 200 };
        (Duration::from_millis(5), Answer::Status(status))
    };
    bench.endpoint(URL, Box::new(fails_once), |_| {}).await;
    let sender = bench.start();
    // The first read has the events to deliver, and goes on at once; the second one finds that there are no more.
    let (passed, released) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    passed.notify_one();
    bench.probe.trap("public_events", Moment::After, Fault::Waits(passed));
    let sprung = bench.probe.trap("public_events", Moment::After, Fault::Waits(Arc::clone(&released)));
    let order = bench.place().await;
    sprung.notified().await;
    bench.act(order).await;
    feed_is_read(&bench).await;
    released.notify_one();
    bench.until_complete(URL, SOON).await;
    sender.abort();
}

/// Proves that a page that was read while its endpoint was replayed, or disabled and enabled, has no effect, and that
/// every event arrives in order.
#[tokio::test(start_paused = true)]
async fn an_endpoint_may_change_while_a_page_is_read_for_it() {
    for is_replay in [true, false] {
        let mut bench = Bench::new(71);
        let id = bench.endpoint(URL, healthy(), |_| {}).await;
        let order = bench.place().await;
        let released = Arc::<Notify>::default();
        let sprung = bench.probe.trap("feed", Moment::After, Fault::Waits(Arc::clone(&released)));
        let sender = bench.start();
        sprung.notified().await;
        if is_replay {
            bench.replay(id, FeedCursor::at_start(&bench.store.feed_sources())).await;
        } else {
            let at = bench.clock.now();
            let disable = |endpoint: &mut WebhookEndpoint| {
                assert!(endpoint.settings.disable(DisabledReason::Requested, at));
            };
            bench.change(id, false, disable).await;
        }
        let visits = bench.calls("webhook_changes");
        bench.until(SOON, "the next visits", || bench.calls("webhook_changes") >= visits + 2).await;
        released.notify_one();
        if !is_replay {
            let at = bench.clock.now();
            bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(at))).await;
        }
        bench.act(order).await;
        bench.place().await;
        bench.until_complete(URL, SOON).await;
        sender.abort();
    }
}

/// Proves that a session ends when the database is restored, and that deliveries go on at the stored positions.
#[tokio::test]
async fn a_restore_ends_the_session() {
    let (factory, restore) = restorable_postgres();
    let mut bench = Bench::on(factory().await, 72);
    bench.endpoint(URL, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(URL, SOON).await;
    let before = bench.calls("take_feed_lease");
    restore().await;
    bench.place().await;
    bench.until_complete(URL, SOON).await;
    assert!(bench.calls("take_feed_lease") > before, "positions of before must not be used any longer");
    sender.abort();
}

/// Proves that failures are recorded, and retried with their pauses, while the feed cannot be read.
#[tokio::test(start_paused = true)]
async fn a_feed_that_cannot_be_read_prevents_no_checkpoint() {
    let mut bench = Bench::new(73);
    let fails_after_one = |call: &Call| {
        let status = if call.number < 2 { 200 } else { 500 };
        (Duration::from_millis(5), Answer::Status(status))
    };
    let id = bench.endpoint(URL, Box::new(fails_after_one), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await;
    bench.until_complete(URL, SOON).await;
    bench.act(order).await;
    let has_failed = || bench.endpoints.calls(URL).len() > 2;
    bench.until(SOON, "the failure", has_failed).await;
    for _ in 0..10_000 {
        bench.probe.trap("feed", Moment::Before, Fault::Fails);
    }
    bench.pass(6 * GIVE_UP_AFTER).await;
    let attempts = bench.endpoints.calls(URL).len() - 2;
    assert!((5..=8).contains(&attempts), "{attempts} attempts");
    let failures = bench.failures(id).await;
    assert!(failures.iter().any(|failure| failure.attempts >= 5), "{failures:?}");
    assert_eq!(bench.calls("take_feed_lease"), 1);
    sender.abort();
}
