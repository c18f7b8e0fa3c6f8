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
    announcement: Arc<Announcement>,
}

/// The announcements of a shard's events to other processes. At most one is under way.
#[derive(Default)]
struct Announcement {
    /// Whether a commit is not announced yet.
    is_due: AtomicBool,
    /// Whether a task makes announcements.
    is_running: AtomicBool,
}

impl Announcement {
    /// Makes announcements until every commit is announced.
    async fn run(&self, store: Arc<dyn Store>, shard: usize) {
        loop {
            tokio::time::sleep(ANNOUNCEMENT_INTERVAL).await;
            // Before the announcement, so that a commit during the announcement is announced again.
            self.is_due.store(false, Ordering::SeqCst);
            store.announce_events(shard).await;
            if self.is_due.load(Ordering::SeqCst) {
                continue;
            }
            self.is_running.store(false, Ordering::SeqCst);
            // A commit after the load above has started no task.
            if !self.is_due.load(Ordering::SeqCst) || self.is_running.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
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
        let announcement = &signal.announcement;
        // The load keeps the flag's cache line shared while commits are frequent.
        if announcement.is_due.load(Ordering::Relaxed) {
            return;
        }
        announcement.is_due.store(true, Ordering::SeqCst);
        if announcement.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let (store, announcement) = (Arc::clone(&self.store), Arc::clone(announcement));
        tokio::spawn(async move { announcement.run(store, shard).await });
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
