//! A store that forwards every call to a real store, and fails where a test injects a fault.

// The paths hold for the benchmark too, which includes this file by its path.
#[path = "faulty/fault.rs"]
mod fault;
#[path = "faulty/watched.rs"]
mod watched;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, ApiKeyId, Bucket, OrderId, RestaurantId, TaskId, Timestamp,
    menu::{Availability, Menu},
    order::Order,
    restaurant::{Restaurant, Revision},
    task::TaskQueue,
    text::Slug,
};
use dabba_store::{
    Account, AccountEdit, AccountEditOutcome, ApiKey, Catalogue, CatalogueGuard, CatalogueUpdate, ClaimAt,
    ClaimedTask, Commit, CommitOutcome, Credential, Health, Hint, Measurement, MembershipChange,
    MenuRevisions, PageSize, RestaurantCreation, RestaurantPage, Revocation, RevocationRevision, SecretHash,
    Session, SessionUse, StockEdit, StockUpdate, Store, StoreError, Subject, TaskFailure, TaskLease,
    TaskRetry, UnderKey, layer::StoreLayer,
};
use futures::{
    channel::mpsc::{UnboundedSender, unbounded},
    stream::{BoxStream, StreamExt as _},
};

pub(crate) use self::{
    fault::{Fault, Faults, Gate},
    watched::Watched,
};

/// See the documentation of this module.
pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    /// Faults of batches.
    pub(crate) commits: Faults,
    /// Faults of reads of an order.
    pub(crate) loads: Faults,
    /// Faults of claims of tasks.
    pub(crate) claims: Faults,
    /// Faults of postponing a task.
    pub(crate) postponements: Faults,
    /// Faults of parking a task.
    pub(crate) parkings: Faults,
    /// Faults of reads of revisions.
    pub(crate) revision_reads: Faults,
    /// Faults of the deletion of expired keys.
    pub(crate) deletions: Faults,
    /// Gate of the deletion of expired keys.
    pub(crate) deletion_gate: Gate,
    /// Faults of measurements.
    pub(crate) measurements: Faults,
    /// Gate of measurements.
    pub(crate) measurement_gate: Gate,
    /// Idempotency keys: a batch with a commit under one of them is refused as corrupt.
    pub(crate) refused_keys: Mutex<HashSet<String>>,
    /// Whether the next read of a catalogue panics.
    pub(crate) panics_at_a_catalogue: AtomicBool,
    /// Whether the next call for the shard of a bucket panics.
    pub(crate) panics_at_a_shard: AtomicBool,
    /// Whether the next ping panics.
    pub(crate) panics_at_a_ping: AtomicBool,
    /// Outcome that answers every commit while it is set. Nothing is written.
    pub(crate) answer: Mutex<Option<CommitOutcome>>,
    /// Orders whose reads panic.
    pub(crate) poisoned: Mutex<HashSet<OrderId>>,
    /// Orders that are returned as if a newer version had written to them.
    pub(crate) newer: Mutex<HashSet<OrderId>>,
    /// Orders whose tasks are leased with this error in place of their content.
    pub(crate) undecodable: Mutex<HashMap<OrderId, StoreError>>,
    /// Restaurants that cannot be decoded.
    pub(crate) unreadable: Mutex<HashSet<RestaurantId>>,
    /// Restaurants of a shard that does not answer: lists and revisions lack them.
    pub(crate) missing: Mutex<HashSet<RestaurantId>>,
    /// Number of calls that claim tasks.
    pub(crate) claims_begun: Watched<u64>,
    /// Number of those calls that the store has answered.
    pub(crate) claims_answered: Watched<u64>,
    /// Gate of batches.
    pub(crate) batch_gate: Gate,
    /// Gate of all other writes. They wait after the write and before its answer.
    pub(crate) write_gate: Gate,
    /// Gate of reads of a catalogue.
    pub(crate) catalogue_gate: Gate,
    /// The sizes of all batches begun.
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) catalogue_loads: AtomicU64,
    /// Number of searches for API keys.
    pub(crate) key_searches: AtomicU64,
    /// Number of pings.
    pub(crate) pings: Watched<u64>,
    /// Gate of pings.
    pub(crate) ping_gate: Gate,
    /// Gate of reads of revisions.
    pub(crate) revisions_gate: Gate,
    /// Number of ids in each read of revisions.
    pub(crate) revision_read_sizes: Watched<Vec<usize>>,
    /// Whether the next registration of a restaurant fails.
    pub(crate) refuses_restaurants: AtomicBool,
    /// Whether all reads of catalogues fail after a catalogue has been changed.
    pub(crate) loses_catalogues_after_a_change: AtomicBool,
    catalogues_are_lost: AtomicBool,
    /// Whether reads of revisions fail.
    pub(crate) hides_revisions: AtomicBool,
    /// Number of reads of catalogues until they fail.
    pub(crate) readable_catalogues: AtomicI64,
    /// Whether hints of the real store are dropped.
    pub(crate) hides_hints: AtomicBool,
    /// Whether the store of accounts is unavailable.
    pub(crate) hides_accounts: AtomicBool,
    /// Whether batches are acknowledged without a write. For a benchmark of the engine alone.
    pub(crate) writes_nothing: AtomicBool,
    listeners: Watched<Vec<UnboundedSender<Hint>>>,
}

/// A fault to inject once: its description, the kind of call, and the fault.
pub(crate) type StoreFailure = (&'static str, fn(&FaultyStore) -> &Faults, Fault);

/// Every store call of a task's execution, with every fault that it can have.
pub(crate) const STORE_FAILURES: [StoreFailure; 10] = [
    ("unavailable at the claim", |store| &store.claims, Fault::Before),
    ("the claim's answer is lost", |store| &store.claims, Fault::After),
    ("corrupt data at the claim", |store| &store.claims, Fault::Damage),
    ("unavailable at the read of the order", |store| &store.loads, Fault::Before),
    ("the read's answer is lost", |store| &store.loads, Fault::After),
    ("corrupt data at the read of the order", |store| &store.loads, Fault::Damage),
    ("unavailable at the commit", |store| &store.commits, Fault::Before),
    ("the commit's answer is lost", |store| &store.commits, Fault::After),
    ("corrupt data at the commit", |store| &store.commits, Fault::Damage),
    ("the order changes before the commit", |store| &store.commits, Fault::Conflict),
];

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            commits: Faults::none(),
            loads: Faults::none(),
            claims: Faults::none(),
            postponements: Faults::none(),
            parkings: Faults::none(),
            revision_reads: Faults::none(),
            deletions: Faults::none(),
            deletion_gate: Gate::new(),
            measurements: Faults::none(),
            measurement_gate: Gate::new(),
            refused_keys: Mutex::default(),
            panics_at_a_catalogue: AtomicBool::new(false),
            panics_at_a_shard: AtomicBool::new(false),
            panics_at_a_ping: AtomicBool::new(false),
            answer: Mutex::default(),
            poisoned: Mutex::default(),
            newer: Mutex::default(),
            undecodable: Mutex::default(),
            unreadable: Mutex::default(),
            missing: Mutex::default(),
            claims_begun: Watched::new(0),
            claims_answered: Watched::new(0),
            batch_gate: Gate::new(),
            write_gate: Gate::new(),
            catalogue_gate: Gate::new(),
            batches: Mutex::default(),
            catalogue_loads: AtomicU64::new(0),
            key_searches: AtomicU64::new(0),
            pings: Watched::new(0),
            ping_gate: Gate::new(),
            revisions_gate: Gate::new(),
            revision_read_sizes: Watched::new(Vec::new()),
            refuses_restaurants: AtomicBool::new(false),
            loses_catalogues_after_a_change: AtomicBool::new(false),
            catalogues_are_lost: AtomicBool::new(false),
            hides_revisions: AtomicBool::new(false),
            readable_catalogues: AtomicI64::new(i64::MAX),
            hides_hints: AtomicBool::new(false),
            hides_accounts: AtomicBool::new(false),
            writes_nothing: AtomicBool::new(false),
            listeners: Watched::new(Vec::new()),
        }
    }

    /// Returns the same store without faults and gates, as another server uses it.
    pub(crate) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }

    /// Makes all later reads of catalogues fail if [`Self::loses_catalogues_after_a_change`] is set.
    async fn after_change<T>(&self, changed: T) -> T {
        self.write_gate.pass().await;
        if self.loses_catalogues_after_a_change.load(Ordering::SeqCst) {
            self.catalogues_are_lost.store(true, Ordering::SeqCst);
        }
        changed
    }

    /// Makes catalogues readable again.
    pub(crate) fn restore_catalogues(&self) {
        self.loses_catalogues_after_a_change.store(false, Ordering::SeqCst);
        self.catalogues_are_lost.store(false, Ordering::SeqCst);
    }

    /// Sends a hint to the listeners; waits until there is one.
    pub(crate) async fn hint(&self, hint: Hint) {
        self.listeners.until("the store has a listener", |listeners| !listeners.is_empty()).await;
        for listener in self.listeners.get() {
            listener.unbounded_send(hint).unwrap();
        }
    }

    /// Ends the hint streams of the current listeners.
    pub(crate) fn end_hints(&self) {
        self.listeners.change(Vec::clear);
    }
}

#[async_trait]
impl StoreLayer for FaultyStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.batches.lock().unwrap().push(batch.len());
        self.batch_gate.pass().await;
        if self.writes_nothing.load(Ordering::SeqCst) {
            return Ok(vec![CommitOutcome::Committed; batch.len()]);
        }
        let answer = self.answer.lock().unwrap().clone();
        if let Some(outcome) = answer {
            return Ok(vec![outcome; batch.len()]);
        }
        let is_refused = |commit: &Arc<Commit>| {
            let refused = self.refused_keys.lock().unwrap();
            commit.claim.as_ref().is_some_and(|claim| refused.contains(claim.key.as_str()))
        };
        if batch.iter().any(is_refused) {
            return Err(StoreError::Corrupt("injected by the test".into()));
        }
        match self.commits.next() {
            Fault::Conflict => Ok(vec![CommitOutcome::VersionConflict { current: 0 }; batch.len()]),
            fault => Faults::apply(fault, self.inner.commit_shared(batch)).await,
        }
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        assert!(!self.poisoned.lock().unwrap().contains(&id), "injected by the test");
        let mut order = self.loads.around(self.inner.order(id)).await?;
        if let Some(order) = &mut order {
            order.is_written_by_newer |= self.newer.lock().unwrap().contains(&id);
        }
        Ok(order)
    }

    async fn delete_expired_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.deletion_gate.pass().await;
        self.deletions.around(self.inner.delete_expired_keys(claimed_before, limit)).await
    }

    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        self.claims_begun.change(|calls| *calls += 1);
        let mut claimed =
            self.claims.around(self.inner.claim_due_tasks(queue, now, lease_until, limit)).await;
        for ClaimedTask { task, .. } in claimed.iter_mut().flatten() {
            let errors = self.undecodable.lock().unwrap();
            if let Some(error) = task.subject.order_id().and_then(|order_id| errors.get(&order_id)) {
                task.content = Err(error.clone());
            }
        }
        self.claims_answered.change(|calls| *calls += 1);
        claimed
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        self.postponements.around(self.inner.postpone_task(lease, run_at, failure)).await
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        self.parkings.around(self.inner.park_task(lease, failure)).await
    }

    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        let retried = self.inner.retry_task(id, run_at).await;
        self.write_gate.pass().await;
        retried
    }

    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        if self.refuses_restaurants.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".into()));
        }
        self.after_change(self.inner.create_restaurant(restaurant, menu).await).await
    }

    async fn catalogue_since(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        self.catalogue_loads.fetch_add(1, Ordering::SeqCst);
        self.catalogue_gate.pass().await;
        assert!(!self.panics_at_a_catalogue.swap(false, Ordering::SeqCst), "injected by the test");
        if self.catalogues_are_lost.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".into()));
        }
        if self.readable_catalogues.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Unavailable("injected by the test".into()));
        }
        if self.unreadable.lock().unwrap().contains(&id) {
            return Err(StoreError::Corrupt("injected by the test".into()));
        }
        self.inner.catalogue_since(id, known).await
    }

    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        let mut page = self.inner.restaurants(after, is_closed, limit).await?;
        let (unreadable, missing) = (self.unreadable.lock().unwrap(), self.missing.lock().unwrap());
        let is_missing = |restaurant: &Restaurant| missing.contains(&restaurant.id);
        page.incomplete |= page.restaurants.iter().any(is_missing);
        page.unreadable.extend(unreadable.iter());
        page.restaurants.retain(|it| !is_missing(it) && !unreadable.contains(&it.id));
        Ok(page)
    }

    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        self.revision_read_sizes.change(|sizes| sizes.push(ids.len()));
        self.revisions_gate.pass().await;
        if self.hides_revisions.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".into()));
        }
        let mut revisions = self.revision_reads.around(self.inner.revisions(ids)).await?;
        let missing = self.missing.lock().unwrap();
        revisions.retain(|(id, _)| !missing.contains(id));
        Ok(revisions)
    }

    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        self.after_change(self.inner.update_restaurant_under(restaurant, expected, claim).await).await
    }

    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        let written = self.inner.replace_menu(id, menu, expected).await;
        self.write_gate.pass().await;
        written
    }

    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        let written = self.inner.set_availability(id, item, availability, expected).await;
        self.write_gate.pass().await;
        written
    }

    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        self.after_change(self.inner.change_stock(id, item, edit).await).await
    }

    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        let written = self.inner.edit_account_under(edit, claim).await;
        self.write_gate.pass().await;
        written
    }

    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        let written = self.inner.revoke(subject, by, at).await;
        self.write_gate.pass().await;
        written
    }

    async fn api_key_by_hash(&self, hash: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError> {
        self.key_searches.fetch_add(1, Ordering::SeqCst);
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.api_key_by_hash(hash).await
    }

    async fn record_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.record_key_uses(uses).await
    }

    async fn session_by_hash(&self, hash: &SecretHash) -> Result<Option<(Session, Account)>, StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.session_by_hash(hash).await
    }

    async fn record_session_uses(&self, uses: &[SessionUse]) -> Result<(), StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.record_session_uses(uses).await
    }

    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.revocations(after, limit).await
    }

    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        let written = self.inner.set_membership(restaurant_id, account_id, is_member, by).await;
        self.write_gate.pass().await;
        written
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        self.inner.memberships(account_id).await
    }

    fn shard_of(&self, bucket: Bucket) -> usize {
        assert!(!self.panics_at_a_shard.swap(false, Ordering::SeqCst), "injected by the test");
        self.inner.shard_of(bucket)
    }

    async fn ping(&self) -> Result<Health, StoreError> {
        self.pings.change(|pings| *pings += 1);
        assert!(!self.panics_at_a_ping.swap(false, Ordering::SeqCst), "injected by the test");
        self.ping_gate.pass().await;
        self.inner.ping().await
    }

    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        self.measurement_gate.pass().await;
        self.measurements.around(self.inner.measure(shard, now)).await
    }

    fn hints(&self) -> BoxStream<'static, Hint> {
        let (sender, own) = unbounded();
        self.listeners.change(|listeners| listeners.push(sender));
        if self.hides_hints.load(Ordering::SeqCst) {
            return own.boxed();
        }
        futures::stream::select(own, self.inner.hints()).boxed()
    }
}
