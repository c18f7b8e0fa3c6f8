//! Background checks of a store: the buckets that its database holds, the schema, and the replica's lag.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_store::{Need, Supervisor};
use dabba_store_sql::{StoredRow as _, schema::Schema};
use tokio::{sync::Notify, time::Instant};

use crate::{
    codec::first,
    failure::Failure,
    migrate::FIND_COMPATIBILITY,
    pool::Connections,
    replica::Replica,
    shard::{FIND_BUCKETS, Held, only_buckets},
};

/// Interval between two checks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Position up to which the primary has written its WAL, in bytes from the start.
const WRITTEN: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// The database to check, and the state that the checks update.
pub(crate) struct Watched {
    pub(crate) connections: Arc<Connections>,
    pub(crate) held: Arc<Held>,
    /// Set to false if this program cannot run on the current schema. The next use of the store then verifies the
    /// database and is refused.
    pub(crate) is_verified: Arc<AtomicBool>,
    pub(crate) known_schema: u32,
    pub(crate) replica: Option<Arc<Replica>>,
}

/// Runs the checks, from the first verification of the database until the task is aborted. Errors are only logged at
/// debug level: the store's callers notice an unreachable database themselves.
pub(crate) async fn run(verified: Arc<Notify>, watched: Watched, supervisor: Arc<Supervisor>) {
    verified.notified().await;
    let part = supervisor.part("shard_monitor", Need::Helpful);
    supervisor.run(&part, || poll(&watched)).await;
}

async fn poll(watched: &Watched) -> Result<(), String> {
    let Watched { connections, held, is_verified, known_schema, replica } = watched;
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = refresh_buckets(connections, held).await {
            tracing::debug!(error = %error.into_store_error(), "the buckets of the shard could not be read");
        }
        match is_compatible(connections, *known_schema).await {
            Ok(true) => {}
            Ok(false) => is_verified.store(false, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(error = %error.into_store_error(), "the schema version could not be read");
            }
        }
        if let Some(replica) = replica {
            let written = written(connections).await;
            let at = Instant::now();
            replica.update_lag(written.ok(), at).await;
        }
    }
}

async fn refresh_buckets(connections: &Connections, held: &Held) -> Result<(), Failure> {
    let rows = connections.get().await?.query(FIND_BUCKETS, &[]).await?;
    held.update(only_buckets(&rows)?);
    Ok(())
}

/// Returns whether this program can run on the current schema. Another program may have migrated the schema in the
/// meantime.
async fn is_compatible(connections: &Connections, known: u32) -> Result<bool, Failure> {
    let rows = connections.get().await?.query(FIND_COMPATIBILITY, &[]).await?;
    let schema = first(&rows, |row| Ok(Schema::new(row.number(0)?, Some(row.number(1)?))))?;
    Ok(schema.is_none_or(|schema| schema.check_not_newer(known, "the database").is_ok()))
}

async fn written(connections: &Connections) -> Result<i64, Failure> {
    connections.get().await?.query_number(WRITTEN, &[]).await
}
