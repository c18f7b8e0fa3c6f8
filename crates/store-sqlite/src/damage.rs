//! Damage of the database file that `SQLite` has found.

use std::sync::OnceLock;

use dabba_store::StoreError;

use crate::failure::Failure;

/// The first damage that `SQLite` has found since the database was opened. The state is permanent, because only replacing the
/// file repairs it, and that requires a restart.
#[derive(Debug, Default)]
pub(crate) struct Damage(OnceLock<String>);

impl Damage {
    /// Records a failure that shows damage, and returns the failure as an error of the contract. While files are lost, a failure
    /// proves no damage, because the original files may come back.
    pub(crate) fn record(&self, failure: Failure, are_files_lost: impl FnOnce() -> bool) -> StoreError {
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
