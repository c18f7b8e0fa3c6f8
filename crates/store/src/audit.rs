//! What an audit reads beside the orders and their events: everything that waits, every key, all stock.
//!
//! No use case asks for any of this. The lists are walks through the keys of their tables, so that they
//! cost whoever places an order nothing.

use async_trait::async_trait;
use dabba_domain::{AccountId, OrderId, RestaurantId, TaskId, Timestamp, order::Order, text::Slug};

use crate::{ClaimRecord, IdempotencyKey, NewTask, PageSize, StoreError};

/// Lists everything there is, in pages. What is written meanwhile may be there or not; what was there before,
/// and still is, is there, once.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// What is wrong with the storage itself, below what Dabba keeps in it; empty when nothing is. A store whose database
    /// checks itself has nothing to say.
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// The orders with these ids as they are now, in any order, without those that are unknown. At most
    /// [`PageSize::MAX`] at once.
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError>;

    /// At most `limit` tasks behind an id, by id: all that are not done, be they in somebody's hands,
    /// parked or resolved. Fewer, when there are no more.
    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError>;

    /// At most `limit` idempotency keys behind one, by account, then by restaurant (keys of the account alone
    /// first), then in whatever order
    /// the store has for texts. Fewer, when there are no more.
    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError>;

    /// At most `limit` items whose stock is kept, behind one, by restaurant, then in whatever order the
    /// store has for texts. Fewer, when there are no more.
    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError>;
}

/// Refuses to look for more orders than [`PageSize::MAX`]. Every store asks this.
pub fn check_orders_asked(ids: &[OrderId]) -> Result<(), StoreError> {
    if ids.len() <= PageSize::MAX as usize {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("{} orders at once, of at most {}", ids.len(), PageSize::MAX)))
}

/// A page of what an audit reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was found.
    pub entries: Vec<T>,
    /// Whether something may be missing here because a shard did not answer in time. It is not on a
    /// later page either: whoever needs it asks for this page again.
    pub incomplete: bool,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// The task; `run_at` as last postponed.
    pub task: NewTask,
    /// How often it was claimed.
    pub attempts: u32,
    /// Until when a worker holds it, if one does.
    pub leased_until: Option<Timestamp>,
    /// When it was put aside, if it was.
    pub parked_at: Option<Timestamp>,
    /// When it was put away for good, if it was.
    pub resolved_at: Option<Timestamp>,
}

/// An idempotency key in its scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopedKey {
    /// Whose key it is.
    pub account_id: AccountId,
    /// The restaurant in whose scope it is; `None` for a key whose scope is the account alone.
    pub restaurant_id: Option<RestaurantId>,
    /// The key.
    pub key: IdempotencyKey,
}

/// A claimed idempotency key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// The key.
    pub key: ScopedKey,
    /// What it was claimed for.
    pub record: ClaimRecord,
}

/// The stock of an item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStock {
    /// The restaurant.
    pub restaurant_id: RestaurantId,
    /// The item.
    pub item: Slug,
    /// How many there are. A number below zero, which must not be, is told too.
    pub remaining: i64,
}
