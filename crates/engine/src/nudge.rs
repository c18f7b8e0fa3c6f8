//! Wakes this process's workers when there is something to do at once.
//!
//! A worker would find it the next time that it looks; this saves the wait. Nothing relies on it.

use dabba_domain::order::{TaskQueue, TaskSpec};
use tokio::sync::Notify;

use crate::Engine;

/// One bell for each queue.
#[derive(Default)]
pub(crate) struct Nudges {
    deadlines: Notify,
    payments: Notify,
}

impl Nudges {
    const fn bell(&self, queue: TaskQueue) -> &Notify {
        match queue {
            TaskQueue::Deadlines => &self.deadlines,
            TaskQueue::Payments => &self.payments,
        }
    }

    /// Wakes the workers of these queues. One that is not waiting just now will not wait the next time.
    pub(crate) fn nudge(&self, queues: &[TaskQueue]) {
        for queue in queues {
            self.bell(*queue).notify_one();
        }
    }

    /// Returns when there may be something to do in a queue.
    pub(crate) async fn nudged(&self, queue: TaskQueue) {
        self.bell(queue).notified().await;
    }
}

impl Engine {
    /// The queues in which these tasks could be begun now.
    pub(crate) fn due_queues(&self, tasks: &[TaskSpec]) -> Vec<TaskQueue> {
        if tasks.is_empty() {
            return Vec::new();
        }
        let now = self.now();
        let is_due = |queue| tasks.iter().any(|spec| spec.run_at <= now && spec.task.kind().queue() == queue);
        TaskQueue::ALL.iter().copied().filter(|queue| is_due(*queue)).collect()
    }

    /// Has the workers look for what is due, in this process: the time may have moved.
    pub fn nudge_workers(&self) {
        self.nudges.nudge(TaskQueue::ALL);
    }
}
