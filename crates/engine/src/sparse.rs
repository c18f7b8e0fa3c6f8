//! Log lines that would come thousands of times a second while a store is away.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Lets one line pass in this time, and counts the others.
const INTERVAL: Duration = Duration::from_secs(1);

/// Thins out one kind of line.
pub(crate) struct Sparse {
    began: OnceLock<Instant>,
    /// From when on the next one passes, in milliseconds since the first.
    next_ms: AtomicU64,
    held_back: AtomicU64,
}

impl Sparse {
    pub(crate) const fn new() -> Self {
        Self { began: OnceLock::new(), next_ms: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Whether a line passes now, and how many were held back before it.
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
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_in_an_interval_and_tells_of_the_others() {
        let sparse = Sparse::new();
        let passed = [0, 1, 500, 999, 1_000, 1_001, 5_000].map(|ms| sparse.pass_after(ms));
        assert_eq!(passed, [Some(0), None, None, None, Some(3), None, Some(1)]);
    }
}
