//! Replays, and failures that are retried sooner than they were scheduled.

use std::time::Duration;

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_engine::Clock as _;
use dabba_store::{
    Checkpoint, ConsumerName, DisabledReason, FeedCursor, FeedPosition, Incarnation, LeaseRequest,
    LeaseTaken, WebhookFailure, WebhookFault, WebhookOwner, WebhookState,
};

use crate::{
    bench::Bench,
    script::{Answer, Call, always, healthy},
};

const URL: &str = "https://one.example/hook";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns the numbers of acceptances of the versions 1 to 4 of an order.
fn counts(bench: &Bench, order: &str) -> Vec<usize> {
    let accepted = bench.endpoints.accepted(URL);
    let count = |version| accepted.iter().filter(|event| **event == (order.to_owned(), version)).count();
    (1..=4).map(count).collect()
}

/// Proves I10 for replays of orders that are failing: a replay delivers the events before the failed one, too, in order,
/// and also if the sender crashes during the replay. A later replay from the middle of an order begins there.
#[tokio::test(start_paused = true)]
async fn a_replay_delivers_the_earlier_events_of_failing_orders() {
    for crash_after in [None, Some(1), Some(1_100), Some(2_300)] {
        let mut bench = Bench::new(31);
        let fails = |call: &Call| {
            let is_failing = call.events.iter().any(|(_, version)| *version == 3);
            (Duration::from_millis(40), if is_failing { Answer::Status(422) } else { Answer::Status(200) })
        };
        let id = bench.endpoint(URL, Box::new(fails), |_| {}).await;
        let mut sender = bench.start();
        let order = bench.place().await;
        bench.act(order).await;
        bench.act(order).await;
        bench.pass(seconds(20)).await;
        assert_eq!(counts(&bench, &order.to_string()), [1, 1, 0, 0]);
        assert_eq!(bench.failures(id).await[0].next_version, 3);
        let start = FeedCursor::at_start(&bench.store.feed_sources()).to_string();
        bench.change(id, true, |endpoint| endpoint.settings.start = start).await;
        if let Some(millis) = crash_after {
            bench.pass(Duration::from_millis(millis)).await;
            sender.abort();
            sender = bench.start();
        }
        bench.pass(seconds(40)).await;
        let replayed = counts(&bench, &order.to_string());
        assert!(replayed[0] >= 2 && replayed[1] >= 2 && replayed[2] == 0, "{crash_after:?}: {replayed:?}");
        if crash_after.is_none() {
            assert_eq!(replayed, [2, 2, 0, 0], "nothing is delivered more often than asked");
        }
        bench.endpoints.script(URL, healthy());
        bench.until_complete(URL, seconds(120)).await;
        bench.pass(seconds(5)).await;
        assert!(bench.endpoints.overlaps().is_empty() && bench.failures(id).await.is_empty());
        sender.abort();
    }
}

/// Proves that an endpoint whose start belongs to another incarnation of the database is disabled for this reason and
/// receives nothing, also if it is changed, its owner disables it, or the sender crashes before, and that a replay lets
/// it receive events again.
#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_position_is_disabled() {
    let crashes = [None, Some(1_050), Some(2_050)].into_iter();
    for (crash_after, is_disabled) in
        crashes.flat_map(|crash_after| [(crash_after, false), (crash_after, true)])
    {
        let mut bench = Bench::new(36);
        let mut sender = bench.start();
        let other = "https://other.example/";
        bench.endpoint(other, healthy(), |_| {}).await;
        bench.pass(seconds(5)).await;
        let source = bench.store.feed_sources()[0].name.clone();
        let mut lost = FeedCursor::default();
        lost.set(&source, Incarnation::new(1), FeedPosition { transaction: 0, sequence: 1 });
        let start = lost.to_string();
        let id = bench.endpoint(URL, healthy(), |endpoint| endpoint.settings.start = start).await;
        let now = bench.clock.now();
        bench
            .change(id, false, |endpoint| {
                endpoint.settings.concurrency = 2;
                if is_disabled {
                    endpoint.settings.disable(DisabledReason::Requested, now);
                }
            })
            .await;
        if let Some(millis) = crash_after {
            bench.pass(Duration::from_millis(millis)).await;
            sender.abort();
            sender = bench.start();
        }
        bench.place().await;
        bench.until_complete(other, seconds(60)).await;
        bench.pass(seconds(30)).await;
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        let is_lost = matches!(
            stored.settings.state,
            WebhookState::Disabled { reason: DisabledReason::PositionLost, .. }
        );
        assert!(is_lost, "{crash_after:?} {is_disabled}: {stored:?}");
        assert!(bench.endpoints.calls(URL).is_empty());
        let (now, start) = (bench.clock.now(), FeedCursor::at_start(&bench.store.feed_sources()).to_string());
        bench
            .change(id, true, |endpoint| {
                endpoint.settings.start = start;
                assert!(endpoint.settings.enable(now));
            })
            .await;
        bench.until_complete(URL, seconds(30)).await;
        sender.abort();
    }
}

/// Proves that failures that were postponed for an hour are retried within seconds after the endpoint is enabled, and
/// not all at the same moment.
#[tokio::test(start_paused = true)]
async fn enabling_retries_failures_soon() {
    let mut bench = Bench::new(32);
    let id = bench.endpoint(URL, always(5, Answer::RetryAfter(3_600)), |_| {}).await;
    let sender = bench.start();
    // Fewer than open the breaker.
    for _ in 0..4 {
        bench.place().await;
    }
    bench.pass(seconds(10)).await;
    assert_eq!(bench.failures(id).await.len(), 4);
    let now = bench.clock.now();
    bench
        .change(id, false, |endpoint| {
            assert!(endpoint.settings.disable(DisabledReason::Requested, now));
        })
        .await;
    bench.pass(seconds(3)).await;
    bench.endpoints.script(URL, healthy());
    bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
    bench.until_complete(URL, seconds(10)).await;
    sender.abort();
}

/// Writes failures, each with the time at which it is due, as an earlier lease holder would.
async fn write_failures(bench: &Bench, rows: impl Iterator<Item = (WebhookEndpointId, OrderId, Timestamp)>) {
    let now = bench.clock.now();
    let holder = ConsumerName::new("earlier").unwrap();
    let request = LeaseRequest { group: ConsumerName::webhooks(), holder };
    let taken = bench.store.take_feed_lease(0, &request, now, now + seconds(60)).await.unwrap();
    let LeaseTaken::Taken(lease) = taken else { panic!("the lease is held") };
    let fault = WebhookFault { at: now, status: None, error: "failed".to_owned() };
    let failures = rows.map(|(endpoint, order, next_attempt_at)| WebhookFailure {
        endpoint,
        order,
        next_version: 1,
        attempts: 1,
        next_attempt_at,
        first_failed_at: now,
        fault: fault.clone(),
        dead_at: None,
    });
    let checkpoint = Checkpoint { failures: failures.collect(), ..Checkpoint::default() };
    assert!(bench.store.checkpoint_feed(0, &lease, &checkpoint, now, now + seconds(60)).await.unwrap());
    bench.store.release_feed_lease(0, &lease, now).await.unwrap();
}

/// Proves that the sender reads due failures again as soon as there is room, while more were due than it could use:
/// none of them waits for the next periodic read, not even one that became due meanwhile.
#[tokio::test(start_paused = true)]
async fn due_failures_follow_each_other_at_once() {
    let mut bench = Bench::new(38);
    let script = always(100, Answer::Status(200));
    let id = bench.endpoint(URL, script, |endpoint| endpoint.settings.concurrency = 1).await;
    let (now, mut rows) = (bench.clock.now(), Vec::new());
    for number in 0..20 {
        rows.push((id, bench.place().await, now + Duration::from_millis(1_000 + 50 * number)));
    }
    write_failures(&bench, rows.into_iter()).await;
    let sender = bench.start();
    // Forty requests of 100 ms; with a second between two failures, they take twenty seconds.
    bench.until_complete(URL, seconds(10)).await;
    sender.abort();
}

/// Proves that a turn of the sender reads no more due failures than it can begin to retry.
#[tokio::test(start_paused = true)]
async fn due_failures_are_read_as_they_are_used() {
    let mut bench = Bench::new(37);
    let mut ids = Vec::new();
    for number in 0..40 {
        let url = format!("https://many-{number}.example/");
        ids.push(bench.endpoint(&url, healthy(), |endpoint| endpoint.settings.concurrency = 64).await);
    }
    let (now, orders) = (bench.clock.now(), [bench.place().await, bench.place().await, bench.place().await]);
    let rows = ids.iter().flat_map(|id| orders.map(|order| (*id, order, now)));
    write_failures(&bench, rows).await;
    let sender = bench.start();
    for number in 0..40 {
        bench.until_complete(&format!("https://many-{number}.example/"), seconds(60)).await;
    }
    bench.pass(seconds(3)).await;
    for id in ids {
        assert_eq!(bench.failures(id).await, []);
    }
    assert_eq!(
        bench.probe.first_due(),
        32,
        "a turn begins 32 retries, and each of 40 endpoints can take one"
    );
    sender.abort();
}

/// Proves that failures that were postponed for an hour are retried soon after a probe of the breaker has succeeded.
#[tokio::test(start_paused = true)]
async fn a_successful_probe_retries_failures_soon() {
    let mut bench = Bench::new(33);
    let id = bench.endpoint(URL, always(5, Answer::RetryAfter(3_600)), |_| {}).await;
    let sender = bench.start();
    for _ in 0..4 {
        bench.place().await;
    }
    bench.pass(seconds(5)).await;
    bench.endpoints.script(URL, always(5, Answer::Refused));
    for _ in 0..4 {
        bench.place().await;
    }
    bench.pass(seconds(5)).await;
    assert!(bench.failures(id).await.len() >= 4);
    bench.endpoints.script(URL, healthy());
    bench.until(seconds(30), "a probe", || !bench.endpoints.accepted(URL).is_empty()).await;
    bench.until_complete(URL, seconds(10)).await;
    sender.abort();
}

/// Proves I10 for a replay from the end of the feed: an endpoint whose breaker is open, and one that its owner has
/// disabled, receive all events nevertheless, also if the sender crashes before it carries the replay out.
#[tokio::test(start_paused = true)]
async fn a_replay_never_skips_undelivered_events() {
    for (is_disabled, crashes) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new(48);
        let other = "https://other.example/";
        bench.endpoint(other, healthy(), |_| {}).await;
        let id = bench.endpoint(URL, always(5, Answer::Status(503)), |_| {}).await;
        let mut sender = bench.start();
        bench.pass(seconds(3)).await;
        let now = bench.clock.now();
        if is_disabled {
            bench
                .change(id, false, |endpoint| {
                    assert!(endpoint.settings.disable(DisabledReason::Requested, now));
                })
                .await;
            bench.pass(seconds(2)).await;
        }
        for _ in 0..60 {
            bench.place().await;
        }
        bench.until_complete(other, seconds(60)).await;
        bench.pass(seconds(5)).await;
        if crashes {
            sender.abort();
        }
        bench.replay_from_end(id).await;
        bench.endpoints.script(URL, healthy());
        if crashes {
            sender = bench.start();
        }
        if is_disabled {
            bench.pass(seconds(3)).await;
            bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
        }
        bench.until_complete(URL, seconds(120)).await;
        sender.abort();
    }
}

/// Proves I10 for a replay of an endpoint that lost its position in one shard: the events of the other shard that it has not received
/// are delivered, and so are those of the first shard since the loss was found, also if the sender crashes before it carries the
/// replay out.
#[tokio::test(start_paused = true)]
async fn a_lost_position_skips_nothing_in_other_shards() {
    for crashes in [false, true] {
        let mut bench = Bench::with_two_shards(50);
        let other = "https://other.example/";
        bench.endpoint(other, healthy(), |_| {}).await;
        let mut sender = bench.start();
        bench.pass(seconds(5)).await;
        let mut start = FeedCursor::at_start(&bench.store.feed_sources());
        start.set("north", Incarnation::new(1), FeedPosition { transaction: 0, sequence: 1 });
        let start = start.to_string();
        let id = bench.endpoint(URL, healthy(), |endpoint| endpoint.settings.start = start).await;
        bench.pass(seconds(10)).await;
        let stored = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        let is_lost = matches!(
            stored.settings.state,
            WebhookState::Disabled { reason: DisabledReason::PositionLost, .. }
        );
        assert!(is_lost, "{stored:?}");
        for shard in [0, 1, 1, 0] {
            bench.place_in(shard).await;
        }
        bench.until_complete(other, seconds(60)).await;
        bench.pass(seconds(5)).await;
        if crashes {
            sender.abort();
        }
        bench.replay_from_end(id).await;
        if crashes {
            sender = bench.start();
        }
        let now = bench.clock.now();
        bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
        bench.until_complete(URL, seconds(120)).await;
        sender.abort();
    }
}

/// Proves that a replay of a restaurant's endpoint begins at the cursor in the shard of the restaurant, and in no other shard goes
/// back, whatever the cursor states there: at the start, or at a position of another incarnation.
#[tokio::test(start_paused = true)]
async fn a_replay_of_a_restaurant_changes_one_shard() {
    let mut bench = Bench::with_two_shards(51);
    let restaurant = bench.restaurant_in(1);
    let owner = WebhookOwner::Restaurant(restaurant);
    let id = bench.endpoint(URL, healthy(), |endpoint| endpoint.owner = owner).await;
    let sender = bench.start();
    for _ in 0..3 {
        bench.place_in(0).await;
        bench.place_in(1).await;
    }
    let order = bench.place_at(restaurant).await.to_string();
    let received = |count: usize| {
        let accepted = bench.endpoints.accepted(URL);
        accepted.len() == 2 * count && accepted.iter().all(|(of, _)| *of == order)
    };
    bench.until(seconds(30), "the order is delivered", || received(1)).await;
    bench.pass(seconds(5)).await;
    let start = FeedCursor::at_start(&bench.store.feed_sources());
    let mut void = start.clone();
    void.set("north", Incarnation::new(1), FeedPosition { transaction: 0, sequence: 1 });
    for (number, cursor) in [start, void].into_iter().enumerate() {
        let end = bench.ends().await[0].position;
        assert_eq!(bench.replay(id, cursor).await, [end, FeedPosition::START]);
        bench.until(seconds(30), "the order is delivered again", || received(number + 2)).await;
    }
    sender.abort();
}

/// Proves I10 for a replay from the end of the feed before a sender knows the endpoint, and that a replay of an
/// endpoint that has received everything sends nothing old again.
#[tokio::test(start_paused = true)]
async fn a_replay_begins_at_the_start_of_a_new_endpoint() {
    let mut bench = Bench::new(49);
    let other = "https://other.example/";
    let healthy_id = bench.endpoint(other, healthy(), |_| {}).await;
    let id = bench.endpoint(URL, healthy(), |_| {}).await;
    for _ in 0..5 {
        bench.place().await;
    }
    bench.replay_from_end(id).await;
    let sender = bench.start();
    bench.until_complete(URL, seconds(30)).await;
    bench.until_complete(other, seconds(30)).await;
    bench.pass(seconds(5)).await;
    let accepted = bench.endpoints.accepted(other).len();
    bench.replay_from_end(healthy_id).await;
    bench.pass(seconds(10)).await;
    assert_eq!(bench.endpoints.accepted(other).len(), accepted);
    bench.place().await;
    bench.until_complete(other, seconds(30)).await;
    sender.abort();
}
