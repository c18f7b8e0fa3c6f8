//! Errors of a store, and the text of an error with its causes.

use std::{error::Error, fmt};

/// Maximum number of causes that [`chain`] follows.
const MAX_CAUSES: usize = 16;

/// Returns the text of an error followed by the texts of its causes: the outermost text states what failed, the innermost states
/// why. A cause whose text is already part of the result is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..MAX_CAUSES {
        let Some(error) = cause else { break };
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        cause = error.source();
    }
    text
}

/// Error of a store operation.
///
/// The texts are for the operator's log and never reach an API caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is unreachable, is shutting down, or has no capacity left. Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Transactions failed with conflicts until the retries were exhausted. Nothing was written.
    #[error("the store is contended: {0}")]
    Contention(String),
    /// The connection was lost while a transaction committed: the transaction was written completely or not at all. In a batch
    /// that spans shards, this holds for each commit, since one shard can fail while another succeeds. Look up the idempotency
    /// key to learn whether a commit was written.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// The store differs from this process's configuration, for example in its schema version or its bucket range, or the
    /// requested change does not fit the store's state. An operator must correct this. Nothing was written.
    #[error("the store cannot be used: {0}")]
    Unfit(String),
    /// A newer version of Dabba wrote the affected data in a form that only that version understands. Nothing was written.
    #[error("{0}")]
    WrittenByNewer(String),
    /// The store holds or received invalid data. The cause is damage or a defect, not a transient fault. Nothing was written.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Returns the same error with `what` and a colon before its text.
    pub fn in_context(self, what: impl fmt::Display) -> Self {
        let name = |text: String| format!("{what}: {text}");
        match self {
            Self::Unavailable(text) => Self::Unavailable(name(text)),
            Self::Contention(text) => Self::Contention(name(text)),
            Self::OutcomeUnknown(text) => Self::OutcomeUnknown(name(text)),
            Self::Unfit(text) => Self::Unfit(name(text)),
            Self::WrittenByNewer(text) => Self::WrittenByNewer(name(text)),
            Self::Corrupt(text) => Self::Corrupt(name(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layered {
        #[error("migrating failed")]
        Outer(#[source] Box<Layered>),
        #[error("db error")]
        Middle(#[source] Box<Layered>),
        #[error("permission denied")]
        Innermost,
    }

    /// Proves that the text contains all causes, each once.
    #[test]
    fn the_text_of_an_error_contains_each_cause_once() {
        let middle = || Box::new(Layered::Middle(Box::new(Layered::Innermost)));
        assert_eq!(chain(&Layered::Outer(middle())), "migrating failed: db error: permission denied");
        let twice = Layered::Outer(Box::new(Layered::Outer(middle())));
        assert_eq!(chain(&twice), "migrating failed: db error: permission denied");
        assert_eq!(chain(&StoreError::Unavailable("away".into())), "the store is unavailable: away");
    }
}
