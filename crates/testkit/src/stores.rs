//! Stores on which a server can be tested.

use std::{path::Path, sync::Arc};

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::{Cluster, ClusterOptions, block_on};
use dabba_store::{BucketRange, Store};
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore, admin::Administration};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use futures::{FutureExt as _, future::BoxFuture};

/// Opens a server's store. The first call opens an empty store; a call after a restart opens the same store with
/// its content.
pub type StoreFactory = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync>;

/// Number of connections of one server under test. As many tests as there are processors run at the same time,
/// and a cluster has room for 300 connections.
const POOL_SIZE: u32 = 4;

/// Returns a factory of stores in an `SQLite` file in `directory`.
pub fn sqlite_in(directory: &Path) -> StoreFactory {
    let path = directory.join("dabba.db");
    Arc::new(move || {
        let path = path.clone();
        async move {
            SqliteStore::migrate(&path).expect("migrating the database should succeed");
            let store = SqliteStore::open(&path, &SqliteOptions::default());
            Arc::new(store.expect("opening the database should succeed")) as Arc<dyn Store>
        }
        .boxed()
    })
}

/// Returns a factory of stores in a new PostgreSQL database in this process's cluster. This function creates the
/// database. The database is removed with the cluster, when the process ends.
pub fn postgres() -> StoreFactory {
    restorable_postgres().0
}

/// Returns a factory of stores for one shard, and the cluster in which that shard is alone, so that a test can stop it.
pub fn postgres_shard(name: &str, buckets: BucketRange) -> (StoreFactory, Cluster) {
    let cluster = Cluster::start(&ClusterOptions::default()).expect("starting a cluster should succeed");
    let database = cluster.create_database().expect("creating a database should succeed");
    let url = cluster.url(&database);
    let ownership = Ownership { name: name.to_owned(), buckets, is_directory: false };
    let migrated =
        block_on(PostgresStore::migrate(&url, &ownership)).expect("creating a Tokio runtime should succeed");
    migrated.expect("migrating the database should succeed");
    (Arc::new(move || open(url.clone(), ownership.clone()).boxed()), cluster)
}

/// Gives the database a new incarnation while servers use it, as `dabba shards restored` does after a restore.
pub type Restore = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Does what [`postgres`] does, and also returns what marks the database as restored.
pub fn restorable_postgres() -> (StoreFactory, Restore) {
    let cluster = Cluster::shared().expect("starting the PostgreSQL cluster should succeed");
    let url = cluster.database_from("migrated", |url| {
        let migrated = block_on(PostgresStore::migrate(url, &Ownership::sole()))
            .expect("creating a Tokio runtime should succeed");
        migrated.expect("migrating the database should succeed");
    });
    let url = url.expect("creating a database should succeed");
    let restored = url.clone();
    let restore = move || {
        let administration = Administration::new(&restored).expect("the URL should be valid");
        async move {
            administration.renew_incarnation().await.expect("renewing the incarnation should succeed");
            administration.close().await;
        }
        .boxed()
    };
    (Arc::new(move || open(url.clone(), Ownership::sole()).boxed()), Box::new(restore))
}

async fn open(url: String, ownership: Ownership) -> Arc<dyn Store> {
    let options = PostgresOptions {
        pool_size: POOL_SIZE,
        // The clocks of servers under test are virtual.
        lease_clock: LeaseClock::Caller,
        ..PostgresOptions::default()
    };
    let random = SeededRandom::new(1);
    let randomness = Arc::new(move || random.next_u64());
    let store = PostgresStore::open(&url, &ownership, &options, randomness).await;
    Arc::new(store.expect("opening the database should succeed"))
}
