//! Tests with one slow or dead shard: only its own restaurants fail.

use std::{collections::HashSet, sync::atomic::Ordering};

use dabba_domain::{OrderId, restaurant::Restaurant};
use dabba_store::{
    AuditStore, BoardCheck, BoardKey, BoardStore, CatalogueStore, CodeMatches, CodeQuery, CommitOutcome,
    DeviceId, EndedBoard, FeedPosition, FeedStore, Health, OrderScope, OrderStore, PageSize, RestaurantPage,
    ShardedStore, Store, StoreError, TaskPage, TaskStore,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Fixture, TIMEOUT, query, stub::Fault, unavailable};

fn faults() -> [Fault; 2] {
    [Fault::Hang, Fault::Fail(unavailable())]
}

impl Fixture {
    fn break_shard(&self, shard: usize, fault: &Fault) {
        self.shards[shard].set(fault.clone());
    }

    async fn list(&self) -> Result<(Vec<OrderId>, bool), StoreError> {
        let page = self.router.list_orders(&query(OrderScope::All, 50)).await?;
        Ok((page.orders.iter().map(|order| order.id).collect(), page.incomplete))
    }
}

/// Proves that orders of the other shards are placed and read without any wait.
#[tokio::test(start_paused = true)]
async fn the_other_shards_are_unaffected() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        fixture.break_shard(1, &fault);
        let began = Instant::now();
        for shard in [0, 2] {
            let ids = fixture.place(shard, 2).await;
            assert!(fixture.router.order(ids[1]).await.unwrap().is_some());
            let scope = OrderScope::Restaurant(fixture.restaurants[shard]);
            let page = fixture.router.list_orders(&query(scope, 5)).await.unwrap();
            assert_eq!((page.orders.len(), page.incomplete), (2, false));
        }
        assert_eq!(began.elapsed().as_nanos(), 0);
        assert_eq!(fixture.shards[1].take_calls().len(), 0);
    }
}

/// Proves that a read from a dead shard fails with an error that names the shard.
#[tokio::test]
async fn data_on_a_dead_shard_is_unavailable() {
    let mut fixture = Fixture::new();
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    let id = fixture.world.order_id(fixture.restaurants[1]);
    let expected = StoreError::Unavailable("shard b: injected by the test".to_owned());
    assert_eq!(fixture.router.order(id).await, Err(expected.clone()));
    let commit = fixture.world.place(fixture.restaurants[1], fixture.account);
    assert_eq!(fixture.router.commit(vec![commit]).await, Err(expected));
}

/// Proves that shards are measured independently: a shard that hangs delays no other, and the error of a shard names
/// it.
#[tokio::test(start_paused = true)]
async fn each_shard_is_measured_by_itself() {
    let fixture = Fixture::new();
    assert_eq!(fixture.router.shard_names(), ["a", "b", "c"]);
    assert_eq!(fixture.router.directory(), 0);
    fixture.break_shard(0, &Fault::Hang);
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    let began = Instant::now();
    let now = jiff::Timestamp::UNIX_EPOCH;
    assert!(fixture.router.measure(2, now).await.is_ok());
    let error = StoreError::Unavailable("shard b: injected by the test".to_owned());
    assert_eq!(fixture.router.measure(1, now).await, Err(error));
    assert_eq!(began.elapsed().as_nanos(), 0);
    assert!(matches!(fixture.router.measure(3, now).await, Err(StoreError::Unfit(_))));
}

/// Proves that a list contains the orders of the other shards and states that orders may be missing.
#[tokio::test(start_paused = true)]
async fn lists_omit_a_dead_shard_and_are_incomplete() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        let mut expected = Vec::new();
        for shard in [0, 2, 0] {
            expected.extend(fixture.place(shard, 1).await);
        }
        let lost = fixture.place(1, 1).await;
        expected.reverse();
        fixture.break_shard(1, &fault);
        assert_eq!(fixture.list().await.unwrap(), (expected.clone(), true));
        let whole: Vec<_> = lost.into_iter().chain(expected).collect();
        // The router tries a silent shard again after its pause.
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        fixture.break_shard(1, &Fault::None);
        assert_eq!(fixture.list().await.unwrap(), (whole, false));
    }
}

/// Proves that a search by code merges the matches of the other shards, newest first, states the latest of the times
/// from which on the shards' matches are complete, and states that matches may be missing.
#[tokio::test(start_paused = true)]
async fn searches_omit_a_dead_shard_and_are_incomplete() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        let mut ids = fixture.place(0, 3).await;
        let found = ids[1];
        let later = fixture.place(2, 1).await[0];
        ids.push(later);
        fixture.place(1, 2).await;
        let search = async |code, max_read| {
            let query = CodeQuery { code, max_read, limit: PageSize::DEFAULT };
            fixture.router.orders_with_code(&query).await.unwrap()
        };
        let all = CodeMatches { ids: vec![found], searched_since: None, incomplete: false };
        assert_eq!(search(found.display_code(), 10).await, all);
        fixture.break_shard(1, &fault);
        assert_eq!(search(found.display_code(), 10).await, CodeMatches { incomplete: true, ..all.clone() });
        let since = Some(later.created_at());
        let bounded = CodeMatches { ids: vec![later], searched_since: since, incomplete: true };
        assert_eq!(search(later.display_code(), 1).await, bounded);
        for shard in [0, 2] {
            fixture.break_shard(shard, &fault);
        }
        let query = CodeQuery { code: found.display_code(), max_read: 1, limit: PageSize::DEFAULT };
        assert!(fixture.router.orders_with_code(&query).await.is_err());
    }
}

/// Proves that every page of a list is marked as incomplete.
#[tokio::test]
async fn every_page_is_marked_as_incomplete() {
    let mut fixture = Fixture::new();
    fixture.place(0, 5).await;
    fixture.break_shard(2, &Fault::Fail(unavailable()));
    let mut query = query(OrderScope::Customer(fixture.account), 2);
    for expected in [(2, true), (2, true), (1, false)] {
        let page = fixture.router.list_orders(&query).await.unwrap();
        assert_eq!((page.orders.len(), page.next.is_some()), expected);
        assert!(page.incomplete);
        query.after = page.next;
    }
}

/// Proves that the router waits once for a silent shard and then pauses it, unless all shards are silent.
#[tokio::test(start_paused = true)]
async fn a_silent_shard_is_waited_for_once() {
    let mut fixture = Fixture::new();
    fixture.add_tasks(0, 10);
    fixture.break_shard(1, &Fault::Hang);
    let began = Instant::now();
    assert!(fixture.list().await.unwrap().1);
    assert_eq!(began.elapsed().as_millis(), TIMEOUT.as_millis());
    assert_eq!(fixture.shards[1].take_calls(), ["list_orders"]);
    for _ in 0..10 {
        assert!(fixture.list().await.unwrap().1);
        assert_eq!(fixture.claim(1).await.unwrap(), [1, 0, 0]);
        assert!(fixture.router.feed(0, FeedPosition::START, 3).await.unwrap().events.is_empty());
        assert!(fixture.router.feed(1, FeedPosition::START, 3).await.is_err());
        assert!(fixture.router.feed_end(1).await.is_err());
    }
    assert_eq!(began.elapsed().as_millis(), TIMEOUT.as_millis());
    assert_eq!(fixture.shards[1].take_calls().len(), 0);

    // A successful ping ends the pause.
    fixture.break_shard(1, &Fault::None);
    fixture.router.ping().await.unwrap();
    assert!(!fixture.list().await.unwrap().1);

    for shard in 0..3 {
        fixture.break_shard(shard, &Fault::Hang);
    }
    assert!(fixture.list().await.is_err());
    for shard in 0..3 {
        fixture.break_shard(shard, &Fault::None);
    }
    assert!(!fixture.list().await.unwrap().1);
}

/// Proves that a call fails if no shard answers, and that the error names all shards.
#[tokio::test]
async fn calls_fail_when_all_shards_fail() {
    let fixture = Fixture::new();
    for shard in 0..3 {
        fixture.break_shard(shard, &Fault::Fail(unavailable()));
    }
    let text = "shard a: injected by the test; shard b: injected by the test; shard c: injected by the test";
    let expected = StoreError::Unavailable(text.to_owned());
    let now = fixture.world.now();
    assert_eq!(fixture.list().await, Err(expected.clone()));
    assert_eq!(fixture.router.restaurants(None, None, PageSize::DEFAULT).await, Err(expected.clone()));
    assert_eq!(fixture.claim(9).await, Err(expected.clone()));
    assert_eq!(fixture.router.ping().await, Err(expected));
    assert!(fixture.router.delete_expired_keys(now, 1).await.is_err());
}

/// Proves that the other shards get the share of a shard that fails, but not the share of a shard that times out, since
/// that shard may have leased its tasks.
#[tokio::test(start_paused = true)]
async fn tasks_of_the_other_shards_are_leased() {
    for (fault, expected) in faults().iter().zip([[3, 0, 3], [5, 0, 4]]) {
        let mut fixture = Fixture::new();
        for shard in 0..3 {
            fixture.add_tasks(shard, 20);
        }
        *fixture.shards[0].keys.lock().unwrap() = 7;
        fixture.break_shard(1, fault);
        assert_eq!(fixture.claim(9).await.unwrap(), expected);
        // The router now skips the shard.
        let claimed = fixture.claim(9).await.unwrap();
        assert_eq!((claimed[1], claimed.iter().sum::<usize>()), (0, 9));
        let now = fixture.world.now();
        assert_eq!(fixture.router.delete_expired_keys(now, 100).await.unwrap(), 7);
    }
}

/// Proves that a dead shard delays the feed of no other shard, and that its events follow after its recovery, without
/// loss.
#[tokio::test(start_paused = true)]
async fn the_feed_continues_and_catches_up() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        for shard in 0..3 {
            fixture.place(shard, 3).await;
        }
        let read = fixture.router.feed(1, FeedPosition::START, 4).await.unwrap();
        fixture.break_shard(1, &fault);
        let position = read.events.last().unwrap().position;
        let error = fixture.router.feed(1, position, 4).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("shard b: ")), "{error}");
        let began = Instant::now();
        for shard in [0, 2] {
            let page = fixture.router.feed(shard, FeedPosition::START, 100).await.unwrap();
            assert_eq!(page.events.len(), 6);
        }
        assert_eq!(began.elapsed().as_nanos(), 0);
        fixture.shards[1].set(Fault::None);
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        let rest = fixture.router.feed(1, position, 4).await.unwrap();
        assert_eq!((read.events.len(), rest.events.len(), rest.is_at_end), (4, 2, true));
    }
}

/// Proves that restaurants of a dead shard are not listed, and that every page is marked as incomplete until the shard
/// answers again.
#[tokio::test(start_paused = true)]
async fn restaurants_of_a_dead_shard_are_missing() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        let mut created = fixture.create_restaurants(6).await;
        let whole = RestaurantPage { restaurants: created.clone(), ..RestaurantPage::default() };
        assert_eq!(fixture.router.restaurants(None, None, PageSize::DEFAULT).await.unwrap(), whole);
        fixture.break_shard(1, &fault);
        created.retain(|restaurant| fixture.router.shard_of(restaurant.id.bucket()) != 1);
        let (mut read, limit) = (Vec::new(), PageSize::new(3).unwrap());
        for expected in [3, 1, 0] {
            let after = read.last().map(|restaurant: &Restaurant| restaurant.id);
            let page = fixture.router.restaurants(after, None, limit).await.unwrap();
            assert_eq!((page.restaurants.len(), page.incomplete), (expected, true));
            read.extend(page.restaurants);
        }
        assert_eq!(read, created);
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        fixture.break_shard(1, &Fault::None);
        assert_eq!(fixture.router.restaurants(None, None, PageSize::DEFAULT).await.unwrap(), whole);
    }
}

/// Proves that revisions of a dead shard's restaurants are omitted, so that their cached catalogues stay; that the
/// other revisions arrive within the timeout; and that the call fails only if none of the requested shards answers.
#[tokio::test(start_paused = true)]
async fn revisions_of_a_dead_shard_are_missing() {
    for fault in faults() {
        let mut fixture = Fixture::new();
        let created =
            fixture.create_restaurants(6).await.iter().map(|restaurant| restaurant.id).collect::<Vec<_>>();
        fixture.break_shard(1, &fault);
        let (dead, alive): (Vec<_>, Vec<_>) =
            created.iter().copied().partition(|id| fixture.router.shard_of(id.bucket()) == 1);
        assert_eq!((dead.len(), alive.len()), (2, 4));
        let began = Instant::now();
        let found = fixture.router.revisions(&created).await.unwrap();
        assert!(began.elapsed() <= TIMEOUT);
        let found: HashSet<_> = found.into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, alive.into_iter().collect());
        let error = fixture.router.revisions(&dead).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("shard b")), "{error}");
    }
}

/// Proves that the boards of a dead shard are written and read alone: the attendance omits its restaurants and fails only if none
/// of the requested shards answers, and its due boards delay no check of the other shards.
#[tokio::test(start_paused = true)]
async fn boards_of_a_dead_shard_are_missing() {
    for fault in faults() {
        let fixture = Fixture::new();
        let (router, now) = (&fixture.router, fixture.world.now());
        let [first, dead, last] = [0, 1, 2].map(|shard: usize| fixture.restaurants[shard]);
        for shard in 0..3 {
            fixture.shards[shard].due_boards.store(2, Ordering::SeqCst);
        }
        fixture.break_shard(1, &fault);
        let began = Instant::now();
        let found = router.attendance(&fixture.restaurants, now).await.unwrap();
        assert!(began.elapsed() <= TIMEOUT);
        let found: HashSet<_> = found.iter().map(|attendance| attendance.restaurant_id).collect();
        assert_eq!(found, HashSet::from([first, last]));
        let error = router.attendance(&[dead], now).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("shard b")), "{error}");

        let check = BoardCheck { now, pause_after: None, limit: 30 };
        assert_eq!(router.check_boards(&check).await.unwrap().checked, 4);
        fixture.calls();
        for restaurant_id in [first, last] {
            let board = BoardKey { restaurant_id, device_id: DeviceId(Uuid::nil()) };
            let ended = EndedBoard { key: board, connection: 1, at: now };
            router.disconnect_boards(&[ended]).await.unwrap();
            router.postpone_board_checks(restaurant_id, now).await.unwrap();
        }
        let calls = ["disconnect_boards", "postpone_board_checks"];
        assert_eq!(fixture.calls(), [calls.to_vec(), Vec::new(), calls.to_vec()]);
        assert!(router.boards(first, now).await.is_ok());
        if fault != Fault::Hang {
            // The router sets no timeout for a read from one shard; the shard's own store does.
            assert!(router.boards(dead, now).await.is_err());
        }
        for shard in 0..3 {
            fixture.break_shard(shard, &fault);
        }
        assert!(router.check_boards(&check).await.is_err());
    }
}

/// Proves that a ping succeeds without some of the shards, and names them.
#[tokio::test(start_paused = true)]
async fn a_ping_names_the_silent_shards() {
    for fault in faults() {
        let fixture = Fixture::new();
        assert_eq!(fixture.router.ping().await, Ok(Health::default()));
        fixture.break_shard(2, &fault);
        let without = |names: &[&str]| Health {
            silent_shards: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Health::default()
        };
        assert_eq!(fixture.router.ping().await, Ok(without(&["c"])));
        fixture.break_shard(1, &fault);
        assert_eq!(fixture.router.ping().await, Ok(without(&["b", "c"])));
        fixture.break_shard(2, &Fault::None);
        assert_eq!(fixture.router.ping().await, Ok(without(&["b"])));
        fixture.break_shard(1, &Fault::None);
        assert!(fixture.router.ping().await.unwrap().is_healthy());
    }
}

/// Proves that a ping succeeds without the directory, fails without any shard, and then names all shards.
#[tokio::test(start_paused = true)]
async fn a_ping_without_any_shard_is_an_error() {
    let fixture = Fixture::new();
    fixture.break_shard(0, &Fault::Hang);
    assert_eq!(fixture.router.ping().await.unwrap().silent_shards, ["a"]);
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    fixture.break_shard(2, &Fault::Fail(unavailable()));
    let text =
        "shard a: no answer within 300ms; shard b: injected by the test; shard c: injected by the test";
    assert_eq!(fixture.router.ping().await, Err(StoreError::Unavailable(text.to_owned())));
}

/// Proves that a ping returns soon although a shard is silent, and does not pause a shard that is only slow:
/// its orders are still listed.
#[tokio::test(start_paused = true)]
async fn a_ping_waits_less_than_a_list() {
    let fixture = Fixture::new();
    let router = fixture.router.with_timeout(ShardedStore::PING_TIMEOUT * 4);
    fixture.shards[1].set(Fault::Hang);
    let began = Instant::now();
    assert_eq!(router.ping().await.unwrap().silent_shards, ["b"]);
    assert_eq!(began.elapsed().as_millis(), ShardedStore::PING_TIMEOUT.as_millis());
    fixture.shards[1].set(Fault::None);
    assert!(!router.list_orders(&query(OrderScope::All, 50)).await.unwrap().incomplete);
}

/// Proves that a mixed batch of which a part is written has an unknown outcome, and that a mixed batch of
/// which nothing is written has the error of the shards.
#[tokio::test]
async fn a_mixed_batch_that_fails_in_part_has_an_unknown_outcome() {
    let mut fixture = Fixture::new();
    let (restaurants, account) = (fixture.restaurants.clone(), fixture.account);
    let mut batch = || -> Vec<_> {
        restaurants.iter().map(|restaurant| fixture.world.place(*restaurant, account)).collect()
    };
    let (first, second, third) = (batch(), batch(), batch());
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    let error = fixture.router.commit(first.clone()).await.unwrap_err();
    let text = "part of the batch was or may have been written: the store is unavailable: shard b: injected by the test";
    assert_eq!(error, StoreError::OutcomeUnknown(text.to_owned()));
    for (index, commit) in first.iter().enumerate() {
        let stored = fixture.shards[index].orders.lock().unwrap();
        assert_eq!(stored.iter().any(|order| order.id == commit.order_id), index != 1);
    }
    // Batches for the other shards are unaffected.
    let others = [&second[0], &second[2]].map(Clone::clone).to_vec();
    assert_eq!(fixture.router.commit(others).await.unwrap(), vec![CommitOutcome::Committed; 2]);
    for shard in 0..3 {
        fixture.break_shard(shard, &Fault::Fail(unavailable()));
    }
    assert!(matches!(fixture.router.commit(third).await, Err(StoreError::Unavailable(_))));
}

/// Proves that a defect in one commit refuses the whole batch before any shard is called.
#[tokio::test]
async fn a_defect_is_found_before_anything_is_written() {
    let mut fixture = Fixture::new();
    let good = fixture.world.place(fixture.restaurants[0], fixture.account);
    let mut bad = fixture.world.place(fixture.restaurants[1], fixture.account);
    bad.change.as_mut().unwrap().events.clear();
    let result = fixture.router.commit(vec![good, bad]).await;
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    assert_eq!(fixture.calls().concat().len(), 0);
}

/// Proves that a page of parked tasks is marked as incomplete while a shard is dead, and that the call fails
/// if all shards are dead.
#[tokio::test]
async fn parked_tasks_of_a_dead_shard_are_missing() {
    let fixture = Fixture::new();
    let list = || fixture.router.parked_tasks(None, PageSize::DEFAULT);
    assert_eq!(list().await.unwrap(), TaskPage { tasks: Vec::new(), incomplete: false });
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    assert!(list().await.unwrap().incomplete);
    fixture.break_shard(0, &Fault::Fail(unavailable()));
    fixture.break_shard(2, &Fault::Fail(unavailable()));
    assert!(matches!(list().await, Err(StoreError::Unavailable(_))));
}

/// Proves that a record that a shard cannot decode does not count as a missing shard: every list fails, as on a single
/// database, and the error names the shard and the record. This also holds while another shard is dead.
#[tokio::test]
async fn lists_with_an_undecodable_record_fail() {
    let fixture = Fixture::new();
    let (router, limit) = (&fixture.router, PageSize::DEFAULT);
    let kinds: [fn(String) -> StoreError; 2] = [StoreError::Corrupt, StoreError::WrittenByNewer];
    for kind in kinds {
        fixture.break_shard(1, &Fault::Fail(kind("order 7 is odd".to_owned())));
        for (fault, text) in [
            (Fault::None, "shard b: order 7 is odd"),
            (Fault::Fail(unavailable()), "shard b: order 7 is odd; shard c: injected by the test"),
        ] {
            fixture.break_shard(2, &fault);
            let results = [
                fixture.list().await.map(drop),
                router.restaurants(None, None, limit).await.map(drop),
                router.parked_tasks(None, limit).await.map(drop),
                router.all_tasks(None, limit).await.map(drop),
                router.all_claims(None, limit).await.map(drop),
                router.all_stock(None, limit).await.map(drop),
            ];
            let expected = Err(kind(text.to_owned()));
            assert!(results.iter().all(|result| *result == expected), "{results:?}");
        }
    }
    fixture.break_shard(1, &Fault::None);
    fixture.break_shard(2, &Fault::None);
    assert_eq!(fixture.list().await, Ok((Vec::new(), false)));
}

/// Proves that an audit's lists are marked as incomplete while a shard is dead. Reading orders of that shard
/// fails, because an order must not be omitted. A shard that finds damage is not dead: its error is the result.
#[tokio::test]
async fn audit_lists_omit_a_dead_shard() {
    let mut fixture = Fixture::new();
    let orders: Vec<OrderId> =
        fixture.restaurants.clone().into_iter().map(|id| fixture.world.order_id(id)).collect();
    fixture.break_shard(1, &Fault::Fail(unavailable()));
    let limit = PageSize::DEFAULT;
    assert!(fixture.router.all_tasks(None, limit).await.unwrap().incomplete);
    assert!(fixture.router.all_claims(None, limit).await.unwrap().incomplete);
    assert!(fixture.router.all_stock(None, limit).await.unwrap().incomplete);
    assert!(matches!(fixture.router.orders(&orders).await, Err(StoreError::Unavailable(_))));
    fixture.calls();
    assert_eq!(fixture.router.orders(&orders[2..]).await.unwrap(), []);
    assert_eq!(fixture.calls(), [Vec::new(), Vec::new(), vec!["orders"]]);
    fixture.break_shard(2, &Fault::Fail(StoreError::Corrupt("a row is damaged".to_owned())));
    assert!(matches!(fixture.router.all_tasks(None, limit).await, Err(StoreError::Corrupt(_))));
}
