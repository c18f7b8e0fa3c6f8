//! Reads of an audit: every row once, in pages of any size.

use std::{collections::HashSet, sync::Arc, time::Duration};

use dabba_domain::task::{TaskKind, TaskQueue};

use super::builders::{World, menu, order_of, slug};
use crate::{
    Commit, CommitOutcome, PageSize, ScopedKey, Store, StoreError, StoredClaim, StoredStock, StoredTask,
    TaskFailure, TaskResolution,
};

/// Reads a list completely, in pages of the given size: `$list` returns the page after the last entry read.
macro_rules! read_all {
    ($page_size:expr, |$last:ident, $limit:ident| $list:expr) => {{
        let $limit = PageSize::new($page_size).unwrap();
        let mut read = Vec::new();
        loop {
            let page = {
                let $last = read.last();
                $list.await.unwrap()
            };
            assert!(!page.incomplete);
            assert!(page.entries.len() <= $limit.get() as usize);
            let is_last = page.entries.len() < $limit.get() as usize;
            read.extend(page.entries);
            if is_last {
                break read;
            }
        }
    }};
}

/// Places `count` orders, each of a random one of three restaurants and four customers.
async fn place(store: &Arc<dyn Store>, world: &mut World, count: usize) -> Vec<Commit> {
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let customers: Vec<_> = (0..4).map(|_| world.account_id()).collect();
    let placed: Vec<Commit> = (0..count)
        .map(|_| {
            let (restaurant, customer) = (restaurants[world.below(3)], customers[world.below(4)]);
            world.place(restaurant, customer)
        })
        .collect();
    let outcomes = store.commit(placed.clone()).await.unwrap();
    assert_eq!(outcomes, vec![CommitOutcome::Committed; count]);
    placed
}

/// Many orders are read in one call, from all shards. Unknown orders are omitted, and more than a page are
/// refused.
pub async fn orders_are_looked_up_together(store: Arc<dyn Store>) {
    let mut world = World::new(101);
    let placed = place(&store, &mut world, 9).await;
    let mut ids: Vec<_> = placed.iter().map(|commit| commit.order_id).collect();
    let restaurant = world.restaurant_id();
    ids.push(world.order_id(restaurant));
    let mut found = store.orders(&ids).await.unwrap();
    found.sort_by_key(|order| order.id);
    assert_eq!(found, placed.iter().map(order_of).collect::<Vec<_>>());
    assert_eq!(store.orders(&[]).await.unwrap(), []);
    let many: Vec<_> = (0..=PageSize::MAX).map(|_| world.order_id(restaurant)).collect();
    assert_eq!(store.orders(&many[1..]).await.unwrap(), []);
    let refused = store.orders(&many).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

/// Every task is listed until it is completed: waiting, leased, parked and resolved tasks.
pub async fn all_tasks_are_listed_until_they_are_completed(store: Arc<dyn Store>) {
    let mut world = World::new(102);
    let placed = place(&store, &mut world, 7).await;
    let mut expected: Vec<StoredTask> = placed
        .iter()
        .flat_map(|commit| commit.tasks.clone())
        .map(|task| StoredTask {
            task: task.into(),
            attempts: 0,
            leased_until: None,
            parked_at: None,
            resolved_at: None,
        })
        .collect();
    expected.sort_by_key(|stored| stored.task.id);
    assert_eq!(expected.len(), 7);
    assert!(expected.iter().all(|stored| stored.task.kind == TaskKind::WarnUnaccepted));
    for page_size in [1, 3, 7, 100] {
        let read = read_all!(page_size, |last, limit| {
            store.all_tasks(last.map(|last: &StoredTask| last.task.id), limit)
        });
        assert_eq!(read, expected, "in pages of {page_size}");
    }

    let now = world.in_seconds(100_000);
    let until = now + Duration::from_mins(1);
    let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, until, 100).await.unwrap();
    let place_of = |claimed: &crate::ClaimedTask| {
        expected.iter().position(|stored| stored.task.id == claimed.task.id).unwrap()
    };
    let places: Vec<usize> = claimed.iter().map(place_of).collect();
    for stored in &mut expected {
        (stored.attempts, stored.leased_until) = (1, Some(until));
    }
    let failure = TaskFailure { at: now, error: "injected by the test".to_owned() };
    let resolution = TaskResolution { at: until, by: world.account_id(), reason: "so".to_owned() };
    for place in 0..3 {
        assert!(store.park_task(claimed[place].lease, &failure).await.unwrap());
        let stored = &mut expected[places[place]];
        (stored.leased_until, stored.parked_at) = (None, Some(now));
    }
    assert!(store.resolve_task(claimed[0].lease.task_id, &resolution).await.unwrap());
    expected[places[0]].resolved_at = Some(until);
    // The fourth task is completed and disappears.
    let order = store.order(claimed[3].task.subject.order_id().unwrap()).await.unwrap().unwrap();
    let done = world.repeat(&order, order.details.customer_id);
    let done = Commit { claim: None, completes: Some(claimed[3].lease), ..done };
    assert_eq!(store.commit(vec![done]).await.unwrap(), [CommitOutcome::Committed]);
    expected.remove(places[3]);
    let read =
        read_all!(2, |last, limit| { store.all_tasks(last.map(|last: &StoredTask| last.task.id), limit) });
    assert_eq!(read, expected);
}

/// Every key is listed with its record until it is deleted, grouped by account and then by restaurant.
pub async fn all_keys_are_listed_by_account_and_restaurant(store: Arc<dyn Store>) {
    let mut world = World::new(103);
    let placed = place(&store, &mut world, 23).await;
    let expected: HashSet<(ScopedKey, [u8; 32])> = placed
        .iter()
        .map(|commit| {
            let claim = commit.claim.clone().unwrap();
            let (account_id, restaurant_id) = (claim.account_id, Some(commit.restaurant_id));
            (ScopedKey { account_id, restaurant_id, key: claim.key }, claim.fingerprint.0)
        })
        .collect();
    for page_size in [1, 4, 23, 100] {
        let read = read_all!(page_size, |last, limit| {
            store.all_claims(last.map(|last: &StoredClaim| &last.key), limit)
        });
        assert!(read.is_sorted_by_key(|stored| (stored.key.account_id, stored.key.restaurant_id)));
        assert_eq!(read.len(), expected.len(), "in pages of {page_size}");
        for StoredClaim { key, record } in read {
            let commit = placed.iter().find(|commit| Some(commit.order_id) == record.order_id()).unwrap();
            assert_eq!(record.version, order_of(commit).version);
            assert!(expected.contains(&(key, record.fingerprint.0)));
        }
    }
    store.delete_expired_keys(world.in_seconds(60), 20).await.unwrap();
    let left = store.all_claims(None, PageSize::DEFAULT).await.unwrap();
    assert_eq!(left.entries.len(), 3);
}

/// The stock of every limited item is listed, grouped by restaurant.
pub async fn all_stock_is_listed_by_restaurant(store: Arc<dyn Store>) {
    let mut world = World::new(104);
    let mut expected = Vec::new();
    for number in 0..5_u32 {
        let restaurant = world.restaurant();
        store.create_restaurant(&restaurant, &menu(&["dal", "naan", "rice"])).await.unwrap();
        for (item, remaining) in [("dal", number), ("rice", 0)] {
            store.set_stock(restaurant.id, &slug(item), Some(remaining)).await.unwrap();
            let (restaurant_id, item, remaining) = (restaurant.id, slug(item), i64::from(remaining));
            expected.push(StoredStock { restaurant_id, item, remaining });
        }
    }
    for page_size in [1, 3, 10, 100] {
        let mut read = read_all!(page_size, |last, limit| {
            store.all_stock(last.map(|last: &StoredStock| (last.restaurant_id, &last.item)), limit)
        });
        assert!(read.is_sorted_by_key(|stored| stored.restaurant_id));
        read.sort_by_key(|stored| (stored.restaurant_id, stored.item.as_str().to_owned()));
        expected.sort_by_key(|stored| (stored.restaurant_id, stored.item.as_str().to_owned()));
        assert_eq!(read, expected, "in pages of {page_size}");
    }
}
