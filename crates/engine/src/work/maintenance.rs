//! Periodic maintenance of the store.

use std::{sync::Arc, time::Duration};

use dabba_domain::{Timestamp, statistics::Minute};
use dabba_store::Need;
use jiff::SignedDuration;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Work;
use crate::{
    EngineConfig, Error, STATISTICS_RETENTION,
    accounts::ENDED_SESSIONS_KEPT_FOR,
    orders::{LINK_CHECK_INTERVAL, TRACKED_AFTER_END},
};

/// Maximum number of keys deleted in one transaction, so that no order waits long for the transaction.
const KEYS_PER_STEP: u32 = 1_000;

/// Maximum number of sessions or login links deleted in one transaction.
const SESSIONS_PER_STEP: u32 = 1_000;

/// Maximum number of tracking links checked in one transaction.
const LINKS_PER_STEP: u32 = 1_000;

/// Maximum number of rows of statistics deleted in one transaction.
const STATISTICS_PER_STEP: u32 = 1_000;

/// Configuration of the maintenance.
pub(crate) struct MaintenanceConfig {
    /// Interval at which expired keys are deleted.
    pub(crate) interval: Duration,
    /// Time for which an idempotency key is stored.
    pub(crate) key_retention: SignedDuration,
}

impl MaintenanceConfig {
    pub(crate) const fn of(config: &EngineConfig) -> Self {
        Self { interval: config.maintenance_interval, key_retention: config.key_retention }
    }
}

impl Work {
    /// Deletes expired idempotency keys, sessions and login links, tracking links that are no longer valid, and old
    /// statistics, and pauses unattended restaurants, at each
    /// [`crate::EngineConfig::maintenance_interval`]. Runs until the future is dropped.
    pub async fn maintain(self: Arc<Self>) {
        let deletion = self.supervisor.part("maintenance", Need::Helpful);
        let check = self.supervisor.part("unattended_checker", Need::Helpful);
        // Deletions take long after a backlog, and in a shard that hangs. They must not delay the pauses.
        tokio::join!(
            self.supervisor.run(&deletion, || self.delete_repeatedly()),
            self.supervisor.run(&check, || self.check_unattended_repeatedly()),
        );
    }

    /// Returns a ticker of the maintenance, which ticks at once.
    fn maintenance_ticker(&self) -> Interval {
        let mut ticker = interval(self.maintenance.interval.max(Duration::from_millis(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker
    }

    async fn check_unattended_repeatedly(&self) -> Result<(), String> {
        let mut ticker = self.maintenance_ticker();
        loop {
            ticker.tick().await;
            if let Err(error) = self.boards.check_unattended().await {
                tracing::warn!(%error, "unattended restaurants could not be checked");
            }
        }
    }

    async fn delete_repeatedly(&self) -> Result<(), String> {
        let mut ticker = self.maintenance_ticker();
        loop {
            ticker.tick().await;
            if let Err(error) = self.delete_expired_keys().await {
                tracing::warn!(%error, "expired idempotency keys could not be deleted");
            }
            if let Err(error) = self.delete_expired_sessions().await {
                tracing::warn!(%error, "expired sessions could not be deleted");
            }
            if let Err(error) = self.check_tracking_links().await {
                tracing::warn!(%error, "tracking links that are no longer valid could not be deleted");
            }
            if let Err(error) = self.delete_old_statistics().await {
                tracing::warn!(%error, "old statistics could not be deleted");
            }
        }
    }

    /// Deletes the sessions that ended more than seven days ago, and the expired login links. Returns their number.
    pub async fn delete_expired_sessions(&self) -> Result<u64, Error> {
        let now = self.clock.now();
        let ended_before = now.checked_sub(ENDED_SESSIONS_KEPT_FOR).unwrap_or(Timestamp::MIN);
        let mut deleted = 0;
        loop {
            let sessions = self.store.delete_expired_sessions(ended_before, SESSIONS_PER_STEP).await?;
            let links = self.store.delete_expired_login_links(now, SESSIONS_PER_STEP).await?;
            deleted += u64::from(sessions) + u64::from(links);
            if sessions.max(links) < SESSIONS_PER_STEP {
                return Ok(deleted);
            }
        }
    }

    /// Deletes the tracking links of orders that ended so long ago that the links are no longer valid. Checks each link
    /// once a day. Returns the number of checked links.
    pub async fn check_tracking_links(&self) -> Result<u64, Error> {
        let now = self.clock.now();
        // An order changes at its end or later, so its links are not valid after this time.
        let unchanged_since = now.checked_sub(TRACKED_AFTER_END).unwrap_or(Timestamp::MIN);
        let next_check_at = now.checked_add(LINK_CHECK_INTERVAL).unwrap_or(Timestamp::MAX);
        let mut checked = 0;
        loop {
            let step =
                self.store.check_tracking_links(now, unchanged_since, next_check_at, LINKS_PER_STEP).await?;
            checked += u64::from(step);
            if step < LINKS_PER_STEP {
                return Ok(checked);
            }
        }
    }

    /// Deletes the statistics that are older than [`STATISTICS_RETENTION`]. Returns the number of deleted rows.
    pub async fn delete_old_statistics(&self) -> Result<u64, Error> {
        let kept_since = self.clock.now().checked_sub(STATISTICS_RETENTION).unwrap_or(Timestamp::MIN);
        let mut deleted = 0;
        loop {
            let step = self.store.delete_old_statistics(Minute::of(kept_since), STATISTICS_PER_STEP).await?;
            deleted += u64::from(step);
            if step < STATISTICS_PER_STEP {
                return Ok(deleted);
            }
        }
    }

    /// Deletes all idempotency keys older than the retention. Returns their number.
    pub async fn delete_expired_keys(&self) -> Result<u64, Error> {
        let claimed_before =
            self.clock.now().checked_sub(self.maintenance.key_retention).unwrap_or(Timestamp::MIN);
        let mut deleted = 0;
        loop {
            let step = self.store.delete_expired_keys(claimed_before, KEYS_PER_STEP).await?;
            deleted += u64::from(step);
            self.metrics.keys_deleted.inc_by(u64::from(step));
            if step < KEYS_PER_STEP {
                return Ok(deleted);
            }
        }
    }
}
