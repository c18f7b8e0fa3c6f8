//! Post-commit actions: wake workers, count, update caches, notify the follower of the feed.
//!
//! The committer runs the post-commit actions before it answers. The request's own future does not run them, so they
//! also run when the client disconnects. An action must not wait or read the store, because the next batch would wait
//! for it. An action cannot make the request fail, because the commit is done.
//!
//! One action needs the store: after items are marked as unavailable, the restaurant's catalogue is read again. A
//! follower of the shard reads it ([`Followers`]); the request waits for the follower, the committer does not.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{
    Bucket, OrderId, RestaurantId,
    menu::UnavailableItem,
    order::{Order, OrderStatus},
    task::{TaskKind, TaskQueue},
};
use dabba_store::{CommitOutcome, Need, Store, Supervisor};
use futures::future::join_all;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    CatalogueEntry, CommitSignals, EngineMetrics, TaskOutcome,
    catalogue::CatalogueCache,
    orders::{OpenChange, OpenOrders, RecentOrders},
    work::{ANNOUNCEMENT_INTERVAL, WorkerSignals},
};

/// Maximum number of catalogues per shard in the reload queue. When the queue is full, the next poll for changed
/// catalogues reloads the catalogue ([`crate::EngineConfig::catalogue_poll_interval`]); until then the commit's guard
/// refuses decisions based on the stale catalogue.
const MAX_WAITING_CATALOGUES: usize = 256;

/// Maximum number of catalogues of a shard that are read concurrently.
const CATALOGUES_AT_ONCE: usize = 4;

/// Effect of a commit on the cache of recent orders.
pub(crate) enum CacheChange {
    /// Caches the order as written.
    Insert(Arc<Order>),
    /// Removes the order from the cache.
    Remove(OrderId),
    /// Leaves the cache unchanged.
    Keep,
}

/// Post-commit actions of one commit, run if the commit is written.
pub(crate) struct PostCommit {
    /// The bucket of the order.
    pub(crate) bucket: Bucket,
    /// Queues with tasks of the commit that are due now.
    pub(crate) due: Vec<TaskQueue>,
    /// Kind and number of the commit's tasks for admins.
    pub(crate) for_admins: Option<(TaskKind, u64)>,
    /// The status that the order reached, if the commit changed it.
    pub(crate) moved_to: Option<OrderStatus>,
    pub(crate) cache_change: CacheChange,
    /// How the commit changes the customer's number of open orders.
    pub(crate) open: Option<OpenChange>,
    /// The catalogue that the commit changed, if any.
    pub(crate) catalogue: Option<Box<ChangedCatalogue>>,
}

/// A catalogue changed by a commit.
pub(crate) struct ChangedCatalogue {
    pub(crate) restaurant_id: RestaurantId,
    /// The items that were marked as unavailable.
    pub(crate) unavailable: Vec<UnavailableItem>,
    /// Dropped when the cached catalogue contains the marks, or when the reload is left to the next poll.
    pub(crate) done: oneshot::Sender<()>,
}

/// Runs post-commit actions.
pub(crate) struct PostCommits {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) recent: Arc<RecentOrders>,
    pub(crate) open_orders: Arc<OpenOrders>,
    pub(crate) signals: Arc<WorkerSignals>,
    /// Notified by the committer once per batch.
    pub(crate) commit_signals: Arc<CommitSignals>,
    pub(crate) followers: Followers,
}

impl PostCommits {
    /// Runs the actions that match the outcome of a commit.
    pub(crate) fn run(&self, post: PostCommit, outcome: &CommitOutcome) {
        match outcome {
            CommitOutcome::Committed => self.committed(post),
            CommitOutcome::VersionConflict { .. } | CommitOutcome::CatalogueChanged => {
                self.metrics.decision_retries.inc();
            }
            _ => {}
        }
    }

    fn committed(&self, post: PostCommit) {
        let PostCommit { bucket, due, for_admins, moved_to, cache_change, open, catalogue } = post;
        self.notify_workers(bucket, &due);
        if let Some((kind, count)) = for_admins {
            self.metrics.tasks(kind, TaskOutcome::Parked).inc_by(count);
        }
        if let Some(status) = moved_to {
            self.metrics.count_order(status);
        }
        match cache_change {
            CacheChange::Insert(order) => self.recent.insert(order),
            CacheChange::Remove(id) => self.recent.remove(id),
            CacheChange::Keep => {}
        }
        if let Some(change) = open {
            self.open_orders.apply(&change);
        }
        if let Some(changed) = catalogue {
            self.followers.follow(self.store.shard_of(bucket), *changed);
        }
    }

    /// Notifies workers about due tasks in `queues`, for orders of this bucket among others: the workers of this
    /// process, or those of other processes if this process has none.
    pub(crate) fn notify_workers(&self, bucket: Bucket, queues: &[TaskQueue]) {
        if self.signals.has_workers() {
            return self.signals.wake(queues);
        }
        for queue in queues.iter().copied() {
            // A worker that starts in this process later sees the notification too.
            self.signals.wake(&[queue]);
            if self.signals.announcement(queue).swap(true, Ordering::Relaxed) {
                continue;
            }
            let (store, signals) = (Arc::clone(&self.store), Arc::clone(&self.signals));
            tokio::spawn(async move {
                tokio::time::sleep(ANNOUNCEMENT_INTERVAL).await;
                signals.announcement(queue).store(false, Ordering::Relaxed);
                store.announce_tasks(bucket, queue).await;
            });
        }
    }
}

/// Followers that read changed catalogues again. Each shard has its own follower, so that a shard that hangs delays no
/// other.
pub(crate) struct Followers(Vec<mpsc::Sender<ChangedCatalogue>>);

impl Followers {
    /// Starts one follower per shard. The followers end when this value is dropped.
    pub(crate) fn start(
        shards: usize,
        catalogue_cache: &Arc<CatalogueCache>,
        supervisor: &Arc<Supervisor>,
    ) -> Self {
        let start = |shard| {
            let (sender, receiver) = mpsc::channel(MAX_WAITING_CATALOGUES);
            let queue = Arc::new(Mutex::new(receiver));
            let (catalogue_cache, supervisor) = (Arc::clone(catalogue_cache), Arc::clone(supervisor));
            tokio::spawn(async move {
                let part = supervisor.part(format!("catalogue_follower_{shard}"), Need::Helpful);
                supervisor.run(&part, || follow(Arc::clone(&queue), Arc::clone(&catalogue_cache))).await;
            });
            sender
        };
        Self((0..shards).map(start).collect())
    }

    fn follow(&self, shard: usize, changed: ChangedCatalogue) {
        if let Some(queue) = self.0.get(shard)
            && let Err(error) = queue.try_send(changed)
        {
            let restaurant = error.into_inner().restaurant_id;
            tracing::debug!(%restaurant, "the reload queue is full; the next poll reloads this catalogue");
        }
    }
}

/// Reads changed catalogues again until the queue is closed.
async fn follow(
    queue: Arc<Mutex<mpsc::Receiver<ChangedCatalogue>>>,
    catalogue_cache: Arc<CatalogueCache>,
) -> Result<(), String> {
    // Only one run at a time follows. The lock lets the queue survive a run that panics.
    let mut queue = queue.lock().await;
    let mut changed = Vec::with_capacity(CATALOGUES_AT_ONCE);
    while queue.recv_many(&mut changed, CATALOGUES_AT_ONCE).await > 0 {
        join_all(changed.drain(..).map(async |changed: ChangedCatalogue| {
            let ChangedCatalogue { restaurant_id, unavailable, done } = changed;
            let is_known = |entry: &CatalogueEntry| {
                let present = &entry.catalogue.unavailable;
                present.extended(&unavailable) == *present
            };
            catalogue_cache.refresh_unless(restaurant_id, is_known).await;
            drop(done);
        }))
        .await;
    }
    Ok(())
}
