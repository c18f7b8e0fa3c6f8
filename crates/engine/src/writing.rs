//! Writes that no committer makes: restaurants, menus, availability, stock and memberships.
//!
//! The store makes such a write in the request's own future. A client that disconnects drops that future, also between
//! the write and what follows it. So the write and what follows it run in a task of their own, which the request only
//! awaits.

use tracing::Instrument as _;

use crate::Error;

/// Makes a write and does what follows it, also when the caller stops waiting. A panic leaves open whether the write
/// was made.
pub(crate) async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(write.in_current_span()).await.unwrap_or_else(|error| {
        // A panic, or the end of the process.
        tracing::error!(%error, "the task of a write panicked or was cancelled; the outcome of the write is unknown");
        Err(Error::OutcomeUnknown)
    })
}
