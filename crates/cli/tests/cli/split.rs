//! A split of a shard under load, with a physical replica that becomes the new shard.

mod steps;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_store::BucketRange;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use dabba_testkit::http_client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    placing::{Placing, whole_orders},
    postgres::{a_restaurant_in_each, order},
    support::{Server, failure, free_address, stdout},
};

/// Number of customers of each restaurant.
const CUSTOMERS: usize = 3;
/// Number of orders between two steps.
const ORDERS: u64 = 30;
/// The buckets of the remaining shard, and of the new shard.
pub(crate) const RANGES: [(u16, u16); 2] = [(0, 2_047), (2_048, 4_095)];

/// Runs a blocking command while the load continues.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// A server with one shard and a restaurant in each of [`RANGES`], before the split.
pub(crate) struct Unsplit {
    pub(crate) directory: TempDir,
    pub(crate) address: String,
    pub(crate) server: Server,
    pub(crate) restaurants: Vec<String>,
    primary: Cluster,
    database: String,
}

impl Unsplit {
    pub(crate) async fn start() -> Self {
        let primary = Cluster::start(&ClusterOptions::default()).unwrap();
        let database = primary.create_database().unwrap();
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let url = primary.url(&database);
        let server = aside(|| Server::start_at(&address, directory.path(), &["--database", &url]));
        let restaurants = a_restaurant_in_each(&server, &RANGES).await;
        Self { directory, address, server, restaurants, primary, database }
    }

    /// Starts the standby that becomes the new shard. Returns it, and the URLs of the databases of both shards.
    pub(crate) fn start_standby(&self) -> (Cluster, [String; 2]) {
        let standby = aside(|| self.primary.start_standby("south", &ClusterOptions::default())).unwrap();
        let urls = [self.primary.url(&self.database), standby.url(&self.database)];
        (standby, urls)
    }
}

/// Returns the output of `dabba shards`, by the name of the shard.
fn shown(directory: &Path, file: &str) -> BTreeMap<String, Value> {
    let text = stdout(directory, &["shards", "--json", "--shards", file]);
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
}

/// Opens the store of a database.
pub(crate) async fn store(url: &str, ownership: Ownership) -> PostgresStore {
    let random = SeededRandom::new(1);
    let options = PostgresOptions::default();
    PostgresStore::open(url, &ownership, &options, Arc::new(move || random.next_u64())).await.unwrap()
}

/// Returns every order of each shard. All orders must be complete, and none may be on both shards.
pub(crate) async fn orders_by_shard(urls: &[String; 2]) -> [Vec<String>; 2] {
    let [kept, given] = RANGES.map(|(first, last)| format!("{first}-{last}").parse::<BucketRange>().unwrap());
    let main = Ownership { buckets: kept, ..Ownership::sole() };
    let south = Ownership { name: "south".to_owned(), buckets: given, is_directory: false };
    [whole_orders(&store(&urls[0], main).await).await, whole_orders(&store(&urls[1], south).await).await]
}

/// Proves that a split under load loses no order, duplicates none and leaves all of them reachable: the orders of the staying
/// restaurants continue throughout on the old server, those of the moving restaurants continue with the new map, and every
/// acknowledged order is replayed under its key afterwards. A purge then removes exactly the data of the other shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_split_under_load_loses_and_duplicates_nothing() {
    let unsplit = Unsplit::start().await;
    let (data, restaurants) = (unsplit.directory.path(), &unsplit.restaurants);
    let customer = unsplit.server.client("customer");
    let place = |name, restaurant: &String| {
        Placing::start(name, CUSTOMERS, &customer, std::slice::from_ref(restaurant), &order())
    };
    let (staying, moving) = (place("stay", &restaurants[0]), place("move", &restaurants[1]));
    moving.wait_for(ORDERS).await;
    let (_standby, urls) = unsplit.start_standby();
    staying.wait_for(ORDERS).await;

    let file = data.join("new.toml");
    let file = file.to_str().unwrap();
    let split = |more: &[&str]| {
        let fixed = ["shards", "split", "--database", &urls[0], "--shard", "main", "--at", "2048"];
        [&fixed[..], &["--new-name", "south", "--new-url", &urls[1]], more].concat().join("\n")
    };
    let run = |more: &[&str]| {
        let arguments = split(more);
        aside(|| stdout(data, &arguments.lines().collect::<Vec<_>>()))
    };
    let dry = run(&["--dry-run"]);
    assert!(dry.contains("\"south\" gets 2048-4095") && dry.contains("Nothing was changed"), "{dry}");
    moving.wait_for(ORDERS).await;
    let applied = run(&["--apply", "--write", file]);
    assert!(applied.contains("503") && applied.contains("dabba shards purge"), "{applied}");
    // The old server continues for its buckets, refuses the others, and reports that its map is outdated.
    staying.wait_for(ORDERS).await;
    let readiness: Value = http_client()
        .get(format!("{}/readyz", unsplit.server.announced_text("/address")))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(readiness, json!({"status": "degraded", "outdated_shards": ["main"]}));
    let text = aside(|| {
        let arguments = split(&["--dry-run"]);
        stdout(data, &arguments.lines().collect::<Vec<_>>())
    });
    assert!(text.contains("The split is complete"), "the command can be repeated: {text}");
    let again = run(&["--apply", "--write", file]);
    assert!(again.contains("The new map is in") && !again.contains("503"), "{again}");
    let text = aside(|| {
        std::fs::write(data.join("other.toml"), "another map").unwrap();
        let arguments = split(&["--apply", "--write", "other.toml"]);
        failure(data, &arguments.lines().collect::<Vec<_>>())
    });
    assert!(text.contains("exists with other contents than the new map"), "{text}");
    let text = aside(|| failure(data, &["serve", "--database", &urls[0]]));
    assert!(text.contains("0-2047"), "the old map is refused by now: {text}");

    let new = aside(|| {
        unsplit.server.stop();
        Server::start_at(&unsplit.address, data, &["--shards", file])
    });
    moving.wait_for(ORDERS).await;
    staying.wait_for(ORDERS).await;
    println!("{}", applied.lines().find(|line| line.contains("ready for the new map")).unwrap());
    let [moving_pause, staying_pause] = [&moving, &staying].map(Placing::longest_pause);
    println!("longest time without an order: moving {moving_pause:?}, staying {staying_pause:?}");
    let acknowledged = [staying.finish().await, moving.finish().await];

    let before = orders_by_shard(&urls).await;
    let to_purge = aside(|| shown(data, file));
    assert!(to_purge["main"]["foreign_restaurants"].as_u64() > Some(0), "{to_purge:?}");
    let purged = aside(|| stdout(data, &["shards", "purge", "--shards", file]));
    assert!(purged.contains("of order_events") && purged.contains("of idempotency_keys"), "{purged}");
    let again = aside(|| stdout(data, &["shards", "purge", "--shards", file]));
    assert_eq!(again.matches(": 0 rows removed\n").count(), 2, "{again}");
    assert_eq!(orders_by_shard(&urls).await, before, "a purge must keep each shard's own data");
    for (row, ids) in aside(|| shown(data, file)).values().zip(&before) {
        assert_eq!((&row["foreign_restaurants"], &row["orders"]), (&0.into(), &ids.len().into()), "{row}");
    }

    for ((acknowledged, ids), restaurant) in acknowledged.iter().zip(&before).zip(restaurants) {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        for (key, id) in acknowledged {
            assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{key}: lost or doubled");
            let again = customer.post(&path).idempotency_key(key).json(&order()).send().await.unwrap();
            assert_eq!((again.replayed, again.body["id"].as_str()), (true, Some(id.as_str())));
        }
        // Orders whose response was lost may exist, too.
        assert!(ids.len() >= acknowledged.len());
    }
    aside(|| new.stop());
}
