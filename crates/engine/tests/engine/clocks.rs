//! Servers on one PostgreSQL database whose machines' clocks differ.

use std::{sync::Arc, time::Duration};

use dabba_domain::{AccountId, Bucket, Role, Timestamp, task::TaskQueue};
use dabba_engine::{
    Clock, ClockConfig, Engine, EngineConfig, Error, Ports, Principal, Random as _, SeededRandom,
    ServerClock, SystemClock,
};
use dabba_pg_cluster::Cluster;
use dabba_store::TaskStore as _;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use jiff::SignedDuration;

use crate::world::{config, dal, key, menu_with_dal_at, settings};

/// Maximum difference between two measurements of the same clock on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(30);

/// A machine's clock that is ahead of the correct time.
struct Ahead(SignedDuration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.0
    }
}

fn ahead(minutes: i64, skew_limit: Duration) -> Arc<ServerClock> {
    let machine = Arc::new(Ahead(SignedDuration::from_mins(minutes)));
    Arc::new(ServerClock::new(machine, ClockConfig { skew_limit, ..ClockConfig::default() }))
}

async fn database() -> String {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    url
}

async fn open(url: &str, seed: u64) -> Arc<PostgresStore> {
    let random = SeededRandom::new(seed);
    let randomness = Arc::new(move || random.next_u64());
    Arc::new(
        PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness).await.unwrap(),
    )
}

fn engine_on(
    store: &Arc<PostgresStore>,
    clock: Arc<dyn Clock>,
    config: EngineConfig,
    seed: u64,
) -> Arc<Engine> {
    let random = Arc::new(SeededRandom::new(seed));
    Engine::start(Ports { store: Arc::clone(store) as _, clock, random, gateway: None }, config)
}

/// Proves that a server whose machine is ten minutes ahead neither acts early on deadlines nor leases a task whose
/// lease another server holds, and that without the correction it would act early.
#[tokio::test]
async fn servers_with_different_clocks_keep_the_same_deadlines_and_leases() {
    let url = database().await;
    let hour = Duration::from_hours(1);
    let clock = ahead(-3, hour);
    let store = open(&url, 11).await;
    clock.measure(&*store).await.unwrap();
    let engine = engine_on(&store, Arc::clone(&clock) as _, config(), 15);
    let other_store = open(&url, 12).await;
    let other_clock = ahead(10, hour);
    other_clock.measure(&*other_store).await.unwrap();
    assert!(clock.now().duration_since(other_clock.now()).unsigned_abs() < TOLERANCE);

    // The restaurant is warned after six minutes at the earliest.
    let account = |number| AccountId::generate(clock.now(), Bucket::from_random(0), number);
    let admin = Principal::new(account(1), Role::Admin);
    let customer = Principal::new(account(4), Role::Customer);
    let entry = engine.catalogue.create_restaurant(&admin, settings(), menu_with_dal_at(500)).await.unwrap();
    engine.orders.place(&customer, entry.restaurant().id, &dal(1), key("1")).await.unwrap();
    let other = engine_on(&other_store, Arc::clone(&other_clock) as _, config(), 13);
    assert!(!other.work.run_next(TaskQueue::Deadlines).await.unwrap(), "the task is not due yet");
    let uncorrected = engine_on(&other_store, Arc::new(Ahead(SignedDuration::from_mins(10))), config(), 14);

    // A lease is measured by the database's clock, independent of the callers' clocks.
    let (due, lease) = (clock.now() + SignedDuration::from_mins(30), Duration::from_mins(2));
    let claimed = store.claim_due_tasks(TaskQueue::Deadlines, due, due + lease, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let far = due + hour;
    assert_eq!(other_store.claim_due_tasks(TaskQueue::Deadlines, far, far + lease, 10).await.unwrap(), []);
    assert!(!uncorrected.work.run_next(TaskQueue::Deadlines).await.unwrap(), "the task is leased");

    assert!(store.postpone_task(claimed[0].lease, claimed[0].task.run_at, None).await.unwrap());
    assert!(!other.work.run_next(TaskQueue::Deadlines).await.unwrap(), "the task is still not due");
    assert!(
        uncorrected.work.run_next(TaskQueue::Deadlines).await.unwrap(),
        "a clock that is ahead acts early"
    );
}

/// Proves that a server beyond the limit is not ready, executes no tasks, and reports the reason.
#[tokio::test]
async fn a_server_beyond_the_clock_limit_executes_no_tasks() {
    let url = database().await;
    let store = open(&url, 21).await;
    let limit = Duration::from_mins(1);
    for (minutes, word) in [(10, "ahead of"), (-10, "behind")] {
        let clock = ahead(minutes, limit);
        assert_eq!(clock.check(), Ok(()), "the offset is not measured yet");
        clock.measure(&*store).await.unwrap();
        let skew = clock.check().unwrap_err();
        assert!(skew.to_string().contains(word), "{skew}");
        let engine = engine_on(&store, Arc::clone(&clock) as _, config(), 22);
        assert!(matches!(engine.check_ready().await, Err(Error::ClockSkew(found)) if found == skew));
        let refused = engine.work.run_next(TaskQueue::Deadlines).await;
        assert!(matches!(refused, Err(Error::ClockSkew(_))), "{refused:?}");
        let refused = engine.boards.check_unattended().await;
        assert!(matches!(refused, Err(Error::ClockSkew(_))), "{refused:?}");
        engine.boards.write_connections(true).await.unwrap_err();
    }
    let clock = ahead(0, limit);
    clock.measure(&*store).await.unwrap();
    engine_on(&store, clock, config(), 23).check_ready().await.unwrap();
}
