//! Search for the position of a time in the feed of one shard.
//!
//! The feed is read by position, and no index finds a position by time. The times of the events ascend approximately,
//! so a binary search finds the position with one read of one event per step. The positions between two events are no
//! events: a read after such a position returns the next event.

use dabba_domain::Timestamp;
use dabba_store::{FeedEnd, FeedPosition, Store};

use crate::Error;

/// Maximum number of reads of a search. The search halves the transactions (at most 64 steps), then the numbers of the
/// events within one transaction (at most 64 steps); each half begins and ends with a few steps more.
const MAX_PROBES: u32 = 140;

/// Returns the position in the feed of a shard, whose end is given, before the first event at or after a time; see
/// [`Search::found`].
pub(crate) async fn position_since(
    store: &dyn Store,
    shard: usize,
    end: FeedEnd,
    target: Timestamp,
) -> Result<FeedPosition, Error> {
    let mut search = Search::new(end.position, target);
    while let Some(after) = search.probe() {
        let page = store.feed(shard, after, 1).await?;
        if page.incarnation != end.incarnation {
            // The database was replaced meanwhile.
            return Err(Error::Unavailable);
        }
        search.learn(after, page.events.first().map(|event| (event.position, event.at)));
    }
    Ok(search.found())
}

/// A binary search under way. Needs the result of each read.
struct Search {
    target: Timestamp,
    /// Every event up to here is before the target.
    low: FeedPosition,
    /// The event after this position is not before the target, or there was none.
    high: FeedPosition,
    probes: u32,
}

impl Search {
    /// Begins a search for the position before the first event at or after a time. `end` is the end of the feed.
    const fn new(end: FeedPosition, target: Timestamp) -> Self {
        Self { target, low: FeedPosition::START, high: end, probes: 0 }
    }

    /// Returns the position after which to read one event; `None` if the search has ended.
    fn probe(&mut self) -> Option<FeedPosition> {
        let (low, high) = (self.low, self.high);
        if self.probes == MAX_PROBES {
            return None;
        }
        self.probes += 1;
        let distance = high.transaction.saturating_sub(low.transaction);
        let probe = match distance {
            0 => {
                let sequence = low.sequence + high.sequence.saturating_sub(low.sequence) / 2;
                FeedPosition { sequence, ..low }
            }
            1 => FeedPosition { transaction: high.transaction, sequence: 0 },
            _ => FeedPosition { transaction: low.transaction + distance / 2, sequence: 0 },
        };
        // Between the last event of a transaction and the next transaction there is nothing to halve.
        (probe < high).then_some(probe)
    }

    /// Records the event after a position; `None` if there is none.
    fn learn(&mut self, after: FeedPosition, next: Option<(FeedPosition, Timestamp)>) {
        match next {
            Some((position, at)) if at < self.target && position <= self.high => self.low = position,
            _ => self.high = after,
        }
    }

    /// Returns the position: every event up to it is before the time. The event after it is at or after the time, unless
    /// the search ended within the events of one transaction.
    const fn found(&self) -> FeedPosition {
        self.low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(second: u64) -> Timestamp {
        Timestamp::from_second(second.try_into().unwrap()).unwrap()
    }

    /// Runs a search over a feed. Returns the position and the number of reads.
    fn search(feed: &[(FeedPosition, Timestamp)], target: Timestamp) -> (FeedPosition, u32) {
        let end = feed.last().map_or(FeedPosition::START, |(position, _)| *position);
        let mut search = Search::new(end, target);
        let mut reads = 0;
        while let Some(after) = search.probe() {
            reads += 1;
            search.learn(after, feed.iter().find(|(position, _)| *position > after).copied());
        }
        (search.found(), reads)
    }

    /// Returns a feed from steps of transaction, number and time.
    fn feed(steps: &[(u64, u64, u64)]) -> Vec<(FeedPosition, Timestamp)> {
        let (mut transaction, mut sequence, mut at) = (0, 0, 0);
        let step = |(transactions, sequences, seconds): &(u64, u64, u64)| {
            (transaction, sequence, at) =
                (transaction + transactions, sequence + 1 + sequences, at + seconds);
            (FeedPosition { transaction, sequence }, second(at))
        };
        steps.iter().map(step).collect()
    }

    proptest! {
        /// Proves for both kinds of stores that the search skips no event at or after the time, that it is exact except
        /// for the events of one transaction, and that it needs few reads.
        #[test]
        fn the_search_skips_nothing(
            numbers_transactions: bool,
            steps in proptest::collection::vec((0_u64..5_000, 0_u64..50, 0_u64..100), 0..60),
            target in 0_u64..3_000,
        ) {
            let steps: Vec<_> = steps
                .into_iter()
                .enumerate()
                .map(|(index, (transactions, sequences, seconds))| {
                    let first = u64::from(index == 0);
                    (if numbers_transactions { transactions + first } else { 0 }, sequences, seconds)
                })
                .collect();
            let feed = feed(&steps);
            let target = second(target);
            let (found, reads) = search(&feed, target);
            let exact = feed.iter().take_while(|(_, at)| *at < target).last();
            let exact = exact.map_or(FeedPosition::START, |(position, _)| *position);
            prop_assert!(found <= exact);
            let between = feed.iter().filter(|(position, _)| *position > found && *position <= exact);
            let transactions: std::collections::BTreeSet<_> =
                between.map(|(position, _)| position.transaction).collect();
            prop_assert!(transactions.len() <= usize::from(numbers_transactions));
            prop_assert!(reads <= 48, "{}", reads);
        }
    }
}
