//! The suite that every store must pass.

use std::sync::Arc;

use dabba_store::{Store, conformance::Harness};
use dabba_store_postgres::PostgresStore;

use crate::common::{LentCluster, open, own_database};

/// A store on a database of its own. Several properties are about the feed; see [`LentCluster`].
struct Fresh {
    store: Arc<PostgresStore>,
    _cluster: LentCluster,
}

impl Harness for Fresh {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

async fn fresh() -> Fresh {
    let (cluster, url) = own_database();
    Fresh { store: open(&url).await, _cluster: cluster }
}

dabba_store::conformance_suite!(fresh());
