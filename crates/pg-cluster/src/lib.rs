//! Throw-away PostgreSQL clusters: for tests only.
//!
//! [`Cluster::shared`] is one cluster for a whole test process; [`Cluster::start`] makes one of one's
//! own, to stop, start again or crash. A database for a test is a copy of a template that is prepared
//! once ([`Cluster::database_from`]), which takes some tens of milliseconds; [`block_on`] waits for
//! migrations that are async.
//!
//! ```no_run
//! # fn main() -> Result<(), dabba_pg_cluster::ClusterError> {
//! use dabba_pg_cluster::Cluster;
//!
//! let url = Cluster::shared()?.database_from("with_schema", |url| { /* migrate it */ })?;
//! # Ok(())
//! # }
//! ```
//!
//! A cluster can have standbys ([`Cluster::start_standby`]), die like a machine ([`Cluster::kill`]), and be
//! restored to a moment from a base backup and its archived log ([`Cluster::restore`]).
//!
//! A machine without PostgreSQL fails the test, with a text that says how to install it: a test that
//! is skipped proves nothing.
//!
//! # How a cluster ends
//!
//! Whatever becomes of the test, nothing stays behind. A small shell script holds the read end of a
//! pipe whose only write end is in the test process. When that end closes, because the [`Cluster`] is
//! dropped or because the process is gone, by whatever signal, the script stops the server at once and
//! removes the directory. The script has a process group of its own, so that neither Ctrl-C nor a
//! test runner that kills the test's group reaches it.
//!
//! One thing does stay: an empty data directory below `/tmp/dabba-pg-initialised-…`, from which the next
//! clusters are copied.
//!
//! PostgreSQL refuses to run as root. Root runs it as the user `postgres`, which Debian's packages make.
//!
//! Tried and rejected: `PR_SET_PDEATHSIG`, which needs unsafe code and follows the thread, not the
//! process; containers, which need a daemon and take seconds.

mod backup;
mod cluster;
mod error;
mod install;
mod options;
mod process;
mod replication;
mod runtime;

pub use crate::{
    cluster::{Cluster, StopMode},
    error::ClusterError,
    options::{ClusterOptions, Durability},
    runtime::block_on,
};
