//! Tests with whole stores: valid stores, stores that change during the audit, and stores that cannot be
//! read.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use dabba_domain::{
    OrderId,
    order::{Order, RecordedEvent, Version, fold},
};
use dabba_sim::audit::{AuditError, AuditOptions, AuditReport, FindingCode, Severity, audit};
use dabba_store::{
    OrderPage, OrderQuery, Store, StoreError, conformance::builders::World, layer::StoreLayer,
};

use crate::{
    embedded,
    gateway::UnavailableProvider,
    lives::{Stage, put, put_by_card},
    random::{ORDERS, assert_sound, audit_random_orders, fill},
    tampering::Tampering,
};

/// Proves that random orders that the domain allows cause no breach in the embedded store.
#[tokio::test]
async fn random_orders_in_the_embedded_store_are_clean() {
    let (store, _directory) = embedded().await;
    assert_sound(&audit_random_orders(store).await);
}

/// Proves that orders that change during the audit cause no breach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_during_writes_is_clean() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(11);
    let options = AuditOptions::new(world.now());
    let filling = Arc::clone(&store);
    let filled = tokio::spawn(async move { fill(&filling, &mut world, ORDERS).await });
    let mut seen = 0;
    while !filled.is_finished() {
        let report = audit(&*store, None, &options).await.unwrap();
        assert!(report.is_clean(), "{report}");
        assert!(report.orders >= seen, "an audit must find all earlier orders");
        seen = report.orders;
    }
    filled.await.unwrap();
    assert_eq!(audit(&*store, None, &options).await.unwrap().orders, ORDERS as u64);
}

/// Proves that a defect in every order is counted in full, and that only the first findings are in the
/// report.
#[tokio::test]
async fn all_findings_are_counted_and_the_first_are_reported() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(3);
    fill(&store, &mut world, ORDERS).await;
    let tampering = Tampering::new(store, |stored| stored.events.clear());
    let report = audit(&tampering, None, &AuditOptions::new(world.now())).await.unwrap();
    assert_eq!(
        (report.breaches, report.counts[&FindingCode::HistoryMissing]),
        (ORDERS as u64, ORDERS as u64)
    );
    let kept = report.findings.iter().filter(|finding| finding.severity == Severity::Breach).count();
    assert_eq!(kept as u64, AuditReport::MAX_KEPT);
    let left_out =
        ORDERS as u64 - AuditReport::MAX_KEPT + report.warnings.saturating_sub(AuditReport::MAX_KEPT);
    assert!(report.to_string().contains(&format!("and {left_out} more")), "{report}");
}

/// Proves that an audit that could not read everything is an error and not a clean report.
#[tokio::test]
async fn an_incomplete_page_or_an_unavailable_store_fails_the_audit() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(4);
    let order = put(&*store, &mut world, Stage::Delivered).await;
    let options = AuditOptions::new(world.now());
    let mut incomplete = Tampering::new(Arc::clone(&store), |_| {});
    incomplete.is_incomplete = true;
    let error = audit(&incomplete, None, &options).await.unwrap_err();
    assert_eq!(error, AuditError::Incomplete { after: None });
    (incomplete.is_incomplete, incomplete.are_lists_incomplete) = (false, true);
    let error = audit(&incomplete, None, &options).await.unwrap_err();
    assert_eq!(error, AuditError::IncompleteList { what: "tasks" });

    let moving =
        ChangingStore { inner: Arc::clone(&store), listed: 1, reads: AtomicU32::new(0), events_fail: true };
    let error = audit(&moving, None, &options).await.unwrap_err();
    assert!(matches!(error, AuditError::Order { order_id, .. } if order_id == order.id), "{error}");

    let by_card = put_by_card(&*store, &mut world, Stage::Delivered).await;
    let error = audit(&*store, Some(&UnavailableProvider), &options).await.unwrap_err();
    assert_eq!(error, AuditError::Gateway { order_id: by_card.id, error: "injected by a test".to_owned() });

    store.close().await;
    let error = audit(&*store, None, &options).await.unwrap_err();
    assert!(matches!(error, AuditError::Orders { after: None, .. }), "{error}");
}

/// A store whose orders are older than their events: the first read returns version `listed`, and each
/// further read the next version.
struct ChangingStore {
    inner: Arc<dyn Store>,
    listed: usize,
    reads: AtomicU32,
    events_fail: bool,
}

impl ChangingStore {
    async fn at_version(&self, id: OrderId, version: usize) -> Order {
        let events = self.inner.events(id, 0, u32::MAX).await.unwrap();
        fold(&events[..version.min(events.len())]).unwrap().unwrap()
    }
}

#[async_trait]
impl StoreLayer for ChangingStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        let reads = 1 + self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.at_version(id, self.listed + reads as usize).await))
    }

    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        if self.events_fail {
            return Err(StoreError::Unavailable("injected by a test".to_owned()));
        }
        self.inner.events(id, after, limit).await
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        let mut page = self.inner.list_orders(query).await?;
        for order in &mut page.orders {
            *order = self.at_version(order.id, self.listed).await;
        }
        Ok(page)
    }
}

/// Proves that an order that changes during the audit is read again until it stops changing and causes no
/// breach, and that the number of reads is limited.
#[tokio::test]
async fn an_order_that_changes_during_the_audit_is_read_again() {
    // In the last case the audit sees the order one event before its end: older than its events, and
    // delivered without a capture.
    for (behind, rereads, breaches) in [(0, 0, 0), (1, 1, 0), (2, 2, 0), (5, 5, 0), (6, 5, 2)] {
        let (store, _directory) = embedded().await;
        let mut world = World::new(5);
        let order = put(&*store, &mut world, Stage::Delivered).await;
        let listed = order.version as usize - behind;
        let moving = ChangingStore { inner: store, listed, reads: AtomicU32::new(0), events_fail: false };
        let report = audit(&moving, None, &AuditOptions::new(world.now())).await.unwrap();
        assert_eq!((report.rereads, report.breaches), (rereads, breaches), "{behind} behind: {report}");
    }
}

/// Proves that an order whose task was done between reading the order and reading the tasks causes no
/// finding, and that an unchanged order without its task does.
#[tokio::test]
async fn an_order_that_moves_on_before_its_task_is_searched_is_not_a_finding() {
    for has_moved_on in [true, false] {
        let (store, _directory) = embedded().await;
        let mut world = World::new(13);
        put(&*store, &mut world, Stage::Delivered).await;
        // The audit reads the order just after its confirmation.
        let mut tampering = Tampering::new(store, |stored| {
            stored.events.truncate(2);
            stored.refold();
        })
        .with_lists(|lists| lists.tasks.clear());
        tampering.lookups_are_unchanged = has_moved_on;
        let report = audit(&tampering, None, &AuditOptions::new(world.now())).await.unwrap();
        let missing = report.counts.get(&FindingCode::TaskMissing).copied();
        assert_eq!(missing, (!has_moved_on).then_some(1), "{report}");
        assert_eq!(
            (report.breaches, report.rereads),
            (missing.unwrap_or(0), has_moved_on.into()),
            "{report}"
        );
    }
}
