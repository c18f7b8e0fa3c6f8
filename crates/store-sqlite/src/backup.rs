//! Backups of a database, and their verification and restoration.
//!
//! A backup is one read transaction of a separate connection (`VACUUM INTO`), so it shows a single moment and blocks no
//! writer. Rejected alternative: `SQLite`'s online backup restarts after each write of another process, so it would
//! never end under load.
//!
//! Each file is written under a temporary name, synced, and renamed when it is complete.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use dabba_store::StoreError;
use rusqlite::{Connection, OpenFlags, params};

use crate::{
    SqliteStore,
    failure::Failure,
    file::{Identity, beside, directory_of, give_to_owner_of, mark_at, open_immutable, open_own, real_path},
    lock::{DatabaseLock, NO_FILE, PathLock, recorded_marks},
    migrate::{self, KEPT},
};

/// Maximum time that a backup waits for a lock of `SQLite`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time that a restore waits for another process to release the database lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Suffix of the name of an incomplete backup.
const UNFINISHED: &str = ".dabba-part";

/// Maximum number of reported problems of a damaged database.
const MAX_PROBLEMS: u32 = 10;

/// Maximum number of kept databases with the same name and different numbers.
const MAX_KEPT: u32 = 100;

/// Content of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Number of orders.
    pub orders: u64,
    /// Number of events of orders.
    pub events: u64,
    /// Number of restaurants.
    pub restaurants: u64,
    /// Number of accounts.
    pub accounts: u64,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

impl Contents {
    /// Returns whether the database has no orders, restaurants or accounts.
    pub const fn is_empty(&self) -> bool {
        self.orders == 0 && self.restaurants == 0 && self.accounts == 0
    }
}

/// Result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Content of the restored database.
    pub contents: Contents,
    /// Path of the previous database, or of its log if only the log existed.
    pub kept: Option<PathBuf>,
}

impl SqliteStore {
    /// Writes a backup of the database at `path` to `to`, which must not exist. Another process may serve the database
    /// meanwhile. Blocks the thread.
    ///
    /// The database may have an earlier schema version, so that it can be backed up before a migration. The backup is
    /// verified before it gets its final name. On failure, the error is unavailable with a text for the operator, and
    /// nothing is left behind.
    pub fn back_up(path: &Path, to: &Path) -> Result<Contents, StoreError> {
        migrate::check_known(path)?;
        refuse_if_there(to)?;
        let part = Unfinished::begin(beside(to, UNFINISHED))?;
        write_copy(path, &part.path)?;
        part.sync()?;
        let contents = verify(&part.path)?;
        part.publish(to)?;
        Ok(contents)
    }

    /// Verifies the database at `path` and returns its content. The file must be a Dabba database with a schema that
    /// this program can serve or migrate, and it must not be damaged. Blocks the thread.
    pub fn verify_backup(path: &Path) -> Result<Contents, StoreError> {
        verify(path)
    }

    /// Replaces the database at `path`, which no process may serve, with a backup. A database that is not empty is
    /// replaced only if `kept` is given; the old database then stays beside the new one under its own name, `.before-`
    /// and this text. Blocks the thread.
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

/// A file under a temporary name until it is complete. Only its owner can read it, and only one command at a time
/// writes it. It is removed unless it is published.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_named: bool,
}

impl Unfinished {
    /// Creates the file, or empties the file that a killed command left behind.
    fn begin(path: PathBuf) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_own(&mut options, &path).map_err(cannot("create", &path))?;
        let locked = file.try_lock().map_err(io::Error::from);
        let found = Identity::at(&path).map_err(cannot("create", &path))?;
        let own = file.metadata().map_err(cannot("create", &path))?;
        if locked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            || found != Some(Identity::of(&own))
        {
            return Err(StoreError::Unavailable(format!("another command writes {}", path.display())));
        }
        locked
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o600)))
            .and_then(|()| file.set_len(0))
            .map_err(cannot("create", &path))?;
        Ok(Self { path, file, is_named: false })
    }

    /// Makes the file's content durable.
    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(cannot("write", &self.path))
    }

    /// Renames the file to its final name. Does not replace a file that already has the name.
    fn publish(mut self, to: &Path) -> Result<(), StoreError> {
        match fs::hard_link(&self.path, to) {
            Ok(()) => fs::remove_file(&self.path).map_err(cannot("remove", &self.path))?,
            // The file system does not support hard links.
            Err(error) if is_unsupported(&error) && !to.exists() => {
                fs::rename(&self.path, to).map_err(cannot("create", to))?;
            }
            Err(error) => return Err(cannot("create", to)(error)),
        }
        self.is_named = true;
        sync_directory(to)
    }

    /// Renames the file to its final name and replaces the file that has the name.
    fn replace(mut self, to: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, to).map_err(cannot("replace", to))?;
        self.is_named = true;
        sync_directory(to)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_named {
            // Errors are ignored: the next command empties a file that could not be removed.
            let _ = fs::remove_file(&self.path);
        }
        // Removes files that SQLite may have created beside it.
        for suffix in ["-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
    }
}

fn write_copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = || -> Result<(), Failure> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let to = to.to_str().ok_or_else(|| {
            StoreError::Unavailable(format!("the name of {} is not in UTF-8", to.display()))
        })?;
        connection.execute("VACUUM INTO ?1", params![to])?;
        // With generation 0, the original's log counts as the log of another file and is not applied to the backup.
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?.pragma_update(
            None,
            "user_version",
            0,
        )?;
        Ok(())
    };
    copy().map_err(StoreError::from)
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

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Returns whether the file is an empty database.
fn holds_nothing(path: &Path) -> bool {
    !has_log(path) && verify(path).is_ok_and(|contents| contents.is_empty())
}

/// Returns whether the log beside a database has content.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Returns whether a rollback journal is beside a database.
fn has_journal(path: &Path) -> bool {
    fs::metadata(beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0)
}

/// Verifies a file that no process writes.
fn verify(path: &Path) -> Result<Contents, StoreError> {
    let shown = path.display();
    if has_log(path) || has_journal(path) {
        return Err(StoreError::Unavailable(format!(
            "{shown} has a log or a journal beside it ({shown}-wal, {shown}-journal), so it is a copy of a database in use: make \
             backups with `dabba backup`"
        )));
    }
    migrate::check_restorable(path)?;
    let read = || -> Result<Contents, Failure> {
        let connection = open_immutable(path)?;
        let problems = problems(&connection)?;
        if !problems.is_empty() {
            return Err(Failure::corrupt(format!("{shown} is damaged: {}", problems.join("; "))));
        }
        let count = |table: &str| -> Result<u64, Failure> {
            let count: i64 =
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        let bytes = fs::metadata(path).map_err(cannot("read", path))?.len();
        let (orders, events) = (count("orders")?, count("order_events")?);
        Ok(Contents {
            orders,
            events,
            restaurants: count("restaurants")?,
            accounts: count("accounts")?,
            bytes,
        })
    };
    read().map_err(StoreError::from)
}

/// Returns the problems that `SQLite` finds in a database: damaged structure, and rows that refer to missing rows.
pub(crate) fn problems(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MAX_PROBLEMS})"))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut problems: Vec<String> = found.into_iter().filter(|text| text != "ok").collect();
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if problems.len() >= MAX_PROBLEMS as usize {
            break;
        }
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        problems.push(format!("a row of {table} refers to a row of {parent} that does not exist"));
    }
    Ok(problems)
}

fn refuse_if_there(file: &Path) -> Result<(), StoreError> {
    if file.exists() {
        let text = format!("{} already exists: choose another file name, or remove the file", file.display());
        return Err(StoreError::Unavailable(text));
    }
    Ok(())
}

fn remove_if_there(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", file)(error)),
        _ => Ok(()),
    }
}

fn sync_directory(file: &Path) -> Result<(), StoreError> {
    let directory = directory_of(file);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot("sync", directory))
}

fn cannot<'a>(what: &'a str, file: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |error| StoreError::Unavailable(format!("cannot {what} {}: {error}", file.display()))
}
