//! The files of an open database, and whether they are still the ones at its path.
//!
//! A file that was removed or replaced stays usable for those who have it open: `SQLite` would go on
//! committing into a file that nobody finds again. The store therefore compares the files at the path with the
//! files that it opened before each commit and before it acknowledges one.
//!
//! `SQLite` locks the database by POSIX locks. The kernel drops all POSIX locks of a process on a file when the
//! process closes *any* descriptor of that file. So this process opens one descriptor of the file, for the lock of
//! [`crate::lock`], closes it last, and finds out about files by `stat` alone.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::UNIX_EPOCH,
};

use dabba_store::StoreError;

use crate::lock::DatabaseLock;

/// With which every `SQLite` database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// When it was made, in nanoseconds of the Unix time, where the file system says so. A new file may get the inode of one
    /// that was removed.
    born: Option<u128>,
}

impl Identity {
    /// The identity of the file at a path; `None` if there is no file.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A text that tells the file from every other file that is or was at its path. Unlike the identity, it is the same
    /// after a restart of the machine, which may number the devices differently.
    pub(crate) fn mark(self) -> String {
        match self.born {
            Some(born) => format!("inode {}, made at {born}", self.inode),
            None => format!("inode {}", self.inode),
        }
    }

    /// The identity of the file that this metadata describes.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born: born.map(|born| born.as_nanos()) }
    }
}

/// The path of a file that `SQLite` or Dabba keeps beside a database.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

/// The path of the file itself. `SQLite` keeps the log there, also when a symbolic link leads to the file. Opens nothing.
pub(crate) fn real_path(database: &Path) -> PathBuf {
    fs::canonicalize(database).unwrap_or_else(|_| database.to_owned())
}

/// The files of an open database. While a clone exists, the database is locked.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The log and its index, which exist for as long as a connection does.
    beside: [(PathBuf, Identity); 2],
    lock: DatabaseLock,
    /// Whether the last check found the files missing or replaced.
    is_lost: AtomicBool,
}

impl DatabaseFiles {
    /// Remembers the files of a database. A connection must have read from it, so that its log exists.
    pub(crate) fn remember(lock: DatabaseLock) -> Result<Self, StoreError> {
        let real = real_path(lock.path());
        let find = |suffix| {
            let path = beside(&real, suffix);
            match Identity::at(&path) {
                Ok(Some(identity)) => Ok((path, identity)),
                Ok(None) => Err(StoreError::Unavailable(format!("{} is missing", path.display()))),
                Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", path.display()))),
            }
        };
        let beside = [find("-wal")?, find("-shm")?];
        Ok(Self(Arc::new(Inner { beside, lock, is_lost: AtomicBool::new(false) })))
    }

    /// Fails as unavailable if the files at the path are not the ones that are open. Logs when this changes.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let found = self.0.find_fault();
        let was_lost = self.0.is_lost.swap(found.is_some(), Ordering::AcqRel);
        let Some(fault) = found else {
            if was_lost {
                tracing::warn!("the database file is back; the server takes writes again");
            }
            return Ok(());
        };
        let text = format!(
            "{fault} while the server has it open; nothing is written until the original files are back. Put them back, or \
             stop the server, restore a backup and start the server again"
        );
        if !was_lost {
            tracing::error!("{text}");
        }
        Err(StoreError::Unavailable(text))
    }

    /// Checks only if the last check failed: reads must not confirm what went into a lost file.
    pub(crate) fn check_if_lost(&self) -> Result<(), StoreError> {
        if self.0.is_lost.load(Ordering::Acquire) { self.check() } else { Ok(()) }
    }
}

impl Inner {
    /// What is wrong with the files, if anything is.
    fn find_fault(&self) -> Option<String> {
        let database = self.lock.path();
        let fault_at = |path: &Path, expected: Identity| match Identity::at(path) {
            Ok(Some(found)) if found == expected => None,
            Ok(Some(_)) => Some(format!("{} was replaced by another file", path.display())),
            Ok(None) => Some(format!("{} was removed or moved", path.display())),
            Err(error) => Some(format!("{} cannot be checked ({error})", path.display())),
        };
        fault_at(database, self.lock.identity())
            .or_else(|| self.beside.iter().find_map(|(path, identity)| fault_at(path, *identity)))
            .or_else(|| {
                let mut header = [0; MAGIC.len()];
                let is_whole = self.lock.file().read_exact_at(&mut header, 0).is_ok() && header == *MAGIC;
                (!is_whole).then(|| format!("{} was truncated or overwritten", database.display()))
            })
    }
}
