//! State of a connection, and its deadlines.

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

/// Timeout of clients that read nothing of a response, while the server stops.
const STALL_AT_STOP: Duration = Duration::from_secs(1);

/// Stands for no time.
const NEVER: u64 = u64::MAX;

/// State of a connection. The connection's own task writes it; the registry reads it from other tasks.
#[derive(Debug)]
pub(super) struct Activity {
    /// Number of connections of the client's address; 0 if connections of the address are not counted.
    pub(super) of_address: Arc<AtomicUsize>,
    born: Instant,
    timeouts: Timeouts,
    /// Number of requests whose head is complete and whose response is not.
    in_flight: AtomicU32,
    /// Number of completed requests.
    completed: AtomicU64,
    /// Whether a part of the next request's head has arrived.
    has_head_begun: AtomicBool,
    /// Time at which the wait for the next request began, or at which the next head began to arrive; in milliseconds since
    /// `born`.
    waiting_since: AtomicU64,
    /// Time at which the body of a request began to arrive, in milliseconds since `born`; [`NEVER`] if no body is arriving.
    receiving_since: AtomicU64,
    /// Time at which the client stopped reading, in milliseconds since `born`; [`NEVER`] while the client reads.
    stalled_since: AtomicU64,
    /// Number of bodies that are arriving.
    receiving: AtomicU32,
    /// Time since which the client of a multiplexed connection has read nothing of one of its responses, in milliseconds since
    /// `born`; [`NEVER`] if it reads them all.
    unread_since: AtomicU64,
    /// Number of requests whose response was abandoned, on a multiplexed connection.
    abandoned: AtomicU64,
    /// Whether the handshake of TLS is in progress.
    is_handshaking: AtomicBool,
    /// Whether the connection carries several requests at once (HTTP/2).
    is_multiplexed: AtomicBool,
    /// Bytes in memory for the bodies of the requests in flight.
    pub(super) received: AtomicUsize,
    /// Bytes of responses that the socket has not accepted.
    pub(super) unsent: AtomicUsize,
    /// Time at which the first of these bytes began to wait, in milliseconds since `born`. Has a meaning only while there are
    /// such bytes.
    unsent_since: AtomicU64,
    /// Whether the connection must end at once.
    is_closed: AtomicBool,
    /// Whether the connection must end after its requests.
    is_stopping: AtomicBool,
    /// Whether a response has begun since the connection's task was last polled.
    has_had_turn: AtomicBool,
    /// Whether the response in progress is an event stream. Never on a multiplexed connection.
    is_streaming: AtomicBool,
    waker: AtomicWaker,
    /// Index among the open connections. Written under the registry's lock.
    pub(super) index: AtomicUsize,
}

/// Priority for keeping a connection. The connections with the lowest priority are closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeepPriority {
    /// The connection has never completed a request, and has none in flight.
    Unproven,
    /// The client has read nothing of a response for at least [`Timeouts::min_stall`].
    Stalled,
    /// The client is sending the body of the connection's first request.
    ReceivingFirst,
    /// The connection waits for its next request.
    Idle,
    /// The client is sending the body of a later request.
    Receiving,
    /// The server is processing a request, or the client is reading a response.
    Busy,
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts, of_address: Arc<AtomicUsize>) -> Self {
        Self {
            of_address,
            born: Instant::now(),
            timeouts,
            in_flight: AtomicU32::new(0),
            completed: AtomicU64::new(0),
            has_head_begun: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            receiving_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            receiving: AtomicU32::new(0),
            unread_since: AtomicU64::new(NEVER),
            abandoned: AtomicU64::new(0),
            is_handshaking: AtomicBool::new(false),
            is_multiplexed: AtomicBool::new(false),
            received: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            unsent_since: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            has_had_turn: AtomicBool::new(false),
            is_streaming: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            index: AtomicUsize::new(0),
        }
    }

    /// Returns the milliseconds since the connection began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Records that the handshake of TLS begins. Until it ends, it has a timeout of its own.
    pub(super) fn begin_handshake(&self) {
        self.is_handshaking.store(true, Ordering::Relaxed);
    }

    /// Records that the handshake of TLS is complete. The time for the first head begins.
    pub(super) fn end_handshake(&self) {
        self.is_handshaking.store(false, Ordering::Relaxed);
        self.has_head_begun.store(false, Ordering::Relaxed);
        self.waiting_since.store(self.now(), Ordering::Relaxed);
    }

    /// Records that the connection carries several requests at once.
    pub(super) fn multiplex(&self) {
        self.is_multiplexed.store(true, Ordering::Relaxed);
    }

    /// Returns whether the connection carries several requests at once.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed.load(Ordering::Relaxed)
    }

    /// Records that bytes have arrived. On a multiplexed connection, they need not belong to a request: so the wait for a later
    /// request has the timeout of idle connections, however many bytes arrive, and the first request that of a head.
    pub(super) fn read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0
            && !self.is_multiplexed()
            && !self.is_handshaking.load(Ordering::Relaxed)
            && !self.has_head_begun.swap(true, Ordering::Relaxed)
        {
            self.waiting_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records that the head of a request is complete.
    pub(super) fn begin_request(&self) {
        self.has_head_begun.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the response to a request is complete or abandoned.
    pub(super) fn end_request(&self) {
        self.is_streaming.store(false, Ordering::Relaxed);
        self.completed.fetch_add(1, Ordering::Relaxed);
        self.waiting_since.store(self.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that the response in progress is an event stream, on a connection that is not multiplexed.
    pub(super) fn begin_stream(&self) {
        self.is_streaming.store(true, Ordering::Relaxed);
    }

    /// Returns whether the response in progress is an event stream, on a connection that is not multiplexed.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }

    /// Records that the connection's task is polled: the connection may begin one response.
    pub(super) fn begin_turn(&self) {
        self.has_had_turn.store(false, Ordering::Relaxed);
    }

    /// Returns whether the connection may begin a response in this poll of its task. Further responses wait for the next poll, so
    /// that a client that pipelines many requests delays other clients by only one request at a time.
    pub(super) fn take_turn(&self) -> bool {
        !self.has_had_turn.swap(true, Ordering::Relaxed)
    }

    /// Records that the body of a request begins to arrive.
    pub(super) fn begin_body(&self) {
        if self.receiving.fetch_add(1, Ordering::Relaxed) == 0 {
            self.receiving_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records that the body of a request is complete or no longer needed. Called once for each body that began.
    pub(super) fn end_body(&self) {
        if self.receiving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.receiving_since.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Records that a response is abandoned before its end. Returns whether the client abandons too many: more than `allowed`,
    /// and more than it lets complete.
    pub(super) fn abandon(&self, allowed: u64) -> bool {
        let abandoned = self.abandoned.fetch_add(1, Ordering::Relaxed) + 1;
        let ended = self.completed.load(Ordering::Relaxed);
        abandoned > allowed.saturating_add(ended.saturating_sub(abandoned))
    }

    /// Sets the time since which the client has read nothing of one of its responses; `None` if it reads them all.
    pub(super) fn set_unread_since(&self, since: Option<u64>) {
        self.unread_since.store(since.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Returns the time since which the client has read nothing, or nothing of one of its responses; [`NEVER`] while it reads.
    fn stalled_since(&self) -> u64 {
        self.stalled_since.load(Ordering::Relaxed).min(self.unread_since.load(Ordering::Relaxed))
    }

    /// Returns the cost of the arriving body: its bytes so far, multiplied by the milliseconds since it began. `None` if no body
    /// is arriving.
    pub(super) fn cost_of_body(&self) -> Option<u128> {
        let since = self.receiving_since.load(Ordering::Relaxed);
        let taken = self.now().saturating_sub(since).max(1);
        (since != NEVER).then(|| self.received.load(Ordering::Relaxed) as u128 * u128::from(taken))
    }

    /// Counts bytes of a response that the socket has not accepted.
    pub(super) fn hold_unsent(&self, bytes: usize) {
        if self.unsent.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.unsent_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records that the socket has accepted all bytes of responses. The wait for the next request begins.
    pub(super) fn end_unsent(&self) {
        self.waiting_since.store(self.now(), Ordering::Relaxed);
    }

    /// Returns the cost of the responses that the socket has not accepted: their bytes, multiplied by the milliseconds since the
    /// first of them began to wait. `None` if there are none.
    pub(super) fn cost_of_responses(&self) -> Option<u128> {
        let bytes = self.unsent.load(Ordering::Relaxed);
        let taken = self.now().saturating_sub(self.unsent_since.load(Ordering::Relaxed)).max(1);
        (bytes > 0).then(|| bytes as u128 * u128::from(taken))
    }

    /// Returns whether no request is in flight and no response is being sent.
    fn is_waiting(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0 && self.unsent.load(Ordering::Relaxed) == 0
    }

    /// Records that the socket accepts nothing at the moment.
    pub(super) fn stall(&self) {
        // Only the first call sets the time.
        let _ = self.stalled_since.compare_exchange(NEVER, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records that the socket has accepted bytes.
    pub(super) fn progress(&self) {
        self.stalled_since.store(NEVER, Ordering::Relaxed);
    }

    /// Returns the time at which the connection is closed if nothing changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = |since: u64, limit: Duration| self.born + Duration::from_millis(since) + limit;
        let stalled_since = self.stalled_since();
        let stall =
            if self.is_stopping() { self.timeouts.stall.min(STALL_AT_STOP) } else { self.timeouts.stall };
        let stalled = (stalled_since != NEVER).then(|| at(stalled_since, stall));
        let is_new = self.completed.load(Ordering::Relaxed) == 0;
        let limit = if self.is_handshaking.load(Ordering::Relaxed) {
            self.timeouts.handshake
        } else if is_new || self.has_head_begun.load(Ordering::Relaxed) {
            self.timeouts.head
        } else {
            self.timeouts.idle
        };
        let waiting = self.is_waiting().then(|| at(self.waiting_since.load(Ordering::Relaxed), limit));
        [stalled, waiting].into_iter().flatten().min()
    }

    /// Returns the priority for keeping the connection, and the time since which it has been in this state.
    pub(super) fn keep_priority(&self) -> (KeepPriority, Instant) {
        let since = |milliseconds: u64| self.born + Duration::from_millis(milliseconds);
        let stalled_since = self.stalled_since();
        let waiting_since = since(self.waiting_since.load(Ordering::Relaxed));
        let is_new = self.completed.load(Ordering::Relaxed) == 0;
        if self.is_stalled(stalled_since) {
            (KeepPriority::Stalled, since(stalled_since))
        } else if self.is_waiting() {
            (if is_new { KeepPriority::Unproven } else { KeepPriority::Idle }, waiting_since)
        } else if self.receiving_since.load(Ordering::Relaxed) != NEVER {
            (if is_new { KeepPriority::ReceivingFirst } else { KeepPriority::Receiving }, waiting_since)
        } else {
            (KeepPriority::Busy, waiting_since)
        }
    }

    /// Returns whether a client that has read nothing since this time may lose its connection to others.
    fn is_stalled(&self, since: u64) -> bool {
        let min = u64::try_from(self.timeouts.min_stall.as_millis()).unwrap_or(NEVER);
        since != NEVER && self.now().saturating_sub(since) >= min
    }

    /// Returns whether no request is in flight and the client has read all responses.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_waiting() && self.stalled_since() == NEVER
    }

    /// Ends the connection at once.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Ends the connection after its requests.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Returns whether the connection must end at once.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Returns whether the connection must end after its requests.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Registers the task to wake when the connection must end.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }
}
