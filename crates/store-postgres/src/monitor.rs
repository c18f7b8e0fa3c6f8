//! What a store looks at in the background: the buckets that its database holds, and how far behind its
//! replica is.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use crate::{
    failure::Failure,
    pool::Connections,
    replica::Replica,
    shard::{FIND_BUCKETS, Held, only_buckets},
};

/// How often it looks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Up to where the primary has written its log, in bytes since its beginning.
const WRITTEN: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// Looks until the task is aborted, from the moment on at which the database has been verified. One that
/// does not answer is somebody else's to tell: whoever needs it learns it soon enough.
pub(crate) async fn run(
    verified: Arc<Notify>,
    connections: Arc<Connections>,
    held: Arc<Held>,
    replica: Option<Arc<Replica>>,
) {
    verified.notified().await;
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = look_at_buckets(&connections, &held).await {
            tracing::debug!(error = %error.into_store_error(), "the buckets of a shard could not be looked up");
        }
        if let Some(replica) = &replica {
            let written = written(&connections).await;
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

async fn written(connections: &Connections) -> Result<i64, Failure> {
    connections.get().await?.query_number(WRITTEN).await
}
