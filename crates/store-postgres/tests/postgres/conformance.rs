//! The conformance suite, which every store must pass.

use std::sync::Arc;

use dabba_store::{Store, conformance::Harness};
use dabba_store_postgres::PostgresStore;

use crate::common::{LentCluster, open, own_database};

/// A store on its own database. Several tests of the suite use the feed, so no other test uses the cluster; see
/// [`LentCluster`].
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
