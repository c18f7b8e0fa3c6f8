//! The write: one [`Commit`] is one atomic change, and a batch of commits is one transaction.

use std::sync::Arc;

use dabba_domain::{
    OrderId, RestaurantId, Timestamp,
    menu::UnavailableItem,
    order::{Event, Order, RecordedEvent, StockDraw, Version},
    restaurant::Revision,
    task::TaskSubject,
    text::Slug,
};

use crate::{Claim, NewTask, StoreError, TaskLease};

/// One atomic change of one order: the store writes all of it or nothing.
///
/// The store checks the conditions in this order and returns the first failure: that the store holds the bucket, the
/// claim, the lease, the version, the catalogue, the stock.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The order.
    pub order_id: OrderId,
    /// The order's restaurant. It completes the claim's scope and owns the stock.
    pub restaurant_id: RestaurantId,
    /// Time of the decision.
    pub at: Timestamp,
    /// Version on which the decision is based; 0 if the order must not exist yet.
    pub expected_version: Version,
    /// The change of the order; `None` if an earlier request already carried out the command, and this commit only
    /// claims the key or completes the task.
    pub change: Option<Change>,
    /// Idempotency key of the request.
    pub claim: Option<Claim>,
    /// Revisions of the catalogue from which the order was priced.
    pub catalogue: Option<CatalogueGuard>,
    /// Changes of limited stock.
    pub stock: Vec<StockChange>,
    /// Items that become unavailable. A commit never shortens a mark: the later end wins, and a mark without an end
    /// keeps no end. The availability's revision increases if a mark changes; later commits of the batch see the new
    /// revision. The store does not check whether the items are on the menu.
    pub unavailable: Vec<UnavailableItem>,
    /// Tasks of the order that follow from the change.
    pub tasks: Vec<NewTask>,
    /// Lease of the order's task that this commit completes.
    pub completes: Option<TaskLease>,
}

impl Commit {
    /// Checks whether this commit is consistent in itself, without the store. Every store calls this check for every
    /// commit before it writes the first commit of a batch, so that no caller can break the history (I4).
    ///
    /// An inconsistent commit is a defect in the caller, hence [`StoreError::Corrupt`].
    pub fn check(&self) -> Result<(), StoreError> {
        let defect = |what: &str| {
            Err(StoreError::Corrupt(format!("the commit on {:?} is invalid: {what}", self.order_id)))
        };
        // Each of these ids finds its shard by its bucket, so all of them must have the same bucket.
        let bucket = self.restaurant_id.bucket();
        if self.order_id.bucket() != bucket {
            return defect("the order's bucket differs from the bucket of its restaurant");
        }
        let mut task_ids = self.tasks.iter().map(|task| task.id);
        if task_ids.any(|id| id.bucket() != bucket)
            || self.completes.is_some_and(|lease| lease.task_id.bucket() != bucket)
        {
            return defect("a task's bucket differs from the bucket of its order");
        }
        let subject = TaskSubject::Order(self.order_id);
        if self.tasks.iter().any(|task| task.subject != subject)
            || self.completes.is_some_and(|lease| lease.subject != subject)
        {
            return defect("a task is about another order, or about no order");
        }
        self.tasks.iter().try_for_each(NewTask::check)?;
        let Some(Change { order, events }) = &self.change else { return Ok(()) };
        if order.id != self.order_id || events.iter().any(|event| event.order_id != self.order_id) {
            return defect("the change belongs to another order");
        }
        if order.details.restaurant_id != self.restaurant_id {
            return defect("the change belongs to an order of another restaurant");
        }
        if events.is_empty()
            || (self.expected_version + 1..).zip(events).any(|(version, event)| event.version != version)
        {
            return defect("the events are not numbered consecutively from the expected version");
        }
        if events.last().map(|event| event.version) != Some(order.version) {
            return defect("the order's version differs from the version of the last event");
        }
        for recorded in events {
            match &recorded.event {
                // Usually both are the same allocation; the comparison is then unnecessary.
                Event::Placed(details)
                    if recorded.version == 1
                        && (Arc::ptr_eq(details, &order.details) || *details == order.details) => {}
                Event::Placed(_) => {
                    return defect("`placed` is not first, or differs from the order's details");
                }
                _ if recorded.version == 1 => return defect("the first event is not `placed`"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A new state of an order, and the events that led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The order after the last event.
    pub order: Order,
    /// At least one event, numbered consecutively from the expected version plus one.
    pub events: Vec<RecordedEvent>,
}

/// Condition of a commit: the restaurant, its menu and the availability must have the revisions of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueGuard {
    /// The restaurant's revision.
    pub restaurant_revision: Revision,
    /// The menu's revision.
    pub menu_revision: Revision,
    /// The revision of the availability.
    pub availability_revision: Revision,
}

/// A change of limited stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockChange {
    /// Draws from the stock; fails if too little is left, or if the item has no limited stock.
    Take(StockDraw),
    /// Returns to the stock; has no effect if the item's stock is no longer limited.
    Return(StockDraw),
}

/// Outcome of one [`Commit`] of a batch. Every outcome except `Committed` has written nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The commit is written and durable.
    Committed,
    /// The key was already claimed by the same request, which moved this order to this version.
    Replayed {
        /// The order.
        order_id: OrderId,
        /// The order's version after that request.
        version: Version,
    },
    /// The key was already claimed by another request.
    KeyReused,
    /// A newer version of Dabba claimed the key, in a form that only that version can compare.
    NewerClaim,
    /// The order has another version than expected.
    VersionConflict {
        /// The order's current version; 0 if the order does not exist.
        current: Version,
    },
    /// The restaurant, its menu or the availability of an item has changed.
    CatalogueChanged,
    /// The stock of these items is too low.
    OutOfStock(Vec<StockShortage>),
    /// The task is no longer leased under this token.
    LeaseLost,
    /// The store no longer holds the order's bucket: the bucket was moved to another shard, and this process still has
    /// the old shard map.
    Moved,
}

/// An item whose stock is lower than requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockShortage {
    /// The item.
    pub item: Slug,
    /// Number of items left.
    pub available: u32,
}
