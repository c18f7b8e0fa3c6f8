//! A store of two shards, one of which does not answer.

mod mismatch;

use std::sync::Arc;

use dabba_domain::{Bucket, RestaurantId};
use dabba_store::{ShardMap, ShardRange, ShardedStore, Store};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_testkit::{HttpResponse, TestServer, menu, settings};
use futures::FutureExt as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

/// First bucket of the southern shard, which has the upper half of the buckets.
const SOUTH: u16 = Bucket::COUNT / 2;

/// A server with two shards: `north`, which stores the accounts, and `south`.
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
        let range = |(name, buckets): (&str, String)| ShardRange {
            name: name.to_owned(),
            buckets: buckets.parse().unwrap(),
            split_from: None,
        };
        let map = ShardMap::new(
            [("north", format!("0-{}", SOUTH - 1)), ("south", format!("{SOUTH}-4095"))].map(range).into(),
        )
        .unwrap();
        let router = ShardedStore::new(map, vec![Arc::clone(&north), Arc::clone(&south)]).unwrap();
        let router: Arc<dyn Store> = Arc::new(router);
        let server = TestServer::builder()
            .store(Arc::new(move || std::future::ready(Arc::clone(&router)).boxed()))
            .start()
            .await;
        Self { server, north, south, _directory: directory }
    }

    /// Creates restaurants until each shard has one. Returns their ids: north, south.
    async fn restaurants(&self) -> [String; 2] {
        /// Each shard has half of the buckets, and the bucket of a restaurant is random.
        const MAX_ATTEMPTS: usize = 100;
        let (server, mut found) = (&self.server, [None, None]);
        let mut located = settings("Dosa House");
        located["location"] = json!({"lat": 51.5, "lng": -0.1});
        for _ in 0..MAX_ATTEMPTS {
            if let [Some(north), Some(south)] = found {
                return [north, south];
            }
            let made = server.post("/v1/restaurants", Some(&server.admin), &located).send().await;
            let id = made.text_at("/id");
            let menu_path = format!("/v1/restaurants/{id}/menu");
            let menu = server.put(&menu_path, Some(&server.admin), &menu()).header("if-match", "*");
            menu.send().await.expect(200);
            let bucket = id.parse::<RestaurantId>().unwrap().bucket().number();
            found[usize::from(bucket >= SOUTH)] = Some(id);
        }
        panic!("all restaurants are on one shard");
    }
}

/// Asserts that a list states in its body and in its header whether it is incomplete. Returns the ids of its entries.
#[track_caller]
fn listed(answer: HttpResponse, name: &str, is_incomplete: bool) -> Vec<String> {
    assert_eq!(answer.header("dabba-incomplete"), if is_incomplete { "true" } else { "" });
    let body = answer.expect(200);
    assert_eq!(body.get("incomplete"), is_incomplete.then_some(&json!(true)));
    let entries = body[name].as_array().unwrap();
    entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// Proves that requests about data on a silent shard are refused, that other requests succeed, and that lists are marked as
/// incomplete.
#[tokio::test]
async fn lists_without_a_shard_are_marked_as_incomplete() {
    let sharded = Sharded::start().await;
    let restaurants = sharded.restaurants().await;
    let Sharded { server, south, .. } = &sharded;
    let place = |restaurant: &str, key: &str| {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        server.post(&path, Some(&server.customer), &TestServer::collection()).key(key).send()
    };
    let mut orders = Vec::new();
    for restaurant in &restaurants {
        orders.push(place(restaurant, "before").await.text_at("/id"));
    }
    let restaurant_list = || server.get("/v1/restaurants?limit=100", None);
    let order_list = || server.get("/v1/orders", Some(&server.customer));
    let all = listed(restaurant_list().await, "restaurants", false);
    assert!(restaurants.iter().all(|id| all.contains(id)));
    assert_eq!(listed(order_list().await, "orders", false).len(), 2);
    let near = || server.get("/v1/restaurants?near=51.5,-0.1", None);
    let mut found = listed(near().await, "restaurants", false);
    found.sort();
    assert!(restaurants.iter().all(|id| found.contains(id)), "{found:?}");

    south.close().await;
    // A search answers from memory.
    assert_eq!(listed(near().await, "restaurants", false).len(), found.len());
    let rest = listed(restaurant_list().await, "restaurants", true);
    assert!(rest.contains(&restaurants[0]) && !rest.contains(&restaurants[1]));
    assert_eq!(listed(order_list().await, "orders", true), orders[..1]);
    let of_restaurant = async |id: &str| {
        let path = format!("/v1/restaurants/{id}/orders");
        server.get(&path, Some(&server.admin)).await
    };
    assert_eq!(listed(of_restaurant(&restaurants[0]).await, "orders", false), orders[..1]);
    of_restaurant(&restaurants[1]).await.problem(503, "unavailable");
    place(&restaurants[0], "after").await.expect(201);
    place(&restaurants[1], "after").await.problem(503, "unavailable");
}

/// Proves that a full last page of several shards has no cursor, and that pages of one entry add up to the whole list.
#[tokio::test]
async fn the_last_page_over_shards_has_no_cursor() {
    let sharded = Sharded::start().await;
    let restaurants = sharded.restaurants().await;
    let server = &sharded.server;
    for (number, restaurant) in restaurants.iter().cycle().take(4).enumerate() {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        let order = server.post(&path, Some(&server.customer), &TestServer::collection());
        order.key(format!("k{number}")).send().await.expect(201);
    }
    for (path, member) in [("/v1/restaurants", "restaurants"), ("/v1/orders", "orders")] {
        let read = async |query: String| server.get(&query, Some(&server.customer)).await.expect(200);
        let whole = read(format!("{path}?limit=100")).await;
        let count = whole[member].as_array().unwrap().len();
        let full = read(format!("{path}?limit={count}")).await;
        assert_eq!((&full[member], full.get("next_cursor")), (&whole[member], None), "{path}");
        let mut entries = Vec::new();
        let mut next = Some(format!("{path}?limit=1"));
        while let Some(query) = next {
            let page = read(query).await;
            entries.extend(page[member].as_array().unwrap().iter().cloned());
            next = page["next_cursor"].as_str().map(|cursor| format!("{path}?limit=1&cursor={cursor}"));
        }
        assert_eq!(json!(entries), whole[member], "{path}");
    }
}

/// Proves that a search omits a silent shard and states that it is incomplete.
#[tokio::test]
async fn a_search_without_a_shard_is_incomplete() {
    let sharded = Sharded::start().await;
    let restaurants = sharded.restaurants().await;
    let Sharded { server, south, .. } = &sharded;
    let mut orders = Vec::new();
    for restaurant in &restaurants {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        let placed = server.post(&path, Some(&server.customer), &TestServer::collection()).key("1");
        orders.push(placed.send().await.expect(201));
    }
    let search = async |order: &Value| {
        let code = order["display_code"].as_str().unwrap();
        server.get(&format!("/v1/orders?code={code}"), Some(&server.admin)).await
    };
    for order in &orders {
        assert_eq!(listed(search(order).await, "orders", false), [order["id"].as_str().unwrap()]);
    }
    south.close().await;
    assert_eq!(listed(search(&orders[0]).await, "orders", true), [orders[0]["id"].as_str().unwrap()]);
    assert_eq!(listed(search(&orders[1]).await, "orders", true), [] as [&str; 0]);
}

/// Proves that the state of the shards names the one that does not answer, with a reason, and shows the others.
#[tokio::test]
async fn the_state_of_each_shard_is_shown() {
    let sharded = Sharded::start().await;
    let Sharded { server, south, .. } = &sharded;
    let shards = async || server.get("/v1/shards", Some(&server.admin)).await.expect(200);
    let all = shards().await;
    assert_eq!(all["checked_at"], server.now().to_string());
    for (shard, name) in all["shards"].as_array().unwrap().iter().zip(["north", "south"]) {
        let shown =
            json!({"name": name, "state": "ok", "database": "sqlite", "buckets": SOUTH, "tasks_parked": 0});
        for (member, value) in shown.as_object().unwrap() {
            assert_eq!(shard[member], *value, "{shard}");
        }
        assert!(shard["schema_version"].as_u64().unwrap() > 1 && shard["latency_ms"].is_u64(), "{shard}");
        assert!(shard["pool"]["connections"].as_u64().unwrap() > 0, "{shard}");
    }
    south.close().await;
    let all = shards().await;
    assert_eq!(
        (&all["shards"][0]["state"], &all["shards"][1]["state"]),
        (&json!("ok"), &json!("unreachable"))
    );
    let silent = all["shards"][1].as_object().unwrap();
    assert!(silent["error"].as_str().unwrap().contains("south"), "{silent:?}");
    for absent in ["schema_version", "latency_ms", "tasks_parked"] {
        assert_eq!(silent.get(absent), None);
    }
}

/// Proves that a server without one of its shards stays ready and names the missing shard, and is not ready without any shard.
#[tokio::test]
async fn a_server_without_a_shard_is_degraded() {
    let Sharded { server, north, south, _directory } = Sharded::start().await;
    assert_eq!(server.get("/readyz", None).await.expect(200), json!({"status": "ok"}));
    south.close().await;
    let degraded = json!({"status": "degraded", "shards": ["south"]});
    assert_eq!(server.get("/readyz", None).await.expect(200), degraded);
    north.close().await;
    server.get("/readyz", None).await.problem(503, "unavailable");
}

/// Proves that `/metrics` responds at once while a shard does not answer, and shows which shard or directory is down.
#[tokio::test]
async fn measurements_show_which_shard_is_down() {
    let sharded = Sharded::start().await;
    let Sharded { server, north, south, .. } = &sharded;
    let shown = async |series: &str| {
        let metrics = server.get("/metrics", None).await;
        assert_eq!(metrics.status, 200);
        crate::metric(&metrics, series)
    };
    let measure = async |shard| drop(server.engine().measure_shard(shard).await);
    measure(0).await;
    measure(1).await;
    let [north_up, south_up] = ["north", "south"].map(|name| format!("dabba_shard_up{{shard=\"{name}\"}}"));
    assert_eq!(
        (shown(&north_up).await, shown(&south_up).await, shown("dabba_directory_up").await),
        (1, 1, 1)
    );
    south.close().await;
    measure(1).await;
    assert_eq!(
        (shown(&north_up).await, shown(&south_up).await, shown("dabba_directory_up").await),
        (1, 0, 1)
    );
    north.close().await;
    measure(0).await;
    assert_eq!((shown(&north_up).await, shown("dabba_directory_up").await), (0, 0));
    let limit = "dabba_pool_connection_limit{shard=\"south\",pool=\"readers\"}";
    assert!(shown(limit).await > 0);
}

/// Proves that statistics add up over the shards, and that they are still read while a shard does not answer, which is
/// named and without which nothing is complete.
#[tokio::test]
async fn statistics_name_the_shard_that_is_missing() {
    let sharded = Sharded::start().await;
    let restaurants = sharded.restaurants().await;
    let Sharded { server, south, .. } = &sharded;
    for (number, restaurant) in restaurants.iter().enumerate() {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        for repeat in 0..=number {
            let key = format!("{number}-{repeat}");
            let placed = server.post(&path, Some(&server.customer), &TestServer::collection()).key(&key);
            placed.send().await.expect(201);
        }
    }
    for shard in 0..2 {
        server.engine().statistics.roll_up(shard).await.unwrap();
        server.engine().statistics.write_measured(shard).await.unwrap();
    }
    // The range ends before its last time.
    server.advance(SignedDuration::from_secs(1));
    let statistics = async || {
        let path = "/v1/statistics?step=3600&names=orders_placed,placing_latency";
        let body = server.get(path, Some(&server.admin)).await.expect(200);
        let counts = body["series"].as_array().unwrap().iter().map(|series| {
            let points = series["points"].as_array().unwrap();
            points.iter().map(|point| point["count"].as_u64().unwrap()).sum::<u64>()
        });
        let [from, complete, counted] = ["from", "complete_until", "counted_until"]
            .map(|name| body[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
        assert!(counted > from, "{body}");
        let is_complete = complete == counted;
        assert!(is_complete || complete == from, "{body}");
        (counts.collect::<Vec<_>>(), body.get("missing_shards").cloned(), is_complete)
    };
    assert_eq!(statistics().await, (vec![3, 3], None, true));
    south.close().await;
    assert_eq!(statistics().await, (vec![1, 1], Some(json!(["south"])), false));
}
