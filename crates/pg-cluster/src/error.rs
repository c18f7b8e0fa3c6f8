//! How a cluster fails.

use std::io;

/// A cluster could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// PostgreSQL's server programs are not on this machine.
    #[error(
        "PostgreSQL's server programs were not found in /usr/lib/postgresql/*/bin, nor on PATH. \
         Install them, on Debian and Ubuntu with `apt-get install postgresql`, \
         or name their directory in DABBA_PG_BIN."
    )]
    NotInstalled,
    /// Root may not run PostgreSQL, and there is no other user to run it as.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as")]
    NoUser,
    /// A program ended with an error.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: String,
        /// What it wrote.
        output: String,
    },
    /// Something did not come about in time.
    #[error("waited in vain until {what}; the server's log: {log}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// What the server has logged.
        log: String,
    },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

impl ClusterError {
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
