//! A circuit breaker: after a number of failures in a row, calls are stopped for a while; then a few probes are
//! allowed, and an answer to a probe allows all calls again. (M. Nygard, "Release It!", ch. "Stability Patterns".)
//!
//! The breaker limits how many tasks workers lease from the queue, so that no task is leased whose call would not be
//! made.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::Timestamp;

use crate::clock::after;

/// Settings of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Number of calls in a row without an answer that opens the breaker.
    pub failure_threshold: u32,
    /// Time for which no calls are made after that.
    pub open_duration: Duration,
    /// Maximum number of concurrent probes after that time.
    pub probes: usize,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failure_threshold: 5, open_duration: Duration::from_secs(5), probes: 2 }
    }
}

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All calls are allowed.
    Closed,
    /// A few calls are allowed, to probe whether the provider answers.
    HalfOpen,
    /// No calls are allowed.
    Open,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// Returns the state's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

pub(crate) struct Breaker {
    config: BreakerConfig,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Number of calls without an answer since the last answer.
    failures: u32,
    /// Time until which no calls are made. Set while the breaker is open or half-open.
    open_until: Option<Timestamp>,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, inner: Mutex::default() }
    }

    /// Returns the maximum number of calls in flight at `now`; `None` for no limit.
    pub(crate) fn max_calls(&self, now: Timestamp) -> Option<usize> {
        match self.state(now) {
            BreakerState::Closed => None,
            BreakerState::HalfOpen => Some(self.config.probes.max(1)),
            BreakerState::Open => Some(0),
        }
    }

    pub(crate) fn state(&self, now: Timestamp) -> BreakerState {
        self.lock().state(now)
    }

    /// Records an answered call. Returns whether the breaker closes.
    pub(crate) fn answered(&self) -> bool {
        let mut inner = self.lock();
        inner.failures = 0;
        inner.open_until.take().is_some()
    }

    /// Records a call without an answer. Returns whether the breaker opens. If the breaker is already open, the failure
    /// does not extend that time; the failure of a probe opens it again.
    pub(crate) fn failed(&self, now: Timestamp) -> bool {
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        let opens = match inner.state(now) {
            BreakerState::Closed => inner.failures >= self.config.failure_threshold.max(1),
            BreakerState::HalfOpen => true,
            BreakerState::Open => false,
        };
        if opens {
            inner.open_until = Some(after(now, self.config.open_duration));
        }
        opens
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig { failure_threshold: 3, open_duration: Duration::from_secs(5), probes: 2 })
    }

    #[test]
    fn it_opens_after_consecutive_failures() {
        let breaker = breaker();
        for _ in 0..10 {
            assert!(!breaker.failed(at(0)));
            assert!(!breaker.failed(at(0)));
            assert!(!breaker.answered(), "the breaker was not open");
        }
        assert_eq!(breaker.max_calls(at(0)), None);
        assert!(!breaker.failed(at(0)));
        assert!(!breaker.failed(at(0)));
        assert!(breaker.failed(at(0)));
        assert_eq!((breaker.state(at(4)), breaker.max_calls(at(4))), (BreakerState::Open, Some(0)));
    }

    #[test]
    fn after_a_while_a_few_probes_are_allowed() {
        let breaker = breaker();
        for _ in 0..3 {
            breaker.failed(at(0));
        }
        assert_eq!((breaker.state(at(5)), breaker.max_calls(at(5))), (BreakerState::HalfOpen, Some(2)));
        assert!(breaker.failed(at(6)), "the breaker opens again");
        assert_eq!(breaker.state(at(10)), BreakerState::Open);
        assert!(!breaker.failed(at(10)), "a late failure does not hold it open");
        assert_eq!(breaker.state(at(11)), BreakerState::HalfOpen);
        assert!(breaker.answered(), "the breaker closes");
        assert_eq!((breaker.state(at(11)), breaker.max_calls(at(11))), (BreakerState::Closed, None));
    }
}
