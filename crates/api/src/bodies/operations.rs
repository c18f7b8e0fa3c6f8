//! Bodies of the operations for the server's operators.

use dabba_engine::Readiness;
use serde::Serialize;
use utoipa::ToSchema;

/// Health of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// Always `ok`.
    pub(crate) status: &'static str,
}

/// Readiness of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessBody {
    status: ReadinessStatus,
    /// Names of the shards that do not answer. Present while the status is `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    shards: Vec<String>,
    /// Names of the shards that were split after this server read its shard map. The server refuses requests about the moved
    /// restaurants until it is restarted with the new map. Present while the status is `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    outdated_shards: Vec<String>,
    /// Names of the background parts that keep failing and are restarted, or that cannot work. Present while the status is
    /// `degraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    parts: Vec<String>,
}

/// `ok`: the server can do all its work. `degraded`: shards do not answer or the shard map is outdated, so the server refuses
/// requests about some restaurants; or background parts fail, so changes by other servers may be seen late.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadinessStatus {
    Ok,
    Degraded,
}

impl From<Readiness> for ReadinessBody {
    fn from(readiness: Readiness) -> Self {
        let status = if readiness.is_healthy() { ReadinessStatus::Ok } else { ReadinessStatus::Degraded };
        let Readiness { silent_shards, outdated_shards, parts_down } = readiness;
        Self { status, shards: silent_shards, outdated_shards, parts: parts_down }
    }
}
