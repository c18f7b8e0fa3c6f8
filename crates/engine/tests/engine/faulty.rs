//! A store that passes everything on to a real one, and fails where a test says.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, Bucket, OrderId, RestaurantId, TaskId, Timestamp,
    menu::{Availability, Menu},
    order::{Order, TaskQueue},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::{
    AccountEdit, AccountEditOutcome, Catalogue, CatalogueGuard, CatalogueUpdate, ClaimAt, ClaimedTask,
    Commit, CommitOutcome, Credential, Health, Hint, Measurement, MembershipChange, MenuRevisions,
    RestaurantCreation, Revocation, RevocationRevision, StockEdit, StockUpdate, Store, StoreError, Subject,
    TaskFailure, TaskLease, TaskRetry, UnderKey, layer::StoreLayer,
};
use futures::{
    channel::mpsc::{UnboundedSender, unbounded},
    stream::{BoxStream, StreamExt as _},
};
use tokio::sync::Semaphore;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it is carried out.
    None,
    /// The store is away: nothing is done.
    Before,
    /// It is carried out, and the answer is lost.
    After,
    /// Every commit of a batch is answered as if its order had changed. For batches only.
    Conflict,
    /// The store finds that it is damaged.
    Damage,
    /// The call panics, before anything is done.
    Panic,
}

type FaultPlan = Box<dyn FnMut() -> Fault + Send>;

/// What happens to the calls of one kind.
pub(crate) struct Faults(Mutex<FaultPlan>);

impl Faults {
    fn none() -> Self {
        Self(Mutex::new(Box::new(|| Fault::None)))
    }

    /// From now on, each call asks `plan` what happens to it.
    pub(crate) fn plan(&self, plan: impl FnMut() -> Fault + Send + 'static) {
        *self.0.lock().unwrap() = Box::new(plan);
    }

    /// The next call fails like this; the ones after it do not.
    pub(crate) fn fail_once(&self, fault: Fault) {
        let mut next = Some(fault);
        self.plan(move || next.take().unwrap_or(Fault::None));
    }

    fn next(&self) -> Fault {
        (self.0.lock().unwrap())()
    }

    /// Makes the next call.
    async fn around<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        Self::apply(self.next(), call).await
    }

    async fn apply<T>(
        fault: Fault,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let text = "as the test says".to_owned();
        match fault {
            Fault::None | Fault::Conflict => call.await,
            Fault::Before => Err(StoreError::Unavailable(text)),
            Fault::After => {
                call.await?;
                Err(StoreError::OutcomeUnknown(text))
            }
            Fault::Damage => Err(StoreError::Corrupt(text)),
            Fault::Panic => std::panic::resume_unwind(Box::new(text)),
        }
    }
}

/// Where calls wait while it is shut.
pub(crate) struct Gate {
    open: Semaphore,
    waiting: Semaphore,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { open: Semaphore::const_new(Semaphore::MAX_PERMITS), waiting: Semaphore::const_new(0) }
    }

    /// Lets nobody pass until [`Gate::open`].
    pub(crate) fn shut(&self) {
        self.open.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS);
    }

    /// Returns when somebody stands before the shut gate.
    pub(crate) async fn somebody_waits(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }

    pub(crate) async fn pass(&self) {
        if self.open.available_permits() == 0 {
            self.waiting.add_permits(1);
        }
        drop(self.open.acquire().await.unwrap());
    }
}

/// See the module's description.
pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    /// What happens to batches.
    pub(crate) commits: Faults,
    /// What happens when an order is read.
    pub(crate) loads: Faults,
    /// What happens when tasks are claimed.
    pub(crate) claims: Faults,
    /// What happens when a task is given back.
    pub(crate) postponements: Faults,
    /// What happens when a task is parked.
    pub(crate) parkings: Faults,
    /// What happens to questions for revisions.
    pub(crate) questions: Faults,
    /// What happens when expired keys are forgotten.
    pub(crate) forgettings: Faults,
    /// What happens to measurements.
    pub(crate) measurements: Faults,
    /// Through which every measurement passes.
    pub(crate) measurement_gate: Gate,
    /// Keys; a batch with a commit under one of them is refused as corrupt.
    pub(crate) refused_keys: Mutex<HashSet<String>>,
    /// Whether whoever reads the next catalogue panics.
    pub(crate) panics_at_a_catalogue: AtomicBool,
    /// Whether the next call that asks for the shard of a bucket panics.
    pub(crate) panics_at_a_shard: AtomicBool,
    /// Whether the next question how the store is panics.
    pub(crate) panics_at_a_ping: AtomicBool,
    /// Orders at which whoever reads them panics.
    pub(crate) poisoned: Mutex<HashSet<OrderId>>,
    /// Orders that are read as if a newer program had written to them.
    pub(crate) newer: Mutex<HashSet<OrderId>>,
    /// How often tasks were asked for.
    pub(crate) claims_begun: AtomicU64,
    /// Through which every batch passes.
    pub(crate) batch_gate: Gate,
    /// Through which every write passes that is no batch, when it is done and not answered yet.
    pub(crate) write_gate: Gate,
    /// Through which every load of a catalogue passes.
    pub(crate) catalogue_gate: Gate,
    /// The sizes of the batches that were begun.
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) catalogue_loads: AtomicU64,
    /// How often the store was asked how it is.
    pub(crate) pings: AtomicU64,
    /// Through which every such question passes.
    pub(crate) ping_gate: Gate,
    /// Through which every question for revisions passes.
    pub(crate) revisions_gate: Gate,
    /// How many revisions each question was about.
    pub(crate) revisions_asked: Mutex<Vec<usize>>,
    /// Whether the next restaurant is not registered.
    pub(crate) refuses_restaurants: AtomicBool,
    /// Whether catalogues cannot be read any more once one of them has been changed.
    pub(crate) loses_catalogues_after_a_change: AtomicBool,
    catalogues_are_lost: AtomicBool,
    /// Whether questions for revisions fail.
    pub(crate) hides_revisions: AtomicBool,
    /// How many more catalogues can be read before reading them fails.
    pub(crate) readable_catalogues: AtomicI64,
    /// Whether what the real store hints at is passed on.
    pub(crate) hides_hints: AtomicBool,
    /// Whether what knows the accounts is away.
    pub(crate) hides_accounts: AtomicBool,
    /// Whether batches are acknowledged and not written: for a benchmark of what comes before a store.
    pub(crate) writes_nothing: AtomicBool,
    listeners: Mutex<Vec<UnboundedSender<Hint>>>,
}

/// One thing that fails, once.
pub(crate) type StoreFailure = (&'static str, fn(&FaultyStore) -> &Faults, Fault);

/// Every step of a task at which the store has a part, with every way in which it can fail there.
pub(crate) const STORE_FAILURES: [StoreFailure; 10] = [
    ("away at the claim", |store| &store.claims, Fault::Before),
    ("the claim's answer is lost", |store| &store.claims, Fault::After),
    ("damaged at the claim", |store| &store.claims, Fault::Damage),
    ("away when the order is read", |store| &store.loads, Fault::Before),
    ("the read order is lost", |store| &store.loads, Fault::After),
    ("damaged when the order is read", |store| &store.loads, Fault::Damage),
    ("away at the commit", |store| &store.commits, Fault::Before),
    ("the commit's answer is lost", |store| &store.commits, Fault::After),
    ("damaged at the commit", |store| &store.commits, Fault::Damage),
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
            questions: Faults::none(),
            forgettings: Faults::none(),
            measurements: Faults::none(),
            measurement_gate: Gate::new(),
            refused_keys: Mutex::default(),
            panics_at_a_catalogue: AtomicBool::new(false),
            panics_at_a_shard: AtomicBool::new(false),
            panics_at_a_ping: AtomicBool::new(false),
            poisoned: Mutex::default(),
            newer: Mutex::default(),
            claims_begun: AtomicU64::new(0),
            batch_gate: Gate::new(),
            write_gate: Gate::new(),
            catalogue_gate: Gate::new(),
            batches: Mutex::default(),
            catalogue_loads: AtomicU64::new(0),
            pings: AtomicU64::new(0),
            ping_gate: Gate::new(),
            revisions_gate: Gate::new(),
            revisions_asked: Mutex::default(),
            refuses_restaurants: AtomicBool::new(false),
            loses_catalogues_after_a_change: AtomicBool::new(false),
            catalogues_are_lost: AtomicBool::new(false),
            hides_revisions: AtomicBool::new(false),
            readable_catalogues: AtomicI64::new(i64::MAX),
            hides_hints: AtomicBool::new(false),
            hides_accounts: AtomicBool::new(false),
            writes_nothing: AtomicBool::new(false),
            listeners: Mutex::default(),
        }
    }

    /// The same store without faults or gates, as another server has it.
    pub(crate) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }

    /// Loses all catalogues if they are to be lost once one has been changed.
    async fn after_change<T>(&self, changed: T) -> T {
        self.write_gate.pass().await;
        if self.loses_catalogues_after_a_change.load(Ordering::SeqCst) {
            self.catalogues_are_lost.store(true, Ordering::SeqCst);
        }
        changed
    }

    /// Lets catalogues be read again.
    pub(crate) fn find_catalogues(&self) {
        self.loses_catalogues_after_a_change.store(false, Ordering::SeqCst);
        self.catalogues_are_lost.store(false, Ordering::SeqCst);
    }

    /// Hints at something, once somebody listens.
    pub(crate) async fn hint(&self, hint: Hint) {
        while self.listeners.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        for listener in &*self.listeners.lock().unwrap() {
            listener.unbounded_send(hint).unwrap();
        }
    }

    /// Ends the streams of those who listen by now.
    pub(crate) fn end_hints(&self) {
        self.listeners.lock().unwrap().clear();
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
        let is_refused = |commit: &Arc<Commit>| {
            let refused = self.refused_keys.lock().unwrap();
            commit.claim.as_ref().is_some_and(|claim| refused.contains(claim.key.as_str()))
        };
        if batch.iter().any(is_refused) {
            return Err(StoreError::Corrupt("as the test says".into()));
        }
        match self.commits.next() {
            Fault::Conflict => Ok(vec![CommitOutcome::VersionConflict { current: 0 }; batch.len()]),
            fault => Faults::apply(fault, self.inner.commit_shared(batch)).await,
        }
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        assert!(!self.poisoned.lock().unwrap().contains(&id), "as the test says");
        let mut order = self.loads.around(self.inner.order(id)).await?;
        if let Some(order) = &mut order {
            order.is_newer |= self.newer.lock().unwrap().contains(&id);
        }
        Ok(order)
    }

    async fn forget_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.forgettings.around(self.inner.forget_keys(claimed_before, limit)).await
    }

    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        self.claims_begun.fetch_add(1, Ordering::SeqCst);
        self.claims.around(self.inner.claim_due_tasks(queue, now, lease_until, limit)).await
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
            return Err(StoreError::Unavailable("as the test says".into()));
        }
        self.after_change(self.inner.create_restaurant(restaurant, menu).await).await
    }

    async fn catalogue_beyond(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        self.catalogue_loads.fetch_add(1, Ordering::SeqCst);
        self.catalogue_gate.pass().await;
        assert!(!self.panics_at_a_catalogue.swap(false, Ordering::SeqCst), "as the test says");
        if self.catalogues_are_lost.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test says".into()));
        }
        if self.readable_catalogues.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Unavailable("as the test says".into()));
        }
        self.inner.catalogue_beyond(id, known).await
    }

    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        self.revisions_asked.lock().unwrap().push(ids.len());
        self.revisions_gate.pass().await;
        if self.hides_revisions.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test says".into()));
        }
        self.questions.around(self.inner.revisions(ids)).await
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

    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        if self.hides_accounts.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test says".to_owned()));
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
            return Err(StoreError::Unavailable("as the test says".to_owned()));
        }
        self.inner.memberships(account_id).await
    }

    fn shard_of(&self, bucket: Bucket) -> usize {
        assert!(!self.panics_at_a_shard.swap(false, Ordering::SeqCst), "as the test says");
        self.inner.shard_of(bucket)
    }

    async fn ping(&self) -> Result<Health, StoreError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics_at_a_ping.swap(false, Ordering::SeqCst), "as the test says");
        self.ping_gate.pass().await;
        self.inner.ping().await
    }

    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        self.measurement_gate.pass().await;
        self.measurements.around(self.inner.measure(shard, now)).await
    }

    fn hints(&self) -> BoxStream<'static, Hint> {
        let (sender, own) = unbounded();
        self.listeners.lock().unwrap().push(sender);
        if self.hides_hints.load(Ordering::SeqCst) {
            return own.boxed();
        }
        futures::stream::select(own, self.inner.hints()).boxed()
    }
}
