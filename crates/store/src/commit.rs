//! The write: one [`Commit`] is one atomic intention, and a batch of them is one transaction.

use std::sync::Arc;

use dabba_domain::{
    OrderId, RestaurantId, Timestamp,
    menu::UnavailableItem,
    order::{Event, Order, RecordedEvent, StockDraw, Version},
    restaurant::Revision,
    text::Slug,
};

use crate::{Claim, NewTask, StoreError, TaskLease};

/// One atomic intention on one order: all of it is written, or nothing.
///
/// The conditions are checked in this order, and the first that fails is the outcome: that the store
/// holds the bucket, the claim, the lease, the version, the catalogue, the stock.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The order.
    pub order_id: OrderId,
    /// The order's restaurant: the other half of the claim's scope, and the owner of the stock.
    pub restaurant_id: RestaurantId,
    /// When it was decided.
    pub at: Timestamp,
    /// The version on which the decision was made; 0 when the order must not exist yet.
    pub expected_version: Version,
    /// What changes; `None` when the command had been carried out before and only the claim or
    /// the task is settled.
    pub change: Option<Change>,
    /// The idempotency key under which this is done.
    pub claim: Option<Claim>,
    /// The catalogue from which the order was priced.
    pub catalogue: Option<CatalogueGuard>,
    /// What is taken from or returned to limited stock.
    pub stock: Vec<StockChange>,
    /// Items that become unavailable. A mark is never shortened: the later end holds, and a mark without an end
    /// stays without one. The availability's revision goes up if a mark changes; later commits of the batch meet
    /// the new revision. The menu is not asked whether the items are on it.
    pub unavailable: Vec<UnavailableItem>,
    /// Work that follows.
    pub tasks: Vec<NewTask>,
    /// The task whose result this is.
    pub completes: Option<TaskLease>,
}

impl Commit {
    /// Whether this can be a commit at all, as far as can be told without the store. Every store asks
    /// this of every commit before it writes the first of a batch: what would break the history (I4)
    /// is refused, whoever made it.
    ///
    /// What is wrong is a defect in the caller, hence [`StoreError::Corrupt`].
    pub fn check(&self) -> Result<(), StoreError> {
        let defect =
            |what: &str| Err(StoreError::Corrupt(format!("a commit on {:?}: {what}", self.order_id)));
        // Whatever has one id finds the shard by its bucket; all of them have to lead to the same one.
        let bucket = self.restaurant_id.bucket();
        if self.order_id.bucket() != bucket {
            return defect("it is not in its restaurant's bucket");
        }
        let mut task_ids = self.tasks.iter().map(|task| task.id);
        if task_ids.any(|id| id.bucket() != bucket)
            || self.completes.is_some_and(|lease| lease.task_id.bucket() != bucket)
        {
            return defect("a task is not in its order's bucket");
        }
        if self.tasks.iter().any(|task| task.order_id != self.order_id) {
            return defect("a task is about another order");
        }
        let Some(Change { order, events }) = &self.change else { return Ok(()) };
        if order.id != self.order_id || events.iter().any(|event| event.order_id != self.order_id) {
            return defect("the change is of another order");
        }
        if order.details.restaurant_id != self.restaurant_id {
            return defect("the change is of another restaurant's order");
        }
        if events.is_empty()
            || (self.expected_version + 1..).zip(events).any(|(version, event)| event.version != version)
        {
            return defect("the events are not numbered on from the expected version");
        }
        if events.last().map(|event| event.version) != Some(order.version) {
            return defect("the order is not at the version of the last event");
        }
        for recorded in events {
            match &recorded.event {
                // Mostly they are the same in memory, too, and need not be compared.
                Event::Placed(details)
                    if recorded.version == 1
                        && (Arc::ptr_eq(details, &order.details) || *details == order.details) => {}
                Event::Placed(_) => return defect("it is placed late, or not with what it holds"),
                _ if recorded.version == 1 => return defect("it begins without being placed"),
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
    /// At least one event, numbered on from the expected version.
    pub events: Vec<RecordedEvent>,
}

/// The commit holds only while the restaurant and its menu are as they were when it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueGuard {
    /// The restaurant's revision.
    pub restaurant_revision: Revision,
    /// The menu's revision.
    pub menu_revision: Revision,
    /// The revision of what is unavailable.
    pub availability_revision: Revision,
}

/// A change of limited stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockChange {
    /// Takes; fails when there is not as much, or when the item has no stock kept at all.
    Take(StockDraw),
    /// Gives back; nothing happens when the item's stock is no longer kept.
    Return(StockDraw),
}

/// How one [`Commit`] of a batch ended. What is not `Committed` has written nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is written and durable.
    Committed,
    /// The key had been claimed for the same request, which led to this version of this order.
    Replayed {
        /// The order.
        order_id: OrderId,
        /// Its version after that request.
        version: Version,
    },
    /// The key had been claimed for another request.
    KeyReused,
    /// The key had been claimed by a newer version of Dabba, in a way that only that version can compare.
    NewerClaim,
    /// The order is at another version than expected.
    VersionConflict {
        /// The version at which it is; 0 when there is no such order.
        current: Version,
    },
    /// The restaurant, its menu or the availability of an item has changed.
    CatalogueChanged,
    /// There is not enough of these.
    OutOfStock(Vec<StockShortage>),
    /// The task is no longer leased under this token.
    LeaseLost,
    /// The store does not hold the order's bucket any more: it has been given to another shard, which
    /// this process has not been told of yet.
    Moved,
}

/// Of one item there is less than was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockShortage {
    /// The item.
    pub item: Slug,
    /// How many there are.
    pub available: u32,
}
