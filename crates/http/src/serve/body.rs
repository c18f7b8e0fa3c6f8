//! Bodies of requests and responses, which count the bytes that are held for them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::registry::Place;

/// A request that is being answered. Ends when its response has been handed over, or with the connection.
pub(super) struct InFlight(pub(super) Arc<Place>);

impl InFlight {
    pub(super) fn begin(place: &Arc<Place>) -> Self {
        place.activity.begin_request();
        Self(Arc::clone(place))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.release_received();
        self.0.activity.end_request();
    }
}

/// Why the body of a request is not received any more.
#[derive(Debug, thiserror::Error)]
#[error("the server holds as many bytes of request bodies as it may")]
pub(crate) struct NoRoom;

/// The body of a request. What it has given out counts as held until the request is answered.
struct Received {
    inner: Incoming,
    place: Arc<Place>,
}

/// The body of a request on this connection.
pub(super) fn received(inner: Incoming, place: &Arc<Place>) -> Body {
    if inner.is_end_stream() {
        return Body::empty();
    }
    place.activity.begin_body();
    Body::new(Received { inner, place: Arc::clone(place) })
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
                if !self.place.hold_received(frame.data_ref().map_or(0, Bytes::len)) {
                    return Poll::Ready(Some(Err(NoRoom.into())));
                }
            }
            _ => self.place.activity.end_body(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
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
        self.place.activity.end_body();
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
