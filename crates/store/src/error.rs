//! How a store fails, and what an error says with its causes.

use std::error::Error;

/// Maximum number of causes that [`chain`] follows.
const MAX_CAUSES: usize = 16;

/// Returns the text of an error followed by those of its causes: the outermost says what failed, the innermost says why.
/// A cause whose text the error contains already is not repeated.
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
    /// What this concerns was written by a newer version of Dabba, in a way that only that version understands. Nothing was
    /// written.
    #[error("{0}")]
    WrittenByNewer(String),
    /// The store holds, or was given, what cannot be: damage or a defect, not a passing fault. Nothing was written.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
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

    /// Proves that an error is told with all its causes, each once.
    #[test]
    fn an_error_is_told_with_its_causes() {
        let middle = || Box::new(Layered::Middle(Box::new(Layered::Innermost)));
        assert_eq!(chain(&Layered::Outer(middle())), "migrating failed: db error: permission denied");
        let twice = Layered::Outer(Box::new(Layered::Outer(middle())));
        assert_eq!(chain(&twice), "migrating failed: db error: permission denied");
        assert_eq!(chain(&StoreError::Unavailable("away".into())), "the store is unavailable: away");
    }
}
