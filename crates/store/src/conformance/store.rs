//! The store as a whole: open or closed.

use std::sync::Arc;

use dabba_domain::{
    Bucket, Role,
    statistics::Minute,
    task::{TaskQueue, TaskSubject},
};

use super::{
    boards::board,
    builders::{World, menu, menu_at, slug},
};
use crate::{
    BoardCheck, CodeQuery, CommitOutcome, EndedBoard, FeedPosition, Health, OrderQuery, OrderScope, PageSize,
    Store, StoreError, TaskLease,
};

/// An open store answers a ping and reports no missing part; a closed store does not answer.
pub async fn a_store_answers(store: Arc<dyn Store>) {
    assert_eq!(store.ping().await, Ok(Health::default()));
    store.close().await;
    assert!(store.ping().await.is_err());
}

/// The shards of a store hold every bucket once, and a measurement of each states the version of its schema.
pub async fn a_store_states_its_shards(store: Arc<dyn Store>) {
    let shards = store.shards();
    assert_eq!(shards.len(), store.shard_count());
    assert_eq!(shards.iter().map(|shard| shard.buckets.count()).sum::<u16>(), Bucket::COUNT);
    assert_eq!(store.shard_names(), shards.iter().map(|shard| shard.name.clone()).collect::<Vec<_>>());
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!(shard.database, shards[0].database);
        assert_eq!(store.shard_of(shard.buckets.first()), index);
        let measured = store.measure(index, World::new(83).now()).await.unwrap();
        assert!(measured.schema_version.is_some_and(|version| version > 1), "{measured:?}");
    }
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// Every call to a closed store fails as unavailable; closing it again has no effect.
pub async fn a_closed_store_is_unavailable(store: Arc<dyn Store>) {
    let mut world = World::new(81);
    let restaurant = world.restaurant();
    let account = world.account(Role::Customer);
    let commit = world.place(restaurant.id, account.id);
    let (order_id, key) = (commit.order_id, world.key());
    let task = commit.tasks[0].clone();
    let lease = TaskLease { task_id: task.id, subject: task.subject, token: 1 };
    let review = world.review_of(TaskSubject::Restaurant(restaurant.id), commit.at);
    let review_lease = TaskLease { task_id: review.id, subject: review.subject, token: 1 };
    let (now, limit) = (world.now(), PageSize::DEFAULT);
    let query = OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after: None, limit };
    let board = board(&mut world, restaurant.id);
    store.close().await;
    store.close().await;
    assert!(is_unavailable(&store.ping().await));
    assert!(is_unavailable(&store.commit(vec![commit]).await));
    assert!(is_unavailable(&store.order(order_id).await));
    assert!(is_unavailable(&store.events(order_id, 0, 1).await));
    assert!(is_unavailable(&store.list_orders(&query).await));
    let code = CodeQuery { code: order_id.display_code(), max_read: 1, limit };
    assert!(is_unavailable(&store.orders_with_code(&code).await));
    assert!(is_unavailable(&store.feed(0, FeedPosition::START, 1).await));
    assert!(is_unavailable(&store.feed_end(0).await));
    let end = EndedBoard { key: board.key, connection: board.connection, at: now };
    let check = BoardCheck { now, pause_after: None, limit: 1 };
    assert!(is_unavailable(&store.record_boards(&[board], now).await));
    assert!(is_unavailable(&store.disconnect_boards(&[end]).await));
    assert!(is_unavailable(&store.boards(restaurant.id, now).await));
    assert!(is_unavailable(&store.attendance(&[restaurant.id], now).await));
    assert!(is_unavailable(&store.check_boards(&check).await));
    assert!(is_unavailable(&store.postpone_board_checks(restaurant.id, now).await));
    assert!(is_unavailable(&store.pause_unattended(&restaurant, 1, now).await));
    assert!(is_unavailable(&store.statistics_progress(0).await));
    assert!(is_unavailable(&store.delete_old_statistics(Minute(0), 1).await));
    assert!(is_unavailable(&store.find_claim(account.id, restaurant.id, &key).await));
    assert!(is_unavailable(&store.delete_expired_keys(now, 1).await));
    assert!(is_unavailable(&store.claim_due_tasks(TaskQueue::Deadlines, now, now, 1).await));
    assert!(is_unavailable(&store.postpone_task(lease, now, None).await));
    assert!(is_unavailable(&store.enqueue_task(&review).await));
    assert!(is_unavailable(&store.complete_task(review_lease).await));
    assert!(is_unavailable(&store.create_restaurant(&restaurant, &menu(&["naan"])).await));
    assert!(is_unavailable(&store.catalogue(restaurant.id).await));
    assert!(is_unavailable(&store.revisions(&[restaurant.id]).await));
    assert!(is_unavailable(&store.restaurants(None, None, limit).await));
    assert!(is_unavailable(&store.update_restaurant(&restaurant, 1).await));
    assert!(is_unavailable(&store.replace_menu(restaurant.id, &menu(&["naan"]), menu_at(1)).await));
    assert!(is_unavailable(&store.stock(restaurant.id).await));
    assert!(is_unavailable(&store.set_stock(restaurant.id, &slug("naan"), None).await));
    assert!(is_unavailable(&store.create_account(&account).await));
    assert!(is_unavailable(&store.account(account.id).await));
    assert!(is_unavailable(&store.account_by_email(&account.email).await));
    assert!(is_unavailable(&store.add_member(restaurant.id, account.id).await));
    assert!(is_unavailable(&store.remove_member(restaurant.id, account.id).await));
    assert!(is_unavailable(&store.members(restaurant.id, None, limit).await));
    assert!(is_unavailable(&store.memberships(account.id).await));
}

/// Closing a busy store leaves no call without an answer: each write is either made or refused as
/// unavailable.
pub async fn calls_that_are_queued_when_the_store_closes_are_answered(store: Arc<dyn Store>) {
    let mut world = World::new(82);
    let restaurant = world.restaurant_id();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let account = world.account_id();
        let commit = world.place(restaurant, account);
        let store = Arc::clone(&store);
        running.spawn(async move { store.commit(vec![commit]).await });
    }
    let first = running.join_next().await.unwrap().unwrap();
    assert_eq!(first, Ok(vec![CommitOutcome::Committed]));
    store.close().await;
    for result in running.join_all().await {
        assert!(is_unavailable(&result) || result == Ok(vec![CommitOutcome::Committed]), "{result:?}");
    }
}
