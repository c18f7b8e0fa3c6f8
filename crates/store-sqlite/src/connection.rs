//! Connections: how each is set up.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::{SqliteOptions, failure::Failure};

/// Statements that a connection keeps compiled. More than there are in the store.
const STATEMENT_CACHE_CAPACITY: usize = 128;

/// Pages in the log at which a commit moves them into the database file (16 MiB). Moving them costs
/// two more syncs, so it should be rare; a longer log makes reads and recovery slower.
const CHECKPOINT_PAGES: u32 = 4_096;

/// To which the log is cut when it was longer, in bytes.
const LOG_SIZE_LIMIT_BYTES: u32 = 64 * 1_024 * 1_024;

/// The one connection that writes.
pub(crate) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Connection, Failure> {
    // Without the flag that creates the file: a database is made by migrating.
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.writer_cache_kib, options)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit is on the disk before it is acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE_LIMIT_BYTES)?;
    // The first read makes SQLite open the log, or make it.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// One of the connections that read.
pub(crate) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection, Failure> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.reader_cache_kib, options)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(
    path: &Path,
    mode: OpenFlags,
    cache_kib: u32,
    options: &SqliteOptions,
) -> Result<Connection, Failure> {
    // A connection is used by one thread at a time, so SQLite need not lock it.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(options.busy_timeout)?;
    // A negative size is one in KiB.
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
    Ok(connection)
}
