//! The embedded store: everything in one `SQLite` file, for a single server.
//!
//! | module | what it holds |
//! |---|---|
//! | `writer`, `reader` | one thread that writes, a few connections that read |
//! | `orders` | the commit of a batch, and the reads of orders, events and the feed |
//! | `tasks`, `catalogue`, `stock`, `accounts`, `audit` | the other parts of the contract |
//! | `claims` | idempotency records |
//! | `backup` | backups, and restoring them |
//! | `migrate`, `lock` | the schema, and the one process that may serve it |
//! | `export` | all rows, for a copy into another store |
//! | `damage` | whether the file was found damaged |
//! | `file` | whether the open files are still the ones at the path |
//! | `codec`, `failure` | values in columns, and errors by result code |
//!
//! The database is in WAL mode with `synchronous=FULL`: a commit is on the disk when it is
//! acknowledged. `SQLite` is compiled in, since some versions that systems bring along can damage a
//! database in WAL mode. To find a row there are indexes for every read; a test asks `SQLite` for the
//! plan of each and refuses a scan.
//!
//! Tried and rejected: writing first and rolling back to a savepoint when a condition fails. With one
//! writer nothing changes between a check and its write, so conditions are read first and a commit
//! that does not hold costs no write at all.

mod accounts;
mod audit;
mod backup;
mod catalogue;
mod claims;
mod codec;
mod connection;
mod damage;
mod export;
mod failure;
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
mod stock;
mod tasks;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{Health, Measurement, PartStatus, PoolStatus, SOLE_SHARD, Store, StoreError};

pub use crate::{
    backup::{Contents, Restored},
    catalogue::MENUS_KEPT,
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

/// How long a database that is held is waited for: whoever migrates, and a process that begins another one while
/// it lets go of the database, holds it for a moment longer.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);

/// A store in one `SQLite` file. Only one can be open on a file at a time, in all processes.
///
/// Its calls need a Tokio runtime with time enabled. Dropping it without [`Store::close`] loses
/// nothing that was acknowledged, but leaves the file locked for as long as the queue takes.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    damage: Arc<Damage>,
}

impl SqliteStore {
    /// The newest schema that this build knows.
    pub const NEWEST_SCHEMA: u32 = migrate::NEWEST;

    /// Brings the database at `path` to the newest schema, and makes it when there is none. Answers
    /// how many migrations were needed. Blocks the thread.
    ///
    /// Several processes may do this at once. A database that is being served and needs a migration
    /// is refused after some seconds.
    pub fn migrate(path: &Path) -> Result<usize, StoreError> {
        migrate::migrate(path)
    }

    /// Opens the database at `path`, which must have the newest schema. Blocks the thread.
    ///
    /// Fails as unavailable, with a text for the operator, when the schema is not the newest or when
    /// another process serves the database.
    pub fn open(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        migrate::check_schema(path)?;
        let lock = DatabaseLock::take_within(path, OPEN_PATIENCE)?
            .ok_or_else(|| StoreError::Unavailable(format!("{IN_USE} {}", path.display())))?;
        // Again under the lock: until now the database may have been migrated or replaced.
        migrate::check_schema(path)?;
        let open = || -> Result<Self, Failure> {
            let connection = open_writer(path, options)?;
            let generations = renew_generation(&connection, &lock)?;
            connection.busy_timeout(options.busy_timeout)?;
            let files = DatabaseFiles::remember(lock, generations)?;
            let damage = Arc::<Damage>::default();
            let readers = Readers::open(path, options, files.clone(), Arc::clone(&damage))?;
            let writer = Writer::start(connection, options, files, Arc::clone(&damage))?;
            Ok(Self { writer, readers, damage })
        };
        open().map_err(StoreError::from)
    }

    /// Whether [`SqliteStore::open`] failed because another process has the database.
    pub fn is_in_use(error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable(text) if text.starts_with(IN_USE))
    }
}

/// What begins the error about a database that another process has.
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
                // A question that has to look into the file.
                connection
                    .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM restaurants LIMIT 1)")?
                    .query_row([], |_| Ok(()))?;
                Ok(Health::default())
            })
            .await
    }

    fn parts(&self) -> Vec<PartStatus> {
        vec![self.writer.status()]
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
        // Readers first: the writer can only fold its log into the file when nobody reads it.
        self.readers.close().await;
        self.writer.close().await;
    }
}
