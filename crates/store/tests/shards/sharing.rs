//! Tests of calls that share a limit over all shards (tasks, keys), and of merged lists.

use dabba_domain::{
    OrderId,
    task::{Task, TaskQueue, TaskSubject},
};
use dabba_store::{
    CatalogueStore, ClaimedTask, NewTask, OrderScope, OrderStore, StoreError, TaskLease, TaskStore,
    conformance::builders::{menu, order_of},
};
use proptest::prelude::*;

use crate::{Fixture, query};

impl Fixture {
    /// Adds `count` due tasks to a shard.
    pub(crate) fn add_tasks(&mut self, shard: usize, count: usize) {
        for _ in 0..count {
            let order_id = self.world.order_id(self.restaurants[shard]);
            let task_id = self.world.task_id(order_id);
            let subject = TaskSubject::Order(order_id);
            let task =
                NewTask { id: task_id, subject, task: Task::ExpireUnaccepted, run_at: self.world.now() };
            let lease = TaskLease { task_id, subject, token: 1 };
            let claimed =
                ClaimedTask { task: task.into(), attempts: 1, failures: 0, last_error: None, lease };
            self.shards[shard].tasks.lock().unwrap().push_back(claimed);
        }
    }

    /// Claims tasks and returns the number of tasks from each shard.
    pub(crate) async fn claim(&self, limit: u32) -> Result<[usize; 3], StoreError> {
        let now = self.world.now();
        let claimed = self.router.claim_due_tasks(TaskQueue::Deadlines, now, now, limit).await?;
        assert!(claimed.len() <= limit as usize);
        assert!(claimed.is_sorted_by_key(|claimed| (claimed.task.run_at, claimed.task.id)));
        let mut counts = [0; 3];
        for task in claimed {
            let bucket = task.task.id.bucket();
            counts[self.restaurants.iter().position(|id| id.bucket() == bucket).unwrap()] += 1;
        }
        Ok(counts)
    }

    /// Places `count` orders on a shard.
    pub(crate) async fn place(&mut self, shard: usize, count: usize) -> Vec<OrderId> {
        let batch: Vec<_> =
            (0..count).map(|_| self.world.place(self.restaurants[shard], self.account)).collect();
        let ids = batch.iter().map(|commit| order_of(commit).id).collect();
        self.router.commit(batch).await.unwrap();
        ids
    }
}

/// Proves that all shards get the same share, and that the other shards get the unused part of a share.
#[tokio::test]
async fn tasks_are_distributed_evenly() {
    let mut fixture = Fixture::new();
    for (shard, count) in [(0, 100), (1, 10), (2, 2)] {
        fixture.add_tasks(shard, count);
    }
    assert_eq!(fixture.claim(6).await.unwrap(), [2, 2, 2]);
    assert_eq!(fixture.claim(6).await.unwrap(), [3, 3, 0]);
    assert_eq!(fixture.claim(20).await.unwrap(), [15, 5, 0]);
    assert_eq!(fixture.claim(100).await.unwrap(), [80, 0, 0]);
    assert_eq!(fixture.claim(100).await.unwrap(), [0, 0, 0]);
    fixture.calls();
    assert_eq!(fixture.claim(0).await.unwrap(), [0, 0, 0]);
    assert_eq!(fixture.calls().concat().len(), 0);
}

/// Proves that the shards take turns when tasks are claimed one by one.
#[tokio::test]
async fn no_shard_starves_when_tasks_are_claimed_one_by_one() {
    let mut fixture = Fixture::new();
    for shard in 0..3 {
        fixture.add_tasks(shard, 100);
    }
    let mut counts = [0; 3];
    for _ in 0..30 {
        let claimed = fixture.claim(1).await.unwrap();
        assert_eq!(claimed.iter().sum::<usize>(), 1);
        counts = [0, 1, 2].map(|shard: usize| counts[shard] + claimed[shard]);
    }
    assert_eq!(counts, [10, 10, 10]);
}

/// Proves that fewer keys than the limit are deleted only if there are no more.
#[tokio::test]
async fn keys_are_deleted_up_to_the_limit() {
    let fixture = Fixture::new();
    *fixture.shards[1].keys.lock().unwrap() = 25;
    *fixture.shards[2].keys.lock().unwrap() = 1;
    let now = fixture.world.now();
    for expected in [10, 10, 6, 0] {
        assert_eq!(fixture.router.delete_expired_keys(now, 10).await.unwrap(), expected);
    }
}

/// Proves that the restaurants of all shards form one list, ordered by id.
#[tokio::test]
async fn restaurants_of_all_shards_are_one_list() {
    let mut fixture = Fixture::new();
    let mut created = Vec::new();
    for _ in 0..20 {
        let restaurant = fixture.world.restaurant();
        fixture.router.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
        created.push(restaurant);
    }
    for size in [1, 3, 20, 100] {
        let mut read = Vec::new();
        loop {
            let after = read.last().map(|restaurant: &dabba_domain::restaurant::Restaurant| restaurant.id);
            let limit = dabba_store::PageSize::new(size).unwrap();
            let page = fixture.router.restaurants(after, None, limit).await.unwrap();
            assert!(!page.incomplete);
            if page.restaurants.is_empty() {
                break;
            }
            read.extend(page.restaurants);
        }
        assert_eq!(read, created);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Proves that merged pages form one list, newest orders first, for any distribution of orders and any
    /// page size, and that only the last page has no next position.
    #[test]
    fn pages_over_shards_are_the_pages_of_one_list(
        shards in proptest::collection::vec(0_usize..3, 0..40), limit in 1_u32..15,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::new();
            let mut expected = Vec::new();
            for shard in shards {
                expected.extend(fixture.place(shard, 1).await);
            }
            expected.reverse();
            let mut query = query(OrderScope::Customer(fixture.account), limit);
            let mut read: Vec<OrderId> = Vec::new();
            loop {
                let page = fixture.router.list_orders(&query).await.unwrap();
                let rest = &expected[read.len()..];
                let ids: Vec<OrderId> = page.orders.iter().map(|order| order.id).collect();
                assert_eq!(ids, rest[..rest.len().min(limit as usize)]);
                assert!(!page.incomplete);
                read.extend(ids);
                assert_eq!(page.next.is_some(), read.len() < expected.len());
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
        });
    }
}
