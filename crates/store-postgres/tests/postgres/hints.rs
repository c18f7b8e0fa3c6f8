//! Hints about changes by other servers, over one connection that reconnects by itself.

use std::time::Duration;

use dabba_domain::{RestaurantId, task::TaskQueue};
use dabba_store::{
    CatalogueStore as _, CatalogueUpdate, CommitOutcome, Hint, OrderStore as _, StockUpdate, Store as _,
    conformance::builders::{World, menu, menu_at, slug},
};
use futures::{StreamExt as _, stream::BoxStream};
use tokio_postgres::Client;

use crate::common::{eventually, fresh_database, open, restaurant, session};

/// Timeout of a wait for a hint.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the next hint, or `None` at the end of the stream.
async fn next(hints: &mut BoxStream<'static, Hint>) -> Option<Hint> {
    tokio::time::timeout(PATIENCE, hints.next()).await.unwrap()
}

async fn next_restaurant(hints: &mut BoxStream<'static, Hint>) -> RestaurantId {
    match next(hints).await.unwrap() {
        Hint::Catalogue(id) => id,
        hint @ (Hint::Tasks(_) | Hint::Events { .. }) => unreachable!("no test has announced it: {hint:?}"),
    }
}

/// Returns the process ids of the backends that listen in this database.
async fn listeners(watcher: &Client) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'dabba hints' AND state = 'idle' AND query LIKE 'LISTEN%'";
    watcher.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn wait_for_listener(watcher: &Client) -> i32 {
    eventually("one connection listens", async || listeners(watcher).await.len() == 1).await;
    listeners(watcher).await[0]
}

/// Due tasks are announced to other servers, by queue. An unknown notification is ignored.
#[tokio::test(flavor = "multi_thread")]
async fn announced_tasks_cause_hints() {
    let url = fresh_database();
    let (store, other, watcher) = (open(&url).await, open(&url).await, session(&url).await);
    let mut hints = store.hints();
    wait_for_listener(&watcher).await;
    watcher.batch_execute("NOTIFY dabba_tasks, 'nonsense'").await.unwrap();
    for queue in TaskQueue::ALL {
        other.announce_tasks(World::new(1).restaurant_id().bucket(), *queue).await;
        assert_eq!(next(&mut hints).await, Some(Hint::Tasks(*queue)));
    }
}

/// New events are announced to other servers, and to the server itself.
#[tokio::test(flavor = "multi_thread")]
async fn announced_events_cause_hints() {
    let url = fresh_database();
    let (store, other, watcher) = (open(&url).await, open(&url).await, session(&url).await);
    let mut hints = store.hints();
    wait_for_listener(&watcher).await;
    for announcing in [&other, &store] {
        announcing.announce_events(0).await;
        assert_eq!(next(&mut hints).await, Some(Hint::Events { shard: 0 }));
    }
}

/// Each kind of change of a catalogue by another server causes a hint, after which the change can be read. Orders,
/// changes without effect on cached data, and unknown notifications cause no hint.
#[tokio::test(flavor = "multi_thread")]
async fn changed_catalogues_cause_hints() {
    let url = fresh_database();
    let (store, other, watcher) = (open(&url).await, open(&url).await, session(&url).await);
    let mut hints = store.hints();
    wait_for_listener(&watcher).await;

    let mut world = World::new(1);
    let changed = world.restaurant();
    let id = changed.id;
    let done = |revision| CatalogueUpdate::Done { revision };
    let leads_to = |update: &StockUpdate, revision| matches!(update, StockUpdate::Done { menu_revision, .. } if *menu_revision == revision);
    assert!(other.create_restaurant(&changed, &menu(&["naan"])).await.unwrap().is_created());
    assert_eq!(next_restaurant(&mut hints).await, id);
    assert_eq!(other.update_restaurant(&changed, 1).await.unwrap(), done(2));
    assert_eq!(next_restaurant(&mut hints).await, id);
    assert_eq!(store.catalogue(id).await.unwrap().unwrap().restaurant.revision, 2);
    assert_eq!(other.replace_menu(id, &menu(&["naan", "dal"]), menu_at(1)).await.unwrap(), done(2));
    assert_eq!(next_restaurant(&mut hints).await, id);
    assert!(leads_to(&other.set_stock(id, &slug("dal"), Some(5)).await.unwrap(), 3));
    assert_eq!(next_restaurant(&mut hints).await, id);

    assert!(leads_to(&other.set_stock(id, &slug("dal"), Some(7)).await.unwrap(), 3));
    assert!(leads_to(&other.set_stock(id, &slug("naan"), None).await.unwrap(), 3));
    assert!(!other.create_restaurant(&changed, &menu(&["naan"])).await.unwrap().is_created());
    assert_eq!(other.update_restaurant(&changed, 1).await.unwrap(), CatalogueUpdate::Conflict { current: 2 });
    assert_eq!(
        other.replace_menu(id, &menu(&[]), menu_at(1)).await.unwrap(),
        CatalogueUpdate::Conflict { current: 3 }
    );
    let commit = world.place_taking(id, &[("dal", 1)]);
    assert_eq!(other.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    watcher.batch_execute("NOTIFY dabba_catalogue, 'nonsense'").await.unwrap();
    // Notifications arrive in the order of their commits, so the next one shows that no other came before.
    assert!(leads_to(&other.set_stock(id, &slug("dal"), None).await.unwrap(), 4));
    let last = restaurant(&other, &mut world, "naan", 1).await;
    assert_eq!(next_restaurant(&mut hints).await, id);
    assert_eq!(next_restaurant(&mut hints).await, last);
}

/// If the server ends the listener's connection, the listener reconnects, and the stream continues.
#[tokio::test(flavor = "multi_thread")]
async fn the_listener_survives_the_loss_of_its_connection() {
    let url = fresh_database();
    let (store, watcher) = (open(&url).await, session(&url).await);
    let mut hints = store.hints();
    let mut world = World::new(2);
    for _ in 0..3 {
        let lost = wait_for_listener(&watcher).await;
        watcher.execute("SELECT pg_terminate_backend($1)", &[&lost]).await.unwrap();
        eventually("another connection listens", async || {
            listeners(&watcher).await.first().is_some_and(|listener| *listener != lost)
        })
        .await;
        let created = world.restaurant();
        assert!(store.create_restaurant(&created, &menu(&["naan"])).await.unwrap().is_created());
        assert_eq!(next_restaurant(&mut hints).await, created.id);
    }
}

/// The first call of `hints` opens a connection, and all streams share it. Closing or dropping the store ends the
/// streams and the connection.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_listens_while_the_store_is_open() {
    let url = fresh_database();
    let watcher = session(&url).await;
    for is_closed in [true, false] {
        let store = open(&url).await;
        store.ping().await.unwrap();
        assert_eq!(listeners(&watcher).await.len(), 0);
        let mut streams = [store.hints(), store.hints(), store.hints()];
        wait_for_listener(&watcher).await;
        let created = World::new(u64::from(is_closed)).restaurant();
        assert!(store.create_restaurant(&created, &menu(&["naan"])).await.unwrap().is_created());
        for hints in &mut streams {
            assert_eq!(next_restaurant(hints).await, created.id);
        }
        if is_closed {
            store.close().await;
            assert_eq!(next(&mut store.hints()).await, None);
        } else {
            drop(store);
        }
        for hints in &mut streams {
            assert_eq!(next(hints).await, None);
        }
        eventually("no connection listens", async || listeners(&watcher).await.is_empty()).await;
    }
}
