//! The schema: numbered SQL files, forward only.
//!
//! To change the schema, add a file to `migrations/` and its line to [`MIGRATIONS`]. Never edit a released file: each
//! database contains its checksum.

mod presence;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use dabba_store::{StoreError, chain};
use dabba_store_sql::schema::{Migrations, Schema};
use refinery::Runner;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use self::presence::exists;
pub(crate) use self::presence::{KEPT, owner_of_foreign_log};
use crate::{
    failure::Failure,
    file::{beside, directory_of, give_to_owner_of, open_immutable, open_own},
    lock::{DatabaseLock, PathLock},
};

/// Every migration, by name, in order.
pub(crate) const MIGRATIONS: Migrations = Migrations(&[
    ("V1__initial", include_str!("../migrations/V1__initial.sql")),
    ("V2__parked_tasks", include_str!("../migrations/V2__parked_tasks.sql")),
    ("V3__card_payments", include_str!("../migrations/V3__card_payments.sql")),
    ("V4__stock_revisions", include_str!("../migrations/V4__stock_revisions.sql")),
    ("V5__external_ids", include_str!("../migrations/V5__external_ids.sql")),
    ("V6__availability", include_str!("../migrations/V6__availability.sql")),
    ("V7__versions", include_str!("../migrations/V7__versions.sql")),
    ("V8__revocations", include_str!("../migrations/V8__revocations.sql")),
    ("V9__task_subjects", include_str!("../migrations/V9__task_subjects.sql")),
    ("V10__feed_state", include_str!("../migrations/V10__feed_state.sql")),
    ("V11__api_keys", include_str!("../migrations/V11__api_keys.sql")),
    ("V12__webhooks", include_str!("../migrations/V12__webhooks.sql")),
    ("V13__sessions", include_str!("../migrations/V13__sessions.sql")),
    ("V14__tracking_links", include_str!("../migrations/V14__tracking_links.sql")),
    ("V15__boards", include_str!("../migrations/V15__boards.sql")),
    ("V16__statistics", include_str!("../migrations/V16__statistics.sql")),
]);

/// The version of the newest migration.
pub(crate) const NEWEST: u32 = MIGRATIONS.newest();

/// Reads the version of the schema; 0 without a migration.
pub(crate) const SCHEMA_VERSION: &str = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";

/// Maximum time to wait for another process that holds the database; it may be migrating it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Migrates a database to the newest schema, and creates it if it does not exist. Returns the number of applied
/// migrations.
pub(crate) fn migrate(path: &Path) -> Result<usize, StoreError> {
    // Reading a served database is allowed, and usually no migration is needed.
    if exists(path)? && schema(path)?.version >= NEWEST {
        check_schema(path)?;
        return Ok(0);
    }
    let path_lock = PathLock::acquire_within(path, LOCK_TIMEOUT)?.ok_or_else(|| in_use(path))?;
    // Checked again under the lock: another process may have created it meanwhile.
    if !exists(path)? {
        return create(path);
    }
    let lock = DatabaseLock::with(path_lock, path, LOCK_TIMEOUT)?.ok_or_else(|| in_use(path))?;
    schema(path)?;
    lock.record_found()?;
    let applied = apply(path)?;
    drop(lock);
    Ok(applied)
}

/// Creates a database under another name and renames it when it is complete, so that a process that dies leaves either
/// no database or a complete one.
fn create(path: &Path) -> Result<usize, StoreError> {
    let unfinished = beside(path, ".new");
    for leftover in [&unfinished, &beside(&unfinished, "-wal"), &beside(&unfinished, "-shm")] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_create(path, &error)),
            _ => {}
        }
    }
    // Only the owner gets access, whatever the umask; SQLite gives the log and its index the mode of the database.
    let mut options = OpenOptions::new();
    open_own(options.write(true).create_new(true).mode(0o600), &unfinished)
        .map_err(|error| cannot_create(path, &error))?;
    let applied = apply(&unfinished)?;
    if beside(&unfinished, "-wal").exists() {
        return Err(cannot_create(
            path,
            &io::Error::other(
                "its log could not be written back into it; check that its disk has free space",
            ),
        ));
    }
    fs::metadata(directory_of(path))
        .and_then(|directory| give_to_owner_of(&directory, &File::open(&unfinished)?))
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| File::open(directory_of(path))?.sync_all())
        .map_err(|error| cannot_create(path, &error))?;
    Ok(applied)
}

fn cannot_create(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot create the database {}: {error}", path.display()))
}

/// Checks that a database has a schema with which this program can run.
pub(crate) fn check_schema(path: &Path) -> Result<(), StoreError> {
    let schema = if exists(path)? { schema(path)? } else { Schema::default() };
    schema.check(NEWEST, path.display()).map_err(StoreError::Unavailable)
}

/// Checks that this program can serve a database, possibly after a migration. Another process may serve it.
pub(crate) fn check_known(path: &Path) -> Result<(), StoreError> {
    let refuse = |what: &str| Err(StoreError::Unavailable(format!("{} {what}", path.display())));
    if !exists(path)? {
        return refuse("does not exist");
    }
    match schema(path)? {
        Schema { version: 0, .. } => refuse("has no schema of Dabba"),
        schema => schema.check_not_newer(NEWEST, path.display()).map_err(StoreError::Unavailable),
    }
}

/// Checks that a file is a Dabba database that this program can serve, possibly after a migration.
pub(crate) fn check_restorable(path: &Path) -> Result<(), StoreError> {
    let unfit = |what: &str| Err(StoreError::Unavailable(format!("{} {what}", path.display())));
    match path.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
        Ok(metadata) if metadata.is_file() => return unfit("is empty: an empty file is not a backup"),
        Ok(_) => return unfit("is not a regular file"),
        Err(error) => return unfit(&format!("cannot be read: {error}")),
    }
    let read = || read_schema_with(open_immutable(path)?);
    let schema = match read().map_err(StoreError::from) {
        Ok(schema) => schema,
        Err(StoreError::Corrupt(error)) => return unfit(&format!("is not a Dabba database: {error}")),
        Err(error) => return Err(error),
    };
    if schema.version == 0 {
        return unfit("is not a Dabba database: it has no schema of Dabba");
    }
    schema.check_not_newer(NEWEST, path.display()).map_err(StoreError::Unavailable)
}

fn schema(path: &Path) -> Result<Schema, StoreError> {
    read_schema(path).map_err(|failure| match StoreError::from(failure) {
        StoreError::Corrupt(text) => StoreError::Corrupt(format!(
            "{} is not a database of Dabba ({text}): restore a backup, or choose another data directory",
            path.display()
        )),
        other => other,
    })
}

fn read_schema(path: &Path) -> Result<Schema, Failure> {
    // Not read-only: SQLite must create the log's shared memory to read a database in WAL mode.
    read_schema_with(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}

#[expect(clippy::needless_pass_by_value, reason = "the connection ends here")]
fn read_schema_with(connection: Connection) -> Result<Schema, Failure> {
    connection.busy_timeout(LOCK_TIMEOUT)?;
    let has_history = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |_| Ok(()))
        .optional()?;
    let of_dabba =
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('orders', 'order_events', 'idempotency_keys')";
    let found: u32 = connection.query_row(of_dabba, [], |row| row.get(0))?;
    if has_history.is_none() || found < 3 {
        return Err(Failure::corrupt("the tables of Dabba are missing"));
    }
    let version: u32 = connection.query_row(SCHEMA_VERSION, [], |row| row.get(0))?;
    if version <= NEWEST {
        return Ok(Schema::new(version, None));
    }
    // Every newer migration states its lowest compatible version.
    let stated = "SELECT compatible_from FROM schema_versions WHERE version = ?1";
    let stated = connection.query_row(stated, [version], |row| row.get(0)).optional()?;
    Ok(Schema::new(version, stated))
}

fn in_use(path: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "{} must be migrated, but another process uses it: stop that process first",
        path.display()
    ))
}

fn apply(path: &Path) -> Result<usize, StoreError> {
    let mut connection = prepare(path)?;
    let migrations = MIGRATIONS.up_to(NEWEST)?;
    // Grouped, so that a migration and its record are one transaction.
    let report = Runner::new(&migrations).set_grouped(true).run(&mut connection).map_err(|error| {
        StoreError::Unavailable(format!("{} was not migrated: {}", path.display(), chain(&error)))
    })?;
    Ok(report.applied_migrations().len())
}

/// Opens the database and sets the journal mode that the store requires. The file keeps the mode.
fn prepare(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> Result<Connection, Failure> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(LOCK_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(connection)
    };
    open().map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use dabba_store_sql::testing::{every_migration_is_compatible_from, published_migrations};

    use super::*;

    /// Proves that published migrations do not change: a database migrated by a published file refuses a file with another
    /// checksum. Change a line of this snapshot only if its file has not been published.
    #[test]
    fn published_migrations_do_not_change() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        insta::assert_snapshot!(published_migrations(MIGRATIONS, directory));
    }

    #[test]
    fn concurrent_migrations_do_not_conflict() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new.db");
        let applied: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| migrate(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(applied, MIGRATIONS.0.len());
        check_schema(&path).unwrap();
    }

    /// Proves that a database of a newer program is served if that program permits it, and is never migrated.
    #[test]
    fn a_schema_from_the_future_is_refused_unless_it_is_compatible() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("future.db");
        migrate(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute("UPDATE refinery_schema_history SET version = 107 WHERE version = 7", []).unwrap();
        for (compatible_from, is_served) in [(None, false), (Some(NEWEST), true), (Some(NEWEST + 1), false)] {
            let state = "INSERT OR REPLACE INTO schema_versions SELECT 107, ?1 WHERE ?1 IS NOT NULL";
            connection.execute(state, [compatible_from]).unwrap();
            assert_eq!(check_schema(&path).is_ok(), is_served, "{compatible_from:?}");
            assert_eq!(migrate(&path).is_ok(), is_served, "{compatible_from:?}");
        }
    }

    /// Proves that every migration states its compatible version.
    #[test]
    fn every_migration_states_its_compatible_version() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stated.db");
        migrate(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        let mut statement =
            connection.prepare("SELECT version, compatible_from FROM schema_versions").unwrap();
        let stated = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let stated: Vec<_> = stated.collect::<Result<_, _>>().unwrap();
        every_migration_is_compatible_from(NEWEST, 7, &stated);
    }
}
