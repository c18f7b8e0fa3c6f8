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
    CatalogueStore as _, FeedCursor, FeedEntry, OrderStore as _,
    conformance::builders::{World, menu, slug},
};
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore, Randomness};
use tokio_postgres::{Client, NoTls};

/// Brings a database to the newest schema.
fn migrate(url: &str) {
    block_on(PostgresStore::migrate(url, &Ownership::sole())).unwrap().unwrap();
}

/// A new database in this process's cluster.
pub(crate) fn fresh_database() -> String {
    Cluster::shared().unwrap().database_from("migrated", migrate).unwrap()
}

/// A cluster that nobody else uses for now, for a test that expects the feed to show an event at once: the
/// feed waits for every open transaction of its cluster, those of other tests included.
///
/// Starting a cluster takes longer than most tests, so the next test gets it, as often as
/// [`MAX_USES`] allows.
pub(crate) struct LentCluster {
    cluster: Option<Cluster>,
    uses: u32,
}

/// How often a cluster is lent before it is removed with all the databases that it has gathered.
const MAX_USES: u32 = 8;

/// The clusters that nobody uses, and how often each was lent.
static FREE_CLUSTERS: Mutex<Vec<(Cluster, u32)>> = Mutex::new(Vec::new());

impl LentCluster {
    pub(crate) fn take() -> Self {
        let free = FREE_CLUSTERS.lock().unwrap().pop();
        let (cluster, uses) =
            free.unwrap_or_else(|| (Cluster::start(&ClusterOptions::default()).unwrap(), 0));
        Self { cluster: Some(cluster), uses: uses + 1 }
    }

    /// A new database with the newest schema.
    pub(crate) fn database(&self) -> String {
        self.cluster.as_ref().unwrap().database_from("migrated", migrate).unwrap()
    }
}

impl Drop for LentCluster {
    fn drop(&mut self) {
        // One on which a test has failed may be in any state.
        if self.uses < MAX_USES && !std::thread::panicking() {
            FREE_CLUSTERS.lock().unwrap().extend(self.cluster.take().map(|cluster| (cluster, self.uses)));
        }
    }
}

/// A new database in a cluster that nobody else uses; see [`LentCluster`].
pub(crate) fn own_database() -> (LentCluster, String) {
    let cluster = LentCluster::take();
    let url = cluster.database();
    (cluster, url)
}

/// A cluster of one's own, with a database that has the newest schema.
pub(crate) fn own_cluster(options: &ClusterOptions) -> (Cluster, String) {
    let cluster = Cluster::start(options).unwrap();
    // The database that every cluster comes with will do.
    let url = cluster.url("postgres");
    migrate(&url);
    (cluster, url)
}

/// Numbers that look random and are the same each time.
pub(crate) fn randomness() -> Randomness {
    let state = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    Arc::new(move || {
        let step = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    })
}

/// A store as it is by default, in virtual time.
pub(crate) async fn open(url: &str) -> Arc<PostgresStore> {
    open_with(url, &PostgresOptions { lease_clock: LeaseClock::Caller, ..PostgresOptions::default() }).await
}

/// A store with options.
pub(crate) async fn open_with(url: &str, options: &PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(url, &Ownership::sole(), options, randomness()).await.unwrap())
}

/// How long a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so; fails the test when it never is.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain until {what}");
}

/// A session beside the store's own.
pub(crate) async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A restaurant that takes all orders, with so much stock of one item.
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

/// All events, page by page.
pub(crate) async fn whole_feed(store: &PostgresStore) -> Vec<FeedEntry> {
    feed_after(store, FeedCursor::start()).await
}

/// All events after a place in the feed, page by page.
pub(crate) async fn feed_after(store: &PostgresStore, mut cursor: FeedCursor) -> Vec<FeedEntry> {
    let mut feed = Vec::new();
    loop {
        let page = store.feed(&cursor, 100).await.unwrap();
        let Some(last) = page.last() else { return feed };
        cursor = last.cursor.clone();
        feed.extend(page);
    }
}
