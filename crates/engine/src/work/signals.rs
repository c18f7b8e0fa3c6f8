//! Wake-up of workers when a task is due at once. The workers of this process are notified, or those of other processes
//! if this process has no workers.
//!
//! Notifications only save the wait for the next poll: workers also find every task by polling, so a lost notification
//! does no harm.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_domain::task::TaskQueue;
use tokio::sync::Notify;

use super::Work;

/// Minimum interval between two announcements of a queue to other processes. One announcement covers all tasks written
/// in between.
pub(crate) const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(10);

/// A notification per queue.
#[derive(Default)]
pub(crate) struct WorkerSignals {
    queues: [QueueSignal; TaskQueue::ALL.len()],
    /// Number of workers in this process.
    workers: AtomicUsize,
}

#[derive(Default)]
struct QueueSignal {
    notify: Notify,
    /// Whether an announcement to other processes is pending.
    is_announced: AtomicBool,
}

/// Registration of a worker of this process. The worker counts until this value is dropped.
pub(crate) struct Presence(Arc<WorkerSignals>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WorkerSignals {
    const fn signal(&self, queue: TaskQueue) -> &QueueSignal {
        &self.queues[queue as usize]
    }

    /// Wakes the workers of these queues. If no worker is waiting, the next wait returns at once.
    pub(crate) fn wake(&self, queues: &[TaskQueue]) {
        for queue in queues {
            self.signal(*queue).notify.notify_one();
        }
    }

    /// Registers a worker of this process.
    pub(crate) fn listen(self: &Arc<Self>) -> Presence {
        self.workers.fetch_add(1, Ordering::Relaxed);
        Presence(Arc::clone(self))
    }

    /// Returns whether this process has workers.
    pub(crate) fn has_workers(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }

    /// Returns the flag that says whether an announcement of a queue to other processes is pending.
    pub(crate) const fn announcement(&self, queue: TaskQueue) -> &AtomicBool {
        &self.signal(queue).is_announced
    }

    /// Waits until a queue may contain a due task.
    pub(crate) async fn wait_for_wake(&self, queue: TaskQueue) {
        self.signal(queue).notify.notified().await;
    }
}

impl Work {
    /// Makes the workers of this process poll at once, because the clock may have been moved.
    pub fn wake_workers(&self) {
        self.signals.wake(TaskQueue::ALL);
    }
}
