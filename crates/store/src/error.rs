//! How a store fails.

/// A store could not do what it was asked.
///
/// The texts are for the operator's log, never for a caller of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, is shutting down, or has no room. Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Transactions kept colliding until the retries were used up. Nothing was written.
    #[error("the store is contended: {0}")]
    Contention(String),
    /// The connection was lost while a transaction committed: it was written whole or not at all. Of a
    /// batch that spans shards, each commit was written whole or not at all, since one shard can fail
    /// where another succeeds. An idempotency key tells which.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// The store is not what this process was told: its schema is another one, or it holds another part
    /// of the shard map. It takes an operator to change that. Nothing was written.
    #[error("the store cannot be used: {0}")]
    Unfit(String),
    /// The store holds, or was given, what cannot be: damage or a defect, not a passing fault.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}
