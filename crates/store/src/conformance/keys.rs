//! Idempotency keys: one key, one effect (I1).

use std::sync::Arc;

use dabba_domain::order::Command;

use super::builders::{World, customer, order_of};
use crate::{
    Claim, ClaimRecord, Commit, CommitOutcome, Fingerprint, OrderQuery, OrderScope, PageSize, Store,
};

/// A second order under the first one's key.
fn with_claim_of(other: Commit, first: &Commit) -> Commit {
    Commit { claim: first.claim.clone(), ..other }
}

fn replayed(commit: &Commit) -> CommitOutcome {
    CommitOutcome::Replayed { order_id: commit.order_id, version: order_of(commit).version }
}

async fn count_orders(store: &Arc<dyn Store>) -> usize {
    let query =
        OrderQuery { scope: OrderScope::All, statuses: vec![], after: None, limit: PageSize::DEFAULT };
    store.list_orders(&query).await.unwrap().orders.len()
}

/// The second of two requests that land in one batch is answered with the first one's order, and makes
/// none of its own.
pub async fn a_key_in_two_commits_of_a_batch_makes_one_order(store: Arc<dyn Store>) {
    let mut world = World::new(1);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let second = with_claim_of(world.place(restaurant, account), &first);
    let outcomes = store.commit(vec![first.clone(), second.clone()]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Committed, replayed(&first)]);
    assert_eq!(store.order(second.order_id).await.unwrap(), None);
    assert_eq!(store.events(second.order_id, 0, 10).await.unwrap(), []);
}

/// Whoever comes first: of many requests under one key, sent at the same time, one makes an order and
/// all others are answered with it.
pub async fn a_key_in_two_batches_at_once_makes_one_order(store: Arc<dyn Store>) {
    let mut world = World::new(2);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let attempt = with_claim_of(world.place(restaurant, account), &first);
        let beside = world.place(restaurant, account);
        let store = Arc::clone(&store);
        running.spawn(async move {
            let id = attempt.order_id;
            let outcomes = store.commit(vec![beside, attempt]).await.unwrap();
            assert_eq!(outcomes[0], CommitOutcome::Committed);
            (id, outcomes[1].clone())
        });
    }
    let results = running.join_all().await;
    let winners: Vec<_> =
        results.iter().filter(|(_, outcome)| *outcome == CommitOutcome::Committed).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let (winner, _) = winners[0];
    for (id, outcome) in &results {
        if id != winner {
            assert_eq!(*outcome, CommitOutcome::Replayed { order_id: *winner, version: 2 });
        }
    }
    assert_eq!(count_orders(&store).await, 16 + 1);
}

/// A key stands for one request. Another one under it is refused, in the same batch and later.
pub async fn a_key_with_another_request_is_refused(store: Arc<dyn Store>) {
    let mut world = World::new(3);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let mut other = with_claim_of(world.place(restaurant, account), &first);
    other.claim.as_mut().unwrap().fingerprint = Fingerprint([7; 32]);
    let outcomes = store.commit(vec![first.clone(), other.clone()]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Committed, CommitOutcome::KeyReused]);
    assert_eq!(store.commit(vec![other]).await.unwrap(), [CommitOutcome::KeyReused]);
    // The refusal has not touched the claim.
    assert_eq!(store.commit(vec![first.clone()]).await.unwrap(), [replayed(&first)]);
    assert_eq!(count_orders(&store).await, 1);
}

/// The same characters under another account, or for another restaurant, are another key.
pub async fn a_key_in_another_scope_is_another_key(store: Arc<dyn Store>) {
    let mut world = World::new(4);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let key = first.claim.as_ref().unwrap().key.clone();
    let mut for_another_restaurant = {
        let restaurant = world.restaurant_id();
        world.place(restaurant, account)
    };
    for_another_restaurant.claim.as_mut().unwrap().key = key.clone();
    let mut by_another_account = {
        let account = world.account_id();
        world.place(restaurant, account)
    };
    by_another_account.claim.as_mut().unwrap().key = key;
    let outcomes = store.commit(vec![first, for_another_restaurant, by_another_account]).await.unwrap();
    assert_eq!(outcomes, vec![CommitOutcome::Committed; 3]);
}

/// A command that had been carried out before claims its key too, and a repetition is answered with the
/// version that was answered then, although the order has moved on.
pub async fn a_key_of_a_command_without_effect_is_answered_with_that_version(store: Arc<dyn Store>) {
    let mut world = World::new(5);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    let repeated = world.repeat(&order, account);
    let outcomes = store.commit(vec![placed, repeated.clone()]).await.unwrap();
    assert_eq!(outcomes, vec![CommitOutcome::Committed; 2]);
    let reason = dabba_domain::order::CancelReason::Other;
    let cancelled = world.act(&order, &Command::cancel(reason), &customer(&order));
    assert_eq!(store.commit(vec![cancelled]).await.unwrap(), [CommitOutcome::Committed]);
    let replayed = CommitOutcome::Replayed { order_id: order.id, version: order.version };
    assert_eq!(store.commit(vec![repeated]).await.unwrap(), [replayed]);
}

/// A claim can be looked up by its whole scope, and says what was asked and where it led.
pub async fn a_key_is_found_with_what_was_asked(store: Arc<dyn Store>) {
    let mut world = World::new(6);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let Claim { key, fingerprint, .. } = placed.claim.clone().unwrap();
    assert_eq!(store.find_claim(account, restaurant, &key).await.unwrap(), None);
    store.commit(vec![placed.clone()]).await.unwrap();
    let record = ClaimRecord::of_order(fingerprint, placed.order_id, order_of(&placed).version);
    assert_eq!(store.find_claim(account, restaurant, &key).await.unwrap(), Some(record));
    assert_eq!(store.find_claim(world.account_id(), restaurant, &key).await.unwrap(), None);
    assert_eq!(store.find_claim(account, world.restaurant_id(), &key).await.unwrap(), None);
    assert_eq!(store.find_claim(account, restaurant, &world.key()).await.unwrap(), None);
}

/// A repetition is answered as such even when by now the order has another version, the lease is
/// gone, the catalogue has changed and the stock is sold: none of that matters to what is done.
pub async fn a_claim_is_checked_before_everything_else(store: Arc<dyn Store>) {
    let mut world = World::new(7);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    store.commit(vec![placed.clone()]).await.unwrap();
    let mut again = world.place_taking(restaurant, &[("naan", 1)]);
    again.claim.clone_from(&placed.claim);
    again.catalogue =
        Some(crate::CatalogueGuard { restaurant_revision: 9, menu_revision: 9, availability_revision: 1 });
    again.completes = Some(crate::TaskLease { task_id: world.task_id(again.order_id), token: 1 });
    assert_eq!(store.commit(vec![again]).await.unwrap(), [replayed(&placed)]);
}

/// Keys older than a time are forgotten, the oldest first and no more than asked for; younger ones stay.
/// A key that is forgotten can be claimed anew.
pub async fn old_keys_are_forgotten_in_bounded_number(store: Arc<dyn Store>) {
    let mut world = World::new(8);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let old: Vec<_> = (0..5).map(|_| world.place(restaurant, account)).collect();
    let limit = world.in_seconds(60);
    let mut young = world.place(restaurant, account);
    young.at = limit;
    let mut batch = old.clone();
    batch.reverse();
    batch.push(young.clone());
    store.commit(batch).await.unwrap();

    assert_eq!(store.forget_keys(old[0].at, 10).await.unwrap(), 0, "nothing is older than the oldest");
    assert_eq!(store.forget_keys(limit, 3).await.unwrap(), 3);
    for (index, commit) in old.iter().enumerate() {
        let claim = commit.claim.as_ref().unwrap();
        let found = store.find_claim(account, restaurant, &claim.key).await.unwrap();
        assert_eq!(found.is_some(), index >= 3, "key {index}");
    }
    assert_eq!(store.forget_keys(limit, 10).await.unwrap(), 2);
    assert_eq!(store.forget_keys(limit, 10).await.unwrap(), 0);
    assert_eq!(store.commit(vec![young.clone()]).await.unwrap(), [replayed(&young)]);

    let anew = with_claim_of(world.place(restaurant, account), &old[0]);
    assert_eq!(store.commit(vec![anew]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Of keys in several scopes, so many are forgotten as asked for; fewer only when no more are old.
pub async fn old_keys_of_many_restaurants_are_forgotten_in_bounded_number(store: Arc<dyn Store>) {
    let mut world = World::new(9);
    let account = world.account_id();
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let batch: Vec<_> = (0..20).map(|index| world.place(restaurants[index * index % 3], account)).collect();
    store.commit(batch.clone()).await.unwrap();
    let limit = world.in_seconds(60);
    for step in [1, 2, 10, 4] {
        assert_eq!(store.forget_keys(limit, step).await.unwrap(), step);
    }
    assert_eq!(store.forget_keys(limit, 10).await.unwrap(), 3);
    for commit in batch {
        let key = &commit.claim.unwrap().key;
        assert_eq!(store.find_claim(account, commit.restaurant_id, key).await.unwrap(), None);
    }
}
