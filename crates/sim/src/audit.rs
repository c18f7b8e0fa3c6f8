//! The auditor: reads all orders of a store, and reports everything in them that breaks an invariant.
//!
//! It asks the store what is there and believes nothing else. What the rest of Dabba computes when it
//! writes, the auditor computes again in its own way: it has a table of legal moves of its own
//! (`moves`), replays histories itself (`history`, `payment`), adds amounts up in wide integers (`money`),
//! and keeps books of its own (`ledger`). A defect in the domain therefore does not hide itself.
//!
//! To add a check: a [`Code`], the check where it belongs, a line in `docs/operations/audit.md`, and a
//! test in `tests/audit` that plants it. The tests fail until all of these are there.
//!
//! Everything comes in pages and is let go of again: how much there is does not matter for the memory
//! that it takes. What has to be known of many orders at once, to see whether each has its task
//! (`tasks`) and no two keys (`claims`), is bounded too: when it is more, the tasks, or the keys, are
//! read several times. So no index is needed for it. Orders may change meanwhile; see [`audit`].
//!
//! Tried and rejected: to look up the tasks of each order, which would take an index on them that every order
//! that is placed would pay for.

mod bounds;
mod claims;
mod code;
mod gateway;
mod history;
mod ledger;
mod money;
mod moves;
mod orders;
mod payment;
mod report;
mod returns;
mod stock;
mod tasks;
mod waiting;

use std::collections::{HashMap, HashSet};

use dabba_domain::{OrderId, Timestamp, order::Order};
use dabba_store::{AuditStore, Listing, OrderStore, PageSize, StoreError};
use jiff::SignedDuration;

use self::bounds::Bounds;
pub use self::{
    code::{Code, Severity, table},
    gateway::{GatewayLedger, GatewaySummary},
    report::{Finding, Report},
};

/// Orders, tasks, keys or items of stock read at once.
const PAGE: PageSize = PageSize::new(PageSize::MAX).unwrap();
/// How often an order that seems wrong is read again while it keeps changing.
const MAX_REREADS: u32 = 5;

/// When an order is conspicuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// The time, for what should have happened by now.
    pub now: Timestamp,
    /// How long after the acceptance deadline an order may still wait for an answer.
    pub unanswered_after: SignedDuration,
    /// How long an order may be without any change on its way from the kitchen to the door; in the
    /// kitchen, after the time for which it was promised.
    pub stuck_after: SignedDuration,
    /// How long after its last change an order that has ended may have an open payment, and any order not
    /// know what its payment provider has done.
    pub payment_open_after: SignedDuration,
    /// How long after its time a task may wait to be done.
    pub overdue_after: SignedDuration,
}

impl AuditOptions {
    /// The thresholds that fit most: 15 minutes for an answer and for a task, 4 hours on the way, an
    /// hour for a payment.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            unanswered_after: SignedDuration::from_mins(15),
            stuck_after: SignedDuration::from_hours(4),
            payment_open_after: SignedDuration::from_hours(1),
            overdue_after: SignedDuration::from_mins(15),
        }
    }
}

/// An audit could not look at everything, and so says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A page of orders could not be read. When one of them cannot be decoded, it is the first or second of
    /// the page.
    #[error("orders cannot be read ({}): {error}", place(*.behind))]
    Orders {
        /// The last order before them; none for the first page.
        behind: Option<OrderId>,
        /// Why.
        error: StoreError,
    },
    /// An order could not be read.
    #[error("order {order_id} cannot be read: {error}")]
    Order {
        /// The order.
        order_id: OrderId,
        /// Why.
        error: StoreError,
    },
    /// The payment provider did not say what it did for an order.
    #[error("the payment provider does not say what it did for order {order_id}: {error}")]
    Gateway {
        /// The order.
        order_id: OrderId,
        /// Why, in the provider's words.
        error: String,
    },
    /// A part of the store did not answer, so that orders may be missing.
    #[error("a shard does not answer ({}), and its orders would be missing", place(*.behind))]
    Incomplete {
        /// The last order before the gap; none for the first page.
        behind: Option<OrderId>,
    },
    /// A list of something else could not be read.
    #[error("{what} cannot be read: {error}")]
    List {
        /// Of what.
        what: &'static str,
        /// Why.
        error: StoreError,
    },
    /// A part of the store did not answer, so that some of a list may be missing.
    #[error("a shard does not answer, and its {what} would be missing")]
    IncompleteList {
        /// Of what.
        what: &'static str,
    },
}

fn place(behind: Option<OrderId>) -> String {
    behind.map_or("the newest".to_owned(), |id| format!("those older than {id}"))
}

/// Looks at every order that is in the store when this begins, and at its events; at what the payment
/// provider did for those that are paid by card, where it can be asked; and at all tasks, idempotency
/// keys and limited stock.
///
/// Orders may be placed and changed meanwhile. One that seems wrong may only have been read while it
/// changed; it is read again until it stands still, a bounded number of times, and judged then. An error
/// means that not everything could be looked at.
pub async fn audit<S: OrderStore + AuditStore + ?Sized>(
    store: &S,
    gateway: Option<&dyn GatewayLedger>,
    options: &AuditOptions,
) -> Result<Report, AuditError> {
    let bounds = Bounds::DEFAULT;
    Audit { store, gateway, options, bounds, report: Report::default() }.run().await
}

/// An audit that is being made.
struct Audit<'a, S: ?Sized> {
    store: &'a S,
    gateway: Option<&'a dyn GatewayLedger>,
    options: &'a AuditOptions,
    bounds: Bounds,
    report: Report,
}

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    async fn run(mut self) -> Result<Report, AuditError> {
        let damage = self.find_damage().await;
        match (self.walk().await, damage) {
            // What cannot be read of damaged storage has been explained.
            (Ok(()) | Err(_), Ok(true)) | (Ok(()), Ok(false)) => Ok(self.report),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        }
    }

    /// Looks at everything that is kept in the store.
    async fn walk(&mut self) -> Result<(), AuditError> {
        let waiting = self.walk_orders().await?;
        // In this order: a task that an order waited for can only be gone when the order has moved on.
        self.find_tasks(waiting, tasks::Walk::Judge).await?;
        self.walk_claims().await?;
        self.walk_stock().await
    }

    /// Asks the store whether its storage is damaged. Returns whether it is.
    async fn find_damage(&mut self) -> Result<bool, AuditError> {
        let damage = self.store.damage().await;
        let damage = damage.map_err(|error| AuditError::List { what: "the storage", error })?;
        for text in &damage {
            self.report.add(Finding::of_no_order(Code::StorageDamaged, text));
        }
        Ok(!damage.is_empty())
    }
}

/// A page of a list, whole.
fn whole<T>(what: &'static str, page: Result<Listing<T>, StoreError>) -> Result<Vec<T>, AuditError> {
    match page {
        Ok(page) if page.incomplete => Err(AuditError::IncompleteList { what }),
        Ok(page) => Ok(page.entries),
        Err(error) => Err(AuditError::List { what, error }),
    }
}

/// Whether there may be more behind a page.
fn is_full<T>(page: &[T]) -> bool {
    u32::try_from(page.len()).is_ok_and(|count| count >= PAGE.get())
}

/// The orders with these ids that there are, by id.
async fn orders_by_id<S: AuditStore + ?Sized>(
    store: &S,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, Order>, AuditError> {
    let ids: Vec<OrderId> = ids.into_iter().collect::<HashSet<_>>().into_iter().collect();
    let found = store.orders(&ids).await;
    let found = found.map_err(|error| AuditError::List { what: "orders of tasks and keys", error })?;
    Ok(found.into_iter().map(|order| (order.id, order)).collect())
}

/// The findings of one order, as they come up.
struct Findings {
    order_id: OrderId,
    all: Vec<Finding>,
}

impl Findings {
    const fn of(order_id: OrderId) -> Self {
        Self { order_id, all: Vec::new() }
    }

    fn add(&mut self, code: Code, text: impl Into<String>) {
        self.all.push(Finding::new(code, self.order_id, text));
    }
}
