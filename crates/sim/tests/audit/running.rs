//! Whole stores: sound ones, ones that change meanwhile, and ones that cannot be read.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, TaskId, Timestamp,
    order::{Order, RecordedEvent, Version, fold},
    text::Slug,
};
use dabba_sim::audit::{AuditError, AuditOptions, Code, Report, Severity, audit};
use dabba_store::{
    AuditStore, ClaimRecord, Commit, CommitOutcome, FeedCursor, FeedEntry, IdempotencyKey, Listing,
    OrderPage, OrderQuery, OrderStore, PageSize, ScopedKey, Store, StoreError, StoredClaim, StoredStock,
    StoredTask, conformance::builders::World,
};

use crate::{
    embedded,
    gateway::Silent,
    lives::{Stage, put, put_by_card},
    random::{ORDERS, assert_sound, audit_of_lives, fill},
    tampering::Tampering,
};

/// Proves that orders that live as the domain lets them give no cause for complaint, in the embedded store.
#[tokio::test]
async fn the_embedded_store_is_clean_after_random_lives() {
    let (store, _directory) = embedded().await;
    assert_sound(&audit_of_lives(store).await);
}

/// Proves that orders that live while the auditor reads them are not called breaches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_beside_living_orders_is_clean() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(11);
    let options = AuditOptions::at(world.now());
    let filling = Arc::clone(&store);
    let filled = tokio::spawn(async move { fill(&filling, &mut world, ORDERS).await });
    let mut seen = 0;
    while !filled.is_finished() {
        let report = audit(&*store, None, &options).await.unwrap();
        assert!(report.is_clean(), "{report}");
        assert!(report.orders >= seen, "what was there is still there");
        seen = report.orders;
    }
    filled.await.unwrap();
    assert_eq!(audit(&*store, None, &options).await.unwrap().orders, ORDERS as u64);
}

/// Proves that a defect in every order is counted in full and kept in part.
#[tokio::test]
async fn all_findings_are_counted_and_the_first_are_kept() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(3);
    fill(&store, &mut world, ORDERS).await;
    let tampering = Tampering::new(store, |stored| stored.events.clear());
    let report = audit(&tampering, None, &AuditOptions::at(world.now())).await.unwrap();
    assert_eq!((report.breaches, report.counts[&Code::HistoryMissing]), (ORDERS as u64, ORDERS as u64));
    let kept = report.findings.iter().filter(|finding| finding.severity == Severity::Breach).count();
    assert_eq!(kept as u64, Report::MAX_KEPT);
    let left_out = ORDERS as u64 - Report::MAX_KEPT + report.warnings.saturating_sub(Report::MAX_KEPT);
    assert!(report.to_string().contains(&format!("and {left_out} more")), "{report}");
}

/// Proves that an audit that could not see everything is an error, and no report that looks clean.
#[tokio::test]
async fn an_incomplete_page_or_a_store_that_is_away_fails_the_audit() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(4);
    let order = put(&*store, &mut world, Stage::Delivered).await;
    let options = AuditOptions::at(world.now());
    let mut incomplete = Tampering::new(Arc::clone(&store), |_| {});
    incomplete.is_incomplete = true;
    let error = audit(&incomplete, None, &options).await.unwrap_err();
    assert_eq!(error, AuditError::Incomplete { behind: None });
    (incomplete.is_incomplete, incomplete.are_lists_incomplete) = (false, true);
    let error = audit(&incomplete, None, &options).await.unwrap_err();
    assert_eq!(error, AuditError::IncompleteList { what: "tasks" });

    let moving = Moving { inner: Arc::clone(&store), listed: 1, reads: AtomicU32::new(0), events_fail: true };
    let error = audit(&moving, None, &options).await.unwrap_err();
    assert!(matches!(error, AuditError::Order { order_id, .. } if order_id == order.id), "{error}");

    let by_card = put_by_card(&*store, &mut world, Stage::Delivered).await;
    let error = audit(&*store, Some(&Silent), &options).await.unwrap_err();
    assert_eq!(error, AuditError::Gateway { order_id: by_card.id, error: "a test says so".to_owned() });

    store.close().await;
    let error = audit(&*store, None, &options).await.unwrap_err();
    assert!(matches!(error, AuditError::Orders { behind: None, .. }), "{error}");
}

/// A store in which an order is read at an older version than its events: at first at version `listed`, and
/// one later with each time that it is read again.
struct Moving {
    inner: Arc<dyn Store>,
    listed: usize,
    reads: AtomicU32,
    events_fail: bool,
}

impl Moving {
    async fn at_version(&self, id: OrderId, version: usize) -> Order {
        let events = self.inner.events(id, 0, u32::MAX).await.unwrap();
        fold(&events[..version.min(events.len())]).unwrap().unwrap()
    }
}

#[async_trait]
impl OrderStore for Moving {
    async fn commit_shared(&self, _: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        panic!("an audit does not write");
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
            return Err(StoreError::Unavailable("a test says so".to_owned()));
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

    async fn feed(&self, _: &FeedCursor, _: u32) -> Result<Vec<FeedEntry>, StoreError> {
        panic!("an audit does not follow the feed");
    }

    async fn find_claim(
        &self,
        _: AccountId,
        _: RestaurantId,
        _: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        panic!("an audit cannot guess keys");
    }

    async fn forget_keys(&self, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        panic!("an audit does not write");
    }
}

#[async_trait]
impl AuditStore for Moving {
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        self.inner.orders(ids).await
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        self.inner.all_tasks(after, limit).await
    }

    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        self.inner.all_claims(after, limit).await
    }

    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        self.inner.all_stock(after, limit).await
    }
}

/// Proves that an order that changes while it is looked at is read again until it stands still, and is not
/// called a breach for that; and that this ends, when it never does.
#[tokio::test]
async fn an_order_that_changes_meanwhile_is_read_again() {
    // The last one is judged one event before its end: behind its events, and delivered without the money.
    for (behind, rereads, breaches) in [(0, 0, 0), (1, 1, 0), (2, 2, 0), (5, 5, 0), (6, 5, 2)] {
        let (store, _directory) = embedded().await;
        let mut world = World::new(5);
        let order = put(&*store, &mut world, Stage::Delivered).await;
        let listed = order.version as usize - behind;
        let moving = Moving { inner: store, listed, reads: AtomicU32::new(0), events_fail: false };
        let report = audit(&moving, None, &AuditOptions::at(world.now())).await.unwrap();
        assert_eq!((report.rereads, report.breaches), (rereads, breaches), "{behind} behind: {report}");
    }
}

/// Proves that an order whose task was done between the looks at the two is not said to wait in vain;
/// and that it is, when it stands still.
#[tokio::test]
async fn an_order_that_moves_on_before_its_task_is_looked_for_does_not_wait() {
    for has_moved_on in [true, false] {
        let (store, _directory) = embedded().await;
        let mut world = World::new(13);
        put(&*store, &mut world, Stage::Delivered).await;
        // It is read when it has just been confirmed.
        let mut tampering = Tampering::new(store, |stored| {
            stored.events.truncate(2);
            stored.refold();
        })
        .with_lists(|lists| lists.tasks.clear());
        tampering.are_looked_up_later = has_moved_on;
        let report = audit(&tampering, None, &AuditOptions::at(world.now())).await.unwrap();
        let missing = report.counts.get(&Code::TaskMissing).copied();
        assert_eq!(missing, (!has_moved_on).then_some(1), "{report}");
        assert_eq!(
            (report.breaches, report.rereads),
            (missing.unwrap_or(0), has_moved_on.into()),
            "{report}"
        );
    }
}
