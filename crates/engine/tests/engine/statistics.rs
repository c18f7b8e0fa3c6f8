//! Statistics: exact however often a roll-up fails, is repeated or moves to another process; ranges; retention.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    Timestamp,
    order::{CancelReason, Command},
    statistics::Statistic,
};
use dabba_engine::{
    Engine, Error, ManualClock, Principal, STATISTICS_RETENTION, StatisticsAnswer, StatisticsQuery,
    StatisticsQueryError,
};
use dabba_store::{
    Store, StoreError,
    layer::{StoreCall, StoreLayer},
};
use dabba_testkit::{equal, eventually};
use futures::future::{Either, select};
use jiff::SignedDuration;

use crate::world::{World, accept, cancel, config, dal, key, start_of_time};

/// Longer than the lease of a shard.
const AFTER_THE_LEASE: SignedDuration = SignedDuration::from_secs(31);

/// A store of which one call fails: the one with a given number, before it is made or after it.
struct FailingCall {
    inner: Arc<dyn Store>,
    calls: AtomicUsize,
    fails_at: usize,
    is_made: bool,
    has_failed: AtomicBool,
}

impl FailingCall {
    fn new(inner: &Arc<dyn Store>, fails_at: usize, is_made: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            calls: AtomicUsize::new(0),
            fails_at,
            is_made,
            has_failed: AtomicBool::new(false),
        })
    }

    fn fail(&self) -> Result<(), StoreError> {
        self.has_failed.store(true, Ordering::SeqCst);
        Err(StoreError::OutcomeUnknown("injected by the test".to_owned()))
    }
}

#[async_trait]
impl StoreLayer for FailingCall {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, _call: StoreCall) -> Result<(), StoreError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if number == self.fails_at && !self.is_made { self.fail() } else { Ok(()) }
    }

    async fn after(&self, _call: StoreCall) -> Result<(), StoreError> {
        if self.calls.load(Ordering::SeqCst) == self.fails_at + 1 && self.is_made {
            self.fail()
        } else {
            Ok(())
        }
    }
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// Returns the statistics since the start of time, by minute.
async fn read(engine: &Engine, admin: &Principal) -> StatisticsAnswer {
    let (from, to) = (start_of_time(), start_of_time() + minutes(120));
    let query = StatisticsQuery::new(Vec::new(), Some(from), Some(to), Some(60), to).unwrap();
    engine.statistics.read(admin, &query).await.unwrap()
}

/// Returns the points of a statistic: minute, number and sum in whole seconds.
fn points(answer: &StatisticsAnswer, statistic: Statistic) -> Vec<(i64, u64, u64)> {
    let series = answer.series.iter().filter(|series| series.statistic == statistic);
    let points = series.flat_map(|series| &series.points);
    let minute = |at: Timestamp| at.duration_since(start_of_time()).as_mins();
    points.map(|point| (minute(point.at), point.tally.count, point.tally.sum / 1_000_000)).collect()
}

/// Everything that is derived from the feed.
fn derived(answer: &StatisticsAnswer) -> BTreeMap<&'static str, Vec<(i64, u64, u64)>> {
    let derived = [
        Statistic::OrdersPlaced,
        Statistic::OrdersDelivered,
        Statistic::OrdersCancelled,
        Statistic::AcceptanceTime,
        Statistic::Lateness,
        Statistic::DeliveryTime,
    ];
    derived.map(|statistic| (statistic.as_str(), points(answer, statistic))).into()
}

/// Places four orders and brings them to their ends in two parts, with a roll-up after each: two are delivered, one of
/// them late, and two are cancelled.
async fn an_evening(world: &World, mut roll_up: impl AsyncFnMut()) {
    let mut placed = Vec::new();
    for name in ["in time", "late", "cancelled", "given up"] {
        placed.push(world.place(&dal(1), name).await.unwrap().order.id);
    }
    world.clock.advance(minutes(1));
    for id in &placed[..2] {
        world.act(&world.staff, *id, accept()).await.unwrap();
    }
    world.act(&world.customer, placed[2], Command::cancel(CancelReason::ChangedMind)).await.unwrap();
    roll_up().await;
    world.clock.advance(minutes(10));
    world.act(&world.staff, placed[0], Command::MarkReady).await.unwrap();
    world.clock.advance(minutes(15));
    world.act(&world.staff, placed[1], Command::MarkReady).await.unwrap();
    world.clock.advance(minutes(4));
    for id in &placed[..2] {
        world.act(&world.staff, *id, Command::deliver()).await.unwrap();
    }
    world.act(&world.staff, placed[3], cancel()).await.unwrap();
    roll_up().await;
}

fn evening() -> BTreeMap<&'static str, Vec<(i64, u64, u64)>> {
    BTreeMap::from([
        ("orders_placed", vec![(0, 4, 0)]),
        ("orders_delivered", vec![(30, 2, 0)]),
        ("orders_cancelled", vec![(1, 1, 0), (30, 1, 0)]),
        ("acceptance_time", vec![(1, 2, 120)]),
        // Ready 10 minutes before the promised time, and 5 minutes after it.
        ("lateness", vec![(11, 1, 0), (26, 1, 300)]),
        ("delivery_time", vec![(30, 2, 3_600)]),
    ])
}

/// Proves what each statistic counts and measures, and that a roll-up without new events changes nothing.
#[tokio::test]
async fn an_evening_is_counted() {
    let world = World::new().await;
    let engine = &world.engine;
    assert_eq!(read(engine, &world.admin).await.complete_until, start_of_time(), "nothing was rolled up");
    an_evening(&world, async || engine.statistics.roll_up(0).await.unwrap()).await;
    let answer = read(engine, &world.admin).await;
    assert_eq!(derived(&answer), evening());
    assert_eq!(answer.complete_until, engine.now() - SignedDuration::from_secs(10));
    assert_eq!(answer.missing_shards, Vec::<String>::new());
    engine.statistics.roll_up(0).await.unwrap();
    assert_eq!(derived(&read(engine, &world.admin).await), evening());
    let lateness = answer.series.iter().find(|series| series.statistic == Statistic::Lateness).unwrap();
    let late = &lateness.points[1].tally;
    assert_eq!((late.max, late.quantile(500)), (300_000_000, Some(300_000_000)));
}

/// Proves that each event counts once whichever call of a roll-up fails, whether or not its effect took place, and
/// whether the same process repeats the roll-up or another one takes over.
#[tokio::test]
async fn a_roll_up_that_fails_counts_once() {
    let mut failed = 0;
    for is_made in [false, true] {
        for takes_over in [false, true] {
            for fails_at in 0.. {
                let world = World::new().await;
                let inner: Arc<dyn Store> = Arc::clone(&world.store) as _;
                let failing = FailingCall::new(&inner, fails_at, is_made);
                let first = world.engine_on(Arc::clone(&failing) as _, config());
                an_evening(&world, async || {
                    if first.statistics.roll_up(0).await.is_ok() {
                        return;
                    }
                    if takes_over {
                        // The other process begins with an empty memory.
                        let other = world.second_engine();
                        // Both engines draw the same numbers: this one gets another name.
                        other.random_u64();
                        other.statistics.roll_up(0).await.unwrap();
                        world.clock.advance(AFTER_THE_LEASE);
                        other.statistics.roll_up(0).await.unwrap();
                        // The evening goes on at its own times.
                        world.clock.advance(-AFTER_THE_LEASE);
                    }
                    first.statistics.roll_up(0).await.unwrap();
                })
                .await;
                let found = derived(&read(&world.engine, &world.admin).await);
                assert_eq!(found, evening(), "{fails_at} {is_made} {takes_over}");
                if !failing.has_failed.load(Ordering::SeqCst) {
                    break;
                }
                failed += 1;
            }
        }
    }
    assert!(failed > 20, "only {failed} calls failed");
}

/// A store on which each read of a history takes a second, by the clock of the world, and is counted.
struct SlowHistories {
    inner: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    read: AtomicUsize,
}

#[async_trait]
impl StoreLayer for SlowHistories {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.method == "events" {
            self.read.fetch_add(1, Ordering::SeqCst);
            self.clock.advance(SignedDuration::from_secs(1));
        }
        Ok(())
    }
}

/// Proves that a server that takes over counts every event although it reads the histories of the open orders for longer
/// than a lease lasts.
#[tokio::test]
async fn a_slow_takeover_makes_progress() {
    let world = World::new().await;
    let orders = 40;
    let mut placed = Vec::new();
    for number in 0..orders {
        placed.push(world.place(&dal(1), &number.to_string()).await.unwrap().order.id);
    }
    world.engine.statistics.roll_up(0).await.unwrap();
    for id in placed {
        world.act(&world.staff, id, accept()).await.unwrap();
    }
    world.clock.advance(AFTER_THE_LEASE);
    let slow = Arc::new(SlowHistories {
        inner: Arc::clone(&world.store) as _,
        clock: Arc::clone(&world.clock),
        read: AtomicUsize::new(0),
    });
    let other = world.engine_on(Arc::clone(&slow) as _, config());
    other.random_u64();
    other.statistics.roll_up(0).await.unwrap();
    let answer = read(&world.engine, &world.admin).await;
    assert_eq!(points(&answer, Statistic::AcceptanceTime), [(0, orders, 0)]);
    assert_eq!(u64::try_from(slow.read.load(Ordering::SeqCst)), Ok(orders), "each history is read once");
}

/// Proves that of two servers on one database, each event is counted by one, while both roll up all the time and the
/// lease moves between them, and that a server that lost the lease without knowing writes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_count_each_event_once() {
    let open = dabba_testkit::postgres();
    let world = World::on(open().await, config()).await;
    let other = world.engine_on(open().await, config());
    let (first, second) = (&world.engine.statistics, &other.statistics);
    let rounds = 6;
    for round in 0..rounds {
        for number in 0..5 {
            let placed = world.place(&dal(1), &format!("{round}-{number}")).await.unwrap().order.id;
            world.act(&world.staff, placed, accept()).await.unwrap();
        }
        let (one, two) = if round % 2 == 0 { (first, second) } else { (second, first) };
        // The holder of the round before does not learn that its lease has expired.
        world.clock.advance(AFTER_THE_LEASE);
        one.roll_up(0).await.unwrap();
        let (again, also) = tokio::join!(two.roll_up(0), one.roll_up(0));
        again.and(also).unwrap();
    }
    // The last events enter the feed only when the older transactions of the cluster have ended.
    eventually("all events are counted", async || {
        let (one, two) = tokio::join!(first.roll_up(0), second.roll_up(0));
        one.and(two).unwrap();
        let answer = read(&world.engine, &world.admin).await;
        let total = |statistic| points(&answer, statistic).iter().map(|(_, count, _)| count).sum::<u64>();
        let counted = [Statistic::OrdersPlaced, Statistic::AcceptanceTime].map(total);
        assert!(counted.iter().all(|count| *count <= 5 * rounds), "counted twice: {counted:?}");
        equal(counted, &[5 * rounds; 2])
    })
    .await;
}

/// Proves that the latencies of all servers add up, that neither a repeated write nor a repeated request changes
/// anything, and that a server writes what it measured when it stops.
#[tokio::test]
async fn placing_is_measured_by_every_server() {
    let world = World::new().await;
    let other = world.second_engine();
    let of_placing = async || {
        points(&read(&world.engine, &world.admin).await, Statistic::PlacingLatency)
            .into_iter()
            .map(|(minute, count, _)| (minute, count))
            .collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        world.place(&dal(1), name).await.unwrap();
    }
    world.place(&dal(1_000_000), "refused").await.unwrap_err();
    assert!(world.place(&dal(1), "a").await.unwrap().replayed);
    assert_eq!(of_placing().await, [], "nothing is written with an order");
    for _ in 0..2 {
        world.engine.statistics.write_measured(0).await.unwrap();
    }
    other.orders.place(&world.customer, world.restaurant_id, &dal(1), key("c")).await.unwrap();
    other.statistics.finish(Duration::from_mins(1)).await;
    world.clock.advance(minutes(1));
    world.place(&dal(1), "d").await.unwrap();
    world.engine.statistics.write_measured(0).await.unwrap();
    assert_eq!(of_placing().await, [(0, 3), (1, 1)]);
}

/// Proves that another server continues the roll-ups at once if the one before it stopped in order.
#[tokio::test]
async fn a_server_that_stops_releases_its_leases() {
    let world = World::new().await;
    let other = world.second_engine();
    other.random_u64();
    let placed = async || points(&read(&world.engine, &world.admin).await, Statistic::OrdersPlaced);
    world.engine.statistics.roll_up(0).await.unwrap();
    world.place(&dal(1), "a").await.unwrap();
    other.statistics.roll_up(0).await.unwrap();
    assert_eq!(placed().await, [], "another server holds the lease");
    world.engine.statistics.finish(Duration::from_mins(1)).await;
    other.statistics.roll_up(0).await.unwrap();
    assert_eq!(placed().await, [(0, 1, 0)]);
}

/// A store that never answers a write of measured durations.
struct Silent(Arc<dyn Store>);

#[async_trait]
impl StoreLayer for Silent {
    fn inner(&self) -> &dyn Store {
        &*self.0
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.method == "set_statistics" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Proves that a shard that does not answer delays neither the end of the statistics beyond its limit, nor the close of
/// the store at all.
#[tokio::test]
async fn a_silent_shard_does_not_prevent_the_close() {
    let world = World::new().await;
    let silent = world.engine_on(Arc::new(Silent(Arc::clone(&world.store) as _)), config());
    silent.orders.place(&world.customer, world.restaurant_id, &dal(1), key("a")).await.unwrap();
    let closing = std::pin::pin!(silent.shut_down(Duration::from_mins(1)));
    let finishing = std::pin::pin!(silent.statistics.finish(Duration::from_mins(1)));
    match select(closing, finishing).await {
        Either::Left((is_closed, _)) => assert!(is_closed),
        Either::Right(_) => panic!("the statistics were written"),
    }
    silent.statistics.finish(Duration::from_millis(1)).await;
}

/// Proves that waiting tasks are measured once per minute, and are shown per queue.
#[tokio::test]
async fn waiting_tasks_are_measured() {
    let world = World::new().await;
    world.place(&dal(1), "nobody accepts it").await.unwrap();
    world.engine.statistics.roll_up(0).await.unwrap();
    world.clock.advance(minutes(60));
    for _ in 0..3 {
        world.engine.statistics.roll_up(0).await.unwrap();
    }
    let answer = read(&world.engine, &world.admin).await;
    let of_deadlines = |statistic| {
        let is_wanted = |series: &&dabba_engine::StatisticsSeries| {
            series.statistic == statistic && series.queue.as_deref() == Some("deadlines")
        };
        let series = answer.series.iter().find(is_wanted).unwrap();
        series.points.iter().map(|point| (point.tally.count, point.tally.sum)).collect::<Vec<_>>()
    };
    let waiting = of_deadlines(Statistic::TasksWaiting);
    assert_eq!(waiting[0], (1, 0));
    assert!(waiting[1].0 == 1 && waiting[1].1 >= 1, "{waiting:?}");
    let age = of_deadlines(Statistic::TaskAge);
    assert!(age[0] == (1, 0) && age[1].1 > 30 * 60 * 1_000_000, "{age:?}");
    assert_eq!(answer.series.iter().filter(|series| series.queue.is_some()).count(), 4);
}

/// Proves that the first roll-up counts the day before, and not everything.
#[tokio::test]
async fn the_first_roll_up_begins_a_day_ago() {
    let world = World::new().await;
    world.place(&dal(1), "long ago").await.unwrap();
    world.clock.advance(SignedDuration::from_hours(23));
    world.place(&dal(1), "yesterday").await.unwrap();
    world.clock.advance(SignedDuration::from_hours(2));
    world.place(&dal(1), "today").await.unwrap();
    world.engine.statistics.roll_up(0).await.unwrap();
    let to = world.engine.now() + minutes(1);
    let from = to - SignedDuration::from_hours(48);
    let statistics = vec![Statistic::OrdersPlaced];
    let query = StatisticsQuery::new(statistics, Some(from), Some(to), Some(3_600), to).unwrap();
    let answer = world.engine.statistics.read(&world.admin, &query).await.unwrap();
    let times: Vec<_> = answer.series[0].points.iter().map(|point| point.at).collect();
    let hour = |hours| start_of_time() + SignedDuration::from_hours(hours);
    assert_eq!(times, [hour(23), hour(25)]);
}

/// Proves that the maintenance deletes statistics when they are older than the retention, and not before.
#[tokio::test]
async fn statistics_are_kept_for_thirty_days() {
    let world = World::new().await;
    world.place(&dal(1), "a").await.unwrap();
    world.engine.statistics.roll_up(0).await.unwrap();
    let placed = async || points(&read(&world.engine, &world.admin).await, Statistic::OrdersPlaced);
    world.clock.advance(STATISTICS_RETENTION);
    assert_eq!(world.engine.work.delete_old_statistics().await.unwrap(), 0);
    assert_eq!(placed().await, [(0, 1, 0)]);
    world.clock.advance(minutes(1));
    assert!(world.engine.work.delete_old_statistics().await.unwrap() >= 1);
    assert_eq!(placed().await, []);
}

/// Proves that nobody but an admin reads statistics, and that no range makes the server do unbounded work.
#[tokio::test]
async fn statistics_are_for_admins() {
    let world = World::new().await;
    let now = world.engine.now();
    let query = StatisticsQuery::new(Vec::new(), None, None, None, now).unwrap();
    for caller in [&world.staff, &world.customer] {
        let refused = world.engine.statistics.read(caller, &query).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }
    let year = now - SignedDuration::from_hours(365 * 24);
    let too_long = StatisticsQuery::new(Vec::new(), Some(year), None, Some(86_400), now);
    assert_eq!(too_long, Err(vec![StatisticsQueryError::TooLong]));
}
