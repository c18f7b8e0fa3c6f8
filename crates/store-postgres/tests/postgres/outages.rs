//! Exhausted pools, slow statements, and an unavailable database.

use std::time::{Duration, Instant};

use dabba_pg_cluster::{ClusterOptions, StopMode};
use dabba_store::{CommitOutcome, OrderStore as _, Store as _, StoreError, conformance::builders::World};
use dabba_store_postgres::PostgresOptions;
use tokio_postgres::Client;

use crate::common::{eventually, fresh_database, open, open_with, own_cluster, session};

/// Waits until a session waits for a lock in the database of the session that holds the lock.
async fn until_a_session_waits(holder: &Client) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("a session waits for a lock", async || {
        holder.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
}

/// A call that gets no connection fails while the connections are still in use, and the store recovers by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_unavailable_for_a_while() {
    let url = fresh_database();
    let wait = Duration::from_millis(200);
    let options = PostgresOptions { pool_size: 1, pool_wait_timeout: wait, ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    let mut world = World::new(1);
    let commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    let blocker = session(&url).await;
    blocker.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let holder = tokio::spawn({
        let (store, commit) = (store.clone(), commit.clone());
        async move { store.commit(vec![commit]).await }
    });
    // The only connection is in use then.
    until_a_session_waits(&blocker).await;
    let refused = store.order(commit.order_id).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(!holder.is_finished(), "the call has waited until the connection was free");
    blocker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(holder.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    assert!(store.order(commit.order_id).await.unwrap().is_some());
}

/// A caller that stops waiting leaves a connection inside a transaction. The connection is not used again, and the
/// transaction is rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_waiting_leaves_nothing_behind() {
    let url = fresh_database();
    let options = PostgresOptions { pool_size: 1, ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    let mut world = World::new(2);
    let commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    let blocker = session(&url).await;
    blocker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // The orders are written, and then the tasks have to wait.
    tokio::select! {
        written = store.commit(vec![commit.clone()]) => panic!("the tasks did not wait for the lock: {written:?}"),
        () = until_a_session_waits(&blocker) => {}
    }
    blocker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.order(commit.order_id).await.unwrap(), None);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
}

/// A caller that stops waiting for a read leaves a connection on which the statement still runs. The next caller gets
/// another connection, and does not wait for that statement.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_read_does_not_delay_other_calls() {
    abandon_a_read(true).await;
}

/// The same for a statement that is still being prepared, for which the server locks its tables too.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_preparation_does_not_delay_other_calls() {
    abandon_a_read(false).await;
}

async fn abandon_a_read(is_prepared: bool) {
    let url = fresh_database();
    let options = PostgresOptions { pool_size: 1, ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    let mut world = World::new(5);
    let commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    if is_prepared {
        // Prepares the statement, so that the next call sends it at once.
        assert_eq!(store.order(commit.order_id).await.unwrap(), None);
    }
    let blocker = session(&url).await;
    blocker.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    tokio::select! {
        read = store.order(commit.order_id) => panic!("the read did not wait for the lock: {read:?}"),
        () = until_a_session_waits(&blocker) => {}
    }
    // The pool has room for one connection, so this call opens a new one.
    let key = commit.claim.clone().unwrap();
    let found = store.find_claim(key.account_id, commit.restaurant_id, &key.key);
    let found = tokio::time::timeout(PostgresOptions::DEFAULT_POOL_WAIT_TIMEOUT, found).await;
    assert_eq!(found.unwrap().unwrap(), None);
    blocker.batch_execute("COMMIT").await.unwrap();
}

/// The server cancels a statement that takes too long, and the store continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_unavailable() {
    let url = fresh_database();
    let options =
        PostgresOptions { statement_timeout: Duration::from_millis(100), ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    let mut world = World::new(3);
    let commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    let blocker = session(&url).await;
    blocker.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let late = store.commit(vec![commit.clone()]).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    blocker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Without a database, every call fails fast. When the database is back, the store works again, with everything that
/// was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_database_comes_back_with_everything() {
    let (cluster, url) = own_cluster(&ClusterOptions::default().durable());
    let store = open(&url).await;
    let mut world = World::new(4);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let before: Vec<_> = (0..20).map(|_| world.place(restaurant, customer)).collect();
    for commit in &before {
        assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    }
    cluster.stop(StopMode::Immediate).unwrap();
    let begun = Instant::now();
    let commit = world.place(restaurant, customer);
    let refused = store.commit(vec![commit.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    // The timeout is a documented limit. A refused connection takes a small part of it.
    assert!(begun.elapsed() < PostgresOptions::DEFAULT_CONNECT_TIMEOUT, "{:?}", begun.elapsed());
    cluster.restart().unwrap();
    eventually("the store works again", || async { store.ping().await.is_ok() }).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    for commit in before {
        assert!(store.order(commit.order_id).await.unwrap().is_some());
    }
}

/// Idle connections are closed, and connections that are too old are not used again.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_idle_connections_are_closed() {
    let url = fresh_database();
    let watcher = session(&url).await;
    let count = async || {
        let sql =
            "SELECT count(*), coalesce(max(pid), 0) FROM pg_stat_activity WHERE application_name = 'watched'";
        let row = watcher.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i32>(1))
    };
    let idle = PostgresOptions {
        idle_timeout: Duration::from_millis(100),
        application_name: "watched".to_owned(),
        ..PostgresOptions::default()
    };
    let store = open_with(&url, &idle).await;
    eventually("the idle connection is closed", async || count().await.0 == 0).await;
    store.ping().await.unwrap();
    store.close().await;
    eventually("a closed store has no connection", async || count().await.0 == 0).await;

    let old = PostgresOptions {
        max_connection_age: Duration::ZERO,
        application_name: "watched".to_owned(),
        ..PostgresOptions::default()
    };
    let store = open_with(&url, &old).await;
    store.ping().await.unwrap();
    let first = count().await.1;
    store.ping().await.unwrap();
    eventually("another connection is used", async || {
        store.ping().await.unwrap();
        count().await.1 != first
    })
    .await;
}

/// `warm_up` opens the requested number of connections and writes nothing; the store then commits batches. Without a
/// database, `warm_up` does not fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_warmed_up_without_writing() {
    let url = fresh_database();
    let watcher = session(&url).await;
    let options = PostgresOptions { application_name: "warmed-up".to_owned(), ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    store.warm_up(3).await;
    // The listening connection may exist in addition.
    let sql = "SELECT count(*) >= 3, count(backend_xid) = 0 FROM pg_stat_activity \
               WHERE application_name = 'warmed-up' AND query NOT LIKE 'LISTEN%'";
    let row = watcher.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (true, true));
    let written = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM tasks)";
    assert_eq!(watcher.query_one(written, &[]).await.unwrap().get::<_, i64>(0), 0);
    let mut world = World::new(3);
    let commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);

    store.close().await;
    store.warm_up(1).await;
}
