//! Pauses after failures: exponential backoff with full jitter.

use std::time::Duration;

/// Maximum number of doublings. 2^20 times the base exceeds every limit in use; the maximum keeps the shift
/// from overflowing.
const MAX_DOUBLINGS: u32 = 20;

/// Limits of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Maximum pause after the first failure. The maximum doubles with each further failure.
    pub base: Duration,
    /// Maximum pause after any number of failures.
    pub max: Duration,
}

impl Backoff {
    /// Returns a random pause between zero and the limit after this number of attempts. Because the pause is
    /// random, callers that failed together do not retry together. `random` is any 64 random bits.
    pub fn pause(self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(MAX_DOUBLINGS);
        let limit = self.base.saturating_mul(1 << doublings).min(self.max);
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % limit_ns.saturating_add(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the limit of a pause doubles up to the maximum, and that the pause is between zero and the
    /// limit.
    #[test]
    fn pauses_are_drawn_below_a_limit_that_doubles() {
        let seconds = Duration::from_secs;
        let backoff = Backoff { base: seconds(1), max: seconds(300) };
        for (attempts, limit) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (u32::MAX, 300)] {
            let limit_ns = u64::try_from(seconds(limit).as_nanos()).unwrap();
            assert_eq!(backoff.pause(attempts, 0), Duration::ZERO);
            assert_eq!(backoff.pause(attempts, limit_ns), seconds(limit));
            assert_eq!(backoff.pause(attempts, limit_ns + 1), Duration::ZERO);
        }
    }

    /// Proves that extreme limits do not overflow.
    #[test]
    fn extreme_limits_do_not_overflow() {
        for (base, max) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::MAX, Duration::MAX),
            (Duration::MAX, Duration::ZERO),
        ] {
            assert!(Backoff { base, max }.pause(u32::MAX, u64::MAX - 1) <= max);
        }
    }
}
