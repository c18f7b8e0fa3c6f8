//! Orders: the write of a batch, and the reads.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, DisplayCode, OrderId, RestaurantId, Timestamp,
    order::{Order, OrderStatus, RecordedEvent, Version},
};

use crate::{ClaimRecord, Commit, CommitOutcome, IdempotencyKey, StoreError};

/// Stores orders, their history and their idempotency keys.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Writes a batch as one SERIALIZABLE transaction, durable when this method returns. A batch that spans shards (see
    /// [`crate::Store::shard_of`]) is one transaction in each shard.
    ///
    /// The store applies the commits of a shard in order; each commit sees the commits before it. The outcomes have the
    /// order of the commits. A commit whose conditions fail writes nothing and does not affect the others. On an error,
    /// nothing of the batch is written; [`StoreError::OutcomeUnknown`] states the exception.
    ///
    /// The commits are shared so that the caller can retry them one by one if the store refuses the batch.
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError>;

    /// Like [`Self::commit_shared`], for a caller that does not keep the commits.
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.commit_shared(batch.into_iter().map(Arc::new).collect()).await
    }

    /// Returns the current state of an order.
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError>;

    /// Returns the current state of the orders with these ids, in any order, without unknown ids. At most
    /// [`PageSize::MAX`] ids per call. Never stale, like [`OrderStore::order`].
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError>;

    /// Returns the open orders of a restaurant in one of these statuses, placed before the order `before` if there is one:
    /// the newest `limit` ones, newest first, all as of one moment. Never stale: the result contains every change that was
    /// published before the call.
    async fn open_orders(
        &self,
        restaurant_id: RestaurantId,
        statuses: &[OrderStatus],
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError>;

    /// Returns at most `limit` events of an order after version `after`, in order. Empty for an unknown order. For
    /// publication, read [`crate::FeedStore::public_events`].
    async fn events(&self, id: OrderId, after: Version, limit: u32)
    -> Result<Vec<RecordedEvent>, StoreError>;

    /// Returns a page of orders. New orders never shift or repeat the content of later pages.
    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError>;

    /// Returns the orders with a display code among the newest ones: reads ids only, and a bounded number of them in
    /// each shard. Never stale, like [`OrderStore::order`].
    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError>;

    /// Returns the record of a key, if the key is claimed. A request can then be answered as before although it would
    /// now be refused, and a caller can learn how a commit with an unknown outcome ended.
    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError>;

    /// Deletes at most `limit` idempotency keys claimed before a time, the oldest of each shard first. Returns the
    /// number of deleted keys. The number is below `limit` only if there are no more such keys or a shard does not
    /// answer.
    async fn delete_expired_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError>;
}

/// Refuses more than [`PageSize::MAX`] order ids. Every store calls this check.
pub fn check_order_count(ids: &[OrderId]) -> Result<(), StoreError> {
    if ids.len() <= PageSize::MAX as usize {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} orders in one read, at most {} are allowed",
        ids.len(),
        PageSize::MAX
    )))
}

/// Owner of the listed orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderScope {
    /// The orders that a customer placed, newest first.
    Customer(AccountId),
    /// A restaurant's orders: open orders first, then terminal orders, each newest first.
    Restaurant(RestaurantId),
    /// The orders that a courier carries or carried, newest first.
    Courier(AccountId),
    /// All orders, newest first.
    All,
}

/// Filter and position of a list of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQuery {
    /// Owner of the orders.
    pub scope: OrderScope,
    /// Statuses to include; all if empty.
    pub statuses: Vec<OrderStatus>,
    /// Position after which the page begins; the beginning if `None`.
    pub after: Option<OrderCursor>,
    /// Maximum number of orders.
    pub limit: PageSize,
}

/// Position in a list of orders, directly after an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCursor {
    /// Whether that order was terminal. Used only in a restaurant's list.
    pub terminal: bool,
    /// The order.
    pub order_id: OrderId,
}

impl OrderCursor {
    /// Returns the position directly after this order.
    pub fn after(order: &Order) -> Self {
        Self { terminal: order.status.is_terminal(), order_id: order.id }
    }
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<Order>,
    /// Position at which the next page begins; `None` if this is the last page.
    pub next: Option<OrderCursor>,
    /// Whether orders may be missing from this page because a shard did not answer in time. Later pages do not contain
    /// the missing orders: a caller that needs them requests this page again.
    pub incomplete: bool,
}

/// Search for orders by their display code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeQuery {
    /// The code.
    pub code: DisplayCode,
    /// Maximum number of ids that a shard reads, the newest ones. At least 1.
    pub max_read: u32,
    /// Maximum number of matches.
    pub limit: PageSize,
}

/// Orders with a display code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeMatches {
    /// Their ids, newest first.
    pub ids: Vec<OrderId>,
    /// Orders placed before this time may be missing, because a limit of the search was reached; `None` if all orders
    /// were searched.
    pub searched_since: Option<Timestamp>,
    /// Whether orders may be missing because a shard did not answer in time.
    pub incomplete: bool,
}

impl CodeMatches {
    /// Returns the matches among ids that a shard has read, newest first. Stops at the limits of the query.
    pub fn among<E>(
        query: &CodeQuery,
        read: impl IntoIterator<Item = Result<OrderId, E>>,
    ) -> Result<Self, E> {
        let mut matches = Self::default();
        for (count, id) in (1_u32..).zip(read) {
            let id = id?;
            if id.display_code() == query.code {
                matches.ids.push(id);
            }
            if count >= query.max_read {
                matches.searched_since = Some(id.created_at());
                break;
            }
        }
        Ok(Self::merge([matches], query.limit))
    }

    /// Merges the matches of several shards.
    pub fn merge(all: impl IntoIterator<Item = Self>, limit: PageSize) -> Self {
        let mut merged = Self::default();
        for matches in all {
            merged.ids.extend(matches.ids);
            merged.searched_since = merged.searched_since.max(matches.searched_since);
            merged.incomplete |= matches.incomplete;
        }
        merged.ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        if merged.ids.len() > limit.get() as usize {
            merged.ids.truncate(limit.get() as usize);
            merged.searched_since = merged.searched_since.max(merged.ids.last().map(|id| id.created_at()));
        }
        merged
    }
}

/// Maximum number of entries of a page: 1 to [`PageSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    /// The largest page size.
    pub const MAX: u32 = 100;
    /// The largest page.
    pub const LARGEST: Self = Self(Self::MAX);
    /// The default page size.
    pub const DEFAULT: Self = Self(50);

    /// Returns a page size, or `None` if it is not 1 to [`PageSize::MAX`].
    pub const fn new(size: u32) -> Option<Self> {
        if size >= 1 && size <= Self::MAX { Some(Self(size)) } else { None }
    }

    /// Returns this page size plus one, for a caller that reads one more entry to learn whether another page follows.
    #[must_use]
    pub const fn and_one_more(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the number of entries.
    pub const fn get(self) -> u32 {
        self.0
    }
}
