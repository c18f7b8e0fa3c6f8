//! Errors of a cluster.

use std::{io, path::PathBuf};

/// Error of an operation on a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// PostgreSQL's server programs are not on this machine.
    #[error(
        "PostgreSQL's server programs were not found in /usr/lib/postgresql/*/bin, nor on PATH. \
         Install them, on Debian and Ubuntu with `apt-get install postgresql`, \
         or name their directory in DABBA_PG_BIN."
    )]
    NotInstalled,
    /// This process runs as root, for which PostgreSQL refuses to start, and there is no user `postgres`.
    #[error("PostgreSQL refuses to run as root, and the user `postgres` does not exist on this machine")]
    NoUser,
    /// The variable that names the directory of clusters contains no absolute path.
    #[error("DABBA_PG_DIRECTORY must be the absolute path of a directory or unset, and is '{}'", .0.display())]
    Directory(PathBuf),
    /// A program exited with an error.
    #[error("{program} failed: {output}")]
    Program {
        /// The program's name.
        program: String,
        /// The program's output.
        output: String,
    },
    /// A condition was not met before the timeout.
    #[error("timed out before {what}; the server's log: {log}")]
    TimedOut {
        /// The expected condition, as a clause.
        what: String,
        /// The server's log.
        log: String,
    },
    /// A call to the operating system failed.
    #[error("{doing}: {source}")]
    System {
        /// The operation that failed.
        doing: String,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ClusterError {
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
