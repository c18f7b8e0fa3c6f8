//! What came of a load.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds.
const LONGEST_LATENCY_US: u64 = 60_000_000;

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Ids of the orders that were acknowledged.
    pub acknowledged: Vec<String>,
    /// Everything that did not succeed, by kind: a status, `replayed`, or what happened to the connection.
    pub errors: BTreeMap<String, u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Latencies of the operations that succeeded, in microseconds.
    pub latencies: Histogram<u64>,
}

/// The report to which all workers add. One for all: a histogram is large, and one for each would be in nobody's
/// cache when its turn comes.
#[derive(Clone, Default)]
pub(super) struct SharedReport(Arc<Mutex<Report>>);

impl SharedReport {
    /// Not to be held across a wait.
    pub(super) fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come together.
    pub(super) fn take(&self) -> Report {
        std::mem::take(&mut self.lock())
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the library accepts")]
    pub(super) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_LATENCY_US, 3).expect("constant bounds");
        Self { acknowledged: Vec::new(), errors: BTreeMap::new(), elapsed: Duration::ZERO, latencies }
    }

    pub(super) fn fail(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    pub(super) fn done(&mut self, latency: Duration, acknowledged: Option<String>) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(microseconds.max(1));
        self.acknowledged.extend(acknowledged);
    }

    /// Operations that succeeded.
    pub fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// Operations that succeeded in a second.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count that a person reads")]
        let count = self.count() as f64;
        count / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency that this share of the operations (0 to 1) did not exceed.
    pub fn latency_at(&self, share: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(share))
    }

    /// All that did not succeed.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that what several workers did is told as one.
    #[test]
    fn a_report_counts_what_was_done() {
        let shared = SharedReport::default();
        for milliseconds in 1..=100 {
            let worker = shared.clone();
            worker.lock().done(Duration::from_millis(milliseconds), Some(format!("order {milliseconds}")));
        }
        shared.lock().fail("503".into());
        let mut total = shared.take();
        total.elapsed = Duration::from_secs(2);
        assert_eq!((total.count(), total.error_count(), total.acknowledged.len()), (100, 1, 100));
        assert!((total.per_second() - 50.0).abs() < f64::EPSILON);
        let median = total.latency_at(0.5).as_micros();
        assert!((50_000..=50_100).contains(&median), "{median}");
    }
}
