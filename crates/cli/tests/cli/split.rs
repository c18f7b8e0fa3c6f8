//! A shard is split under load, with a physical replica that becomes the new shard.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_store::BucketRange;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use serde_json::Value;

use super::{
    placing::{Placing, whole_orders},
    postgres::{a_restaurant_in_each, order},
    support::{Server, block_on, failure, free_address, stdout},
};

/// Customers of each restaurant.
const CUSTOMERS: usize = 3;
/// Orders between two steps.
const ORDERS: u64 = 30;
/// The buckets of the shard that is left, and of the new one.
const RANGES: [(u16, u16); 2] = [(0, 2_047), (2_048, 4_095)];

/// Runs a command beside the load, which goes on in the meantime.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// The shards' own words, by name.
fn shown(directory: &Path, file: &str) -> BTreeMap<String, Value> {
    let text = stdout(directory, &["shards", "--json", "--shards", file]);
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
}

async fn store(url: &str, ownership: Ownership) -> PostgresStore {
    let random = SeededRandom::new(1);
    let options = PostgresOptions::default();
    PostgresStore::open(url, &ownership, &options, Arc::new(move || random.next_u64())).await.unwrap()
}

/// Every order that each shard has, whole; none is on both.
async fn orders_by_shard(urls: &[String; 2]) -> [Vec<String>; 2] {
    let [kept, given] = RANGES.map(|(first, last)| format!("{first}-{last}").parse::<BucketRange>().unwrap());
    let main = Ownership { buckets: kept, ..Ownership::sole() };
    let south = Ownership { name: "south".to_owned(), buckets: given, is_directory: false };
    [whole_orders(&store(&urls[0], main).await).await, whole_orders(&store(&urls[1], south).await).await]
}

/// Proves that a split under load loses no order, doubles none and leaves all of them within reach: the
/// orders of the restaurants that stay go on throughout on the old server, those of the others go on with
/// the new map, and what was acknowledged at any time is answered under its key afterwards. A purge then
/// removes what is not each shard's own, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_split_under_load_loses_and_doubles_nothing() {
    let primary = Cluster::start(&ClusterOptions::default()).unwrap();
    let database = primary.create_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let (address, url) = (free_address(), primary.url(&database));
    let old = aside(|| Server::start_at(&address, data, &["--database", &url]));
    let restaurants = a_restaurant_in_each(&old, &RANGES).await;
    let customer = old.client("customer");
    let place = |name, restaurant: &String| {
        Placing::start(name, CUSTOMERS, &customer, std::slice::from_ref(restaurant), &order())
    };
    let (staying, moving) = (place("stay", &restaurants[0]), place("move", &restaurants[1]));
    moving.wait_for(ORDERS).await;
    let standby = aside(|| primary.start_standby("south", &ClusterOptions::default())).unwrap();
    let urls = [url.clone(), standby.url(&database)];
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
    // The old server knows nothing of it, goes on where it may, and refuses the rest.
    staying.wait_for(ORDERS).await;
    let text = aside(|| {
        let arguments = split(&["--dry-run"]);
        stdout(data, &arguments.lines().collect::<Vec<_>>())
    });
    assert!(text.contains("All has been done"), "the command can be repeated: {text}");
    let text = aside(|| failure(data, &["serve", "--database", &urls[0]]));
    assert!(text.contains("0-2047"), "the old map is refused by now: {text}");

    let new = aside(|| {
        old.stop();
        Server::start_at(&address, data, &["--shards", file])
    });
    moving.wait_for(ORDERS).await;
    staying.wait_for(ORDERS).await;
    let pause = moving.longest_pause();
    println!("{}", applied.lines().find(|line| line.contains("ready for the new map")).unwrap());
    println!("longest time without an order: moving {pause:?}, staying {:?}", staying.longest_pause());
    assert!(pause < Duration::from_mins(1));
    let acknowledged = [staying.finish().await, moving.finish().await];

    let before = orders_by_shard(&urls).await;
    let to_purge = aside(|| shown(data, file));
    assert!(to_purge["main"]["foreign_restaurants"].as_u64() > Some(0), "{to_purge:?}");
    let purged = aside(|| stdout(data, &["shards", "purge", "--shards", file]));
    assert!(purged.contains("of order_events") && purged.contains("of idempotency_keys"), "{purged}");
    let again = aside(|| stdout(data, &["shards", "purge", "--shards", file]));
    assert_eq!(again.matches(": 0 rows removed\n").count(), 2, "{again}");
    assert_eq!(orders_by_shard(&urls).await, before, "a purge removes nothing of a shard's own");
    for (row, ids) in aside(|| shown(data, file)).values().zip(&before) {
        assert_eq!((&row["foreign_restaurants"], &row["orders"]), (&0.into(), &ids.len().into()), "{row}");
    }

    for ((acknowledged, ids), restaurant) in acknowledged.iter().zip(&before).zip(&restaurants) {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        for (key, id) in acknowledged {
            assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{key}: lost or doubled");
            let again = customer.post(&path).idempotency_key(key).json(&order()).send().await.unwrap();
            assert_eq!((again.replayed, again.body["id"].as_str()), (true, Some(id.as_str())));
        }
        // An order whose answer got lost may be there too.
        assert!(ids.len() >= acknowledged.len());
    }
    aside(|| new.stop());
}

/// Proves that a split whose replica does not follow is refused, or undone, and that the shard serves all its
/// buckets as before.
#[test]
fn a_split_that_cannot_be_done_changes_nothing() {
    let primary = Cluster::start(&ClusterOptions::default()).unwrap();
    let other = Cluster::start(&ClusterOptions::default()).unwrap();
    let database = primary.create_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let urls = [primary.url(&database), other.url("postgres")];
    let standby = primary.start_standby("south", &ClusterOptions::default()).unwrap();
    stdout(data, &["migrate", "--database", &urls[0]]);
    let attempt = |shard: &str, at: &str, url: &str| {
        let fixed = ["shards", "split", "--database", &urls[0], "--shard", shard, "--at", at];
        let more = ["--new-name", "south", "--new-url", url, "--apply", "--write", "new.toml"];
        failure(data, &[&fixed[..], &more[..]].concat())
    };
    assert!(attempt("north", "2048", &urls[1]).contains("\"north\""));
    assert!(attempt("main", "0", &urls[1]).contains("one part would be empty"));
    assert!(attempt("main", "5000", &urls[1]).contains("0 to 4095"));
    assert!(attempt("main", "2048", &urls[1]).contains("not a physical replica"));
    assert!(attempt("main", "2048", &urls[0]).contains("no replica any more"));
    let replica = standby.url(&database);
    standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    let begun = Instant::now();
    let text = attempt("main", "2048", &replica);
    assert!(text.contains("taken the buckets back"), "{text}");
    assert!(begun.elapsed() < Duration::from_mins(1));
    assert!(!data.join("new.toml").exists());
    let server = Server::start(data, &["--database", &urls[0]]);
    block_on(a_restaurant_in_each(&server, &RANGES));
}
