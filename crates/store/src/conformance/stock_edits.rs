//! Manual changes of stock: relative to the remaining stock, once per key, and conditional on a revision.

use std::sync::Arc;

use dabba_domain::{
    AccountId, RestaurantId,
    limits::MAX_STOCK,
    order::{CancelReason, Command},
};

use super::builders::{World, customer, menu, order_of, slug};
use crate::{
    Claim, ClaimAt, CommitOutcome, Fingerprint, PageSize, Resource, StockEdit, StockLevel, StockOperation,
    StockUpdate, Store,
};

const ITEM: &str = "naan";

/// Creates a restaurant with this number of naan.
async fn restaurant_with(store: &Arc<dyn Store>, world: &mut World, remaining: u32) -> RestaurantId {
    let restaurant = world.restaurant();
    store.create_restaurant(&restaurant, &menu(&[ITEM, "roti"])).await.unwrap();
    store.set_stock(restaurant.id, &slug(ITEM), Some(remaining)).await.unwrap();
    restaurant.id
}

const fn adjust(by: i32) -> StockEdit<'static> {
    StockEdit { operation: StockOperation::Adjust(by), expected: None, claim: None }
}

fn claim(world: &mut World, account_id: AccountId) -> Claim {
    Claim { account_id, key: world.key(), fingerprint: Fingerprint([1; 32]) }
}

async fn change(store: &Arc<dyn Store>, id: RestaurantId, edit: &StockEdit<'_>) -> StockUpdate {
    store.change_stock(id, &slug(ITEM), edit).await.unwrap()
}

/// Returns the level after a change that was made.
fn level_of(update: StockUpdate) -> StockLevel {
    match update {
        StockUpdate::Done { level: Some(level), .. } => level,
        other => panic!("{other:?}"),
    }
}

async fn level(store: &Arc<dyn Store>, id: RestaurantId) -> StockLevel {
    store.stock(id).await.unwrap().into_iter().find(|level| level.item.as_str() == ITEM).unwrap()
}

/// An adjustment adds to the stock or subtracts from it, between zero and the maximum.
pub async fn an_adjustment_is_relative_to_the_remaining_stock(store: Arc<dyn Store>) {
    let mut world = World::new(181);
    let id = restaurant_with(&store, &mut world, 5).await;
    for (by, remaining) in [(6, 11), (-11, 0), (1, 1), (999_999, MAX_STOCK), (-1, MAX_STOCK - 1)] {
        assert_eq!(level_of(change(&store, id, &adjust(by)).await).remaining, remaining, "{by}");
        assert_eq!(level(&store, id).await.remaining, remaining);
    }
    let before = level(&store, id).await;
    let remaining = MAX_STOCK - 1;
    for (by, refusal) in [
        (2, StockUpdate::TooHigh { remaining }),
        (i32::MAX, StockUpdate::TooHigh { remaining }),
        (-1_000_000, StockUpdate::TooLow { remaining }),
        (i32::MIN, StockUpdate::TooLow { remaining }),
    ] {
        assert_eq!(change(&store, id, &adjust(by)).await, refusal, "{by}");
    }
    assert_eq!(level(&store, id).await, before);
    let roti = store.change_stock(id, &slug("roti"), &adjust(1)).await.unwrap();
    assert_eq!(roti, StockUpdate::NotLimited);
    let unknown = change(&store, world.restaurant_id(), &adjust(1)).await;
    assert_eq!(unknown, StockUpdate::NotFound);
}

/// A retry under the same key is answered as before and changes nothing, whatever has happened since. Another request
/// with the key is refused.
pub async fn an_adjustment_under_one_key_is_made_once(store: Arc<dyn Store>) {
    let mut world = World::new(182);
    let id = restaurant_with(&store, &mut world, 5).await;
    let account = world.account_id();
    let first = claim(&mut world, account);
    let claimed = |claim| ClaimAt { claim, at: world.now() };
    let edit = StockEdit { claim: Some(claimed(&first)), ..adjust(6) };
    let answered = level_of(change(&store, id, &edit).await);
    assert_eq!((answered.remaining, answered.revision), (11, 2));
    assert_eq!(change(&store, id, &edit).await, StockUpdate::Replayed(answered.clone()));
    // The key is checked before every other condition.
    let stale = StockEdit { expected: Some(1), ..edit };
    assert_eq!(change(&store, id, &stale).await, StockUpdate::Replayed(answered.clone()));
    store.set_stock(id, &slug(ITEM), None).await.unwrap();
    assert_eq!(change(&store, id, &edit).await, StockUpdate::Replayed(answered.clone()));
    let other = Claim { fingerprint: Fingerprint([2; 32]), ..first.clone() };
    let other = StockEdit { claim: Some(claimed(&other)), ..adjust(7) };
    assert_eq!(change(&store, id, &other).await, StockUpdate::KeyReused);
    assert!(store.stock(id).await.unwrap().is_empty());

    let found = store.find_claim(account, id, &first.key).await.unwrap().unwrap();
    let resource = Resource::Stock { restaurant_id: id, item: slug(ITEM), remaining: 11 };
    assert_eq!((found.resource, found.version), (resource, 2));
    let listed = store.all_claims(None, PageSize::DEFAULT).await.unwrap().entries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key.restaurant_id, Some(id));
}

/// A key belongs to one request, whether an order or an adjustment; a refused request has claimed nothing.
pub async fn orders_and_adjustments_share_their_keys(store: Arc<dyn Store>) {
    let mut world = World::new(183);
    let id = restaurant_with(&store, &mut world, 5).await;
    let placed = world.place_taking(id, &[(ITEM, 1)]);
    let of_order = placed.claim.clone().unwrap();
    let at = world.now();
    store.commit(vec![placed]).await.unwrap();
    for fingerprint in [of_order.fingerprint, Fingerprint([9; 32])] {
        let same_key = Claim { fingerprint, ..of_order.clone() };
        let edit = StockEdit { claim: Some(ClaimAt { claim: &same_key, at }), ..adjust(1) };
        assert_eq!(change(&store, id, &edit).await, StockUpdate::KeyReused);
    }
    let mut next = world.place_taking(id, &[(ITEM, 1)]);
    let of_stock = next.claim.clone().unwrap();
    let edit = StockEdit { claim: Some(ClaimAt { claim: &of_stock, at }), ..adjust(-9) };
    assert_eq!(change(&store, id, &edit).await, StockUpdate::TooLow { remaining: 4 });
    let edit = StockEdit { claim: Some(ClaimAt { claim: &of_stock, at }), ..adjust(2) };
    assert_eq!(level_of(change(&store, id, &edit).await).remaining, 6);
    assert_eq!(store.commit(vec![next.clone()]).await.unwrap(), [CommitOutcome::KeyReused]);
    next.claim.as_mut().unwrap().key = world.key();
    assert_eq!(store.commit(vec![next]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(level(&store, id).await.remaining, 5);
}

/// Sales and returns do not change the revision. Each manual change increases it, and no revision is reused, even if
/// the limit was removed or the item was off the menu in between.
pub async fn only_manual_changes_increase_the_stock_revision(store: Arc<dyn Store>) {
    let mut world = World::new(184);
    let id = restaurant_with(&store, &mut world, 5).await;
    assert_eq!(level(&store, id).await.revision, 1);
    let placed = world.place_taking(id, &[(ITEM, 2)]);
    let order = order_of(&placed);
    let cancel = Command::cancel(CancelReason::ChangedMind);
    let cancelled = world.act(&order, &cancel, &customer(&order));
    store.commit(vec![placed]).await.unwrap();
    assert_eq!(level(&store, id).await.revision, 1);
    store.commit(vec![cancelled]).await.unwrap();
    assert_eq!(level(&store, id).await.revision, 1);

    let mut seen = 1;
    for operation in [
        StockOperation::Set(Some(5)),
        StockOperation::Adjust(1),
        StockOperation::Set(None),
        StockOperation::Set(Some(5)),
        StockOperation::Adjust(-1),
        StockOperation::Set(None),
        StockOperation::Set(None),
        StockOperation::Set(Some(0)),
    ] {
        let edit = StockEdit { operation, expected: None, claim: None };
        let StockUpdate::Done { level, .. } = change(&store, id, &edit).await else {
            panic!("{operation:?}")
        };
        if let Some(level) = level {
            assert!(level.revision > seen, "{operation:?}: {} after {seen}", level.revision);
            seen = level.revision;
        }
    }
    assert_eq!(level(&store, id).await.revision, seen);
    // The same holds if the menu was replaced by one without the item.
    for items in [&["roti"][..], &[ITEM]] {
        let revisions = store.catalogue(id).await.unwrap().unwrap().menu_revisions();
        store.replace_menu(id, &menu(items), revisions).await.unwrap();
    }
    let update = store.set_stock(id, &slug(ITEM), Some(3)).await.unwrap();
    assert!(level_of(update).revision > seen);
}

/// A change that states an expected revision is refused at every other revision.
pub async fn stock_is_changed_only_at_the_expected_revision(store: Arc<dyn Store>) {
    let mut world = World::new(185);
    let id = restaurant_with(&store, &mut world, 5).await;
    let expecting = |expected, operation| StockEdit { operation, expected: Some(expected), claim: None };
    let operations = [StockOperation::Set(Some(1)), StockOperation::Set(None), StockOperation::Adjust(1)];
    for operation in operations {
        let conflict = StockUpdate::Conflict { current: Some(1) };
        assert_eq!(change(&store, id, &expecting(2, operation)).await, conflict, "{operation:?}");
    }
    assert_eq!(level(&store, id).await.remaining, 5);
    // A sale in between is no manual change, and an adjustment does not overwrite it.
    let sold = world.place_taking(id, &[(ITEM, 2)]);
    store.commit(vec![sold]).await.unwrap();
    let adjusted = level_of(change(&store, id, &expecting(1, StockOperation::Adjust(10))).await);
    assert_eq!((adjusted.remaining, adjusted.revision), (13, 2));
    store.set_stock(id, &slug(ITEM), None).await.unwrap();
    for operation in operations {
        let conflict = StockUpdate::Conflict { current: None };
        assert_eq!(change(&store, id, &expecting(2, operation)).await, conflict, "{operation:?}");
    }
}

/// With concurrent orders and adjustments, the stock finally reflects every sale and every adjustment, and every
/// adjustment increased the revision by one.
pub async fn concurrent_adjustments_and_sales_lose_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(186);
    // The stock suffices in every order of execution: the sales draw 60, and the adjustments remove 3.
    let id = restaurant_with(&store, &mut world, 63).await;
    let mut sales = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let commit = world.place_taking(id, &[(ITEM, 2)]);
        let store = Arc::clone(&store);
        sales.spawn(async move { store.commit(vec![commit]).await.unwrap().remove(0) });
    }
    let mut adjustments = tokio::task::JoinSet::new();
    for by in [6, -1, 3, -2, 5, 4] {
        let store = Arc::clone(&store);
        adjustments.spawn(async move { change(&store, id, &adjust(by)).await });
    }
    let made = adjustments.join_all().await.into_iter().map(level_of).count();
    let sold = sales.join_all().await;
    assert!(sold.iter().all(|outcome| *outcome == CommitOutcome::Committed), "{sold:?}");
    let left = level(&store, id).await;
    assert_eq!((made, left.remaining, left.revision), (6, 18, 7));
}

/// Of many concurrent requests with one adjustment and one key, one makes the change, and all get the same answer.
pub async fn an_adjustment_sent_concurrently_under_one_key_is_made_once(store: Arc<dyn Store>) {
    let mut world = World::new(187);
    let id = restaurant_with(&store, &mut world, 5).await;
    let account = world.account_id();
    let (claim, at) = (claim(&mut world, account), world.now());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, claim) = (Arc::clone(&store), claim.clone());
        running.spawn(async move {
            let edit = StockEdit { claim: Some(ClaimAt { claim: &claim, at }), ..adjust(6) };
            change(&store, id, &edit).await
        });
    }
    let updates = running.join_all().await;
    let expected = StockLevel { item: slug(ITEM), remaining: 11, revision: 2 };
    let done = updates.iter().filter(|update| matches!(update, StockUpdate::Done { .. })).count();
    let replayed =
        updates.iter().filter(|update| **update == StockUpdate::Replayed(expected.clone())).count();
    assert_eq!((done, replayed), (1, 7), "{updates:?}");
    assert_eq!(level(&store, id).await, expected);
}
