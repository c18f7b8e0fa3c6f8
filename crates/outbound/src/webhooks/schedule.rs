//! The times of retries, and the circuit breaker of an endpoint.

use std::{collections::VecDeque, time::Duration};

use dabba_domain::{OrderId, Timestamp};

use super::limits::{
    BREAKER_FAILURES, BREAKER_MEMORY, BREAKER_ORDERS, BREAKER_PAUSE, DEAD_AFTER, MAX_BREAKER_PAUSE,
    MAX_RETRY_AFTER,
};

/// Pauses after the first failed attempts, in seconds. They are short, because a restaurant has 8 minutes to accept.
const DENSE: [u64; 11] = [1, 2, 4, 8, 15, 30, 60, 60, 120, 120, 300];

/// Pauses afterwards, in seconds; the last one repeats.
const SPARSE: [u64; 4] = [600, 1_200, 2_400, 3_600];

/// Returns `pause`, changed by a random part of up to 20 % in either direction.
fn spread(pause: Duration, random: u64) -> Duration {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let width = (millis / 5).saturating_mul(2);
    Duration::from_millis(millis - millis / 5 + random % width.saturating_add(1))
}

/// Returns the pause after a number of failed attempts. `random` are any 64 random bits.
pub(super) fn pause_after(attempts: u32, retry_after: Option<Duration>, random: u64) -> Duration {
    let index = attempts.saturating_sub(1) as usize;
    let later = || SPARSE[index.saturating_sub(DENSE.len()).min(SPARSE.len() - 1)];
    let seconds = DENSE.get(index).copied().unwrap_or_else(later);
    let scheduled = spread(Duration::from_secs(seconds), random);
    scheduled.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// Returns `duration` after `now`.
pub(super) fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// Returns the time from `since` to `now`; zero if `since` is later.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Returns whether an event that failed first at this time is a dead letter.
pub(super) fn is_dead(first_failed_at: Timestamp, now: Timestamp) -> bool {
    elapsed(first_failed_at, now) >= DEAD_AFTER
}

/// The circuit breaker of an endpoint.
///
/// A failure counts if it says something about the endpoint as a whole. A failed connection always does. A response, or
/// none after the connection was made, may be about the order: it counts once per order, so an order that the endpoint
/// cannot process does not open the breaker by its retries. A probe prefers an order that has not failed, so such an
/// order does not keep the breaker open either.
#[derive(Default)]
pub(super) struct Breaker {
    /// Failures since the latest success that count.
    failures: u32,
    /// The latest orders among the failures since the latest success, oldest first, at most [`BREAKER_MEMORY`].
    orders: VecDeque<OrderId>,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Nothing is sent until a time.
    Open { until: Timestamp, probes: u32 },
    /// One request at a time is sent.
    HalfOpen { probes: u32 },
}

impl Breaker {
    /// Returns how many requests may be in flight. An open breaker whose pause is over becomes half-open.
    pub(super) fn allowed(&mut self, now: Timestamp) -> usize {
        if let State::Open { until, probes } = self.state
            && now >= until
        {
            self.state = State::HalfOpen { probes };
        }
        match self.state {
            State::Closed => usize::MAX,
            State::Open { .. } => 0,
            State::HalfOpen { .. } => 1,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Returns the time until which an open breaker sends nothing.
    pub(super) const fn open_until(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Returns whether the next request is a probe.
    pub(super) const fn is_probing(&self) -> bool {
        matches!(self.state, State::HalfOpen { .. })
    }

    /// Returns whether an order is among the latest failures.
    pub(super) fn has_failed(&self, order: OrderId) -> bool {
        self.orders.contains(&order)
    }

    /// Closes the breaker. Returns whether it was not closed.
    pub(super) fn succeeded(&mut self) -> bool {
        std::mem::take(self).state != State::Closed
    }

    /// Ends the pause of an open breaker, because the owner asks for an attempt: a probe is due now. If it fails, the pauses
    /// double from the first one again: the owner may be about to repair the endpoint.
    pub(super) const fn end_pause(&mut self) {
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen { probes: 0 };
        }
    }

    /// Takes note of a failure. Returns whether it opened the breaker. `is_unreachable`: no connection was made.
    pub(super) fn failed(
        &mut self,
        order: OrderId,
        is_unreachable: bool,
        now: Timestamp,
        random: u64,
    ) -> bool {
        let counts = is_unreachable || !self.has_failed(order);
        self.failures = self.failures.saturating_add(counts.into());
        self.remember(order);
        let probes = match self.state {
            State::HalfOpen { probes } => probes.saturating_add(1),
            State::Closed if self.failures >= BREAKER_FAILURES && self.orders.len() >= BREAKER_ORDERS => 0,
            State::Open { .. } | State::Closed => return false,
        };
        let pause = BREAKER_PAUSE.saturating_mul(1 << probes.min(16)).min(MAX_BREAKER_PAUSE);
        self.state = State::Open { until: after(now, spread(pause, random)), probes };
        true
    }

    /// Remembers that an order has failed, as the latest one.
    fn remember(&mut self, order: OrderId) {
        self.orders.retain(|other| *other != order);
        if self.orders.len() >= BREAKER_MEMORY {
            self.orders.pop_front();
        }
        self.orders.push_back(order);
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::Bucket;

    use super::*;

    /// Proves the exact schedule, its spread, and the limit of `Retry-After`.
    #[test]
    fn pauses_follow_the_schedule() {
        let middle = |attempts| {
            let base = pause_after(attempts, None, 0).as_millis() * 5 / 4;
            u64::try_from(base).unwrap() / 1_000
        };
        let expected = [1, 2, 4, 8, 15, 30, 60, 60, 120, 120, 300, 600, 1_200, 2_400, 3_600, 3_600, 3_600];
        for (attempts, seconds) in (1..).zip(expected) {
            assert_eq!(middle(attempts), seconds, "{attempts}");
            for random in [0, 1, 399, 400, 401, 12_345, u64::MAX] {
                let pause = pause_after(attempts, None, random);
                let exact = Duration::from_secs(seconds);
                assert!(pause >= exact * 4 / 5 && pause <= exact * 6 / 5, "{attempts} {pause:?}");
            }
        }
        assert_eq!(middle(u32::MAX), 3_600);
        let asked = |seconds| pause_after(1, Some(Duration::from_secs(seconds)), 0).as_secs();
        assert_eq!((asked(90), asked(1_000_000)), (90, 3_600));
        assert_eq!(pause_after(3, Some(Duration::ZERO), 0), Duration::from_millis(3_200));
    }

    fn order(random: u64) -> OrderId {
        OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(random), random)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Proves that failures of one order never open the breaker, that failed connections of two do, and that a probe
    /// decides.
    #[test]
    fn the_breaker_opens_over_two_orders() {
        let mut breaker = Breaker::default();
        assert!((0..50).all(|_| !breaker.failed(order(1), true, at(0), 0)));
        assert!(breaker.failed(order(2), true, at(0), 0));
        assert_eq!((breaker.allowed(at(7)), breaker.allowed(at(8))), (0, 1));
        assert!(breaker.failed(order(1), true, at(8), 0), "a failed probe opens the breaker again");
        assert_eq!((breaker.allowed(at(23)), breaker.allowed(at(24))), (0, 1));
        assert!(breaker.succeeded());
        assert_eq!(breaker.allowed(at(24)), usize::MAX);
        assert!(!breaker.failed(order(1), true, at(24), 0));
        assert!(!breaker.succeeded(), "the breaker was closed");
    }

    /// Proves that orders that an endpoint refuses count once each, however often they are retried: four of them never
    /// open the breaker, a fifth one does. A success in between makes the count begin anew.
    #[test]
    fn refused_orders_count_once() {
        let mut breaker = Breaker::default();
        for round in 0..50 {
            assert!((1..=4).all(|number| !breaker.failed(order(number), false, at(round), 0)), "{round}");
        }
        assert!(breaker.failed(order(5), false, at(50), 0));
        breaker.succeeded();
        assert!((1..=4).all(|number| !breaker.failed(order(number), false, at(60), 0)));
        breaker.succeeded();
        assert!(!breaker.failed(order(5), false, at(61), 0));
    }

    /// Proves that each failed probe doubles the pause, also with an order that failed before, and that the end of a
    /// pause makes a probe due at once, after which the pauses are short again.
    #[test]
    fn each_failed_probe_doubles_the_pause() {
        let mut breaker = Breaker::default();
        for number in 1..=5 {
            breaker.failed(order(number), false, at(0), 0);
        }
        for (failed_at, until) in [(8, 24), (24, 56), (56, 120)] {
            assert_eq!((breaker.allowed(at(failed_at - 1)), breaker.allowed(at(failed_at))), (0, 1));
            assert!(breaker.failed(order(3), false, at(failed_at), 0));
            assert_eq!(breaker.allowed(at(until - 1)), 0);
        }
        breaker.end_pause();
        assert_eq!(breaker.allowed(at(57)), 1);
        assert!(breaker.failed(order(3), false, at(57), 0));
        assert_eq!((breaker.allowed(at(72)), breaker.allowed(at(73))), (0, 1));
        let mut closed = Breaker::default();
        closed.end_pause();
        assert_eq!(closed.allowed(at(0)), usize::MAX);
    }
}
