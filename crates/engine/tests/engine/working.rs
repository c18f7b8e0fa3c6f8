//! Helpers for tests with task workers: starting workers, and waiting for their effects.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    OrderId,
    order::{Closure, Event, ExpiryReason, Order, OrderStatus},
    task::TaskKind,
};
use dabba_engine::{Engine, EngineConfig, TaskConfig, TaskOutcome};
use dabba_store::OrderStore as _;
use jiff::SignedDuration;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::world::{World, config, dal};

/// Maximum time to wait for an expected effect.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// Interval at which [`eventually`] checks its condition.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Maximum number of seconds of the world's clock until the expected state. Backoff and leases are far shorter.
const MAX_SECONDS: u32 = 20_000;

/// Number of dal in stock. Each order takes two.
pub(crate) const STOCK: u32 = 1_000;

/// Returns a configuration with frequent polls for tasks.
pub(crate) fn working_config() -> EngineConfig {
    with_tasks(|_| {})
}

/// Returns a configuration with frequent polls and further changes.
pub(crate) fn with_tasks(change: impl FnOnce(&mut TaskConfig)) -> EngineConfig {
    let mut tasks = TaskConfig { poll_interval: Duration::from_millis(1), ..TaskConfig::default() };
    change(&mut tasks);
    EngineConfig { tasks, ..config() }
}

/// A worker on an engine. Dropping it cancels its tasks.
pub(crate) struct Worker {
    engine: Arc<Engine>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(engine: &Arc<Engine>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.unwrap();
        };
        Self {
            engine: Arc::clone(engine),
            stop: Some(stop),
            running: tokio::spawn(Arc::clone(&engine.work).run(stopped)),
        }
    }

    /// Sends the signal to stop.
    pub(crate) fn signal_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the worker has ended.
    pub(crate) async fn ended(mut self) {
        tokio::time::timeout(MAX_WAIT, &mut self.running).await.unwrap().unwrap();
    }

    /// Stops the worker, and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.signal_stop();
        self.ended().await;
    }

    /// Returns whether the worker still runs when every task of the runtime waits. The runtime must be single-threaded,
    /// and the store must not be executing a call, because it works in real time.
    pub(crate) async fn outlasts_all_other_work(&mut self) -> bool {
        // A paused clock advances only when no task of the runtime can continue.
        tokio::time::pause();
        let ended = tokio::time::timeout(Duration::from_millis(1), &mut self.running).await;
        tokio::time::resume();
        ended.is_err()
    }

    /// Returns the number of leased tasks with this outcome.
    pub(crate) fn count(&self, outcome: TaskOutcome) -> u64 {
        TaskKind::ALL.iter().map(|kind| self.engine.metrics().tasks(*kind, outcome).get()).sum()
    }

    /// Returns the number of leased tasks.
    pub(crate) fn claimed(&self) -> u64 {
        TaskKind::ALL.iter().map(|kind| self.engine.metrics().tasks_claimed(*kind).get()).sum()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Waits until the condition holds. For what the engine publishes without a notification: its counters, its parts and
/// its caches. The calls of the store have notifications; see [`crate::faulty::Watched`].
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    assert!(tokio::time::timeout(MAX_WAIT, wait).await.is_ok(), "never: {what}");
}

impl World {
    /// Creates a world with limited stock and the default time to accept an order.
    pub(crate) async fn with_stock(config: EngineConfig) -> Self {
        let world = Self::with(config).await;
        world.limit_stock("dal", STOCK).await;
        world
    }

    /// Places an order of two dal.
    pub(crate) async fn place_two(&self, name: &str) -> Order {
        self.place(&dal(2), name).await.unwrap().order
    }

    /// Returns the remaining stock of dal.
    pub(crate) async fn stock_of_dal(&self) -> u32 {
        self.engine.catalogue.stock(&self.staff, self.restaurant_id).await.unwrap()[0].remaining
    }

    /// Moves the clock to the order's deadline.
    pub(crate) fn advance_to_deadline(&self, order: &Order) {
        let deadline = order.acceptance_deadline.unwrap();
        self.clock.advance(deadline.duration_since(self.engine.now()));
    }

    /// Waits until this many commits are queued behind the batch in flight.
    pub(crate) async fn until_queued(&self, commits: usize) {
        let commits = i64::try_from(commits).unwrap();
        eventually("the commits are queued", async || self.engine.metrics().queue_depth.get() == commits)
            .await;
    }

    /// Waits until workers have polled at the present time of the world's clock.
    pub(crate) async fn polled(&self) {
        let before = self.store.claims_begun.get();
        // The first of the two polls may have read the clock earlier.
        self.store.claims_begun.until("workers poll for tasks", |calls| *calls >= before + 2).await;
    }

    /// Advances the clock second by second until no order waits to be accepted.
    pub(crate) async fn until_no_order_waits(&self) {
        for _ in 0..MAX_SECONDS {
            if self.orders().await.iter().all(|order| order.status != OrderStatus::Confirmed) {
                return;
            }
            self.polled().await;
            self.clock.advance(SignedDuration::from_secs(1));
        }
        panic!("an order still waits: {:?}", self.orders().await);
    }

    /// Advances the clock until no task is left.
    pub(crate) async fn until_no_tasks(&self, worker: &Worker) {
        for _ in 0..MAX_SECONDS {
            self.polled().await;
            self.clock.advance(SignedDuration::from_mins(10));
            let before = worker.claimed();
            self.polled().await;
            if worker.claimed() == before {
                return;
            }
        }
        panic!("tasks are still claimed");
    }

    pub(crate) async fn read(&self, id: OrderId) -> Order {
        self.engine.orders.order(&self.admin, id).await.unwrap()
    }

    /// Asserts that the order has expired exactly once.
    pub(crate) async fn check_expired_once(&self, id: OrderId) {
        let order = self.read(id).await;
        assert_eq!(
            (order.status, order.closure),
            (OrderStatus::Cancelled, Some(Closure::Expired { waited_for: ExpiryReason::Restaurant }))
        );
        let history = self.store.events(id, 0, u32::MAX).await.unwrap();
        let expiries = history.iter().filter(|event| matches!(event.event, Event::Expired { .. }));
        assert_eq!(expiries.count(), 1, "{history:?}");
    }
}
