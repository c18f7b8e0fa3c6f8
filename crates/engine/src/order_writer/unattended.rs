//! Decisions on orders that no client waits for: those of tasks, and of reports of a payment provider.

use std::sync::Arc;

use dabba_domain::{
    OrderId, Timestamp,
    order::{Decision, Order},
    restaurant::RestaurantSettings,
};
use dabba_store::{ClaimedTask, Store, TaskLease, TaskRecord};

use super::{Decide, OrderWriter, Outcome, Proposal, Verdict};
use crate::{CatalogueEntry, Clock, Error, catalogue::CatalogueCache};

/// Decides on orders that no client waits for.
pub(crate) struct Unattended {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) catalogue_cache: Arc<CatalogueCache>,
    pub(crate) writer: Arc<OrderWriter>,
}

impl Unattended {
    /// Decides on an order and writes the decision. With a lease, the write also completes the task; without one, an
    /// empty decision is not written. When the order changes between the decision and the write, the engine decides
    /// again.
    pub(crate) async fn conclude(
        &self,
        order_id: OrderId,
        lease: Option<TaskLease>,
        verdict: impl Fn(&Order, &RestaurantSettings, Timestamp) -> Result<Verdict<Progress>, Error> + Send + Sync,
    ) -> Result<Outcome<Progress>, Error> {
        self.writer.decide_and_write(Concluding { unattended: self, order_id, lease, verdict }).await
    }

    /// Returns an order and its restaurant's catalogue.
    async fn order_with_catalogue(&self, id: OrderId) -> Result<(Order, Arc<CatalogueEntry>), Error> {
        let order = self.store.order(id).await?.ok_or(Error::NotFound("order"))?;
        let entry = self.catalogue_cache.get(order.details.restaurant_id).await?;
        Ok((order, entry))
    }
}

/// Returns the order that a leased task is about. Stores lease no task that does not fit the rules of its kind, so another
/// subject is a defect.
pub(crate) fn order_of(claimed: &ClaimedTask) -> Result<OrderId, Error> {
    let TaskRecord { subject, kind, .. } = &claimed.task;
    subject
        .order_id()
        .ok_or_else(|| Error::Internal(format!("a task of the kind {kind} is about the {subject}")))
}

/// Result of an execution.
pub(crate) enum Progress {
    /// The task is completed and deleted: by the order's commit, or by [`dabba_store::TaskStore::complete_task`].
    Completed,
    /// The task is not due before this time.
    NotBefore(Timestamp),
}

/// A task, or a report without a task, that is being decided on its order.
struct Concluding<'a, F> {
    unattended: &'a Unattended,
    order_id: OrderId,
    lease: Option<TaskLease>,
    verdict: F,
}

impl<F> Decide for Concluding<'_, F>
where
    F: Fn(&Order, &RestaurantSettings, Timestamp) -> Result<Verdict<Progress>, Error> + Send + Sync,
{
    type Result = Progress;

    async fn decide(&mut self) -> Result<Verdict<Progress>, Error> {
        let (order, entry) = self.unattended.order_with_catalogue(self.order_id).await?;
        if order.is_written_by_newer {
            // This server cannot decide on the order, not even that nothing has to be done.
            return Err(Error::WrittenByNewer);
        }
        let verdict = (self.verdict)(&order, &entry.restaurant().settings, self.unattended.clock.now())?;
        Ok(match (verdict, self.lease) {
            (Verdict::Write(mut proposal, progress), Some(lease)) => {
                proposal.conditions.completes = Some(lease);
                Verdict::Write(proposal, progress)
            }
            (Verdict::Write(proposal, progress), None) if proposal.is_empty() => Verdict::Conclude(progress),
            (verdict, _) => verdict,
        })
    }
}

/// Returns the verdict that completes a task with this decision.
pub(crate) fn complete(order: &Order, decision: Decision) -> Verdict<Progress> {
    Verdict::Write(Proposal::unattended(order, decision), Progress::Completed)
}

/// Returns the verdict that completes a task without changing its order.
pub(crate) fn complete_unchanged(order: &Order) -> Verdict<Progress> {
    complete(order, Decision::unchanged(order))
}
