//! Conversion of `SQLite`'s result codes to the contract's errors.

use dabba_store::StoreError;
use rusqlite::{Error, ErrorCode, types::FromSqlError};

/// Error of this crate's functions. `?` converts every other error to it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: StoreError,
    /// Whether `SQLite` found the file damaged.
    is_damage: bool,
}

impl Failure {
    /// Returns the error for invalid content of the database.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self { error: StoreError::Corrupt(what.into()), is_damage: false }
    }

    /// Returns the error of a failed COMMIT. After an I/O error the outcome is unknown: the last page may
    /// have reached the disk although the sync failed, so that the transaction may survive a crash.
    pub(crate) fn of_commit(error: Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            Self { error: StoreError::OutcomeUnknown(error.to_string()), is_damage: false }
        } else {
            Self::from(error)
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Failure {
    /// Returns whether `SQLite` found the file damaged, rather than invalid content in a sound file.
    pub(crate) const fn is_damage(&self) -> bool {
        self.is_damage
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, is_damage: false }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = error.sqlite_error_code();
        let advice = code.map_or("", advice);
        let text = format!("{error}{advice}");
        let is_damage = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        let error = match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Contention(text),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => StoreError::Unavailable(text),
            // Constraints, types, misuse and damage: errors that the callers should have prevented.
            _ => StoreError::Corrupt(text),
        };
        Self { error, is_damage }
    }
}

/// Returns the advice for an operator that follows the text of an error.
const fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "; the user as whom Dabba runs must be able to write to the database's file and directory"
        }
        ErrorCode::DiskFull => "; free space on the disk of the database",
        // SQLite reports a full disk with this code when it cannot create the files beside the database.
        ErrorCode::SystemIoFailure => {
            "; check that the disk of the database has free space and that the system's log reports no disk error"
        }
        _ => "",
    }
}

impl From<FromSqlError> for Failure {
    fn from(error: FromSqlError) -> Self {
        Self::corrupt(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Returns the store's error when this SQL fails.
    fn failure_of(connection: &Connection, sql: &str) -> StoreError {
        Failure::from(connection.execute_batch(sql).unwrap_err()).into()
    }

    #[test]
    fn a_full_disk_is_unavailable() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA max_page_count = 2; CREATE TABLE t (x)").unwrap();
        let failure = failure_of(&connection, "INSERT INTO t VALUES (zeroblob(1000000))");
        assert!(
            matches!(&failure, StoreError::Unavailable(text) if text.contains("is full; free space on the disk")),
            "{failure:?}"
        );
    }

    #[test]
    fn a_violated_constraint_is_corrupt() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x CHECK (x > 0))").unwrap();
        let failure = failure_of(&connection, "INSERT INTO t VALUES (0)");
        assert!(matches!(failure, StoreError::Corrupt(_)), "{failure:?}");
    }

    #[test]
    fn a_held_lock_is_contention() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("locked.db");
        let holder = Connection::open(&path).unwrap();
        holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        let failure = failure_of(&other, "BEGIN IMMEDIATE");
        assert!(matches!(failure, StoreError::Contention(_)), "{failure:?}");
    }

    #[test]
    fn only_an_input_or_output_error_makes_the_outcome_unknown() {
        let error = |code| Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let failed_sync = Failure::of_commit(error(rusqlite::ffi::SQLITE_IOERR_FSYNC));
        assert!(matches!(failed_sync.error, StoreError::OutcomeUnknown(_)), "{failed_sync:?}");
        let full = Failure::of_commit(error(rusqlite::ffi::SQLITE_FULL));
        assert!(matches!(full.error, StoreError::Unavailable(_)), "{full:?}");
    }
}
