//! Background checks of a store: the shard and the buckets of its database, the schema, the replica's lag, and the oldest
//! open transaction, which delays the feed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_store::{Need, StoreError, Supervisor};
use dabba_store_sql::{StoredRow as _, schema::Schema};
use tokio::{sync::Notify, time::Instant};

use crate::{
    codec::first,
    failure::Failure,
    metrics::PostgresMetrics,
    migrate::FIND_COMPATIBILITY,
    pool::Connections,
    replica::Replica,
    shard::{FIND_OWNERSHIP, Held, ownership_of},
};

/// Interval between two checks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Position up to which the primary has written its WAL, in bytes from the start.
const WRITTEN: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// The oldest open transaction, and the transaction after the latest one that has ended, each of those that write. They
/// are equal if no open transaction is older than one that has ended: then nothing waits. Covers every database of the
/// cluster and prepared transactions, and requires no right.
const OPEN_TRANSACTIONS: &str = "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint \
    FROM pg_current_snapshot() AS now";

/// The database to check, and the state that the checks update.
pub(crate) struct Watched {
    pub(crate) connections: Arc<Connections>,
    pub(crate) held: Arc<Held>,
    /// Set to false if the database is not the shard's any more, or if this program cannot run on the current schema. The
    /// next use of the store then verifies the database and is refused.
    pub(crate) is_verified: Arc<AtomicBool>,
    pub(crate) known_schema: u32,
    pub(crate) replica: Option<Arc<Replica>>,
    pub(crate) metrics: PostgresMetrics,
}

/// Runs the checks, from the first verification of the database until the task is aborted. Errors are only logged at
/// debug level: the store's callers notice an unreachable database themselves.
pub(crate) async fn run(verified: Arc<Notify>, watched: Watched, supervisor: Arc<Supervisor>) {
    verified.notified().await;
    let part = supervisor.part("shard_monitor", Need::Helpful);
    supervisor.run(&part, || poll(&watched)).await;
}

async fn poll(watched: &Watched) -> Result<(), String> {
    let Watched { connections, held, is_verified, known_schema, replica, metrics } = watched;
    let mut oldest = OldestWriter::default();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        match is_of_shard(connections, held).await {
            Ok(true) => {}
            // `Unfit`: the database has no record of a shard at all.
            Ok(false) | Err(Failure::Store(StoreError::Unfit(_))) => {
                if is_verified.swap(false, Ordering::Relaxed) {
                    tracing::error!(
                        shard = held.expected().name,
                        "the shard's address leads to a database that is not the shard's; the server does not use this database"
                    );
                }
            }
            Err(error) => {
                tracing::debug!(error = %error.into_store_error(), "the buckets of the shard could not be read");
            }
        }
        match is_compatible(connections, *known_schema).await {
            Ok(true) => {}
            Ok(false) => is_verified.store(false, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(error = %error.into_store_error(), "the schema version could not be read");
            }
        }
        match open_transactions(connections).await {
            Ok((lowest, after_ended)) => {
                let age = oldest.age(lowest, after_ended, Instant::now());
                metrics.oldest_writer.set(age.as_secs_f64());
            }
            Err(error) => {
                tracing::debug!(error = %error.into_store_error(), "the open transactions could not be read");
            }
        }
        if let Some(replica) = replica {
            let written = written(connections).await;
            let at = Instant::now();
            replica.update_lag(written.ok(), at).await;
        }
    }
}

/// Returns whether the database is the shard's, and refreshes the buckets that it holds.
async fn is_of_shard(connections: &Connections, held: &Held) -> Result<bool, Failure> {
    let rows = connections.get().await?.query(FIND_OWNERSHIP, &[]).await?;
    Ok(held.observe(rows.first().map(ownership_of).transpose()?.as_ref()))
}

/// Returns whether this program can run on the current schema. Another program may have migrated the schema in the
/// meantime.
async fn is_compatible(connections: &Connections, known: u32) -> Result<bool, Failure> {
    let rows = connections.get().await?.query(FIND_COMPATIBILITY, &[]).await?;
    let schema = first(&rows, |row| Ok(Schema::new(row.number(0)?, Some(row.number(1)?))))?;
    Ok(schema.is_none_or(|schema| schema.check_not_newer(known, "the database").is_ok()))
}

async fn open_transactions(connections: &Connections) -> Result<(i64, i64), Failure> {
    let rows = connections.get().await?.query(OPEN_TRANSACTIONS, &[]).await?;
    let open = first(&rows, |row| Ok((row.integer(0)?, row.integer(1)?)))?;
    Ok(open.unwrap_or_default())
}

/// The oldest open transaction that writes, as seen by successive checks.
#[derive(Default)]
struct OldestWriter {
    seen: Option<(i64, Instant)>,
}

impl OldestWriter {
    /// Returns the time since the first check that saw the current oldest transaction while a later one had ended; zero
    /// if there is no such transaction. The transaction itself may be older.
    fn age(&mut self, lowest: i64, after_ended: i64, now: Instant) -> Duration {
        let since = match self.seen {
            Some((seen, since)) if seen == lowest => since,
            _ => now,
        };
        self.seen = (lowest < after_ended).then_some((lowest, since));
        if self.seen.is_some() { now.duration_since(since) } else { Duration::ZERO }
    }
}

async fn written(connections: &Connections) -> Result<i64, Failure> {
    connections.get().await?.query_number(WRITTEN, &[]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the age grows while the same transaction is the oldest, and begins anew with another transaction,
    /// also after a time without one.
    #[test]
    fn the_age_belongs_to_one_transaction() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut oldest = OldestWriter::default();
        let mut age = |lowest, after_ended, at: u32| oldest.age(lowest, after_ended, start + second * at);
        assert_eq!(age(7, 7, 0), Duration::ZERO, "no transaction delays the feed");
        assert_eq!(age(7, 8, 1), Duration::ZERO, "the transaction 7 began after the check before");
        assert_eq!(age(7, 9, 3), second * 2);
        assert_eq!(age(8, 9, 4), Duration::ZERO, "the transaction 8 is the oldest now");
        assert_eq!(age(9, 9, 5), Duration::ZERO);
        assert_eq!(age(9, 10, 9), Duration::ZERO);
    }
}
