//! Ends an event stream whose client has gone.
//!
//! The protocol HTTP/1.1 reads nothing while it sends a response, so that a client that closes its sending half after its request
//! still gets the response. An event stream has no end that such a client could wait for: its client has gone. Without this
//! module, the server notices that only when the client's kernel rejects a heartbeat. Until then the stream counts in the limits,
//! so a few reloads of a page would use them up.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::{HeaderMap, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::registry::ConnectionSlot;

/// Maximum number of bytes that are read ahead during an event stream, such as the next requests of a client that pipelines.
/// While so many bytes wait, the server reads no more, and notices the end of the client only when it cannot write.
const MAX_READ_AHEAD: usize = 4 * 1024;
/// Maximum number of bytes that are read at once.
const READ_AHEAD_STEP: usize = 1024;

/// Media type of event streams.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// Returns whether the response with these headers is an event stream.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(EVENT_STREAM)
    })
}

/// A byte stream that reads ahead while the response in progress is an event stream. If the client has closed its sending half
/// or has reset the connection, writing then fails, which ends the connection.
pub(super) struct Attentive<S> {
    inner: S,
    slot: Arc<ConnectionSlot>,
    /// Bytes that were read ahead. They belong to the next reads.
    ahead: Vec<u8>,
    /// Whether the protocol waits for bytes: its last read found none.
    is_read_pending: bool,
    /// Whether the client has closed its sending half, or has reset the connection.
    has_ended: bool,
}

impl<S> Attentive<S> {
    pub(super) const fn new(inner: S, slot: Arc<ConnectionSlot>) -> Self {
        Self { inner, slot, ahead: Vec::new(), is_read_pending: false, has_ended: false }
    }
}

impl<S: AsyncRead + Unpin> Attentive<S> {
    /// Fails if the response in progress is an event stream whose client has gone. Otherwise the task is woken when the client
    /// sends bytes or goes. The protocol flushes whenever the connection's task is polled, so it calls this function each time.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.slot.activity.is_streaming() {
            return Ok(());
        }
        let before = self.ahead.len();
        let mut scratch = [0; READ_AHEAD_STEP];
        while !self.has_ended && self.ahead.len() < MAX_READ_AHEAD {
            let step = READ_AHEAD_STEP.min(MAX_READ_AHEAD - self.ahead.len());
            let mut buffer = ReadBuf::new(&mut scratch[..step]);
            match Pin::new(&mut self.inner).poll_read(context, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.ahead.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) => self.has_ended = true,
            }
        }
        if self.has_ended {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client of an event stream has closed its half of the connection",
            ));
        }
        // The protocol waits for the socket, which has nothing more.
        if self.ahead.len() > before && std::mem::take(&mut self.is_read_pending) {
            context.waker().wake_by_ref();
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Attentive<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..count]);
            this.ahead.drain(..count);
            if this.ahead.is_empty() {
                // Most connections never read ahead again.
                this.ahead = Vec::new();
            }
            // These bytes may begin a head, whose time begins now.
            this.slot.activity.read();
            return Poll::Ready(Ok(()));
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        this.is_read_pending = read.is_pending();
        this.has_ended |= match &read {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
        };
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Attentive<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, buffer);
        // The flush that follows a write checks the client.
        if written.is_pending() {
            self.check(context)?;
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        if written.is_pending() {
            self.check(context)?;
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if !matches!(flushed, Poll::Ready(Err(_))) {
            self.check(context)?;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
