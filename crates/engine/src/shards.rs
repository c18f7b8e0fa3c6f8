//! The state of the shards, for admins who look for the cause of a fault: each shard is asked now.
//!
//! The checks run concurrently, each with its own timeout, so a shard that hangs delays the answer by at most that time
//! and hides no other shard. Callers at the same time share one check, so many open consoles cost as much as one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::Timestamp;
use dabba_store::{PoolStatus, ShardInfo, Store, StoreError};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared, join_all},
};
use tokio::time::{Instant, timeout};

use crate::{Clock, Engine, Error, Principal, Scope};

/// Maximum time for which a check waits for a shard. A shard that takes longer counts as unreachable.
pub const SHARD_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum length of the text of a failure, in characters.
const MAX_FAILURE_LENGTH: usize = 300;

/// The state of all shards at one time.
#[derive(Clone, Debug)]
pub struct CheckedShards {
    /// Time at which the check began.
    pub checked_at: Timestamp,
    /// The shards, in the order of their buckets.
    pub shards: Vec<ShardCheck>,
}

/// A shard and its answer.
#[derive(Clone, Debug)]
pub struct ShardCheck {
    /// The shard.
    pub shard: ShardInfo,
    /// The shard's answer, or the reason why this server cannot use the shard.
    pub answer: Result<ShardAnswer, ShardFailure>,
    /// Use of the connections with which this server reads and writes the shard.
    pub pool: Option<PoolStatus>,
}

/// Reason why this server cannot use a shard, with a text for admins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardFailure {
    /// The shard failed, or did not answer in time.
    Unreachable(String),
    /// A database answers, but it is not the one that this server expects: it belongs to another shard or holds other buckets
    /// than the shard map states, or it has another schema.
    Mismatch(String),
}

/// The answer of a shard that this server can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAnswer {
    /// Version of the database's schema.
    pub schema_version: Option<u32>,
    /// Time until the answer, including the wait for a connection.
    pub latency: Duration,
    /// Number of parked tasks.
    pub tasks_parked: u64,
}

/// A check that its callers share. It ends when the last caller is dropped.
type RunningCheck = BoxFuture<'static, CheckedShards>;

/// The latest check of the shards.
#[derive(Default)]
pub(crate) struct ShardChecks(Mutex<Option<WeakShared<RunningCheck>>>);

impl ShardChecks {
    /// Returns the running check, or begins one.
    fn current(&self, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Shared<RunningCheck> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = latest.as_ref().and_then(WeakShared::upgrade).filter(|check| check.peek().is_none());
        running.unwrap_or_else(|| {
            let check = check_all(Arc::clone(store), clock.now()).boxed().shared();
            *latest = check.downgrade();
            check
        })
    }
}

impl Engine {
    /// Asks every shard for its state, or joins the check that is running. For admins.
    pub async fn check_shards(&self, principal: &Principal) -> Result<CheckedShards, Error> {
        principal.require(Scope::ReadTasks)?;
        principal.require_admin("read the state of the shards")?;
        Ok(self.shard_checks.current(&self.store, &self.clock).await)
    }
}

async fn check_all(store: Arc<dyn Store>, checked_at: Timestamp) -> CheckedShards {
    // Before the checks, which use the connections themselves.
    let pools = store.pools();
    let checks = store.shards().into_iter().enumerate().map(async |(index, shard)| {
        // The first pool of a shard is the one of its primary.
        let pool = pools.iter().find(|pool| pool.shard == shard.name).cloned();
        ShardCheck { answer: check(&*store, index, checked_at).await, shard, pool }
    });
    CheckedShards { checked_at, shards: join_all(checks).await }
}

async fn check(store: &dyn Store, index: usize, now: Timestamp) -> Result<ShardAnswer, ShardFailure> {
    let cut = |text: String| text.chars().take(MAX_FAILURE_LENGTH).collect::<String>();
    let began = Instant::now();
    let measured = timeout(SHARD_CHECK_TIMEOUT, store.measure(index, now)).await;
    let measured = measured.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("no answer within {SHARD_CHECK_TIMEOUT:?}")))
    });
    let measured = measured.map_err(|error| {
        let text = cut(error.to_string());
        if matches!(error, StoreError::Unfit(_)) {
            ShardFailure::Mismatch(text)
        } else {
            ShardFailure::Unreachable(text)
        }
    })?;
    if let Some(text) = measured.mismatch {
        return Err(ShardFailure::Mismatch(cut(text)));
    }
    Ok(ShardAnswer {
        schema_version: measured.schema_version,
        latency: began.elapsed(),
        tasks_parked: measured.parked.iter().map(|(_, count)| count).sum(),
    })
}
