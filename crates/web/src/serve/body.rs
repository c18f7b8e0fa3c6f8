//! Bodies of requests and responses, which count their bytes in memory.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::registry::ConnectionSlot;

/// Size below which the bytes of a body's frame are copied. A small frame may be a slice of a large buffer and would keep the
/// whole buffer in memory.
const MAX_COPIED: usize = 8 * 1024;
/// Memory of a frame besides its bytes: its entry in the list of frames, and the overhead of the allocator.
pub(super) const FRAME_COST: usize = 64;
/// Memory of a body besides its frames: the buffer into which the connection reads it.
const BODY_COST: usize = 8 * 1024;

/// A request in flight. Ends when its whole response is handed over to the connection, or with the connection.
pub(super) struct InFlight(pub(super) Arc<ConnectionSlot>);

impl InFlight {
    pub(super) fn begin(slot: &Arc<ConnectionSlot>) -> Self {
        slot.activity.begin_request();
        Self(Arc::clone(slot))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.release_received();
        self.0.activity.end_request();
    }
}

/// Error: the memory for request bodies is full, so the body is not received to its end.
#[derive(Debug, thiserror::Error)]
#[error("the server's memory for request bodies is full; retry later")]
pub(crate) struct BodyMemoryFull;

/// The body of a request. Bytes that it has passed on count as in memory until the response is complete.
struct Received {
    inner: Incoming,
    slot: Arc<ConnectionSlot>,
    /// Bytes in memory for this body, if the connection carries several.
    own: Option<Arc<AtomicUsize>>,
    /// Whether a frame has arrived.
    has_begun: bool,
    /// Whether the whole body has arrived.
    has_ended: bool,
}

impl Received {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.slot.activity.end_body();
        }
    }
}

/// Returns the same bytes, copied if they are few, so that they do not keep a larger buffer in memory.
fn compact(bytes: Bytes) -> Bytes {
    if bytes.len() < MAX_COPIED { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// Returns the body of a request on this connection. On a connection that carries several bodies, `own` counts the bytes of
/// this one.
pub(super) fn received(inner: Incoming, slot: &Arc<ConnectionSlot>, own: Option<Arc<AtomicUsize>>) -> Body {
    if inner.is_end_stream() {
        return Body::empty();
    }
    slot.activity.begin_body();
    Body::new(Received { inner, slot: Arc::clone(slot), own, has_begun: false, has_ended: false })
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let first = if std::mem::replace(&mut self.has_begun, true) { 0 } else { BODY_COST };
                let cost = first + FRAME_COST + frame.data_ref().map_or(0, Bytes::len);
                if let Some(own) = &self.own {
                    own.fetch_add(cost, Ordering::Relaxed);
                }
                if !self.slot.hold_received(cost) {
                    return Poll::Ready(Some(Err(BodyMemoryFull.into())));
                }
            }
            _ => self.end(),
        }
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(compact)).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.end();
    }
}

/// The body of a response.
pub(super) struct Sent {
    inner: Body,
    in_flight: InFlight,
    /// Whether the response has had its turn.
    has_begun: bool,
}

impl Sent {
    pub(super) const fn new(inner: Body, in_flight: InFlight) -> Self {
        Self { inner, in_flight, has_begun: false }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.has_begun {
            if !self.in_flight.0.activity.take_turn() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.has_begun = true;
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.in_flight.0.hold_unsent(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a small frame does not keep its original buffer, and that a large one is not copied.
    #[test]
    fn a_small_frame_has_its_own_buffer() {
        let buffer = Bytes::from(vec![b'a'; 2 * MAX_COPIED]);
        for (length, is_copied) in [(1, true), (MAX_COPIED - 1, true), (MAX_COPIED, false)] {
            let piece = compact(buffer.slice(..length));
            assert_eq!((piece.len(), piece.as_ptr() != buffer.as_ptr()), (length, is_copied));
        }
    }
}
