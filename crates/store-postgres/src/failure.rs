//! Conversion of PostgreSQL errors to the contract's errors, by SQLSTATE. The texts of the server's messages depend on
//! its locale, so they are ignored.

use std::{error::Error as _, io};

use dabba_store::{StoreError, chain};
use deadpool_postgres::{HookError, PoolError};
use rustls::CertificateError;
use tokio_postgres::{
    Error,
    error::{DbError, Severity, SqlState},
};

/// Reason why a transaction or a single statement did not take effect.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The transaction conflicted with another one. Nothing was written; the transaction may be retried.
    Conflict(Conflict),
    /// A row to insert exists already (23505); the text describes it. Nothing was written.
    Duplicate(String),
    /// An error for which a retry here is useless.
    Store(StoreError),
}

/// Kind of a conflict between two transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// 40001: no serial order of the transactions exists.
    Serialization,
    /// 40P01: each transaction waited for the other.
    Deadlock,
}

impl Failure {
    /// Returns the failure for data that the database should never contain.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt(what.into()))
    }

    /// Classifies the error of a failed COMMIT.
    ///
    /// PostgreSQL raises ERROR only before the transaction counts as committed, because a later error would end the
    /// server. FATAL can come from the wait for a standby after the commit. A lost connection can mean either.
    pub(crate) fn of_commit(error: Error) -> Self {
        match error.as_db_error().map(DbError::parsed_severity) {
            Some(Some(Severity::Error)) => Self::from(error),
            _ => Self::Store(StoreError::OutcomeUnknown(describe(&error))),
        }
    }

    /// Converts the failure of an operation that is not retried.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Conflict(conflict) => StoreError::Contention(format!("{conflict:?}")),
            // A duplicate that the code does not expect is a defect.
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
                Self::Conflict(Conflict::Serialization)
            }
            Some(code) if *code == SqlState::T_R_DEADLOCK_DETECTED => Self::Conflict(Conflict::Deadlock),
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => Self::Duplicate(text),
            Some(code) if is_transient(code) => Self::Store(StoreError::Unavailable(text)),
            None if is_connection_lost(&error) => Self::Store(StoreError::Unavailable(text)),
            // The schema was verified at the first use, so this is another database now.
            Some(code) if *code == SqlState::UNDEFINED_TABLE => Self::Store(StoreError::Unfit(text)),
            // Other constraints, types, misuse, damage: errors that the code should have prevented.
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
        // Every obstacle to a connection may be temporary, and the operator must see it.
        Self::Store(StoreError::Unavailable(text))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// Returns the error with its cause, which the client's own text omits. Never contains the statement's values.
pub(crate) fn describe(error: &Error) -> String {
    if let Some(cause) = error.as_db_error() {
        let (message, code) = (cause.message(), cause.code().code());
        return match cause.constraint() {
            Some(constraint) => format!("{message} ({code}, {constraint})"),
            None => format!("{message} ({code})"),
        };
    }
    let text = chain(error);
    match error.source() {
        Some(cause) if is_unknown_issuer(cause) => format!("{text}: {UNKNOWN_ISSUER}"),
        Some(cause) if cause.to_string() == PASSWORD_MISSING => NO_PASSWORD.to_owned(),
        _ => text,
    }
}

/// Text of the client library's error if the server requires a password and the URL has none. The library has no
/// other sign of this error.
const PASSWORD_MISSING: &str = "password missing";

/// What an operator reads instead of [`PASSWORD_MISSING`].
const NO_PASSWORD: &str = "the URL of the database has no password, and the server requires one: add the password to \
                           the URL, and keep the URL in a file that only Dabba's user can read (file:PATH)";

/// What an operator does about a certificate of an authority that this machine does not trust.
const UNKNOWN_ISSUER: &str = "no authority that this machine trusts has signed the database's certificate; if a \
                              private authority has signed it, name the file with the authority's certificate in the \
                              URL, as sslrootcert=PATH";

/// Returns whether the handshake failed because no trusted authority has signed the server's certificate.
fn is_unknown_issuer(cause: &(dyn std::error::Error + 'static)) -> bool {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let failure = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(failure, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

/// Returns whether the server may be able to execute the same statement later.
fn is_transient(code: &SqlState) -> bool {
    // Whole classes first, by their first two characters: connections (08), transaction state (25, including a
    // standby), refused logins (28), missing database (3D), resources (53), operator intervention (57: shutdown,
    // timeouts), system errors (58).
    let transient_classes = ["08", "25", "28", "3D", "53", "57", "58"];
    transient_classes.iter().any(|class| code.code().starts_with(class))
        || *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::INSUFFICIENT_PRIVILEGE
        // The error of a standby for a transaction that writes or is serializable.
        || *code == SqlState::FEATURE_NOT_SUPPORTED
}

fn is_connection_lost(error: &Error) -> bool {
    error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use tokio_postgres::NoTls;

    use super::*;

    /// Proves that only a certificate of an unknown authority gets the advice to name the authority.
    #[test]
    fn a_certificate_of_an_unknown_authority_is_recognized() {
        let failed = |why| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(why));
        assert!(is_unknown_issuer(&failed(CertificateError::UnknownIssuer)));
        assert!(!is_unknown_issuer(&failed(CertificateError::Expired)));
        assert!(!is_unknown_issuer(&io::Error::from(io::ErrorKind::ConnectionReset)));
    }

    /// Proves that the error of a server that requires a password, for a URL without one, states the remedy. The server
    /// is a socket that requests a password.
    #[tokio::test]
    async fn a_missing_password_is_explained() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // The startup message states its own length.
            let mut length = [0; 4];
            socket.read_exact(&mut length).unwrap();
            let mut message = vec![0; u32::from_be_bytes(length) as usize - length.len()];
            socket.read_exact(&mut message).unwrap();
            // AuthenticationCleartextPassword.
            socket.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).unwrap();
        });
        let url = format!("postgresql://dabba@{address}/dabba?sslmode=disable");
        let Err(error) = tokio_postgres::connect(&url, NoTls).await else { panic!("{url} was accepted") };
        server.join().unwrap();
        assert_eq!(describe(&error), NO_PASSWORD);
    }
}
