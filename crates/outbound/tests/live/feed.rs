//! The feed, read page by page.

use std::{sync::atomic::Ordering, time::Duration};

use dabba_outbound::{
    Filter, TypeSet,
    broker::{BrokerFeed as _, BrokerStart, ShardsFeed},
    feed::{Budget, FeedError, Start},
};
use dabba_store::{FeedCursor, FeedPosition, Incarnation};

use crate::{World, name, of_restaurant};

/// Proves that pages of any size contain each event once, and both shards from the first page on; that a filter removes
/// events and advances the cursor; and that the last page is at the end.
#[tokio::test]
async fn pages_contain_each_event_once() {
    let world = World::start().await;
    for index in 0..6 {
        world.place(world.restaurants[index % 2], &format!("order-{index}")).await;
    }
    let all = world.live.read(Start::Beginning, &Filter::ALL, 1_000, Budget::default()).await.unwrap();
    assert!(all.is_at_end && !all.is_incomplete);
    let mut names: Vec<_> = all.events.iter().map(|event| name(event)).collect();
    names.sort();
    for limit in [1, 2, 5] {
        let (mut start, mut found) = (Start::Beginning, Vec::new());
        loop {
            let page = world.live.read(start, &Filter::ALL, limit, Budget::default()).await.unwrap();
            assert!(page.events.len() <= limit);
            found.extend(page.events.iter().map(|event| name(event)));
            // The text of the cursor is what clients send.
            start = Start::After(FeedCursor::parse(&page.cursor.to_string()).unwrap());
            if page.is_at_end {
                break;
            }
        }
        found.sort();
        assert_eq!(found, names, "{limit}");
    }
    let types = TypeSet::of_names(["placed"]).unwrap();
    let only_placed = Filter { types, restaurant: None };
    let placed = world.live.read(Start::Beginning, &only_placed, 1_000, Budget::default()).await.unwrap();
    assert_eq!(placed.events.len(), 6);
    assert_eq!(placed.cursor, all.cursor, "the cursor must advance over events that the filter removes");
    let north = of_restaurant(world.restaurants[0]);
    let north = world.live.read(Start::Beginning, &north, 1_000, Budget::default()).await.unwrap();
    assert!(!north.events.is_empty() && north.events.iter().all(|event| event.shard == 0));
}

/// Proves that a read ends at its budget, and that the next read continues.
#[tokio::test]
async fn a_read_ends_at_its_budget() {
    let world = World::start().await;
    for index in 0..4 {
        world.place(world.restaurants[0], &format!("order-{index}")).await;
    }
    let types = TypeSet::of_names(["delivered"]).unwrap();
    let budget = Budget { max_scanned: 0, time: Duration::MAX, ..Budget::default() };
    let read = world.live.read(Start::Beginning, &Filter { types, restaurant: None }, 10, budget).await;
    let read = read.unwrap();
    assert!(read.events.is_empty() && !read.is_at_end);
    let rest = world.live.read(Start::After(read.cursor), &Filter::ALL, 10, Budget::default()).await.unwrap();
    assert!(!rest.events.is_empty());
}

/// Proves that a shard that does not answer makes a page incomplete and keeps its position, that its events follow when
/// it answers, and that a page without any shard is refused.
#[tokio::test]
async fn the_position_of_a_silent_shard_stays() {
    let world = World::start().await;
    let [north, south] = world.restaurants;
    world.place(north, "north").await;
    let missed = world.place(south, "south").await;
    world.faults.is_down[1].store(true, Ordering::SeqCst);
    let read = |start| world.live.read(start, &Filter::ALL, 1_000, Budget::default());
    let first = read(Start::Beginning).await.unwrap();
    assert!(first.is_incomplete && first.is_at_end && !first.events.is_empty());
    assert!(first.events.iter().all(|event| event.shard == 0));
    world.faults.is_down[0].store(true, Ordering::SeqCst);
    let refused = read(Start::After(first.cursor.clone())).await;
    assert!(matches!(refused, Err(FeedError::Unavailable)), "{refused:?}");
    for shard in &world.faults.is_down {
        shard.store(false, Ordering::SeqCst);
    }
    let rest = read(Start::After(first.cursor)).await.unwrap();
    assert!(!rest.is_incomplete && rest.is_at_end);
    assert!(!rest.events.is_empty());
    assert!(rest.events.iter().all(|event| event.event.order_id.to_string() == missed));
}

/// Proves that a page for the broker states that a shard did not answer, so that its events count as missing.
#[tokio::test]
async fn a_page_for_the_broker_states_a_silent_shard() {
    let world = World::start().await;
    let feed = ShardsFeed::new(world.server.engine());
    let start = feed.begin(BrokerStart::Start).await.unwrap();
    for is_down in [false, true, false] {
        world.faults.is_down[1].store(is_down, Ordering::SeqCst);
        let page = feed.read(&start, 1_000).await.unwrap();
        assert!(page.is_at_end && page.is_incomplete == is_down);
    }
}

/// Proves that a cursor of a database with another history is void, also beyond the end, and is never taken for a valid
/// one.
#[tokio::test]
async fn a_cursor_of_another_history_is_void() {
    let world = World::start().await;
    let filter = of_restaurant(world.restaurants[0]);
    let now = world.live.read(Start::Now, &filter, 1, Budget::default()).await.unwrap();
    let mut foreign = now.cursor.clone();
    foreign.set("north", Incarnation::new(7), FeedPosition { transaction: 0, sequence: 1 });
    let refused = world.live.read(Start::After(foreign), &filter, 1, Budget::default()).await;
    assert!(matches!(refused, Err(FeedError::Expired(_))), "{refused:?}");
    let ours = now.cursor.to_string();
    let incarnation = ours.split("north.").nth(1).unwrap().split('.').next().unwrap().parse().unwrap();
    let mut beyond = now.cursor;
    beyond.set("north", incarnation, FeedPosition { transaction: 0, sequence: 1_000_000 });
    let refused = world.live.read(Start::After(beyond), &filter, 1, Budget::default()).await;
    assert!(matches!(refused, Err(FeedError::Expired(_))), "{refused:?}");
}
