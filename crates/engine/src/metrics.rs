//! What the engine measures about itself.

use dabba_domain::order::OrderStatus;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// The status that orders came to.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StatusLabel {
    /// Its name.
    pub status: &'static str,
}

/// What the engine measures about itself.
#[derive(Debug)]
pub struct EngineMetrics {
    /// Commits in a transaction.
    pub batch_size: Histogram,
    /// Time of a transaction, in seconds.
    pub commit_seconds: Histogram,
    /// Commits that wait for a committer.
    pub queue_depth: Gauge,
    /// Commits that were refused because the queue was full.
    pub queue_full: Counter,
    /// Decisions made again because the order or the catalogue had changed.
    pub decision_retries: Counter,
    /// Requests answered from an idempotency key.
    pub replays: Counter,
    /// Orders by the status that they came to.
    pub orders: Family<StatusLabel, Counter>,
    /// Idempotency keys forgotten for their age.
    pub keys_forgotten: Counter,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            queue_depth: Gauge::default(),
            queue_full: Counter::default(),
            decision_retries: Counter::default(),
            replays: Counter::default(),
            orders: Family::default(),
            keys_forgotten: Counter::default(),
        }
    }
}

impl EngineMetrics {
    /// Registers everything under the names that `/metrics` shows. Counters get `_total` there.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("dabba_commit_batch_size", "Commits in a transaction", self.batch_size.clone());
        registry.register("dabba_commit_seconds", "Time of a transaction", self.commit_seconds.clone());
        registry.register("dabba_commit_queue_depth", "Commits that wait", self.queue_depth.clone());
        registry.register(
            "dabba_commit_queue_full",
            "Commits refused for a full queue",
            self.queue_full.clone(),
        );
        registry.register(
            "dabba_decision_retries",
            "Decisions made again on a newer state",
            self.decision_retries.clone(),
        );
        registry.register(
            "dabba_idempotent_replays",
            "Requests answered from an idempotency key",
            self.replays.clone(),
        );
        registry.register("dabba_orders", "Orders by the status that they came to", self.orders.clone());
        registry.register(
            "dabba_keys_forgotten",
            "Idempotency keys forgotten for their age",
            self.keys_forgotten.clone(),
        );
    }

    /// Counts an order that came to a status.
    pub fn count_order(&self, status: OrderStatus) {
        self.orders.get_or_create(&StatusLabel { status: status.as_str() }).inc();
    }
}
