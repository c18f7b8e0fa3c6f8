//! What the store counts.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counters of a [`crate::PostgresStore`]. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct PostgresMetrics {
    /// Transactions that were begun, each attempt counted.
    pub attempts: Counter,
    /// Attempts that ended with 40001.
    pub serialization_failures: Counter,
    /// Attempts that ended with 40P01.
    pub deadlocks: Counter,
    /// Attempts that were rolled back because a condition of a commit did not hold.
    pub refutations: Counter,
    /// Transactions that were given up after the last attempt.
    pub give_ups: Counter,
    /// Batches whose connection was lost at COMMIT, so that their outcome was unknown at first.
    pub unknown_outcomes: Counter,
    /// Reads that a replica answered.
    pub replica_reads: Counter,
    /// Those of them of which it was found out what had become of them.
    pub unknown_outcomes_resolved: Counter,
    /// Those of them whose outcome stayed unknown.
    pub unknown_outcomes_left: Counter,
}

impl PostgresMetrics {
    /// Adds the counters to a registry, with `postgres` before their names.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("postgres");
        for (name, help, counter) in [
            ("transaction_attempts", "Transactions begun, each attempt counted", &self.attempts),
            (
                "serialization_failures",
                "Attempts that ended with SQLSTATE 40001",
                &self.serialization_failures,
            ),
            ("deadlocks", "Attempts that ended with SQLSTATE 40P01", &self.deadlocks),
            ("refutations", "Attempts rolled back because a condition did not hold", &self.refutations),
            ("give_ups", "Transactions given up after the last attempt", &self.give_ups),
            ("unknown_outcomes", "Batches whose connection was lost at COMMIT", &self.unknown_outcomes),
            (
                "unknown_outcomes_resolved",
                "Batches lost at COMMIT whose outcome was found out",
                &self.unknown_outcomes_resolved,
            ),
            (
                "unknown_outcomes_left",
                "Batches lost at COMMIT whose outcome stayed unknown",
                &self.unknown_outcomes_left,
            ),
            ("replica_reads", "Reads that a replica answered", &self.replica_reads),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted is what is shown.
    #[test]
    fn counters_are_registered() {
        let (metrics, mut registry) = (PostgresMetrics::default(), Registry::default());
        metrics.register(&mut registry);
        metrics.deadlocks.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("postgres_deadlocks_total 1"), "{text}");
        assert!(text.contains("postgres_give_ups_total 0"), "{text}");
    }
}
