//! Bodies of the state of the shards.

use dabba_domain::Timestamp;
use dabba_engine::{ShardAnswer, ShardCheck, ShardFailure};
use dabba_store::{DatabaseKind, PoolStatus, ShardInfo};
use serde::Serialize;
use utoipa::ToSchema;

/// The state of every shard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShardList)]
pub(crate) struct ShardListBody {
    /// The shards, in the order of their buckets.
    pub(crate) shards: Vec<ShardBody>,
    /// Time at which the check began. Requests at the same time share one check.
    pub(crate) checked_at: Timestamp,
}

/// A shard: a database that holds the restaurants and orders of some buckets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shard)]
pub(crate) struct ShardBody {
    /// Name of the shard.
    name: String,
    database: DatabaseName,
    state: ShardState,
    /// Why the server cannot use the shard. Absent if the state is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Number of buckets, of 4,096, that the server assigns to the shard.
    #[schema(minimum = 1, maximum = 4096)]
    buckets: u16,
    /// Version of the database's schema. Present if the state is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
    /// Milliseconds until the shard answered, including the wait for a connection. Present if the state is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    /// Number of parked tasks. Present if the state is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_parked: Option<u64>,
    /// This server's connections to the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<ShardPoolBody>,
}

/// This server's connections to a shard's database.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShardPool)]
pub(crate) struct ShardPoolBody {
    /// Number of open connections.
    connections: usize,
    /// Number of open connections that are unused.
    idle: usize,
    /// Number of calls that wait for a connection.
    waiting: usize,
}

/// Kind of a database.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ShardDatabase)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DatabaseName {
    Postgresql,
    Sqlite,
}

/// `ok`: the shard answers. `unreachable`: the shard failed or did not answer within two seconds. `mismatch`: a database answers,
/// but it is not the one that this server expects. It belongs to another shard, it holds other buckets than the server's shard map
/// states (the shard was split after the server's start), or it has no schema with which the server can work.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShardState {
    Ok,
    Unreachable,
    Mismatch,
}

impl From<ShardCheck> for ShardBody {
    fn from(check: ShardCheck) -> Self {
        let ShardCheck { shard: ShardInfo { name, database, buckets }, answer, pool } = check;
        let (state, answer, error) = match answer {
            Ok(answer) => (ShardState::Ok, Some(answer), None),
            Err(ShardFailure::Unreachable(error)) => (ShardState::Unreachable, None, Some(error)),
            Err(ShardFailure::Mismatch(error)) => (ShardState::Mismatch, None, Some(error)),
        };
        let in_ms = |answer: ShardAnswer| u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX);
        Self {
            name,
            database: match database {
                DatabaseKind::Postgresql => DatabaseName::Postgresql,
                DatabaseKind::Sqlite => DatabaseName::Sqlite,
            },
            state,
            error,
            buckets: buckets.count(),
            schema_version: answer.and_then(|answer| answer.schema_version),
            latency_ms: answer.map(in_ms),
            tasks_parked: answer.map(|answer| answer.tasks_parked),
            pool: pool.map(|PoolStatus { open, idle, waiting, .. }| ShardPoolBody {
                connections: open,
                idle,
                waiting,
            }),
        }
    }
}
