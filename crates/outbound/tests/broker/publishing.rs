//! The publisher against a broker in memory. Time is virtual.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_outbound::broker::{BrokerStart, BrokerState, PART};
use dabba_store::PartStatus;
use dabba_testkit::eventually;

use crate::world::{MemoryBroker, MemoryFeed, MemoryLease, MemorySink, Running};

/// Number of orders of a test's feed.
const ORDERS: usize = 400;

/// The parts of a test.
struct World {
    broker: Arc<MemoryBroker>,
    feed: Arc<MemoryFeed>,
    lease: Arc<MemoryLease>,
}

impl World {
    fn new() -> Self {
        Self { broker: Arc::default(), feed: MemoryFeed::new(ORDERS), lease: Arc::default() }
    }

    fn start(&self, number: usize, start: BrokerStart) -> Running {
        let sink = Arc::new(MemorySink(Arc::clone(&self.broker)));
        Running::start(number, sink, &self.feed, &self.lease, start)
    }

    /// Waits until the broker holds this number of events and marks.
    async fn holds(&self, count: usize) {
        eventually("the broker holds the events", async || {
            let found = self.broker.stored.lock().unwrap().len();
            if found == count { Ok(()) } else { Err(found) }
        })
        .await;
    }
}

async fn is_in(running: &Running, state: BrokerState) {
    eventually(
        "the publisher is in the state",
        async || if running.metrics.is_in(state) { Ok(()) } else { Err(()) },
    )
    .await;
}

fn status(running: &Running) -> PartStatus {
    running.supervisor.parts().into_iter().find(|part| part.name == PART).unwrap()
}

/// Proves that events that are committed before and while the publisher runs reach the broker once and in order.
#[tokio::test(start_paused = true)]
async fn events_reach_the_broker() {
    let world = World::new();
    world.feed.commit_up_to(700);
    let running = world.start(1, BrokerStart::Start);
    world.holds(700).await;
    world.feed.commit_up_to(world.feed.len());
    world.holds(world.feed.len()).await;
    let delivered = world.broker.delivered();
    assert_eq!(delivered.len(), world.feed.len());
    world.feed.assert_complete(&delivered, 0);
    assert_eq!(running.metrics.published(), world.feed.len() as u64);
    assert_eq!((running.metrics.rewinds(), running.metrics.restarts()), (0, 0));
    assert!(running.metrics.is_in(BrokerState::Publishing));
}

/// Proves that after a failed acknowledgement the publisher continues after the last stored event, and does not count this as a loss.
#[tokio::test(start_paused = true)]
async fn a_failed_acknowledgement_repeats_nothing_and_skips_nothing() {
    let world = World::new();
    world.feed.commit_up_to(world.feed.len());
    world.broker.fail_after.store(777, Ordering::SeqCst);
    let running = world.start(1, BrokerStart::Start);
    world.holds(world.feed.len()).await;
    let delivered = world.broker.delivered();
    assert_eq!(delivered.len(), world.feed.len());
    world.feed.assert_complete(&delivered, 0);
    assert_eq!(running.metrics.rewinds(), 0);
}

/// Proves that the publisher rewinds to the last event that survived, without any other sign that the broker lost events than the
/// interrupted connection, and counts the loss.
#[tokio::test(start_paused = true)]
async fn a_loss_rewinds_the_publisher() {
    let world = World::new();
    world.feed.commit_up_to(world.feed.len());
    let running = world.start(1, BrokerStart::Start);
    world.holds(world.feed.len()).await;
    for survived in [1_234, 0] {
        world.broker.is_down.store(true, Ordering::SeqCst);
        is_in(&running, BrokerState::Connecting).await;
        world.broker.truncate(survived);
        world.broker.is_down.store(false, Ordering::SeqCst);
        world.holds(world.feed.len()).await;
    }
    assert_eq!(running.metrics.rewinds(), 2);
    let delivered = world.broker.delivered();
    assert_eq!(delivered.len(), 3 * world.feed.len() - 1_234);
    world.feed.assert_complete(&delivered, 0);
}

/// Proves that after a restore all events are published again, and that the restart is counted once.
#[tokio::test(start_paused = true)]
async fn a_restored_database_is_published_from_its_start() {
    let world = World::new();
    world.feed.commit_up_to(600);
    let running = world.start(1, BrokerStart::Now);
    world.holds(1).await;
    world.feed.commit_up_to(650);
    world.holds(51).await;
    world.feed.restore();
    world.holds(51 + 650).await;
    running.stop().await;
    let running = world.start(1, BrokerStart::Now);
    world.feed.commit_up_to(700);
    world.holds(51 + 700).await;
    assert_eq!(running.metrics.restarts(), 0, "the place of the events after the restore is valid");
    world.feed.assert_complete(&world.broker.delivered()[50..], 0);
}

/// Proves that a publisher that finds every place void, also the start, pauses between its attempts, and publishes everything when
/// the feed can be read.
#[tokio::test(start_paused = true)]
async fn a_place_that_stays_void_costs_constant_work() {
    let world = World::new();
    world.feed.commit_up_to(600);
    world.feed.is_void.store(true, Ordering::SeqCst);
    let running = world.start(1, BrokerStart::Start);
    tokio::time::sleep(Duration::from_hours(1)).await;
    let reads = world.feed.reads.load(Ordering::SeqCst);
    assert!((200..3_000).contains(&reads), "{reads} reads in an hour");
    assert!(status(&running).is_stuck && running.metrics.restarts() == 0);
    world.feed.is_void.store(false, Ordering::SeqCst);
    world.holds(600).await;
    world.feed.assert_complete(&world.broker.delivered(), 0);
}

/// Proves that a publisher whose connection lasts notices that the broker's events were purged, and publishes them again.
#[tokio::test(start_paused = true)]
async fn a_purge_is_noticed() {
    let world = World::new();
    world.feed.commit_up_to(600);
    let running = world.start(1, BrokerStart::Start);
    world.holds(600).await;
    world.broker.truncate(0);
    world.holds(600).await;
    assert_eq!((running.metrics.rewinds(), running.metrics.published()), (1, 1_200));
}

/// Proves that the lag counts while a shard does not answer, although every other event is published.
#[tokio::test(start_paused = true)]
async fn a_silent_shard_counts_as_lag() {
    let world = World::new();
    world.feed.commit_up_to(600);
    let running = world.start(1, BrokerStart::Start);
    world.holds(600).await;
    world.feed.is_incomplete.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(running.metrics.lag_seconds() > 590.0, "{}", running.metrics.lag_seconds());
    assert!(!status(&running).is_stuck);
    world.feed.is_incomplete.store(false, Ordering::SeqCst);
    eventually("the lag is 0", async || if running.metrics.lag_seconds() == 0.0 { Ok(()) } else { Err(()) })
        .await;
}

/// Proves that a publisher does not take events for lost if another process published further ones while it paused.
#[tokio::test(start_paused = true)]
async fn events_of_another_publisher_are_no_loss() {
    let world = World::new();
    world.feed.commit_up_to(500);
    let running = world.start(1, BrokerStart::Start);
    world.holds(500).await;
    world.broker.is_down.store(true, Ordering::SeqCst);
    is_in(&running, BrokerState::Connecting).await;
    world.feed.commit_up_to(800);
    world.broker.publish_elsewhere(&world.feed, 500..700);
    world.broker.is_down.store(false, Ordering::SeqCst);
    world.holds(800).await;
    assert_eq!((running.metrics.rewinds(), running.metrics.published()), (0, 600));
    world.feed.assert_complete(&world.broker.delivered(), 0);
}

/// Proves that a publisher that begins now skips no event that is committed after its first connection, although nothing was
/// published before it ended.
#[tokio::test(start_paused = true)]
async fn beginning_now_skips_nothing_that_comes_later() {
    let world = World::new();
    world.feed.commit_up_to(500);
    let running = world.start(1, BrokerStart::Now);
    world.holds(1).await;
    running.stop().await;
    world.feed.commit_up_to(520);
    let running = world.start(2, BrokerStart::Now);
    world.holds(21).await;
    world.feed.assert_complete(&world.broker.delivered(), 500);
    // The broker loses everything: the same process continues after the last event that the broker had confirmed.
    world.broker.is_down.store(true, Ordering::SeqCst);
    is_in(&running, BrokerState::Connecting).await;
    world.broker.truncate(0);
    world.feed.commit_up_to(540);
    world.broker.is_down.store(false, Ordering::SeqCst);
    world.holds(21).await;
    world.feed.assert_complete(&world.broker.delivered(), 500);
    assert_eq!(running.metrics.rewinds(), 1);
}

/// Proves that a publisher that begins now counts a loss once, however often marking the place fails, and counts the next loss.
#[tokio::test(start_paused = true)]
async fn a_loss_is_counted_once_if_marks_fail() {
    let world = World::new();
    world.feed.commit_up_to(500);
    let running = world.start(1, BrokerStart::Now);
    world.holds(1).await;
    for (count, losses) in [(520, 1), (540, 2)] {
        world.broker.is_down.store(true, Ordering::SeqCst);
        is_in(&running, BrokerState::Connecting).await;
        world.broker.truncate(0);
        world.broker.failing_marks.store(5, Ordering::SeqCst);
        world.feed.commit_up_to(count);
        world.broker.is_down.store(false, Ordering::SeqCst);
        world.holds(21).await;
        assert_eq!(world.broker.failing_marks.load(Ordering::SeqCst), 0);
        assert_eq!(running.metrics.rewinds(), losses);
    }
    world.feed.assert_complete(&world.broker.delivered(), 500);
}

/// Proves that while the broker is down, the publisher reads no events and makes at most one attempt per maximum pause in the mean of
/// two, that the part is stuck, and that publishing then continues.
#[tokio::test(start_paused = true)]
async fn a_broker_that_is_down_costs_constant_work() {
    let world = World::new();
    world.broker.is_down.store(true, Ordering::SeqCst);
    world.feed.commit_up_to(world.feed.len());
    let running = world.start(1, BrokerStart::Start);
    tokio::time::sleep(Duration::from_hours(1)).await;
    let connections = world.broker.connections.load(Ordering::SeqCst);
    assert!((100..1_500).contains(&connections), "{connections} attempts in an hour");
    assert_eq!(world.feed.reads.load(Ordering::SeqCst), 0);
    assert!(status(&running).is_stuck && !status(&running).is_down);
    assert!(running.metrics.is_in(BrokerState::Connecting));
    assert!(running.metrics.lag_seconds() > 3_500.0);
    world.broker.is_down.store(false, Ordering::SeqCst);
    world.holds(world.feed.len()).await;
    is_in(&running, BrokerState::Publishing).await;
    assert!(!status(&running).is_stuck);
    eventually("the lag is 0", async || if running.metrics.lag_seconds() == 0.0 { Ok(()) } else { Err(()) })
        .await;
}

/// Proves that only the lease holder publishes, that another process continues after the holder ends, and that a process that loses
/// its lease stops.
#[tokio::test(start_paused = true)]
async fn one_process_publishes() {
    let world = World::new();
    let first = world.start(1, BrokerStart::Start);
    is_in(&first, BrokerState::Publishing).await;
    let second = world.start(2, BrokerStart::Start);
    world.feed.commit_up_to(500);
    world.holds(500).await;
    assert_eq!((first.metrics.published(), second.metrics.published()), (500, 0));
    first.stop().await;
    is_in(&second, BrokerState::Publishing).await;
    world.feed.commit_up_to(1_000);
    world.holds(1_000).await;
    assert_eq!(second.metrics.published(), 500);
    world.lease.give_to(3);
    is_in(&second, BrokerState::Standby).await;
    world.feed.commit_up_to(1_500);
    let third = world.start(3, BrokerStart::Start);
    world.holds(1_500).await;
    assert_eq!((second.metrics.published(), third.metrics.published()), (500, 500));
    world.feed.assert_complete(&world.broker.delivered(), 0);
}

/// Proves that the holder continues while the store does not answer the renewal of the lease, and that no process begins then.
#[tokio::test(start_paused = true)]
async fn a_silent_store_does_not_stop_the_holder() {
    let world = World::new();
    let first = world.start(1, BrokerStart::Start);
    is_in(&first, BrokerState::Publishing).await;
    world.lease.is_silent.store(true, Ordering::SeqCst);
    let second = world.start(2, BrokerStart::Start);
    tokio::time::sleep(Duration::from_mins(10)).await;
    world.feed.commit_up_to(500);
    world.holds(500).await;
    assert_eq!((first.metrics.published(), second.metrics.published()), (500, 0));
    assert!(second.metrics.is_in(BrokerState::Connecting));
}
