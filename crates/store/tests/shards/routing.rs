//! Tests of the routing: which shards a call reaches.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{OrderId, RestaurantId, Role, TaskId, menu::Availability, task::TaskSubject};
use dabba_store::{
    AccountStore, CatalogueStore, ClaimAt, CommitOutcome, FeedEnd, FeedPosition, FeedSource, FeedStore, Hint,
    Incarnation, MAX_REVISIONS, NewTask, OrderScope, OrderStore, PageSize, Resource, ShardedStore,
    ShardedStoreError, Store, StoreError, TaskFailure, TaskLease, TaskResolution, TaskRetry, TaskStore,
    conformance::builders::{menu, menu_at, slug},
};
use futures::StreamExt as _;
use uuid::Uuid;

use crate::{
    Fixture, map, query,
    stub::{Fault, Stub},
    unavailable,
};

const NO_CALLS: Vec<&str> = Vec::new();

/// Proves that an unknown order is looked up only on the shard of its bucket.
#[tokio::test]
async fn an_unknown_order_is_looked_up_on_its_shard_only() {
    let mut fixture = Fixture::new();
    let id = fixture.world.order_id(fixture.restaurants[1]);
    assert_eq!(fixture.router.order(id).await.unwrap(), None);
    assert_eq!(fixture.router.events(id, 0, 10).await.unwrap(), []);
    assert_eq!(fixture.calls(), [NO_CALLS, vec!["order", "events"], NO_CALLS]);
}

/// Proves that every call about a restaurant goes only to the restaurant's shard.
#[tokio::test]
async fn calls_about_a_restaurant_reach_its_shard_only() {
    let mut fixture = Fixture::new();
    let (id, account) = (fixture.restaurants[2], fixture.account);
    let mut restaurant = fixture.world.restaurant();
    restaurant.id = id;
    let commit = fixture.world.place(id, account);
    let task = commit.tasks[0].clone();
    // The id of the subject may be damaged: the id of the task determines the shard.
    let subject = TaskSubject::Order(OrderId::unchecked(Uuid::nil()));
    assert_ne!(subject.uuid(), task.subject.uuid());
    let lease = TaskLease { task_id: task.id, subject, token: 1 };
    let (key, now) = (fixture.world.key(), fixture.world.now());
    let router = &fixture.router;
    assert_eq!(router.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    router.find_claim(account, id, &key).await.unwrap();
    assert_eq!(router.list_orders(&query(OrderScope::Restaurant(id), 5)).await.unwrap().orders.len(), 1);
    router.postpone_task(lease, now, None).await.unwrap();
    let failure = TaskFailure { at: now, error: "injected by the test".to_owned() };
    router.park_task(lease, &failure).await.unwrap();
    router.retry_task(lease.task_id, now).await.unwrap();
    let resolution = TaskResolution { at: now, by: account, reason: "injected by the test".to_owned() };
    router.resolve_task(lease.task_id, &resolution).await.unwrap();
    router.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    router.catalogue(id).await.unwrap();
    router.update_restaurant(&restaurant, 1).await.unwrap();
    router.replace_menu(id, &menu(&["naan"]), menu_at(1)).await.unwrap();
    router.set_availability(id, &slug("naan"), Availability::Available, None).await.unwrap();
    router.stock(id).await.unwrap();
    router.set_stock(id, &slug("naan"), None).await.unwrap();
    let asked = vec![
        "commit_shared",
        "find_claim",
        "list_orders",
        "postpone_task",
        "park_task",
        "retry_task",
        "resolve_task",
        "create_restaurant",
        "catalogue_since",
        "update_restaurant_under",
        "replace_menu",
        "set_availability",
        "stock",
        "change_stock",
    ];
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, asked]);
}

/// Proves that accounts and memberships are on the first shard, or on the chosen directory.
#[tokio::test]
async fn accounts_are_on_the_directory() {
    for (directory, expected) in [(None, 0), (Some("b"), 1)] {
        let mut fixture = Fixture::new();
        if let Some(name) = directory {
            fixture.router = fixture.router.with_directory(name).unwrap();
        }
        let account = fixture.world.account(Role::Restaurant);
        let claim = fixture.world.claim(account.id);
        let (router, restaurant) = (&fixture.router, fixture.restaurants[2]);
        router.create_account(&account).await.unwrap();
        let claim_at = ClaimAt { claim: &claim, at: account.created_at };
        router.claim_for_account(claim_at, &Resource::Account(account.id), 1).await.unwrap();
        router.find_account_claim(account.id, &claim.key).await.unwrap();
        router.account(account.id).await.unwrap();
        router.account_by_email(&account.email).await.unwrap();
        router.add_member(restaurant, account.id).await.unwrap();
        router.remove_member(restaurant, account.id).await.unwrap();
        router.members(restaurant, None, PageSize::DEFAULT).await.unwrap();
        router.memberships(account.id).await.unwrap();
        // The servers use the directory's clock.
        assert!(router.time().await.unwrap().is_some());
        let counts = fixture.calls().map(|calls| calls.len());
        let mut all_there = [0; 3];
        all_there[expected] = 10;
        assert_eq!(counts, all_there);
    }
}

/// Proves that every task that is not about an order is on the directory, whatever the buckets of its subject and of its own
/// id. A parked task of which only the id is known is first searched in the shard of its id.
#[tokio::test]
async fn tasks_of_other_subjects_are_on_the_directory() {
    let mut fixture = Fixture::new();
    fixture.router = fixture.router.with_directory("b").unwrap();
    let now = fixture.world.now();
    let subjects = [TaskSubject::Restaurant(fixture.restaurants[2]), TaskSubject::Account(fixture.account)];
    let failure = TaskFailure { at: now, error: "injected by the test".to_owned() };
    for subject in subjects {
        let id = TaskId::generate(now, fixture.restaurants[2].bucket(), 42);
        let review = NewTask { id, ..fixture.world.review_of(subject, now) };
        let lease = TaskLease { task_id: id, subject, token: 1 };
        let router = &fixture.router;
        assert!(router.enqueue_task(&review).await.unwrap());
        assert!(router.complete_task(lease).await.unwrap());
        assert!(router.postpone_task(lease, now, None).await.unwrap());
        assert!(router.park_task(lease, &failure).await.unwrap());
        let expected = vec!["enqueue_task", "complete_task", "postpone_task", "park_task"];
        assert_eq!(fixture.calls(), [NO_CALLS, expected, NO_CALLS]);
    }

    let id = TaskId::generate(now, fixture.restaurants[2].bucket(), 43);
    let resolution = TaskResolution { at: now, by: fixture.account, reason: "injected".to_owned() };
    let asked = vec!["retry_task", "resolve_task"];
    let retry_and_resolve = async |router: &ShardedStore| {
        (router.retry_task(id, now).await, router.resolve_task(id, &resolution).await)
    };
    let found = (Ok(TaskRetry::Queued), Ok(true));
    assert_eq!(retry_and_resolve(&fixture.router).await, found);
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, asked.clone()]);
    *fixture.shards[2].has_parked.lock().unwrap() = false;
    assert_eq!(retry_and_resolve(&fixture.router).await, found);
    assert_eq!(fixture.calls(), [NO_CALLS, asked.clone(), asked.clone()]);
    *fixture.shards[1].has_parked.lock().unwrap() = false;
    assert_eq!(retry_and_resolve(&fixture.router).await, (Ok(TaskRetry::NotParked), Ok(false)));

    // A shard that does not answer hides no task of the directory, and no other task is reported as unknown.
    fixture.shards[2].set(Fault::Fail(unavailable()));
    let (retried, resolved) = retry_and_resolve(&fixture.router).await;
    assert!(matches!(retried, Err(StoreError::Unavailable(_))), "{retried:?}");
    assert!(matches!(resolved, Err(StoreError::Unavailable(_))), "{resolved:?}");
    *fixture.shards[1].has_parked.lock().unwrap() = true;
    assert_eq!(retry_and_resolve(&fixture.router).await, found);
    fixture.calls();
    fixture.shards[2].set(Fault::Fail(StoreError::WrittenByNewer("injected".to_owned())));
    let (retried, _) = retry_and_resolve(&fixture.router).await;
    assert!(matches!(retried, Err(StoreError::WrittenByNewer(_))), "{retried:?}");
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, asked]);
}

/// Proves that a call about all shards reaches each shard once.
#[tokio::test]
async fn calls_about_all_shards_reach_each_shard_once() {
    let fixture = Fixture::new();
    let router = &fixture.router;
    for scope in
        [OrderScope::All, OrderScope::Customer(fixture.account), OrderScope::Courier(fixture.account)]
    {
        router.list_orders(&query(scope, 5)).await.unwrap();
    }
    router.restaurants(None, None, PageSize::DEFAULT).await.unwrap();
    router.ping().await.unwrap();
    router.close().await;
    let asked = vec!["list_orders", "list_orders", "list_orders", "restaurants", "ping", "close"];
    assert_eq!(fixture.calls(), [asked.clone(), asked.clone(), asked]);
}

/// Proves that revisions are read once from each shard that holds one of the restaurants.
#[tokio::test]
async fn revisions_are_read_from_the_shards_of_the_restaurants() {
    let mut fixture = Fixture::new();
    let created =
        fixture.create_restaurants(6).await.iter().map(|restaurant| restaurant.id).collect::<Vec<_>>();
    fixture.calls();
    let router = &fixture.router;
    assert_eq!(router.revisions(&[]).await.unwrap(), []);
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, NO_CALLS]);
    let is_on_one = |id: &RestaurantId| router.shard_of(id.bucket()) == 1;
    let of_one: Vec<_> = created.iter().copied().filter(is_on_one).collect();
    assert_eq!(router.revisions(&of_one).await.unwrap().len(), 2);
    assert_eq!(fixture.calls(), [NO_CALLS, vec!["revisions"], NO_CALLS]);
    let of_all: HashSet<_> =
        router.revisions(&created).await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(of_all, created.iter().copied().collect());
    assert_eq!(fixture.calls(), [vec!["revisions"], vec!["revisions"], vec!["revisions"]]);
    // The limit applies to the whole call, not to each shard.
    let too_many = vec![created[0]; MAX_REVISIONS + 1];
    assert!(matches!(router.revisions(&too_many).await, Err(StoreError::Corrupt(_))));
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, NO_CALLS]);
}

/// Proves that the router passes on the hints of all shards.
#[tokio::test]
async fn hints_of_all_shards_are_passed_on() {
    let fixture = Fixture::new();
    let hints: HashSet<_> = fixture.restaurants.iter().map(|id| Hint::Catalogue(*id)).collect();
    for (shard, hint) in fixture.shards.iter().zip(&hints) {
        shard.hints.lock().unwrap().push(*hint);
    }
    assert_eq!(fixture.router.hints().collect::<HashSet<_>>().await, hints);
}

/// Proves that a hint about events names the shard by its index in the router, and that events are announced on their
/// shard.
#[tokio::test]
async fn hints_about_events_name_the_shard() {
    let fixture = Fixture::new();
    for shard in &fixture.shards {
        shard.hints.lock().unwrap().push(Hint::Events { shard: 0 });
    }
    let expected = (0..3).map(|shard| Hint::Events { shard }).collect();
    assert_eq!(fixture.router.hints().collect::<HashSet<_>>().await, expected);
    fixture.router.announce_events(1).await;
    fixture.router.announce_events(3).await;
    assert_eq!(fixture.calls(), [NO_CALLS, vec!["announce_events"], NO_CALLS]);
}

/// Proves that the feed of a shard is read from that shard only, with its own positions and incarnation, and that the
/// sources state what the map states.
#[tokio::test]
async fn the_feed_is_read_from_its_shard() {
    let mut fixture = Fixture::new();
    for shard in 0..3 {
        fixture.place(shard, shard + 1).await;
    }
    fixture.calls();
    let page = fixture.router.feed(2, FeedPosition::START, 100).await.unwrap();
    assert!(page.is_at_end);
    assert!(page.events.iter().all(|event| event.order_id.bucket() == fixture.restaurants[2].bucket()));
    let (count, end) = (page.events.len(), page.events[1].position);
    assert_eq!(count, 6);
    let rest = fixture.router.feed(2, end, 100).await.unwrap();
    assert_eq!(rest.events, page.events[2..]);
    assert_eq!(fixture.calls(), [NO_CALLS, NO_CALLS, vec!["feed", "feed"]]);
    let end = fixture.router.feed_end(1).await.unwrap();
    let position = FeedPosition { transaction: 0, sequence: 4 };
    assert_eq!(end, FeedEnd { incarnation: Incarnation::new(1), position });
    assert_eq!(fixture.calls(), [NO_CALLS, vec!["feed_end"], NO_CALLS]);
    assert!(matches!(fixture.router.feed(3, FeedPosition::START, 1).await, Err(StoreError::Unfit(_))));
    assert!(matches!(fixture.router.feed_end(3).await, Err(StoreError::Unfit(_))));
    let source = |(name, parent): (&str, Option<&str>)| FeedSource {
        name: name.to_owned(),
        split_from: parent.map(str::to_owned),
    };
    assert_eq!(fixture.router.feed_sources(), [("a", None), ("b", Some("a")), ("c", None)].map(source));
}

/// Proves that a batch of one shard reaches only that shard, and that a mixed batch is split and its outcomes
/// have the order of the batch.
#[tokio::test]
async fn a_batch_is_split_by_shard() {
    let mut fixture = Fixture::new();
    let account = fixture.account;
    let restaurants = fixture.restaurants.clone();
    let mut place = |index: usize| fixture.world.place(restaurants[index], account);
    let one = vec![place(1), place(1)];
    let mut mixed = vec![place(2), place(0), place(2), place(0)];
    mixed[2].change = None;
    let router = &fixture.router;
    assert_eq!(router.commit(one).await.unwrap(), vec![CommitOutcome::Committed; 2]);
    assert_eq!(fixture.calls(), [NO_CALLS, vec!["commit_shared"], NO_CALLS]);
    let committed = CommitOutcome::Committed;
    let expected = [committed.clone(), committed.clone(), CommitOutcome::KeyReused, committed];
    assert_eq!(fixture.router.commit(mixed).await.unwrap(), expected);
    assert_eq!(fixture.calls(), [vec!["commit_shared"], NO_CALLS, vec!["commit_shared"]]);
}

#[test]
fn a_router_needs_a_store_for_each_shard() {
    let stores = vec![Stub::new(0) as Arc<dyn Store>; 2];
    let error = ShardedStore::new(map(), stores).unwrap_err();
    assert_eq!(error, ShardedStoreError::StoreCount { shards: 3, stores: 2 });
    let stores = vec![Stub::new(0) as Arc<dyn Store>; 3];
    let error = ShardedStore::new(map(), stores).unwrap().with_directory("d").unwrap_err();
    assert_eq!(error.to_string(), "the directory must be a shard of the map, and \"d\" is not a shard");
}
