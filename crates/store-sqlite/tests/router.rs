//! The conformance suite on three embedded stores behind a router.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic")]

use std::{sync::Arc, time::Duration};

use dabba_store::{ShardMap, ShardRange, ShardedStore, Store, conformance::Harness};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct Fresh {
    store: Arc<ShardedStore>,
    _directory: TempDir,
}

impl Harness for Fresh {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

/// Time limit that only a hanging shard exceeds, so that a busy machine omits no healthy shard.
const PATIENCE: Duration = Duration::from_mins(1);

fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let mut shards = Vec::new();
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    // The shards are not in the order of the buckets, and the directory is not the first shard.
    for (name, buckets) in [("south", "2731-4095"), ("north", "0-1365"), ("middle", "1366-2730")] {
        let path = directory.path().join(format!("{name}.db"));
        SqliteStore::migrate(&path).unwrap();
        stores.push(Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap()));
        shards.push(ShardRange {
            name: name.to_owned(),
            buckets: buckets.parse().unwrap(),
            split_from: None,
        });
    }
    let store = ShardedStore::new(ShardMap::new(shards).unwrap(), stores).unwrap();
    let store = store.with_directory("middle").unwrap().with_timeout(PATIENCE);
    Fresh { store: Arc::new(store), _directory: directory }
}

dabba_store::conformance_suite!(async { fresh() });
