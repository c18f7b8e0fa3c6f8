//! Rate limit for log lines that would otherwise appear thousands of times a second while a store is unavailable.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Interval in which one line passes. The other lines are counted.
const INTERVAL: Duration = Duration::from_secs(1);

/// Rate limit for one kind of log line.
pub(crate) struct LogRateLimit {
    began: OnceLock<Instant>,
    /// Time from which the next line passes, in milliseconds since the first line.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl LogRateLimit {
    pub(crate) const fn new() -> Self {
        Self { began: OnceLock::new(), next_ms: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Returns the number of suppressed lines since the last line if a line may pass now; `None` if it is suppressed.
    pub(crate) fn pass(&self) -> Option<u64> {
        let elapsed = self.began.get_or_init(Instant::now).elapsed();
        self.pass_after(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn pass_after(&self, elapsed_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let interval_ms = u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let is_time = elapsed_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, elapsed_ms + interval_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_time {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval_and_reports_the_suppressed_ones() {
        let rate_limit = LogRateLimit::new();
        let passed = [0, 1, 500, 999, 1_000, 1_001, 5_000].map(|ms| rate_limit.pass_after(ms));
        assert_eq!(passed, [Some(0), None, None, None, Some(3), None, Some(1)]);
    }
}
