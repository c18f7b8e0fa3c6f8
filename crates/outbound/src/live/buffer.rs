//! The buffer of a stream: what waits for its one reader, whether a heartbeat is due, and the end of the stream.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::EndReason;

/// See the module. `W` is what waits.
#[derive(Debug, Default)]
pub(super) struct Buffer<W>(Mutex<State<W>>);

#[derive(Debug, Default)]
struct State<W> {
    waiting: W,
    is_beat_due: bool,
    end: Option<EndReason>,
    waker: Option<Waker>,
}

impl<W: Default> Buffer<W> {
    /// Adds to what waits, and wakes the reader. If `add` returns an error, the stream ends for this reason. Returns false if the
    /// stream has ended.
    pub(super) fn put(&self, add: impl FnOnce(&mut W) -> Result<(), EndReason>) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        if let Err(reason) = add(&mut state.waiting) {
            Self::finish(state, reason);
            return false;
        }
        Self::wake(state);
        true
    }

    /// Requests a heartbeat.
    pub(super) fn beat(&self) {
        let mut state = self.lock();
        state.is_beat_due = true;
        Self::wake(state);
    }

    /// Ends the stream. The first reason stays. What waits is dropped.
    pub(super) fn end(&self, reason: EndReason) {
        Self::finish(self.lock(), reason);
    }

    /// Returns the result of `work` on what waits and on the reason for which the stream ends, if it does.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut W, Option<EndReason>) -> T) -> T {
        let mut state = self.lock();
        let end = state.end;
        work(&mut state.waiting, end)
    }

    /// Returns what `next` takes: something that waits, or the heartbeat, whose mark it then removes. The end of the stream is an
    /// error and precedes both.
    pub(super) fn poll<D>(
        &self,
        context: &Context<'_>,
        next: impl FnOnce(&mut W, &mut bool) -> Option<D>,
    ) -> Poll<Result<D, EndReason>> {
        let mut state = self.lock();
        if let Some(reason) = state.end {
            return Poll::Ready(Err(reason));
        }
        let State { waiting, is_beat_due, waker, .. } = &mut *state;
        if let Some(delivery) = next(waiting, is_beat_due) {
            return Poll::Ready(Ok(delivery));
        }
        match waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn finish(mut state: MutexGuard<'_, State<W>>, reason: EndReason) {
        if state.end.is_none() {
            state.end = Some(reason);
            state.waiting = W::default();
            Self::wake(state);
        }
    }

    fn wake(mut state: MutexGuard<'_, State<W>>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
