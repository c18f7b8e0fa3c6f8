//! A router over three databases fulfils the contract of a store.

use std::{sync::Arc, time::Duration};

use dabba_store::{ShardMap, ShardRange, ShardedStore, Store, conformance::Harness};

use crate::common::{LentCluster, open};

/// A router over three databases in a cluster that no other test uses at the same time.
struct Fresh {
    store: Arc<ShardedStore>,
    _cluster: LentCluster,
}

impl Harness for Fresh {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

/// Time limit of the router. It is long, so that a slow machine never excludes a healthy shard.
const PATIENCE: Duration = Duration::from_mins(1);

async fn fresh() -> Fresh {
    let cluster = LentCluster::take();
    let mut shards = Vec::new();
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    // Shards are not in the order of their buckets, and the directory is not the first shard.
    for (name, buckets) in [("south", "2731-4095"), ("north", "0-1365"), ("middle", "1366-2730")] {
        stores.push(open(&cluster.database()).await);
        shards.push(ShardRange {
            name: name.to_owned(),
            buckets: buckets.parse().unwrap(),
            split_from: None,
        });
    }
    let store = ShardedStore::new(ShardMap::new(shards).unwrap(), stores).unwrap();
    let store = store.with_directory("middle").unwrap().with_timeout(PATIENCE);
    Fresh { store: Arc::new(store), _cluster: cluster }
}

dabba_store::conformance_suite!(fresh());
