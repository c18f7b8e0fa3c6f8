//! Disposable PostgreSQL clusters for tests.
//!
//! [`Cluster::shared`] returns one cluster that all tests of a process share. [`Cluster::start`] starts a
//! separate cluster that a test can stop, restart or crash. [`Cluster::database_from`] creates a test's database
//! as a copy of a template. The template is prepared once; a copy takes some tens of milliseconds. [`block_on`]
//! runs async migrations from synchronous code.
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
//! A cluster can have standbys ([`Cluster::start_standby`]), lose its power like a machine ([`Cluster::kill`]),
//! and be restored to a point in time from a base backup and its WAL archive ([`Cluster::restore`]).
//!
//! If PostgreSQL is not installed, the test fails and the message explains how to install it. The test is not
//! skipped, because a skipped test proves nothing.
//!
//! # How a cluster ends
//!
//! A cluster leaves nothing behind, however the test ends. A small shell script holds the read end of a pipe
//! whose only write end belongs to the test process. The write end closes when the [`Cluster`] is dropped or when
//! the process ends, whatever the signal. The script then stops the server in immediate mode and removes the
//! directory. The script has its own process group, so neither Ctrl-C nor a test runner that kills the test's
//! process group reaches the script.
//!
//! One thing remains: an initialized data directory at `/tmp/dabba-pg-initialised-…`. Later clusters are copied
//! from it.
//!
//! PostgreSQL refuses to run as root. If the test process is root, the server runs as the user `postgres`, which
//! Debian's packages create.
//!
//! Tried and rejected: `PR_SET_PDEATHSIG`, which needs unsafe code and follows the thread instead of the
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
    process::Frozen,
    runtime::block_on,
};
