//! Measurements of a store's databases and connections, for operators.

use std::time::Duration;

use dabba_domain::{Timestamp, task::TaskQueue};

use crate::BucketRange;

/// Name of the shard of a store that is a single database.
pub const SOLE_SHARD: &str = "main";

/// A shard as the configuration states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Name of the shard.
    pub name: String,
    /// Kind of the shard's database.
    pub database: DatabaseKind,
    /// Buckets that the shard map assigns to the shard.
    pub buckets: BucketRange,
}

/// Kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// A PostgreSQL database.
    Postgresql,
    /// A file of `SQLite`.
    Sqlite,
}

/// Maximum number of due tasks of a queue that a measurement counts.
pub const MAX_COUNTED_TASKS: u32 = 10_000;

/// Measurement of the database of one shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// Number of parked tasks for each name of a kind, including kinds of newer servers. A kind without parked tasks may be
    /// absent.
    pub parked: Vec<(String, u64)>,
    /// For each queue, the time at which its oldest due task without a lease holder became due. Queues without such a task are
    /// absent.
    pub overdue: Vec<(TaskQueue, Timestamp)>,
    /// For each queue, the number of due tasks without a lease holder, at most [`MAX_COUNTED_TASKS`].
    pub due: Vec<(TaskQueue, u64)>,
    /// Standbys that receive the database's log. `None` for a database that cannot have standbys.
    pub standbys: Option<Vec<Standby>>,
    /// Version of the database's schema. `None` for a database without numbered migrations.
    pub schema_version: Option<u32>,
    /// How the shard map and the database's own record of its shard differ. `None` if they agree, and for a database that
    /// records no shard.
    pub mismatch: Option<String>,
}

/// A standby of a database, as its primary reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standby {
    /// The standby's `application_name`. Empty if the database does not show it to this user.
    pub name: String,
    /// The standby's address. Empty for a local connection, and if the database does not show it to this user.
    pub address: String,
    /// Whether commits wait for the standby.
    pub mode: StandbyMode,
    /// Bytes of the primary's log that the standby has not replayed.
    pub lag_bytes: Option<u64>,
    /// Time from the primary's flush of its latest log to the standby's replay, as the primary reports it.
    pub lag: Option<Duration>,
}

/// Whether commits wait for a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StandbyMode {
    /// Commits wait for this standby, or for a group of standbys that includes it.
    Synchronous,
    /// No commit waits for this standby.
    Asynchronous,
    /// The database does not show the mode to this user.
    Hidden,
}

impl StandbyMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Synchronous, Self::Asynchronous, Self::Hidden];

    /// Returns the mode's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Hidden => "hidden",
        }
    }
}

/// Current use of a pool of connections to the database of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Name of the shard.
    pub shard: String,
    /// Purpose of the connections.
    pub pool: &'static str,
    /// Maximum number of connections.
    pub limit: usize,
    /// Number of open connections.
    pub open: usize,
    /// Number of open connections that are unused.
    pub idle: usize,
    /// Number of calls that wait for a connection.
    pub waiting: usize,
}
