//! Durations that this process measured, by shard and minute.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_domain::{
    Timestamp,
    statistics::{Minute, Statistic, Tally},
};
use dabba_store::{StatisticsKey, StatisticsRow};

/// Maximum number of minutes whose durations a process keeps per shard. Beyond it, the oldest minute is dropped.
pub(super) const KEPT_MINUTES: usize = 60;

/// The durations of placing.
#[derive(Debug)]
pub(crate) struct PlacingLatency {
    shards: Vec<Mutex<BTreeMap<Minute, Measured>>>,
}

#[derive(Debug, Default)]
struct Measured {
    tally: Tally,
    /// Number of durations in the stored row.
    written: u64,
}

impl Measured {
    const fn is_unwritten(&self) -> bool {
        self.written < self.tally.count
    }
}

impl PlacingLatency {
    pub(crate) fn new(shard_count: usize) -> Self {
        Self { shards: (0..shard_count).map(|_| Mutex::default()).collect() }
    }

    /// Records that placing an order of a shard took this long.
    pub(crate) fn record(&self, shard: usize, at: Timestamp, took: Duration) {
        let Some(mut minutes) = self.shard(shard) else { return };
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        minutes.entry(Minute::of(at)).or_default().tally.record(microseconds);
        // A minute stays after it was written: a row states its whole content, so a late duration needs the others.
        if minutes.len() > KEPT_MINUTES {
            minutes.pop_first();
        }
    }

    /// Returns whether a row of a shard has changed since it was written.
    pub(super) fn is_any_unwritten(&self, shard: usize) -> bool {
        let Some(minutes) = self.shard(shard) else { return false };
        minutes.values().any(Measured::is_unwritten)
    }

    /// Returns the rows of a shard that have changed since they were written.
    pub(super) fn unwritten(&self, shard: usize, process: &str) -> Vec<StatisticsRow> {
        let Some(minutes) = self.shard(shard) else { return Vec::new() };
        let changed = minutes.iter().filter(|(_, measured)| measured.is_unwritten());
        let row = |(minute, measured): (&Minute, &Measured)| StatisticsRow {
            key: StatisticsKey {
                source: process.to_owned(),
                ..StatisticsKey::of_shard(*minute, Statistic::PlacingLatency)
            },
            tally: measured.tally.clone(),
        };
        changed.map(row).collect()
    }

    /// Records that these rows are stored.
    pub(super) fn written(&self, shard: usize, rows: &[StatisticsRow]) {
        let Some(mut minutes) = self.shard(shard) else { return };
        for row in rows {
            if let Some(measured) = minutes.get_mut(&row.key.minute) {
                measured.written = row.tally.count;
            }
        }
    }

    fn shard(&self, shard: usize) -> Option<MutexGuard<'_, BTreeMap<Minute, Measured>>> {
        self.shards.get(shard).map(|minutes| minutes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Minute(minute).start()
    }

    fn counts(latency: &PlacingLatency) -> Vec<(i64, u64)> {
        let rows = latency.unwritten(0, "a");
        rows.iter().map(|row| (row.key.minute.0, row.tally.count)).collect()
    }

    /// Proves that a duration that arrives during a write is written next, with those before it.
    #[test]
    fn only_changed_minutes_are_written() {
        let latency = PlacingLatency::new(1);
        for minute in [1, 1, 2] {
            latency.record(0, at(minute), Duration::from_millis(3));
        }
        assert_eq!(counts(&latency), [(1, 2), (2, 1)]);
        let rows = latency.unwritten(0, "a");
        latency.record(0, at(2), Duration::from_millis(3));
        latency.written(0, &rows);
        assert_eq!(counts(&latency), [(2, 2)]);
        latency.written(0, &latency.unwritten(0, "a"));
        assert_eq!(counts(&latency), []);
        latency.record(0, at(1), Duration::from_millis(3));
        assert_eq!(counts(&latency), [(1, 3)]);
        latency.record(9, at(1), Duration::from_millis(3));
    }

    /// Proves that a shard that never answers takes bounded memory, and loses the oldest minutes.
    #[test]
    fn the_number_of_minutes_is_limited() {
        let latency = PlacingLatency::new(1);
        let minutes = i64::try_from(KEPT_MINUTES).unwrap();
        for minute in 0..2 * minutes {
            latency.record(0, at(minute), Duration::from_millis(1));
        }
        latency.record(0, at(0), Duration::from_millis(1));
        assert_eq!(counts(&latency).first(), Some(&(minutes, 1)));
        assert_eq!(counts(&latency).len(), KEPT_MINUTES);
    }
}
