//! A store of two shards, of which one does not answer.

use std::sync::Arc;

use dabba_store::{ShardMap, ShardRange, ShardedStore, Store};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_testkit::TestServer;
use futures::FutureExt as _;
use serde_json::json;
use tempfile::TempDir;

/// A server on two shards: `north`, which knows the accounts, and `south`.
struct Sharded {
    server: TestServer,
    north: Arc<dyn Store>,
    south: Arc<dyn Store>,
    _directory: TempDir,
}

impl Sharded {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| -> Arc<dyn Store> {
            let path = directory.path().join(name);
            SqliteStore::migrate(&path).unwrap();
            Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap())
        };
        let (north, south) = (open("north.db"), open("south.db"));
        let range = |(name, buckets): (&str, &str)| ShardRange {
            name: name.to_owned(),
            buckets: buckets.parse().unwrap(),
        };
        let map = ShardMap::new([("north", "0-2047"), ("south", "2048-4095")].map(range).into()).unwrap();
        let router = ShardedStore::new(map, vec![Arc::clone(&north), Arc::clone(&south)]).unwrap();
        let router: Arc<dyn Store> = Arc::new(router);
        let server = TestServer::builder()
            .store(Arc::new(move || std::future::ready(Arc::clone(&router)).boxed()))
            .start()
            .await;
        Self { server, north, south, _directory: directory }
    }
}

/// Proves that a server without one of its shards stays ready, says which is missing, and is not ready
/// without the one that knows the accounts.
#[tokio::test]
async fn a_server_without_a_shard_is_ready_and_says_so() {
    let Sharded { server, north, south, .. } = Sharded::start().await;
    assert_eq!(server.get("/readyz", None).await.expect(200), json!({"status": "ok"}));
    south.close().await;
    let degraded = json!({"status": "degraded", "shards": ["south"]});
    assert_eq!(server.get("/readyz", None).await.expect(200), degraded);
    north.close().await;
    server.get("/readyz", None).await.problem(503, "unavailable");
}
