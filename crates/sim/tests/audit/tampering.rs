//! A store that passes reads on, and lets a test tamper with what is read: what it shows could only be
//! stored by a defect.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, Timestamp,
    order::{Order, RecordedEvent, Version, fold},
};
use dabba_store::{
    ClaimRecord, Commit, CommitOutcome, FeedCursor, FeedEntry, IdempotencyKey, OrderPage, OrderQuery,
    OrderStore, Store, StoreError,
};

/// An order with its events, as a test wants them to be found.
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether the events cannot be decoded.
    pub(crate) is_unreadable: bool,
}

impl Stored {
    /// Makes the order what its events say.
    pub(crate) fn refold(&mut self) {
        self.order = fold(&self.events).unwrap().unwrap();
    }
}

/// What is done to each order.
pub(crate) type Tamper = fn(&mut Stored);

/// The same with what a test has at hand.
type AnyTamper = Box<dyn Fn(&mut Stored) + Send + Sync>;

/// See the module.
pub(crate) struct Tampering {
    inner: Arc<dyn Store>,
    tamper: AnyTamper,
    /// Whether pages say that orders are missing.
    pub(crate) is_incomplete: bool,
}

impl Tampering {
    pub(crate) fn new(inner: Arc<dyn Store>, tamper: impl Fn(&mut Stored) + Send + Sync + 'static) -> Self {
        Self { inner, tamper: Box::new(tamper), is_incomplete: false }
    }

    async fn stored(&self, order: Order) -> Stored {
        let events = self.inner.events(order.id, 0, u32::MAX).await.unwrap();
        let mut stored = Stored { order, events, is_unreadable: false };
        (self.tamper)(&mut stored);
        stored
    }
}

#[async_trait]
impl OrderStore for Tampering {
    async fn commit(&self, _: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        panic!("an audit does not write");
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
        assert!(after == 0 && stored.events.len() < limit as usize, "the histories of these tests are short");
        if stored.is_unreadable {
            return Err(StoreError::Corrupt("a test says so".to_owned()));
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
