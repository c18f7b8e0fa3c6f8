//! Post-commit actions: wake workers, count, update caches.
//!
//! The committer runs these actions before it answers. The future of the request does not, so a client that
//! disconnects changes nothing. No action waits or reads the store: the next batch must not wait for it. An action
//! cannot fail the caller, whose commit is done.
//!
//! One action needs the store: after items were marked unavailable, the restaurant's catalogue is read again. A
//! follower of the shard does that ([`Followers`]); the request waits for it, the committer does not.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{
    Bucket, OrderId, RestaurantId,
    menu::UnavailableItem,
    order::{Order, OrderStatus, TaskKind, TaskQueue},
};
use dabba_store::{CommitOutcome, Need, Store, Supervisor};
use futures::future::join_all;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    CatalogueEntry, EngineMetrics, TaskOutcome,
    catalogue::CatalogueCache,
    nudge::{ANNOUNCEMENT_INTERVAL, Nudges},
    orders::{OpenChange, OpenOrders, RecentOrders},
};

/// Maximum number of catalogues per shard in the reload queue. When the queue is full, the next poll for changed catalogues
/// reloads the catalogue ([`crate::EngineConfig::catalogue_poll_interval`]), and until then the commit's
/// guard refuses what was decided on the stale catalogue.
const MAX_WAITING_CATALOGUES: usize = 256;

/// Maximum number of catalogues of a shard that are read at the same time.
const CATALOGUES_AT_ONCE: usize = 4;

/// How a commit changes the cache of recent orders.
pub(crate) enum Memory {
    /// Remembers the order as it was written.
    Remember(Arc<Order>),
    /// Forgets the order.
    Forget(OrderId),
    /// Stays as it is.
    Keep,
}

/// What follows from one commit if it is written.
pub(crate) struct PostCommit {
    /// The bucket of the order.
    pub(crate) bucket: Bucket,
    /// The queues in which tasks of the commit can begin now.
    pub(crate) due: Vec<TaskQueue>,
    /// The commit's tasks for people, by kind.
    pub(crate) for_people: Option<(TaskKind, u64)>,
    /// The status to which the order has come.
    pub(crate) moved_to: Option<OrderStatus>,
    pub(crate) memory: Memory,
    /// How the commit changes the customer's count of open orders.
    pub(crate) open: Option<OpenChange>,
    /// The catalogue that the commit has changed.
    pub(crate) catalogue: Option<Box<ChangedCatalogue>>,
}

/// A catalogue that a commit has changed.
pub(crate) struct ChangedCatalogue {
    pub(crate) restaurant_id: RestaurantId,
    /// The items that were marked.
    pub(crate) unavailable: Vec<UnavailableItem>,
    /// Dropped when memory follows, or is left to the next poll.
    pub(crate) done: oneshot::Sender<()>,
}

/// Runs what follows from commits.
pub(crate) struct PostCommits {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) recent: Arc<RecentOrders>,
    pub(crate) open_orders: Arc<OpenOrders>,
    pub(crate) nudges: Arc<Nudges>,
    pub(crate) followers: Followers,
}

impl PostCommits {
    /// Runs what follows from a commit that ended so.
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
        let PostCommit { bucket, due, for_people, moved_to, memory, open, catalogue } = post;
        self.tell_of_tasks(bucket, &due);
        if let Some((kind, count)) = for_people {
            self.metrics.tasks(kind, TaskOutcome::GivenUp).inc_by(count);
        }
        if let Some(status) = moved_to {
            self.metrics.count_order(status);
        }
        match memory {
            Memory::Remember(order) => self.recent.remember(order),
            Memory::Forget(id) => self.recent.forget(id),
            Memory::Keep => {}
        }
        if let Some(change) = open {
            self.open_orders.apply(&change);
        }
        if let Some(changed) = catalogue {
            self.followers.follow(self.store.shard_of(bucket), *changed);
        }
    }

    /// Tells workers that there are tasks of these queues to do at once, among others for orders of this bucket: those
    /// of this process, or, where it has none, those of others.
    pub(crate) fn tell_of_tasks(&self, bucket: Bucket, queues: &[TaskQueue]) {
        if self.nudges.has_workers() {
            return self.nudges.nudge(queues);
        }
        for queue in queues.iter().copied() {
            // A worker that starts here later finds the tasks as well.
            self.nudges.nudge(&[queue]);
            if self.nudges.announcement(queue).swap(true, Ordering::Relaxed) {
                continue;
            }
            let (store, nudges) = (Arc::clone(&self.store), Arc::clone(&self.nudges));
            tokio::spawn(async move {
                tokio::time::sleep(ANNOUNCEMENT_INTERVAL).await;
                nudges.announcement(queue).store(false, Ordering::Relaxed);
                store.announce_tasks(bucket, queue).await;
            });
        }
    }
}

/// Read changed catalogues again, each those of one shard, so that a shard that hangs holds up no other.
pub(crate) struct Followers(Vec<mpsc::Sender<ChangedCatalogue>>);

impl Followers {
    /// Starts one for each shard. They end when this is dropped.
    pub(crate) fn start(
        shards: usize,
        catalogues: &Arc<CatalogueCache>,
        supervisor: &Arc<Supervisor>,
    ) -> Self {
        let start = |shard| {
            let (sender, receiver) = mpsc::channel(MAX_WAITING_CATALOGUES);
            let queue = Arc::new(Mutex::new(receiver));
            let (catalogues, supervisor) = (Arc::clone(catalogues), Arc::clone(supervisor));
            tokio::spawn(async move {
                let part = supervisor.part(format!("catalogue_follower_{shard}"), Need::Helpful);
                supervisor.run(&part, || follow(Arc::clone(&queue), Arc::clone(&catalogues))).await;
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
            tracing::debug!(%restaurant, "too many changed catalogues wait; the next poll reads this one");
        }
    }
}

/// Reads changed catalogues again until there can be no more.
async fn follow(
    queue: Arc<Mutex<mpsc::Receiver<ChangedCatalogue>>>,
    catalogues: Arc<CatalogueCache>,
) -> Result<(), String> {
    // Only one run at a time follows; the lock lets the queue outlive a run that panics.
    let mut queue = queue.lock().await;
    let mut changed = Vec::with_capacity(CATALOGUES_AT_ONCE);
    while queue.recv_many(&mut changed, CATALOGUES_AT_ONCE).await > 0 {
        join_all(changed.drain(..).map(async |changed: ChangedCatalogue| {
            let ChangedCatalogue { restaurant_id, unavailable, done } = changed;
            let is_known = |entry: &CatalogueEntry| {
                let present = &entry.catalogue.unavailable;
                present.extended(&unavailable) == *present
            };
            catalogues.follow(restaurant_id, is_known).await;
            drop(done);
        }))
        .await;
    }
    Ok(())
}
