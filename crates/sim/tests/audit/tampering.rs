//! A store that forwards reads and lets a test tamper with the results, to show data that only a defect could
//! store.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    OrderId, RestaurantId, TaskId,
    order::{Order, RecordedEvent, Version, fold},
    text::Slug,
};
use dabba_store::{
    Listing, OrderPage, OrderQuery, PageSize, ScopedKey, Store, StoreError, StoredClaim, StoredStock,
    StoredTask, layer::StoreLayer,
};

/// An order with its events, as a test presents them to the audit.
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether the events cannot be decoded.
    pub(crate) is_unreadable: bool,
}

impl Stored {
    /// Recomputes the order from its events.
    pub(crate) fn refold(&mut self) {
        self.order = fold(&self.events).unwrap().unwrap();
    }
}

/// A change to each order.
pub(crate) type Tamper = fn(&mut Stored);

/// A change to each order that can use a test's variables.
type AnyTamper = Box<dyn Fn(&mut Stored) + Send + Sync>;

/// All tasks, keys and stock, as a test presents them to the audit.
pub(crate) struct Lists {
    pub(crate) tasks: Vec<StoredTask>,
    pub(crate) claims: Vec<StoredClaim>,
    pub(crate) stock: Vec<StoredStock>,
    /// The damage of the storage.
    pub(crate) damage: Vec<String>,
}

/// A change to the lists.
pub(crate) type TamperLists = fn(&mut Lists);

/// A change to the lists that can use a test's variables.
type AnyTamperLists = Box<dyn Fn(&mut Lists) + Send + Sync>;

/// See the module documentation.
pub(crate) struct Tampering {
    inner: Arc<dyn Store>,
    tamper: AnyTamper,
    tamper_lists: AnyTamperLists,
    /// Whether the lookups of orders for tasks and keys return the original orders.
    pub(crate) lookups_are_unchanged: bool,
    /// Whether pages of orders are marked as incomplete.
    pub(crate) is_incomplete: bool,
    /// Whether pages of the other lists are marked as incomplete.
    pub(crate) are_lists_incomplete: bool,
}

impl Tampering {
    pub(crate) fn new(inner: Arc<dyn Store>, tamper: impl Fn(&mut Stored) + Send + Sync + 'static) -> Self {
        Self {
            inner,
            tamper: Box::new(tamper),
            tamper_lists: Box::new(|_| {}),
            lookups_are_unchanged: false,
            is_incomplete: false,
            are_lists_incomplete: false,
        }
    }

    /// Tampers with the lists too.
    pub(crate) fn with_lists(mut self, tamper: impl Fn(&mut Lists) + Send + Sync + 'static) -> Self {
        self.tamper_lists = Box::new(tamper);
        self
    }

    async fn stored(&self, order: Order) -> Stored {
        let events = self.inner.events(order.id, 0, u32::MAX).await.unwrap();
        let mut stored = Stored { order, events, is_unreadable: false };
        (self.tamper)(&mut stored);
        stored
    }

    async fn lists(&self) -> Lists {
        /// Reads a list to its end.
        macro_rules! all {
            (|$last:ident, $limit:ident| $list:expr) => {{
                let $limit = PageSize::new(PageSize::MAX).unwrap();
                let mut read = Vec::new();
                loop {
                    let page = {
                        let $last = read.last();
                        $list.await.unwrap().entries
                    };
                    let is_last = page.len() < $limit.get() as usize;
                    read.extend(page);
                    if is_last {
                        break read;
                    }
                }
            }};
        }
        let inner = &self.inner;
        let mut lists = Lists {
            tasks: all!(|last, limit| inner.all_tasks(last.map(|last: &StoredTask| last.task.id), limit)),
            claims: all!(|last, limit| inner.all_claims(last.map(|last: &StoredClaim| &last.key), limit)),
            stock: all!(|last, limit| inner
                .all_stock(last.map(|last: &StoredStock| (last.restaurant_id, &last.item)), limit)),
            damage: inner.damage().await.unwrap(),
        };
        (self.tamper_lists)(&mut lists);
        lists
    }

    /// Returns the page after an entry.
    fn page<T>(&self, all: Vec<T>, limit: PageSize, is_last: Option<impl Fn(&T) -> bool>) -> Listing<T> {
        let first = is_last.map_or(0, |is_last| 1 + all.iter().position(is_last).unwrap());
        let entries = all.into_iter().skip(first).take(limit.get() as usize).collect();
        Listing { entries, incomplete: self.are_lists_incomplete }
    }
}

#[async_trait]
impl StoreLayer for Tampering {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        let order = self.inner.order(id).await?.unwrap();
        Ok(Some(self.stored(order).await.order))
    }

    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let order = self.inner.order(id).await?.unwrap();
        let stored = self.stored(order).await;
        assert!(
            after == 0 && stored.events.len() < limit as usize,
            "the histories of these tests must fit on one page"
        );
        if stored.is_unreadable {
            return Err(StoreError::Corrupt("injected by a test".to_owned()));
        }
        Ok(stored.events)
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        let mut page = self.inner.list_orders(query).await?;
        for order in &mut page.orders {
            *order = self.stored(order.clone()).await.order;
        }
        page.incomplete |= self.is_incomplete;
        Ok(page)
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.lists().await.damage)
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        if self.lookups_are_unchanged {
            return self.inner.orders(ids).await;
        }
        let mut orders = Vec::new();
        for order in self.inner.orders(ids).await? {
            orders.push(self.stored(order).await.order);
        }
        Ok(orders)
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        let is_last = after.map(|after| move |stored: &StoredTask| stored.task.id == after);
        Ok(self.page(self.lists().await.tasks, limit, is_last))
    }

    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        let is_last = after.map(|after| move |stored: &StoredClaim| stored.key == *after);
        Ok(self.page(self.lists().await.claims, limit, is_last))
    }

    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        let is_last =
            after.map(|after| move |stored: &StoredStock| (stored.restaurant_id, &stored.item) == after);
        Ok(self.page(self.lists().await.stock, limit, is_last))
    }
}
