//! Notifications that a shard's feed has new events: to the readers of the feed in this process, and to other
//! processes.
//!
//! A notification only saves the wait for the next poll: readers of the feed also find every event by polling, so a
//! lost notification does no harm.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_store::Store;
use tokio::sync::Notify;

/// Minimum interval between two announcements of a shard's events to other processes. Each announcement is a transaction of its own
/// on PostgreSQL, and the followers of other processes poll every 200 ms in any case.
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(100);

/// A notification per shard, for any number of listeners. A commit costs three atomic operations if nobody waits, and
/// starts at most one announcement to other processes per shard and 100 ms.
pub struct CommitSignals {
    store: Arc<dyn Store>,
    shards: Box<[Arc<ShardSignal>]>,
}

#[derive(Default)]
struct ShardSignal {
    /// Number of commits and hints so far.
    count: AtomicU64,
    /// Number of listeners that wait.
    waiting: AtomicUsize,
    notify: Notify,
    announcement: Announcement,
}

impl ShardSignal {
    /// Notifies all listeners.
    fn notify(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        // A listener registers first and reads the count then. So it is seen here, or it sees the new count.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.notify.notify_waiters();
        }
    }
}

/// The announcements of a shard's events to other processes. At most one is under way.
#[derive(Default)]
struct Announcement {
    /// Whether a commit is not announced yet.
    is_due: AtomicBool,
    /// Whether a task makes announcements.
    is_running: AtomicBool,
}

/// Resets [`Announcement::is_running`] when its task ends, also by a panic or with its runtime: the next commit then starts
/// another task.
struct Running<'a>(&'a Announcement);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::SeqCst);
    }
}

impl Announcement {
    /// Makes announcements until every commit is announced.
    async fn run(&self, store: &dyn Store, shard: usize) {
        loop {
            let running = Running(self);
            loop {
                tokio::time::sleep(ANNOUNCEMENT_INTERVAL).await;
                // Before the announcement, so that a commit during the announcement is announced again.
                self.is_due.store(false, Ordering::SeqCst);
                store.announce_events(shard).await;
                if !self.is_due.load(Ordering::SeqCst) {
                    break;
                }
            }
            drop(running);
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
        let shards = (0..store.shard_count()).map(|_| Arc::default()).collect();
        Arc::new(Self { store: Arc::clone(store), shards })
    }

    /// Records that a transaction of this process has changed orders of a shard. Needs a Tokio runtime.
    pub(crate) fn committed(&self, shard: usize) {
        let Some(signal) = self.shards.get(shard) else { return };
        signal.notify();
        let announcement = &signal.announcement;
        // The load keeps the flag's cache line shared while commits are frequent. A flag that is set is no reason to
        // return if no task runs: the task has panicked.
        if announcement.is_due.load(Ordering::SeqCst) && announcement.is_running.load(Ordering::SeqCst) {
            return;
        }
        announcement.is_due.store(true, Ordering::SeqCst);
        if announcement.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let (store, signal) = (Arc::clone(&self.store), Arc::clone(signal));
        tokio::spawn(async move { signal.announcement.run(&*store, shard).await });
    }

    /// Records that another process has announced events of a shard.
    pub(crate) fn announced(&self, shard: usize) {
        if let Some(signal) = self.shards.get(shard) {
            signal.notify();
        }
    }

    /// Returns a listener for a shard, given by index. It hears of everything after this call.
    pub fn listen(&self, shard: usize) -> CommitListener {
        let signal = self.shards.get(shard).map(Arc::clone);
        let heard = signal.as_ref().map_or(0, |signal| signal.count.load(Ordering::SeqCst));
        CommitListener { signal, heard: AtomicU64::new(heard) }
    }
}

impl std::fmt::Debug for CommitSignals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommitSignals").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// Listens for new events of a shard. Every listener hears of every commit.
pub struct CommitListener {
    /// `None` for a shard that does not exist.
    signal: Option<Arc<ShardSignal>>,
    /// The shard's count at the latest return of [`CommitListener::wait`].
    heard: AtomicU64,
}

/// Counts a listener that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl CommitListener {
    /// Waits until a transaction of this process has changed orders of the shard since the last return, or another
    /// process has announced events. One caller at a time. Never returns for a shard that does not exist.
    pub async fn wait(&self) {
        let Some(signal) = &self.signal else { return std::future::pending().await };
        loop {
            let mut notified = pin!(signal.notify.notified());
            notified.as_mut().enable();
            signal.waiting.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(&signal.waiting);
            let count = signal.count.load(Ordering::SeqCst);
            if self.heard.swap(count, Ordering::SeqCst) != count {
                return;
            }
            notified.await;
        }
    }
}

impl std::fmt::Debug for CommitListener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommitListener").field("heard", &self.heard).finish_non_exhaustive()
    }
}
