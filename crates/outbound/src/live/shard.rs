//! What this process knows of a shard's feed: the position up to which events are published, the recent events, and the
//! streams that receive the next ones.
//!
//! One lock guards all of it. A stream joins under the lock, so it receives exactly the events after the position at
//! which it joins: none is missing, and none is duplicated. The lock is never held while anything waits.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dabba_store::{FeedEnd, FeedPosition, Incarnation};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{
    event::LiveEvent,
    index::{Entry, Index, Topic},
    mailbox::{EndReason, Mailbox},
    ring::Ring,
};

/// Maximum number of streams and boards of a shard that read from the store at the same time.
pub const MAX_READS: usize = 16;

/// Maximum number of events of a read of the feed, in quick reads. No reader requests more.
const MAX_PAGE: u32 = 1_024;

/// A shard.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Index of the shard in the store.
    pub(crate) index: usize,
    /// Name of the shard.
    pub(crate) name: String,
    state: Mutex<State>,
    /// Reads of streams and boards. Each shard has its own, so that a shard that hangs delays no other shard.
    reads: Semaphore,
    /// Maximum number of events of the next read of the feed. Large events make reads slow, so a read that exceeds its timeout
    /// reduces the number.
    max_page: AtomicU32,
    /// Notified when a consumer makes the follower read the feed.
    pub(super) wake: Notify,
    /// Notified when the follower has begun to follow.
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while nobody consumes the feed, and until the shard has answered.
    followed: Option<Followed>,
    /// The latest end of the feed that this process knows. Kept while nobody consumes the feed.
    known: Option<FeedEnd>,
    streams: Index,
    consumers: usize,
}

#[derive(Debug)]
struct Followed {
    incarnation: Incarnation,
    /// Every event up to this position is published.
    position: FeedPosition,
    recent: Ring,
    /// Time at which the end of the feed was read last.
    caught_up_at: Instant,
}

impl Followed {
    const fn end(&self) -> FeedEnd {
        FeedEnd { incarnation: self.incarnation, position: self.position }
    }
}

/// Result of joining.
#[derive(Debug)]
pub(super) enum Join {
    /// The stream receives every event after these.
    Joined(VecDeque<Arc<LiveEvent>>),
    /// The stream must first read the events up to about this position from the store.
    Behind(FeedPosition),
    /// The shard is not followed at the moment.
    NotFollowed,
    /// The database has another incarnation.
    Expired,
}

impl Shard {
    pub(super) fn new(index: usize, name: String) -> Arc<Self> {
        let (state, wake, begun) = (Mutex::default(), Notify::new(), Notify::new());
        let (reads, max_page) = (Semaphore::new(MAX_READS), AtomicU32::new(MAX_PAGE));
        Arc::new(Self { index, name, state, reads, max_page, wake, begun })
    }

    /// Returns how many events the next read of the feed may request.
    pub(super) fn max_page(&self) -> u32 {
        self.max_page.load(Ordering::Relaxed)
    }

    /// Records that a read of this many events exceeded its timeout. The next read requests a quarter, at least one event.
    pub(super) fn read_too_slowly(&self, events: u32) {
        self.max_page.fetch_min((events / 4).max(1), Ordering::Relaxed);
    }

    /// Records that a read was in time. The next read may request twice as many events.
    pub(super) fn read_in_time(&self) {
        let max_page = self.max_page();
        if max_page < MAX_PAGE {
            self.max_page.store(max_page.saturating_mul(2).min(MAX_PAGE), Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the shard has fewer than [`MAX_READS`] reads. The read counts until the permit is dropped.
    pub(super) async fn begin_read(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.reads.acquire().await.ok()
    }

    /// Counts a consumer, for which the shard is followed.
    pub(super) fn consume(self: &Arc<Self>) -> Consumer {
        self.lock().consumers += 1;
        self.wake.notify_one();
        Consumer(Arc::clone(self))
    }

    pub(super) fn has_consumers(&self) -> bool {
        self.lock().consumers > 0
    }

    /// Waits until the shard is followed.
    pub(super) async fn until_followed(&self) {
        loop {
            let begun = self.begun.notified();
            if self.lock().followed.is_some() {
                return;
            }
            begun.await;
        }
    }

    /// Returns the position up to which events are published; `None` if the shard is not followed.
    pub(super) fn followed(&self) -> Option<FeedEnd> {
        self.lock().followed.as_ref().map(Followed::end)
    }

    /// Returns the latest end of the feed that this process knows.
    pub(crate) fn known(&self) -> Option<FeedEnd> {
        self.lock().known
    }

    /// Records an end of the feed that the store has returned.
    pub(crate) fn learn(&self, end: FeedEnd) {
        self.lock().learn(end);
    }

    /// Forgets the known end of the feed if it has this incarnation, because the database has another one now.
    pub(crate) fn forget(&self, incarnation: Incarnation) {
        self.lock().known.take_if(|known| known.incarnation == incarnation);
    }

    /// Begins to follow at an end of the feed.
    pub(super) fn begin(&self, end: FeedEnd) {
        let mut state = self.lock();
        state.learn(end);
        let FeedEnd { incarnation, position } = end;
        state.followed.get_or_insert_with(|| Followed {
            incarnation,
            position,
            recent: Ring::new(position),
            caught_up_at: Instant::now(),
        });
        drop(state);
        self.begun.notify_waiters();
    }

    /// Publishes the next events. Returns false if the database has another incarnation than before: positions then
    /// have another meaning, so every stream ends, and nothing is followed.
    pub(super) fn publish(&self, incarnation: Incarnation, events: &[Arc<LiveEvent>]) -> bool {
        let mut state = self.lock();
        let State { followed, streams, .. } = &mut *state;
        let Some(followed) = followed.as_mut().filter(|followed| followed.incarnation == incarnation) else {
            streams.end_all(EndReason::Lagging);
            state.followed = None;
            state.known = None;
            return false;
        };
        for event in events {
            followed.position = event.event.position;
            followed.recent.push(event);
            streams.route(event);
        }
        let end = followed.end();
        state.learn(end);
        true
    }

    /// Records that the end of the feed was read: every event until now is published.
    pub(super) fn caught_up(&self) {
        if let Some(followed) = &mut self.lock().followed {
            followed.caught_up_at = Instant::now();
        }
    }

    /// Returns whether the end of the feed was read within this time.
    pub(super) fn is_caught_up(&self, within: Duration) -> bool {
        let state = self.lock();
        state.followed.as_ref().is_some_and(|followed| followed.caught_up_at.elapsed() < within)
    }

    /// Stops following if nobody consumes the feed. Returns whether nobody does.
    pub(super) fn stop_if_unused(&self) -> bool {
        let mut state = self.lock();
        let is_unused = state.consumers == 0;
        if is_unused {
            state.followed = None;
        }
        is_unused
    }

    /// Adds a stream that has every event up to `entry.after` under this incarnation.
    pub(super) fn join(&self, incarnation: Incarnation, topic: Topic, entry: Entry) -> Join {
        let mut state = self.lock();
        let State { followed, streams, .. } = &mut *state;
        let Some(followed) = followed else { return Join::NotFollowed };
        if followed.incarnation != incarnation {
            return Join::Expired;
        }
        let Some(recent) = followed.recent.after(entry.after) else { return Join::Behind(followed.position) };
        let wants =
            |event: &&Arc<LiveEvent>| topic.contains(event) && entry.types.contains(&event.event.name);
        let missed = recent.filter(wants).map(Arc::clone).collect();
        streams.insert(topic, entry);
        Join::Joined(missed)
    }

    /// Adds a stream that reads the events before its first one elsewhere. Returns false if the shard is not followed.
    pub(super) fn join_now(&self, topic: Topic, entry: Entry) -> bool {
        let mut state = self.lock();
        let is_followed = state.followed.is_some();
        if is_followed {
            state.streams.insert(topic, entry);
        }
        is_followed
    }

    /// Removes a stream.
    pub(super) fn leave(&self, topic: Topic, id: u64) {
        self.lock().streams.remove(topic, id);
    }

    /// Returns whether the recent events reach back to this position, so that a stream that joins there reads nothing.
    pub(super) fn is_recent(&self, end: FeedEnd) -> bool {
        self.lock().followed.as_ref().is_some_and(|followed| {
            followed.incarnation == end.incarnation && followed.recent.after(end.position).is_some()
        })
    }

    /// Returns the position up to which a joined stream has received every event; `None` while events wait in its
    /// mailbox.
    pub(super) fn position_of(&self, mailbox: &Mailbox) -> Option<FeedEnd> {
        let state = self.lock();
        state.followed.as_ref().filter(|_| mailbox.is_empty()).map(Followed::end)
    }
}

impl State {
    fn learn(&mut self, end: FeedEnd) {
        match &mut self.known {
            Some(known) if known.incarnation == end.incarnation => {
                known.position = known.position.max(end.position);
            }
            known => *known = Some(end),
        }
    }
}

/// A consumer of a shard's feed. The shard is followed until every consumer is dropped.
#[derive(Debug)]
pub(super) struct Consumer(Arc<Shard>);

impl Drop for Consumer {
    fn drop(&mut self) {
        self.0.lock().consumers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that reads that exceed their timeout request fewer events, down to a single one, and that quick reads request more
    /// again.
    #[test]
    fn slow_reads_request_fewer_events() {
        let shard = Shard::new(0, "shard".to_owned());
        let mut requested = Vec::new();
        for _ in 0..5 {
            let limit = shard.max_page().min(128);
            requested.push(limit);
            shard.read_too_slowly(limit);
        }
        assert_eq!(requested, [128, 32, 8, 2, 1]);
        for _ in 0..7 {
            shard.read_in_time();
        }
        assert_eq!(shard.max_page(), 128);
        for _ in 0..30 {
            shard.read_in_time();
        }
        assert_eq!(shard.max_page(), MAX_PAGE);
    }
}
