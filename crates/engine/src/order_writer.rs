//! Writes of decisions on orders: decide, write, decide again.
//!
//! Every change of an order takes this path, from a request, a task, or a report of a payment provider. A use
//! case implements [`Decide`], and [`OrderWriter::decide_and_write`] runs the loop. The use case knows the data of its
//! decision and reads it again. This module states which outcomes of a commit end the loop.
//!
//! An outcome for which the commit has no condition is a defect of the store, and always an internal error
//! ([`AllowedRefusals`]). Otherwise a task could wait for ever for the defect to pass, and a report of a payment provider
//! could be acknowledged although it was not written.

mod refusals;
mod unattended;

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    OrderId, TaskId,
    order::{Decision, Order, OrderStatus, TaskSpec, Version},
    task::{TaskKind, TaskQueue, TaskSubject},
};
use dabba_store::{CatalogueGuard, Change, Claim, Commit, CommitOutcome, NewTask, StockChange, TaskLease};
use tokio::sync::oneshot;

pub(crate) use unattended::{Progress, Unattended, complete, complete_unchanged, order_of};

use self::refusals::AllowedRefusals;
use crate::{
    Clock, Conflict, Error, Obstacle, Random,
    committer::Committers,
    orders::OpenOrders,
    post_commit::{CacheChange, ChangedCatalogue, PostCommit},
};

/// Maximum time that the answer to a command waits until the restaurant's catalogue is read again. The command is done,
/// so after this time it is answered anyway.
const MAX_FOLLOW_WAIT: Duration = Duration::from_secs(1);

/// A use case that decides on data which may change before the decision is written.
pub(crate) trait Decide: Send {
    /// The result of the use case.
    type Result: Send;

    /// Decides on the data as this use case knows it now.
    fn decide(&mut self) -> impl Future<Output = Result<Verdict<Self::Result>, Error>> + Send;

    /// Prepares the next decision after the data of the last one had changed before the write.
    fn data_changed(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Result of deciding once.
pub(crate) enum Verdict<T> {
    /// Write this decision. The second member is the result once the decision is written.
    Write(Box<Proposal>, T),
    /// Write nothing; the result.
    Conclude(T),
    /// The decision was based on cached data, which cannot justify this verdict: decide again.
    Again,
}

/// How a use case ended.
pub(crate) enum Outcome<T> {
    /// The decision is written, or nothing had to be written.
    Concluded(T),
    /// An earlier request with the same idempotency key is written already.
    Replayed {
        /// The order of the earlier request.
        order_id: OrderId,
        /// The order's version after the earlier request.
        version: Version,
        /// The result if the decision had been written.
        instead_of: T,
    },
    /// Another worker has leased the task.
    LeaseLost,
}

/// A decision and the conditions under which it is written.
pub(crate) struct Proposal {
    pub(crate) decision: Decision,
    pub(crate) conditions: Conditions,
    pub(crate) cache_change: CacheChange,
}

impl Proposal {
    /// Proposes a decision on an order that no client waits for. If the order changes, it is removed from the cache.
    pub(crate) fn unattended(order: &Order, decision: Decision) -> Box<Self> {
        let changes = !decision.events.is_empty();
        let cache_change = if changes { CacheChange::Remove(order.id) } else { CacheChange::Keep };
        Box::new(Self { decision, conditions: Conditions::on(order), cache_change })
    }

    /// Returns whether writing the decision would change nothing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.decision.events.is_empty()
    }
}

/// Conditions under which a decision is written.
pub(crate) struct Conditions {
    /// The version of the order on which the decision is based; 0 for a new order.
    pub(crate) expected_version: Version,
    /// The order's status before the decision, to count changes of the status.
    pub(crate) status_before: Option<OrderStatus>,
    pub(crate) claim: Option<Claim>,
    pub(crate) catalogue: Option<CatalogueGuard>,
    pub(crate) stock: Vec<StockChange>,
    /// The task that the write completes, if it is still leased.
    pub(crate) completes: Option<TaskLease>,
}

impl Conditions {
    /// Requires that the order is still at the version on which the decision is based.
    pub(crate) const fn on(order: &Order) -> Self {
        Self {
            expected_version: order.version,
            status_before: Some(order.status),
            claim: None,
            catalogue: None,
            stock: Vec::new(),
            completes: None,
        }
    }
}

/// Writes decisions on orders.
pub(crate) struct OrderWriter {
    pub(crate) committers: Committers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) open_orders: Arc<OpenOrders>,
    /// Maximum number of attempts of a decision whose data changes before the write.
    pub(crate) max_attempts: u32,
}

impl OrderWriter {
    /// Decides, writes, and decides again while the data of the decision has changed before the write.
    pub(crate) async fn decide_and_write<D: Decide>(&self, case: D) -> Result<Outcome<D::Result>, Error> {
        self.decide_and_write_within(self.max_attempts, case).await
    }

    /// Like [`Self::decide_and_write`], with a maximum number of decisions.
    pub(crate) async fn decide_and_write_within<D: Decide>(
        &self,
        max_attempts: u32,
        mut case: D,
    ) -> Result<Outcome<D::Result>, Error> {
        for _ in 0..max_attempts {
            let (written, result) = match case.decide().await? {
                Verdict::Write(proposal, result) => (self.write(*proposal), result),
                Verdict::Conclude(result) => return Ok(Outcome::Concluded(result)),
                Verdict::Again => continue,
            };
            match written.await? {
                CommitOutcome::Committed => return Ok(Outcome::Concluded(result)),
                CommitOutcome::Replayed { order_id, version } => {
                    return Ok(Outcome::Replayed { order_id, version, instead_of: result });
                }
                CommitOutcome::VersionConflict { .. } | CommitOutcome::CatalogueChanged => {
                    case.data_changed().await?;
                }
                CommitOutcome::LeaseLost => return Ok(Outcome::LeaseLost),
                CommitOutcome::KeyReused => return Err(Error::KeyReused),
                CommitOutcome::NewerClaim => return Err(Error::WrittenByNewer),
                CommitOutcome::OutOfStock(shortages) => {
                    return Err(Conflict::NotOrderable(vec![Obstacle::OutOfStock(shortages)]).into());
                }
                // Another process, which knows the new map, accepts the retry.
                CommitOutcome::Moved => return Err(Error::Unavailable),
            }
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Writes a decision, and returns an outcome that its conditions allow. The decision is queued at once. The decision
    /// is written, and its post-commit actions run, even if the future is dropped.
    fn write(&self, proposal: Proposal) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<> {
        let Proposal { decision, conditions, cache_change } = proposal;
        let refusals = AllowedRefusals::by(&conditions);
        let status = decision.order.status;
        let (catalogue, followed) = changed_catalogue(&decision).unzip();
        let post = PostCommit {
            bucket: decision.order.id.bucket(),
            due: self.due_queues(&decision.tasks),
            for_admins: count_for_admins(&decision),
            moved_to: (conditions.status_before != Some(status)).then_some(status),
            cache_change,
            open: self.open_orders.change(&decision.order, conditions.expected_version == 0),
            catalogue,
        };
        let outcome = self.committers.submit(self.commit_of(decision, conditions), post);
        async move {
            let outcome = outcome.await?;
            refusals.check(&outcome)?;
            if let (CommitOutcome::Committed, Some(followed)) = (&outcome, followed) {
                // Wait, so that the caller's next read contains the marks. Nothing is sent on this channel; its closing
                // is the signal.
                let _ = tokio::time::timeout(MAX_FOLLOW_WAIT, followed).await;
            }
            Ok(outcome)
        }
    }

    /// Returns the commit for a decision.
    fn commit_of(&self, decision: Decision, conditions: Conditions) -> Commit {
        let Decision { order, events, tasks, stock_returned, unavailable } = decision;
        let at = self.clock.now();
        let new_task = |spec: TaskSpec| NewTask {
            id: TaskId::generate(at, order.id.bucket(), self.random.next_u64()),
            subject: TaskSubject::Order(order.id),
            task: spec.task,
            run_at: spec.run_at,
        };
        let tasks = tasks.into_iter().map(new_task).collect();
        let mut stock = conditions.stock;
        stock.extend(stock_returned.into_iter().map(StockChange::Return));
        Commit {
            order_id: order.id,
            restaurant_id: order.details.restaurant_id,
            at,
            expected_version: conditions.expected_version,
            change: (!events.is_empty()).then_some(Change { order, events }),
            claim: conditions.claim,
            catalogue: conditions.catalogue,
            stock,
            unavailable,
            tasks,
            completes: conditions.completes,
        }
    }

    /// Returns the queues that contain at least one of these tasks that is due now and for a worker.
    fn due_queues(&self, tasks: &[TaskSpec]) -> Vec<TaskQueue> {
        if tasks.is_empty() {
            return Vec::new();
        }
        let now = self.clock.now();
        let is_due = |queue| {
            let mut kinds = tasks.iter().filter(|spec| spec.run_at <= now).map(|spec| spec.task.kind());
            kinds.any(|kind| kind.queue() == queue && !kind.needs_admin())
        };
        TaskQueue::ALL.iter().copied().filter(|queue| is_due(*queue)).collect()
    }
}

/// Returns the catalogue that a decision changes, and the receiver that is closed when the catalogue is reloaded.
fn changed_catalogue(decision: &Decision) -> Option<(Box<ChangedCatalogue>, oneshot::Receiver<()>)> {
    if decision.unavailable.is_empty() {
        return None;
    }
    let (done, followed) = oneshot::channel();
    let (restaurant_id, unavailable) = (decision.order.details.restaurant_id, decision.unavailable.clone());
    Some((Box::new(ChangedCatalogue { restaurant_id, unavailable, done }), followed))
}

/// Returns the kind and number of a decision's tasks for admins, which are parked when they are written.
fn count_for_admins(decision: &Decision) -> Option<(TaskKind, u64)> {
    let kinds = decision.tasks.iter().map(|spec| spec.task.kind());
    let count = kinds.filter(|kind| kind.needs_admin()).count();
    u64::try_from(count).ok().filter(|count| *count > 0).map(|count| (TaskKind::Review, count))
}
