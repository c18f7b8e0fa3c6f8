//! A server on two databases, each in its own cluster, one of which is killed.

use std::{sync::Arc, time::Duration};

use dabba_store::{ShardMap, ShardRange, ShardedStore, Store};
use dabba_testkit::{TestServer, postgres_shard};
use futures::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;

/// The documented maximum time for one shard.
const LIMIT: Duration = dabba_engine::SHARD_CHECK_TIMEOUT;

/// Proves that the state of the shards shows a killed database at once, beside the other one, and shows when the
/// database works again; a search meanwhile is incomplete.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_shown_and_delays_nobody() {
    let ranges = [("north", "0-2047"), ("south", "2048-4095")];
    let shards = ranges.map(|(name, buckets)| postgres_shard(name, buckets.parse().unwrap()));
    let map = ranges.map(|(name, buckets)| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
        split_from: None,
    });
    let stores = vec![(shards[0].0)().await, (shards[1].0)().await];
    let store: Arc<dyn Store> =
        Arc::new(ShardedStore::new(ShardMap::new(map.into()).unwrap(), stores).unwrap());
    let factory = Arc::new(move || std::future::ready(Arc::clone(&store)).boxed());
    let server = TestServer::builder().store(factory).start().await;
    let state = async || {
        let began = Instant::now();
        let all = server.get("/v1/shards", Some(&server.admin)).await.expect(200);
        assert!(began.elapsed() < LIMIT * 5, "{:?}", began.elapsed());
        all["shards"].as_array().unwrap().clone()
    };
    let search = async || server.get("/v1/orders?code=PF2DB", Some(&server.admin)).await.expect(200);
    for (shard, (name, _)) in state().await.iter().zip(ranges) {
        assert_eq!((&shard["name"], &shard["state"]), (&json!(name), &json!("ok")), "{shard}");
        assert_eq!((&shard["database"], &shard["buckets"]), (&json!("postgresql"), &json!(2_048)), "{shard}");
        assert!(shard["schema_version"].as_u64().unwrap() > 1, "{shard}");
        assert!(shard["pool"]["connections"].as_u64().unwrap() > 0, "{shard}");
    }
    assert_eq!(search().await, json!({"orders": []}));

    shards[1].1.kill().unwrap();
    let all = state().await;
    assert_eq!((&all[0]["state"], &all[1]["state"]), (&json!("ok"), &json!("unreachable")), "{all:?}");
    let error = all[1]["error"].as_str().unwrap();
    assert!(error.contains("shard south: ") && !error.contains("postgresql://"), "{error}");
    assert_eq!(search().await, json!({"orders": [], "incomplete": true}));

    shards[1].1.restart().unwrap();
    dabba_testkit::eventually("the restarted shard is shown", async || {
        let all = state().await;
        if all.iter().all(|shard| shard["state"] == "ok") { Ok(()) } else { Err(all) }
    })
    .await;
}
