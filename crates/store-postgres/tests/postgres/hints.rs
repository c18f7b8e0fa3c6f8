//! What other servers change is hinted at, over one connection that comes back by itself.

use std::time::Duration;

use dabba_domain::{RestaurantId, order::TaskQueue};
use dabba_store::{
    CatalogueStore as _, CatalogueUpdate, CommitOutcome, Hint, OrderStore as _, StockUpdate, Store as _,
    conformance::builders::{World, menu, menu_at, slug},
};
use futures::{StreamExt as _, stream::BoxStream};
use tokio_postgres::Client;

use crate::common::{eventually, fresh_database, open, restaurant, session};

/// How long a hint is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next hint, or the end of the stream.
async fn next(hints: &mut BoxStream<'static, Hint>) -> Option<Hint> {
    tokio::time::timeout(PATIENCE, hints.next()).await.unwrap()
}

async fn next_restaurant(hints: &mut BoxStream<'static, Hint>) -> RestaurantId {
    match next(hints).await.unwrap() {
        Hint::Catalogue(id) => id,
        Hint::Tasks(queue) => unreachable!("nobody has announced tasks: {queue}"),
    }
}

/// The backends that listen in this database, by process id.
async fn listeners(watcher: &Client) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'dabba hints' AND state = 'idle' AND query LIKE 'LISTEN%'";
    watcher.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn somebody_listens(watcher: &Client) -> i32 {
    eventually("somebody listens", async || listeners(watcher).await.len() == 1).await;
    listeners(watcher).await[0]
}

/// That there are tasks to do is told to other servers, by queue; what somebody else notifies is not.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_hinted_at() {
    let url = fresh_database();
    let (store, other, watcher) = (open(&url).await, open(&url).await, session(&url).await);
    let mut hints = store.hints();
    somebody_listens(&watcher).await;
    watcher.batch_execute("NOTIFY dabba_tasks, 'nonsense'").await.unwrap();
    for queue in TaskQueue::ALL {
        other.announce_tasks(World::new(1).restaurant_id().bucket(), *queue).await;
        assert_eq!(next(&mut hints).await, Some(Hint::Tasks(*queue)));
    }
}

/// Each kind of change of a catalogue by another server is hinted at, once it can be read. Orders, and
/// changes that change nothing that is remembered, are not; nor is what somebody else notifies.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_catalogues_are_hinted_at() {
    let url = fresh_database();
    let (store, other, watcher) = (open(&url).await, open(&url).await, session(&url).await);
    let mut hints = store.hints();
    somebody_listens(&watcher).await;

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
    // Notifications come in the order of their commits, so what comes next shows that none came before.
    assert!(leads_to(&other.set_stock(id, &slug("dal"), None).await.unwrap(), 4));
    let last = restaurant(&other, &mut world, "naan", 1).await;
    assert_eq!(next_restaurant(&mut hints).await, id);
    assert_eq!(next_restaurant(&mut hints).await, last);
}

/// A listener whose connection the server ends listens again, and the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_listener_survives_the_loss_of_its_connection() {
    let url = fresh_database();
    let (store, watcher) = (open(&url).await, session(&url).await);
    let mut hints = store.hints();
    let mut world = World::new(2);
    for _ in 0..3 {
        let lost = somebody_listens(&watcher).await;
        watcher.execute("SELECT pg_terminate_backend($1)", &[&lost]).await.unwrap();
        eventually("another one listens", async || {
            listeners(&watcher).await.first().is_some_and(|listener| *listener != lost)
        })
        .await;
        let created = world.restaurant();
        assert!(store.create_restaurant(&created, &menu(&["naan"])).await.unwrap().is_created());
        assert_eq!(next_restaurant(&mut hints).await, created.id);
    }
}

/// There is no connection before somebody wants to know, one however many do, and none when the store is
/// closed or dropped, which ends their streams.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_listens_while_the_store_is_open() {
    let url = fresh_database();
    let watcher = session(&url).await;
    for is_closed in [true, false] {
        let store = open(&url).await;
        store.ping().await.unwrap();
        assert_eq!(listeners(&watcher).await.len(), 0);
        let mut streams = [store.hints(), store.hints(), store.hints()];
        somebody_listens(&watcher).await;
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
        eventually("nobody listens", async || listeners(&watcher).await.is_empty()).await;
    }
}
