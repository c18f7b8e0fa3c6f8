//! The feed never skips an event, however slow a transaction is.

use dabba_pg_cluster::Cluster;
use dabba_store::{FeedPosition, FeedStore as _, OrderStore as _, StoreError, conformance::builders::World};
use dabba_store_postgres::{
    Ownership, PostgresOptions, PostgresStore, REQUIRED_PRIVILEGES,
    admin::{Administration, ShardState},
};

use crate::{
    common::{
        eventually, eventually_some, feed_after, fresh_database, open, own_database, randomness, session,
        whole_feed,
    },
    rights::restricted,
};

/// A transaction draws its position in the feed early and commits late, while other transactions commit. No reader
/// reads past it. In the end, every reader has read every event once, in the same order.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_commits_late_is_not_read_past() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let mut world = World::new(1);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    store.commit(vec![world.place(restaurant, customer)]).await.unwrap();
    let before = whole_feed(&store).await;
    assert_eq!(before.len(), 2);

    // An order, written as the store does it, but slowly.
    let late = world.place(restaurant, customer);
    let mut slow = session(&url).await;
    let transaction = slow.transaction().await.unwrap();
    let details = serde_json::to_string(&late.change.as_ref().unwrap().order.details).unwrap();
    transaction
        .execute(
            "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
             VALUES ($1, 1, 0, 'placed', '{\"role\": \"system\"}', $2::text::json)",
            &[&late.order_id.uuid(), &details],
        )
        .await
        .unwrap();
    transaction
        .execute(
            "INSERT INTO orders (id, restaurant_id, customer_id, version, total, captured, refunded, placed_at_ns, \
                updated_at_ns, is_terminal, status, payment_status, currency) \
             VALUES ($1, $2, $3, 1, 0, 0, 0, 0, 0, false, 'created', 'pending', 'EUR')",
            &[&late.order_id.uuid(), &restaurant.uuid(), &customer.uuid()],
        )
        .await
        .unwrap();

    let mut position = before.last().unwrap().position;
    let mut seen = Vec::new();
    for _ in 0..5 {
        store.commit(vec![world.place(restaurant, customer)]).await.unwrap();
        let page = store.feed(0, position, 100).await.unwrap().events;
        assert!(page.is_empty(), "the feed returned events after an open transaction: {page:?}");
    }
    transaction.commit().await.unwrap();
    let more = 1 + 10;
    eventually("the feed continues", || async { whole_feed(&store).await.len() == 2 + more }).await;
    for _ in 0..more {
        // One event per page, so that every position is used.
        let page = store.feed(0, position, 1).await.unwrap().events;
        position = page.last().unwrap().position;
        seen.extend(page);
    }
    let all = whole_feed(&store).await;
    assert_eq!([before, seen].concat(), all);
    assert!(all.iter().any(|event| event.order_id == late.order_id));
}

/// The metric of the oldest open transaction shows a transaction that delays the feed, also in another database of the
/// cluster and for a user without a right to see it, and shows 0 when the transaction has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_delays_the_feed_is_measured() {
    let (cluster, url) = own_database();
    let store = open(&restricted(&url, REQUIRED_PRIVILEGES).await).await;
    // The checks begin with the first use.
    assert_eq!(whole_feed(&store).await, []);
    let oldest = || store.metrics().oldest_writer.get();
    let other = session(&cluster.database()).await;
    other.batch_execute("BEGIN; CREATE TABLE slow (id int)").await.unwrap();
    // The open transaction delays nothing before a later one ends.
    session(&url).await.batch_execute("SELECT pg_current_xact_id()").await.unwrap();
    eventually("the transaction is measured", async || oldest() > 0.4).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    eventually("the transaction has ended", async || oldest() < 0.1).await;
}

/// A transaction that only reads never delays the feed, however long it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_does_not_delay_the_feed() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let mut world = World::new(2);
    let reader = session(&url).await;
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders").await.unwrap();
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    store.commit(vec![world.place(restaurant, customer)]).await.unwrap();
    eventually("the feed shows the order", || async { whole_feed(&store).await.len() == 2 }).await;
    reader.batch_execute("COMMIT").await.unwrap();
}

/// A reader follows writers on several servers, some of them slow. The reader sees each order once, and in the same
/// order as a later reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_follows_many_writers_misses_nothing() {
    const WRITERS: u64 = 4;
    const BATCHES: usize = 20;
    let (_cluster, url) = own_database();
    let reader = open(&url).await;
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = open(&url).await;
        let url = url.clone();
        writing.spawn(async move {
            let mut world = World::new(100 + writer);
            let (restaurant, customer) = (world.restaurant_id(), world.account_id());
            // A transaction that has an id but writes no event, as another program might have.
            let mut other = session(&url).await;
            for _ in 0..BATCHES {
                let transaction = other.transaction().await.unwrap();
                transaction.query("SELECT pg_current_xact_id()::text", &[]).await.unwrap();
                store.commit((0..3).map(|_| world.place(restaurant, customer)).collect()).await.unwrap();
                transaction.commit().await.unwrap();
            }
        });
    }
    let expected = usize::try_from(WRITERS).unwrap() * BATCHES * 3;
    let (mut position, mut seen) = (FeedPosition::START, Vec::new());
    while seen.len() < expected * 2 {
        let poll = async || reader.feed(0, position, 7).await.unwrap().events;
        let page = eventually_some("the feed continues", poll).await;
        position = page.last().unwrap().position;
        seen.extend(page);
    }
    writing.join_all().await;
    assert_eq!(seen, whole_feed(&reader).await);
    let placed = seen.iter().filter(|event| &*event.name == "placed").count();
    assert_eq!(placed, expected);
}

/// Transactions are ordered by number, not as text: 1000 comes after 999.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_orders_transactions_by_number() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let session = session(&url).await;
    let number = async || {
        let row = session.query_one("SELECT pg_current_xact_id()::text::bigint", &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    let first = number().await;
    let longer = 10_i64.pow(first.ilog10() + 1);
    assert!(longer - first < 100_000, "too many transactions until the next power of ten: {first}");
    for _ in first..longer - 5 {
        // Other transactions of the cluster take numbers, too.
        if number().await >= longer - 5 {
            break;
        }
    }
    let mut world = World::new(2);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let orders: Vec<_> = (0..10).map(|_| world.place(restaurant, customer)).collect();
    for order in &orders {
        store.commit(vec![order.clone()]).await.unwrap();
    }
    assert!(number().await > longer);
    let placed = whole_feed(&store).await.into_iter().filter(|event| event.version == 1);
    let expected: Vec<_> = orders.iter().map(|order| order.order_id).collect();
    assert_eq!(placed.map(|event| event.order_id).collect::<Vec<_>>(), expected);
}

/// The end of the feed does not move back when a purge deletes the last event, and a cursor at that event stays valid.
/// Without the purge's record, readers of a new shard would be told to begin again.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_does_not_move_the_end_back() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let mut world = World::new(3);
    let customer = world.account_id();
    let mut of = |is_low: bool| loop {
        let id = world.restaurant_id();
        if (id.bucket().number() < 2_048) == is_low {
            return id;
        }
    };
    let (kept, given) = (of(true), of(false));
    store.commit(vec![world.place(kept, customer)]).await.unwrap();
    store.commit(vec![world.place(given, customer)]).await.unwrap();
    let before = store.feed_end(0).await.unwrap();
    let half = Ownership { buckets: "0-2047".parse().unwrap(), ..Ownership::sole() };
    let administration = Administration::new(&url).unwrap();
    administration.step(&ShardState::of(Ownership::sole()), &ShardState::of(half.clone())).await.unwrap();
    let purged = administration.purge(|_| {}).await.unwrap();
    assert!(purged.iter().any(|purged| purged.table == "order_events" && purged.rows == 2), "{purged:?}");

    let store = PostgresStore::open(&url, &half, &PostgresOptions::default(), randomness()).await.unwrap();
    let feed = whole_feed(&store).await;
    assert!(feed.len() == 2 && feed[1].position < before.position);
    assert_eq!(store.feed_end(0).await.unwrap(), before);
    store.commit(vec![world.place(kept, customer)]).await.unwrap();
    let later = feed_after(&store, before.position).await;
    assert_eq!(later.len(), 2, "no event after the purge lies before the recorded end");
    assert_eq!(store.feed_end(0).await.unwrap().position, later[1].position);
    let page = store.feed(0, before.position, 10).await.unwrap();
    assert_eq!(page.incarnation, before.incarnation);
}

/// An event whose order is missing is an error that names the order, and is not skipped.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_its_order_is_not_skipped() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let mut world = World::new(4);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let [lost, kept] = [(); 2].map(|()| world.place(restaurant, customer));
    store.commit(vec![lost.clone(), kept]).await.unwrap();
    session(&url).await.execute("DELETE FROM orders WHERE id = $1", &[&lost.order_id.uuid()]).await.unwrap();
    let error = store.feed(0, FeedPosition::START, 100).await.unwrap_err();
    let names = |text: &String| text.contains(&lost.order_id.to_string());
    assert!(matches!(&error, StoreError::Corrupt(text) if names(text)), "{error}");
}

/// Two servers on one database, and a server that opens it again, see the same incarnation; another database has
/// another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_keeps_its_incarnation() {
    let url = fresh_database();
    let first = open(&url).await.feed_end(0).await.unwrap().incarnation;
    assert_eq!(open(&url).await.feed_end(0).await.unwrap().incarnation, first);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    assert_eq!(open(&url).await.feed_end(0).await.unwrap().incarnation, first);
    // Not `fresh_database`, which copies a migrated template, and with it the incarnation.
    let cluster = Cluster::shared().unwrap();
    let other = cluster.url(&cluster.create_database().unwrap());
    PostgresStore::migrate(&other, &Ownership::sole()).await.unwrap();
    assert_ne!(open(&other).await.feed_end(0).await.unwrap().incarnation, first);
}
