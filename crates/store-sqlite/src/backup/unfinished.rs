//! A file that a command writes under a temporary name.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use dabba_store::StoreError;

use super::{cannot, sync_directory};
use crate::file::{Identity, beside, open_own};

/// A file under a temporary name until it is complete. Only its owner can read it, and only one command at a time
/// writes it. It is removed unless it is published.
pub(super) struct Unfinished {
    pub(super) path: PathBuf,
    pub(super) file: File,
    is_named: bool,
}

impl Unfinished {
    /// Creates the file, or empties the file that a killed command left behind.
    pub(super) fn begin(path: PathBuf) -> Result<Self, StoreError> {
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
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(cannot("write", &self.path))
    }

    /// Renames the file to its final name. Does not replace a file that already has the name.
    pub(super) fn publish(mut self, to: &Path) -> Result<(), StoreError> {
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
    pub(super) fn replace(mut self, to: &Path) -> Result<(), StoreError> {
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

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}
