//! An in-memory shard that fails as a test requests, and records its calls.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use dabba_domain::{
    OrderId, RestaurantId, TaskId, Timestamp,
    menu::Menu,
    order::{Order, RecordedEvent, Version},
    restaurant::Restaurant,
    task::TaskQueue,
};
use dabba_store::{
    Attendance, BoardCheck, CatalogueGuard, CheckedBoards, ClaimedTask, CodeMatches, CodeQuery, Commit,
    CommitOutcome, FeedEnd, FeedEvent, FeedPage, FeedPosition, Hint, Incarnation, OrderCursor, OrderPage,
    OrderQuery, PageSize, RestaurantCreation, RestaurantPage, Store, StoreError, TaskResolution, TaskRetry,
    layer::{StoreCall, StoreLayer},
};
use futures::stream::{BoxStream, StreamExt as _};

use crate::empty::EmptyStore;

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
    /// Whether each parked task that is changed by its id is on this shard.
    pub(crate) has_parked: Mutex<bool>,
    pub(crate) keys: Mutex<u32>,
    /// Number of boards whose check is due.
    pub(crate) due_boards: AtomicU32,
    restaurants: Mutex<Vec<Restaurant>>,
    /// Hints that the shard sends.
    pub(crate) hints: Mutex<Vec<Hint>>,
    pub(crate) incarnation: Incarnation,
}

impl Stub {
    pub(crate) fn new(incarnation: u64) -> Arc<Self> {
        Arc::new(Self {
            fault: Mutex::new(Fault::None),
            calls: Mutex::default(),
            orders: Mutex::default(),
            events: Mutex::default(),
            tasks: Mutex::default(),
            has_parked: Mutex::new(true),
            keys: Mutex::default(),
            due_boards: AtomicU32::new(0),
            restaurants: Mutex::default(),
            hints: Mutex::default(),
            incarnation: Incarnation::new(incarnation),
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
impl StoreLayer for Stub {
    fn inner(&self) -> &dyn Store {
        &EmptyStore
    }
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        self.enter(call.method).await
    }
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.enter("commit_shared").await?;
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
        let next = is_more.then(|| orders.last().map(OrderCursor::after)).flatten();
        Ok(OrderPage { orders, next, ..OrderPage::default() })
    }
    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError> {
        self.enter("orders_with_code").await?;
        let mut ids: Vec<_> = self.orders.lock().unwrap().iter().map(|order| order.id).collect();
        ids.sort_by_key(|id| std::cmp::Reverse(*id));
        CodeMatches::among(query, ids.into_iter().map(Ok))
    }
    async fn feed(&self, shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        self.enter("feed").await?;
        assert_eq!(shard, 0, "a store of one shard");
        let events = self.events.lock().unwrap();
        let details = self.orders.lock().unwrap().first().map(|order| Arc::clone(&order.details));
        let event = |(place, event): (u64, &RecordedEvent)| FeedEvent {
            position: FeedPosition { transaction: 0, sequence: place },
            order_id: event.order_id,
            restaurant_id: details.as_ref().unwrap().restaurant_id,
            customer_id: details.as_ref().unwrap().customer_id,
            version: event.version,
            at: event.at,
            name: "stub".into(),
            actor: "{}".into(),
            data: None,
            is_newer: false,
        };
        let found = (1..).zip(&*events).skip_while(|(place, _)| *place <= after.sequence);
        let events: Vec<_> = found.take(limit as usize).map(event).collect();
        let is_at_end = events.len() < limit as usize;
        Ok(FeedPage { incarnation: self.incarnation, events, is_at_end })
    }
    async fn feed_end(&self, shard: usize) -> Result<FeedEnd, StoreError> {
        self.enter("feed_end").await?;
        assert_eq!(shard, 0, "a store of one shard");
        let sequence = self.events.lock().unwrap().len() as u64;
        Ok(FeedEnd { incarnation: self.incarnation, position: FeedPosition { transaction: 0, sequence } })
    }
    async fn attendance(&self, ids: &[RestaurantId], now: Timestamp) -> Result<Vec<Attendance>, StoreError> {
        self.enter("attendance").await?;
        let attended = |id: &RestaurantId| Attendance {
            restaurant_id: *id,
            last_seen_at: now,
            is_attended: true,
            is_recorded_attended: true,
            is_handled: false,
        };
        Ok(ids.iter().map(attended).collect())
    }

    async fn check_boards(&self, check: &BoardCheck) -> Result<CheckedBoards, StoreError> {
        self.enter("check_boards").await?;
        let due = self.due_boards.load(Ordering::SeqCst);
        let checked = due.min(check.limit);
        self.due_boards.store(due - checked, Ordering::SeqCst);
        Ok(CheckedBoards { checked, unattended: Vec::new() })
    }

    async fn announce_events(&self, shard: usize) {
        assert_eq!(shard, 0, "a store of one shard");
        self.calls.lock().unwrap().push("announce_events");
    }
    async fn delete_expired_keys(&self, _: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.enter("delete_expired_keys").await?;
        let mut keys = self.keys.lock().unwrap();
        let deleted = limit.min(*keys);
        *keys -= deleted;
        Ok(deleted)
    }
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
    async fn retry_task(&self, _: TaskId, _: Timestamp) -> Result<TaskRetry, StoreError> {
        self.enter("retry_task").await?;
        Ok(if *self.has_parked.lock().unwrap() { TaskRetry::Queued } else { TaskRetry::NotParked })
    }
    async fn resolve_task(&self, _: TaskId, _: &TaskResolution) -> Result<bool, StoreError> {
        self.enter("resolve_task").await?;
        Ok(*self.has_parked.lock().unwrap())
    }
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        _: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        self.enter("create_restaurant").await?;
        self.restaurants.lock().unwrap().push(restaurant.clone());
        Ok(RestaurantCreation::Created)
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
        Ok(RestaurantPage { restaurants, ..RestaurantPage::default() })
    }
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        self.enter("orders").await?;
        let orders = self.orders.lock().unwrap();
        Ok(orders.iter().filter(|order| ids.contains(&order.id)).cloned().collect())
    }
    async fn close(&self) {
        self.calls.lock().unwrap().push("close");
    }
    fn hints(&self) -> BoxStream<'static, Hint> {
        futures::stream::iter(self.hints.lock().unwrap().clone()).boxed()
    }
}
