//! The events between a follower and one stream.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Item, buffer::Buffer, event::LiveEvent};

/// Maximum number of events that wait for a stream. A stream that reads more slowly ends as lagging.
pub const MAX_WAITING: usize = 256;

/// Reason why the server ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client reads more slowly than events arrive, or the position of the stream is no longer valid.
    Lagging,
    /// The server shuts down.
    Shutdown,
    /// The caller's credential has expired or was revoked, or the caller may no longer receive the events.
    SessionEnded,
    /// Something has changed that every order of a board shows.
    BoardChanged,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Lagging, Self::Shutdown, Self::SessionEnded, Self::BoardChanged];

    /// Returns the reason's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lagging => "lagging",
            Self::Shutdown => "shutdown",
            Self::SessionEnded => "session_ended",
            Self::BoardChanged => "board_changed",
        }
    }
}

/// Where a stream receives what the process sends to it.
pub(super) trait Receiver: fmt::Debug + Send + Sync {
    /// Takes an event. Returns false if the stream has ended.
    fn push(&self, event: &Arc<LiveEvent>) -> bool;

    /// Requests a heartbeat.
    fn beat(&self);

    /// Ends the stream. The first reason stays. What waits is dropped: the client resumes or begins anew, and after the
    /// end of a session it receives nothing.
    fn end(&self, reason: EndReason);
}

/// What a mailbox delivers.
#[derive(Debug)]
pub(super) enum Delivery {
    /// An event.
    Event(Arc<LiveEvent>),
    /// It is time for a heartbeat.
    Beat,
    /// The stream ends.
    End(EndReason),
}

/// A bounded buffer of events. It allocates nothing until the first event arrives.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Buffer<VecDeque<Arc<LiveEvent>>>);

impl Receiver for Mailbox {
    /// A stream whose mailbox is full ends as lagging.
    fn push(&self, event: &Arc<LiveEvent>) -> bool {
        self.0.put(|events| {
            if events.len() >= MAX_WAITING {
                return Err(EndReason::Lagging);
            }
            events.push_back(Arc::clone(event));
            Ok(())
        })
    }

    fn beat(&self) {
        self.0.beat();
    }

    fn end(&self, reason: EndReason) {
        self.0.end(reason);
    }
}

impl Mailbox {
    /// Ends the stream whose end is `end`. Returns its last item; `None` if it has ended before.
    pub(super) fn end_stream(&self, end: &mut Option<EndReason>, reason: EndReason) -> Option<Item> {
        if end.is_some() {
            return None;
        }
        self.end(reason);
        *end = Some(reason);
        Some(Item::End(reason))
    }

    /// Returns the reason for which the stream ends, if it does.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.0.with(|_, end| end)
    }

    /// Returns whether no event waits and none was dropped at the end of the stream.
    pub(super) fn is_empty(&self) -> bool {
        self.0.with(|events, end| end.is_none() && events.is_empty())
    }

    /// Returns the next delivery.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Delivery> {
        let next = self.0.poll(context, |events, is_beat_due| {
            let Some(event) = events.pop_front() else {
                return std::mem::take(is_beat_due).then_some(Delivery::Beat);
            };
            if events.is_empty() {
                // An idle stream keeps no buffer.
                *events = VecDeque::new();
            }
            Some(Delivery::Event(event))
        });
        next.map(|delivery| delivery.unwrap_or_else(Delivery::End))
    }

    /// Returns the next event if one waits.
    pub(super) fn take(&self) -> Option<Arc<LiveEvent>> {
        self.0.with(|events, _| events.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a stream that has ended never counts as up to date: its waiting events were dropped (I10).
    #[test]
    fn an_ended_mailbox_is_not_empty() {
        for reason in EndReason::ALL {
            let mailbox = Mailbox::default();
            assert!(mailbox.is_empty(), "nothing was dropped yet");
            mailbox.end(reason);
            assert!(!mailbox.is_empty(), "{reason:?}");
        }
    }
}
