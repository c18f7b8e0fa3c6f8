//! A dead or slow shard among several: only its own restaurants are affected.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dabba_domain::{AccountId, OrderId, RestaurantId, task::TaskQueue};
use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};
use dabba_store::{
    Commit, CommitOutcome, OrderQuery, OrderScope, OrderStore as _, PageSize, ShardMap, ShardRange,
    ShardedStore, Store, StoreError, TaskStore as _, conformance::builders::World,
};
use dabba_store_postgres::PostgresOptions;
use tokio::task::JoinHandle;

use crate::{
    common::{PATIENCE, eventually, open_with, own_cluster, session},
    counted::CountedStore,
};

/// Time limit of the router for a shard's part of a query to all shards.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Statement timeout of the databases; longer than [`TIMEOUT`].
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Index of the shard that fails.
const BROKEN: usize = 1;
/// Indexes of the healthy shards.
const HEALTHY: [usize; 2] = [0, 2];

/// Three databases, each in its own cluster, and a restaurant on each.
struct Scene {
    router: Arc<ShardedStore>,
    stores: Vec<Arc<CountedStore>>,
    clusters: Vec<(Cluster, String)>,
    restaurants: Vec<RestaurantId>,
    customer: AccountId,
    world: World,
    /// Orders of each shard, in the order of their placement.
    placed: [Vec<OrderId>; 3],
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let options = PostgresOptions { statement_timeout: STATEMENT_TIMEOUT, ..PostgresOptions::default() };
        let (mut clusters, mut shards) = (Vec::new(), Vec::new());
        let mut stores = Vec::new();
        for (name, buckets) in [("a", "0-1364"), ("b", "1365-2729"), ("c", "2730-4095")] {
            let (cluster, url) = own_cluster(&ClusterOptions::default());
            stores.push(Arc::new(CountedStore::new(open_with(&url, &options).await)));
            clusters.push((cluster, url));
            shards.push(ShardRange {
                name: name.to_owned(),
                buckets: buckets.parse().unwrap(),
                split_from: None,
            });
        }
        let routed = stores.iter().map(|store| Arc::clone(store) as Arc<dyn Store>).collect();
        let router = ShardedStore::new(ShardMap::new(shards).unwrap(), routed).unwrap();
        let router = Arc::new(router.with_timeout(TIMEOUT));
        let mut world = World::new(seed);
        let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
        for (index, restaurant) in restaurants.iter().enumerate() {
            assert_eq!(router.shard_of(restaurant.bucket()), index);
        }
        let customer = world.account_id();
        let placed = Default::default();
        let mut scene = Self { router, stores, clusters, restaurants, customer, world, placed };
        for shard in [0, 1, 2, 1, 0] {
            scene.place(shard).await;
        }
        scene
    }

    fn order(&mut self, shard: usize) -> Commit {
        self.world.place(self.restaurants[shard], self.customer)
    }

    async fn place(&mut self, shard: usize) {
        let commit = self.order(shard);
        let id = commit.order_id;
        assert_eq!(self.router.commit(vec![commit]).await, Ok(vec![CommitOutcome::Committed]));
        self.placed[shard].push(id);
    }

    /// Places an order in the background.
    fn begin_placing(
        &mut self,
        shard: usize,
    ) -> (OrderId, JoinHandle<Result<Vec<CommitOutcome>, StoreError>>) {
        let commit = self.order(shard);
        let router = Arc::clone(&self.router);
        (commit.order_id, tokio::spawn(async move { router.commit(vec![commit]).await }))
    }

    /// Returns the ids of the customer's orders, oldest first, and whether the list may be incomplete.
    async fn list(&self) -> (Vec<OrderId>, bool) {
        let mut query = query(OrderScope::Customer(self.customer));
        let (mut ids, mut incomplete) = (Vec::new(), false);
        loop {
            let page = self.router.list_orders(&query).await.unwrap();
            ids.extend(page.orders.iter().map(|order| order.id));
            incomplete |= page.incomplete;
            if page.next.is_none() {
                ids.reverse();
                return (ids, incomplete);
            }
            query.after = page.next;
        }
    }

    /// Returns the expected list if these shards respond.
    fn expected(&self, shards: &[usize]) -> Vec<OrderId> {
        let mut ids: Vec<_> = shards.iter().flat_map(|shard| self.placed[*shard].clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Asserts that orders of the healthy shards are placed, read and listed as usual, without a call of the broken
    /// shard. Only its own shard answers for an unknown id.
    async fn assert_healthy_shards_work(&mut self) {
        let calls = self.stores[BROKEN].calls();
        for shard in HEALTHY {
            self.place(shard).await;
            for id in &self.placed[shard] {
                assert!(self.router.order(*id).await.unwrap().is_some());
            }
            let unknown = self.world.order_id(self.restaurants[shard]);
            assert_eq!(self.router.order(unknown).await, Ok(None));
            let query = query(OrderScope::Restaurant(self.restaurants[shard]));
            let page = self.router.list_orders(&query).await.unwrap();
            assert_eq!((page.orders.len(), page.incomplete), (self.placed[shard].len(), false));
        }
        assert_eq!(self.stores[BROKEN].calls(), calls, "the broken shard was called");
    }

    /// Asserts that the customer's list has the orders of the healthy shards, and is marked as incomplete.
    async fn assert_list_is_incomplete(&self) {
        assert_eq!(self.list().await, (self.expected(&HEALTHY), true));
    }

    /// Asserts that after the fault every order exists and new ones can be placed.
    async fn assert_all_is_complete(&mut self) {
        eventually("all shards respond", async || self.router.ping().await.is_ok()).await;
        assert_eq!(self.list().await, (self.expected(&[0, 1, 2]), false));
        self.place(BROKEN).await;
        assert_eq!(self.list().await, (self.expected(&[0, 1, 2]), false));
    }
}

fn query(scope: OrderScope) -> OrderQuery {
    OrderQuery { scope, statuses: Vec::new(), after: None, limit: PageSize::DEFAULT }
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(text)) if text.starts_with("shard b: "))
}

/// A dead shard fails fast, with its name in the error, and does not affect the others. Everything that it had
/// acknowledged exists when the shard is back, including orders written while it died.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shard_fails_alone_and_comes_back_whole() {
    let mut scene = Scene::new(1).await;
    // A client writes continuously until it gets an error.
    let writing = tokio::spawn({
        let (router, restaurant, customer) =
            (Arc::clone(&scene.router), scene.restaurants[BROKEN], scene.customer);
        let mut world = World::new(1_001);
        async move {
            let mut acknowledged = Vec::new();
            loop {
                let commit = world.place(restaurant, customer);
                let id = commit.order_id;
                match router.commit(vec![commit]).await {
                    Ok(outcomes) => assert_eq!(outcomes, [CommitOutcome::Committed]),
                    Err(error) => return (acknowledged, id, error),
                }
                acknowledged.push(id);
            }
        }
    });
    let written = scene.placed[BROKEN].len() + 20;
    eventually("some orders are written", async || scene.list().await.0.len() > written).await;
    scene.clusters[BROKEN].0.stop(StopMode::Immediate).unwrap();

    let begun = Instant::now();
    let (id, placing) = scene.begin_placing(BROKEN);
    let refused = placing.await.unwrap();
    assert!(is_unavailable(&refused), "{refused:?}");
    let unread = scene.router.order(id).await;
    assert!(is_unavailable(&unread), "{unread:?}");
    let health = scene.router.ping().await.unwrap();
    assert_eq!(health.silent_shards, [scene.router.map().shards()[BROKEN].name.clone()]);
    // The timeout is a documented limit. A refused connection takes a small part of it.
    assert!(begun.elapsed() < PostgresOptions::DEFAULT_CONNECT_TIMEOUT, "{:?}", begun.elapsed());
    let (acknowledged, last, error) = tokio::time::timeout(PATIENCE, writing).await.unwrap().unwrap();
    scene.assert_healthy_shards_work().await;
    scene.assert_list_is_incomplete().await;

    scene.clusters[BROKEN].0.restart().unwrap();
    eventually("all shards respond", async || scene.router.ping().await.is_ok()).await;
    scene.placed[BROKEN].extend(acknowledged);
    let is_last_there = scene.router.order(last).await.unwrap().is_some();
    // Unavailable means that nothing was written; after an unknown outcome, the order may exist or not.
    assert!(!is_last_there || matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    scene.placed[BROKEN].extend(is_last_there.then_some(last));
    assert_eq!(scene.router.order(id).await, Ok(None));
    scene.assert_all_is_complete().await;
}

/// A shard with locked tables delays only its own callers, for a bounded time. Lists and task claims wait for the
/// shard once, and then skip it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_shard_is_slow_alone() {
    let mut scene = Scene::new(2).await;
    let blocker = session(&scene.clusters[BROKEN].1).await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE orders, order_events, tasks IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();

    let (begun, calls) = (Instant::now(), scene.stores[BROKEN].calls());
    let (id, placing) = scene.begin_placing(BROKEN);
    eventually("the shard is called", async || scene.stores[BROKEN].calls() > calls).await;
    scene.assert_healthy_shards_work().await;
    scene.assert_list_is_incomplete().await;
    let calls = scene.stores[BROKEN].calls();
    scene.assert_list_is_incomplete().await;
    let far = scene.world.in_seconds(1_000_000);
    let claimed = scene.router.claim_due_tasks(TaskQueue::Deadlines, far, far, 100).await.unwrap();
    let mut of_orders: Vec<_> =
        claimed.iter().map(|claimed| claimed.task.subject.order_id().unwrap()).collect();
    of_orders.sort_unstable();
    assert_eq!(of_orders, scene.expected(&HEALTHY));
    assert_eq!(scene.stores[BROKEN].calls(), calls, "the silent shard was called again");

    let refused = placing.await.unwrap();
    assert!(is_unavailable(&refused), "{refused:?}");
    // The statement timeout is a documented limit. The shard was slow until then.
    assert!(begun.elapsed() >= STATEMENT_TIMEOUT, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < STATEMENT_TIMEOUT * 4, "{:?}", begun.elapsed());

    blocker.batch_execute("ROLLBACK").await.unwrap();
    scene.assert_all_is_complete().await;
    assert_eq!(scene.router.order(id).await, Ok(None));
}
