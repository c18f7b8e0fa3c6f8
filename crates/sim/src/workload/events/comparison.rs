//! Compares what an endpoint or stream received with the feed (I10): every matching event at least once, and the first
//! receipts of each order ascend without a gap.

use std::collections::HashMap;

use dabba_domain::{OrderId, RestaurantId, order::Version};

use super::{
    feed::FeedEntry,
    ledger::{EventKey, Ledger},
};

/// The events that an endpoint or stream is interested in.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// Only the orders of this restaurant; `None` for all.
    pub restaurant: Option<RestaurantId>,
    /// Only these types, by their short names; empty for all.
    pub types: &'a [String],
}

/// Differences between the receipts of an endpoint and the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Number of matching events of the feed.
    pub expected: u64,
    /// Number of matching events that never arrived.
    pub missing: u64,
    /// Number of events that arrived before an earlier matching event of their order.
    pub disordered: u64,
    /// Number of events that arrived although they do not match.
    pub unwanted: u64,
    /// Number of orders that left a board before the board showed them.
    pub never_shown: u64,
}

/// The events of the feed during a run.
#[derive(Debug, Default)]
pub struct Expected {
    entries: Vec<FeedEntry>,
    /// Indexes into `entries`, per restaurant.
    by_restaurant: HashMap<RestaurantId, Vec<usize>>,
    by_key: HashMap<EventKey, usize>,
}

impl Expected {
    /// Returns the events in the order of the feed.
    pub fn new(entries: Vec<FeedEntry>) -> Self {
        let mut by_restaurant: HashMap<RestaurantId, Vec<usize>> = HashMap::new();
        let mut by_key = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            by_restaurant.entry(entry.restaurant).or_default().push(index);
            by_key.insert(entry.key, index);
        }
        Self { entries, by_restaurant, by_key }
    }

    /// Returns the number of events.
    pub const fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many of these orders the feed lacks events of: the history of each begins at version 1, has no gap, and
    /// contains the event `needed` if one is given. The feed is what receipts are compared with, so nothing else would
    /// show an event that the feed lost.
    pub fn incomplete(&self, orders: &[String], needed: Option<&str>) -> u64 {
        let mut histories: HashMap<OrderId, (Version, bool, bool)> = HashMap::new();
        for FeedEntry { key, name, .. } in &self.entries {
            let (version, has_needed, has_gap) = histories.entry(key.order).or_insert((0, false, false));
            *has_gap |= key.version != *version + 1;
            *has_needed |= needed == Some(name);
            *version = key.version;
        }
        let is_complete = |order: &&String| {
            let history = order.parse().ok().and_then(|order: OrderId| histories.get(&order));
            history.is_some_and(|(_, has_needed, has_gap)| !has_gap && (*has_needed || needed.is_none()))
        };
        let incomplete = orders.iter().filter(|order| !is_complete(order)).count();
        u64::try_from(incomplete).unwrap_or(u64::MAX)
    }

    /// Returns whether the feed contains the event.
    pub(super) fn contains(&self, key: EventKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Returns the events that match an interest, in the order of the feed.
    pub(super) fn matching<'a>(&'a self, interest: Interest<'a>) -> impl Iterator<Item = &'a FeedEntry> {
        let Interest { restaurant, types } = interest;
        let own = restaurant.map(|restaurant| self.by_restaurant.get(&restaurant).into_iter().flatten());
        let all = restaurant.is_none().then_some(self.entries.iter()).into_iter().flatten();
        let own = own.into_iter().flatten().map(|index| &self.entries[*index]);
        own.chain(all).filter(move |entry| types.is_empty() || types.contains(&entry.name))
    }

    /// Compares the receipts of an endpoint with these events. Ignores receipts of other events, which are older.
    pub(super) fn compare(&self, ledger: &Ledger, interest: Interest<'_>) -> Finding {
        let mut expected = Orders::default();
        self.matching(interest).for_each(|entry| expected.expect(entry));
        let unwanted = ledger.with_first(|first| {
            let known = first.iter().filter(|key| self.contains(**key));
            known.filter(|key| !expected.receive(**key)).count()
        });
        Finding { unwanted: u64::try_from(unwanted).unwrap_or(u64::MAX), ..expected.finding() }
    }
}

/// The matching events of each order.
#[derive(Default)]
struct Orders(HashMap<OrderId, Order>);

#[derive(Default)]
struct Order {
    /// Versions of the matching events, ascending, and whether each arrived.
    events: Vec<(Version, bool)>,
    /// Number of events at the start of `events` that have arrived.
    next: usize,
    disordered: u64,
}

impl Orders {
    fn expect(&mut self, entry: &FeedEntry) {
        let order = self.0.entry(entry.key.order).or_default();
        order.events.push((entry.key.version, false));
    }

    /// Returns whether the event is expected.
    fn receive(&mut self, key: EventKey) -> bool {
        let Some(order) = self.0.get_mut(&key.order) else { return false };
        let Ok(index) = order.events.binary_search_by_key(&key.version, |(version, _)| *version) else {
            return false;
        };
        order.events[index].1 = true;
        if index == order.next {
            while order.events.get(order.next).is_some_and(|(_, arrived)| *arrived) {
                order.next += 1;
            }
        } else {
            order.disordered += 1;
        }
        true
    }

    fn finding(&self) -> Finding {
        let mut finding = Finding::default();
        for order in self.0.values() {
            let missing = order.events.iter().filter(|(_, arrived)| !arrived).count();
            finding.expected += u64::try_from(order.events.len()).unwrap_or(u64::MAX);
            finding.missing += u64::try_from(missing).unwrap_or(u64::MAX);
            finding.disordered += order.disordered;
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dabba_domain::Timestamp;

    use super::{
        super::ledger::{Latencies, tests::event},
        *,
    };

    fn order(number: u8) -> OrderId {
        format!("0198f3a0-0000-7000-8000-0000000000{number:02}").parse().unwrap()
    }

    fn restaurant(number: u8) -> RestaurantId {
        format!("0198f3a0-0000-7000-9000-0000000000{number:02}").parse().unwrap()
    }

    /// Returns the feed of two orders of two restaurants: `placed`, `confirmed`, `accepted` of each.
    fn feed() -> Expected {
        let entries = (1..=3).zip(["placed", "confirmed", "accepted"]).flat_map(|(version, name)| {
            [1, 2].map(|number| FeedEntry {
                key: EventKey { order: order(number), version },
                restaurant: restaurant(number),
                name: name.to_owned(),
            })
        });
        Expected::new(entries.collect())
    }

    /// Returns the ledger of an endpoint that received these events.
    fn received(events: &[(u8, Version)]) -> Ledger {
        let ledger = Ledger::new(Arc::new(Latencies::default()));
        for (number, version) in events {
            let event = event(order(*number), *version, "2026-05-01T10:00:00Z");
            ledger.record_json(event.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
        }
        ledger
    }

    /// Proves that a comparison finds missing, disordered and unwanted events, and accepts repeated and older ones.
    #[test]
    fn missing_disordered_and_unwanted_events_are_found() {
        let feed = feed();
        let types = ["placed".to_owned(), "accepted".to_owned()];
        let compare = |events: &[(u8, Version)], interest: Interest<'_>| {
            let Finding { expected, missing, disordered, unwanted, never_shown: _ } =
                feed.compare(&received(events), interest);
            [expected, missing, disordered, unwanted]
        };
        let all = Interest { restaurant: None, types: &[] };
        let first = Interest { restaurant: Some(restaurant(1)), types: &[] };
        let some = Interest { restaurant: Some(restaurant(1)), types: &types };

        assert_eq!(compare(&[(1, 1), (2, 1), (1, 2), (2, 2), (2, 3), (1, 3)], all), [6, 0, 0, 0]);
        assert_eq!(compare(&[(1, 1), (1, 2), (1, 1), (1, 2), (1, 3)], first), [3, 0, 0, 0], "repeated");
        assert_eq!(compare(&[(9, 1), (1, 1), (1, 2), (1, 3)], first), [3, 0, 0, 0], "older");
        assert_eq!(compare(&[(1, 1), (1, 3)], some), [2, 0, 0, 0], "only some types");
        assert_eq!(compare(&[(1, 1), (1, 2)], first), [3, 1, 0, 0], "the last is missing");
        assert_eq!(compare(&[(1, 1), (1, 3)], first), [3, 1, 1, 0], "a gap");
        assert_eq!(compare(&[(1, 2), (1, 1), (1, 3)], first), [3, 0, 1, 0], "disordered");
        assert_eq!(compare(&[(1, 1), (1, 2), (1, 3)], some), [2, 0, 0, 1], "another type");
        assert_eq!(compare(&[(1, 1), (1, 2), (1, 3), (2, 1)], first), [3, 0, 0, 1], "another restaurant");
        assert_eq!(compare(&[], Interest { restaurant: Some(restaurant(3)), types: &[] }), [0; 4]);
    }

    /// Proves that a feed without an order, without a needed event or with a gap is incomplete.
    #[test]
    fn an_incomplete_feed_is_found() {
        let orders = [1, 2].map(|number| order(number).to_string());
        assert_eq!(feed().incomplete(&orders, None), 0);
        assert_eq!(feed().incomplete(&orders, Some("accepted")), 0);
        assert_eq!(feed().incomplete(&orders, Some("delivered")), 2);
        assert_eq!(feed().incomplete(&[order(3).to_string()], None), 1);
        let without = |version| {
            let Expected { entries, .. } = feed();
            let is_kept = |entry: &FeedEntry| entry.key != EventKey { order: order(1), version };
            Expected::new(entries.into_iter().filter(is_kept).collect())
        };
        for version in 1..=3 {
            assert_eq!(
                without(version).incomplete(&orders, Some("accepted")),
                1,
                "without version {version}"
            );
        }
    }
}
