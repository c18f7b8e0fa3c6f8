//! Reads that only an audit needs, in addition to orders and events: all tasks, all idempotency keys, all stock.
//!
//! No use case calls these methods. Each list walks the primary key of its table, so it needs no additional index that would slow
//! down the placing of orders.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, TaskId, Timestamp, text::Slug};

use crate::{ClaimRecord, IdempotencyKey, PageSize, StoreError, TaskRecord};

/// Lists all stored rows in pages. A row written during the listing may or may not appear. A row that existed before and still
/// exists appears exactly once.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Returns the damage of the storage itself, below Dabba's data; empty if there is none. A store whose database checks itself
    /// returns an empty list.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;

    /// Returns at most `limit` tasks after an id, ordered by id: all tasks that are not completed, including leased, parked and
    /// resolved tasks. Returns also tasks that do not fit the rules of their kind, so that the audit can report them. Returns fewer
    /// than `limit` only if there are no more.
    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError>;

    /// Returns at most `limit` idempotency keys after the given key, ordered by account, then by restaurant (keys of the account
    /// alone first), then in the store's own order of texts. Returns fewer than `limit` only if there are no more.
    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError>;

    /// Returns at most `limit` items with limited stock after the given item, ordered by restaurant, then in the store's own
    /// order of texts. Returns fewer than `limit` only if there are no more.
    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError>;
}

/// A page of rows for an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The rows.
    pub entries: Vec<T>,
    /// Whether rows may be missing from this page because a shard did not answer in time. Later pages do not contain the missing
    /// rows: a caller that needs them requests this page again.
    pub incomplete: bool,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// The task; `run_at` as last postponed.
    pub task: TaskRecord,
    /// Number of times that the task was claimed.
    pub attempts: u32,
    /// Expiry of the lease, if a worker holds the task.
    pub leased_until: Option<Timestamp>,
    /// Time at which the task was parked, if it was.
    pub parked_at: Option<Timestamp>,
    /// Time at which the task was resolved, if it was.
    pub resolved_at: Option<Timestamp>,
}

/// An idempotency key in its scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopedKey {
    /// Account to which the key belongs.
    pub account_id: AccountId,
    /// Restaurant in whose scope the key is; `None` for a key whose scope is the account alone.
    pub restaurant_id: Option<RestaurantId>,
    /// The key.
    pub key: IdempotencyKey,
}

/// A claimed idempotency key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// The key.
    pub key: ScopedKey,
    /// The record of the claim.
    pub record: ClaimRecord,
}

/// The stock of an item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStock {
    /// The restaurant.
    pub restaurant_id: RestaurantId,
    /// The item.
    pub item: Slug,
    /// Number of items left. A negative number is invalid; the store returns it so that the audit can report it.
    pub remaining: i64,
}
