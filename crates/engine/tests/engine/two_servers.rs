//! Two servers on one PostgreSQL database: each sees the other's changes, by polling and by notifications.
//!
//! No test measures a time, because a busy machine would make it fail. The tests count the reads that a server needs
//! until it sees a change; [`every_server_sees_a_change_in_under_a_second`] derives the time from this count and from
//! the configured interval.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
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
    working::{eventually, with_tasks},
    world::{World, config, menu_with_dal_at},
};

/// Maximum time until every server sees a change.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// An interval that is short enough for tests.
const OFTEN: Duration = Duration::from_millis(10);

/// An interval that never elapses in a test.
const NEVER: Duration = Duration::from_hours(1);

/// Prices of dal after each change.
const PRICES: std::ops::Range<i64> = 501..507;

async fn open(url: &str) -> Arc<PostgresStore> {
    let random = SeededRandom::new(9);
    let randomness = Arc::new(move || random.next_u64());
    Arc::new(
        PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness).await.unwrap(),
    )
}

/// A server that changes a menu, and another server that has cached this menu and watches for changes.
struct TwoServers {
    world: World,
    other: Arc<Engine>,
    /// The other server's store.
    store: Arc<FaultyStore>,
    _watching: JoinSet<()>,
}

impl TwoServers {
    /// Starts both servers. The other server polls at this interval, and gets the notifications of the database on
    /// request.
    async fn start(catalogue_poll_interval: Duration, with_notifications: bool) -> Self {
        let cluster = Cluster::shared().unwrap();
        let database = cluster.create_database().unwrap();
        let url = cluster.url(&database);
        PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
        let world = World::on(open(&url).await, config()).await;
        let store = Arc::new(FaultyStore::new(open(&url).await));
        store.hides_hints.store(!with_notifications, Ordering::SeqCst);
        let ports = Ports {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&world.clock) as _,
            random: Arc::new(SeededRandom::new(10)),
            gateway: None,
        };
        let other = Engine::start(ports, EngineConfig { catalogue_poll_interval, ..config() });
        assert_eq!(world.price_of_dal(&other).await, 500);
        let mut watching = JoinSet::new();
        watching.spawn(Arc::clone(&other.catalogue).watch_catalogues());
        if with_notifications {
            wait_for_listener(cluster, &database);
        }
        Self { world, other, store, _watching: watching }
    }

    async fn change_price(&self, price: i64) {
        let (engine, menu) = (&self.world.engine, menu_with_dal_at(price));
        engine.catalogue.replace_menu(&self.world.staff, self.world.restaurant_id, menu, None).await.unwrap();
    }
}

/// Waits until there is a listener, because earlier notifications are lost.
fn wait_for_listener(cluster: &Cluster, database: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = '{database}' AND state = 'idle' AND query LIKE 'LISTEN%'"
    );
    cluster.wait_for_result("postgres", &sql, "1").unwrap();
}

/// Proves that the first poll that begins after a change sees the change. Fails if a poll misses a change of another
/// server, or loads the former menu again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_poll_after_a_change_sees_it() {
    let servers = TwoServers::start(OFTEN, false).await;
    let polls = &servers.store.revision_read_sizes;
    for price in PRICES {
        servers.change_price(price).await;
        let before = polls.get().len();
        // One poll follows the other, so when the second poll begins, the catalogue is loaded by the first.
        polls.until("the other server polls twice", |polls| polls.len() >= before + 2).await;
        assert_eq!(servers.world.price_of_dal(&servers.other).await, price);
    }
}

/// Proves that a change is seen in under a second without notifications: the first poll after the change sees it, as
/// [`the_first_poll_after_a_change_sees_it`] proves, and at the default interval this poll comes early enough to leave
/// half of the time to the database.
#[test]
fn every_server_sees_a_change_in_under_a_second() {
    assert!(EngineConfig::default().catalogue_poll_interval <= MAX_DELAY / 2);
}

/// Proves that a notification is sufficient to see a change: the polling interval does not elapse. Fails if a change is
/// not notified, or if the other server ignores the notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_by_a_notification_alone() {
    let servers = TwoServers::start(NEVER, true).await;
    for price in PRICES {
        servers.change_price(price).await;
        eventually("the change is seen", async || servers.world.price_of_dal(&servers.other).await == price)
            .await;
    }
}

/// Proves that a server without workers notifies the workers of another process of due tasks; those workers poll only
/// once in an hour here. Fails if the task is not notified, or if the worker ignores the notification.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_another_process_is_notified_of_tasks() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let gateway = Arc::new(TestGateway::new());
    let world = World::paying(open(&url).await, Some(Arc::clone(&gateway) as _), config()).await;
    let rarely = with_tasks(|tasks| tasks.poll_interval = NEVER);
    let store = Arc::new(FaultyStore::new(open(&url).await));
    let worker = world.engine_on(Arc::clone(&store) as _, rarely);
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&worker.catalogue).watch_catalogues());
    running.spawn(Arc::clone(&worker.work).run(std::future::pending()));
    wait_for_listener(cluster, &database);
    store.claims_answered.until("the worker polls each queue", |calls| *calls >= 2).await;

    let placed = world.place(&dal_by_card(1, "tok_succeed"), "a").await.unwrap().order;
    eventually("the task is executed", async || world.read(placed.id).await.status == OrderStatus::Confirmed)
        .await;
}
