//! One process at a time: a lock on a file beside the database.
//!
//! `SQLite` itself lets several processes write. A server may not share: it hands out the places in the
//! feed, and caches what it wrote. The operating system lets go of the lock when the process dies,
//! however it dies. The file stays, since deleting it would let two processes lock two files.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use dabba_store::StoreError;

/// How often to look whether another still holds the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Holds the database for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    #[expect(dead_code, reason = "to hold the open file is to hold the lock")]
    file: File,
}

impl DatabaseLock {
    /// Takes the lock, or answers `None` when another still holds it after a time. Blocks the thread.
    pub(crate) fn take_within(database: &Path, time: Duration) -> Result<Option<Self>, StoreError> {
        let begun = Instant::now();
        loop {
            let lock = Self::try_take(database)?;
            if lock.is_some() || begun.elapsed() > time {
                return Ok(lock);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Takes the lock, or answers `None` when another holds it.
    pub(crate) fn try_take(database: &Path) -> Result<Option<Self>, StoreError> {
        let path = lock_path(database);
        let unavailable = |error: std::io::Error| {
            StoreError::Unavailable(format!("cannot lock {}: {error}", path.display()))
        };
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unavailable(error)),
        }
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".lock");
    path.into()
}
