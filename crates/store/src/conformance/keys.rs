//! Idempotency keys: one key, one effect (I1).

use std::sync::Arc;

use dabba_domain::{order::Command, task::TaskSubject};

use super::builders::{World, customer, order_of};
use crate::{
    Claim, ClaimRecord, Commit, CommitOutcome, Fingerprint, OrderQuery, OrderScope, PageSize, Store,
};

/// Returns a second order under the first order's key.
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

/// The second of two requests with one key in the same batch is answered with the first request's order, and
/// creates none.
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

/// Of many concurrent requests with one key, one creates an order, and all others are answered with that
/// order.
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

/// A key belongs to one request. Another request with the key is refused, in the same batch and later.
pub async fn a_key_with_another_request_is_refused(store: Arc<dyn Store>) {
    let mut world = World::new(3);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let mut other = with_claim_of(world.place(restaurant, account), &first);
    other.claim.as_mut().unwrap().fingerprint = Fingerprint([7; 32]);
    let outcomes = store.commit(vec![first.clone(), other.clone()]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Committed, CommitOutcome::KeyReused]);
    assert_eq!(store.commit(vec![other]).await.unwrap(), [CommitOutcome::KeyReused]);
    // The refusal did not change the claim.
    assert_eq!(store.commit(vec![first.clone()]).await.unwrap(), [replayed(&first)]);
    assert_eq!(count_orders(&store).await, 1);
}

/// The same text under another account or restaurant is another key.
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

/// A command without effect claims its key too. A retry is answered with the version of the first answer,
/// even if the order has a later version.
pub async fn a_key_of_a_command_without_effect_returns_the_version_of_the_first_answer(
    store: Arc<dyn Store>,
) {
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

/// A claim is found by its complete scope. The record contains the fingerprint, the order and its version.
pub async fn a_key_is_found_with_its_record(store: Arc<dyn Store>) {
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

/// A retry is answered as such even if the order has another version, the lease is lost, the catalogue has
/// changed and the stock is sold out, because the write is already done.
pub async fn a_claim_is_checked_before_everything_else(store: Arc<dyn Store>) {
    let mut world = World::new(7);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    store.commit(vec![placed.clone()]).await.unwrap();
    let mut again = world.place_taking(restaurant, &[("naan", 1)]);
    again.claim.clone_from(&placed.claim);
    again.catalogue =
        Some(crate::CatalogueGuard { restaurant_revision: 9, menu_revision: 9, availability_revision: 1 });
    again.completes = Some(world.lease_of_nothing(TaskSubject::Order(again.order_id)));
    assert_eq!(store.commit(vec![again]).await.unwrap(), [replayed(&placed)]);
}

/// Keys older than a time are deleted, oldest first and at most the requested number; younger keys stay. A
/// deleted key can be claimed again.
pub async fn old_keys_are_deleted_up_to_the_limit(store: Arc<dyn Store>) {
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

    assert_eq!(
        store.delete_expired_keys(old[0].at, 10).await.unwrap(),
        0,
        "nothing is older than the oldest"
    );
    assert_eq!(store.delete_expired_keys(limit, 3).await.unwrap(), 3);
    for (index, commit) in old.iter().enumerate() {
        let claim = commit.claim.as_ref().unwrap();
        let found = store.find_claim(account, restaurant, &claim.key).await.unwrap();
        assert_eq!(found.is_some(), index >= 3, "key {index}");
    }
    assert_eq!(store.delete_expired_keys(limit, 10).await.unwrap(), 2);
    assert_eq!(store.delete_expired_keys(limit, 10).await.unwrap(), 0);
    assert_eq!(store.commit(vec![young.clone()]).await.unwrap(), [replayed(&young)]);

    let anew = with_claim_of(world.place(restaurant, account), &old[0]);
    assert_eq!(store.commit(vec![anew]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Exactly the requested number of keys in several scopes is deleted; fewer only if no more old keys exist.
pub async fn old_keys_of_many_restaurants_are_deleted_up_to_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(9);
    let account = world.account_id();
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let batch: Vec<_> = (0..20).map(|index| world.place(restaurants[index * index % 3], account)).collect();
    store.commit(batch.clone()).await.unwrap();
    let limit = world.in_seconds(60);
    for step in [1, 2, 10, 4] {
        assert_eq!(store.delete_expired_keys(limit, step).await.unwrap(), step);
    }
    assert_eq!(store.delete_expired_keys(limit, 10).await.unwrap(), 3);
    for commit in batch {
        let key = &commit.claim.unwrap().key;
        assert_eq!(store.find_claim(account, commit.restaurant_id, key).await.unwrap(), None);
    }
}
