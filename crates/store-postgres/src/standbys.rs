//! The standbys of a database, as the primary reports them.
//!
//! A user without the role `pg_monitor` (or `pg_read_all_stats`) sees only the number of standbys, and nothing else
//! about them.

use std::time::Duration;

use dabba_store::{Standby, StandbyMode};

use crate::{codec::read, failure::Failure, pool::Connection};

/// Finds standbys that stream or catch up, but no base backups. The row of a hidden standby has no state.
const FIND: &str = "\
    SELECT coalesce(application_name, ''), coalesce(host(client_addr), ''), sync_state, \
        pg_wal_lsn_diff( \
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, replay_lsn \
        )::bigint, \
        (extract(epoch FROM replay_lag) * 1000000)::bigint \
    FROM pg_stat_replication WHERE state IS NULL OR state IN ('streaming', 'catchup')";

pub(crate) async fn find(connection: &Connection) -> Result<Vec<Standby>, Failure> {
    let rows = connection.query(FIND, &[]).await?;
    rows.iter()
        .map(|row| {
            let lag_bytes = read::<Option<i64>>(row, 3)?.map(|bytes| u64::try_from(bytes).unwrap_or(0));
            let lag_us = read::<Option<i64>>(row, 4)?.map(|lag| u64::try_from(lag).unwrap_or(0));
            // PostgreSQL reports no lag for a standby that has replayed everything and receives nothing new.
            let is_idle = lag_bytes == Some(0);
            Ok(Standby {
                name: read(row, 0)?,
                address: read(row, 1)?,
                mode: mode(read(row, 2)?),
                lag_bytes,
                lag: lag_us.or(is_idle.then_some(0)).map(Duration::from_micros),
            })
        })
        .collect()
}

/// A potential standby counts as asynchronous: no commit waits for it while the current synchronous standbys are
/// available.
fn mode(sync_state: Option<&str>) -> StandbyMode {
    match sync_state {
        Some("sync" | "quorum") => StandbyMode::Synchronous,
        Some(_) => StandbyMode::Asynchronous,
        None => StandbyMode::Hidden,
    }
}
