//! Purging deleted endpoints from the directory.
//!
//! A deleted endpoint keeps its row, so that the sender of each shard learns of the deletion. The row can go when no
//! sender needs it any more: the known revision of every shard includes the deletion, so each shard has forgotten the
//! endpoint, and every later session of the shard begins after the deletion. A session that reads the endpoints without
//! the row does not know the endpoint, and sends nothing to it.

use dabba_store::{ConsumerName, Part, StoreError, WebhookRevision};
use tokio::time::sleep;

use super::{
    limits::{KEEP_DELETED, PURGE_INTERVAL, PURGE_STEP},
    sender::WebhookSender,
    session::limited,
};

impl WebhookSender {
    /// Purges deleted endpoints until `stop` is ready.
    pub(super) async fn purge_repeatedly(&self, part: &Part, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep(PURGE_INTERVAL) => {}
            }
            match self.purge().await {
                Ok(()) => part.succeeded(),
                Err(error) => part.refused(&error.to_string()),
            }
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
