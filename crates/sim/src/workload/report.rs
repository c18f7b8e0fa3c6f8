//! The result of a load.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Maximum latency that the histogram can represent, in microseconds.
const LONGEST_LATENCY_US: u64 = 60_000_000;

/// The result of a load.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// Ids of the acknowledged orders.
    pub acknowledged: Vec<String>,
    /// Number of failed operations by kind: a status, `replayed`, or a connection failure.
    pub errors: BTreeMap<String, u64>,
    /// Time from the first request to the last response.
    pub elapsed: Duration,
    /// Latencies of the successful operations, in microseconds.
    pub latencies: Histogram<u64>,
}

/// The report that all workers share. A histogram is large: with one histogram per worker, none would stay in
/// the processor's cache.
#[derive(Clone, Default)]
pub(super) struct SharedReport(Arc<Mutex<LoadReport>>);

impl SharedReport {
    /// Locks the report. The lock must not be held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, LoadReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the collected report and resets it.
    pub(super) fn take(&self) -> LoadReport {
        std::mem::take(&mut self.lock())
    }
}

impl Default for LoadReport {
    fn default() -> Self {
        Self::new()
    }
}

impl LoadReport {
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

    /// Returns the number of successful operations.
    pub fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// Returns the number of successful operations per second.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the count is only displayed")]
        let count = self.count() as f64;
        count / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns the latency that this share (0 to 1) of the operations did not exceed.
    pub fn latency_at(&self, share: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(share))
    }

    /// Returns the number of failed operations.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the report combines the results of several workers.
    #[test]
    fn a_report_combines_the_results_of_workers() {
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
