//! Conflicts between several servers on one database.

use std::sync::Arc;

use dabba_domain::{OrderId, order::Command};
use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, OrderStore as _,
    conformance::builders::{World, order_of, staff},
};
use dabba_store_postgres::{PostgresOptions, PostgresStore};
use tokio::task::JoinSet;

use crate::common::{fresh_database, open, open_with, own_database, restaurant, whole_feed};

/// Number of concurrent servers.
const SERVERS: u64 = 4;
/// Number of batches that each server writes.
const BATCHES: usize = 25;
/// Number of commits in each batch.
const BATCH_SIZE: usize = 4;

async fn servers(url: &str) -> Vec<Arc<PostgresStore>> {
    // These tests cause many conflicts on purpose, and no conflict may become an error.
    let options = PostgresOptions { max_attempts: 1_000, ..PostgresOptions::default() };
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(open_with(url, &options).await);
    }
    servers
}

/// Writes the batches of all servers at the same time. Returns the orders and their outcomes.
async fn write_concurrently(
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

/// Asserts that every committed order exists exactly once, and that no other order exists.
async fn assert_exactly_once(store: &PostgresStore, outcomes: &[(OrderId, CommitOutcome)]) {
    let mut committed: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == CommitOutcome::Committed)
        .map(|(id, _)| *id)
        .collect();
    let mut placed: Vec<_> = whole_feed(store)
        .await
        .into_iter()
        .filter(|entry| &*entry.name == "placed")
        .map(|entry| entry.order_id)
        .collect();
    committed.sort_unstable();
    placed.sort_unstable();
    assert_eq!(placed, committed);
    for id in committed {
        assert!(store.order(id).await.unwrap().is_some());
    }
}

/// Servers that sell the same item have real conflicts (40001). Still nothing is sold twice, lost or sold beyond the
/// stock, and each order exists exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_over_one_item_lose_nothing() {
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

    let outcomes = write_concurrently(&servers, batches).await;

    let sold = outcomes.iter().filter(|(_, outcome)| *outcome == CommitOutcome::Committed).count();
    assert_eq!(sold, stock, "all stock is sold");
    assert_eq!(servers[0].stock(id).await.unwrap()[0].remaining, 0);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, CommitOutcome::Committed | CommitOutcome::OutOfStock(_)))
    );
    let conflicts: u64 = servers.iter().map(|store| store.metrics().serialization_failures.get()).sum();
    assert!(conflicts > 0, "no conflict occurred, so the test proves nothing");
    assert!(servers.iter().all(|store| store.metrics().give_ups.get() == 0));
    assert_exactly_once(&servers[0], &outcomes).await;
}

/// Servers that claim the same key at the same time create one order, and all of them return it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_claim_one_key_make_one_order() {
    let (_cluster, url) = own_database();
    let servers = servers(&url).await;
    let mut world = World::new(2);
    let id = restaurant(&servers[0], &mut world, "dal", 1_000).await;
    for _ in 0..10 {
        let first = world.place_taking(id, &[("dal", 1)]);
        // The same request on every server; each server draws a new id for the order.
        let batches = (0..SERVERS)
            .map(|_| {
                let again = world.place_with(Arc::unwrap_or_clone(order_of(&first).details));
                vec![vec![Commit { claim: first.claim.clone(), ..again }]]
            })
            .collect();
        let outcomes = write_concurrently(&servers, batches).await;
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

/// Servers that place and change different orders have no conflicts, although all these orders are on the same pages
/// of the same indexes.
#[tokio::test(flavor = "multi_thread")]
async fn servers_with_different_orders_have_no_conflicts() {
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
            // Each batch places new orders and changes those of the previous batch.
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

    let outcomes = write_concurrently(&servers, batches).await;

    assert!(outcomes.iter().all(|(_, outcome)| *outcome == CommitOutcome::Committed));
    let metrics = servers.iter().map(|store| store.metrics());
    let conflicts: u64 =
        metrics.map(|metrics| metrics.serialization_failures.get() + metrics.refutations.get()).sum();
    assert_eq!(conflicts, 0);
}

/// A store with only one attempt reports contention, and has written nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_attempts_left_reports_contention() {
    let (_cluster, url) = own_database();
    let options = PostgresOptions { max_attempts: 1, ..PostgresOptions::default() };
    let (store, other) = (open_with(&url, &options).await, open(&url).await);
    let mut world = World::new(4);
    let id = restaurant(&other, &mut world, "dal", 1).await;
    // The key is claimed already, which the optimistic first attempt does not know.
    let first = world.place_taking(id, &[("dal", 1)]);
    assert_eq!(other.commit(vec![first.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    let again = store.commit(vec![first.clone()]).await;
    assert!(matches!(again, Err(dabba_store::StoreError::Contention(_))), "{again:?}");
    assert_eq!(store.metrics().give_ups.get(), 1);
    assert_exactly_once(&store, &[(first.order_id, CommitOutcome::Committed)]).await;
}

/// Replays come in clusters: only the first replayed batch is written without effect. The next batches begin with a view,
/// until a batch is committed as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn batches_after_a_replay_begin_with_a_view() {
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
