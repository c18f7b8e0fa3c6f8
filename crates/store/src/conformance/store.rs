//! The store as a whole: open or closed.

use std::sync::Arc;

use dabba_domain::{
    Role,
    statistics::Minute,
    task::{TaskQueue, TaskSubject},
};

use super::builders::{World, menu, menu_at, slug};
use crate::{
    CommitOutcome, FeedPosition, Health, OrderQuery, OrderScope, PageSize, Store, StoreError, TaskLease,
};

/// An open store answers a ping and reports no missing part; a closed store does not answer.
pub async fn a_store_answers(store: Arc<dyn Store>) {
    assert_eq!(store.ping().await, Ok(Health::default()));
    store.close().await;
    assert!(store.ping().await.is_err());
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
    store.close().await;
    store.close().await;
    assert!(is_unavailable(&store.ping().await));
    assert!(is_unavailable(&store.commit(vec![commit]).await));
    assert!(is_unavailable(&store.order(order_id).await));
    assert!(is_unavailable(&store.events(order_id, 0, 1).await));
    assert!(is_unavailable(&store.list_orders(&query).await));
    assert!(is_unavailable(&store.feed(0, FeedPosition::START, 1).await));
    assert!(is_unavailable(&store.feed_end(0).await));
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
