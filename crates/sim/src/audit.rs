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
//! Orders come in pages and are let go of again: how many there are does not matter for the memory that
//! it takes. They may change meanwhile; see [`audit`].

mod code;
mod gateway;
mod history;
mod ledger;
mod money;
mod moves;
mod payment;
mod report;
mod waiting;

use dabba_domain::{
    OrderId, Timestamp,
    limits::MAX_ORDER_VERSION,
    order::{Order, PaymentMethod, RecordedEvent},
};
use dabba_store::{OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore, PageSize, StoreError};
use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use jiff::SignedDuration;

pub use self::{
    code::{Code, Severity, table},
    gateway::{GatewayLedger, GatewaySummary},
    report::{Finding, Report},
};

/// Orders read at once.
const ORDERS_LIMIT: PageSize = PageSize::new(PageSize::MAX).unwrap();
/// Orders read at once where one of [`ORDERS_LIMIT`] cannot be decoded: the error then says where. A store may
/// look one order ahead, so it is the first or the second behind the place that the error names.
const ORDERS_LIMIT_NEAR_DAMAGE: PageSize = PageSize::new(1).unwrap();
/// Orders whose events are read at the same time.
const MAX_CONCURRENT_ORDERS: usize = 8;
/// Events read at once. Nearly every order has fewer, and so takes one question.
const EVENTS_LIMIT: u32 = 100;
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
}

impl AuditOptions {
    /// The thresholds that fit most: 15 minutes for an answer, 4 hours on the way, an hour for a payment.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            unanswered_after: SignedDuration::from_mins(15),
            stuck_after: SignedDuration::from_hours(4),
            payment_open_after: SignedDuration::from_hours(1),
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
}

fn place(behind: Option<OrderId>) -> String {
    behind.map_or("the newest".to_owned(), |id| format!("those older than {id}"))
}

/// Looks at every order that is in the store when this begins, and at its events; and at what the payment
/// provider did for those that are paid by card, where it can be asked.
///
/// Orders may be placed and changed meanwhile. One that seems wrong may only have been read while it
/// changed; it is read again until it stands still, a bounded number of times, and judged then. An error
/// means that not everything could be looked at.
pub async fn audit<S: OrderStore + ?Sized>(
    store: &S,
    gateway: Option<&dyn GatewayLedger>,
    options: &AuditOptions,
) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let (mut after, mut limit) = (None, ORDERS_LIMIT);
    loop {
        let page = match read_page(store, after, limit).await {
            Err(AuditError::Orders { error: StoreError::Corrupt(_), .. })
                if limit != ORDERS_LIMIT_NEAR_DAMAGE =>
            {
                limit = ORDERS_LIMIT_NEAR_DAMAGE;
                continue;
            }
            page => page?,
        };
        let audits = page.orders.into_iter().map(|order| audit_order(store, gateway, order, options));
        let mut audits = iter(audits).buffered(MAX_CONCURRENT_ORDERS);
        while let Some(Audited { findings, events, rereads }) = audits.try_next().await? {
            report.orders += 1;
            report.events += events;
            report.rereads += rereads;
            for finding in findings {
                report.add(finding);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(report);
        }
    }
}

async fn read_page<S: OrderStore + ?Sized>(
    store: &S,
    after: Option<OrderCursor>,
    limit: PageSize,
) -> Result<OrderPage, AuditError> {
    let query = OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after, limit };
    let behind = after.map(|cursor| cursor.order_id);
    match store.list_orders(&query).await {
        Ok(page) if page.incomplete => Err(AuditError::Incomplete { behind }),
        Ok(page) => Ok(page),
        Err(error) => Err(AuditError::Orders { behind, error }),
    }
}

/// What came of one order.
struct Audited {
    findings: Vec<Finding>,
    events: u64,
    rereads: u64,
}

async fn audit_order<S: OrderStore + ?Sized>(
    store: &S,
    gateway: Option<&dyn GatewayLedger>,
    mut order: Order,
    options: &AuditOptions,
) -> Result<Audited, AuditError> {
    let order_id = order.id;
    let mut rereads = 0;
    loop {
        let (mut findings, events) = match read_events(store, order_id).await {
            Ok(events) => (check(&order, &events, options), events.len()),
            Err(StoreError::Corrupt(text)) => {
                let mut findings = Findings::of(order_id);
                findings.add(Code::HistoryUnreadable, format!("its events: {text}"));
                (findings, 0)
            }
            Err(error) => return Err(AuditError::Order { order_id, error }),
        };
        if let (Some(gateway), PaymentMethod::Card) = (gateway, order.details.payment_method) {
            let summary = gateway.summary(order_id).await;
            let summary = summary.map_err(|error| AuditError::Gateway { order_id, error })?;
            gateway::check(&order, summary, options, &mut findings);
        }
        let audited = Audited {
            findings: findings.all,
            events: u64::try_from(events).unwrap_or(u64::MAX),
            rereads: rereads.into(),
        };
        if audited.findings.is_empty() || rereads == MAX_REREADS {
            return Ok(audited);
        }
        // The rest was read after the order, and may have gone on since. If the order has as well,
        // the two are not of one moment, and what was found means nothing.
        let again = store.order(order_id).await;
        match again.map_err(|error| AuditError::Order { order_id, error })? {
            Some(newer) if newer.version > order.version => order = newer,
            _ => return Ok(audited),
        }
        rereads += 1;
    }
}

/// All events of an order, or one more than it may have.
async fn read_events<S: OrderStore + ?Sized>(
    store: &S,
    order_id: OrderId,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.version);
        let page = store.events(order_id, after, EVENTS_LIMIT).await?;
        let is_last = page.len() < usize::try_from(EVENTS_LIMIT).unwrap_or(usize::MAX);
        events.extend(page);
        // The limit also ends a history that turns in circles, which is then numbered wrongly.
        if is_last || u32::try_from(events.len()).is_ok_and(|count| count > MAX_ORDER_VERSION) {
            return Ok(events);
        }
    }
}

/// Everything that is wrong with an order and its events.
fn check(order: &Order, events: &[RecordedEvent], options: &AuditOptions) -> Findings {
    let mut findings = Findings::of(order.id);
    history::check(order, events, &mut findings);
    money::check(order, &mut findings);
    // Where an order is wrong, so is its ledger.
    if findings.all.iter().all(|finding| finding.severity == Severity::Warning) {
        ledger::check(events, &mut findings);
    }
    waiting::check(order, options, &mut findings);
    findings
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
