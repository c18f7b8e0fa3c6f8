//! A server on two databases, each in its own cluster, one of which is killed or hangs.

use std::{sync::Arc, time::Duration};

use dabba_domain::RestaurantId;
use dabba_pg_cluster::Cluster;
use dabba_store::{ShardMap, ShardRange, ShardedStore, Store};
use dabba_testkit::{EventStream, TestServer, equal, eventually, menu, postgres_shard, settings};
use futures::{FutureExt as _, future::join_all};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, timeout};

/// The documented maximum time for one shard.
const LIMIT: Duration = dabba_engine::SHARD_CHECK_TIMEOUT;

/// The shards and their buckets.
const RANGES: [(&str, &str); 2] = [("north", "0-2047"), ("south", "2048-4095")];

/// Number of the first bucket of the southern shard.
const SOUTH: u16 = 2_048;

/// Starts a server on two shards. Returns it with the clusters of the shards.
async fn start() -> (TestServer, [Cluster; 2]) {
    let [(north, of_north), (south, of_south)] =
        RANGES.map(|(name, buckets)| postgres_shard(name, buckets.parse().unwrap()));
    let map = RANGES.map(|(name, buckets)| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
        split_from: None,
    });
    let stores = vec![north().await, south().await];
    let store: Arc<dyn Store> =
        Arc::new(ShardedStore::new(ShardMap::new(map.into()).unwrap(), stores).unwrap());
    let factory = Arc::new(move || std::future::ready(Arc::clone(&store)).boxed());
    (TestServer::builder().store(factory).start().await, [of_north, of_south])
}

/// Proves that the state of the shards shows a killed database at once, beside the other one, and shows when the
/// database works again; a search meanwhile is incomplete.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_shown_and_delays_nobody() {
    let (server, [_north, south]) = start().await;
    let state = async || {
        let began = Instant::now();
        let all = server.get("/v1/shards", Some(&server.admin)).await.expect(200);
        assert!(began.elapsed() < LIMIT * 5, "{:?}", began.elapsed());
        all["shards"].as_array().unwrap().clone()
    };
    let search = async || server.get("/v1/orders?code=PF2DB", Some(&server.admin)).await.expect(200);
    for (shard, (name, _)) in state().await.iter().zip(RANGES) {
        assert_eq!((&shard["name"], &shard["state"]), (&json!(name), &json!("ok")), "{shard}");
        assert_eq!((&shard["database"], &shard["buckets"]), (&json!("postgresql"), &json!(2_048)), "{shard}");
        assert!(shard["schema_version"].as_u64().unwrap() > 1, "{shard}");
        assert!(shard["pool"]["connections"].as_u64().unwrap() > 0, "{shard}");
    }
    assert_eq!(search().await, json!({"orders": []}));

    south.kill().unwrap();
    let all = state().await;
    assert_eq!((&all[0]["state"], &all[1]["state"]), (&json!("ok"), &json!("unreachable")), "{all:?}");
    let error = all[1]["error"].as_str().unwrap();
    assert!(error.contains("shard south: ") && !error.contains("postgresql://"), "{error}");
    assert_eq!(search().await, json!({"orders": [], "incomplete": true}));

    south.restart().unwrap();
    eventually("the restarted shard is shown", async || {
        let all = state().await;
        if all.iter().all(|shard| shard["state"] == "ok") { Ok(()) } else { Err(all) }
    })
    .await;
}

/// Creates restaurants until each shard has one. Returns their ids: north, south.
async fn restaurants(server: &TestServer) -> [String; 2] {
    /// Each shard has half of the buckets, and the bucket of a restaurant is random.
    const MAX_ATTEMPTS: usize = 100;
    let mut found = [None, None];
    for _ in 0..MAX_ATTEMPTS {
        if let [Some(north), Some(south)] = found {
            return [north, south];
        }
        let made = server.post("/v1/restaurants", Some(&server.admin), &settings("Dosa House")).send().await;
        let id = made.text_at("/id");
        let path = format!("/v1/restaurants/{id}/menu");
        let menu = server.put(&path, Some(&server.admin), &menu()).header("if-match", "*");
        menu.send().await.expect(200);
        let bucket = id.parse::<RestaurantId>().unwrap().bucket().number();
        found[usize::from(bucket >= SOUTH)] = Some(id);
    }
    panic!("all restaurants are on one shard");
}

/// Proves that a database that hangs delays no board of another database, although clients abandon many boards of it and
/// open them again with the same token, and that its own boards open when it answers again.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_delays_no_board_of_another_database() {
    /// More than the streams that a token may have.
    const ABANDONED: usize = 100;
    /// Time after which a client abandons its request. The server's reads end after 5 s.
    const PATIENCE_OF_CLIENT: Duration = Duration::from_millis(500);
    /// Maximum time for the board of the database that answers.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let (server, [_of_north, cluster]) = start().await;
    let [north, south] = restaurants(&server).await;
    let request = |restaurant: &str| {
        let path = format!("/v1/restaurants/{restaurant}/board/stream");
        server.request(Method::GET, &path).by(&server.admin)
    };
    let begin = async |restaurant: &str| -> EventStream {
        let mut stream = request(restaurant).stream().await;
        assert_eq!(stream.next().await.unwrap().event, "snapshot");
        stream
    };
    // The shard is followed, so that the boards get as far as the read of their orders.
    let open = begin(&south).await;
    let frozen = cluster.freeze().unwrap();
    let abandoned = (0..ABANDONED).map(|_| timeout(PATIENCE_OF_CLIENT, request(&south).try_send()));
    join_all(abandoned).await;
    let began = Instant::now();
    let of_north = begin(&north).await;
    let taken = began.elapsed();
    assert!(taken < AT_ONCE, "{taken:?}");
    let refused = request(&south).send().await;
    assert_ne!(refused.header("retry-after"), "");
    refused.problem(503, "unavailable");
    drop((open, of_north, frozen));
    eventually("the board opens again", async || {
        let status = request(&south).send().await.status;
        equal(status, &200)
    })
    .await;
}
