//! Databases and stores for tests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dabba_domain::RestaurantId;
use dabba_pg_cluster::{Cluster, ClusterOptions, block_on};
use dabba_store::{
    CatalogueStore as _, FeedEvent, FeedPosition,
    conformance::builders::{self, World, menu, slug},
};
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore, Randomness};
use tokio_postgres::{Client, NoTls};

/// Migrates a database to the newest schema.
fn migrate(url: &str) {
    block_on(PostgresStore::migrate(url, &Ownership::sole())).unwrap().unwrap();
}

/// Creates a database in this process's cluster, and returns its URL.
pub(crate) fn fresh_database() -> String {
    Cluster::shared().unwrap().database_from("migrated", migrate).unwrap()
}

/// A cluster that no other test uses at the same time. A test needs it if it expects the feed to show an event at
/// once: the feed waits for every open transaction of its cluster, including those of other tests.
///
/// Starting a cluster takes longer than most tests, so up to [`MAX_USES`] tests use the same cluster one after the
/// other.
pub(crate) struct LentCluster {
    cluster: Option<Cluster>,
    uses: u32,
}

/// Maximum number of tests that use a cluster before it is removed with all its databases.
const MAX_USES: u32 = 8;

/// Unused clusters, each with the number of its uses.
static FREE_CLUSTERS: Mutex<Vec<(Cluster, u32)>> = Mutex::new(Vec::new());

impl LentCluster {
    pub(crate) fn take() -> Self {
        let free = FREE_CLUSTERS.lock().unwrap().pop();
        let (cluster, uses) =
            free.unwrap_or_else(|| (Cluster::start(&ClusterOptions::default()).unwrap(), 0));
        Self { cluster: Some(cluster), uses: uses + 1 }
    }

    /// Creates a database with the newest schema, and returns its URL.
    pub(crate) fn database(&self) -> String {
        self.cluster.as_ref().unwrap().database_from("migrated", migrate).unwrap()
    }
}

impl Drop for LentCluster {
    fn drop(&mut self) {
        // A cluster on which a test has failed may be in any state, so it is not used again.
        if self.uses < MAX_USES && !std::thread::panicking() {
            FREE_CLUSTERS.lock().unwrap().extend(self.cluster.take().map(|cluster| (cluster, self.uses)));
        }
    }
}

/// Creates a database in a cluster that no other test uses at the same time; see [`LentCluster`].
pub(crate) fn own_database() -> (LentCluster, String) {
    let cluster = LentCluster::take();
    let url = cluster.database();
    (cluster, url)
}

/// Starts a cluster, with the newest schema in its default database.
pub(crate) fn own_cluster(options: &ClusterOptions) -> (Cluster, String) {
    let cluster = Cluster::start(options).unwrap();
    // The default database of a cluster is sufficient.
    let url = cluster.url("postgres");
    migrate(&url);
    (cluster, url)
}

/// Returns a generator of pseudorandom numbers that are the same in each run.
pub(crate) fn randomness() -> Randomness {
    let state = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    Arc::new(move || {
        let step = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    })
}

/// Opens a store with the default options and virtual time.
pub(crate) async fn open(url: &str) -> Arc<PostgresStore> {
    open_with(url, &PostgresOptions { lease_clock: LeaseClock::Caller, ..PostgresOptions::default() }).await
}

/// Opens a store with the given options.
pub(crate) async fn open_with(url: &str, options: &PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(url, &Ownership::sole(), options, randomness()).await.unwrap())
}

/// Timeout of a wait for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two polls of a database that has nothing new.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns the result of a future; fails the test after [`PATIENCE`].
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    assert!(result.is_ok(), "timed out before {what}");
    result.unwrap()
}

/// Waits until a condition is met; fails the test after [`PATIENCE`]. For states of the database, which notifies no test
/// of them.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    in_time(what, async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    })
    .await;
}

/// Polls until there is something, and returns what was found; fails the test after [`PATIENCE`].
pub(crate) async fn eventually_some<T>(what: &str, mut poll: impl AsyncFnMut() -> Vec<T>) -> Vec<T> {
    in_time(what, async {
        loop {
            let found = poll().await;
            if !found.is_empty() {
                break found;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    })
    .await
}

/// Opens a session beside the store's own.
pub(crate) async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Creates a restaurant that accepts all orders, with limited stock of one item.
pub(crate) async fn restaurant(
    store: &PostgresStore,
    world: &mut World,
    item: &str,
    stock: u32,
) -> RestaurantId {
    let restaurant = world.restaurant();
    assert!(store.create_restaurant(&restaurant, &menu(&[item])).await.unwrap().is_created());
    store.set_stock(restaurant.id, &slug(item), Some(stock)).await.unwrap();
    restaurant.id
}

/// Returns all events, read page by page.
pub(crate) async fn whole_feed(store: &PostgresStore) -> Vec<FeedEvent> {
    feed_after(store, FeedPosition::START).await
}

/// Returns all events after a position in the feed, read page by page.
pub(crate) async fn feed_after(store: &PostgresStore, position: FeedPosition) -> Vec<FeedEvent> {
    builders::feed_after(store, 0, position).await
}
