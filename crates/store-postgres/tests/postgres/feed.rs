//! The feed never skips an event, however slow a transaction is.

use dabba_domain::order::Event;
use dabba_store::{FeedCursor, OrderStore as _, conformance::builders::World};

use crate::common::{eventually, eventually_some, open, own_database, session, whole_feed};

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

    let mut cursor = before.last().unwrap().cursor.clone();
    let mut seen = Vec::new();
    for _ in 0..5 {
        store.commit(vec![world.place(restaurant, customer)]).await.unwrap();
        let page = store.feed(&cursor, 100).await.unwrap();
        assert!(page.is_empty(), "the feed returned events after an open transaction: {page:?}");
    }
    transaction.commit().await.unwrap();
    let more = 1 + 10;
    eventually("the feed continues", || async { whole_feed(&store).await.len() == 2 + more }).await;
    for _ in 0..more {
        // One event per page, so that every cursor is used.
        let page = store.feed(&cursor, 1).await.unwrap();
        cursor = page.last().unwrap().cursor.clone();
        seen.extend(page);
    }
    let all = whole_feed(&store).await;
    assert_eq!([before, seen].concat(), all);
    assert!(all.iter().any(|entry| entry.event.order_id == late.order_id));
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
    let (mut cursor, mut seen) = (FeedCursor::start(), Vec::new());
    while seen.len() < expected * 2 {
        let poll = async || reader.feed(&cursor, 7).await.unwrap();
        let page = eventually_some("the feed continues", poll).await;
        cursor = page.last().unwrap().cursor.clone();
        seen.extend(page);
    }
    writing.join_all().await;
    assert_eq!(seen, whole_feed(&reader).await);
    let placed = seen.iter().filter(|entry| matches!(entry.event.event, Event::Placed(_))).count();
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
    let placed = whole_feed(&store).await.into_iter().filter(|entry| entry.event.version == 1);
    let expected: Vec<_> = orders.iter().map(|order| order.order_id).collect();
    assert_eq!(placed.map(|entry| entry.event.order_id).collect::<Vec<_>>(), expected);
}
