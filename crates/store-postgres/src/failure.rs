//! From SQLSTATE to the contract's errors. Texts are never looked at: they are translated.

use std::{error::Error as _, io};

use dabba_store::{StoreError, chain};
use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::{
    Error,
    error::{DbError, Severity, SqlState},
};

/// Why a transaction, or a single statement, did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It collided with another one. Nothing was written; it may be tried again.
    Collision(Collision),
    /// A row that it would have inserted is there already (23505), in these words. Nothing was written.
    Duplicate(String),
    /// It makes no sense to try again here.
    Store(StoreError),
}

/// How two transactions collided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collision {
    /// 40001: they cannot be put one after the other.
    Serialization,
    /// 40P01: each waited for the other.
    Deadlock,
}

impl Failure {
    /// The database holds what cannot be there.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt(what.into()))
    }

    /// How a failed COMMIT is told.
    ///
    /// An ERROR is raised before the transaction counts as committed, since later ones would end the
    /// server. FATAL can come from the wait for a standby after the commit, and a lost connection
    /// from anywhere.
    pub(crate) fn of_commit(error: Error) -> Self {
        match error.as_db_error().map(DbError::parsed_severity) {
            Some(Some(Severity::Error)) => Self::from(error),
            _ => Self::Store(StoreError::OutcomeUnknown(describe(&error))),
        }
    }

    /// For operations that are not tried again: the first collision is the last.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Collision(collision) => StoreError::Contention(format!("{collision:?}")),
            // Where nobody expects it, it is a defect.
            Self::Duplicate(text) => StoreError::Corrupt(text),
            Self::Store(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = describe(&error);
        match error.code() {
            Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE => {
                Self::Collision(Collision::Serialization)
            }
            Some(code) if *code == SqlState::T_R_DEADLOCK_DETECTED => Self::Collision(Collision::Deadlock),
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => Self::Duplicate(text),
            Some(code) if is_passing(code) => Self::Store(StoreError::Unavailable(text)),
            None if is_connection_lost(&error) => Self::Store(StoreError::Unavailable(text)),
            // Other constraints, types, misuse, damage: what the code above should have prevented.
            _ => Self::Store(StoreError::Corrupt(text)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        let text = match &error {
            PoolError::Backend(cause) => describe(cause),
            PoolError::Timeout(_) | PoolError::Closed | PoolError::NoRuntimeSpecified => error.to_string(),
            PoolError::PostCreateHook(HookError::Backend(cause)) => {
                format!("a new connection could not be set up: {}", describe(cause))
            }
            PoolError::PostCreateHook(_) => "a new connection could not be set up".to_owned(),
        };
        // Whatever keeps a connection from being made is for the operator to see, and may pass.
        Self::Store(StoreError::Unavailable(text))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// The error with its cause, which the client's own text leaves out. Never the statement's values.
pub(crate) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(cause) => match cause.constraint() {
            Some(constraint) => format!("{} ({}, {constraint})", cause.message(), cause.code().code()),
            None => format!("{} ({})", cause.message(), cause.code().code()),
        },
        None => chain(error),
    }
}

/// Whether the server may be able to do the same later.
fn is_passing(code: &SqlState) -> bool {
    // Whole classes first, by their first two characters: connections (08), no transaction (25, a
    // standby among them), refused logins (28), no such database (3D), resources (53), the operator
    // (57: shutdown, timeouts), the system (58).
    let passing_classes = ["08", "25", "28", "3D", "53", "57", "58"];
    passing_classes.iter().any(|class| code.code().starts_with(class))
        || *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::INSUFFICIENT_PRIVILEGE
        // What a standby says to a transaction that is to write, or to be serializable.
        || *code == SqlState::FEATURE_NOT_SUPPORTED
}

fn is_connection_lost(error: &Error) -> bool {
    error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>)
}
