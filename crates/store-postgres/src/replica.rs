//! Reads from a replica whose lag is within a limit.
//!
//! The replica serves reads that may be slightly stale: pages of lists after the first. Every other read goes to the
//! primary, so that all users see their own latest changes. While the replica is unavailable or lags too far behind,
//! all reads go to the primary.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_store::StoreError;
use tokio::time::Instant;

use crate::{
    codec::read,
    failure::Failure,
    pool::{Connection, Connections},
};

/// Whether the server is still a replica, and the position up to which it has replayed the primary's WAL.
const REPLAYED: &str = "\
    SELECT pg_is_in_recovery(), coalesce((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, 0)";

/// A replica of the store's database.
pub(crate) struct Replica {
    connections: Connections,
    is_fresh: AtomicBool,
    lag: Mutex<Lag>,
}

/// Measures a replica's lag, from positions of the primary's WAL at several times.
struct Lag {
    /// Maximum lag.
    limit: Duration,
    /// Times and WAL positions of the primary, oldest first. The first entry is the newest one that is at least as
    /// old as the limit, or the oldest of all.
    written: VecDeque<(Instant, i64)>,
}

impl Replica {
    pub(crate) fn new(connections: Connections, max_lag: Duration) -> Self {
        let lag = Mutex::new(Lag { limit: max_lag, written: VecDeque::new() });
        Self { connections, is_fresh: AtomicBool::new(false), lag }
    }

    /// Runs a read on the replica. `None` if the primary must serve it: the replica lags too far behind, or the read
    /// failed.
    pub(crate) async fn read<T, F>(&self, work: impl Fn(Arc<Connection>) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if !self.is_fresh.load(Ordering::Relaxed) {
            return None;
        }
        let run = async {
            let connection = Arc::new(self.connections.get().await?);
            work(connection).await
        };
        match run.await {
            Ok(answer) => Some(answer),
            // This includes a read that the replica cancelled because it conflicted with replay (40001). The caller
            // need not know.
            Err(failure) => {
                tracing::debug!(error = %failure.into_store_error(), "a read from the replica failed");
                None
            }
        }
    }

    /// Measures the lag; `written` is the position up to which the primary had written its WAL at `at`.
    pub(crate) async fn update_lag(&self, written: Option<i64>, at: Instant) {
        let replayed = async {
            let connection = self.connections.get().await?;
            let rows = connection.query(REPLAYED, &[]).await?;
            let row = rows.first().ok_or_else(|| Failure::corrupt("the database returned no row"))?;
            Ok::<_, Failure>(read::<bool>(row, 0)?.then_some(read::<i64>(row, 1)?))
        };
        let replayed = replayed.await.map_err(Failure::into_store_error);
        let is_fresh = match (&replayed, written) {
            (Ok(Some(replayed)), Some(written)) => {
                let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
                lag.is_within_limit(at, written, *replayed)
            }
            _ => false,
        };
        if self.is_fresh.swap(is_fresh, Ordering::Relaxed) != is_fresh {
            log_change(is_fresh, &replayed);
        }
    }

    pub(crate) const fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

/// Logs that the replica is used from now on, or why it is not.
fn log_change(is_fresh: bool, replayed: &Result<Option<i64>, StoreError>) {
    match replayed {
        _ if is_fresh => tracing::info!("reads use the replica"),
        Ok(Some(_)) => tracing::warn!("the replica lags too far behind; reads use the primary"),
        Ok(None) => tracing::warn!("the replica does not replicate any more; reads use the primary"),
        Err(error) => tracing::warn!(%error, "the replica does not respond; reads use the primary"),
    }
}

impl Lag {
    /// Returns whether the replica has replayed everything that was written before the limit.
    fn is_within_limit(&mut self, now: Instant, written: i64, replayed: i64) -> bool {
        self.written.push_back((now, written));
        let is_old = |at: Instant| now.duration_since(at) >= self.limit;
        while self.written.get(1).is_some_and(|(at, _)| is_old(*at)) {
            self.written.pop_front();
        }
        self.written.front().is_some_and(|(_, written)| replayed >= *written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica is used while it has everything that is older than the limit, however much was written since. This
    /// also holds at the beginning, when nothing is that old.
    #[test]
    fn a_replica_may_lag_up_to_the_limit() {
        let start = Instant::now();
        let mut lag = Lag { limit: Duration::from_secs(2), written: VecDeque::new() };
        for (second, written, replayed, is_fresh) in [
            (0, 100, 90, false),
            (1, 200, 100, true),
            (2, 300, 100, true),
            (3, 400, 199, false),
            (3, 400, 200, true),
            (4, 400, 300, true),
            (10, 900, 399, false),
            (10, 900, 400, true),
            (11, 900, 900, true),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(lag.is_within_limit(now, written, replayed), is_fresh, "{second} {replayed}");
        }
        assert!(lag.written.len() <= 4, "old entries are removed");
    }
}
