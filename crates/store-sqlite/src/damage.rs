//! Whether `SQLite` has found the database file damaged.

use std::sync::OnceLock;

use dabba_store::StoreError;

use crate::failure::Failure;

/// The first damage that `SQLite` has found since the database was opened. It stays: only another file is sound, and that needs
/// a restart.
#[derive(Debug, Default)]
pub(crate) struct Damage(OnceLock<String>);

impl Damage {
    /// Learns from a failure, and returns it as an error of the contract. While files are lost, what is found proves nothing:
    /// the original files may come back.
    pub(crate) fn learn(&self, failure: Failure, are_files_lost: impl FnOnce() -> bool) -> StoreError {
        let is_damage = failure.is_damage() && !are_files_lost();
        let error = StoreError::from(failure);
        if is_damage && self.0.set(error.to_string()).is_ok() {
            tracing::error!(
                %error,
                "the embedded database is damaged: stop the server, keep a copy of the file, and restore a backup"
            );
        }
        error
    }

    /// Fails if the file was found damaged.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            Some(text) => Err(StoreError::Corrupt(text.clone())),
            None => Ok(()),
        }
    }
}
