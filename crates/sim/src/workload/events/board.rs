//! What the board of a restaurant received.
//!
//! A board shows the latest state of each order, so a later state may replace one that was not sent yet. The comparison
//! requires the last state of each order that the board shows, and not each change. An order that left before the board
//! could show it needs no message, and is counted.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dabba_domain::{OrderId, Timestamp, order::Version};
use serde::Deserialize;

use super::{
    comparison::{Expected, Finding, Interest},
    ledger::{EventKey, Latencies, MAX_EVENTS},
    receipts::{Full, Receipts},
};

/// The event with which an order appears on the board.
const APPEARS: &str = "confirmed";
/// The events with which an order leaves the board. Later events of the order cause no message.
const LEAVES: [&str; 4] = ["delivered", "rejected", "cancelled", "expired"];

/// What the board of a restaurant received.
#[derive(Debug)]
pub struct BoardLedger {
    latencies: Arc<Latencies>,
    received: Mutex<Received>,
}

#[derive(Debug, Default)]
struct Received {
    /// Version of the latest state of each order.
    latest: HashMap<OrderId, Version>,
    changes: usize,
    repeated: u64,
    disordered: u64,
    malformed: u64,
}

/// An order on a board: in a snapshot, or after a change.
#[derive(Deserialize)]
struct Shown {
    id: OrderId,
    version: Version,
    updated_at: Timestamp,
}

/// An order that has left a board.
#[derive(Deserialize)]
struct Gone {
    id: OrderId,
    version: Version,
}

/// A part of the present state.
#[derive(Deserialize)]
struct Snapshot {
    orders: Vec<Shown>,
}

impl BoardLedger {
    /// Returns an empty ledger. The latencies of changed orders count among these; those of orders that leave the board
    /// do not, because their messages have no time.
    pub fn new(latencies: Arc<Latencies>) -> Self {
        Self { latencies, received: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: &Shown, at: Timestamp) -> Result<(), Full> {
        if self.lock().put(order.id, order.version)? {
            self.latencies.record(order.updated_at, at);
        }
        Ok(())
    }
}

impl Received {
    /// Notes the state of an order. Returns whether it is newer than the known one.
    fn put(&mut self, id: OrderId, version: Version) -> Result<bool, Full> {
        if self.changes >= MAX_EVENTS {
            return Err(Full);
        }
        let known = self.latest.entry(id).or_default();
        if version == *known {
            self.repeated += 1;
            return Ok(false);
        }
        if version < *known {
            self.disordered += 1;
            return Ok(false);
        }
        *known = version;
        self.changes += 1;
        Ok(true)
    }
}

/// Reads the data of a message, and passes it on.
fn with<'a, T: Deserialize<'a>>(
    data: &'a [u8],
    take: impl FnOnce(T) -> Result<(), Full>,
) -> Option<Result<(), Full>> {
    serde_json::from_slice(data).ok().map(take)
}

impl Receipts for BoardLedger {
    fn record_message(&self, name: &str, data: &[u8], at: Timestamp) -> Result<(), Full> {
        let recorded = match name {
            "order" => with(data, |order: Shown| self.order(&order, at)),
            "gone" => with(data, |gone: Gone| self.lock().put(gone.id, gone.version).map(drop)),
            // The state at the connection: its changes happened before, so they have no latency.
            "snapshot" => with(data, |snapshot: Snapshot| {
                let mut received = self.lock();
                snapshot.orders.iter().try_for_each(|order| received.put(order.id, order.version).map(drop))
            }),
            // The restaurant and its items belong to no order.
            "restaurant" | "item" => Some(Ok(())),
            _ => None,
        };
        recorded.unwrap_or_else(|| {
            self.lock().malformed += 1;
            Ok(())
        })
    }

    fn count(&self) -> usize {
        self.lock().changes
    }

    fn repeated(&self) -> u64 {
        self.lock().repeated
    }

    fn malformed(&self) -> u64 {
        self.lock().malformed
    }

    fn compare(&self, expected: &Expected, interest: Interest<'_>) -> Finding {
        let orders = Last::of(expected, interest);
        let received = self.lock();
        let mut finding = Finding { disordered: received.disordered, ..Finding::default() };
        for (id, Last { version, appeared, has_left }) in &orders {
            let latest = received.latest.get(id);
            if !appeared {
                continue;
            }
            if latest.is_none() && *has_left {
                finding.never_shown += 1;
                continue;
            }
            finding.expected += 1;
            finding.missing += u64::from(latest.is_none_or(|latest| latest < version));
        }
        let own: HashSet<&OrderId> = orders.keys().collect();
        let foreign = received.latest.iter().filter(|(id, version)| {
            !own.contains(id) && expected.contains(EventKey { order: **id, version: **version })
        });
        finding.unwanted = u64::try_from(foreign.count()).unwrap_or(u64::MAX);
        finding
    }
}

/// The last state of an order that its board shows.
#[derive(Default)]
struct Last {
    version: Version,
    appeared: bool,
    has_left: bool,
}

impl Last {
    /// Returns the last states of the orders in which the board is interested.
    fn of(expected: &Expected, interest: Interest<'_>) -> HashMap<OrderId, Self> {
        let mut orders: HashMap<OrderId, Self> = HashMap::new();
        for entry in expected.matching(interest) {
            let last = orders.entry(entry.key.order).or_default();
            if !last.has_left {
                last.version = entry.key.version;
            }
            last.appeared |= entry.name == APPEARS;
            last.has_left |= LEAVES.contains(&entry.name.as_str());
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::RestaurantId;

    use super::{super::feed::FeedEntry, *};

    fn order(number: u8) -> OrderId {
        format!("0198f3a0-0000-7000-8000-0000000000{number:02}").parse().unwrap()
    }

    fn restaurant(number: u8) -> RestaurantId {
        format!("0198f3a0-0000-7000-9000-0000000000{number:02}").parse().unwrap()
    }

    /// Returns the feed: a delivered order and an open one of the first restaurant, and one of the second whose payment
    /// is pending.
    fn feed() -> Expected {
        let of = |number, owner, names: &[&str]| -> Vec<FeedEntry> {
            let entry = |(version, name): (Version, &&str)| FeedEntry {
                key: EventKey { order: order(number), version },
                restaurant: restaurant(owner),
                name: (*name).to_owned(),
            };
            (1..).zip(names).map(entry).collect()
        };
        let whole = ["placed", "confirmed", "accepted", "delivered", "payment_captured"];
        Expected::new([of(1, 1, &whole), of(2, 1, &whole[..3]), of(3, 2, &whole[..1])].concat())
    }

    /// Returns the ledger of a board with these messages: name, number of the order, version.
    fn received(messages: &[(&str, u8, Version)]) -> BoardLedger {
        let ledger = BoardLedger::new(Arc::default());
        for (name, number, version) in messages {
            let state = serde_json::json!({"id": order(*number), "version": version, "updated_at": "2026-05-01T10:00:00Z"});
            let data = if *name == "snapshot" { serde_json::json!({"orders": [state]}) } else { state };
            ledger
                .record_message(
                    name,
                    data.to_string().as_bytes(),
                    "2026-05-01T10:00:00.250Z".parse().unwrap(),
                )
                .unwrap();
        }
        ledger
    }

    /// Proves that a board must show the last state of each of its orders, may skip the others, and shows no other's.
    #[test]
    fn the_last_state_of_each_order_must_arrive() {
        let feed = feed();
        let compare = |messages: &[(&str, u8, Version)]| {
            let interest = Interest { restaurant: Some(restaurant(1)), types: &[] };
            let Finding { expected, missing, disordered, unwanted, never_shown } =
                received(messages).compare(&feed, interest);
            [expected, missing, disordered, unwanted, never_shown]
        };
        assert_eq!(compare(&[("order", 1, 2), ("order", 2, 3), ("gone", 1, 4)]), [2, 0, 0, 0, 0]);
        assert_eq!(
            compare(&[("snapshot", 2, 3), ("gone", 1, 5)]),
            [2, 0, 0, 0, 0],
            "in a snapshot, and later"
        );
        assert_eq!(compare(&[("order", 1, 3), ("order", 2, 2)]), [2, 2, 0, 0, 0], "an earlier state");
        assert_eq!(compare(&[("order", 2, 3)]), [1, 0, 0, 0, 1], "left before it was shown");
        assert_eq!(compare(&[("gone", 1, 4)]), [2, 1, 0, 0, 0], "open, and never shown");
        assert_eq!(
            compare(&[("gone", 1, 4), ("order", 1, 3), ("order", 2, 3)]),
            [2, 0, 1, 0, 0],
            "disordered"
        );
        assert_eq!(
            compare(&[("gone", 1, 4), ("order", 2, 3), ("order", 3, 1)]),
            [2, 0, 0, 1, 0],
            "another restaurant's"
        );
        assert_eq!(compare(&[("gone", 1, 4), ("order", 2, 3), ("order", 9, 1)]), [2, 0, 0, 0, 0], "older");
    }

    /// Proves that changes have latencies, that snapshots have none, and that repeated and other messages are counted.
    #[test]
    fn changes_have_latencies() {
        let ledger = received(&[
            ("snapshot", 1, 1),
            ("order", 1, 1),
            ("order", 1, 2),
            ("gone", 1, 3),
            ("surprise", 1, 4),
        ]);
        assert_eq!((ledger.count(), ledger.repeated(), ledger.malformed()), (3, 1, 1));
        assert_eq!(ledger.latencies.count(), 1);
        assert!((250..=251).contains(&ledger.latencies.at(1.0).as_millis()));
        ledger.record_message("order", b"{}", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(ledger.malformed(), 2);
    }
}
