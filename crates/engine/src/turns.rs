//! Turns: for each key, one caller at a time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The queues of callers, by key. A queue exists as long as it has callers.
///
/// Callers get their turns in the order in which they asked, and nothing else wakes them, so that equal simulations
/// have equal orders. Rejected: the `compute` methods of `moka`, whose waiting and housekeeping depend on the real time.
pub(crate) struct Turns<K: Copy + Eq + Hash> {
    queues: Mutex<HashMap<K, Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Number of callers that wait or have the turn.
    callers: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<K: Copy + Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<K: Copy + Eq + Hash> Turns<K> {
    /// Runs a future while no other caller has the turn of the same key. Callers of other keys do not wait.
    pub(crate) async fn run<T>(&self, key: K, work: impl Future<Output = T>) -> T {
        let place = Place::new(self, key);
        let _turn = place.turn.lock().await;
        work.await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a caller in a queue. Dropped, also with a cancelled caller, it leaves the queue.
struct Place<'a, K: Copy + Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<'a, K: Copy + Eq + Hash> Place<'a, K> {
    fn new(turns: &'a Turns<K>, key: K) -> Self {
        let mut queues = turns.lock();
        let queue = queues.entry(key).or_default();
        queue.callers += 1;
        let turn = Arc::clone(&queue.turn);
        drop(queues);
        Self { turns, key, turn }
    }
}

impl<K: Copy + Eq + Hash> Drop for Place<'_, K> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.callers -= 1;
            if queue.callers == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join_all};
    use tokio::sync::oneshot;

    use super::*;

    /// Proves that callers of a key run one after the other, in the order in which they asked, and that a caller of
    /// another key does not wait.
    #[tokio::test]
    async fn callers_of_a_key_take_turns_in_their_order() {
        let (turns, done) = (Turns::default(), Mutex::new(Vec::new()));
        let (finish, finished) = oneshot::channel();
        let mut first = Box::pin(turns.run(1, async {
            finished.await.unwrap();
            done.lock().unwrap().push(0);
        }));
        assert!(first.as_mut().now_or_never().is_none());
        let mut others = Box::pin(join_all((1..5).map(|number| {
            let done = &done;
            turns.run(1, async move { done.lock().unwrap().push(number) })
        })));
        assert!(others.as_mut().now_or_never().is_none());
        assert_eq!(turns.run(2, async { "another key" }).now_or_never(), Some("another key"));
        finish.send(()).unwrap();
        futures::join!(first, others);
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert!(turns.lock().is_empty(), "a queue without callers stays in memory");
    }

    /// Proves that a caller that stops waiting, and one that stops during its turn, block nobody and leave nothing.
    #[tokio::test]
    async fn a_cancelled_caller_leaves_its_queue() {
        let turns = Turns::default();
        let mut holder = Box::pin(turns.run(1, std::future::pending::<()>()));
        assert!(holder.as_mut().now_or_never().is_none());
        let mut waiting = Box::pin(turns.run(1, async {}));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut last = Box::pin(turns.run(1, async { "done" }));
        assert!(last.as_mut().now_or_never().is_none());
        drop(waiting);
        drop(holder);
        assert_eq!(last.await, "done");
        assert!(turns.lock().is_empty(), "a queue without callers stays in memory");
    }
}
