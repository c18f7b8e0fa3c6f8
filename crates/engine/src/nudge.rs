//! Wakes workers when there is something to do at once: those of this process, or, where it has none, those of
//! others.
//!
//! A worker would find it the next time that it looks; this saves the wait. Nothing relies on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_domain::order::{TaskQueue, TaskSpec};
use tokio::sync::Notify;

use crate::Engine;

/// How often others are told of tasks, at most: what is written in between they find together.
pub(crate) const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(10);

/// One bell for each queue.
#[derive(Default)]
pub(crate) struct Nudges {
    deadlines: Bell,
    payments: Bell,
    /// Workers of this process.
    workers: AtomicUsize,
}

#[derive(Default)]
struct Bell {
    rings: Notify,
    /// Whether others are about to be told.
    is_announced: AtomicBool,
}

/// A worker of this process, for as long as this lives.
pub(crate) struct Presence(Arc<Nudges>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Nudges {
    const fn bell(&self, queue: TaskQueue) -> &Bell {
        match queue {
            TaskQueue::Deadlines => &self.deadlines,
            TaskQueue::Payments => &self.payments,
        }
    }

    /// Wakes the workers of these queues. One that is not waiting just now will not wait the next time.
    pub(crate) fn nudge(&self, queues: &[TaskQueue]) {
        for queue in queues {
            self.bell(*queue).rings.notify_one();
        }
    }

    /// Notes that a worker of this process listens.
    pub(crate) fn listen(self: &Arc<Self>) -> Presence {
        self.workers.fetch_add(1, Ordering::Relaxed);
        Presence(Arc::clone(self))
    }

    /// Whether this process has workers.
    pub(crate) fn has_workers(&self) -> bool {
        self.workers.load(Ordering::Relaxed) > 0
    }

    /// Whether other processes are about to be told of tasks of a queue.
    pub(crate) const fn announcement(&self, queue: TaskQueue) -> &AtomicBool {
        &self.bell(queue).is_announced
    }

    /// Returns when there may be something to do in a queue.
    pub(crate) async fn nudged(&self, queue: TaskQueue) {
        self.bell(queue).rings.notified().await;
    }
}

impl Engine {
    /// The queues in which these tasks could be begun now.
    pub(crate) fn due_queues(&self, tasks: &[TaskSpec]) -> Vec<TaskQueue> {
        if tasks.is_empty() {
            return Vec::new();
        }
        let now = self.now();
        let is_due = |queue| {
            let mut kinds = tasks.iter().filter(|spec| spec.run_at <= now).map(|spec| spec.task.kind());
            kinds.any(|kind| kind.queue() == queue && !kind.is_for_people())
        };
        TaskQueue::ALL.iter().copied().filter(|queue| is_due(*queue)).collect()
    }

    /// Has the workers look for what is due, in this process: the time may have moved.
    pub fn nudge_workers(&self) {
        self.nudges.nudge(TaskQueue::ALL);
    }
}
