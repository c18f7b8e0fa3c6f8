//! Metrics of webhooks.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Label: an outcome of an attempt.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Label: a shard.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShardLabel {
    shard: String,
}

/// State of a session at one time, for the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionState {
    pub(super) lag_events: usize,
    pub(super) lag: Duration,
    pub(super) in_flight: usize,
    pub(super) open_breakers: usize,
    pub(super) behind: usize,
    pub(super) disabled: usize,
    pub(super) disabling_soon: usize,
    pub(super) failing: usize,
}

/// Metrics of the senders of a process.
#[derive(Default)]
pub struct WebhookMetrics {
    attempts: Family<OutcomeLabel, Counter>,
    events: Counter,
    dead_letters: Counter,
    disabled_by_sender: Counter,
    lag_events: Family<ShardLabel, Gauge>,
    lag_seconds: Family<ShardLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
    in_flight: Family<ShardLabel, Gauge>,
    open_breakers: Family<ShardLabel, Gauge>,
    behind: Family<ShardLabel, Gauge>,
    disabled: Family<ShardLabel, Gauge>,
    disabling_soon: Family<ShardLabel, Gauge>,
    failing: Family<ShardLabel, Gauge>,
}

impl WebhookMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, metric: &Family<ShardLabel, Gauge>| {
            registry.register(name, help, metric.clone());
        };
        add("dabba_webhook_lag_events", "Events with undecided deliveries, per shard", &self.lag_events);
        add("dabba_webhook_in_flight", "Requests in flight, per shard", &self.in_flight);
        add("dabba_webhook_open_breakers", "Endpoints with an open breaker, per shard", &self.open_breakers);
        add("dabba_webhook_endpoints_behind", "Endpoints that catch up, per shard", &self.behind);
        add("dabba_webhook_endpoints_disabled", "Disabled endpoints, per shard", &self.disabled);
        let help = "Endpoints that have failed for 4 days and will be disabled within a day, per shard";
        add("dabba_webhook_endpoints_disabling_soon", help, &self.disabling_soon);
        let help = "Orders whose delivery to an endpoint failed, dead letters included, per shard";
        add("dabba_webhook_failing_orders", help, &self.failing);
        let help = "Age of the oldest event with an undecided delivery, in seconds, per shard";
        registry.register("dabba_webhook_lag_seconds", help, self.lag_seconds.clone());
        for outcome in ["delivered", "failed"] {
            // A counter that appears with its first increment hides that increment from `rate`.
            drop(self.attempts.get_or_create(&OutcomeLabel { outcome }));
        }
        registry.register(
            "dabba_webhook_attempts",
            "Requests to endpoints, by outcome",
            self.attempts.clone(),
        );
        registry.register("dabba_webhook_events", "Events that endpoints accepted", self.events.clone());
        registry.register(
            "dabba_webhook_dead_letters",
            "Orders of which an event became a dead letter",
            self.dead_letters.clone(),
        );
        registry.register(
            "dabba_webhook_disabled",
            "Endpoints that the server disabled: gone, failing or position_lost",
            self.disabled_by_sender.clone(),
        );
    }

    pub(super) fn attempted(&self, is_success: bool, events: usize) {
        let outcome = if is_success { "delivered" } else { "failed" };
        self.attempts.get_or_create(&OutcomeLabel { outcome }).inc();
        if is_success {
            self.events.inc_by(events as u64);
        }
    }

    pub(super) fn dead_letter(&self) {
        self.dead_letters.inc();
    }

    pub(super) fn disabled(&self) {
        self.disabled_by_sender.inc();
    }

    pub(super) fn set(&self, shard: &str, state: SessionState) {
        let label = ShardLabel { shard: shard.to_owned() };
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.lag_events.get_or_create(&label).set(number(state.lag_events));
        self.lag_seconds.get_or_create(&label).set(state.lag.as_secs_f64());
        self.in_flight.get_or_create(&label).set(number(state.in_flight));
        self.open_breakers.get_or_create(&label).set(number(state.open_breakers));
        self.behind.get_or_create(&label).set(number(state.behind));
        self.disabled.get_or_create(&label).set(number(state.disabled));
        self.disabling_soon.get_or_create(&label).set(number(state.disabling_soon));
        self.failing.get_or_create(&label).set(number(state.failing));
    }

    /// Removes the gauges of a shard.
    pub(super) fn clear(&self, shard: &str) {
        let label = ShardLabel { shard: shard.to_owned() };
        self.lag_seconds.remove(&label);
        let gauges = [
            &self.lag_events,
            &self.in_flight,
            &self.open_breakers,
            &self.behind,
            &self.disabled,
            &self.disabling_soon,
            &self.failing,
        ];
        for gauge in gauges {
            gauge.remove(&label);
        }
    }
}
