//! The measurements of a store.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Measurements of a [`crate::PostgresStore`]. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct PostgresMetrics {
    /// Transactions begun, each attempt counted.
    pub attempts: Counter,
    /// Attempts that ended with SQLSTATE 40001.
    pub serialization_failures: Counter,
    /// Attempts that ended with SQLSTATE 40P01.
    pub deadlocks: Counter,
    /// Attempts rolled back because a condition of a commit did not hold.
    pub refutations: Counter,
    /// Transactions given up after the last attempt.
    pub give_ups: Counter,
    /// Batches whose connection was lost at COMMIT, so that their outcome was unknown at first.
    pub unknown_outcomes: Counter,
    /// Reads that a replica answered.
    pub replica_reads: Counter,
    /// Batches lost at COMMIT whose outcome was resolved.
    pub unknown_outcomes_resolved: Counter,
    /// Batches lost at COMMIT whose outcome stayed unknown.
    pub unknown_outcomes_unresolved: Counter,
    /// Time for which an open transaction of the cluster has delayed the feed, in seconds; 0 if none does.
    pub oldest_writer: Gauge<f64, AtomicU64>,
}

/// Name and help text of the gauge.
const OLDEST_WRITER: (&str, &str) = (
    "dabba_postgres_oldest_writer_seconds",
    "Time for which an open transaction of the cluster has delayed the feed, in seconds; 0 if none does.",
);

type Read = fn(&PostgresMetrics) -> &Counter;

/// Every counter: its name, its help text, and its field.
const COUNTERS: &[(&str, &str, Read)] = &[
    ("dabba_postgres_transaction_attempts", "Transactions begun, each attempt counted.", |all| &all.attempts),
    ("dabba_postgres_serialization_failures", "Attempts that ended with SQLSTATE 40001.", |all| {
        &all.serialization_failures
    }),
    ("dabba_postgres_deadlocks", "Attempts that ended with SQLSTATE 40P01.", |all| &all.deadlocks),
    ("dabba_postgres_refutations", "Attempts rolled back because a condition did not hold.", |all| {
        &all.refutations
    }),
    ("dabba_postgres_give_ups", "Transactions given up after the last attempt.", |all| &all.give_ups),
    ("dabba_postgres_unknown_outcomes", "Batches whose connection was lost at COMMIT.", |all| {
        &all.unknown_outcomes
    }),
    (
        "dabba_postgres_unknown_outcomes_resolved",
        "Batches lost at COMMIT whose outcome was resolved.",
        |all| &all.unknown_outcomes_resolved,
    ),
    ("dabba_postgres_unknown_outcomes_left", "Batches lost at COMMIT whose outcome stayed unknown.", |all| {
        &all.unknown_outcomes_unresolved
    }),
    ("dabba_postgres_replica_reads", "Reads that a replica answered.", |all| &all.replica_reads),
];

impl PostgresMetrics {
    /// Registers the measurements of all shards with the shard's name as a label. All shards are registered together,
    /// because the metric formats require that all series of a name follow one description.
    pub fn register(shards: Vec<(String, Self)>, registry: &mut Registry) {
        registry.register_collector(Box::new(PostgresCollector(shards)));
    }
}

#[derive(Debug)]
struct PostgresCollector(Vec<(String, PostgresMetrics)>);

impl Collector for PostgresCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, read) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (shard, metrics) in &self.0 {
                let labels = [("shard", shard.as_str())];
                read(metrics).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family =
            encoder.encode_descriptor(OLDEST_WRITER.0, OLDEST_WRITER.1, None, MetricType::Gauge)?;
        for (shard, metrics) in &self.0 {
            metrics.oldest_writer.encode(family.encode_family(&[("shard", shard.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each counter has its shard's name as a label, and each name is described once.
    #[test]
    fn counters_are_registered() {
        let shards = ["north", "south"].map(|name| (name.to_owned(), PostgresMetrics::default()));
        let (metrics, mut registry) = (shards[1].1.clone(), Registry::default());
        PostgresMetrics::register(shards.to_vec(), &mut registry);
        metrics.deadlocks.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("dabba_postgres_deadlocks_total{shard=\"south\"} 1"), "{text}");
        assert!(text.contains("dabba_postgres_give_ups_total{shard=\"north\"} 0"), "{text}");
        assert_eq!(text.matches("# TYPE dabba_postgres_deadlocks ").count(), 1, "{text}");
        assert!(text.contains("dabba_postgres_oldest_writer_seconds{shard=\"north\"} 0"), "{text}");
    }
}
