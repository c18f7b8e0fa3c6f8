//! Reads from a replica while its lag is within the limit.

use std::time::Duration;

use dabba_domain::OrderId;
use dabba_pg_cluster::{ClusterOptions, StopMode};
use dabba_store::{
    CatalogueStore as _, OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore as _, PageSize,
    Store as _, StoreError,
    conformance::builders::{World, menu},
};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};

use crate::common::{eventually, open_with, own_cluster, randomness};

async fn page(store: &PostgresStore, after: Option<OrderCursor>) -> OrderPage {
    let limit = PageSize::new(2).unwrap();
    let query = OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after, limit };
    store.list_orders(&query).await.unwrap()
}

/// Returns all orders, read page by page.
async fn all_orders(store: &PostgresStore) -> Vec<OrderId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = page(store, after).await;
        ids.extend(page.orders.iter().map(|order| order.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

/// Pages after the first come from the replica, and no other reads. A replica that lags or is unavailable is not
/// used, and no read fails. The replica is used again when it has caught up.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_used_while_it_keeps_up() {
    let (primary, url) = own_cluster(&ClusterOptions::default());
    let standby = primary.start_standby("replica", &ClusterOptions::default()).unwrap();
    let options = PostgresOptions {
        replica_url: Some(standby.url("postgres")),
        max_replica_lag: Duration::from_millis(700),
        ..PostgresOptions::default()
    };
    let store = open_with(&url, &options).await;
    let mut world = World::new(1);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let mut place = || (0..4).map(|_| world.place(restaurant, customer)).collect::<Vec<_>>();
    let mut placed: Vec<OrderId> = Vec::new();
    for commit in place() {
        placed.insert(0, commit.order_id);
        store.commit(vec![commit]).await.unwrap();
    }
    let reads = || store.metrics().replica_reads.get();
    let uses_it = async || {
        let before = reads();
        all_orders(&store).await;
        reads() > before
    };
    eventually("the replica is used", || async { uses_it().await && all_orders(&store).await == placed })
        .await;
    let before = reads();
    for _ in 0..3 {
        page(&store, None).await;
        store.order(placed[0]).await.unwrap().unwrap();
    }
    assert_eq!(reads(), before, "current data comes from the primary");

    standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    for commit in place() {
        placed.insert(0, commit.order_id);
        store.commit(vec![commit]).await.unwrap();
    }
    eventually("the replica is not used", || async { !uses_it().await }).await;
    assert_eq!(all_orders(&store).await, placed);
    standby.execute("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    eventually("the replica is used again", || async {
        uses_it().await && all_orders(&store).await == placed
    })
    .await;

    standby.stop(StopMode::Immediate).unwrap();
    assert_eq!(all_orders(&store).await, placed, "the primary stands in at once");
    eventually("the replica is not used", || async { !uses_it().await }).await;
    assert_eq!(all_orders(&store).await, placed);
}

/// A server that has become a standby counts as unavailable, not as corrupt, so that clients retry.
#[tokio::test]
async fn a_write_on_a_standby_is_unavailable() {
    let (cluster, _) = own_cluster(&ClusterOptions::default());
    let standby = cluster.start_standby("standby", &ClusterOptions::default()).unwrap();
    eventually("the standby has the schema", async || {
        standby.execute("postgres", "SELECT to_regclass('copies') IS NOT NULL").unwrap() == "t"
    })
    .await;
    let url = standby.url("postgres");
    let store =
        PostgresStore::new(&url, &Ownership::sole(), &PostgresOptions::default(), randomness()).unwrap();
    let mut world = World::new(32);
    let (restaurant, account) = (world.restaurant(), world.account_id());
    let commit = world.place(restaurant.id, account);
    let refused = store.commit(vec![commit]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.create_restaurant(&restaurant, &menu(&["naan"])).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    store.close().await;
}
