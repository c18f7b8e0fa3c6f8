//! What a connection is doing, and until when it may go on doing that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::Timeouts;

/// Time after which a connection is closed whose client takes nothing of a response, while the server stops.
const STALL_AT_STOP: Duration = Duration::from_secs(1);

/// No time.
const NEVER: u64 = u64::MAX;

/// What a connection is doing. Written by the connection's own task; the registry reads it from others.
#[derive(Debug)]
pub(super) struct Activity {
    /// Number of connections of the client's address; 0 if the connections of the address are not counted.
    pub(super) of_address: Arc<AtomicUsize>,
    born: Instant,
    timeouts: Timeouts,
    /// Requests whose head is complete and whose response is not.
    in_flight: AtomicU32,
    /// Requests that were answered.
    answered: AtomicU64,
    /// Whether a part of the next request's head has arrived.
    has_head_begun: AtomicBool,
    /// Since when the connection is between two requests, or the next head is arriving; in milliseconds since it was born.
    waiting_since: AtomicU64,
    /// Since when the body of a request is being received, in milliseconds; [`NEVER`] while none is.
    receiving_since: AtomicU64,
    /// Since when the client takes nothing of what is written, in milliseconds; [`NEVER`] while it does.
    stalled_since: AtomicU64,
    /// Bytes of the body of the request in flight.
    pub(super) received: AtomicUsize,
    /// Bytes of responses that the socket has not taken.
    pub(super) unsent: AtomicUsize,
    /// Whether the connection has to end at once.
    is_closed: AtomicBool,
    /// Whether the connection has to end after its requests.
    is_stopping: AtomicBool,
    /// Whether a response has begun since the connection's task was polled.
    has_had_turn: AtomicBool,
    waker: AtomicWaker,
    /// Its place among the open connections. Written under the registry's lock.
    pub(super) index: AtomicUsize,
}

/// How much a connection is worth keeping. The least is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It has never completed a request, and makes none.
    Unproven,
    /// Its client does not take what it asked for.
    Stalled,
    /// It is sending the body of its first request.
    ReceivingFirst,
    /// It waits for its next request.
    Idle,
    /// It is sending the body of a later request.
    Receiving,
    /// A request is being answered.
    Busy,
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts, of_address: Arc<AtomicUsize>) -> Self {
        Self {
            of_address,
            born: Instant::now(),
            timeouts,
            in_flight: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            has_head_begun: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            receiving_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            received: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            has_had_turn: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            index: AtomicUsize::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Bytes have arrived.
    pub(super) fn read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && !self.has_head_begun.swap(true, Ordering::Relaxed) {
            self.waiting_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The head of a request is complete.
    pub(super) fn begin_request(&self) {
        self.has_head_begun.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// The response to a request is complete, or given up.
    pub(super) fn end_request(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.waiting_since.store(self.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The connection's task is polled: the connection may begin one response.
    pub(super) fn begin_turn(&self) {
        self.has_had_turn.store(false, Ordering::Relaxed);
    }

    /// Returns whether the connection may begin a response in this poll of its task. Further responses wait for the next poll, so
    /// that a client that sends many requests at once delays others by one request each time.
    pub(super) fn take_turn(&self) -> bool {
        !self.has_had_turn.swap(true, Ordering::Relaxed)
    }

    /// The body of a request begins to arrive.
    pub(super) fn begin_body(&self) {
        self.receiving_since.store(self.now(), Ordering::Relaxed);
    }

    /// The body of the request is complete, or not wanted any more.
    pub(super) fn end_body(&self) {
        self.receiving_since.store(NEVER, Ordering::Relaxed);
    }

    /// What the body that is being received costs: its bytes so far, times the milliseconds that it has taken. `None` while none is
    /// received.
    pub(super) fn cost_of_body(&self) -> Option<u128> {
        let since = self.receiving_since.load(Ordering::Relaxed);
        let taken = self.now().saturating_sub(since).max(1);
        (since != NEVER).then(|| self.received.load(Ordering::Relaxed) as u128 * u128::from(taken))
    }

    /// The socket takes nothing at the moment. Returns whether it did before.
    pub(super) fn stall(&self) -> bool {
        // Only the first one counts: later ones find a time there.
        self.stalled_since.compare_exchange(NEVER, self.now(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The socket has taken something.
    pub(super) fn progress(&self) {
        self.stalled_since.store(NEVER, Ordering::Relaxed);
    }

    /// When the connection is to be closed if nothing changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = |since: u64, limit: Duration| self.born + Duration::from_millis(since) + limit;
        let stalled_since = self.stalled_since.load(Ordering::Relaxed);
        let stall =
            if self.is_stopping() { self.timeouts.stall.min(STALL_AT_STOP) } else { self.timeouts.stall };
        let stalled = (stalled_since != NEVER).then(|| at(stalled_since, stall));
        let is_new = self.answered.load(Ordering::Relaxed) == 0;
        let limit = if is_new || self.has_head_begun.load(Ordering::Relaxed) {
            self.timeouts.head
        } else {
            self.timeouts.idle
        };
        let waiting = (self.in_flight.load(Ordering::Relaxed) == 0)
            .then(|| at(self.waiting_since.load(Ordering::Relaxed), limit));
        [stalled, waiting].into_iter().flatten().min()
    }

    /// How much the connection is worth keeping, and since when.
    pub(super) fn worth(&self) -> (Worth, Instant) {
        let since = |milliseconds: u64| self.born + Duration::from_millis(milliseconds);
        let stalled_since = self.stalled_since.load(Ordering::Relaxed);
        let waiting_since = since(self.waiting_since.load(Ordering::Relaxed));
        let is_new = self.answered.load(Ordering::Relaxed) == 0;
        if stalled_since != NEVER {
            (Worth::Stalled, since(stalled_since))
        } else if self.in_flight.load(Ordering::Relaxed) == 0 {
            (if is_new { Worth::Unproven } else { Worth::Idle }, waiting_since)
        } else if self.receiving_since.load(Ordering::Relaxed) != NEVER {
            (if is_new { Worth::ReceivingFirst } else { Worth::Receiving }, waiting_since)
        } else {
            (Worth::Busy, waiting_since)
        }
    }

    /// Whether no request is in flight and all responses are taken.
    pub(super) fn is_at_rest(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
            && self.unsent.load(Ordering::Relaxed) == 0
            && self.stalled_since.load(Ordering::Relaxed) == NEVER
    }

    /// Has the connection end at once.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Has the connection end after its requests.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the connection has to end at once.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Whether the connection has to end after its requests.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Has a task be woken when the connection has to end.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }
}
