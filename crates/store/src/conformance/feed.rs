//! The feed of each shard: every event once, in commit order.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Command, RecordedEvent},
    task::TaskSubject,
};
use jiff::SignedDuration;

use super::builders::{World, decoded, feed_after, order_of, staff, whole_feed};
use crate::{Commit, CommitOutcome, FeedPosition, Store};

/// Limit above the number of events in these tests.
const MANY: u32 = 1_000;

/// The feed contains exactly the committed events, ordered by batch and by commit within a batch.
pub async fn the_feed_is_in_the_order_of_the_commits(store: Arc<dyn Store>) {
    let mut world = World::new(36);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let second = world.place(restaurant, account);
    let order = order_of(&first);
    let accepted = world.act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order));
    let placed = world.place(restaurant, account);
    let lease = world.lease_of_nothing(TaskSubject::Order(placed.order_id));
    let refused = Commit { completes: Some(lease), ..placed };
    let mut expected = Vec::new();
    // The order with the later id commits first.
    for commit in [&second, &first, &accepted] {
        expected.extend(commit.change.clone().unwrap().events);
    }
    store.commit(vec![second, refused, first]).await.unwrap();
    store.commit(vec![accepted]).await.unwrap();
    assert_eq!(decoded(&whole_feed(&*store).await), expected);
    for shard in (0..store.shard_count()).filter(|shard| *shard != store.shard_of(restaurant.bucket())) {
        assert_eq!(feed_after(&*store, shard, FeedPosition::START).await, []);
    }
}

/// Each event states its restaurant and its customer, and that no newer version wrote to its order.
pub async fn events_of_the_feed_state_their_parties(store: Arc<dyn Store>) {
    let mut world = World::new(40);
    let mut expected = HashSet::new();
    for _ in 0..3 {
        let (restaurant, customer) = (world.restaurant_id(), world.account_id());
        let batch: Vec<_> = (0..2).map(|_| world.place(restaurant, customer)).collect();
        expected.extend(batch.iter().map(|commit| (commit.order_id, restaurant, customer)));
        store.commit(batch).await.unwrap();
    }
    let feed = whole_feed(&*store).await;
    assert!(feed.iter().all(|event| !event.is_newer));
    let stated: HashSet<_> =
        feed.iter().map(|event| (event.order_id, event.restaurant_id, event.customer_id)).collect();
    assert_eq!(stated, expected);
}

/// Reading after the position of any event returns the events after it; positions ascend. A page shorter than the limit
/// is at the end, and no other page claims to be.
pub async fn the_feed_is_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(37);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let shard = store.shard_of(restaurant.bucket());
    let empty = store.feed(shard, FeedPosition::START, 10).await.unwrap();
    assert_eq!((empty.events, empty.is_at_end), (Vec::new(), true));
    let batch = (0..10).map(|_| world.place(restaurant, account)).collect();
    store.commit(batch).await.unwrap();
    let all = store.feed(shard, FeedPosition::START, MANY).await.unwrap();
    assert_eq!((all.events.len(), all.is_at_end, all.incarnation), (20, true, empty.incarnation));
    assert!(all.events[0].position > FeedPosition::START);
    assert!(all.events.is_sorted_by(|one, other| one.position < other.position));
    for (index, event) in all.events.iter().enumerate() {
        let page = store.feed(shard, event.position, 7).await.unwrap();
        let rest = &all.events[index + 1..];
        assert_eq!(page.events, rest[..rest.len().min(7)]);
        assert_eq!(page.is_at_end, rest.len() < 7);
        assert_eq!(page.incarnation, all.incarnation);
    }
    let end = all.events[19].position;
    let late = world.place(restaurant, account);
    let expected = late.change.clone().unwrap().events;
    store.commit(vec![late]).await.unwrap();
    assert_eq!(decoded(&store.feed(shard, end, MANY).await.unwrap().events), expected);
    assert!(!store.feed(shard, end, 2).await.unwrap().is_at_end);
    assert!(!store.feed(shard, end, 0).await.unwrap().is_at_end);
}

/// The end of the feed lies after the last event and before every later event, in the same incarnation.
pub async fn the_end_of_the_feed_separates_old_from_new_events(store: Arc<dyn Store>) {
    let mut world = World::new(41);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let shard = store.shard_of(restaurant.bucket());
    for _ in 0..3 {
        let end = store.feed_end(shard).await.unwrap();
        let page = store.feed(shard, FeedPosition::START, MANY).await.unwrap();
        assert_eq!(end.position, page.events.last().map_or(FeedPosition::START, |event| event.position));
        assert_eq!(end.incarnation, page.incarnation);
        let commit = world.place(restaurant, account);
        let expected = commit.change.clone().unwrap().events;
        store.commit(vec![commit]).await.unwrap();
        assert_eq!(decoded(&feed_after(&*store, shard, end.position).await), expected);
    }
}

/// Each shard has a name, by which cursors find it, and every name belongs to one shard.
pub async fn every_shard_is_a_source_of_events(store: Arc<dyn Store>) {
    let sources = store.feed_sources();
    assert_eq!(sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>(), store.shard_names());
    assert_eq!(sources.len(), store.shard_count());
    let names: HashSet<_> = sources.iter().map(|source| &source.name).collect();
    assert_eq!(names.len(), sources.len());
}

/// The feed contains all events of several restaurants, each restaurant's in commit order, in pages of any size; later
/// events follow them.
pub async fn the_feed_has_each_restaurant_in_commit_order(store: Arc<dyn Store>) {
    let mut world = World::new(39);
    let account = world.account_id();
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let mut expected: Vec<RecordedEvent> = Vec::new();
    let starts = vec![FeedPosition::START; store.shard_count()];
    let mut followers: Vec<(u32, Vec<FeedPosition>, Vec<RecordedEvent>)> =
        [1, 2, 7, MANY].map(|size| (size, starts.clone(), Vec::new())).to_vec();
    for length in [1, 30, 2, 0, 9] {
        let mut place = || {
            let restaurant = restaurants[world.below(3)];
            world.place(restaurant, account)
        };
        let batch: Vec<Commit> = (0..length).map(|_| place()).collect();
        expected.extend(batch.iter().flat_map(|commit| commit.change.clone().unwrap().events));
        store.commit(batch).await.unwrap();
        for (size, positions, seen) in &mut followers {
            for (shard, position) in positions.iter_mut().enumerate() {
                loop {
                    let page = store.feed(shard, *position, *size).await.unwrap().events;
                    let Some(last) = page.last() else { break };
                    assert!(page.len() <= *size as usize);
                    *position = last.position;
                    seen.extend(decoded(&page));
                }
            }
            assert_eq!(seen.len(), expected.len(), "pages of {size}");
        }
    }
    let of = |restaurant: RestaurantId, events: &[RecordedEvent]| -> Vec<RecordedEvent> {
        let bucket = restaurant.bucket();
        events.iter().filter(|event| event.order_id.bucket() == bucket).cloned().collect()
    };
    for (size, _, seen) in followers {
        for restaurant in &restaurants {
            assert_eq!(of(*restaurant, &seen), of(*restaurant, &expected), "pages of {size}");
        }
    }
}

/// While many writers commit concurrently, a follower of the feed sees every event exactly once, in the same order as a
/// later read: no event appears before the follower's position.
pub async fn the_feed_of_concurrent_writers_skips_nothing(store: Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const BATCHES: usize = 12;
    const BATCH_SIZE: usize = 3;
    let mut world = World::new(38);
    let restaurant = world.restaurant_id();
    let shard = store.shard_of(restaurant.bucket());
    let mut expected: HashSet<(OrderId, u32)> = HashSet::new();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let account = world.account_id();
        let batches: Vec<Vec<Commit>> = (0..BATCHES)
            .map(|_| (0..BATCH_SIZE).map(|_| world.place(restaurant, account)).collect())
            .collect();
        for commit in batches.iter().flatten() {
            expected.extend((1..=order_of(commit).version).map(|version| (commit.order_id, version)));
        }
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for batch in batches {
                let outcomes = store.commit(batch).await.unwrap();
                assert_eq!(outcomes, vec![CommitOutcome::Committed; BATCH_SIZE]);
            }
        });
    }
    let follow = async {
        let (mut seen, mut position) = (Vec::new(), FeedPosition::START);
        while seen.len() < expected.len() {
            // The end is read first, so it may not lie after events that the page does not contain.
            let end = store.feed_end(shard).await.unwrap();
            let page = store.feed(shard, position, 10).await.unwrap();
            if let Some(last) = page.events.last() {
                position = last.position;
            }
            assert!(!page.is_at_end || position >= end.position, "{position} {end:?}");
            seen.extend(page.events);
        }
        seen
    };
    // The timeout expires only if an event is missing.
    let patience = SignedDuration::from_secs(60).unsigned_abs();
    let seen = tokio::time::timeout(patience, follow).await.expect("the feed skipped an event");
    writers.join_all().await;
    let seen_ids: HashSet<_> = seen.iter().map(|event| (event.order_id, event.version)).collect();
    assert_eq!(seen_ids, expected);
    assert_eq!(seen.len(), expected.len(), "an event appeared twice");
    assert_eq!(feed_after(&*store, shard, FeedPosition::START).await, seen);
}
