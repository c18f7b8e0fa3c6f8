//! What a store watches in the background: the buckets that its database holds, the schema, and how far behind its
//! replica is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_store::{Need, Supervisor};
use tokio::{sync::Notify, time::Instant};

use crate::{
    codec::read,
    failure::Failure,
    migrate::{FIND_COMPATIBILITY, check_compatible},
    pool::Connections,
    replica::Replica,
    shard::{FIND_BUCKETS, Held, only_buckets},
};

/// How often it looks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Up to where the primary has written its log, in bytes since its beginning.
const WRITTEN: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// The database that is watched, and the state that the watch updates.
pub(crate) struct Watched {
    pub(crate) connections: Arc<Connections>,
    pub(crate) held: Arc<Held>,
    /// Cleared when the schema is one with which this program cannot run, so that whatever uses the database next
    /// verifies it and is refused.
    pub(crate) is_verified: Arc<AtomicBool>,
    pub(crate) known_schema: u32,
    pub(crate) replica: Option<Arc<Replica>>,
}

/// Looks until the task is aborted, from the moment on at which the database has been verified. One that
/// does not answer is somebody else's to tell: whoever needs it learns it soon enough.
pub(crate) async fn run(verified: Arc<Notify>, watched: Watched, supervisor: Arc<Supervisor>) {
    verified.notified().await;
    let part = supervisor.part("shard_monitor", Need::Helpful);
    supervisor.run(&part, || look(&watched)).await;
}

async fn look(watched: &Watched) -> Result<(), String> {
    let Watched { connections, held, is_verified, known_schema, replica } = watched;
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = look_at_buckets(connections, held).await {
            tracing::debug!(error = %error.into_store_error(), "the buckets of a shard could not be looked up");
        }
        match is_compatible(connections, *known_schema).await {
            Ok(true) => {}
            Ok(false) => is_verified.store(false, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(error = %error.into_store_error(), "the schema could not be looked up");
            }
        }
        if let Some(replica) = replica {
            let written = written(connections).await;
            let at = Instant::now();
            replica.look(written.ok(), at).await;
        }
    }
}

async fn look_at_buckets(connections: &Connections, held: &Held) -> Result<(), Failure> {
    let rows = connections.get().await?.query(FIND_BUCKETS, &[]).await?;
    held.learn(only_buckets(&rows)?);
    Ok(())
}

/// Whether this program can run on the schema, which another one may have migrated meanwhile.
async fn is_compatible(connections: &Connections, known: u32) -> Result<bool, Failure> {
    let rows = connections.get().await?.query(FIND_COMPATIBILITY, &[]).await?;
    let Some(row) = rows.first() else { return Ok(true) };
    Ok(check_compatible(known, read(row, 0)?, read(row, 1)?).is_ok())
}

async fn written(connections: &Connections) -> Result<i64, Failure> {
    connections.get().await?.query_number(WRITTEN, &[]).await
}
