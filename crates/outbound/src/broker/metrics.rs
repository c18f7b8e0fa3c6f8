//! Measurements of the publisher.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What the publisher of a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// Another process publishes.
    Standby,
    /// Connects to the broker, or pauses before the next attempt.
    Connecting,
    /// Publishes.
    Publishing,
}

impl BrokerState {
    const ALL: [Self; 3] = [Self::Standby, Self::Connecting, Self::Publishing];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Connecting => "connecting",
            Self::Publishing => "publishing",
        }
    }
}

/// Label: a state.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Label: a reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Reasons why a session with the broker ended.
pub(super) const REASONS: [&str; 5] = ["unavailable", "conflict", "refused", "events", "lease"];

/// Measurements of the publisher. Clones share them.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    published: Counter,
    failures: Family<ReasonLabel, Counter>,
    rewinds: Counter,
    restarts: Counter,
    lag: Gauge<f64, AtomicU64>,
    state: Family<StateLabel, Gauge>,
}

impl Default for BrokerMetrics {
    /// Counters start at 0: an alert on an increase needs a value before the first failure.
    fn default() -> Self {
        let metrics = Self {
            published: Counter::default(),
            failures: Family::default(),
            rewinds: Counter::default(),
            restarts: Counter::default(),
            lag: Gauge::default(),
            state: Family::default(),
        };
        for reason in REASONS {
            metrics.failures.get_or_create_owned(&ReasonLabel { reason });
        }
        for state in BrokerState::ALL {
            metrics.state.get_or_create_owned(&StateLabel { state: state.as_str() });
        }
        metrics
    }
}

impl BrokerMetrics {
    /// Registers the measurements.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "dabba_broker_events_published",
            "Events that the broker confirmed to this process",
            metrics.published.clone(),
        );
        registry.register(
            "dabba_broker_failures",
            "Sessions with the broker that failed, by reason: the broker does not answer (unavailable), another program changed the stream \
             (conflict), the broker refuses (refused), the events cannot be read (events), the lease cannot be taken (lease)",
            metrics.failures.clone(),
        );
        registry.register(
            "dabba_broker_rewinds",
            "Connections to a broker that did not hold the last event that it had confirmed to this process",
            metrics.rewinds.clone(),
        );
        registry.register(
            "dabba_broker_restarts",
            "Times that this process began to publish all events again because a database was restored or replaced",
            metrics.restarts.clone(),
        );
        registry.register(
            "dabba_broker_lag_seconds",
            "Time since the broker held all events, in seconds; 0 if it holds all, or if another process publishes",
            metrics.lag.clone(),
        );
        registry.register(
            "dabba_broker_state",
            "1 for the present state of this process's publisher: standby, connecting or publishing; all are 0 without a broker",
            metrics.state.clone(),
        );
        metrics
    }

    /// Returns the number of events that the broker confirmed.
    pub fn published(&self) -> u64 {
        self.published.get()
    }

    /// Returns the number of rewinds.
    pub fn rewinds(&self) -> u64 {
        self.rewinds.get()
    }

    /// Returns the number of times that all events were published again.
    pub fn restarts(&self) -> u64 {
        self.restarts.get()
    }

    /// Returns the time since the broker held all events, in seconds.
    pub fn lag_seconds(&self) -> f64 {
        self.lag.get()
    }

    /// Returns whether the publisher is in a state.
    pub fn is_in(&self, state: BrokerState) -> bool {
        self.state.get_or_create_owned(&StateLabel { state: state.as_str() }).get() == 1
    }

    pub(super) fn count_published(&self, events: usize) {
        self.published.inc_by(events as u64);
    }

    pub(super) fn count_failure(&self, reason: &'static str) {
        self.failures.get_or_create_owned(&ReasonLabel { reason }).inc();
    }

    pub(super) fn count_rewind(&self) {
        self.rewinds.inc();
    }

    pub(super) fn count_restart(&self) {
        self.restarts.inc();
    }

    pub(super) fn show_lag(&self, seconds: f64) {
        self.lag.set(seconds);
    }

    pub(super) fn show_state(&self, state: BrokerState) {
        for each in BrokerState::ALL {
            let gauge = self.state.get_or_create_owned(&StateLabel { state: each.as_str() });
            gauge.set(i64::from(each == state));
        }
    }
}
