//! The time of a server: its machine's clock plus the measured offset to the clock of the database.
//!
//! Servers on the same databases then agree on when a task is due, even if their machines' clocks differ. A machine
//! whose clock is far off still does harm outside Dabba (certificates, logs, signatures of webhooks), and a measurement
//! may be wrong. So beyond a limit, a server does not start; a running server reports that it is not ready, and
//! processes no tasks.
//!
//! The offset is measured in the background, never during a request. The database's answer is assumed to be taken in
//! the middle of the round trip. Of several samples the one with the shortest round trip counts, because it is the most
//! accurate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use dabba_domain::Timestamp;
use dabba_store::{Need, Store, StoreError, Supervisor};
use jiff::SignedDuration;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Clock;
use crate::condition::{Condition, Transition};

/// Number of samples per measurement.
const SAMPLES: usize = 3;

/// Maximum round trip of a valid measurement. The maximum error is half of it.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Settings of the clock check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockConfig {
    /// Maximum difference between the machine's clock and the database's.
    pub skew_limit: Duration,
    /// Interval between two measurements.
    pub interval: Duration,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { skew_limit: Duration::from_secs(5), interval: Duration::from_secs(10) }
    }
}

/// The machine's clock differs from the database's by more than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine is {:.1} s {} the clock of the database; at most {} s are allowed (the setting \
     clock_skew_limit_seconds). Synchronize both clocks, for example with chrony",
    .offset.as_secs_f64().abs(),
    if .offset.is_negative() { "ahead of" } else { "behind" },
    .limit.as_secs()
)]
pub struct ClockSkew {
    /// Offset that must be added to the machine's clock.
    pub offset: SignedDuration,
    /// The limit.
    pub limit: Duration,
}

/// The machine's clock, corrected by its offset to the clock of the database that contains the directory.
pub struct ServerClock {
    machine: Arc<dyn Clock>,
    config: ClockConfig,
    /// Offset in nanoseconds; zero before the first measurement.
    offset: AtomicI64,
    gauge: Gauge<f64, AtomicU64>,
}

impl ServerClock {
    /// Returns a clock that shows the machine's time until the first measurement.
    pub fn new(machine: Arc<dyn Clock>, config: ClockConfig) -> Self {
        Self { machine, config, offset: AtomicI64::new(0), gauge: Gauge::default() }
    }

    /// Registers the offset under its name in `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dabba_clock_offset_seconds",
            "Offset from the machine's clock to the database's, which is added to the machine's time",
            self.gauge.clone(),
        );
    }

    /// Returns the offset that is added to the machine's time.
    pub fn offset(&self) -> SignedDuration {
        SignedDuration::from_nanos(self.offset.load(Ordering::Relaxed))
    }

    /// Measures the offset. Without an answer, or after a slow one, the last offset is kept. A store that uses the
    /// machine's clock has no offset.
    pub async fn measure(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut best: Option<(Duration, SignedDuration)> = None;
        for _ in 0..SAMPLES {
            let (asked_at, asked) = (self.machine.now(), Instant::now());
            let Some(there) = store.time().await? else { return Ok(()) };
            let round_trip = asked.elapsed();
            let here = asked_at.checked_add(round_trip / 2).unwrap_or(asked_at);
            if best.is_none_or(|(quickest, _)| round_trip < quickest) {
                best = Some((round_trip, there.duration_since(here)));
            }
        }
        match best {
            Some((round_trip, offset)) if round_trip <= MAX_ROUND_TRIP => {
                self.set(offset);
                Ok(())
            }
            _ => Err(StoreError::Unavailable(
                "it answers too slowly to measure the offset of its clock".to_owned(),
            )),
        }
    }

    fn set(&self, offset: SignedDuration) {
        let nanoseconds = i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX);
        self.offset.store(nanoseconds, Ordering::Relaxed);
        self.gauge.set(offset.as_secs_f64());
    }

    /// Measures the offset at each interval for as long as the future is polled, as a part of this supervisor.
    pub async fn follow(self: Arc<Self>, store: Arc<dyn Store>, supervisor: Arc<Supervisor>) {
        let part = supervisor.part("clock_follower", Need::Helpful);
        supervisor.run(&part, || self.follow_until_it_fails(&*store)).await;
    }

    async fn follow_until_it_fails(&self, store: &dyn Store) -> Result<(), String> {
        let mut interval = interval_at(Instant::now() + self.config.interval, self.config.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut measuring, mut skew) = (Condition::default(), Condition::default());
        loop {
            interval.tick().await;
            match measuring.record(self.measure(store).await) {
                Some(Transition::Failed(error)) => {
                    tracing::warn!(%error, "the database's clock cannot be read; the last offset is used");
                }
                Some(Transition::Recovered) => tracing::info!("the database's clock can be read again"),
                None => {}
            }
            match skew.record(self.check()) {
                Some(Transition::Failed(skew)) => {
                    tracing::error!("not ready, and no tasks are executed: {skew}");
                }
                Some(Transition::Recovered) => tracing::info!("the clock is within the limit again"),
                None => {}
            }
        }
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let now = self.machine.now();
        now.saturating_add(self.offset()).unwrap_or(now)
    }

    fn check(&self) -> Result<(), ClockSkew> {
        let (offset, limit) = (self.offset(), self.config.skew_limit);
        if offset.unsigned_abs() <= limit { Ok(()) } else { Err(ClockSkew { offset, limit }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn the_offset_is_added_and_bounded() {
        let start: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let machine = Arc::new(ManualClock::new(start));
        let clock = ServerClock::new(Arc::clone(&machine) as _, ClockConfig::default());
        assert_eq!((clock.now(), clock.check()), (start, Ok(())));
        for (offset, text) in [(312_400, "312.4 s behind the clock"), (-5_001, "5.0 s ahead of the clock")] {
            let offset = SignedDuration::from_millis(offset);
            clock.set(offset);
            assert_eq!(clock.now(), start + offset);
            let skew = clock.check().unwrap_err();
            assert_eq!((skew.offset, skew.limit), (offset, Duration::from_secs(5)));
            let shown = skew.to_string();
            assert!(shown.contains(text) && shown.contains("at most 5 s"), "{shown}");
        }
        clock.set(SignedDuration::from_secs(-5));
        assert_eq!(clock.check(), Ok(()));
        machine.advance(SignedDuration::from_hours(1));
        assert_eq!(clock.now(), start + SignedDuration::from_secs(3_595));
        clock.set(SignedDuration::MAX);
        assert!(clock.check().is_err() && clock.now() >= start);
    }
}
