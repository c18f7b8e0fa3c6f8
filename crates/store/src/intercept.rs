//! A store that forwards every call to another store and lets an interceptor act on it. Simulations and tests
//! use it to decide which calls fail, and when.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, Bucket, ExternalId, OrderId, RestaurantId, Role, TaskId, Timestamp,
    menu::{Availability, Menu},
    order::{Order, RecordedEvent, TaskQueue, Version},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use futures::stream::BoxStream;

use crate::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountStore, AuditStore, Catalogue,
    CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, ClaimOutcome, ClaimRecord, ClaimedTask, Commit,
    CommitOutcome, Credential, FeedCursor, FeedEntry, Health, Hint, IdempotencyKey, Listing, Measurement,
    MembershipChange, MenuRevisions, OrderPage, OrderQuery, OrderStore, PageSize, PartStatus, PoolStatus,
    Resource, RestaurantCreation, RestaurantPage, Revocation, RevocationRevision, ScopedKey, StockEdit,
    StockLevel, StockUpdate, Store, StoreError, StoredClaim, StoredStock, StoredTask, Subject, TaskFailure,
    TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore, UnderKey,
};

/// Acts before and after calls of a store. An error before a call prevents the call. An error after a call
/// replaces the call's result, as if the result had been lost.
#[async_trait]
pub trait Interceptor: Send + Sync {
    /// Acts before a call.
    async fn before(&self, call: StoreCall) -> Result<(), StoreError>;

    /// Acts after a call that succeeded.
    async fn after(&self, call: StoreCall) -> Result<(), StoreError>;

    /// Changes a batch before it reaches the store. The default returns the batch unchanged.
    fn change(&self, batch: Vec<Commit>) -> Vec<Commit> {
        batch
    }
}

/// Kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreCall {
    /// [`OrderStore::commit`].
    Commit,
    /// A read of orders, events or keys.
    Read,
    /// [`TaskStore::claim_due_tasks`].
    ClaimTasks,
    /// A change of a task by the worker that holds its lease.
    ReturnTask,
    /// Any other call.
    Other,
}

/// A store with an interceptor.
pub struct InterceptedStore<I> {
    inner: Arc<dyn Store>,
    interceptor: I,
}

impl<I: Interceptor> InterceptedStore<I> {
    /// Creates a store that forwards every call to `inner`.
    pub const fn new(inner: Arc<dyn Store>, interceptor: I) -> Self {
        Self { inner, interceptor }
    }

    async fn around<T>(
        &self,
        call: StoreCall,
        made: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.interceptor.before(call).await?;
        let answer = made.await?;
        self.interceptor.after(call).await?;
        Ok(answer)
    }
}

#[async_trait]
impl<I: Interceptor> OrderStore for InterceptedStore<I> {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let batch = self.interceptor.change(batch.into_iter().map(Arc::unwrap_or_clone).collect());
        self.around(StoreCall::Commit, self.inner.commit(batch)).await
    }
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.around(StoreCall::Read, self.inner.order(id)).await
    }
    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.around(StoreCall::Read, self.inner.events(id, after, limit)).await
    }
    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        self.around(StoreCall::Read, self.inner.list_orders(query)).await
    }
    async fn feed(&self, after: &FeedCursor, limit: u32) -> Result<Vec<FeedEntry>, StoreError> {
        self.around(StoreCall::Read, self.inner.feed(after, limit)).await
    }
    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.around(StoreCall::Read, self.inner.find_claim(account_id, restaurant_id, key)).await
    }
    async fn forget_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.around(StoreCall::Other, self.inner.forget_keys(claimed_before, limit)).await
    }
}

#[async_trait]
impl<I: Interceptor> TaskStore for InterceptedStore<I> {
    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let claimed = self.inner.claim_due_tasks(queue, now, lease_until, limit);
        self.around(StoreCall::ClaimTasks, claimed).await
    }
    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        self.around(StoreCall::ReturnTask, self.inner.postpone_task(lease, run_at, failure)).await
    }
    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        self.around(StoreCall::ReturnTask, self.inner.park_task(lease, failure)).await
    }
    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        self.around(StoreCall::Other, self.inner.parked_tasks(after, limit)).await
    }
    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        self.around(StoreCall::Other, self.inner.retry_task(id, run_at)).await
    }
    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError> {
        self.around(StoreCall::Other, self.inner.resolve_task(id, resolution)).await
    }
}

#[async_trait]
impl<I: Interceptor> CatalogueStore for InterceptedStore<I> {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        self.around(StoreCall::Other, self.inner.create_restaurant(restaurant, menu)).await
    }
    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError> {
        self.around(StoreCall::Other, self.inner.restaurant_by_external_id(external_id)).await
    }
    async fn catalogue_beyond(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        self.around(StoreCall::Other, self.inner.catalogue_beyond(id, known)).await
    }
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        self.around(StoreCall::Other, self.inner.revisions(ids)).await
    }
    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        self.around(StoreCall::Other, self.inner.restaurants(after, is_closed, limit)).await
    }
    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        self.around(StoreCall::Other, self.inner.update_restaurant_under(restaurant, expected, claim)).await
    }
    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        self.around(StoreCall::Other, self.inner.replace_menu(id, menu, expected)).await
    }
    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        self.around(StoreCall::Other, self.inner.set_availability(id, item, availability, expected)).await
    }
    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        self.around(StoreCall::Other, self.inner.stock(id)).await
    }
    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        self.around(StoreCall::Other, self.inner.change_stock(id, item, edit)).await
    }
}

#[async_trait]
impl<I: Interceptor> AccountStore for InterceptedStore<I> {
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        self.around(StoreCall::Other, self.inner.create_account_under(account, by, claim)).await
    }
    async fn accounts(
        &self,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        self.around(StoreCall::Other, self.inner.accounts(role, after, limit)).await
    }
    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        self.around(StoreCall::Other, self.inner.edit_account_under(edit, claim)).await
    }
    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        self.around(StoreCall::Other, self.inner.revoke(subject, by, at)).await
    }
    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.around(StoreCall::Other, self.inner.revocations(after, limit)).await
    }
    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError> {
        self.around(StoreCall::Other, self.inner.revocation(subject)).await
    }
    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        self.around(StoreCall::Other, self.inner.claim_for_account(claim, resource, version)).await
    }
    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.around(StoreCall::Read, self.inner.find_account_claim(account_id, key)).await
    }
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.around(StoreCall::Other, self.inner.account(id)).await
    }
    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        self.around(StoreCall::Other, self.inner.account_by_email(email)).await
    }
    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        let set = self.inner.set_membership(restaurant_id, account_id, is_member, by);
        self.around(StoreCall::Other, set).await
    }
    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        self.around(StoreCall::Other, self.inner.members(restaurant_id, after, limit)).await
    }
    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.around(StoreCall::Other, self.inner.memberships(account_id)).await
    }
}

#[async_trait]
impl<I: Interceptor> AuditStore for InterceptedStore<I> {
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.around(StoreCall::Other, self.inner.damage()).await
    }
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        self.around(StoreCall::Other, self.inner.orders(ids)).await
    }
    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        self.around(StoreCall::Other, self.inner.all_tasks(after, limit)).await
    }
    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        self.around(StoreCall::Other, self.inner.all_claims(after, limit)).await
    }
    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        self.around(StoreCall::Other, self.inner.all_stock(after, limit)).await
    }
}

#[async_trait]
impl<I: Interceptor> Store for InterceptedStore<I> {
    async fn ping(&self) -> Result<Health, StoreError> {
        self.inner.ping().await
    }
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.time().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
    fn hints(&self) -> BoxStream<'static, Hint> {
        self.inner.hints()
    }
    fn parts(&self) -> Vec<PartStatus> {
        self.inner.parts()
    }
    async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue) {
        self.inner.announce_tasks(bucket, queue).await;
    }
    async fn warm_up(&self, batches: usize) {
        self.inner.warm_up(batches).await;
    }
    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        self.around(StoreCall::Other, self.inner.measure(shard, now)).await
    }
    fn pools(&self) -> Vec<PoolStatus> {
        self.inner.pools()
    }
    fn shard_names(&self) -> Vec<String> {
        self.inner.shard_names()
    }
    fn directory(&self) -> usize {
        self.inner.directory()
    }
    fn shard_count(&self) -> usize {
        self.inner.shard_count()
    }
    fn shard_of(&self, bucket: Bucket) -> usize {
        self.inner.shard_of(bucket)
    }
}
