//! The stores on which a server can be tested.

use std::{path::Path, sync::Arc};

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::{Cluster, block_on};
use dabba_store::Store;
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use futures::{FutureExt as _, future::BoxFuture};

/// Opens the store of a server: an empty one at first, the same one with all that is in it after a
/// restart.
pub type StoreFactory = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync>;

/// Connections of one server under test: as many tests as there are processors run at once, and a
/// cluster has room for 300 connections.
const POOL_SIZE: u32 = 4;

/// Stores in an `SQLite` file in this directory.
pub fn sqlite_in(directory: &Path) -> StoreFactory {
    let path = directory.join("dabba.db");
    Arc::new(move || {
        let path = path.clone();
        async move {
            SqliteStore::migrate(&path).expect("the database can be migrated");
            let store = SqliteStore::open(&path, &SqliteOptions::default());
            Arc::new(store.expect("the database can be opened")) as Arc<dyn Store>
        }
        .boxed()
    })
}

/// Stores in a PostgreSQL database of its own, in the cluster of this process. The database is made here;
/// it goes with the cluster, when the process ends.
pub fn postgres() -> StoreFactory {
    let cluster = Cluster::shared().expect("a cluster can be made");
    let url = cluster.database_from("migrated", |url| {
        let migrated = block_on(PostgresStore::migrate(url, &Ownership::sole())).expect("a runtime");
        migrated.expect("the database can be migrated");
    });
    let url = url.expect("a database can be made");
    Arc::new(move || {
        let url = url.clone();
        async move {
            let options = PostgresOptions {
                pool_size: POOL_SIZE,
                // The servers' clocks are virtual.
                lease_clock: LeaseClock::Caller,
                ..PostgresOptions::default()
            };
            let random = SeededRandom::new(1);
            let randomness = Arc::new(move || random.next_u64());
            let store = PostgresStore::open(&url, &Ownership::sole(), &options, randomness).await;
            Arc::new(store.expect("the database can be opened")) as Arc<dyn Store>
        }
        .boxed()
    })
}
