//! The lock that limits a database to one process: on the database file, and on a file beside it.
//!
//! `SQLite` itself allows several writing processes. A server must be the only one: it numbers the feed, and caches what it
//! wrote. The operating system releases both locks when the process dies, whatever the cause.
//!
//! The lock on the database file itself (`flock`) applies whatever path leads to the file: a hard link, a symbolic link, a moved
//! directory. The file `….lock` beside the database excludes servers of versions that lock only that file, in both directions,
//! and locks the path while no database exists. The file is never deleted, because deletion would let two processes lock two
//! files. Its content is the mark of the database file ([`Identity::mark`]), or several marks while the generation changes: a log
//! beside the database belongs to that file only. A process that writes to the database records the marks after it has refused a
//! log of another file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use dabba_store::StoreError;

use crate::file::{
    Generation, HEADER, Identity, beside, directory_of, generation_in, give_to_owner_of, open_own,
};

/// Interval between two attempts to take a lock that another process holds.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The database files of which this process has a descriptor. No second descriptor may be opened, because closing it would drop
/// the locks of `SQLite` (see [`crate::file`]).
static OPEN: Mutex<BTreeMap<Identity, Arc<File>>> = Mutex::new(BTreeMap::new());

/// Returns the beginning of the database file at a path; `None` if it cannot be read.
pub(crate) fn header_at(path: &Path) -> Option<[u8; HEADER]> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let identity = Identity::at(path).ok()??;
    match open.get(&identity) {
        Some(file) => read_header(file),
        None => read_header(&File::open(path).ok()?),
    }
}

fn read_header(file: &File) -> Option<[u8; HEADER]> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    Some(header)
}

/// Locks the path of a database for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct PathLock {
    file: File,
}

impl PathLock {
    /// Acquires the lock, or returns `None` if another process still holds it after `time`. Blocks the thread.
    pub(crate) fn acquire_within(database: &Path, time: Duration) -> Result<Option<Self>, StoreError> {
        let path = beside(database, ".lock");
        acquire_within(time, || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true).mode(0o600);
            let file = open_own(&mut options, &path);
            let file = file.map_err(|error| cannot_lock(&path, &error))?;
            let directory = fs::metadata(directory_of(database));
            let given = directory.and_then(|directory| give_to_owner_of(&directory, &file));
            given.map_err(|error| cannot_lock(&path, &error))?;
            Ok(try_lock(&file, &path)?.then_some(Self { file }))
        })
    }

    /// Records that a log beside the database at `path` belongs to the file with one of these marks, one per line. Call this only
    /// when it is certain that no log of another file is there.
    pub(crate) fn record(&self, path: &Path, marks: &str) -> Result<(), StoreError> {
        if recorded_marks(path).as_deref() == Some(marks) {
            return Ok(());
        }
        let write = || {
            // A concurrent reader finds the old lines, or the new lines followed by a rest of the old ones.
            let text = format!("{marks}\n");
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_all()
        };
        write().map_err(|error| cannot_lock(path, &error))
    }

    /// Records the mark of the file at `path`, unless it is already recorded, possibly among marks that the file is about to get.
    pub(crate) fn record_found(&self, path: &Path, mark: &str) -> Result<(), StoreError> {
        let is_recorded = recorded_marks(path).is_some_and(|marks| marks.lines().any(|found| found == mark));
        if is_recorded { Ok(()) } else { self.record(path, mark) }
    }
}

/// Prefix of the line that states the loss of a database.
const LOSS: &str = "lost: ";

/// Returns the loss of the database at a path, one of whose files was truncated while it was open; `None` if no loss is recorded.
pub(crate) fn recorded_loss(database: &Path) -> Option<String> {
    let marks = recorded_marks(database)?;
    marks.lines().find_map(|line| line.strip_prefix(LOSS)).map(ToOwned::to_owned)
}

/// The mark that stands for no file.
pub(crate) const NO_FILE: &str = "none";

/// Returns the marks of the file that was last open at a path, as the file `.lock` records them, one per line; `None` if no mark
/// is recorded. There are several marks if the file may have one of them.
pub(crate) fn recorded_marks(database: &Path) -> Option<String> {
    let marks = fs::read_to_string(beside(database, ".lock")).ok()?;
    let marks = marks.trim_end();
    (!marks.is_empty()).then(|| marks.to_owned())
}

/// Locks an existing database for this process until it is dropped. Every connection must be closed before.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    path: PathBuf,
    // Closed before the identity and the path are released.
    file: Registered,
    path_lock: PathLock,
}

impl DatabaseLock {
    /// Acquires both locks, or returns `None` if another process still holds one of them after `time`. Blocks the thread.
    pub(crate) fn acquire_within(database: &Path, time: Duration) -> Result<Option<Self>, StoreError> {
        match PathLock::acquire_within(database, time)? {
            Some(path_lock) => Self::with(path_lock, database, time),
            None => Ok(None),
        }
    }

    /// Acquires the lock on the file for a process that holds the path.
    pub(crate) fn with(
        path_lock: PathLock,
        database: &Path,
        time: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let file = acquire_within(time, || Registered::try_acquire(database))?;
        Ok(file.map(|file| Self { path: database.to_owned(), file, path_lock }))
    }

    /// Records that a log beside the database belongs to the locked file with its current generation.
    pub(crate) fn record_found(&self) -> Result<(), StoreError> {
        let generation = self.header().as_ref().and_then(generation_in);
        self.path_lock.record_found(&self.path, &self.file.identity.mark(generation))
    }

    /// Records that a log beside the database belongs to the locked file, which has one of these generations.
    pub(crate) fn record(&self, generations: &[Generation]) -> Result<(), StoreError> {
        let marks = generations.iter().map(|generation| self.file.identity.mark(Some(*generation)));
        self.path_lock.record(&self.path, &marks.collect::<Vec<_>>().join("\n"))
    }

    /// Records a loss of the database, or that the database is complete again.
    pub(crate) fn record_loss(&self, loss: Option<&str>) -> Result<(), StoreError> {
        let marks = recorded_marks(&self.path).unwrap_or_default();
        let kept = marks.lines().filter(|line| !line.starts_with(LOSS)).map(ToOwned::to_owned);
        let lines = kept.chain(loss.map(|loss| format!("{LOSS}{loss}")));
        self.path_lock.record(&self.path, &lines.collect::<Vec<_>>().join("\n"))
    }

    /// Returns the beginning of the locked file; `None` if it cannot be read.
    pub(crate) fn header(&self) -> Option<[u8; HEADER]> {
        read_header(&self.file.file)
    }

    /// Returns the lock on the path.
    pub(crate) const fn path_lock(&self) -> &PathLock {
        &self.path_lock
    }

    /// Returns the path of the database.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the identity of the locked file.
    pub(crate) const fn identity(&self) -> Identity {
        self.file.identity
    }
}

/// The only descriptor of a database file in this process, locked.
#[derive(Debug)]
struct Registered {
    file: Arc<File>,
    identity: Identity,
}

impl Registered {
    fn try_acquire(database: &Path) -> Result<Option<Self>, StoreError> {
        let failed = |error: io::Error| cannot_lock(database, &error);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(identity) = Identity::at(database).map_err(failed)? else {
            return Err(StoreError::Unavailable(format!("there is no database at {}", database.display())));
        };
        if open.contains_key(&identity) {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).open(database).map_err(failed)?;
        let found = Identity::of(&file.metadata().map_err(failed)?);
        if found != identity {
            // The file was replaced between the two checks: the next attempt finds the new file.
            return Ok(None);
        }
        if !try_lock(&file, database)? {
            return Ok(None);
        }
        let file = Arc::new(file);
        open.insert(identity, Arc::clone(&file));
        Ok(Some(Self { file, identity }))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // The descriptor closes a moment later. A second one is harmless until then, because no connection is open.
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.identity);
    }
}

/// Repeats an attempt until it succeeds, fails, or the time is over.
fn acquire_within<T>(
    time: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let begun = Instant::now();
    loop {
        let taken = attempt()?;
        if taken.is_some() || begun.elapsed() > time {
            return Ok(taken);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Locks the file, and returns whether the lock was free.
fn try_lock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(cannot_lock(path, &error)),
    }
}

fn cannot_lock(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot lock {}: {error}", path.display()))
}
