//! The storage contract: what a store of Dabba promises, in types.
//!
//! A store keeps orders with their history ([`OrderStore`]), the work that waits ([`TaskStore`]),
//! restaurants with menus and stock ([`CatalogueStore`]), and accounts ([`AccountStore`]); an audit reads
//! all of it ([`AuditStore`]). Nothing here names a database; nothing above here may notice which one is
//! used. Several stores become one with a [`ShardMap`] and a [`ShardedStore`].
//!
//! The promises that types cannot express are the `conformance` suite (feature `conformance`):
//! one function per property, and a macro that runs them all. A store that passes it is a store.
//! To add a property: a function in the suite and its name in the macro's list.

use dabba_domain::{Bucket, Timestamp, order::TaskQueue};
use futures::stream::{BoxStream, StreamExt as _};

mod account;
mod audit;
mod backoff;
mod catalogue;
mod claim;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod encoding;
mod error;
mod health;
mod hint;
pub mod intercept;
mod measure;
mod query;
mod revocation;
mod shards;
mod supervise;
mod task;
pub mod transfer;

pub use account::{
    Account, AccountChange, AccountCreation, AccountEdit, AccountEditOutcome, AccountStore, EditedAccount,
    MembershipChange,
};
pub use audit::{AuditStore, Listing, ScopedKey, StoredClaim, StoredStock, StoredTask, check_orders_asked};
pub use backoff::Backoff;
pub use catalogue::{
    Catalogue, CatalogueStore, CatalogueUpdate, MAX_REVISIONS, MenuRevisions, RestaurantCreation,
    RestaurantPage, StockEdit, StockLevel, StockOperation, StockUpdate, check_revisions_asked,
};
pub use claim::{
    Claim, ClaimAt, ClaimOutcome, ClaimRecord, Fingerprint, IdempotencyKey, IdempotencyKeyError, Resource,
    SameRequest, UnderKey,
};
pub use commit::{CatalogueGuard, Change, Commit, CommitOutcome, StockChange, StockShortage};
pub use error::{StoreError, chain};
pub use health::Health;
pub use hint::Hint;
pub use measure::{Measurement, PoolStatus, SOLE_SHARD, Standby, StandbyMode};
pub use query::{
    FeedCursor, FeedEntry, OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore, PageSize,
};
pub use revocation::{Credential, Revocation, RevocationRevision, Subject, least_revision};
pub use shards::{
    BucketRange, BucketRangeError, BucketsInTwoShards, MAX_SHARDS, ShardMap, ShardMapError, ShardRange,
    ShardedStore, ShardedStoreError,
};
pub use supervise::{
    FAILURES_UNTIL_DOWN, Need, Part, PartStatus, REFUSED_FOR, RESTART, STEADY_AFTER, Supervisor, panic_text,
    panicked,
};
pub use task::{
    ClaimedTask, MAX_TASK_FAILURES, NewTask, ParkedTask, RecordedTaskFailure, TaskFailure, TaskLease,
    TaskPage, TaskResolution, TaskRetry, TaskStore,
};

/// A whole store.
#[async_trait::async_trait]
pub trait Store: OrderStore + TaskStore + CatalogueStore + AccountStore + AuditStore {
    /// How much of the store answers, asked by a real question to it. An error when nothing can be served
    /// without what does not answer.
    async fn ping(&self) -> Result<Health, StoreError>;

    /// Returns the time on the clock of the database that keeps the accounts; `None` from a store that shares the clock of its
    /// process's machine.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Finishes what was begun and lets go of all resources. Later calls answer
    /// [`StoreError::Unavailable`].
    async fn close(&self);

    /// What has just changed, whoever changed it. A store that is never changed behind its process's back
    /// has nothing to tell, and its stream only waits.
    ///
    /// A hint makes things quicker and is never needed: it may be lost, come twice, or come late, and the
    /// stream may end when the store is closed. Whoever relies on what is hinted at also asks from time
    /// to time. Needs a Tokio runtime.
    fn hints(&self) -> BoxStream<'static, Hint> {
        futures::stream::pending().boxed()
    }

    /// Tells other processes on the same store that there may be tasks of a queue to do at once, among others
    /// for orders of this bucket. They are told as a [`Hint`], which may be lost; that it could not be told is
    /// no error. A store that one process serves tells nobody.
    async fn announce_tasks(&self, _bucket: Bucket, _queue: TaskQueue) {}

    /// Makes ready for so many batches of commits at once on each shard, so that the first ones after a start are
    /// as quick as others. What fails here is found out again, and said, when it is needed.
    async fn warm_up(&self, _batches: usize) {}

    /// How each part is that the store runs in the background, of all shards. Empty for a store without such parts.
    fn parts(&self) -> Vec<PartStatus> {
        Vec::new()
    }

    /// Measures what operators watch in the database of one shard, by its index: the work that waits and the standbys. `now`
    /// says which tasks are due. Takes as long as the database does.
    async fn measure(&self, _shard: usize, _now: Timestamp) -> Result<Measurement, StoreError> {
        Ok(Measurement::default())
    }

    /// Returns the use of all pools of connections at this moment. Asks no database.
    fn pools(&self) -> Vec<PoolStatus> {
        Vec::new()
    }

    /// Returns the names of the shards, by index.
    fn shard_names(&self) -> Vec<String> {
        vec![SOLE_SHARD.to_owned()]
    }

    /// Returns the index of the shard that keeps the accounts.
    fn directory(&self) -> usize {
        0
    }

    /// How many shards the store has. Each can fail, or be slow, without the others.
    ///
    /// A store that passes its calls on to another passes on this, [`Store::time`], [`Store::shard_of`],
    /// [`Store::hints`], [`Store::parts`], [`Store::announce_tasks`], [`Store::warm_up`], [`Store::measure`], [`Store::pools`],
    /// [`Store::shard_names`] and [`Store::directory`] too.
    fn shard_count(&self) -> usize {
        1
    }

    /// The shard in which a bucket lives: below [`Store::shard_count`], and always the same.
    ///
    /// Batches of commits are best made of one shard each: nobody then waits for another's shard, and
    /// an error says precisely what was not written.
    fn shard_of(&self, _bucket: Bucket) -> usize {
        0
    }
}
