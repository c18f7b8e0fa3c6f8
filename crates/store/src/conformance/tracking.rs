//! Tracking links.

use std::sync::Arc;

use dabba_domain::{
    Actor, Bucket, Timestamp, Via,
    order::{CancelReason, Command, Event, fold},
};

use super::builders::{World, customer, order_of};
use crate::{CommitOutcome, Store, TrackingLink, TrackingLinkCreation, TrackingLinkHash};

/// Returns a new link to an order, whose first check is due at a time.
fn link(world: &mut World, order_id: dabba_domain::OrderId, check_at: Timestamp) -> TrackingLink {
    let mut hash = [0; 32];
    for part in hash.chunks_exact_mut(8) {
        part.copy_from_slice(&world.random().to_be_bytes());
    }
    TrackingLink { hash: TrackingLinkHash(hash), order_id, created_at: world.now(), check_at }
}

async fn create(store: &Arc<dyn Store>, link: &TrackingLink) {
    assert_eq!(store.create_tracking_link(link, 1_000).await.unwrap(), TrackingLinkCreation::Created);
}

async fn exists(store: &Arc<dyn Store>, link: &TrackingLink) -> bool {
    let found = store.tracked_order(link.order_id.bucket(), &link.hash).await.unwrap();
    assert!(found.is_none_or(|found| found == link.order_id), "a link leads to its own order");
    found.is_some()
}

/// A link leads to its order. A hash that no link has, and an order that does not exist, lead nowhere.
pub async fn a_tracking_link_leads_to_its_order(store: Arc<dyn Store>) {
    let mut world = World::new(201);
    let (restaurant, other) = (world.restaurant_id(), world.restaurant_id());
    let account = world.account_id();
    let commits = [world.place(restaurant, account), world.place(other, account)];
    store.commit(commits.to_vec()).await.unwrap();
    let later = world.in_seconds(60);
    let mut links = Vec::new();
    for commit in &commits {
        for _ in 0..2 {
            let link = link(&mut world, commit.order_id, later);
            create(&store, &link).await;
            links.push(link);
        }
    }
    for link in &links {
        assert!(exists(&store, link).await);
    }
    let unknown = link(&mut world, commits[0].order_id, later);
    assert!(!exists(&store, &unknown).await);
    for bucket in [0, 1_500, 4_095] {
        let bucket = Bucket::new(bucket).unwrap();
        assert_eq!(store.tracked_order(bucket, &unknown.hash).await.unwrap(), None);
    }
    let missing = world.order_id(restaurant);
    let missing = link(&mut world, missing, later);
    let created = store.create_tracking_link(&missing, 10).await.unwrap();
    assert_eq!(created, TrackingLinkCreation::NotFound);
    assert!(!exists(&store, &missing).await);
}

/// An order never has more links than the maximum, however many are created at once. Other orders do not count.
pub async fn the_tracking_links_of_an_order_are_limited(store: Arc<dyn Store>) {
    const MAX: u32 = 3;
    let mut world = World::new(202);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let commits = [world.place(restaurant, account), world.place(restaurant, account)];
    store.commit(commits.to_vec()).await.unwrap();
    let later = world.in_seconds(60);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (link, store) = (link(&mut world, commits[0].order_id, later), Arc::clone(&store));
        running.spawn(async move {
            // Concurrent creations may exhaust the attempts of a store; the caller repeats.
            loop {
                if let Ok(outcome) = store.create_tracking_link(&link, MAX).await {
                    return outcome;
                }
            }
        });
    }
    let outcomes = running.join_all().await;
    let created = outcomes.iter().filter(|outcome| **outcome == TrackingLinkCreation::Created).count();
    assert_eq!(created, MAX as usize, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| *outcome != TrackingLinkCreation::NotFound), "{outcomes:?}");
    create(&store, &link(&mut world, commits[1].order_id, later)).await;
}

/// Only the links to orders that ended long ago are deleted. The others are checked again later, and each call checks
/// at most the requested number, those that are due longest first.
pub async fn tracking_links_of_ended_orders_are_deleted(store: Arc<dyn Store>) {
    let mut world = World::new(203);
    let account = world.account_id();
    let mut links = Vec::new();
    for index in 0..6 {
        let restaurant = world.restaurant_id();
        let placed = world.place(restaurant, account);
        assert_eq!(store.commit(vec![placed.clone()]).await.unwrap(), [CommitOutcome::Committed]);
        if index % 2 == 0 {
            let order = order_of(&placed);
            let cancel = Command::cancel(CancelReason::ChangedMind);
            let ended = world.act(&order, &cancel, &customer(&order));
            assert_eq!(store.commit(vec![ended]).await.unwrap(), [CommitOutcome::Committed]);
        }
        let due = world.tick();
        links.push(link(&mut world, placed.order_id, due));
        create(&store, &links[index]).await;
    }
    let (now, again, much_later) = (world.in_seconds(60), world.in_seconds(120), world.in_seconds(180));
    let check = async |due: Timestamp, unchanged_since: Timestamp, next: Timestamp, limit: u32| {
        store.check_tracking_links(due, unchanged_since, next, limit).await.unwrap()
    };
    let remaining = async || {
        let mut remaining = Vec::new();
        for (index, link) in links.iter().enumerate() {
            if exists(&store, link).await {
                remaining.push(index);
            }
        }
        remaining
    };
    let before_all = links[0].created_at - std::time::Duration::from_hours(1);
    assert_eq!(check(before_all, now, again, 10).await, 0, "nothing is due yet");
    assert_eq!(remaining().await, [0, 1, 2, 3, 4, 5]);

    assert_eq!(check(links[1].check_at, before_all, again, 10).await, 2, "only those that are due");
    assert_eq!(check(now, before_all, again, 10).await, 4);
    assert_eq!(check(now, before_all, again, 10).await, 0, "all were postponed");
    assert_eq!(remaining().await, [0, 1, 2, 3, 4, 5], "no order has been unchanged for so long");

    for expected in [2, 2, 2, 0] {
        assert_eq!(check(again, now, much_later, 2).await, expected);
    }
    assert_eq!(remaining().await, [1, 3, 5], "the other orders are open");
    assert_eq!(check(much_later, now, much_later, 10).await, 3);
}

/// The way of a customer's command is part of the event, and not of the order's state.
pub async fn a_command_by_link_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(204);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    store.commit(vec![placed.clone()]).await.unwrap();
    let order = order_of(&placed);
    let by_link = Actor::Customer { account_id: account, via: Some(Via::Link) };
    let ended = world.act(&order, &Command::cancel(CancelReason::TooSlow), &by_link);
    let expected = order_of(&ended);
    assert_eq!(store.commit(vec![ended]).await.unwrap(), [CommitOutcome::Committed]);

    let history = store.events(order.id, 0, 100).await.unwrap();
    let cancelled = history.iter().find(|event| matches!(event.event, Event::Cancelled { .. })).unwrap();
    assert_eq!(cancelled.actor, by_link);
    let stored = store.order(order.id).await.unwrap().unwrap();
    assert_eq!(stored, expected);
    assert_eq!(fold(&history).unwrap().unwrap(), stored);
    let closure = serde_json::to_value(&stored.closure).unwrap();
    assert_eq!(closure["by"], serde_json::to_value(Actor::customer(account)).unwrap());
}
