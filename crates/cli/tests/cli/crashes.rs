//! The server and the database, killed repeatedly at random moments.

use std::sync::Arc;

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};

use super::{
    placing::{Placing, whole_orders},
    support::{Server, free_address},
};

/// Number of kills.
const ROUNDS: u64 = 20;
/// Number of customers who place orders concurrently.
const CUSTOMERS: usize = 8;
/// Maximum number of orders acknowledged between two kills.
const MAX_ORDERS_BETWEEN: u64 = 60;
/// Seed that determines the killed processes and the moments.
const SEED: u64 = 20_261_124;

/// Proves I1, I2, I3 and I4 through 20 random kills, `kill -9` of the server or a crash of PostgreSQL, under load:
/// every acknowledged key has exactly the acknowledged order, no key has two orders, and every order is complete,
/// whether or not it was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_and_duplicate_nothing() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let (address, arguments) = (free_address(), ["--database", url.as_str()]);
    let start = || tokio::task::block_in_place(|| Server::start_at(&address, data.path(), &arguments));
    let mut server = start();
    let restaurants = [server.announced_text("/restaurant_id")];
    let order = server.announcement["order"].clone();
    let placing = Placing::start("crash", CUSTOMERS, &server.client("customer"), &restaurants, &order);

    let random = SeededRandom::new(SEED);
    let mut database_kills = 0;
    for _ in 0..ROUNDS {
        placing.wait_for(1 + random.next_u64() % MAX_ORDERS_BETWEEN).await;
        if random.next_u64().is_multiple_of(2) {
            tokio::task::block_in_place(|| server.kill());
            server = start();
        } else {
            tokio::task::block_in_place(|| {
                cluster.stop(StopMode::Immediate).unwrap();
                cluster.restart().unwrap();
            });
            database_kills += 1;
        }
    }
    assert!(database_kills > 3 && database_kills < 17, "the seed must kill both");
    placing.wait_for(1).await;
    let acknowledged = placing.finish().await;
    tokio::task::block_in_place(|| server.stop());

    let (sole, options) = (Ownership::sole(), PostgresOptions::default());
    let store =
        PostgresStore::open(&url, &sole, &options, Arc::new(move || random.next_u64())).await.unwrap();
    let mut stored = whole_orders(&store).await;
    stored.sort_unstable();
    let count = stored.len();
    stored.dedup();
    assert_eq!(stored.len(), count);

    let sql = "SELECT key, order_id FROM idempotency_keys WHERE key LIKE 'crash-%' ORDER BY key";
    let keys = cluster.execute(&database, sql).unwrap();
    let keys: Vec<(&str, &str)> = keys.lines().map(|line| line.split_once('|').unwrap()).collect();
    for (key, id) in &acknowledged {
        let found: Vec<_> = keys.iter().filter(|(found, _)| found == key).collect();
        assert_eq!(found, [&(key.as_str(), id.as_str())], "an acknowledged order is lost or duplicated");
    }
    let mut keyed: Vec<&str> = keys.iter().map(|(_, id)| *id).collect();
    keyed.sort_unstable();
    assert_eq!(keyed, stored, "each order has one key, and each key one order");
}
