//! Connections and their settings.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use crate::{
    SqliteOptions,
    failure::Failure,
    file::{Generation, generation_in},
    lock::DatabaseLock,
};

/// Maximum number of compiled statements per connection. Exceeds the number of statements in the store.
const STATEMENT_CACHE_CAPACITY: usize = 128;

/// Number of pages in the log at which a commit writes them back into the database file (16 MiB). Writing back costs two more
/// syncs, so it should be rare; a longer log makes reads and recovery slower.
const CHECKPOINT_PAGES: u32 = 4_096;

/// Size in bytes to which a longer log is truncated.
const LOG_SIZE_LIMIT_BYTES: u32 = 64 * 1_024 * 1_024;

/// Opens the only connection that writes.
pub(crate) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Connection, Failure> {
    // The flags do not include the creation of the file: only a migration creates a database.
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.writer_cache_kib, options)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit is on the disk before it is acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE_LIMIT_BYTES)?;
    // The first read makes SQLite open or create the log.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection, Failure> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.reader_cache_kib, options)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Sets a new generation ([`crate::file::Generation`]) in the database file, so that a log written from now on is not applied to
/// an earlier content, and records it. Keeps the generation while another process, such as a backup, reads from the log. Returns
/// the generations that the file may have from now on. The connection must be the only one of this process; afterwards it waits
/// for no lock.
///
/// The new generation is recorded beside the old one before it is written. If the process is killed at any moment, the file
/// therefore has one of the recorded generations.
pub(crate) fn renew_generation(
    connection: &Connection,
    lock: &DatabaseLock,
) -> Result<Vec<Generation>, Failure> {
    let is_read_elsewhere =
        || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Generation>(0));
    let set = |generation| connection.pragma_update(None, "user_version", generation);
    let in_log = number("PRAGMA user_version")?;
    let in_file = lock.header().as_ref().and_then(generation_in).unwrap_or(in_log);
    let new = number("SELECT abs(random() % 2147483647) + 1")?;
    let mut generations = vec![in_file, in_log, new];
    lock.record(&generations)?;
    connection.busy_timeout(Duration::ZERO)?;
    if is_read_elsewhere()? {
        generations.pop();
        if in_log != in_file {
            // The last frame of the log that contains the header determines the generation in the file.
            set(in_file)?;
        }
    } else {
        set(new)?;
        if is_read_elsewhere()? {
            set(in_log)?;
        } else {
            generations = vec![new];
        }
    }
    generations.dedup();
    lock.record(&generations)?;
    Ok(generations)
}

fn open(
    path: &Path,
    mode: OpenFlags,
    cache_kib: u32,
    options: &SqliteOptions,
) -> Result<Connection, Failure> {
    // Only one thread at a time uses a connection, so SQLite need not lock it.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(options.busy_timeout)?;
    // SQLite interprets a negative size as KiB.
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
    Ok(connection)
}
