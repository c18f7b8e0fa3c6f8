//! Notifications that a shard's feed has new events: to the follower of the feed in this process, and to other
//! processes.
//!
//! A notification only saves the wait for the next poll: followers also find every event by polling, so a lost
//! notification does no harm.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_store::Store;
use tokio::sync::Notify;

/// Minimum interval between two announcements of a shard's events to other processes. Each announcement is a transaction of its own
/// on PostgreSQL, and the followers of other processes poll every 200 ms in any case.
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(100);

/// A notification per shard. A commit costs two atomic operations if nobody waits, and starts at most one announcement
/// to other processes per shard and 100 ms.
pub struct CommitSignals {
    store: Arc<dyn Store>,
    shards: Box<[ShardSignal]>,
}

#[derive(Default)]
struct ShardSignal {
    notify: Notify,
    /// Whether an announcement to other processes is pending. Shared with the task that makes the announcement.
    is_announced: Arc<AtomicBool>,
}

impl CommitSignals {
    /// Returns the signals for the shards of a store.
    pub(crate) fn new(store: &Arc<dyn Store>) -> Arc<Self> {
        let shards = (0..store.shard_count()).map(|_| ShardSignal::default()).collect();
        Arc::new(Self { store: Arc::clone(store), shards })
    }

    /// Records that a transaction of this process has changed orders of a shard. Needs a Tokio runtime.
    pub(crate) fn committed(&self, shard: usize) {
        let Some(signal) = self.shards.get(shard) else { return };
        signal.notify.notify_one();
        // The load keeps the flag's cache line shared while commits are frequent.
        if signal.is_announced.load(Ordering::Relaxed) || signal.is_announced.swap(true, Ordering::Relaxed) {
            return;
        }
        let (store, is_announced) = (Arc::clone(&self.store), Arc::clone(&signal.is_announced));
        tokio::spawn(async move {
            tokio::time::sleep(ANNOUNCEMENT_INTERVAL).await;
            // Before the announcement, so that a commit during the announcement is announced again.
            is_announced.store(false, Ordering::Relaxed);
            store.announce_events(shard).await;
        });
    }

    /// Waits until a transaction of this process has changed orders of a shard since the last return. One caller per
    /// shard may wait: of several callers, one is notified. Never returns for a shard that does not exist.
    pub async fn wait(&self, shard: usize) {
        match self.shards.get(shard) {
            Some(signal) => signal.notify.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for CommitSignals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommitSignals").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}
