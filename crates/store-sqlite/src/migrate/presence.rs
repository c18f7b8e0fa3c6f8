//! The check that a database is at its path, whole and with its own log. Opens no file.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, thread, time::Duration};

use dabba_store::StoreError;

use crate::{
    file::{Identity, beside, directory_of, generation_at, real_path},
    lock::{recorded_loss, recorded_marks},
};

/// Text between the name of a database and the suffix of the name under which a restore keeps it.
pub(crate) const KEPT: &str = ".before-";

/// Returns whether there is a database at a path. Refuses a file that cannot be a database, and a log without its
/// database: a new database in their place would hide the loss. Opens no file.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            Err(StoreError::Unavailable(format!("{} is not a regular file: move it away", path.display())))
        }
        Ok(metadata) if metadata.len() == 0 => Err(StoreError::Unavailable(format!(
            "{} is empty, and an empty file is not a database: restore a backup, or remove the file to begin with a new database",
            path.display()
        ))),
        Ok(metadata) => {
            refuse_loss(path)?;
            refuse_other_names(path, &metadata)?;
            refuse_lost_log(path)?;
            refuse_foreign_log(path, &metadata)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(StoreError::Unavailable(format!(
                    "{} is a symbolic link to a file that is missing: put the file back, or remove the link",
                    path.display()
                )));
            }
            let log = beside(path, "-wal");
            if fs::symlink_metadata(&log).is_ok() {
                return Err(StoreError::Unavailable(format!(
                    "{} is missing, but its log {} is there and may contain orders: put the database back beside it, or \
                     move the log away to begin with a new database",
                    path.display(),
                    log.display()
                )));
            }
            Ok(false)
        }
        Err(error) => Err(StoreError::Unavailable(format!("cannot open {}: {error}", path.display()))),
    }
}

/// Refuses a file that has several names (hard links): `SQLite` keeps a log for each name, and would not find the log
/// of another name. Names that a restore has given to the file do not count.
fn refuse_other_names(path: &Path, database: &fs::Metadata) -> Result<(), StoreError> {
    if database.nlink() < 2 {
        return Ok(());
    }
    let real = real_path(path);
    let prefix = format!("{}{KEPT}", real.file_name().unwrap_or_default().to_string_lossy());
    let entries = fs::read_dir(directory_of(&real)).map(|entries| {
        let is_kept = |entry: &fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with(&prefix)
                && entry.metadata().is_ok_and(|found| Identity::of(&found) == Identity::of(database))
        };
        entries.flatten().filter(is_kept).count() as u64
    });
    let names = database.nlink() - entries.unwrap_or_default();
    if names < 2 {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} has {names} names (hard links), and orders may be in the log of another name: stop every process that uses it, \
         find the names with `find -samefile`, and remove all but the one beside which a log (-wal) is",
        path.display()
    )))
}

/// Refuses a database that lost a part of its content while it was open.
fn refuse_loss(path: &Path) -> Result<(), StoreError> {
    let Some(loss) = recorded_loss(path) else { return Ok(()) };
    let lock = beside(path, ".lock");
    Err(StoreError::Unavailable(format!(
        "{loss} while a server had it open, so orders are missing: restore a backup, or remove {} to go on without them",
        lock.display()
    )))
}

/// Refuses a database whose log was removed after its server was killed. The index of the log, which still exists,
/// shows it.
fn refuse_lost_log(path: &Path) -> Result<(), StoreError> {
    let real = real_path(path);
    let (log, index) = (beside(&real, "-wal"), beside(&real, "-shm"));
    if log.exists() || !fs::metadata(&index).is_ok_and(|index| index.len() > 0) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} is missing, and {} shows that it was there: it may contain orders. Put it back, or remove {} to go on without it",
        log.display(),
        index.display(),
        index.display()
    )))
}

/// Refuses a log that was written for another file at this path: `SQLite` would apply it and damage the database.
fn refuse_foreign_log(path: &Path, database: &fs::Metadata) -> Result<(), StoreError> {
    let Some(owner) = owner_of_foreign_log(path, database) else { return Ok(()) };
    let real = real_path(path);
    let log = ["-wal", "-journal"].map(|suffix| beside(&real, suffix)).into_iter().find(|log| log.exists());
    let log = log.unwrap_or_else(|| beside(&real, "-wal"));
    Err(StoreError::Unavailable(format!(
        "{} is not the file for which the log {} was written ({owner}): put the original file back, or move the log \
         and its index (-shm) away if the new file is a complete backup. If both were copied together, remove {}",
        path.display(),
        log.display(),
        beside(path, ".lock").display()
    )))
}

/// Returns the mark of the file for which the log beside a database was written, if that file is not the database.
pub(crate) fn owner_of_foreign_log(path: &Path, database: &fs::Metadata) -> Option<String> {
    let real = real_path(path);
    let has_content = |suffix| fs::metadata(beside(&real, suffix)).is_ok_and(|file| file.len() > 0);
    if !has_content("-wal") && !has_content("-journal") {
        return None;
    }
    // A server that starts changes the generation and the record one after the other, so a mismatch may be temporary.
    for _ in 1..MARK_ATTEMPTS {
        find_other_owner(path, database)?;
        thread::sleep(MARK_PAUSE);
    }
    find_other_owner(path, database)
}

/// Attempts to find the mark of a file among the recorded marks, and the pause between them.
const MARK_ATTEMPTS: u32 = 5;
const MARK_PAUSE: Duration = Duration::from_millis(20);

/// Returns the recorded mark, if it is not the database's mark.
fn find_other_owner(path: &Path, database: &fs::Metadata) -> Option<String> {
    let mark = Identity::of(database).mark(generation_at(path));
    // An earlier version recorded no generation.
    let is_of_database = |owner: &str| {
        mark.strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with(", generation"))
    };
    let owners = recorded_marks(path).filter(|owners| !owners.lines().any(is_of_database))?;
    owners.lines().last().map(ToOwned::to_owned)
}
