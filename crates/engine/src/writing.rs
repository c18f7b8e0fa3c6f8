//! Writes that no committer makes: restaurants, menus, availability, stock, accounts and memberships.
//!
//! The store makes such a write in the caller's future. A client that disconnects drops the request's future, possibly
//! between the write and its follow-up actions. So the write and its follow-up actions run in a separate task, which
//! the request only awaits.

use tracing::Instrument as _;

use crate::Error;

/// Runs a write and its follow-up actions to completion, even if the caller stops waiting. After a panic, the outcome
/// of the write is unknown.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    write: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(write.in_current_span()).await.unwrap_or_else(|error| {
        // The task panicked, or the process ends.
        tracing::error!(%error, "the task of a write panicked or was cancelled; the outcome of the write is unknown");
        Err(Error::OutcomeUnknown)
    })
}
