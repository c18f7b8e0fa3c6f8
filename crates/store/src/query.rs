//! Orders: the write of a batch, and the reads.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, Timestamp,
    order::{Order, OrderStatus, RecordedEvent, Version},
};

use crate::{ClaimRecord, Commit, CommitOutcome, IdempotencyKey, StoreError};

/// Keeps orders, their history and their idempotency keys.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Writes a batch as one SERIALIZABLE transaction, durable when this returns. A batch that spans
    /// shards (see [`crate::Store::shard_of`]) is one transaction in each of them.
    ///
    /// The commits of a shard are carried out in order, each upon those before it. The outcomes stand
    /// in the order of the commits; a commit that does not hold writes nothing and leaves the others
    /// as they are. On an error nothing of the batch is written, except as
    /// [`StoreError::OutcomeUnknown`] says.
    ///
    /// The commits are shared, so that the caller can commit them anew, one by one, when the store refuses the batch.
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError>;

    /// Like [`Self::commit_shared`], for commits that the caller does not keep.
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.commit_shared(batch.into_iter().map(Arc::new).collect()).await
    }

    /// An order as it is now.
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError>;

    /// At most `limit` events of an order after version `after`, in order. Empty for an unknown
    /// order.
    async fn events(&self, id: OrderId, after: Version, limit: u32)
    -> Result<Vec<RecordedEvent>, StoreError>;

    /// A page of orders. New orders never shift or repeat what later pages hold.
    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError>;

    /// At most `limit` events of all orders from just behind a cursor: those of a restaurant in the
    /// order in which they were committed, those of several restaurants in any order among them. An
    /// event that commits late comes late; none is ever skipped or repeated. What is on a shard that
    /// does not answer comes when it answers again, and does not hold up the rest.
    ///
    /// A cursor that this kind of store did not make is [`StoreError::Corrupt`].
    async fn feed(&self, after: &FeedCursor, limit: u32) -> Result<Vec<FeedEntry>, StoreError>;

    /// What a key was claimed for, if it was. Lets a request be answered as before although it would
    /// be refused by now, and tells how a commit ended whose outcome is unknown.
    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError>;

    /// Forgets at most `limit` idempotency keys claimed before a time, in each shard the oldest first.
    /// Answers how many: fewer than `limit` only when there are no more, or a shard does not answer.
    async fn forget_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError>;
}

/// Whose orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderScope {
    /// Those that a customer placed, newest first.
    Customer(AccountId),
    /// Those of a restaurant: the ones that are not at an end first, then the others, each newest
    /// first.
    Restaurant(RestaurantId),
    /// Those that a courier carries or carried, newest first.
    Courier(AccountId),
    /// Everyone's, newest first.
    All,
}

/// What to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQuery {
    /// Whose orders.
    pub scope: OrderScope,
    /// Only those in these statuses; all, when empty.
    pub statuses: Vec<OrderStatus>,
    /// Behind this place; from the beginning, when `None`.
    pub after: Option<OrderCursor>,
    /// At most so many.
    pub limit: PageSize,
}

/// A place in a list of orders: just behind an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCursor {
    /// Whether that order was at an end. Matters only in a restaurant's list.
    pub terminal: bool,
    /// The order.
    pub order_id: OrderId,
}

impl OrderCursor {
    /// The place just behind this order.
    pub fn behind(order: &Order) -> Self {
        Self { terminal: order.status.is_terminal(), order_id: order.id }
    }
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<Order>,
    /// Where the next page begins; `None` when there is nothing behind this one.
    pub next: Option<OrderCursor>,
    /// Whether orders may be missing here because a shard did not answer in time. They are not on a
    /// later page either: whoever needs them asks for this page again.
    pub incomplete: bool,
}

/// How many entries a page has at most: 1 to [`PageSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    /// The largest page.
    pub const MAX: u32 = 100;
    /// The page that is used when none is asked for.
    pub const DEFAULT: Self = Self(50);

    /// A page of this size, or `None` outside 1 to [`PageSize::MAX`].
    pub const fn new(size: u32) -> Option<Self> {
        if size >= 1 && size <= Self::MAX { Some(Self(size)) } else { None }
    }

    /// Returns this page and one entry more, for a caller that reads one entry further to learn whether another page
    /// follows.
    #[must_use]
    pub const fn and_one_more(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of entries.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A place in the feed. Only the store that made it can read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedCursor(pub String);

impl FeedCursor {
    /// Before the first event.
    pub fn start() -> Self {
        Self::default()
    }
}

/// An event in the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEntry {
    /// The place just behind this event.
    pub cursor: FeedCursor,
    /// The event.
    pub event: RecordedEvent,
}
