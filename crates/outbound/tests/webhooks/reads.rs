//! Reads of the store that last while the session goes on, or that fail.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::GIVE_UP_AFTER;
use dabba_store::{DisabledReason, FeedCursor, WebhookEndpoint};
use dabba_testkit::restorable_postgres;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use crate::{
    bench::Bench,
    probe::{Fault, Moment},
    script::{Answer, Call, Script, check, healthy},
};

const URL: &str = "https://reads.example/";
const NEW: &str = "https://new.example/";

/// Time after which everything has arrived.
const SOON: Duration = Duration::from_secs(20);

/// Waits until the sender has read the feed again.
async fn feed_is_read(bench: &Bench) {
    let before = bench.calls("feed");
    bench.until(SOON, "two reads of the feed", || bench.calls("feed") >= before + 2).await;
}

/// Waits until the sender has carried out the changes of endpoints so far.
async fn changes_are_known(bench: &Bench) {
    let before = bench.calls("webhook_changes");
    bench.until(SOON, "two visits", || bench.calls("webhook_changes") >= before + 2).await;
}

/// Fails for the first request.
fn fails_once() -> Script {
    Box::new(|call: &Call| {
        let status = if call.number == 0 { 500 } else { 200 };
        (Duration::from_millis(5), Answer::Status(status))
    })
}

/// Proves that an event that the feed has during the read of an order's history, which does not contain it, is delivered.
#[tokio::test(start_paused = true)]
async fn an_event_during_the_read_of_a_history_is_delivered() {
    let mut bench = Bench::new(70);
    bench.endpoint(URL, fails_once(), |_| {}).await;
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
        changes_are_known(&bench).await;
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

/// A change of an endpoint while something is read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Deleted,
    /// From one type to all types.
    Wider,
    /// From all types to one type.
    Narrower,
    Url,
}

impl Change {
    /// Returns the types of the endpoint before the change. `narrow`: the type of the change.
    fn types_before(self, narrow: &str) -> Vec<String> {
        if self == Self::Wider { vec![narrow.to_owned()] } else { Vec::new() }
    }

    /// Returns the URL to which events are sent after the change.
    fn url(self) -> &'static str {
        if self == Self::Url { NEW } else { URL }
    }

    async fn carry_out(self, bench: &Bench, id: WebhookEndpointId, narrow: &str) {
        let now = bench.clock.now();
        let change = |endpoint: &mut WebhookEndpoint| match self {
            Self::Deleted => endpoint.delete(now),
            Self::Wider => endpoint.settings.types.clear(),
            Self::Narrower => endpoint.settings.types = vec![narrow.to_owned()],
            Self::Url => NEW.clone_into(&mut endpoint.settings.url),
        };
        bench.change(id, false, change).await;
        changes_are_known(bench).await;
    }

    /// Returns what arrives after the change, of an order with the events `placed`, `confirmed` and `accepted`. The
    /// narrow type is `accepted`.
    fn expected(self, order: OrderId) -> BTreeMap<String, Vec<u32>> {
        let versions = match self {
            Self::Deleted => return BTreeMap::new(),
            Self::Wider | Self::Url => vec![1, 2, 3],
            Self::Narrower => vec![3],
        };
        BTreeMap::from([(order.to_string(), versions)])
    }
}

/// Starts a sender, and waits until it waits for a call that is trapped.
async fn started(bench: &mut Bench, sprung: &Notify) -> JoinHandle<()> {
    let sender = bench.start();
    timeout(SOON, sprung.notified()).await.unwrap();
    sender
}

/// Proves that a page that is read while its endpoint changes is matched against the endpoint as it is after the change:
/// nothing that matches is lost, nothing else is sent, and nothing is sent to an earlier URL. An event that commits
/// during the read is in the page, or follows it.
#[tokio::test(start_paused = true)]
async fn a_page_is_for_the_endpoint_as_it_is_after_the_read() {
    for moment in [Moment::Before, Moment::After] {
        for change in [Change::Wider, Change::Narrower, Change::Url] {
            let mut bench = Bench::new(74);
            let narrow = "accepted";
            let types = change.types_before(narrow);
            let id = bench.endpoint(URL, healthy(), |endpoint| endpoint.settings.types = types).await;
            let order = bench.place().await;
            let released = Arc::<Notify>::default();
            let sprung = bench.probe.trap("feed", moment, Fault::Waits(Arc::clone(&released)));
            let sender = started(&mut bench, &sprung).await;
            change.carry_out(&bench, id, narrow).await;
            bench.act(order).await;
            released.notify_one();
            let has_arrived = || {
                let accepted = bench.endpoints.accepted(change.url());
                check(&accepted, &change.expected(order)).is_ok()
            };
            bench.until(SOON, "exactly what matches", has_arrived).await;
            bench.pass(GIVE_UP_AFTER).await;
            assert!(has_arrived(), "{change:?}");
            if change == Change::Url {
                assert!(bench.endpoints.calls(URL).is_empty());
            }
            sender.abort();
        }
    }
}

/// Proves that a page that is read while one of the two endpoints that it is for is deleted reaches the other one only.
#[tokio::test(start_paused = true)]
async fn a_page_for_a_deleted_endpoint_reaches_only_the_others() {
    for is_reader in [true, false] {
        let mut bench = Bench::new(75);
        let ids = [
            (bench.endpoint(URL, healthy(), |_| {}).await, URL),
            (bench.endpoint(NEW, healthy(), |_| {}).await, NEW),
        ];
        // The page is read for the first one in the order of ids.
        let (deleted, stays) =
            if (ids[0].0 < ids[1].0) == is_reader { (ids[0], ids[1]) } else { (ids[1], ids[0]) };
        let order = bench.place().await;
        let released = Arc::<Notify>::default();
        let sprung = bench.probe.trap("feed", Moment::After, Fault::Waits(Arc::clone(&released)));
        let sender = started(&mut bench, &sprung).await;
        Change::Deleted.carry_out(&bench, deleted.0, "").await;
        released.notify_one();
        bench.act(order).await;
        bench.place().await;
        bench.until_complete(stays.1, SOON).await;
        bench.pass(GIVE_UP_AFTER).await;
        assert_eq!(bench.endpoints.calls(deleted.1).len(), 0);
        sender.abort();
    }
}

/// Proves that the history of a failing order that is read while its endpoint changes has no effect, and that the events
/// that match afterwards arrive in order.
#[tokio::test(start_paused = true)]
async fn a_history_is_read_again_if_its_endpoint_changes() {
    for moment in [Moment::Before, Moment::After] {
        for change in [Change::Deleted, Change::Narrower, Change::Url] {
            let mut bench = Bench::new(76);
            let id = bench.endpoint(URL, fails_once(), |_| {}).await;
            let released = Arc::<Notify>::default();
            let sprung = bench.probe.trap("public_events", moment, Fault::Waits(Arc::clone(&released)));
            let order = bench.place().await;
            let sender = started(&mut bench, &sprung).await;
            change.carry_out(&bench, id, "accepted").await;
            bench.act(order).await;
            // Without endpoints, nothing reads the feed.
            if change != Change::Deleted {
                feed_is_read(&bench).await;
            }
            released.notify_one();
            let has_arrived = || {
                let accepted = bench.endpoints.accepted(change.url());
                check(&accepted, &change.expected(order)).is_ok()
            };
            bench.until(SOON, "exactly what matches", has_arrived).await;
            bench.pass(GIVE_UP_AFTER).await;
            assert!(has_arrived(), "{change:?}");
            let calls = bench.endpoints.calls(URL).len();
            let is_moved = matches!(change, Change::Deleted | Change::Url);
            assert!(!is_moved || calls == 1, "{calls} requests, of which the first one precedes the change");
            assert!(change == Change::Deleted || bench.failures(id).await.is_empty());
            sender.abort();
        }
    }
}

/// Proves that the end of a history does not end a failure if the types of the endpoint became wider during the read: the
/// history contains an event of another type, which the feed has left to the history.
#[tokio::test(start_paused = true)]
async fn a_history_does_not_end_a_failure_if_the_types_become_wider() {
    let mut bench = Bench::new(77);
    let change = Change::Wider;
    let types = change.types_before("placed");
    let id = bench.endpoint(URL, fails_once(), |endpoint| endpoint.settings.types = types).await;
    // The first read has the event to deliver, and goes on at once; the second one finds no more events of the type.
    let (passed, released) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    passed.notify_one();
    bench.probe.trap("public_events", Moment::Before, Fault::Waits(passed));
    let sprung = bench.probe.trap("public_events", Moment::Before, Fault::Waits(Arc::clone(&released)));
    let order = bench.place().await;
    let sender = started(&mut bench, &sprung).await;
    change.carry_out(&bench, id, "placed").await;
    bench.act(order).await;
    feed_is_read(&bench).await;
    released.notify_one();
    bench.until_complete(URL, SOON).await;
    bench.pass(GIVE_UP_AFTER).await;
    assert_eq!(bench.failures(id).await, []);
    sender.abort();
}
