//! The auditor reads all orders of a store and reports every violation of an invariant.
//!
//! The auditor trusts only what the store returns. It computes in its own way what the rest of Dabba computes
//! when it writes: it has its own table of legal moves (`moves`), replays histories (`history`, `payment`),
//! adds up amounts in wide integers (`money`), and keeps its own books (`ledger`). So a defect in the domain
//! cannot hide itself.
//!
//! To add a check: add a [`FindingCode`], the check in its module, a line in `docs/guides/operator/audit.md`, and a
//! test in `tests/audit` that plants the violation. The tests fail until all of these exist.
//!
//! The auditor reads pages and drops each page before the next one, so its memory does not grow with the
//! store. Two checks need data of many orders at once: every order has its task (`tasks`), and no order has
//! two keys (`claims`). That data is limited too: above the limit, the auditor reads the tasks or the keys
//! several times. So it needs no index. Orders may change during an audit; see [`audit`].
//!
//! Rejected: to look up the tasks of each order. It would need an index on them, whose cost every new order
//! would pay.

mod bounds;
mod claims;
mod code;
mod gateway;
mod history;
mod itemization;
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
    code::{FindingCode, Severity, table},
    gateway::{GatewayLedger, GatewaySummary},
    report::{AuditReport, Finding},
};

/// Number of orders, tasks, keys or items of stock per page.
const PAGE: PageSize = PageSize::new(PageSize::MAX).unwrap();
/// Maximum number of times that an order with findings is read again while it keeps changing.
const MAX_REREADS: u32 = 5;

/// The thresholds of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// The current time, to decide what is overdue.
    pub now: Timestamp,
    /// Maximum time after the acceptance deadline for which an order may be unanswered.
    pub unanswered_after: SignedDuration,
    /// Maximum time without a change between acceptance and delivery. While the order is being prepared, the
    /// time counts from the promised time if that is later than the last change.
    pub stuck_after: SignedDuration,
    /// Maximum time after its last change for which an ended order may have an open payment, and for which an
    /// order may not know what its payment provider did.
    pub payment_open_after: SignedDuration,
    /// Maximum time after its due time for which a task may be undone.
    pub overdue_after: SignedDuration,
}

impl AuditOptions {
    /// Returns the default thresholds: 15 minutes for an answer and for a task, 4 hours without a change on
    /// the way to the customer, an hour for a payment.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            now,
            unanswered_after: SignedDuration::from_mins(15),
            stuck_after: SignedDuration::from_hours(4),
            payment_open_after: SignedDuration::from_hours(1),
            overdue_after: SignedDuration::from_mins(15),
        }
    }
}

/// An audit failed because it could not read everything. A failed audit has no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A page of orders could not be read. If an order cannot be decoded, it is the first or second order of
    /// the page.
    #[error("cannot read the orders ({}): {error}", place(*.after))]
    Orders {
        /// The last order before the page; none for the first page.
        after: Option<OrderId>,
        /// The reason.
        error: StoreError,
    },
    /// An order could not be read.
    #[error("cannot read order {order_id}: {error}")]
    Order {
        /// The order.
        order_id: OrderId,
        /// The reason.
        error: StoreError,
    },
    /// The payment provider did not report what it did for an order.
    #[error("the payment provider does not report what it did for order {order_id}: {error}")]
    Gateway {
        /// The order.
        order_id: OrderId,
        /// The reason, in the provider's words.
        error: String,
    },
    /// A shard did not answer, so orders may be missing.
    #[error("a shard does not answer, so its orders are missing ({})", place(*.after))]
    Incomplete {
        /// The last order before the gap; none for the first page.
        after: Option<OrderId>,
    },
    /// Another list could not be read.
    #[error("cannot read {what}: {error}")]
    List {
        /// The contents of the list.
        what: &'static str,
        /// The reason.
        error: StoreError,
    },
    /// A shard did not answer, so entries of a list may be missing.
    #[error("a shard does not answer, so its {what} are missing")]
    IncompleteList {
        /// The contents of the list.
        what: &'static str,
    },
}

fn place(after: Option<OrderId>) -> String {
    after.map_or("the newest orders".to_owned(), |id| format!("orders older than {id}"))
}

/// Audits all orders that are in the store when the audit begins, with their events; the payment provider's
/// records of card orders, if a ledger of the provider is given; and all tasks, idempotency keys and limited
/// stock.
///
/// Orders may be placed and changed during the audit. An order can seem wrong only because it changed while
/// it was read. The audit reads such an order again until it does not change, at most a limited number of
/// times, and then reports it. An error means that the audit could not read everything.
pub async fn audit<S: OrderStore + AuditStore + ?Sized>(
    store: &S,
    gateway: Option<&dyn GatewayLedger>,
    options: &AuditOptions,
) -> Result<AuditReport, AuditError> {
    let bounds = Bounds::DEFAULT;
    Audit { store, gateway, options, bounds, report: AuditReport::default() }.run().await
}

/// An audit in progress.
struct Audit<'a, S: ?Sized> {
    store: &'a S,
    gateway: Option<&'a dyn GatewayLedger>,
    options: &'a AuditOptions,
    bounds: Bounds,
    report: AuditReport,
}

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    async fn run(mut self) -> Result<AuditReport, AuditError> {
        let damage = self.find_damage().await;
        match (self.walk().await, damage) {
            // Damaged storage explains why something cannot be read.
            (Ok(()) | Err(_), Ok(true)) | (Ok(()), Ok(false)) => Ok(self.report),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        }
    }

    /// Audits everything in the store.
    async fn walk(&mut self) -> Result<(), AuditError> {
        let waiting = self.walk_orders().await?;
        // The tasks come after the orders: a task that an order waited for can disappear only if the order
        // has moved on.
        self.find_tasks(waiting, tasks::Walk::Judge).await?;
        self.walk_claims().await?;
        self.walk_stock().await
    }

    /// Checks the storage for damage. Returns whether the storage is damaged.
    async fn find_damage(&mut self) -> Result<bool, AuditError> {
        let damage = self.store.damage().await;
        let damage = damage.map_err(|error| AuditError::List { what: "the storage", error })?;
        for text in &damage {
            self.report.add(Finding::of_no_order(FindingCode::StorageDamaged, text));
        }
        Ok(!damage.is_empty())
    }
}

/// Returns the entries of a page, or an error if the page is incomplete.
fn whole<T>(what: &'static str, page: Result<Listing<T>, StoreError>) -> Result<Vec<T>, AuditError> {
    match page {
        Ok(page) if page.incomplete => Err(AuditError::IncompleteList { what }),
        Ok(page) => Ok(page.entries),
        Err(error) => Err(AuditError::List { what, error }),
    }
}

/// Returns whether there may be entries after this page.
fn is_full<T>(page: &[T]) -> bool {
    u32::try_from(page.len()).is_ok_and(|count| count >= PAGE.get())
}

/// Returns the orders with these ids that exist, by id.
async fn orders_by_id<S: OrderStore + ?Sized>(
    store: &S,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, Order>, AuditError> {
    let ids: Vec<OrderId> = ids.into_iter().collect::<HashSet<_>>().into_iter().collect();
    let found = store.orders(&ids).await;
    let found = found.map_err(|error| AuditError::List { what: "orders of tasks and keys", error })?;
    Ok(found.into_iter().map(|order| (order.id, order)).collect())
}

/// The findings of one order.
struct Findings {
    order_id: OrderId,
    all: Vec<Finding>,
}

impl Findings {
    const fn of(order_id: OrderId) -> Self {
        Self { order_id, all: Vec::new() }
    }

    fn add(&mut self, code: FindingCode, text: impl Into<String>) {
        self.all.push(Finding::new(code, self.order_id, text));
    }
}
