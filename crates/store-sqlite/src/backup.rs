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
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use dabba_store::StoreError;
use rusqlite::{Connection, OpenFlags, params};

use crate::{
    SqliteStore,
    failure::Failure,
    file::beside,
    lock::{DatabaseLock, PathLock},
    migrate,
};

/// Maximum time that a backup waits for a lock of `SQLite`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time for which a restore waits for a process that lets go of the database.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

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
    /// Where the database that was there before is kept, if one was.
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
        let part = beside(to, ".part");
        let made = make(&part, &|| write_copy(path, &part)).and_then(|()| {
            let contents = verify(&part)?;
            publish(&part, to)?;
            Ok(contents)
        });
        if made.is_err() {
            // What is left of a backup that failed is of no use.
            let _ = fs::remove_file(&part);
        }
        made
    }

    /// Says what the database at `path` holds, after it has been verified: that it is a Dabba database with a schema that
    /// this program can serve or migrate, and that it is not damaged. Blocks the thread.
    pub fn verify_backup(path: &Path) -> Result<Contents, StoreError> {
        verify(path)
    }

    /// Puts a backup in the place of the database at `path`, which nobody may serve. A database that holds something is
    /// replaced only if `kept` names the file under which it stays. Blocks the thread.
    ///
    /// The backup is verified before anything changes. A process that is killed meanwhile leaves the old database, or
    /// the new one; the old one is also there under the name `kept`.
    pub fn restore(path: &Path, backup: &Path, kept: Option<&Path>) -> Result<Restored, StoreError> {
        verify(backup)?;
        let in_use =
            || StoreError::Unavailable(format!("a process uses {}: stop the server first", path.display()));
        let path_lock = PathLock::take_within(path, LOCK_PATIENCE)?.ok_or_else(in_use)?;
        // Both are held to the end.
        let (_path_lock, _lock) = if path.exists() {
            (None, Some(DatabaseLock::with(path_lock, path, LOCK_PATIENCE)?.ok_or_else(in_use)?))
        } else {
            (Some(path_lock), None)
        };
        let is_there = path.exists() || beside(path, "-wal").exists();
        if is_there && kept.is_none() && !holds_nothing(path) {
            return Err(StoreError::Unavailable(format!(
                "{} holds a database: give --replace to put the backup in its place and keep it under another name",
                path.display()
            )));
        }
        let new = beside(path, ".restoring");
        remove_if_there(&new)?;
        make(&new, &|| fs::copy(backup, &new).map(drop).map_err(cannot("copy the backup to", &new)))?;
        let contents = verify(&new)?;
        let kept = if is_there { kept.map(|kept| keep(path, kept)).transpose()? } else { None };
        // The log of the old database must not be applied to the new one.
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&beside(path, suffix))?;
        }
        fs::rename(&new, path).map_err(cannot("replace", path))?;
        sync_directory(path)?;
        Ok(Restored { contents, kept })
    }
}

/// Makes a file that only its owner can read, and fills it.
fn make(file: &Path, fill: &dyn Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    drop(made.map_err(cannot("make", file))?);
    fill()?;
    File::open(file).and_then(|file| file.sync_all()).map_err(cannot("write", file))
}

fn write_copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = || -> Result<(), Failure> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let to = to.to_str().ok_or_else(|| {
            StoreError::Unavailable(format!("the name of {} is not in UTF-8", to.display()))
        })?;
        connection.execute("VACUUM INTO ?1", params![to])?;
        Ok(())
    };
    copy().map_err(StoreError::from)
}

/// Gives a whole file its name. One that is there by now is not replaced.
fn publish(part: &Path, to: &Path) -> Result<(), StoreError> {
    fs::hard_link(part, to).map_err(cannot("make", to))?;
    fs::remove_file(part).map_err(cannot("remove", part))?;
    sync_directory(to)
}

/// Keeps a database, with its log, under another name too: this one, or with a number where that is taken.
fn keep(path: &Path, kept: &Path) -> Result<PathBuf, StoreError> {
    let names =
        std::iter::once(kept.to_owned()).chain((2..=MAX_KEPT).map(|n| beside(kept, &format!("-{n}"))));
    let mut free = names.filter(|name| !name.exists() && !beside(name, "-wal").exists());
    let kept = free.next().ok_or_else(|| {
        StoreError::Unavailable(format!("{MAX_KEPT} databases are kept as {} already", kept.display()))
    })?;
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(path, suffix), beside(&kept, suffix));
        if from.exists() {
            fs::hard_link(&from, &to).map_err(cannot("keep the old database as", &to))?;
        }
    }
    sync_directory(&kept)?;
    Ok(kept)
}

/// Whether a database is one, and nothing is in it.
fn holds_nothing(path: &Path) -> bool {
    let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    !has_log && verify(path).is_ok_and(|contents| contents.is_empty())
}

/// Verifies a file that nobody writes to.
fn verify(path: &Path) -> Result<Contents, StoreError> {
    let shown = path.display();
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::Unavailable(format!(
            "{shown} has a log beside it ({shown}-wal), so it is a copy of a database in use: make backups with `dabba backup`"
        )));
    }
    migrate::check_restorable(path)?;
    let read = || -> Result<Contents, Failure> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
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
        let text = format!("{} is there already, and no backup is written over another file", file.display());
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
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot("sync", directory))
}

fn cannot<'a>(what: &'a str, file: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |error| StoreError::Unavailable(format!("cannot {what} {}: {error}", file.display()))
}
