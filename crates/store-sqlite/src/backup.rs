//! Backups of a database, and what is made of them.
//!
//! A backup is one read transaction of a connection of its own (`VACUUM INTO`), so it shows one moment and holds up no
//! writer. `SQLite`'s online backup was rejected: another process's write makes it begin anew, so that it never ends under
//! load.
//!
//! Each file is made under another name, synced, and given its name when it is whole.

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

/// What follows the name of a backup that is not complete.
const UNFINISHED: &str = ".dabba-part";

/// Maximum number of problems that are named of a damaged database.
const MAX_PROBLEMS: u32 = 10;

/// Maximum number of databases that are kept under the same name with different numbers.
const MAX_KEPT: u32 = 100;

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Orders.
    pub orders: u64,
    /// Events of orders.
    pub events: u64,
    /// Restaurants.
    pub restaurants: u64,
    /// Accounts.
    pub accounts: u64,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

impl Contents {
    /// Whether there is anything to lose.
    pub const fn is_empty(&self) -> bool {
        self.orders == 0 && self.restaurants == 0 && self.accounts == 0
    }
}

/// What a restore has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the database holds now.
    pub contents: Contents,
    /// Where the database that was there before is kept, or its log if only that was there.
    pub kept: Option<PathBuf>,
}

impl SqliteStore {
    /// Writes a backup of the database at `path` to `to`, which must not be there. The database may be served
    /// meanwhile. Blocks the thread.
    ///
    /// The database may be of an earlier version, so that there is a backup from before a migration. The backup is verified
    /// before it has its name. Fails as unavailable, with a text for the operator, and leaves nothing
    /// behind then.
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

    /// Says what the database at `path` holds, after it has been verified: that it is a Dabba database with a schema that
    /// this program can serve or migrate, and that it is not damaged. Blocks the thread.
    pub fn verify_backup(path: &Path) -> Result<Contents, StoreError> {
        verify(path)
    }

    /// Puts a backup in the place of the database at `path`, which nobody may serve. A database that holds something is
    /// replaced only if `kept` is given; it then stays beside it under its own name, `.before-` and this text. Blocks the
    /// thread.
    ///
    /// The backup is verified before anything changes. The log of the old database is written into that database first, so
    /// that the kept file is complete by itself; a damaged database keeps its log beside it. A process that is killed
    /// meanwhile leaves the old database or the new one, whole. In the case of a damaged one the new one may have the old
    /// log beside it; then every command refuses the database until the restore is repeated.
    pub fn restore(path: &Path, backup: &Path, kept: Option<&str>) -> Result<Restored, StoreError> {
        verify(backup)?;
        // SQLite and the kept file are at the end of a symbolic link.
        let (lock_path, path) = (path, &*real_path(path));
        if !path.exists() && fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err(StoreError::Unavailable(format!(
                "{} is a symbolic link to a file that is missing: bring the file back, or remove the link",
                path.display()
            )));
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(StoreError::Unavailable(format!("{} is not a file: move it away", path.display())));
        }
        let in_use =
            || StoreError::Unavailable(format!("a process uses {}: stop the server first", path.display()));
        let path_lock = PathLock::take_within(lock_path, LOCK_PATIENCE)?.ok_or_else(in_use)?;
        // Held to the end.
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
            .map_err(cannot("give away", &new.path))?;
        new.sync()?;
        let contents = verify(&new.path)?;
        let log = settle_log(path, lock_path, holder.path_lock())?;
        if has_journal(path) {
            // SQLite would apply it to whatever file has the name of the database.
            return Err(StoreError::Unavailable(format!(
                "{0}-journal cannot be rolled back into {0}: move both away",
                path.display()
            )));
        }
        let kept = kept
            .filter(|_| is_there)
            .map(|suffix| keep(path, log, &beside(path, &format!("{KEPT}{suffix}"))));
        let kept = kept.transpose()?;
        // From here on a log that is still there is known to be of another file: no process applies it to the new database.
        new.replace(path)?;
        // The index first: without its log it would say that a log is missing.
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
    /// There is a database.
    Database(DatabaseLock),
    /// There is none.
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

/// Whose log is beside a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// There is none.
    None,
    /// The database's own.
    Own,
    /// Another file's.
    Foreign,
}

/// Writes the log of a database that nobody uses into the database, if that is possible, and makes sure that a log that
/// remains is known not to belong to a file that takes the database's place.
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
            // Rolls back what the journal of a process that was killed says.
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
                tracing::warn!(%error, "the log of the old database stays beside it: it cannot be written into the database");
            }
        }
    }
    Ok(if has_log(path) { Log::Own } else { Log::None })
}

/// A file that only its owner can read, under a name that it has until it is complete. Two commands do not write the same
/// one. It is removed unless it is published.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_named: bool,
}

impl Unfinished {
    /// Makes the file, or empties what a command that was killed has left.
    fn begin(path: PathBuf) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_own(&mut options, &path).map_err(cannot("make", &path))?;
        let locked = file.try_lock().map_err(io::Error::from);
        let found = Identity::at(&path).map_err(cannot("make", &path))?;
        let own = file.metadata().map_err(cannot("make", &path))?;
        if locked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            || found != Some(Identity::of(&own))
        {
            return Err(StoreError::Unavailable(format!("another command writes {}", path.display())));
        }
        locked
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o600)))
            .and_then(|()| file.set_len(0))
            .map_err(cannot("make", &path))?;
        Ok(Self { path, file, is_named: false })
    }

    /// Makes its content durable.
    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(cannot("write", &self.path))
    }

    /// Gives the file its name. A file that has the name by now is not replaced.
    fn publish(mut self, to: &Path) -> Result<(), StoreError> {
        match fs::hard_link(&self.path, to) {
            Ok(()) => fs::remove_file(&self.path).map_err(cannot("remove", &self.path))?,
            // A file system without hard links.
            Err(error) if is_unsupported(&error) && !to.exists() => {
                fs::rename(&self.path, to).map_err(cannot("make", to))?;
            }
            Err(error) => return Err(cannot("make", to)(error)),
        }
        self.is_named = true;
        sync_directory(to)
    }

    /// Gives the file its name, in the place of the file that has it.
    fn replace(mut self, to: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, to).map_err(cannot("replace", to))?;
        self.is_named = true;
        sync_directory(to)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_named {
            // It is of no use, and the next command empties what cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
        // What SQLite may have made beside it.
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
        // The log of the original must not be applied to its backup.
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?.pragma_update(
            None,
            "user_version",
            0,
        )?;
        Ok(())
    };
    copy().map_err(StoreError::from)
}

/// Keeps a database, with the log beside it, under another name too: this one, or with a number where that is taken.
fn keep(path: &Path, log: Log, kept: &Path) -> Result<PathBuf, StoreError> {
    let names =
        std::iter::once(kept.to_owned()).chain((2..=MAX_KEPT).map(|n| beside(kept, &format!("-{n}"))));
    let mut free = names.filter(|name| !name.exists() && !beside(name, "-wal").exists());
    let kept = free.next().ok_or_else(|| {
        StoreError::Unavailable(format!("{MAX_KEPT} databases are kept as {} already", kept.display()))
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

/// Whether a database is one, and nothing is in it.
fn holds_nothing(path: &Path) -> bool {
    !has_log(path) && verify(path).is_ok_and(|contents| contents.is_empty())
}

/// Whether something is in the log beside a database.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Whether there is a rollback journal beside a database.
fn has_journal(path: &Path) -> bool {
    fs::metadata(beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0)
}

/// Verifies a file that nobody writes to.
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

/// What `SQLite` finds wrong with a database: its structure, and rows that refer to nothing.
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
        problems.push(format!("a row of {table} refers to a row of {parent} that is not there"));
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
