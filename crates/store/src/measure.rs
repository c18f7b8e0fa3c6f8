//! What a store measures in its databases and of its connections, for operators.

use std::time::Duration;

use dabba_domain::{Timestamp, order::TaskQueue};

/// Name of the shard of a store that is a single database.
pub const SOLE_SHARD: &str = "main";

/// What was measured in the database of one shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// Number of parked tasks by the name of their kind, kinds of newer servers among them. Kinds without a parked task may be
    /// absent.
    pub parked: Vec<(String, u64)>,
    /// For each queue, the time at which its oldest task was due that is due and that no worker holds. Queues without such a
    /// task are absent.
    pub overdue: Vec<(TaskQueue, Timestamp)>,
    /// The standbys that receive the database's log. `None` for a database that cannot have any.
    pub standbys: Option<Vec<Standby>>,
}

/// A standby of a database, as its primary reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standby {
    /// Its `application_name`. Empty if the database does not show it to this user.
    pub name: String,
    /// Its address. Empty for a local connection, and if the database does not show it to this user.
    pub address: String,
    /// Whether commits wait for it.
    pub mode: StandbyMode,
    /// Bytes of the primary's log that it has not replayed.
    pub lag_bytes: Option<u64>,
    /// Time from the primary's flush of its latest log to the standby's replay, as the primary reports it.
    pub lag: Option<Duration>,
}

/// Whether commits wait for a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StandbyMode {
    /// Commits wait for it, or for one of several that it belongs to.
    Synchronous,
    /// No commit waits for it.
    Asynchronous,
    /// The database does not show it to this user.
    Hidden,
}

impl StandbyMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Synchronous, Self::Asynchronous, Self::Hidden];

    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Hidden => "hidden",
        }
    }
}

/// Use of a pool of connections to the database of one shard, at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// The shard.
    pub shard: String,
    /// What the connections are for.
    pub pool: &'static str,
    /// Maximum number of connections.
    pub limit: usize,
    /// Open connections.
    pub open: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
}
