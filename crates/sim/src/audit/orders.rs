//! The audit of all orders with their events.

use dabba_domain::{
    OrderId,
    limits::MAX_ORDER_VERSION,
    order::{Event, Order, PaymentMethod, PaymentStep, RecordedEvent},
};
use dabba_store::{
    AuditStore, OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore, PageSize, StoreError,
};
use futures::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::{
    Audit, AuditError, AuditOptions, Finding, FindingCode, Findings, GatewayLedger, MAX_REREADS, PAGE,
    Severity, gateway, history, ledger, money,
    tasks::{self, Waiting},
    waiting,
};

/// Page size after a page of orders that cannot be decoded, so that the error names the place. A store may
/// read one order ahead, so the damaged order is the first or the second after that place.
const PAGE_NEAR_DAMAGE: PageSize = PageSize::new(1).unwrap();
/// Maximum number of orders whose events are read concurrently.
const MAX_CONCURRENT_ORDERS: usize = 8;
/// Number of events per page. Nearly every order has fewer, and needs one call.
const EVENTS_LIMIT: u32 = 100;
/// Maximum number of events of an order that are read. Commands that end an order, refunds and provider
/// reports are not limited by [`MAX_ORDER_VERSION`]; refunds of single pennies can reach this maximum.
const MAX_EVENTS: u32 = 100 * MAX_ORDER_VERSION;

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    /// Audits all orders. Returns the orders whose tasks have not been searched yet.
    pub(super) async fn walk_orders(&mut self) -> Result<Waiting, AuditError> {
        let mut waiting = Waiting::default();
        let (mut after, mut limit) = (None, PAGE);
        loop {
            let page = match self.orders_after(after, limit).await {
                Err(AuditError::Orders { error: StoreError::Corrupt(_), .. })
                    if limit != PAGE_NEAR_DAMAGE =>
                {
                    limit = PAGE_NEAR_DAMAGE;
                    continue;
                }
                page => page?,
            };
            let (store, gateway, options) = (self.store, self.gateway, self.options);
            let audits = page.orders.into_iter().map(|order| audit_order(store, gateway, order, options));
            let mut audits = iter(audits).buffered(MAX_CONCURRENT_ORDERS);
            while let Some(Audited { order, findings, events, rereads }) = audits.try_next().await? {
                self.report.orders += 1;
                self.report.events += events;
                self.report.rereads += rereads;
                // A wrong order has no reliable tasks to wait for.
                if !order.is_written_by_newer
                    && findings.iter().all(|finding| finding.severity == Severity::Warning)
                {
                    waiting.add(&order);
                }
                for finding in findings {
                    self.report.add(finding);
                }
            }
            if waiting.count() >= self.bounds.waiting {
                self.find_tasks(std::mem::take(&mut waiting), tasks::Walk::Only).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(waiting);
            }
        }
    }

    async fn orders_after(
        &self,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, AuditError> {
        let query = OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after, limit };
        let last = after.map(|cursor| cursor.order_id);
        match self.store.list_orders(&query).await {
            Ok(page) if page.incomplete => Err(AuditError::Incomplete { after: last }),
            Ok(page) => Ok(page),
            Err(error) => Err(AuditError::Orders { after: last, error }),
        }
    }
}

/// The result of auditing one order.
struct Audited {
    /// The order as it was checked.
    order: Order,
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
                findings.add(FindingCode::HistoryUnreadable, format!("its events: {text}"));
                (findings, 0)
            }
            Err(error) => return Err(AuditError::Order { order_id, error }),
        };
        if let (Some(gateway), PaymentMethod::Card) = (gateway, order.details.payment_method) {
            let summary = gateway.summary(order_id).await;
            let summary = summary.map_err(|error| AuditError::Gateway { order_id, error })?;
            gateway::check(&order, summary, options, &mut findings);
        }
        let findings = findings.all;
        let is_final = findings.is_empty() || rereads == MAX_REREADS;
        let audited = |order| Audited {
            order,
            findings,
            events: u64::try_from(events).unwrap_or(u64::MAX),
            rereads: rereads.into(),
        };
        if is_final {
            return Ok(audited(order));
        }
        // The events and the provider were read after the order and may be newer. If the order has changed as
        // well, the data is of different times, and the findings do not count.
        let again = store.order(order_id).await;
        match again.map_err(|error| AuditError::Order { order_id, error })? {
            Some(newer) if newer.version > order.version => order = newer,
            _ => return Ok(audited(order)),
        }
        rereads += 1;
    }
}

/// Returns all events of an order, or more than an order can have.
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
        // The limit also ends a history that repeats itself, which is numbered wrongly.
        if is_last || u32::try_from(events.len()).is_ok_and(|count| count > MAX_EVENTS) {
            return Ok(events);
        }
    }
}

/// Returns all findings about an order and its events.
fn check(order: &Order, events: &[RecordedEvent], options: &AuditOptions) -> Findings {
    let mut findings = Findings::of(order.id);
    let unknown = events.iter().find(|recorded| matches!(recorded.event, Event::Unknown(_)));
    if order.is_written_by_newer {
        history::check_numbering(order, events, &mut findings);
        let text = unknown.map_or_else(
            || "its row is marked as written by a newer version".to_owned(),
            |recorded| format!("its event {} is {}", recorded.version, recorded.event.name()),
        );
        findings.add(FindingCode::WrittenByNewer, text);
        return findings;
    }
    if let Some(recorded) = unknown {
        let name = recorded.event.name();
        let text = format!(
            "its event {} is {name}, which is unknown, and no mark of a newer version explains it",
            recorded.version
        );
        findings.add(FindingCode::HistoryUnreadable, text);
        return findings;
    }
    history::check(order, events, &mut findings);
    let is_recorded = |recorded: &RecordedEvent| {
        matches!(recorded.event, Event::PaymentDiffers { step: PaymentStep::Captured, .. })
    };
    // This is unknown for an order without events.
    let differs = events.is_empty() || events.iter().any(is_recorded);
    money::check(order, differs, &mut findings);
    // A wrong order has a wrong ledger too.
    if findings.all.iter().all(|finding| finding.severity == Severity::Warning) {
        ledger::check(events, &mut findings);
    }
    waiting::check(order, options, &mut findings);
    findings
}
