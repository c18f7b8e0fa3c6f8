//! Backups of a database, and their verification and restoration.
//!
//! A backup is one read transaction of a separate connection (`VACUUM INTO`), so it shows a single moment and blocks no
//! writer. Rejected alternative: `SQLite`'s online backup restarts after each write of another process, so it would
//! never end under load.
//!
//! Each file is written under a temporary name, synced, and renamed when it is complete.

mod restore;
mod unfinished;

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use dabba_store::StoreError;
use rusqlite::{Connection, OpenFlags, params};

pub use self::restore::Restored;
use self::unfinished::Unfinished;
use crate::{
    SqliteStore,
    failure::Failure,
    feed::renew_incarnation,
    file::{beside, directory_of, open_immutable},
    migrate,
};

/// Maximum time that a backup waits for a lock of `SQLite`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Suffix of the name of an incomplete backup.
const UNFINISHED: &str = ".dabba-part";

/// Maximum number of reported problems of a damaged database.
const MAX_PROBLEMS: u32 = 10;

/// Content of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupContents {
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

impl BackupContents {
    /// Returns whether the database has no orders, restaurants or accounts.
    pub const fn is_empty(&self) -> bool {
        self.orders == 0 && self.restaurants == 0 && self.accounts == 0
    }
}

impl SqliteStore {
    /// Writes a backup of the database at `path` to `to`, which must not exist. Another process may serve the database
    /// meanwhile. Blocks the thread.
    ///
    /// The database may have an earlier schema version, so that it can be backed up before a migration. The backup is
    /// verified before it gets its final name. On failure, the error is unavailable with a text for the operator, and
    /// nothing is left behind.
    pub fn back_up(path: &Path, to: &Path) -> Result<BackupContents, StoreError> {
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
    pub fn verify_backup(path: &Path) -> Result<BackupContents, StoreError> {
        verify(path)
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
        let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // With generation 0, the original's log counts as the log of another file and is not applied to the backup.
        copy.pragma_update(None, "user_version", 0)?;
        // If the backup is copied into the place of a database by hand, no command gives the database a new
        // incarnation.
        renew_incarnation(&copy)
    };
    copy().map_err(StoreError::from)
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
fn verify(path: &Path) -> Result<BackupContents, StoreError> {
    let shown = path.display();
    if has_log(path) || has_journal(path) {
        return Err(StoreError::Unavailable(format!(
            "{shown} has a log or a journal beside it ({shown}-wal, {shown}-journal), so it is a copy of a database in use: make \
             backups with `dabba backup`"
        )));
    }
    migrate::check_restorable(path)?;
    let read = || -> Result<BackupContents, Failure> {
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
        Ok(BackupContents {
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

fn sync_directory(file: &Path) -> Result<(), StoreError> {
    let directory = directory_of(file);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot("sync", directory))
}

fn cannot<'a>(what: &'a str, file: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |error| StoreError::Unavailable(format!("cannot {what} {}: {error}", file.display()))
}
