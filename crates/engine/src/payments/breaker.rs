//! A circuit breaker: after so many failures in a row nobody calls for a while; then a few try, and when
//! they get an answer, all do again. (M. Nygard, "Release It!", ch. "Stability Patterns".)
//!
//! Here it decides how many tasks are taken from the queue at all, so that none is taken in vain.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::Timestamp;

/// When a provider that does not answer is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many calls in a row without an answer open it.
    pub failure_threshold: u32,
    /// How long nobody calls then.
    pub open_for: Duration,
    /// How many may try side by side after that.
    pub probes: usize,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failure_threshold: 5, open_for: Duration::from_secs(5), probes: 2 }
    }
}

/// Whether calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All are made.
    Closed,
    /// A few are, to see whether they are answered.
    HalfOpen,
    /// None is.
    Open,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// Its name in the metrics.
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
    /// Calls without an answer since the last answer.
    failures: u32,
    /// Set while it is not closed: until when nobody calls.
    open_until: Option<Timestamp>,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, inner: Mutex::default() }
    }

    /// How many calls may be under way at `now`; no limit, when `None`.
    pub(crate) fn room(&self, now: Timestamp) -> Option<usize> {
        match self.state(now) {
            BreakerState::Closed => None,
            BreakerState::HalfOpen => Some(self.config.probes.max(1)),
            BreakerState::Open => Some(0),
        }
    }

    pub(crate) fn state(&self, now: Timestamp) -> BreakerState {
        self.lock().state(now)
    }

    /// Notes that a call was answered, and says whether the breaker closes by that.
    pub(crate) fn answered(&self) -> bool {
        let mut inner = self.lock();
        inner.failures = 0;
        inner.open_until.take().is_some()
    }

    /// Notes that a call was not answered, and says whether the breaker opens by that. One that is open
    /// stays so for longer only when a probe failed.
    pub(crate) fn failed(&self, now: Timestamp) -> bool {
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        let opens = match inner.state(now) {
            BreakerState::Closed => inner.failures >= self.config.failure_threshold.max(1),
            BreakerState::HalfOpen => true,
            BreakerState::Open => false,
        };
        if opens {
            let until = now.checked_add(self.config.open_for).unwrap_or(Timestamp::MAX);
            inner.open_until = Some(until);
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
        Breaker::new(BreakerConfig { failure_threshold: 3, open_for: Duration::from_secs(5), probes: 2 })
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let breaker = breaker();
        for _ in 0..10 {
            assert!(!breaker.failed(at(0)));
            assert!(!breaker.failed(at(0)));
            assert!(!breaker.answered(), "it was not open");
        }
        assert_eq!(breaker.room(at(0)), None);
        assert!(!breaker.failed(at(0)));
        assert!(!breaker.failed(at(0)));
        assert!(breaker.failed(at(0)));
        assert_eq!((breaker.state(at(4)), breaker.room(at(4))), (BreakerState::Open, Some(0)));
    }

    #[test]
    fn after_a_while_a_few_try() {
        let breaker = breaker();
        for _ in 0..3 {
            breaker.failed(at(0));
        }
        assert_eq!((breaker.state(at(5)), breaker.room(at(5))), (BreakerState::HalfOpen, Some(2)));
        assert!(breaker.failed(at(6)), "it opens again");
        assert_eq!(breaker.state(at(10)), BreakerState::Open);
        assert!(!breaker.failed(at(10)), "a late failure does not hold it open");
        assert_eq!(breaker.state(at(11)), BreakerState::HalfOpen);
        assert!(breaker.answered(), "it closes");
        assert_eq!((breaker.state(at(11)), breaker.room(at(11))), (BreakerState::Closed, None));
    }
}
