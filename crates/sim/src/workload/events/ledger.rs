//! What one endpoint or stream received.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_domain::{OrderId, RestaurantId, Timestamp, order::Version};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::{
    comparison::{Expected, Finding, Interest},
    receipts::{Full, Receipts},
};

/// Maximum number of events that a ledger holds. A receiver refuses further events.
pub const MAX_EVENTS: usize = 5_000_000;

/// Maximum latency that the histogram can represent, in microseconds: an hour.
const LONGEST_LATENCY_US: u64 = 3_600_000_000;

/// Identity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// The order.
    pub order: OrderId,
    /// Number of the event in the order's history.
    pub version: Version,
}

/// The members of an event that a receiver needs. The others are skipped.
#[derive(Deserialize)]
pub(crate) struct EventHead<'a> {
    id: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) subject: RestaurantId,
    pub(crate) r#type: &'a str,
}

impl EventHead<'_> {
    /// Returns the identity of the event; `None` if its id is malformed.
    pub(crate) fn key(&self) -> Option<EventKey> {
        let (order, version) = self.id.rsplit_once('-')?;
        Some(EventKey { order: order.parse().ok()?, version: version.parse().ok()? })
    }
}

/// Latencies of the first receipts of a group of endpoints or streams. Only the events of the measurement count: those
/// from [`Latencies::measure_from`] on.
#[derive(Debug)]
pub struct Latencies(Mutex<Measured>);

#[derive(Debug)]
struct Measured {
    from: Timestamp,
    latencies: Histogram<u64>,
}

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the library accepts")]
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_LATENCY_US, 3).expect("constant bounds");
        Self(Mutex::new(Measured { from: Timestamp::MIN, latencies }))
    }
}

impl Latencies {
    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts no event from before this time, and forgets what was counted.
    pub fn measure_from(&self, at: Timestamp) {
        let mut measured = self.lock();
        measured.from = at;
        measured.latencies.reset();
    }

    /// Counts the receipt of what happened at `time`.
    pub(super) fn record(&self, time: Timestamp, received_at: Timestamp) {
        let latency = Duration::try_from(received_at.duration_since(time)).unwrap_or_default();
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut measured = self.lock();
        if time >= measured.from {
            measured.latencies.saturating_record(microseconds.max(1));
        }
    }

    /// Returns the latency that this share (0 to 1) of the events did not exceed; zero without events.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.lock().latencies.value_at_quantile(share))
    }

    /// Returns the number of events.
    pub fn count(&self) -> u64 {
        self.lock().latencies.len()
    }
}

/// What one endpoint or stream received.
#[derive(Debug)]
pub struct Ledger {
    latencies: Arc<Latencies>,
    received: Mutex<Received>,
}

#[derive(Debug, Default)]
struct Received {
    /// Each event once, in the order of the first receipts.
    first: Vec<EventKey>,
    known: HashSet<EventKey>,
    repeated: u64,
    malformed: u64,
}

impl Ledger {
    /// Returns an empty ledger, whose first receipts count among these latencies.
    pub fn new(latencies: Arc<Latencies>) -> Self {
        Self { latencies, received: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the receipt of an event as JSON.
    pub(super) fn record_json(&self, event: &[u8], at: Timestamp) -> Result<(), Full> {
        let Ok(head) = serde_json::from_slice::<EventHead<'_>>(event) else {
            self.record_malformed();
            return Ok(());
        };
        self.record(&head, at)
    }

    /// Records the receipt of an event.
    pub(super) fn record(&self, head: &EventHead<'_>, at: Timestamp) -> Result<(), Full> {
        let mut received = self.lock();
        let Some(key) = head.key() else {
            received.malformed += 1;
            return Ok(());
        };
        if received.known.contains(&key) {
            received.repeated += 1;
            return Ok(());
        }
        if received.first.len() >= MAX_EVENTS {
            return Err(Full);
        }
        received.known.insert(key);
        received.first.push(key);
        drop(received);
        self.latencies.record(head.time, at);
        Ok(())
    }

    /// Counts a message that is no event.
    pub(super) fn record_malformed(&self) {
        self.lock().malformed += 1;
    }

    /// Calls a function with the events in the order of their first receipts.
    pub(super) fn with_first<T>(&self, inspect: impl FnOnce(&[EventKey]) -> T) -> T {
        inspect(&self.lock().first)
    }
}

impl Receipts for Ledger {
    /// Each message is an event, whatever its name.
    fn record_message(&self, _name: &str, data: &[u8], at: Timestamp) -> Result<(), Full> {
        self.record_json(data, at)
    }

    fn count(&self) -> usize {
        self.lock().first.len()
    }

    fn repeated(&self) -> u64 {
        self.lock().repeated
    }

    fn malformed(&self) -> u64 {
        self.lock().malformed
    }

    fn compare(&self, expected: &Expected, interest: Interest<'_>) -> Finding {
        expected.compare(self, interest)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns an event as JSON.
    pub(in crate::workload::events) fn event(order: OrderId, version: Version, time: &str) -> String {
        serde_json::json!({
            "specversion": "1.0", "id": format!("{order}-{version}"), "time": time, "type": "app.dabba.order.placed.v1",
            "subject": order.to_string(), "data": {"total": 1},
        })
        .to_string()
    }

    /// Proves that only the first receipt of an event counts, with its latency, and that other messages are counted.
    #[test]
    fn the_first_receipt_of_an_event_counts() {
        let latencies = Arc::new(Latencies::default());
        let ledger = Ledger::new(Arc::clone(&latencies));
        let order: OrderId = "0198f3a0-0000-7000-8000-000000000001".parse().unwrap();
        let event = event(order, 3, "2026-05-01T10:00:00.000Z");
        for at in ["2026-05-01T10:00:00.250Z", "2026-05-01T10:00:07Z"] {
            ledger.record_json(event.as_bytes(), at.parse().unwrap()).unwrap();
        }
        ledger.record_json(b"{}", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((ledger.count(), ledger.repeated(), ledger.malformed()), (1, 1, 1));
        assert_eq!(latencies.count(), 1);
        assert!((250..=251).contains(&latencies.at(1.0).as_millis()), "{:?}", latencies.at(1.0));
        ledger.with_first(|first| assert_eq!(first, [EventKey { order, version: 3 }]));
    }
}
