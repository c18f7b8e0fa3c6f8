//! HTTP/2: its limits, and the bodies of responses that share a connection.
//!
//! On an HTTP/1.1 connection, one response waits for its client, and the socket shows whether the client reads. On an HTTP/2
//! connection, a client can read one response and leave another one unread for ever, so each response counts its own
//! unsent bytes, from its beginning until the protocol has written them to the socket.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, Uri, header},
};
use hyper::body::{Buf, Frame, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};

use super::{MAX_HEAD_BYTES, drive::Serving, registry::ConnectionSlot};

/// Maximum number of requests in flight on an HTTP/2 connection. A client that opens more waits, or gets the error
/// `REFUSED_STREAM`, after which it may retry.
pub const MAX_STREAMS: u32 = 100;
/// Maximum number of bytes of one request's body that an HTTP/2 client sends ahead, before the server reads them.
pub const STREAM_WINDOW: u32 = 64 * 1024;
/// Maximum number of bytes of all bodies of an HTTP/2 connection that the client sends ahead. Larger than the window of one body,
/// so that a body that the server does not read leaves room for another one.
pub const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// Interval of pings on an HTTP/2 connection, which detect that the client has disappeared.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for the answer to a ping, after which the connection is closed.
pub const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of bytes of one response that wait in an HTTP/2 connection beyond one frame of the response.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Maximum number of streams that the client may reset before the server has seen their requests.
const MAX_PENDING_RESETS: usize = 20;
/// Maximum number of streams that the server may reset because of errors of the client.
const MAX_ERROR_RESETS: usize = 128;

/// Returns the builder of HTTP/2 connections.
pub(super) fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Gives a request the form that it has over HTTP/1.1: the host is in the header `Host`, and not in the target. So routes, and
/// the checks of hosts and origins, see no difference.
pub(super) fn move_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        // The authority replaces the header (RFC 9113, section 8.3.1).
        request.headers_mut().insert(header::HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
}

/// The responses of a connection that are not sent completely.
#[derive(Debug, Default)]
pub(super) struct Responses(Mutex<Vec<Arc<Response>>>);

/// A response that is not sent completely.
#[derive(Debug)]
struct Response {
    slot: Arc<ConnectionSlot>,
    /// Bytes that the socket has not accepted.
    unsent: AtomicUsize,
    /// Time at which the socket accepted bytes of the response last, or at which its first bytes began to wait; in milliseconds
    /// of the connection.
    progressed: AtomicU64,
    /// Whether no further bytes will be added.
    is_complete: AtomicBool,
}

impl Response {
    fn hold(&self, bytes: usize) {
        if bytes > 0 {
            if self.unsent.fetch_add(bytes, Ordering::Relaxed) == 0 {
                self.progress();
            }
            self.slot.hold_unsent(bytes);
        }
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.unsent.fetch_sub(bytes, Ordering::Relaxed);
            self.slot.release_unsent_part(bytes);
        }
    }

    fn progress(&self) {
        self.progressed.store(self.slot.activity.now(), Ordering::Relaxed);
    }
}

impl Responses {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Response>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, slot: &Arc<ConnectionSlot>) -> Arc<Response> {
        let response = Arc::new(Response {
            slot: Arc::clone(slot),
            unsent: AtomicUsize::new(0),
            progressed: AtomicU64::new(0),
            is_complete: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&response));
        response
    }

    /// Forgets the responses that are sent. Returns the time since which the client has read nothing of one of the others.
    fn unread_since(&self) -> Option<u64> {
        let mut responses = self.lock();
        responses
            .retain(|it| !it.is_complete.load(Ordering::Acquire) || it.unsent.load(Ordering::Relaxed) > 0);
        let unread = responses.iter().filter(|response| response.unsent.load(Ordering::Relaxed) > 0);
        unread.map(|response| response.progressed.load(Ordering::Relaxed)).min()
    }
}

/// A connection whose responses are checked after each poll.
pub(super) struct Checked<'a, C> {
    pub(super) connection: C,
    pub(super) responses: &'a Responses,
    pub(super) slot: &'a ConnectionSlot,
}

impl<C: Serving> Serving for Checked<'_, C> {
    type Output = C::Output;

    // Its client must learn which requests the server has not processed.
    const SAYS_GOODBYE: bool = true;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.poll(context);
        self.slot.activity.set_unread_since(self.responses.unread_since());
        polled
    }

    fn shut_down(&mut self) {
        self.connection.shut_down();
    }
}

/// A request in flight on a connection that carries several. Ends when its whole response is handed over to the connection, or
/// is abandoned.
pub(super) struct InFlight {
    slot: Arc<ConnectionSlot>,
    /// Bytes in memory for the request's body.
    received: Arc<AtomicUsize>,
    is_complete: bool,
}

impl InFlight {
    pub(super) fn begin(slot: &Arc<ConnectionSlot>) -> Self {
        slot.activity.begin_request();
        Self { slot: Arc::clone(slot), received: Arc::default(), is_complete: false }
    }

    /// Returns the counter of the bytes of the request's body.
    pub(super) fn received(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.received)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.slot.release_received_part(self.received.swap(0, Ordering::Relaxed));
        self.slot.activity.end_request();
        if !self.is_complete {
            self.slot.abandon();
        }
    }
}

/// The body of a response.
pub(super) struct Sent {
    inner: Body,
    in_flight: InFlight,
    response: Arc<Response>,
    /// Bytes that count as unsent, and that the connection has not taken yet. A body of known size is in memory as a whole from
    /// its beginning.
    ahead: usize,
}

impl Sent {
    pub(super) fn new(inner: Body, in_flight: InFlight, responses: &Responses) -> Self {
        let response = responses.add(&in_flight.slot);
        let ahead = inner.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        response.hold(ahead);
        Self { inner, in_flight, response, ahead }
    }
}

impl HttpBody for Sent {
    type Data = Unsent;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Unsent>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let counted = self.ahead.min(bytes);
            self.ahead -= counted;
            self.response.hold(bytes - counted);
        }
        if frame.is_none() {
            self.in_flight.is_complete = true;
        }
        let response = &self.response;
        let counted = |bytes| Unsent { bytes, response: Arc::clone(response) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.in_flight.is_complete |= self.inner.is_end_stream();
        self.response.release(self.ahead);
        self.response.is_complete.store(true, Ordering::Release);
    }
}

/// Bytes of a response, which count as unsent until the socket has accepted them.
pub(super) struct Unsent {
    bytes: Bytes,
    response: Arc<Response>,
}

impl Buf for Unsent {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.response.release(count);
        self.response.progress();
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.response.release(self.bytes.remaining());
    }
}
