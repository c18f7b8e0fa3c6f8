//! Two servers on one PostgreSQL database: each sees the other's changes in less than a second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use dabba_domain::order::OrderStatus;
use dabba_engine::{Engine, EngineConfig, Ports, Random as _, SeededRandom};
use dabba_pg_cluster::Cluster;
use dabba_store::Store;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use tokio::task::JoinSet;

use crate::{
    faulty::FaultyStore,
    paying::{TestGateway, dal_by_card},
    working::with_tasks,
    world::{World, config, menu_with_dal_at},
};

/// Maximum time until a change is seen by every server.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Maximum time to wait for an expected effect.
const MAX_WAIT: Duration = Duration::from_secs(20);

async fn open(url: &str) -> Arc<PostgresStore> {
    let random = SeededRandom::new(9);
    let randomness = Arc::new(move || random.next_u64());
    Arc::new(
        PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness).await.unwrap(),
    )
}

/// Returns the times from the request to change a menu on one server to its visibility on the other one. The median
/// must be below the maximum; single changes may take longer on a busy machine.
async fn delays(config: EngineConfig, with_hints: bool) -> Vec<Duration> {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let world = World::on(open(&url).await, config.clone()).await;
    let store = Arc::new(FaultyStore::new(open(&url).await));
    store.hides_hints.store(!with_hints, Ordering::SeqCst);
    let random = Arc::new(SeededRandom::new(10));
    let ports = Ports {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::clone(&world.clock) as _,
        random,
        gateway: None,
    };
    let other = Engine::start(ports, config);
    let mut watching = JoinSet::new();
    watching.spawn(Arc::clone(&other.catalogue).watch_catalogues());
    assert_eq!(world.price_of_dal(&other).await, 500);
    if with_hints {
        wait_for_listener(cluster, &database);
    }

    let mut delays = Vec::new();
    for price in 501..507 {
        let begun = Instant::now();
        let menu = menu_with_dal_at(price);
        world.engine.catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();
        while world.price_of_dal(&other).await != price {
            assert!(begun.elapsed() < MAX_WAIT, "the change is not seen");
            tokio::task::yield_now().await;
        }
        delays.push(begun.elapsed());
    }
    delays.sort_unstable();
    assert!(delays[delays.len() / 2] < MAX_DELAY, "{delays:?}");
    delays
}

/// Waits until there is a listener, because earlier notifications are lost.
fn wait_for_listener(cluster: &Cluster, database: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = '{database}' AND state = 'idle' AND query LIKE 'LISTEN%'"
    );
    let begun = Instant::now();
    while cluster.execute("postgres", &sql).unwrap().trim() != "1" {
        assert!(begun.elapsed() < MAX_WAIT, "there is no listener");
    }
}

/// Proves it with polling alone, at the default interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_in_under_a_second_without_notifications() {
    let delays = delays(config(), false).await;
    println!("without notifications: {delays:?}");
}

/// Proves it with notifications alone: the polling interval does not elapse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_in_under_a_second_by_notifications() {
    let config = EngineConfig { catalogue_poll_interval: Duration::from_hours(1), ..config() };
    let delays = delays(config, true).await;
    println!("by notifications: {delays:?}");
}

/// Proves that a server without workers notifies the workers of another process of due tasks; those workers poll only
/// once in an hour here.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_another_process_is_notified_of_tasks() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let gateway = Arc::new(TestGateway::new());
    let world = World::paying(open(&url).await, Some(Arc::clone(&gateway) as _), config()).await;
    let rarely = with_tasks(|tasks| tasks.poll_interval = Duration::from_hours(1));
    let worker = world.engine_on(open(&url).await, rarely);
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&worker.catalogue).watch_catalogues());
    running.spawn(Arc::clone(&worker.work).run(std::future::pending()));
    wait_for_listener(cluster, &database);

    let begun = Instant::now();
    let placed = world.place(&dal_by_card(1, "tok_succeed"), "a").await.unwrap().order;
    while world.read(placed.id).await.status != OrderStatus::Confirmed {
        assert!(begun.elapsed() < MAX_WAIT, "the task is not executed");
        tokio::task::yield_now().await;
    }
}
