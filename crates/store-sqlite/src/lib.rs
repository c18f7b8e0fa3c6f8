//! The embedded store: everything in one `SQLite` file, for a single server.
//!
//! | module | content |
//! |---|---|
//! | `writer`, `reader` | one thread that writes, a few connections that read |
//! | `orders` | the commit of a batch, and the reads of orders and events |
//! | `feed` | the feed, and the incarnation of a database |
//! | `tasks`, `catalogue`, `stock`, `tracking`, `boards`, `accounts`, `audit` | the other parts of the contract |
//! | `claims` | idempotency records |
//! | `backup` | backups and their restoration |
//! | `migrate`, `lock` | the schema, the check that a database is whole, and the lock that limits a database to one process |
//! | `export` | all rows, for a copy into another store |
//! | `damage` | damage of the file that was found |
//! | `file` | the files of a database, and the check that the open files are still the files at the path |
//! | `codec`, `failure` | rows of `SQLite`, and errors by result code |
//!
//! What this store shares with the PostgreSQL store, such as the values of rows, is in [`dabba_store_sql`].
//!
//! The database is in WAL mode with `synchronous=FULL`: a commit is on the disk when it is acknowledged. `SQLite` is
//! compiled in, because some versions that operating systems provide can damage a database in WAL mode. Every read uses
//! an index; a test requests the query plan of each statement from `SQLite` and refuses a scan.
//!
//! Rejected alternative: write first, and roll back to a savepoint if a condition fails. With a single writer, nothing
//! changes between a check and its write. The store therefore checks the conditions first, and a failed commit costs no
//! write.

mod accounts;
mod audit;
mod backup;
mod boards;
mod catalogue;
mod claims;
mod codec;
mod connection;
mod consumers;
mod damage;
mod export;
mod failure;
mod feed;
mod file;
mod lock;
mod migrate;
#[cfg(test)]
mod migration_tests;
mod options;
mod orders;
#[cfg(test)]
mod query_plans;
mod reader;
mod statistics;
mod stock;
mod tasks;
mod tracking;
mod webhooks;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_domain::{Bucket, Timestamp, task::TaskQueue};
use dabba_store::{
    BucketRange, DatabaseKind, FeedSource, Health, Hint, Measurement, PartStatus, PoolStatus, SOLE_SHARD,
    ShardInfo, Store, StoreError,
};
use futures::stream::{BoxStream, StreamExt as _};

pub use dabba_store_sql::catalogue::MAX_STORED_MENUS;

pub use crate::{
    backup::{BackupContents, Restored},
    options::SqliteOptions,
};
use crate::{
    connection::{open_writer, renew_generation},
    damage::Damage,
    failure::Failure,
    file::DatabaseFiles,
    lock::DatabaseLock,
    reader::Readers,
    writer::Writer,
};

/// Maximum time to wait for a locked database. A migration, and a process that starts another one while it releases the
/// database, hold the lock for a moment longer.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);

/// A store in one `SQLite` file. Only one store can be open on a file at a time, across all processes.
///
/// Its calls need a Tokio runtime with time enabled. Dropping the store without [`Store::close`] loses no acknowledged
/// write, but the file stays locked until the queue is empty.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    damage: Arc<Damage>,
}

impl SqliteStore {
    /// The newest schema version that this build knows.
    pub const NEWEST_SCHEMA: u32 = migrate::NEWEST;

    /// Migrates the database at `path` to the newest schema, and creates it if it does not exist. Returns the number of
    /// applied migrations. Blocks the thread.
    ///
    /// Several processes may call this concurrently. If the database needs a migration while a process serves it, the
    /// call fails after some seconds.
    pub fn migrate(path: &Path) -> Result<usize, StoreError> {
        migrate::migrate(path)
    }

    /// Opens the database at `path`, which must have the newest schema. Blocks the thread.
    ///
    /// Fails as unavailable, with a text for the operator, if the schema is not the newest or if another process serves
    /// the database.
    pub fn open(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        migrate::check_schema(path)?;
        let lock = DatabaseLock::acquire_within(path, OPEN_PATIENCE)?
            .ok_or_else(|| StoreError::Unavailable(format!("{IN_USE} {}", path.display())))?;
        // Checked again under the lock: another process may have migrated or replaced the database before.
        migrate::check_schema(path)?;
        let open = || -> Result<Self, Failure> {
            let connection = open_writer(path, options)?;
            let generations = renew_generation(&connection, &lock)?;
            connection.busy_timeout(options.busy_timeout)?;
            // Only one process at a time opens the database, so the holders of leases have ended, even if they were
            // killed and released nothing. If the write fails, the leases expire.
            let _ = consumers::end_leases(&connection);
            let files = DatabaseFiles::new(lock, generations)?;
            let damage = Arc::<Damage>::default();
            let readers = Readers::open(path, options, files.clone(), Arc::clone(&damage))?;
            let writer = Writer::start(connection, options, files, Arc::clone(&damage))?;
            Ok(Self { writer, readers, damage })
        };
        open().map_err(StoreError::from)
    }

    /// Returns whether [`SqliteStore::open`] failed because another process holds the database.
    pub fn is_in_use(error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable(text) if text.starts_with(IN_USE))
    }
}

/// Beginning of the error about a database that another process holds.
const IN_USE: &str = "another process serves or migrates";

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<Health, StoreError> {
        self.readers.check_files()?;
        self.damage.check()?;
        self.writer.check().await?;
        self.readers
            .read(|connection| {
                // A query that must read the file.
                connection
                    .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM restaurants LIMIT 1)")?
                    .query_row([], |_| Ok(()))?;
                Ok(Health::default())
            })
            .await
    }

    /// The database has no clock of its own.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// No other process changes the database, so there is nothing to report.
    fn hints(&self) -> BoxStream<'static, Hint> {
        futures::stream::pending().boxed()
    }

    /// No other process has workers for the tasks of this database.
    async fn announce_tasks(&self, _bucket: Bucket, _queue: TaskQueue) {}

    /// No other process reads the feed of this database.
    async fn announce_events(&self, _shard: usize) {}

    /// The connections are open from the start.
    async fn warm_up(&self, _batches: usize) {}

    fn parts(&self) -> Vec<PartStatus> {
        vec![self.writer.status()]
    }

    fn shards(&self) -> Vec<ShardInfo> {
        let (name, database) = (SOLE_SHARD.to_owned(), DatabaseKind::Sqlite);
        vec![ShardInfo { name, database, buckets: BucketRange::WHOLE }]
    }

    fn feed_sources(&self) -> Vec<FeedSource> {
        vec![FeedSource { name: SOLE_SHARD.to_owned(), split_from: None }]
    }

    fn directory(&self) -> usize {
        0
    }

    fn shard_count(&self) -> usize {
        1
    }

    fn shard_of(&self, _bucket: Bucket) -> usize {
        0
    }

    async fn measure(&self, _shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        self.readers.read(move |connection| tasks::measure(connection, now)).await
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let limit = self.readers.count();
        let (idle, waiting) = (self.readers.idle(), self.readers.waiting());
        vec![PoolStatus { shard: SOLE_SHARD.to_owned(), pool: "readers", limit, open: limit, idle, waiting }]
    }

    async fn close(&self) {
        // The readers close first: the writer can write the log back into the file only when no connection reads it.
        self.readers.close().await;
        self.writer.close().await;
    }
}
