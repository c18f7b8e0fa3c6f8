//! The files of an open database, and the check that they are still the files at its path.
//!
//! A process that has a removed or replaced file open can still use it, so `SQLite` would go on committing to a file that is
//! lost. Before each commit and before its acknowledgement, the store therefore compares the files at the path with the files
//! that it opened.
//!
//! `SQLite` locks the database with POSIX locks. The kernel drops all POSIX locks of a process on a file when the process closes
//! *any* descriptor of that file. This process therefore opens only one descriptor of the file, for the lock of [`crate::lock`],
//! closes it last, and checks files only with `stat`.

mod access;
mod identity;

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use dabba_store::StoreError;

pub(crate) use self::{
    access::{beside, directory_of, give_to_owner_of, open_immutable, open_own, real_path},
    identity::{Generation, HEADER, Identity, generation_at, generation_in, mark_at},
};
use crate::lock::DatabaseLock;

/// Time for which a check remains valid, in microseconds. If the file is lost within it, the outcome of a write is unknown.
const RECENT: u64 = 2_000;

/// End of the message about a file that became shorter. Its content does not come back when the file does.
const TRUNCATED: &str = "was truncated";

/// The files of an open database. The database is locked while a clone exists.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The database, its log and the log's index. They exist as long as a connection does.
    files: [OpenFile; 3],
    /// The log's index, opened for reading. Like the database's own descriptor, it is closed after all connections.
    index: File,
    /// The log, opened for reading. `SQLite` holds no locks on it.
    log: File,
    /// Number of frames in the log at the last check.
    frames: AtomicU64,
    /// Maximum length at which the database file was found, in bytes.
    length: AtomicU64,
    lock: DatabaseLock,
    /// Generations that the file may have.
    generations: Vec<Generation>,
    opened: Instant,
    /// Time of the last successful check, in microseconds since the files were opened; 0 if the last check failed.
    last_success: AtomicU64,
    /// Whether the record of the path states a loss.
    is_loss_recorded: Mutex<bool>,
    /// Whether the last check found the files missing or replaced.
    is_lost: AtomicBool,
}

/// A file of an open database.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
}

impl OpenFile {
    fn find(path: PathBuf) -> Result<Self, StoreError> {
        let unusable = |what: &dyn fmt::Display| StoreError::Unavailable(format!("{}{what}", path.display()));
        match Identity::at(&path) {
            Ok(Some(identity)) => Ok(Self { path, identity }),
            Ok(None) => Err(unusable(&" is missing")),
            Err(error) => Err(unusable(&format_args!(": {error}"))),
        }
    }

    /// Returns the length of the file at the path, in bytes, or the fault of the file.
    fn length(&self) -> Result<u64, String> {
        let fault = match fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity => return Ok(found.len()),
            Ok(_) => "was replaced by another file".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "was removed or moved".to_owned(),
            Err(error) => format!("cannot be checked ({error})"),
        };
        Err(format!("{} {fault}", self.path.display()))
    }
}

/// Content of the log's index about the log and the database file. Source: "WAL-mode File Format" in the documentation of
/// `SQLite`, sections 2.1 and 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogIndex {
    /// Size of a page, in bytes.
    page: u64,
    /// Number of frames in the log.
    frames: u64,
    /// Number of pages of the database, including the pages in the log.
    pages: u64,
    /// Number of frames that were written back into the database file.
    written_back: u64,
}

impl LogIndex {
    /// Length of the index's header, which the index contains twice, in bytes.
    const HEADER: usize = 48;
    /// Length of the log's header and of the header of each frame, in bytes.
    const LOG_HEADER: u64 = 32;
    const FRAME_HEADER: u64 = 24;

    /// Reads the index; `None` while another thread or process writes it.
    fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; 2 * Self::HEADER + 4];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let number = |at: usize| bytes[at..at + 4].try_into().ok().map(u32::from_ne_bytes).map(u64::from);
        let is_complete = bytes[..Self::HEADER] == bytes[Self::HEADER..2 * Self::HEADER] && bytes[12] != 0;
        // The size 65,536 is stored as 1.
        let page = match u16::from_ne_bytes([bytes[14], bytes[15]]) {
            1 => 65_536,
            page => page.into(),
        };
        let index =
            Self { page, frames: number(16)?, pages: number(20)?, written_back: number(2 * Self::HEADER)? };
        is_complete.then_some(index)
    }

    /// Returns the minimum length of the log, in bytes.
    const fn log_length(self) -> u64 {
        if self.frames == 0 { 0 } else { self.offset_of(self.frames + 1) }
    }

    /// Returns the offset of a frame in the log, in bytes. The first frame has the number 1.
    const fn offset_of(self, frame: u64) -> u64 {
        Self::LOG_HEADER + (frame - 1) * (Self::FRAME_HEADER + self.page)
    }

    /// Returns whether the log contains a frame. A frame begins with its page number, which is never 0. Frames removed by a
    /// truncation read as zeros if `SQLite` has written after them since.
    fn has_frame(self, log: &File, frame: u64) -> bool {
        let mut page_number = [0; 4];
        log.read_exact_at(&mut page_number, self.offset_of(frame)).is_ok() && page_number != [0; 4]
    }

    /// Returns whether a database file of this length contains everything.
    const fn is_written_back(self, length: u64) -> bool {
        self.written_back == self.frames && length >= self.pages * self.page
    }
}

impl DatabaseFiles {
    /// Returns the open files of a database. A connection must have read from the database, so that its log exists.
    pub(crate) fn new(lock: DatabaseLock, generations: Vec<Generation>) -> Result<Self, StoreError> {
        let real = real_path(lock.path());
        let [log, index] = ["-wal", "-shm"].map(|suffix| beside(&real, suffix));
        let open = |path: &Path| {
            let opened = File::open(path);
            opened.map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))
        };
        let (opened_log, opened_index) = (open(&log)?, open(&index)?);
        let database = OpenFile { identity: lock.identity(), path: lock.path().to_owned() };
        let files = [database, OpenFile::find(log)?, OpenFile::find(index)?];
        Ok(Self(Arc::new(Inner {
            files,
            index: opened_index,
            log: opened_log,
            frames: AtomicU64::new(0),
            length: AtomicU64::new(0),
            lock,
            generations,
            opened: Instant::now(),
            last_success: AtomicU64::new(0),
            is_loss_recorded: Mutex::new(false),
            is_lost: AtomicBool::new(false),
        })))
    }

    /// Fails as unavailable if the files at the path are not the open files. Logs when this state changes.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        // Held during the check, so that an older result does not overwrite a newer one.
        let mut is_loss_recorded = self.0.is_loss_recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.0.find_fault();
        let was_lost = self.0.is_lost.swap(found.is_some(), Ordering::AcqRel);
        let Some(fault) = found else {
            if *is_loss_recorded {
                self.0.lock.record_loss(None)?;
                *is_loss_recorded = false;
            }
            if was_lost {
                tracing::warn!("the database file is back; the server accepts writes again");
            }
            self.0.last_success.store(self.0.now(), Ordering::Release);
            return Ok(());
        };
        self.0.last_success.store(0, Ordering::Release);
        let text = format!(
            "{fault} while the server has it open; no writes are made until the original files are back. Put them back, or \
             stop the server, restore a backup and start the server again"
        );
        if !was_lost {
            tracing::error!("{text}");
        }
        if fault.ends_with(TRUNCATED) && !*is_loss_recorded {
            match self.0.lock.record_loss(Some(&fault)) {
                Ok(()) => *is_loss_recorded = true,
                // The next check retries the record.
                Err(error) => tracing::error!(%error, "the loss of the database file could not be recorded"),
            }
        }
        Err(StoreError::Unavailable(text))
    }

    /// Checks unless a check has succeeded within [`RECENT`]. Between two successive transactions, the check after the first then
    /// serves as the check before the second.
    pub(crate) fn check_unless_recent(&self) -> Result<(), StoreError> {
        let last = self.0.last_success.load(Ordering::Acquire);
        if last != 0 && self.0.now().saturating_sub(last) < RECENT { Ok(()) } else { self.check() }
    }

    /// Checks only if the last check failed: reads must not confirm data that was written into a lost file.
    pub(crate) fn check_if_lost(&self) -> Result<(), StoreError> {
        if self.0.is_lost.load(Ordering::Acquire) { self.check() } else { Ok(()) }
    }
}

impl Inner {
    /// Returns the microseconds since the files were opened; at least 1.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Returns the fault of the files, if any.
    fn find_fault(&self) -> Option<String> {
        let [database, log, index] = &self.files;
        let checked = self.check_lengths(database, log).and_then(|()| index.length());
        checked.err().or_else(|| {
            let generation = self.lock.header().as_ref().and_then(generation_in);
            let is_own = generation.is_some_and(|generation| self.generations.contains(&generation));
            (!is_own).then(|| format!("{} was overwritten", self.lock.path().display()))
        })
    }

    /// Fails if the database file or the log is shorter than `SQLite` has made it. Another process may legitimately shorten them,
    /// by a checkpoint or by VACUUM; the index then shows it.
    fn check_lengths(&self, database: &OpenFile, log: &OpenFile) -> Result<(), String> {
        let truncated = |file: &OpenFile| Err(format!("{} {TRUNCATED}", file.path.display()));
        // Read before the length: another thread may find the file longer meanwhile.
        let longest = self.length.load(Ordering::Acquire);
        let before = LogIndex::read(&self.index);
        let (database_length, log_length) = (database.length()?, log.length()?);
        // A write in between changes the index, and gets its own check.
        let index = before.filter(|before| LogIndex::read(&self.index) == Some(*before));
        if index.is_some_and(|index| log_length < index.log_length()) {
            return truncated(log);
        }
        if let Some(index) = index {
            let frames = self.frames.load(Ordering::Acquire);
            // A write after a truncation makes the log as long as before.
            if (1..=index.frames).contains(&frames) && !index.has_frame(&self.log, frames) {
                return truncated(log);
            }
            self.frames.store(index.frames, Ordering::Release);
        }
        if database_length >= longest {
            self.length.fetch_max(database_length, Ordering::AcqRel);
        } else if index.is_some_and(|index| index.is_written_back(database_length)) {
            self.length.store(database_length, Ordering::Release);
        } else if index.is_some() {
            return truncated(database);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use rusqlite::Connection;

    use super::*;
    use crate::{
        SqliteOptions,
        connection::{open_writer, renew_generation},
        lock::recorded_marks,
        migrate::{check_schema, migrate},
    };

    fn migrated() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        migrate(&path).unwrap();
        (directory, path)
    }

    /// Proves that a file is still recognized if a crash cut off its extension after its header was written.
    #[test]
    fn a_file_shorter_than_its_header_states_keeps_its_generation() {
        let (_directory, path) = migrated();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        connection.close().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(4_096).unwrap();
        assert_eq!(generation_at(&path), Some(7));
    }

    /// Proves that a process that is killed while it changes the generation leaves a file and a log that belong together, whether
    /// the new generation is already in the file or only in its log.
    #[test]
    fn an_interrupted_change_of_generation_keeps_the_file_valid() {
        let (_directory, path) = migrated();
        let options = SqliteOptions::default();
        for round in 1..=2 {
            let lock = DatabaseLock::acquire_within(&path, std::time::Duration::ZERO).unwrap().unwrap();
            let connection = open_writer(&path, &options).unwrap_or_else(|failure| panic!("{failure:?}"));
            connection
                .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .unwrap();
            // A reader that holds its snapshot keeps the new generation in the log.
            let reader = Connection::open(&path).unwrap();
            let log = beside(&path, "-wal");
            let old = generation_at(&path).unwrap();
            lock.record(&[old, round]).unwrap();
            connection.pragma_update(None, "user_version", round).unwrap();
            if round == 2 {
                // Simulates a checkpoint that was interrupted before it shortened the log.
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                assert_eq!(generation_at(&path), Some(round));
            } else {
                assert_eq!(generation_at(&path), Some(old));
            }
            assert!(fs::metadata(&log).unwrap().len() > 0);
            drop(reader);
            drop(connection);
            drop(lock);
            assert!(fs::metadata(&log).unwrap().len() > 0);
            check_schema(&path).unwrap();
            let lock = DatabaseLock::acquire_within(&path, std::time::Duration::ZERO).unwrap().unwrap();
            let connection = open_writer(&path, &options).unwrap_or_else(|failure| panic!("{failure:?}"));
            let kept = renew_generation(&connection, &lock).unwrap_or_else(|failure| panic!("{failure:?}"));
            assert_eq!(kept, [generation_at(&path).unwrap()]);
            let mark = lock.identity().mark(generation_at(&path));
            assert_eq!(recorded_marks(&path), Some(mark), "one generation is left");
        }
    }

    /// Proves that Dabba opens as its own file neither a symbolic link nor another name of a file.
    #[test]
    fn a_link_is_not_opened_as_a_file_of_dabba() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "content").unwrap();
        for make in [std::os::unix::fs::symlink::<&Path, &Path>, |target, link| fs::hard_link(target, link)] {
            make(&target, &link).unwrap();
            let mut options = OpenOptions::new();
            let error = open_own(options.create(true).truncate(false).write(true), &link).unwrap_err();
            assert!(error.to_string().contains("remove it"), "{error}");
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "content");
    }
}
