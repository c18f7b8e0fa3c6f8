//! The schema: numbered SQL files, forward only.
//!
//! To change the schema, add a file to `migrations/` and its line to [`MIGRATIONS`]. Never edit a released file: each
//! database contains its checksum.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::Duration,
};

use dabba_store::{StoreError, chain};
use refinery::{Migration, Runner};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::{
    failure::Failure,
    file::{
        Identity, beside, directory_of, generation_at, give_to_owner_of, open_immutable, open_own, real_path,
    },
    lock::{DatabaseLock, PathLock, recorded_loss, recorded_marks},
};

/// Every migration, by name, in order.
pub(crate) const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("../migrations/V1__initial.sql")),
    ("V2__parked_tasks", include_str!("../migrations/V2__parked_tasks.sql")),
    ("V3__card_payments", include_str!("../migrations/V3__card_payments.sql")),
    ("V4__stock_revisions", include_str!("../migrations/V4__stock_revisions.sql")),
    ("V5__external_ids", include_str!("../migrations/V5__external_ids.sql")),
    ("V6__availability", include_str!("../migrations/V6__availability.sql")),
    ("V7__versions", include_str!("../migrations/V7__versions.sql")),
    ("V8__revocations", include_str!("../migrations/V8__revocations.sql")),
];

/// The version of the newest migration. Versions are numbered from 1 without a gap.
#[expect(clippy::cast_possible_truncation, reason = "there are few migrations")]
pub(crate) const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Text between the name of a database and the suffix of the name under which a restore keeps it.
pub(crate) const KEPT: &str = ".before-";

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

/// Returns whether there is a database at a path. Refuses a file that cannot be a database, and a log without its
/// database: a new database in their place would hide the loss. Opens no file.
fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            Err(StoreError::Unavailable(format!("{} is not a regular file: move it away", path.display())))
        }
        Ok(metadata) if metadata.len() == 0 => Err(StoreError::Unavailable(format!(
            "{} is empty, and an empty file is not a database: restore a backup, or remove the file to begin with a new database",
            path.display()
        ))),
        Ok(metadata) => {
            refuse_loss(path)?;
            refuse_other_names(path, &metadata)?;
            refuse_lost_log(path)?;
            refuse_foreign_log(path, &metadata)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(StoreError::Unavailable(format!(
                    "{} is a symbolic link to a file that is missing: put the file back, or remove the link",
                    path.display()
                )));
            }
            let log = beside(path, "-wal");
            if fs::symlink_metadata(&log).is_ok() {
                return Err(StoreError::Unavailable(format!(
                    "{} is missing, but its log {} is there and may contain orders: put the database back beside it, or \
                     move the log away to begin with a new database",
                    path.display(),
                    log.display()
                )));
            }
            Ok(false)
        }
        Err(error) => Err(StoreError::Unavailable(format!("cannot open {}: {error}", path.display()))),
    }
}

/// Refuses a file that has several names (hard links): `SQLite` keeps a log for each name, and would not find the log
/// of another name. Names that a restore has given to the file do not count.
fn refuse_other_names(path: &Path, database: &fs::Metadata) -> Result<(), StoreError> {
    if database.nlink() < 2 {
        return Ok(());
    }
    let real = real_path(path);
    let prefix = format!("{}{KEPT}", real.file_name().unwrap_or_default().to_string_lossy());
    let entries = fs::read_dir(directory_of(&real)).map(|entries| {
        let is_kept = |entry: &fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with(&prefix)
                && entry.metadata().is_ok_and(|found| Identity::of(&found) == Identity::of(database))
        };
        entries.flatten().filter(is_kept).count() as u64
    });
    let names = database.nlink() - entries.unwrap_or_default();
    if names < 2 {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} has {names} names (hard links), and orders may be in the log of another name: stop every process that uses it, \
         find the names with `find -samefile`, and remove all but the one beside which a log (-wal) is",
        path.display()
    )))
}

/// Refuses a database that lost a part of its content while it was open.
fn refuse_loss(path: &Path) -> Result<(), StoreError> {
    let Some(loss) = recorded_loss(path) else { return Ok(()) };
    let lock = beside(path, ".lock");
    Err(StoreError::Unavailable(format!(
        "{loss} while a server had it open, so orders are missing: restore a backup, or remove {} to go on without them",
        lock.display()
    )))
}

/// Refuses a database whose log was removed after its server was killed. The index of the log, which still exists,
/// shows it.
fn refuse_lost_log(path: &Path) -> Result<(), StoreError> {
    let real = real_path(path);
    let (log, index) = (beside(&real, "-wal"), beside(&real, "-shm"));
    if log.exists() || !fs::metadata(&index).is_ok_and(|index| index.len() > 0) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} is missing, and {} shows that it was there: it may contain orders. Put it back, or remove {} to go on without it",
        log.display(),
        index.display(),
        index.display()
    )))
}

/// Refuses a log that was written for another file at this path: `SQLite` would apply it and damage the database.
fn refuse_foreign_log(path: &Path, database: &fs::Metadata) -> Result<(), StoreError> {
    let Some(owner) = owner_of_foreign_log(path, database) else { return Ok(()) };
    let real = real_path(path);
    let log = ["-wal", "-journal"].map(|suffix| beside(&real, suffix)).into_iter().find(|log| log.exists());
    let log = log.unwrap_or_else(|| beside(&real, "-wal"));
    Err(StoreError::Unavailable(format!(
        "{} is not the file for which the log {} was written ({owner}): put the original file back, or move the log \
         and its index (-shm) away if the new file is a complete backup. If both were copied together, remove {}",
        path.display(),
        log.display(),
        beside(path, ".lock").display()
    )))
}

/// Returns the mark of the file for which the log beside a database was written, if that file is not the database.
pub(crate) fn owner_of_foreign_log(path: &Path, database: &fs::Metadata) -> Option<String> {
    let real = real_path(path);
    let has_content = |suffix| fs::metadata(beside(&real, suffix)).is_ok_and(|file| file.len() > 0);
    if !has_content("-wal") && !has_content("-journal") {
        return None;
    }
    // A server that starts changes the generation and the record one after the other, so a mismatch may be temporary.
    for _ in 1..MARK_ATTEMPTS {
        find_other_owner(path, database)?;
        thread::sleep(MARK_PAUSE);
    }
    find_other_owner(path, database)
}

/// Attempts to find the mark of a file among the recorded marks, and the pause between them.
const MARK_ATTEMPTS: u32 = 5;
const MARK_PAUSE: Duration = Duration::from_millis(20);

/// Returns the recorded mark, if it is not the database's mark.
fn find_other_owner(path: &Path, database: &fs::Metadata) -> Option<String> {
    let mark = Identity::of(database).mark(generation_at(path));
    // An earlier version recorded no generation.
    let is_of_database = |owner: &str| {
        mark.strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with(", generation"))
    };
    let owners = recorded_marks(path).filter(|owners| !owners.lines().any(is_of_database))?;
    owners.lines().last().map(ToOwned::to_owned)
}

/// Checks that a database has a schema with which this program can run.
pub(crate) fn check_schema(path: &Path) -> Result<(), StoreError> {
    let Schema { version, compatible_from } = if exists(path)? { schema(path)? } else { Schema::default() };
    if version < NEWEST {
        return Err(StoreError::Unavailable(format!(
            "{} has schema version {version}, and {NEWEST} is needed: run `dabba migrate`",
            path.display()
        )));
    }
    if NEWEST < compatible_from {
        return Err(StoreError::Unavailable(format!(
            "{} has schema version {version}, which requires a program that knows version {compatible_from} or later; this \
             program knows {NEWEST}: upgrade it",
            path.display()
        )));
    }
    Ok(())
}

/// Checks that this program can serve a database, possibly after a migration. Another process may serve it.
pub(crate) fn check_known(path: &Path) -> Result<(), StoreError> {
    let refuse = |what: &str| Err(StoreError::Unavailable(format!("{} {what}", path.display())));
    if !exists(path)? {
        return refuse("does not exist");
    }
    match schema(path)? {
        Schema { version: 0, .. } => refuse("has no schema of Dabba"),
        Schema { compatible_from, .. } if NEWEST < compatible_from => {
            refuse("was written by a newer version of Dabba: use that version")
        }
        _ => Ok(()),
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
    if NEWEST < schema.compatible_from {
        let Schema { version, compatible_from } = schema;
        return unfit(&format!(
            "has schema version {version}, which requires a program that knows version {compatible_from} or later; this \
             program knows {NEWEST}: use a newer one"
        ));
    }
    Ok(())
}

/// The schema of a database.
#[derive(Clone, Copy, Debug, Default)]
struct Schema {
    /// Version of the schema; 0 if there is none.
    version: u32,
    /// Lowest schema version that a program must know to run with it.
    compatible_from: u32,
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
    let newest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    let version: u32 = connection.query_row(newest, [], |row| row.get(0))?;
    if version <= NEWEST {
        return Ok(Schema { version, compatible_from: version });
    }
    // Every newer migration states its lowest compatible version.
    let stated = "SELECT compatible_from FROM schema_versions WHERE version = ?1";
    let stated = connection.query_row(stated, [version], |row| row.get(0)).optional()?;
    Ok(Schema { version, compatible_from: stated.unwrap_or(version) })
}

fn in_use(path: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "{} must be migrated, but another process uses it: stop that process first",
        path.display()
    ))
}

fn apply(path: &Path) -> Result<usize, StoreError> {
    let mut connection = prepare(path)?;
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StoreError::Corrupt(format!("a migration has an invalid name: {error}")))?;
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

    use super::*;

    /// Proves that published migrations do not change: a database refuses a migration whose checksum differs from the
    /// recorded one. Only the line of an unpublished file may change here.
    #[test]
    fn published_migrations_do_not_change() {
        let checksum = |(name, sql): &(&str, &str)| {
            format!("{name} {:016x}", Migration::unapplied(name, sql).unwrap().checksum())
        };
        insta::assert_snapshot!(MIGRATIONS.iter().map(checksum).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn the_newest_version_equals_the_version_of_the_last_migration() {
        let (name, sql) = MIGRATIONS.last().unwrap();
        let newest = Migration::unapplied(name, sql).unwrap();
        assert_eq!(u32::try_from(newest.version()).unwrap(), NEWEST);
    }

    #[test]
    fn concurrent_migrations_do_not_conflict() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new.db");
        let applied: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| migrate(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(applied, MIGRATIONS.len());
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

    /// Proves that every migration states its compatible version; one that states none would shut out every older
    /// program.
    #[test]
    fn every_migration_states_its_compatible_version() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stated.db");
        migrate(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        let stated: u32 = connection
            .query_row("SELECT count(*) FROM schema_versions WHERE version >= 7", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stated, NEWEST - 6);
    }
}
