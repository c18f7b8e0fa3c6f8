//! An in-memory shard that fails as a test requests, and records its calls.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, ExternalId, OrderId, RestaurantId, Role, TaskId, Timestamp,
    menu::{Availability, Menu},
    order::{Order, RecordedEvent, TaskQueue, Version},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountStore, AuditStore, Catalogue,
    CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, ClaimOutcome, ClaimRecord, ClaimedTask, Commit,
    CommitOutcome, Credential, FeedCursor, FeedEntry, Health, Hint, IdempotencyKey, Listing, Measurement,
    MembershipChange, MenuRevisions, OrderCursor, OrderPage, OrderQuery, OrderStore, PageSize, Resource,
    RestaurantCreation, RestaurantPage, Revocation, RevocationRevision, ScopedKey, StockEdit, StockLevel,
    StockUpdate, Store, StoreError, StoredClaim, StoredStock, StoredTask, Subject, TaskFailure, TaskLease,
    TaskPage, TaskResolution, TaskRetry, TaskStore, UnderKey,
};
use futures::stream::{BoxStream, StreamExt as _};

/// Response of a shard to calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The shard never answers.
    Hang,
    Fail(StoreError),
}

/// Keeps only the data that tests of the router need. Its lists contain the orders of all accounts.
pub(crate) struct Stub {
    fault: Mutex<Fault>,
    calls: Mutex<Vec<&'static str>>,
    pub(crate) orders: Mutex<Vec<Order>>,
    pub(crate) events: Mutex<Vec<RecordedEvent>>,
    pub(crate) tasks: Mutex<VecDeque<ClaimedTask>>,
    pub(crate) keys: Mutex<u32>,
    restaurants: Mutex<Vec<Restaurant>>,
    /// Hints that the shard sends.
    pub(crate) hints: Mutex<Vec<Hint>>,
}

impl Stub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            fault: Mutex::new(Fault::None),
            calls: Mutex::default(),
            orders: Mutex::default(),
            events: Mutex::default(),
            tasks: Mutex::default(),
            keys: Mutex::default(),
            restaurants: Mutex::default(),
            hints: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Returns and clears the recorded calls.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    async fn enter(&self, call: &'static str) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push(call);
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Fault::None => Ok(()),
            Fault::Hang => std::future::pending().await,
            Fault::Fail(error) => Err(error),
        }
    }
}

#[async_trait]
impl OrderStore for Stub {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.enter("commit").await?;
        let outcome = |commit: Arc<Commit>| {
            let Some(change) = Arc::unwrap_or_clone(commit).change else { return CommitOutcome::KeyReused };
            self.orders.lock().unwrap().push(change.order);
            self.events.lock().unwrap().extend(change.events);
            CommitOutcome::Committed
        };
        Ok(batch.into_iter().map(outcome).collect())
    }
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.enter("order").await?;
        Ok(self.orders.lock().unwrap().iter().find(|order| order.id == id).cloned())
    }
    async fn events(&self, id: OrderId, _: Version, _: u32) -> Result<Vec<RecordedEvent>, StoreError> {
        self.enter("events").await?;
        let events = self.events.lock().unwrap();
        Ok(events.iter().filter(|event| event.order_id == id).cloned().collect())
    }
    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        self.enter("list_orders").await?;
        let mut orders = self.orders.lock().unwrap().clone();
        orders.retain(|order| query.after.is_none_or(|after| order.id < after.order_id));
        orders.sort_by_key(|order| std::cmp::Reverse(order.id));
        let is_more = orders.len() > query.limit.get() as usize;
        orders.truncate(query.limit.get() as usize);
        let next = is_more.then(|| orders.last().map(OrderCursor::behind)).flatten();
        Ok(OrderPage { orders, next, ..OrderPage::default() })
    }
    async fn feed(&self, after: &FeedCursor, limit: u32) -> Result<Vec<FeedEntry>, StoreError> {
        self.enter("feed").await?;
        let first: usize = if *after == FeedCursor::start() {
            0
        } else {
            after.0.parse().map_err(|_| StoreError::Corrupt("not a number".to_owned()))?
        };
        let events = self.events.lock().unwrap();
        let entry = |(place, event): (usize, &RecordedEvent)| FeedEntry {
            cursor: FeedCursor((place + 1).to_string()),
            event: event.clone(),
        };
        Ok(events.iter().enumerate().skip(first).take(limit as usize).map(entry).collect())
    }
    async fn find_claim(
        &self,
        _: AccountId,
        _: RestaurantId,
        _: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.enter("find_claim").await?;
        Ok(None)
    }
    async fn forget_keys(&self, _: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.enter("forget_keys").await?;
        let mut keys = self.keys.lock().unwrap();
        let forgotten = limit.min(*keys);
        *keys -= forgotten;
        Ok(forgotten)
    }
}

#[async_trait]
impl TaskStore for Stub {
    async fn claim_due_tasks(
        &self,
        _queue: TaskQueue,
        _: Timestamp,
        _: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        self.enter("claim_due_tasks").await?;
        let mut tasks = self.tasks.lock().unwrap();
        let count = tasks.len().min(limit as usize);
        Ok(tasks.drain(..count).collect())
    }
    async fn postpone_task(
        &self,
        _: TaskLease,
        _: Timestamp,
        _: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        self.enter("postpone_task").await?;
        Ok(true)
    }
    async fn park_task(&self, _: TaskLease, _: &TaskFailure) -> Result<bool, StoreError> {
        self.enter("park_task").await?;
        Ok(true)
    }
    async fn parked_tasks(&self, _: Option<TaskId>, _: PageSize) -> Result<TaskPage, StoreError> {
        self.enter("parked_tasks").await?;
        Ok(TaskPage::default())
    }
    async fn retry_task(&self, _: TaskId, _: Timestamp) -> Result<TaskRetry, StoreError> {
        self.enter("retry_task").await?;
        Ok(TaskRetry::Queued)
    }
    async fn resolve_task(&self, _: TaskId, _: &TaskResolution) -> Result<bool, StoreError> {
        self.enter("resolve_task").await?;
        Ok(true)
    }
}

#[async_trait]
impl CatalogueStore for Stub {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        _: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        self.enter("create_restaurant").await?;
        self.restaurants.lock().unwrap().push(restaurant.clone());
        Ok(RestaurantCreation::Created)
    }
    async fn catalogue_beyond(
        &self,
        _: RestaurantId,
        _: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        self.enter("catalogue").await?;
        Ok(None)
    }
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        self.enter("revisions").await?;
        let restaurants = self.restaurants.lock().unwrap();
        let guard = |restaurant: &Restaurant| {
            let guard = CatalogueGuard {
                restaurant_revision: restaurant.revision,
                menu_revision: 1,
                availability_revision: 1,
            };
            (restaurant.id, guard)
        };
        Ok(restaurants.iter().filter(|restaurant| ids.contains(&restaurant.id)).map(guard).collect())
    }
    async fn restaurant_by_external_id(&self, _: &ExternalId) -> Result<Option<RestaurantId>, StoreError> {
        self.enter("restaurant_by_external_id").await?;
        Ok(None)
    }
    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        _: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        self.enter("restaurants").await?;
        let mut restaurants = self.restaurants.lock().unwrap().clone();
        restaurants.retain(|restaurant| after.is_none_or(|after| restaurant.id > after));
        restaurants.sort_by_key(|restaurant| restaurant.id);
        restaurants.truncate(limit.get() as usize);
        Ok(RestaurantPage { restaurants, incomplete: false })
    }
    async fn update_restaurant_under(
        &self,
        _: &Restaurant,
        _: Revision,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        self.enter("update_restaurant").await?;
        Ok(UnderKey::Ended(CatalogueUpdate::NotFound))
    }
    async fn replace_menu(
        &self,
        _: RestaurantId,
        _: &Menu,
        _: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        self.enter("replace_menu").await?;
        Ok(CatalogueUpdate::NotFound)
    }
    async fn set_availability(
        &self,
        _: RestaurantId,
        _: &Slug,
        _: Availability,
        _: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        self.enter("set_availability").await?;
        Ok(CatalogueUpdate::NotFound)
    }
    async fn stock(&self, _: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        self.enter("stock").await?;
        Ok(Vec::new())
    }
    async fn change_stock(
        &self,
        _: RestaurantId,
        _: &Slug,
        _: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        self.enter("change_stock").await?;
        Ok(StockUpdate::NotFound)
    }
}

#[async_trait]
impl AccountStore for Stub {
    async fn create_account_under(
        &self,
        _: &Account,
        _: Option<Credential>,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        self.enter("create_account").await?;
        Ok(UnderKey::Ended(AccountCreation::Created))
    }
    async fn claim_for_account(
        &self,
        _: ClaimAt<'_>,
        _: &Resource,
        _: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        self.enter("claim_for_account").await?;
        Ok(ClaimOutcome::Claimed)
    }
    async fn find_account_claim(
        &self,
        _: AccountId,
        _: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.enter("find_account_claim").await?;
        Ok(None)
    }
    async fn account(&self, _: AccountId) -> Result<Option<Account>, StoreError> {
        self.enter("account").await?;
        Ok(None)
    }
    async fn account_by_email(&self, _: &str) -> Result<Option<Account>, StoreError> {
        self.enter("account_by_email").await?;
        Ok(None)
    }
    async fn accounts(
        &self,
        _: Option<Role>,
        _: Option<AccountId>,
        _: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        self.enter("accounts").await?;
        Ok(Vec::new())
    }
    async fn edit_account_under(
        &self,
        _: &AccountEdit,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        self.enter("edit_account").await?;
        Ok(UnderKey::Ended(AccountEditOutcome::NotFound))
    }
    async fn revoke(
        &self,
        _: Subject,
        _: Option<Credential>,
        _: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        self.enter("revoke").await?;
        Ok(Some(1))
    }
    async fn revocations(&self, _: RevocationRevision, _: u32) -> Result<Vec<Revocation>, StoreError> {
        self.enter("revocations").await?;
        Ok(Vec::new())
    }
    async fn revocation(&self, _: Subject) -> Result<RevocationRevision, StoreError> {
        self.enter("revocation").await?;
        Ok(0)
    }
    async fn set_membership(
        &self,
        _: RestaurantId,
        _: AccountId,
        is_member: bool,
        _: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        self.enter(if is_member { "add_member" } else { "remove_member" }).await?;
        Ok(MembershipChange::Unchanged)
    }
    async fn members(
        &self,
        _: RestaurantId,
        _: Option<AccountId>,
        _: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        self.enter("members").await?;
        Ok(Vec::new())
    }
    async fn memberships(&self, _: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.enter("memberships").await?;
        Ok(Vec::new())
    }
}

#[async_trait]
impl AuditStore for Stub {
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        self.enter("orders").await?;
        let orders = self.orders.lock().unwrap();
        Ok(orders.iter().filter(|order| ids.contains(&order.id)).cloned().collect())
    }
    async fn all_tasks(&self, _: Option<TaskId>, _: PageSize) -> Result<Listing<StoredTask>, StoreError> {
        self.enter("all_tasks").await?;
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
    async fn all_claims(
        &self,
        _: Option<&ScopedKey>,
        _: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        self.enter("all_claims").await?;
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
    async fn all_stock(
        &self,
        _: Option<(RestaurantId, &Slug)>,
        _: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        self.enter("all_stock").await?;
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
}

#[async_trait]
impl Store for Stub {
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.enter("time").await?;
        Ok(Some(Timestamp::UNIX_EPOCH))
    }
    async fn ping(&self) -> Result<Health, StoreError> {
        self.enter("ping").await?;
        Ok(Health::default())
    }
    async fn measure(&self, _: usize, _: Timestamp) -> Result<Measurement, StoreError> {
        self.enter("measure").await?;
        Ok(Measurement::default())
    }
    async fn close(&self) {
        self.calls.lock().unwrap().push("close");
    }
    fn hints(&self) -> BoxStream<'static, Hint> {
        futures::stream::iter(self.hints.lock().unwrap().clone()).boxed()
    }
}
