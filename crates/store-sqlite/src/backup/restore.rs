//! The restoration of a backup in the place of a database.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use dabba_store::StoreError;
use rusqlite::{Connection, OpenFlags};

use super::{BackupContents, cannot, has_journal, has_log, sync_directory, unfinished::Unfinished, verify};
use crate::{
    SqliteStore,
    feed::renew_incarnation,
    file::{beside, directory_of, give_to_owner_of, mark_at, real_path},
    lock::{DatabaseLock, NO_FILE, PathLock, recorded_marks},
    migrate::{self, KEPT},
};

/// Maximum time that a restore waits for another process to release the database lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Maximum number of kept databases with the same name and different numbers.
const MAX_KEPT: u32 = 100;

/// Result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Content of the restored database.
    pub contents: BackupContents,
    /// Path of the previous database, or of its log if only the log existed.
    pub kept: Option<PathBuf>,
}

impl SqliteStore {
    /// Replaces the database at `path`, which no process may serve, with a backup. A database that is not empty is
    /// replaced only if `kept` is given; the old database then stays beside the new one under its own name, `.before-`
    /// and this text. Blocks the thread.
    ///
    /// The restored database has a new incarnation, so every cursor of the feed that was made before is void.
    ///
    /// The backup is verified before anything changes. The log of the old database is first written into that database,
    /// so that the kept file is complete without a log; a damaged database keeps its log beside it. If the process is
    /// killed, either the old or the new database is in place and complete. If the old database was damaged, its log
    /// may then be beside the new database; in that case every command refuses the database until the restore is
    /// repeated.
    pub fn restore(path: &Path, backup: &Path, kept: Option<&str>) -> Result<Restored, StoreError> {
        verify(backup)?;
        // If the path is a symbolic link, SQLite's files and the kept file are beside the link's target.
        let (lock_path, path) = (path, &*real_path(path));
        if !path.exists() && fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err(StoreError::Unavailable(format!(
                "{} is a symbolic link to a file that is missing: bring the file back, or remove the link",
                path.display()
            )));
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(StoreError::Unavailable(format!(
                "{} is not a regular file: move it away",
                path.display()
            )));
        }
        let in_use =
            || StoreError::Unavailable(format!("a process uses {}: stop the server first", path.display()));
        let path_lock = PathLock::acquire_within(lock_path, LOCK_PATIENCE)?.ok_or_else(in_use)?;
        // Held until the end of the restore.
        let holder = if path.exists() {
            Holder::Database(DatabaseLock::with(path_lock, lock_path, LOCK_PATIENCE)?.ok_or_else(in_use)?)
        } else {
            Holder::Path(path_lock)
        };
        let is_there = path.exists() || beside(path, "-wal").exists();
        if is_there && kept.is_none() && !holds_nothing(path) {
            let (shown, there) = (path.display(), path.exists());
            let found = if there {
                format!("{shown} holds a database")
            } else {
                format!("{shown} is missing, and its log {shown}-wal is there")
            };
            return Err(StoreError::Unavailable(format!(
                "{found}: give --replace to put the backup in its place and keep what is there under another name"
            )));
        }
        let mut new = Unfinished::begin(beside(path, ".restoring"))?;
        File::open(backup)
            .and_then(|mut backup| io::copy(&mut backup, &mut new.file))
            .map_err(cannot("copy the backup to", &new.path))?;
        renew(&new.path)?;
        let model = if path.exists() { fs::metadata(path) } else { fs::metadata(directory_of(path)) };
        model
            .and_then(|model| give_to_owner_of(&model, &new.file))
            .map_err(cannot("change the owner of", &new.path))?;
        new.sync()?;
        let contents = verify(&new.path)?;
        let log = settle_log(path, lock_path, holder.path_lock())?;
        if has_journal(path) {
            // SQLite would apply the journal to any file with the name of the database.
            return Err(StoreError::Unavailable(format!(
                "{0}-journal cannot be rolled back into {0}: move both away",
                path.display()
            )));
        }
        let kept = kept
            .filter(|_| is_there)
            .map(|suffix| keep(path, log, &beside(path, &format!("{KEPT}{suffix}"))));
        let kept = kept.transpose()?;
        // From here on, a remaining log is known to belong to another file, so no process applies it to the new
        // database.
        new.replace(path)?;
        // The index is removed first: without its log, the index would state that a log is missing.
        for suffix in ["-shm", "-wal"] {
            remove_if_there(&beside(path, suffix))?;
        }
        sync_directory(path)?;
        let mark = mark_at(path).map_err(cannot("read", path))?;
        holder.path_lock().record(lock_path, &mark)?;
        Ok(Restored { contents, kept })
    }
}

/// Gives a copy of a backup a new incarnation: the same backup may be restored several times.
fn renew(copy: &Path) -> Result<(), StoreError> {
    let renew = || renew_incarnation(&Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?);
    renew().map_err(StoreError::from)
}

/// The lock that a restore holds.
enum Holder {
    /// The database exists.
    Database(DatabaseLock),
    /// No database exists.
    Path(PathLock),
}

impl Holder {
    const fn path_lock(&self) -> &PathLock {
        match self {
            Self::Database(lock) => lock.path_lock(),
            Self::Path(lock) => lock,
        }
    }
}

/// Owner of the log beside a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// There is no log.
    None,
    /// The log belongs to the database.
    Own,
    /// The log belongs to another file.
    Foreign,
}

/// Writes the log of an unused database into the database, if possible. Ensures that a remaining log is known not to
/// belong to a file that replaces the database.
fn settle_log(path: &Path, lock_path: &Path, path_lock: &PathLock) -> Result<Log, StoreError> {
    let database = match fs::metadata(path) {
        Ok(database) => database,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let owner = recorded_marks(lock_path).unwrap_or_else(|| NO_FILE.to_owned());
            path_lock.record(lock_path, &owner)?;
            return Ok(if has_log(path) { Log::Own } else { Log::None });
        }
        Err(error) => return Err(cannot("read", path)(error)),
    };
    if migrate::owner_of_foreign_log(lock_path, &database).is_some() {
        return Ok(Log::Foreign);
    }
    let mark = mark_at(path).map_err(cannot("read", path))?;
    path_lock.record_found(lock_path, &mark)?;
    if has_log(path) || has_journal(path) {
        let fold = || -> Result<bool, rusqlite::Error> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // Rolls back the journal of a process that was killed.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        };
        match fold() {
            Ok(false) => {}
            Ok(true) => {
                let text =
                    format!("a process, such as a backup, reads {}: wait until it has ended", path.display());
                return Err(StoreError::Unavailable(text));
            }
            Err(error) => {
                tracing::warn!(%error, "the log of the old database cannot be written into the database and stays beside it");
            }
        }
    }
    Ok(if has_log(path) { Log::Own } else { Log::None })
}

/// Adds a second name to a database and the log beside it: this name, or this name with a number if it is taken.
fn keep(path: &Path, log: Log, kept: &Path) -> Result<PathBuf, StoreError> {
    let names =
        std::iter::once(kept.to_owned()).chain((2..=MAX_KEPT).map(|n| beside(kept, &format!("-{n}"))));
    let mut free = names.filter(|name| !name.exists() && !beside(name, "-wal").exists());
    let kept = free.next().ok_or_else(|| {
        StoreError::Unavailable(format!(
            "{MAX_KEPT} databases are already kept as {}: move some of them away",
            kept.display()
        ))
    })?;
    // SQLite applies a log whose name ends in -wal.
    let suffixes = match log {
        Log::None => vec![("", "")],
        Log::Own => vec![("", ""), ("-wal", "-wal")],
        Log::Foreign => vec![("", ""), ("-wal", "-foreign-wal")],
    };
    for (from, to) in suffixes {
        let (from, to) = (beside(path, from), beside(&kept, to));
        if from.exists() {
            fs::hard_link(&from, &to).map_err(cannot("keep the old database as", &to))?;
        }
    }
    sync_directory(&kept)?;
    Ok(if kept.exists() { kept } else { beside(&kept, "-wal") })
}

/// Returns whether the file is an empty database.
fn holds_nothing(path: &Path) -> bool {
    !has_log(path) && verify(path).is_ok_and(|contents| contents.is_empty())
}

fn remove_if_there(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", file)(error)),
        _ => Ok(()),
    }
}
