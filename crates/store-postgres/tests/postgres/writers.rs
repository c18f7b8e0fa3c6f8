//! Clients that place orders continuously and record the acknowledged ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Version, fold},
};
use dabba_pg_cluster::Cluster;
use dabba_store::{
    Claim, Commit, CommitOutcome, OrderStore as _, StoreError,
    conformance::builders::{World, order_of},
};
use dabba_store_postgres::PostgresStore;
use tokio::{sync::watch, task::JoinSet};

/// Timeout of a wait for the writers.
const PATIENCE: Duration = Duration::from_mins(2);

/// Pause of a client after an error, to spare the store. No test depends on it.
const CLIENT_PAUSE: Duration = Duration::from_millis(20);

/// An order whose placement was acknowledged to the client.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) order_id: OrderId,
    pub(crate) restaurant_id: RestaurantId,
    pub(crate) claim: Claim,
    /// Start of the attempt that was acknowledged.
    pub(crate) begun: Instant,
    /// Time of the acknowledgement.
    pub(crate) at: Instant,
}

/// Running clients.
pub(crate) struct Writers {
    acknowledged: watch::Sender<Vec<Acknowledged>>,
    failures: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: JoinSet<()>,
}

impl Writers {
    /// Starts clients that place orders one after the other, and retry each order until it is acknowledged. Clients
    /// with different seeds place different orders.
    pub(crate) fn start(store: &Arc<PostgresStore>, seeds: std::ops::Range<u64>) -> Self {
        let acknowledged = watch::Sender::new(Vec::new());
        let (failures, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut running = JoinSet::new();
        for seed in seeds {
            let (store, acknowledged) = (Arc::clone(store), acknowledged.clone());
            let (failures, stop) = (Arc::clone(&failures), Arc::clone(&stop));
            running.spawn(async move {
                let mut world = World::new(seed);
                let restaurant_id = world.restaurant_id();
                while !stop.load(Ordering::Relaxed) {
                    let placed = place(&store, &mut world, restaurant_id, &failures).await;
                    acknowledged.send_modify(|all| all.push(placed));
                }
            });
        }
        Self { acknowledged, failures, stop, running }
    }

    /// Waits until the acknowledged orders are enough. Returns all of them.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        is_enough: impl FnMut(&Vec<Acknowledged>) -> bool,
    ) -> Vec<Acknowledged> {
        let mut acknowledged = self.acknowledged.subscribe();
        let enough = tokio::time::timeout(PATIENCE, acknowledged.wait_for(is_enough)).await;
        assert!(enough.is_ok(), "timed out before {what}");
        enough.unwrap().unwrap().clone()
    }

    /// Returns the number of failed attempts.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Lets every client finish its order. Returns all acknowledged orders.
    pub(crate) async fn finish(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        assert!(tokio::time::timeout(PATIENCE, self.running.join_all()).await.is_ok());
        self.acknowledged.borrow().clone()
    }
}

/// Places an order, with retries until it is acknowledged. Each attempt draws a new id for the order, as the engine
/// does, and claims the same key.
async fn place(
    store: &PostgresStore,
    world: &mut World,
    restaurant_id: RestaurantId,
    failures: &AtomicU64,
) -> Acknowledged {
    let customer_id = world.account_id();
    let first = world.place(restaurant_id, customer_id);
    let claim = first.claim.clone().unwrap();
    let mut commit = first.clone();
    loop {
        let (begun, own_id) = (Instant::now(), commit.order_id);
        let outcome = store.commit(vec![commit]).await;
        if let Err(error) = outcome {
            let is_transient = matches!(error, StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_));
            assert!(is_transient, "must not be retried: {error}");
            failures.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(CLIENT_PAUSE).await;
            commit = again(world, &first);
            continue;
        }
        let order_id = match outcome.unwrap()[0] {
            CommitOutcome::Replayed { order_id, .. } => order_id,
            ref placed => {
                assert_eq!(*placed, CommitOutcome::Committed);
                own_id
            }
        };
        return Acknowledged { order_id, restaurant_id, claim, begun, at: Instant::now() };
    }
}

/// Repeats a request as the engine does: with the same key and a new id for the order.
pub(crate) fn again(world: &mut World, first: &Commit) -> Commit {
    let details = Arc::unwrap_or_clone(order_of(first).details);
    Commit { claim: first.claim.clone(), ..world.place_with(details) }
}

/// Asserts that each of these orders exists with its whole history, and that its key leads to it.
pub(crate) async fn assert_kept(store: &PostgresStore, acknowledged: &[Acknowledged]) {
    for Acknowledged { order_id, restaurant_id, claim, .. } in acknowledged {
        let order = store.order(*order_id).await.unwrap();
        let events = store.events(*order_id, 0, Version::MAX).await.unwrap();
        assert!(order.is_some(), "the acknowledged order {order_id} is lost");
        assert_eq!(fold(&events).unwrap(), order);
        let record = store.find_claim(claim.account_id, *restaurant_id, &claim.key).await.unwrap();
        assert_eq!(record.and_then(|record| record.order_id()), Some(*order_id));
    }
}

/// Asserts the number of orders in the cluster, each with one key, one first event and one task, and nothing else. Keys
/// of other resources do not count.
pub(crate) fn assert_only(cluster: &Cluster, orders: usize) {
    let sql = "SELECT (SELECT count(*) FROM orders), \
                   (SELECT count(*) FROM idempotency_keys WHERE resource IS NULL), \
                   (SELECT count(DISTINCT order_id) FROM idempotency_keys JOIN orders ON orders.id = order_id), \
                   (SELECT count(*) FROM order_events WHERE version = 1), \
                   (SELECT count(*) FROM tasks JOIN orders ON orders.id = order_id)";
    let counts = cluster.execute("postgres", sql).unwrap();
    assert_eq!(counts, [orders.to_string().as_str(); 5].join("|"));
}
