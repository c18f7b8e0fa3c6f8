//! The socket of a connection, which reports what is read and what cannot be written.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::registry::ConnectionSlot;

/// Maximum time for which bytes are read and discarded after the end of the last response.
const LINGER: Duration = Duration::from_secs(2);
/// Maximum number of bytes that are discarded.
const LINGER_BYTES: usize = 1024 * 1024;
/// Number of bytes that are discarded at once.
const LINGER_STEP: usize = 4_096;

/// A byte stream that reports its activity to the connection's slot.
pub(super) struct Watched<S> {
    inner: S,
    slot: Arc<ConnectionSlot>,
    /// Present once everything is sent.
    lingering: Option<Lingering>,
}

/// Remaining time and bytes of the discarding.
struct Lingering {
    time: Pin<Box<Sleep>>,
    left: usize,
}

impl Lingering {
    fn begin() -> Self {
        Self { time: Box::pin(tokio::time::sleep(LINGER)), left: LINGER_BYTES }
    }
}

impl<S> Watched<S> {
    pub(super) const fn new(inner: S, slot: Arc<ConnectionSlot>) -> Self {
        Self { inner, slot, lingering: None }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.slot.activity.stall(),
            Poll::Ready(_) => self.slot.activity.progress(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.slot.activity.read();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, buffer);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Called when everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if flushed.is_ready() {
            self.slot.sent();
        }
        flushed
    }

    /// Closes the sending half, and then reads and discards what the client still sends, for a limited time. Closing a socket
    /// with unread bytes resets the connection, and the client might lose the response.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
        }
        let Lingering { time, left } = this.lingering.get_or_insert_with(Lingering::begin);
        let mut scratch = [0; LINGER_STEP];
        while *left > 0 && time.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.inner).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *left = left.saturating_sub(buffer.filled().len()),
                // The client has closed its half, or the connection is broken.
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
