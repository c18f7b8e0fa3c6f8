//! Metrics of a database: its standbys, and the pools of connections to it.

use dabba_domain::Timestamp;
use dabba_pg_cluster::{ClusterOptions, StopMode};
use dabba_store::{PoolStatus, Standby, StandbyMode, Store as _, StoreError};
use dabba_store_postgres::{PostgresOptions, PostgresStore, REQUIRED_PRIVILEGES};

use crate::{
    common::{eventually, open_with, own_cluster},
    rights::restricted,
};

async fn standbys(store: &PostgresStore) -> Vec<Standby> {
    store.measure(0, Timestamp::UNIX_EPOCH).await.unwrap().standbys.unwrap()
}

/// A database without standbys reports none. A standby is reported with its mode and its lag, as the primary sees
/// them. A user without `pg_monitor` sees only the number of standbys.
#[tokio::test]
async fn standbys_are_measured() {
    let (primary, url) = own_cluster(&ClusterOptions::default());
    let store = open_with(&url, &PostgresOptions::default()).await;
    assert_eq!(standbys(&store).await, []);
    let standby = primary.start_standby("two", &ClusterOptions::default()).unwrap();
    eventually("the standby has caught up", async || {
        let found = standbys(&store).await;
        matches!(&found[..], [one] if one.name == "two" && one.lag_bytes == Some(0) && one.lag.is_some()
            && one.mode == StandbyMode::Asynchronous)
    })
    .await;

    let plain = restricted(&url, REQUIRED_PRIVILEGES).await;
    let seen = open_with(&plain, &PostgresOptions::default()).await;
    let hidden = standbys(&seen).await;
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    assert_eq!((hidden[0].mode, hidden[0].lag_bytes), (StandbyMode::Hidden, None));

    primary.set("synchronous_standby_names", "two").unwrap();
    primary.wait_until_synchronous("two").unwrap();
    assert_eq!(standbys(&store).await[0].mode, StandbyMode::Synchronous);
    standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    primary.execute("postgres", "CREATE TABLE later AS SELECT generate_series(1, 1000)").unwrap();
    eventually("the standby lags", async || standbys(&store).await[0].lag_bytes > Some(10_000)).await;

    standby.stop(StopMode::Immediate).unwrap();
    eventually("the standby is not reported any more", async || standbys(&store).await.is_empty()).await;
    primary.stop(StopMode::Immediate).unwrap();
    let measured = store.measure(0, Timestamp::UNIX_EPOCH).await;
    assert!(matches!(measured, Err(StoreError::Unavailable(_))), "{measured:?}");
}

/// The use of each pool is reported without a query to a database, also when the database is unavailable.
#[tokio::test]
async fn pools_are_reported() {
    let (cluster, url) = own_cluster(&ClusterOptions::default());
    let options =
        PostgresOptions { pool_size: 3, replica_url: Some(url.clone()), ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    store.time().await.unwrap();
    cluster.stop(StopMode::Immediate).unwrap();
    let pools = store.pools();
    let names: Vec<_> = pools.iter().map(|pool| (pool.shard.as_str(), pool.pool, pool.limit)).collect();
    assert_eq!(names, [("main", "database", 3), ("main", "replica", 3)]);
    let PoolStatus { open, idle, waiting, .. } = &pools[0];
    assert!(*open >= 1 && idle <= open && *waiting == 0, "{pools:?}");
}
