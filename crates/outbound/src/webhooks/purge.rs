//! Purging deleted endpoints from the directory.
//!
//! A deleted endpoint keeps its row, so that the sender of each shard learns of the deletion. The row can go when no
//! sender needs it any more: the known revision of every shard includes the deletion, so each shard has forgotten the
//! endpoint, and every later session of the shard begins after the deletion. A session that reads the endpoints without
//! the row does not know the endpoint, and sends nothing to it.

use std::time::Duration;

use dabba_store::{ConsumerName, Part, StoreError, WebhookRevision};
use tokio::time::sleep;

use super::{
    limits::{
        FIRST_PURGE_MAX, FIRST_PURGE_MIN, KEEP_DELETED, PURGE_INTERVAL, PURGE_PATIENCE, PURGE_RETRY,
        PURGE_STEP,
    },
    sender::WebhookSender,
    session::limited,
};

/// Returns the time from the start of a process to its first purge. It is random, so that processes that start together
/// do not purge together. `random` is any 64 random bits.
pub(super) fn first_pause(random: u64) -> Duration {
    let spread = FIRST_PURGE_MAX.saturating_sub(FIRST_PURGE_MIN);
    let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
    FIRST_PURGE_MIN + Duration::from_millis(random % spread_ms.max(1))
}

impl WebhookSender {
    /// Purges deleted endpoints until `stop` is ready. The part is stuck while purging fails.
    pub(super) async fn purge_repeatedly(&self, part: &Part, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut pause = self.first_purge;
        loop {
            let purge = async {
                sleep(pause).await;
                let purged = self.purge_with_retries();
                part.watch(PURGE_PATIENCE, "the purge of deleted webhook endpoints", purged).await;
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = purge => {}
            }
            part.succeeded();
            pause = PURGE_INTERVAL;
        }
    }

    /// Purges, and retries until it succeeds.
    async fn purge_with_retries(&self) {
        let mut is_first = true;
        while let Err(error) = self.purge().await {
            if is_first {
                tracing::warn!(%error, retry_after = ?PURGE_RETRY, "deleted webhook endpoints cannot be purged; retrying");
            } else {
                tracing::debug!(%error, "deleted webhook endpoints cannot be purged");
            }
            is_first = false;
            sleep(PURGE_RETRY).await;
        }
    }

    /// Purges the endpoints that were deleted long ago and that every shard has forgotten.
    async fn purge(&self) -> Result<(), StoreError> {
        let store = &self.ports.store;
        let Some(known) = self.known_everywhere().await? else { return Ok(()) };
        let Ok(deleted_until) = self.ports.clock.now().checked_sub(KEEP_DELETED) else { return Ok(()) };
        loop {
            let purged = limited(store.purge_webhook_endpoints(known, deleted_until, PURGE_STEP)).await?;
            if purged < PURGE_STEP {
                return Ok(());
            }
        }
    }

    /// Returns the revision up to which every shard has carried out the changes of endpoints; `None` if a shard has
    /// carried out none.
    async fn known_everywhere(&self) -> Result<Option<WebhookRevision>, StoreError> {
        let (store, group) = (&self.ports.store, ConsumerName::webhooks());
        let mut known = WebhookRevision::MAX;
        for shard in 0..store.shard_count() {
            let Some(stored) = limited(store.feed_position(shard, &group, None)).await? else {
                return Ok(None);
            };
            known = known.min(stored.known);
        }
        Ok(Some(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that first purges lie between their limits, and apart from each other.
    #[test]
    fn first_purges_are_spread() {
        let pauses = [0, 100_000, 239_999, u64::MAX].map(first_pause);
        for pause in pauses {
            assert!((FIRST_PURGE_MIN..=FIRST_PURGE_MAX).contains(&pause), "{pause:?}");
        }
        assert_eq!(pauses[1].saturating_sub(pauses[0]), Duration::from_secs(100));
    }
}
