//! The state of the shards, for admins who look for the cause of a fault: each shard is asked now.
//!
//! The checks run concurrently, each with its own timeout, so a shard that hangs delays the answer by at most that time
//! and hides no other shard.

use std::time::Duration;

use dabba_store::{PoolStatus, ShardInfo};
use futures::future::join_all;
use tokio::time::{Instant, timeout};

use crate::{Engine, Error, Principal, Scope};

/// Maximum time for which a check waits for a shard. A shard that takes longer counts as unreachable.
pub const SHARD_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum length of the text of a failure, in characters.
const MAX_FAILURE_LENGTH: usize = 300;

/// A shard and its answer.
#[derive(Clone, Debug)]
pub struct ShardCheck {
    /// The shard.
    pub shard: ShardInfo,
    /// The shard's answer, or the reason why there is none.
    pub answer: Result<ShardAnswer, String>,
    /// Use of the connections with which this server reads and writes the shard.
    pub pool: Option<PoolStatus>,
}

/// The answer of a shard that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAnswer {
    /// Version of the database's schema.
    pub schema_version: Option<u32>,
    /// Time until the answer, including the wait for a connection.
    pub latency: Duration,
    /// Number of parked tasks.
    pub tasks_parked: u64,
}

impl Engine {
    /// Asks every shard for its state. For admins.
    pub async fn check_shards(&self, principal: &Principal) -> Result<Vec<ShardCheck>, Error> {
        principal.require(Scope::ReadTasks)?;
        principal.require_admin("read the state of the shards")?;
        // Before the checks, which use the connections themselves.
        let pools = self.store.pools();
        let checks = self.store.shards().into_iter().enumerate().map(async |(index, shard)| {
            // The first pool of a shard is the one of its primary.
            let pool = pools.iter().find(|pool| pool.shard == shard.name).cloned();
            ShardCheck { answer: self.check_shard(index).await, shard, pool }
        });
        Ok(join_all(checks).await)
    }

    async fn check_shard(&self, index: usize) -> Result<ShardAnswer, String> {
        let began = Instant::now();
        let measured = timeout(SHARD_CHECK_TIMEOUT, self.store.measure(index, self.now())).await;
        let measured = measured.map_err(|_| format!("no answer within {SHARD_CHECK_TIMEOUT:?}"))?;
        let measured = measured
            .map_err(|error| error.to_string().chars().take(MAX_FAILURE_LENGTH).collect::<String>())?;
        Ok(ShardAnswer {
            schema_version: measured.schema_version,
            latency: began.elapsed(),
            tasks_parked: measured.parked.iter().map(|(_, count)| count).sum(),
        })
    }
}
