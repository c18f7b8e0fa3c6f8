//! The events between a position and its reader.

use std::collections::VecDeque;

use dabba_domain::Timestamp;
use dabba_store::{FeedPlace, FeedPosition, Incarnation};

/// The events that a reader has read and whose deliveries are not all decided. Events without deliveries take no place.
pub(super) struct Window {
    incarnation: Incarnation,
    read_to: FeedPosition,
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
}

struct Entry {
    /// The position of the reader before the event.
    before: FeedPosition,
    at: Timestamp,
    /// Number of undecided deliveries.
    undecided: usize,
}

impl Window {
    pub(super) fn new(place: FeedPlace) -> Self {
        Self { incarnation: place.incarnation, read_to: place.position, entries: VecDeque::new(), first: 0 }
    }

    /// Returns the position of the reader.
    pub(super) const fn read_to(&self) -> FeedPosition {
        self.read_to
    }

    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns the number of events from the first undecided one on.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the time of the first undecided event.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.front().map(|entry| entry.at)
    }

    /// Returns the position that a checkpoint may write: before the first undecided event.
    pub(super) fn decided(&self) -> FeedPlace {
        let position = self.entries.front().map_or(self.read_to, |entry| entry.before);
        FeedPlace { incarnation: self.incarnation, position }
    }

    /// Moves the reader over events without deliveries.
    pub(super) fn advance(&mut self, incarnation: Incarnation, to: FeedPosition) {
        self.incarnation = incarnation;
        self.read_to = self.read_to.max(to);
    }

    /// Moves the reader over an event with deliveries, and returns the number of its entry.
    pub(super) fn push(&mut self, to: FeedPosition, at: Timestamp, deliveries: usize) -> u64 {
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { before: self.read_to, at, undecided: deliveries });
        self.read_to = to;
        number
    }

    /// Returns the number of the first entry, if there is one.
    pub(super) fn front(&self) -> Option<u64> {
        (!self.entries.is_empty()).then_some(self.first)
    }

    /// Returns the position before an event with an undecided delivery.
    pub(super) fn before(&self, number: u64) -> FeedPosition {
        self.index(number)
            .and_then(|index| self.entries.get(index))
            .map_or(self.read_to, |entry| entry.before)
    }

    /// Counts one delivery of an event as decided.
    pub(super) fn decide(&mut self, number: u64) {
        let index = self.index(number);
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.undecided = entry.undecided.saturating_sub(1);
        }
        while self.entries.front().is_some_and(|entry| entry.undecided == 0) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(sequence: u64) -> FeedPosition {
        FeedPosition { transaction: 0, sequence }
    }

    /// Proves that the position stays before the oldest undecided event, in whatever order deliveries are decided.
    #[test]
    fn the_position_is_before_the_oldest_undecided_event() {
        let mut window =
            Window::new(FeedPlace { incarnation: Incarnation::new(1), position: FeedPosition::START });
        let first = window.push(at(1), Timestamp::UNIX_EPOCH, 2);
        window.advance(Incarnation::new(1), at(2));
        let second = window.push(at(3), Timestamp::UNIX_EPOCH, 1);
        window.decide(second);
        window.decide(first);
        assert_eq!((window.decided().position, window.before(first)), (at(0), at(0)));
        window.decide(first);
        assert_eq!((window.decided().position, window.len()), (at(3), 0));
        let third = window.push(at(7), Timestamp::UNIX_EPOCH, 1);
        assert_eq!((window.decided().position, window.before(third)), (at(3), at(3)));
    }
}
