//! Tests of the reading ahead, on a byte stream whose reads the test states.

use std::{collections::VecDeque, net::IpAddr, task::Waker};

use axum::http::HeaderValue;
use futures::task::noop_waker;

use super::*;
use crate::{
    ConnectionMetrics, ServeOptions,
    serve::registry::{Refused, Registry},
};

/// A byte stream whose reads have these results; after them, reads wait.
#[derive(Default)]
struct Scripted {
    reads: VecDeque<Poll<io::Result<Vec<u8>>>>,
    can_write: bool,
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(Poll::Ready(read)) = self.reads.pop_front() else { return Poll::Pending };
        let mut bytes = read?;
        let rest = bytes.split_off(bytes.len().min(buffer.remaining()));
        buffer.put_slice(&bytes);
        if !rest.is_empty() {
            self.reads.push_front(Poll::Ready(Ok(rest)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.can_write { Poll::Ready(Ok(buffer.len())) } else { Poll::Pending }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Returns a byte stream with these reads, on a connection that sends an event stream.
fn streaming(reads: impl IntoIterator<Item = Poll<io::Result<Vec<u8>>>>) -> Attentive<Scripted> {
    let registry = Arc::new(Registry::new(ServeOptions::default(), ConnectionMetrics::default()));
    let slot = registry.enter(IpAddr::from([127, 0, 0, 1]));
    let slot = Arc::new(slot.unwrap_or_else(|Refused { reason }| panic!("no slot: {reason}")));
    slot.activity.begin_request();
    slot.activity.begin_stream();
    Attentive::new(Scripted { reads: reads.into_iter().collect(), can_write: true }, slot)
}

fn bytes(text: impl AsRef<[u8]>) -> Poll<io::Result<Vec<u8>>> {
    Poll::Ready(Ok(text.as_ref().to_vec()))
}

fn flush(stream: &mut Attentive<Scripted>, waker: &Waker) -> Poll<io::Result<()>> {
    Pin::new(stream).poll_flush(&mut Context::from_waker(waker))
}

/// Returns what a read of at most so many bytes returns.
fn read(stream: &mut Attentive<Scripted>, maximum: usize) -> Poll<Vec<u8>> {
    let mut space = vec![0; maximum];
    let mut buffer = ReadBuf::new(&mut space);
    let read = Pin::new(stream).poll_read(&mut Context::from_waker(&noop_waker()), &mut buffer);
    read.map(|read| read.map(|()| buffer.filled().to_vec()).unwrap())
}

/// Counts how often its task is woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl futures::task::ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Proves that bytes that were read ahead reach the next reads in their order, before later ones.
#[test]
fn bytes_that_were_read_ahead_are_read_next() {
    let mut stream = streaming([bytes("first"), bytes("second"), Poll::Pending, bytes("third")]);
    assert!(flush(&mut stream, &noop_waker()).is_ready());
    assert_eq!(read(&mut stream, 7), Poll::Ready(b"firstse".to_vec()));
    assert_eq!(read(&mut stream, 100), Poll::Ready(b"cond".to_vec()));
    assert_eq!(read(&mut stream, 100), Poll::Ready(b"third".to_vec()));
    assert_eq!(read(&mut stream, 100), Poll::Pending);
}

/// Proves that a protocol that waits for bytes is woken once for bytes that were read ahead, and that one that does not wait is
/// not woken.
#[test]
fn a_protocol_that_waits_is_woken() {
    let woken = Arc::<Woken>::default();
    let waker = futures::task::waker(Arc::clone(&woken));
    let mut stream = streaming([Poll::Pending, bytes("body"), Poll::Pending, bytes("more")]);
    assert_eq!(read(&mut stream, 100), Poll::Pending);
    assert!(flush(&mut stream, &waker).is_ready());
    assert_eq!(woken.count(), 1);
    assert!(flush(&mut stream, &waker).is_ready());
    assert_eq!(woken.count(), 1, "nobody has waited for these bytes");
    assert_eq!(read(&mut stream, 100), Poll::Ready(b"bodymore".to_vec()));
}

/// Proves that the bytes that are read ahead are limited, and that the rest stays in the socket.
#[test]
fn the_bytes_that_are_read_ahead_are_limited() {
    let sent: Vec<u8> = (0..3 * MAX_READ_AHEAD + 1).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let mut stream = streaming([bytes(&sent)]);
    for _ in 0..3 {
        assert!(flush(&mut stream, &noop_waker()).is_ready());
        assert_eq!(stream.ahead.len(), MAX_READ_AHEAD);
    }
    let mut received = Vec::new();
    while let Poll::Ready(part) = read(&mut stream, 1_000) {
        received.extend(part);
    }
    assert_eq!(received, sent);
}

/// Proves that writing fails after the end of the client's half and after a reset, only during an event stream, and also while
/// the socket accepts nothing.
#[test]
fn writing_fails_when_the_client_has_gone() {
    let reset = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
    for gone in [|| bytes(""), reset] {
        let mut stream = streaming([bytes("next"), gone()]);
        let Poll::Ready(Err(error)) = flush(&mut stream, &noop_waker()) else {
            panic!("the client has gone")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);

        let mut stalled = streaming([gone()]);
        stalled.inner.can_write = false;
        let (waker, buffers) = (noop_waker(), [io::IoSlice::new(b"a")]);
        let context = &mut Context::from_waker(&waker);
        assert!(matches!(Pin::new(&mut stalled).poll_write(context, b"a"), Poll::Ready(Err(_))));
        assert!(matches!(Pin::new(&mut stalled).poll_write_vectored(context, &buffers), Poll::Ready(Err(_))));

        let mut usual = streaming([gone()]);
        usual.slot.activity.end_request();
        assert!(matches!(flush(&mut usual, &noop_waker()), Poll::Ready(Ok(()))));
    }
    // The protocol itself has read the end, of a body that arrives during the event stream.
    let mut stream = streaming([bytes("")]);
    assert_eq!(read(&mut stream, 100), Poll::Ready(Vec::new()));
    assert!(matches!(flush(&mut stream, &noop_waker()), Poll::Ready(Err(_))));
}

/// Proves which responses are event streams.
#[test]
fn event_streams_are_recognized() {
    for (value, is_stream) in [
        ("text/event-stream", true),
        ("Text/Event-Stream; charset=utf-8", true),
        ("text/event-stream;", true),
        ("text/event-streams", false),
        ("application/json", false),
        ("", false),
    ] {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert_eq!(is_event_stream(&headers), is_stream, "{value}");
    }
    assert!(!is_event_stream(&HeaderMap::new()));
}
