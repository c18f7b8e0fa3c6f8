//! Several servers on one database.

use std::sync::Arc;

use dabba_domain::{
    OrderId,
    order::{Command, Event},
};
use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, OrderStore as _,
    conformance::builders::{World, order_of, staff},
};
use dabba_store_postgres::{PostgresOptions, PostgresStore};
use tokio::task::JoinSet;

use crate::common::{fresh_database, open, open_with, own_database, restaurant, whole_feed};

/// Servers at once.
const SERVERS: u64 = 4;
/// Batches that each of them writes.
const BATCHES: usize = 25;
/// Commits in each batch.
const BATCH_SIZE: usize = 4;

async fn servers(url: &str) -> Vec<Arc<PostgresStore>> {
    // Collisions are many here by design, and none of them may become an error.
    let options = PostgresOptions { max_attempts: 1_000, ..PostgresOptions::default() };
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(open_with(url, &options).await);
    }
    servers
}

/// Writes all batches of each server at once with the others. Answers the orders and their outcomes.
async fn write_at_once(
    servers: &[Arc<PostgresStore>],
    batches: Vec<Vec<Vec<Commit>>>,
) -> Vec<(OrderId, CommitOutcome)> {
    let mut running = JoinSet::new();
    for (store, batches) in servers.iter().cloned().zip(batches) {
        running.spawn(async move {
            let mut outcomes = Vec::new();
            for batch in batches {
                let ids: Vec<_> = batch.iter().map(|commit| commit.order_id).collect();
                outcomes.extend(ids.into_iter().zip(store.commit(batch).await.unwrap()));
            }
            outcomes
        });
    }
    running.join_all().await.concat()
}

/// Every order that was taken is there exactly once, and nothing else is.
async fn assert_exactly_once(store: &PostgresStore, outcomes: &[(OrderId, CommitOutcome)]) {
    let mut taken: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == CommitOutcome::Committed)
        .map(|(id, _)| *id)
        .collect();
    let mut placed: Vec<_> = whole_feed(store)
        .await
        .into_iter()
        .filter(|entry| matches!(entry.event.event, Event::Placed(_)))
        .map(|entry| entry.event.order_id)
        .collect();
    taken.sort_unstable();
    placed.sort_unstable();
    assert_eq!(placed, taken);
    for id in taken {
        assert!(store.order(id).await.unwrap().is_some());
    }
}

/// Servers that sell the same dish collide for real, 40001 and all; yet nothing is sold twice, lost or
/// sold beyond the stock, and each order is there exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_sell_one_dish_collide_and_lose_nothing() {
    let (_cluster, url) = own_database();
    let servers = servers(&url).await;
    let mut world = World::new(1);
    let orders = usize::try_from(SERVERS).unwrap() * BATCHES * BATCH_SIZE;
    let stock = orders / 2;
    let id = restaurant(&servers[0], &mut world, "dal", u32::try_from(stock).unwrap()).await;
    let mut place = || world.place_taking(id, &[("dal", 1)]);
    let batches = (0..SERVERS)
        .map(|_| (0..BATCHES).map(|_| (0..BATCH_SIZE).map(|_| place()).collect()).collect())
        .collect();

    let outcomes = write_at_once(&servers, batches).await;

    let sold = outcomes.iter().filter(|(_, outcome)| *outcome == CommitOutcome::Committed).count();
    assert_eq!(sold, stock, "sold to the last");
    assert_eq!(servers[0].stock(id).await.unwrap()[0].remaining, 0);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, CommitOutcome::Committed | CommitOutcome::OutOfStock(_)))
    );
    let collisions: u64 = servers.iter().map(|store| store.metrics().serialization_failures.get()).sum();
    assert!(collisions > 0, "nothing collided, so nothing was shown");
    assert!(servers.iter().all(|store| store.metrics().give_ups.get() == 0));
    assert_exactly_once(&servers[0], &outcomes).await;
}

/// Servers that claim one key at once make one order, and all of them name it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_claim_one_key_make_one_order() {
    let (_cluster, url) = own_database();
    let servers = servers(&url).await;
    let mut world = World::new(2);
    let id = restaurant(&servers[0], &mut world, "dal", 1_000).await;
    for _ in 0..10 {
        let first = world.place_taking(id, &[("dal", 1)]);
        // The same request each time; every server draws an id of its own for the order.
        let batches = (0..SERVERS)
            .map(|_| {
                let again = world.place_with(Arc::unwrap_or_clone(order_of(&first).details));
                vec![vec![Commit { claim: first.claim.clone(), ..again }]]
            })
            .collect();
        let outcomes = write_at_once(&servers, batches).await;
        let made: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == CommitOutcome::Committed)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(made.len(), 1, "{outcomes:?}");
        for (order_id, outcome) in outcomes {
            if order_id != made[0] {
                assert_eq!(outcome, CommitOutcome::Replayed { order_id: made[0], version: 2 });
            }
        }
    }
}

/// Servers that place and change different orders do not collide at all, although all these orders lie
/// on the same pages of the same indexes.
#[tokio::test(flavor = "multi_thread")]
async fn servers_with_different_orders_do_not_collide() {
    let (_cluster, url) = own_database();
    let servers = servers(&url).await;
    let mut world = World::new(3);
    let mut batches = Vec::new();
    for _ in &servers {
        let id = world.restaurant();
        servers[0].create_restaurant(&id, &dabba_store::conformance::builders::menu(&["dal"])).await.unwrap();
        let mut own = Vec::new();
        for _ in 0..BATCHES {
            let customer = world.account_id();
            let placed: Vec<_> = (0..BATCH_SIZE).map(|_| world.place(id.id, customer)).collect();
            let changed = placed.iter().map(|commit| {
                let order = order_of(commit);
                world.act(&order, &Command::Accept { preparation_minutes: 10 }, &staff(&order))
            });
            let changed: Vec<_> = changed.collect();
            // Each batch places new orders and changes those of the batch before.
            own.push(placed);
            own.push(changed);
        }
        let mut mixed = vec![own.remove(0)];
        while own.len() > 1 {
            let (changed, placed) = (own.remove(0), own.remove(0));
            mixed.push(changed.into_iter().chain(placed).collect());
        }
        batches.push(mixed);
    }

    let outcomes = write_at_once(&servers, batches).await;

    assert!(outcomes.iter().all(|(_, outcome)| *outcome == CommitOutcome::Committed));
    let metrics = servers.iter().map(|store| store.metrics());
    let collisions: u64 =
        metrics.map(|metrics| metrics.serialization_failures.get() + metrics.refutations.get()).sum();
    assert_eq!(collisions, 0);
}

/// A store that may try only once says so, and has written nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_attempts_left_says_so_and_writes_nothing() {
    let (_cluster, url) = own_database();
    let options = PostgresOptions { max_attempts: 1, ..PostgresOptions::default() };
    let (store, other) = (open_with(&url, &options).await, open(&url).await);
    let mut world = World::new(4);
    let id = restaurant(&other, &mut world, "dal", 1).await;
    // The key has been claimed, which the only attempt cannot know.
    let first = world.place_taking(id, &[("dal", 1)]);
    assert_eq!(other.commit(vec![first.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    let again = store.commit(vec![first.clone()]).await;
    assert!(matches!(again, Err(dabba_store::StoreError::Contention(_))), "{again:?}");
    assert_eq!(store.metrics().give_ups.get(), 1);
    assert_exactly_once(&store, &[(first.order_id, CommitOutcome::Committed)]).await;
}

/// Replays come in crowds: only the first batch of them is written in vain, since the ones behind it are looked
/// into first, until a batch has held.
#[tokio::test(flavor = "multi_thread")]
async fn batches_behind_a_replay_are_looked_into_first() {
    let store = open(&fresh_database()).await;
    let mut world = World::new(9);
    let mut place = || world.place(world.clone().restaurant_id(), world.clone().account_id());
    let (placed, other) = (place(), place());
    let commit = async |commit: &Commit| store.commit(vec![commit.clone()]).await.unwrap().remove(0);
    assert_eq!(commit(&placed).await, CommitOutcome::Committed);
    let replayed = CommitOutcome::Replayed { order_id: placed.order_id, version: order_of(&placed).version };
    let refutations = || store.metrics().refutations.get();
    for _ in 0..3 {
        assert_eq!(commit(&placed).await, replayed);
        assert_eq!(refutations(), 1);
    }
    assert_eq!(commit(&other).await, CommitOutcome::Committed);
    assert_eq!(commit(&placed).await, replayed);
    assert_eq!(refutations(), 2);
}
