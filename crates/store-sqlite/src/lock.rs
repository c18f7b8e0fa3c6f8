//! One process at a time: a lock on the database file, and one on a file beside it.
//!
//! `SQLite` itself lets several processes write. A server may not share: it hands out the places in the
//! feed, and caches what it wrote. The operating system releases both locks when the process dies,
//! however it dies.
//!
//! The lock on the database file itself (`flock`) holds whatever path leads to the file: a hard link, a symbolic link,
//! a directory that was moved. The file `….lock` beside the database excludes servers of versions that lock only
//! that one, in both directions, and holds the path while there is no database yet. It stays, since deleting it would
//! let two processes lock two files. Its content is the mark of the database file ([`Identity::mark`]), or several while
//! the generation changes: a log beside the database belongs to that file and to no other. The marks are recorded by those
//! who write to the database, after they have refused a log of another file.

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

/// Interval at which a lock that another process holds is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The database files of which this process has a descriptor. A second descriptor must not be opened, since closing it
/// would drop the locks of `SQLite` (see [`crate::file`]).
static OPEN: Mutex<BTreeMap<Identity, Arc<File>>> = Mutex::new(BTreeMap::new());

/// The beginning of the database file at a path; `None` if it cannot be read.
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

/// Holds the path of a database for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct PathLock {
    file: File,
}

impl PathLock {
    /// Takes the lock, or answers `None` when another still holds it after a time. Blocks the thread.
    pub(crate) fn take_within(database: &Path, time: Duration) -> Result<Option<Self>, StoreError> {
        let path = beside(database, ".lock");
        take_within(time, || {
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

    /// Records that a log beside the database at `path` belongs to the file with one of these marks, each on a line. To be
    /// called once it is certain that no log of another file is there.
    pub(crate) fn record(&self, path: &Path, marks: &str) -> Result<(), StoreError> {
        if recorded_marks(path).as_deref() == Some(marks) {
            return Ok(());
        }
        let write = || {
            // A concurrent reader finds the old lines, or the new ones and a rest of the old ones.
            let text = format!("{marks}\n");
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_all()
        };
        write().map_err(|error| cannot_lock(path, &error))
    }

    /// Records the mark of the file at `path`, unless it is recorded, perhaps among others that the file is about to get.
    pub(crate) fn record_found(&self, path: &Path, mark: &str) -> Result<(), StoreError> {
        let is_recorded = recorded_marks(path).is_some_and(|marks| marks.lines().any(|found| found == mark));
        if is_recorded { Ok(()) } else { self.record(path, mark) }
    }
}

/// The beginning of the line that says what a database lacks.
const LOSS: &str = "lost: ";

/// What the database at a path lacks, because one of its files was truncated while it was open; `None` if nothing is recorded.
pub(crate) fn recorded_loss(database: &Path) -> Option<String> {
    let marks = recorded_marks(database)?;
    marks.lines().find_map(|line| line.strip_prefix(LOSS)).map(ToOwned::to_owned)
}

/// The mark of no file.
pub(crate) const NO_FILE: &str = "none";

/// The marks that the file has which was last open at a path, or may have, as the file `.lock` records them, each on a line;
/// `None` if nothing is recorded.
pub(crate) fn recorded_marks(database: &Path) -> Option<String> {
    let marks = fs::read_to_string(beside(database, ".lock")).ok()?;
    let marks = marks.trim_end();
    (!marks.is_empty()).then(|| marks.to_owned())
}

/// Holds a database that exists for this process until it is dropped. Every connection must be closed before.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    path: PathBuf,
    // Closed before the identity is released and before the path is.
    file: Registered,
    path_lock: PathLock,
}

impl DatabaseLock {
    /// Takes both locks, or answers `None` when another still holds one of them after a time. Blocks the thread.
    pub(crate) fn take_within(database: &Path, time: Duration) -> Result<Option<Self>, StoreError> {
        match PathLock::take_within(database, time)? {
            Some(path_lock) => Self::with(path_lock, database, time),
            None => Ok(None),
        }
    }

    /// Takes the lock on the file for a process that holds the path.
    pub(crate) fn with(
        path_lock: PathLock,
        database: &Path,
        time: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let file = take_within(time, || Registered::try_take(database))?;
        Ok(file.map(|file| Self { path: database.to_owned(), file, path_lock }))
    }

    /// Records that a log beside the database belongs to the locked file, as it is.
    pub(crate) fn record_found(&self) -> Result<(), StoreError> {
        let generation = self.header().as_ref().and_then(generation_in);
        self.path_lock.record_found(&self.path, &self.file.identity.mark(generation))
    }

    /// Records that a log beside the database belongs to the locked file, which has one of these generations.
    pub(crate) fn record(&self, generations: &[Generation]) -> Result<(), StoreError> {
        let marks = generations.iter().map(|generation| self.file.identity.mark(Some(*generation)));
        self.path_lock.record(&self.path, &marks.collect::<Vec<_>>().join("\n"))
    }

    /// Records what the database lacks from now on, or that it is whole again.
    pub(crate) fn record_loss(&self, loss: Option<&str>) -> Result<(), StoreError> {
        let marks = recorded_marks(&self.path).unwrap_or_default();
        let kept = marks.lines().filter(|line| !line.starts_with(LOSS)).map(ToOwned::to_owned);
        let lines = kept.chain(loss.map(|loss| format!("{LOSS}{loss}")));
        self.path_lock.record(&self.path, &lines.collect::<Vec<_>>().join("\n"))
    }

    /// The beginning of the locked file; `None` if it cannot be read.
    pub(crate) fn header(&self) -> Option<[u8; HEADER]> {
        read_header(&self.file.file)
    }

    /// The lock on the path.
    pub(crate) const fn path_lock(&self) -> &PathLock {
        &self.path_lock
    }

    /// The path of the database.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file is locked.
    pub(crate) const fn identity(&self) -> Identity {
        self.file.identity
    }
}

/// The one descriptor of a database file in this process, locked.
#[derive(Debug)]
struct Registered {
    file: Arc<File>,
    identity: Identity,
}

impl Registered {
    fn try_take(database: &Path) -> Result<Option<Self>, StoreError> {
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
            // Replaced between the two looks: the next attempt sees the new file.
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
        // The descriptor closes a moment later; until then a second one is harmless: no connection is open.
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.identity);
    }
}

/// Repeats an attempt until it succeeds, fails, or the time is over.
fn take_within<T>(
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

/// Whether the lock was free.
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
