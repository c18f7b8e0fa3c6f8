//! Reads from a replica that is close enough behind.
//!
//! A replica takes over what nobody expects to be of this very moment: pages of lists behind the first.
//! Whatever an order's own people wait for comes from the primary, so that everyone sees what they have
//! just done. A replica that is gone, or further behind than is allowed, is left out, and the primary
//! does its work.

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

/// Whether it still is a replica, and up to where it has followed the primary's log.
const REPLAYED: &str = "\
    SELECT pg_is_in_recovery(), coalesce((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, 0)";

/// A replica of the store's database.
pub(crate) struct Replica {
    connections: Connections,
    is_fresh: AtomicBool,
    lag: Mutex<Lag>,
}

/// Tells how far behind a replica is, from what the primary had written at several moments.
struct Lag {
    /// Most that is allowed.
    limit: Duration,
    /// When the primary had written how much, oldest first. The first is the newest one that is as old as
    /// the limit, or the oldest of all.
    written: VecDeque<(Instant, i64)>,
}

impl Replica {
    pub(crate) fn new(connections: Connections, max_lag: Duration) -> Self {
        let lag = Mutex::new(Lag { limit: max_lag, written: VecDeque::new() });
        Self { connections, is_fresh: AtomicBool::new(false), lag }
    }

    /// Runs a read on the replica. `None` when the primary has to do it: the replica is behind, or it
    /// could not.
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
            // Also a read that stood in the way of what the replica had to follow (40001): it has no
            // meaning for whoever asked.
            Err(failure) => {
                tracing::debug!(error = %failure.into_store_error(), "a replica did not answer");
                None
            }
        }
    }

    /// Looks how far it is, when the primary has written so much.
    pub(crate) async fn look(&self, written: Option<i64>, at: Instant) {
        let replayed = async {
            let connection = self.connections.get().await?;
            let rows = connection.query(REPLAYED, &[]).await?;
            let row = rows.first().ok_or_else(|| Failure::corrupt("an answer went missing"))?;
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
            tell(is_fresh, &replayed);
        }
    }

    pub(crate) const fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

/// Logs that a replica is used from now on, or why it is not.
fn tell(is_fresh: bool, replayed: &Result<Option<i64>, StoreError>) {
    match replayed {
        _ if is_fresh => tracing::info!("a replica is used"),
        Ok(Some(_)) => tracing::warn!("a replica is too far behind, and is not used"),
        Ok(None) => tracing::warn!("a replica follows nobody any more, and is not used"),
        Err(error) => tracing::warn!(%error, "a replica does not answer, and is not used"),
    }
}

impl Lag {
    /// Whether everything that was written before the limit of time has been replayed.
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

    /// A replica is used while it has all that was there before the limit, however much has been written
    /// since; also at the beginning, when nothing is that old.
    #[test]
    fn a_replica_may_be_behind_by_the_limit_and_no_more() {
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
        assert!(lag.written.len() <= 4, "what is not needed is forgotten");
    }
}
