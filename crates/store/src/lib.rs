//! The storage contract: the guarantees of a Dabba store, expressed in types.
//!
//! A store keeps orders with their history ([`OrderStore`], [`FeedStore`]), tasks ([`TaskStore`]), restaurants with
//! menus and stock ([`CatalogueStore`]), tracking links ([`TrackingStore`]), accounts with API keys ([`AccountStore`],
//! [`ApiKeyStore`]), the positions of consumers of the feed ([`ConsumerStore`]) and webhooks ([`WebhookStore`]); an
//! audit reads all data about orders ([`AuditStore`]). The contract names no database, and the layers above do not
//! depend on which database is used. A [`ShardMap`] and a [`ShardedStore`] combine several stores into one.
//!
//! The `conformance` suite (feature `conformance`) checks the guarantees that types cannot express: one function per property,
//! and a macro that runs all of them. A store is valid if it passes the suite. To add a property, add a function to the suite and
//! its name to the macro's list.

use dabba_domain::{Bucket, Timestamp, task::TaskQueue};
use futures::stream::BoxStream;

mod account;
mod audit;
mod backoff;
mod boards;
mod catalogue;
mod claim;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod consumer;
pub mod encoding;
mod error;
mod feed;
mod health;
mod hint;
pub mod layer;
mod measure;
mod query;
mod revocation;
mod shards;
mod statistics;
mod supervise;
mod task;
mod tracking;
pub mod transfer;
mod webhook;

pub use account::{
    Account, AccountChange, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore,
    ApiKey, ApiKeyCreation, ApiKeyStore, CredentialRevocation, EditedAccount, LoginLink, LoginLinkCreation,
    MAX_KEY_USES, MAX_SESSION_USES, MembershipChange, NewApiKey, NewLoginLink, NewSession, SecretHash,
    Session, SessionCreation, SessionStore, SessionUse, scopes_of, stored_scopes,
};
pub use audit::{AuditStore, Listing, ScopedKey, StoredClaim, StoredStock, StoredTask};
pub use backoff::Backoff;
pub use boards::{
    Attendance, BOARD_KEPT_FOR, BOARD_STALE_AFTER, Board, BoardCheck, BoardKey, BoardPlan, BoardStore,
    CONNECTED_BOARD_CHECK, CheckedBoards, ConnectedBoard, DeviceId, DueBoard, EndedBoard, MAX_BOARDS,
    MAX_BOARDS_PER_WRITE, UNATTENDED_RECHECK, check_board_count, checked_until, excess_boards, listed_boards,
    next_connected_check, plan_board_checks, restaurants_of, stale_boards, stale_until,
};
pub use catalogue::{
    Catalogue, CatalogueStore, CatalogueUpdate, MAX_REVISIONS, MenuRevisions, RestaurantCreation,
    RestaurantPage, StockEdit, StockLevel, StockOperation, StockUpdate, check_revision_count,
};
pub use claim::{
    Claim, ClaimAt, ClaimOutcome, ClaimRecord, Fingerprint, IdempotencyKey, IdempotencyKeyError, Resource,
    SameRequest, UnderKey,
};
pub use commit::{CatalogueGuard, Change, Commit, CommitOutcome, StockChange, StockShortage};
pub use consumer::{
    Checkpoint, ConsumerName, ConsumerNameError, ConsumerStore, FeedLease, FeedPlace, LeaseRequest,
    LeaseTaken, StoredPosition,
};
pub use error::{StoreError, chain};
pub use feed::{
    CursorVoid, FeedCursor, FeedCursorError, FeedEnd, FeedEvent, FeedPage, FeedPosition, FeedSource,
    FeedStore, Incarnation, IncarnationError,
};
pub use health::Health;
pub use hint::Hint;
pub use measure::{
    DatabaseKind, MAX_COUNTED_TASKS, Measurement, PoolStatus, SOLE_SHARD, ShardInfo, Standby, StandbyMode,
};
pub use query::{
    CodeMatches, CodeQuery, OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore, PageSize,
    check_order_count,
};
pub use revocation::{
    Credential, CredentialId, KeptCredential, Revocation, RevocationRevision, Subject, least_revision,
};
pub use shards::{
    BucketRange, BucketRangeError, BucketsInTwoShards, MAX_SHARDS, ShardMap, ShardMapError, ShardRange,
    ShardedStore, ShardedStoreError,
};
pub use statistics::{
    MAX_STATISTICS_ROWS, RollUp, RolledUp, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow,
    StatisticsStore, check_statistics_rows,
};
pub use supervise::{
    FAILURES_UNTIL_DOWN, Need, Part, PartStatus, REFUSED_FOR, RESTART, STEADY_AFTER, Supervisor, panic_text,
    panicked,
};
pub use task::{
    ClaimedTask, MAX_TASK_FAILURES, NewTask, ParkedTask, RecordedTaskFailure, TaskFailure, TaskLease,
    TaskPage, TaskRecord, TaskResolution, TaskRetry, TaskStore, check_task_subject,
};
pub use tracking::{TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore};
pub use webhook::{
    AttemptOutcome, DisabledReason, DueFailures, FailingEndpoint, MAX_FAILURE_KEYS, Revival, RevivalCause,
    Revived, SealedSecret, WebhookAttempt, WebhookChange, WebhookContentType, WebhookCreation,
    WebhookEndpoint, WebhookFailure, WebhookFailurePage, WebhookFault, WebhookHealth, WebhookOwner,
    WebhookPayload, WebhookRevision, WebhookSettings, WebhookState, WebhookStore, WebhookUpdate,
    WebhookUpdated, check_failure_keys,
};

/// A complete store. A store that wraps another store builds on [`layer::StoreLayer`], which delegates every method.
#[async_trait::async_trait]
pub trait Store:
    OrderStore
    + FeedStore
    + TaskStore
    + TrackingStore
    + BoardStore
    + CatalogueStore
    + AccountStore
    + ApiKeyStore
    + SessionStore
    + ConsumerStore
    + StatisticsStore
    + WebhookStore
    + AuditStore
{
    /// Checks with a real query which part of the store answers. Fails if nothing can be served without the parts that do not
    /// answer.
    async fn ping(&self) -> Result<Health, StoreError>;

    /// Returns the time on the clock of the database that keeps the accounts; `None` if the store uses the clock of the process's
    /// own machine.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Finishes running work and releases all resources. Later calls return [`StoreError::Unavailable`].
    async fn close(&self);

    /// Returns a stream of notifications about changes by any process. A store that only its own process can change sends
    /// nothing; its stream stays open and empty.
    ///
    /// A hint only reduces latency. It may be lost, duplicated or late, and the stream may end when the store is closed. A caller
    /// that depends on a change must poll as well. Needs a Tokio runtime.
    fn hints(&self) -> BoxStream<'static, Hint>;

    /// Notifies other processes on the same store that tasks of a queue may be due now, among others for orders of this bucket.
    /// The other processes receive a [`Hint`], which may be lost; a failed notification is not an error. A store that serves a
    /// single process notifies nobody.
    async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue);

    /// Notifies other processes on the same store that the feed of a shard, given by index, has new events. The other
    /// processes receive [`Hint::Events`], which may be lost; a failed notification is not an error. A store that
    /// serves a single process notifies nobody.
    async fn announce_events(&self, shard: usize);

    /// Prepares each shard for this number of concurrent batches of commits, so that the first batches after a start are as fast
    /// as later ones. Ignores failures: the first use meets the same failure and reports it.
    async fn warm_up(&self, batches: usize);

    /// Returns the status of each background part of the store, of all shards. Empty for a store without background parts.
    fn parts(&self) -> Vec<PartStatus>;

    /// Measures the database of one shard, given by index, for operators: the waiting tasks and the standbys. `now` determines
    /// which tasks are due. Takes as long as the database needs.
    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError>;

    /// Returns the current use of all connection pools. Queries no database.
    fn pools(&self) -> Vec<PoolStatus>;

    /// Returns what is known about each shard without a query, by index.
    fn shards(&self) -> Vec<ShardInfo>;

    /// Returns the names of the shards, by index.
    fn shard_names(&self) -> Vec<String> {
        self.shards().into_iter().map(|shard| shard.name).collect()
    }

    /// Returns the shards as sources of events, by index: what a [`FeedCursor`] must know about them.
    fn feed_sources(&self) -> Vec<FeedSource>;

    /// Returns the index of the shard that keeps the accounts.
    fn directory(&self) -> usize;

    /// Returns the number of shards. Each shard can fail or be slow independently of the others.
    fn shard_count(&self) -> usize;

    /// Returns the index of the shard that holds a bucket. The index is below [`Store::shard_count`] and never changes.
    ///
    /// Form batches of commits for one shard each: no commit then waits for another shard, and an error states precisely what was
    /// not written.
    fn shard_of(&self, bucket: Bucket) -> usize;
}
