//! Readiness of a server: silent shards, outdated shards and parts that are down.

mod probe;

use std::{fmt, sync::Arc};

use dabba_store::{Health, Need, PartStatus, Store, Supervisor};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

pub(crate) use self::probe::Probe;
use crate::{Engine, Error, accounts::Revocations, measure::ShardsCollector};

/// Readiness of a server: silent shards, outdated shards and parts that are down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The names of the shards that do not answer, in the order of the shard map.
    pub silent_shards: Vec<String>,
    /// The names of the shards that were split after this process read the shard map, in the order of the map.
    pub outdated_shards: Vec<String>,
    /// The names of the parts that are down or stuck, while the server can still do part of its work.
    pub parts_down: Vec<String>,
}

impl Readiness {
    /// Returns whether the server can do all of its work.
    pub const fn is_healthy(&self) -> bool {
        self.silent_shards.is_empty() && self.outdated_shards.is_empty() && self.parts_down.is_empty()
    }
}

impl Engine {
    /// Returns how much of its work the server can do. Fails if the server can serve nothing, while the clock is off
    /// beyond its limit, and while an essential part is down: a committer or a worker. Answers within a third of a
    /// second, even if the store does not answer.
    pub async fn check_ready(&self) -> Result<Readiness, Error> {
        self.clock.check()?;
        let parts = all_parts(&self.supervisor, &*self.store).into_iter();
        let are_stuck = self.writer.committers.are_stuck();
        // A stuck part usually waits for a database. While other shards answer, the server stays ready.
        let (essential, helpful): (Vec<_>, Vec<_>) = parts
            .filter(|part| part.is_down || part.is_stuck)
            .partition(|part| part.need == Need::Essential && (part.is_down || are_stuck));
        let names = |parts: Vec<PartStatus>| parts.into_iter().map(|part| part.name).collect();
        if !essential.is_empty() {
            return Err(Error::PartsDown(names(essential)));
        }
        let Health { silent_shards, outdated_shards } = self.probe.health().await?;
        Ok(Readiness { silent_shards, outdated_shards, parts_down: names(helpful) })
    }

    /// Pings the store more than twice a second, so that [`Engine::check_ready`] has a recent answer while the store
    /// does not answer. Runs until the future is dropped.
    pub async fn watch_readiness(self: Arc<Self>) {
        self.probe.keep_pinging().await;
    }

    /// Registers all metrics of the engine under their names in `/metrics`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        let (supervisor, store) = (Arc::clone(&self.supervisor), Arc::clone(&self.store));
        let shards =
            ShardsCollector { store: Arc::clone(&store), measurements: Arc::clone(&self.measurements) };
        registry.register_collector(Box::new(shards));
        registry.register_collector(Box::new(PartsCollector { supervisor, store }));
        registry.register_collector(Box::new(RevocationsAge(Arc::clone(&self.accounts.revocations))));
    }
}

/// Returns the parts of the engine and of its store.
fn all_parts(supervisor: &Supervisor, store: &dyn Store) -> Vec<PartStatus> {
    let mut parts = supervisor.parts();
    parts.extend(store.parts());
    parts
}

/// Exports the time since the revocations were last read.
#[derive(Debug)]
struct RevocationsAge(Arc<Revocations>);

impl Collector for RevocationsAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Seconds since the revocations of tokens were last read.";
        let unit = Some(&Unit::Seconds);
        let age = encoder.encode_descriptor("dabba_revocations_age", help, unit, MetricType::Gauge)?;
        ConstGauge::new(self.0.age().as_secs_f64()).encode(age)
    }
}

/// Exports the state of each part at the time of the scrape, because a part also comes up by the passing of time.
struct PartsCollector {
    supervisor: Arc<Supervisor>,
    store: Arc<dyn Store>,
}

impl fmt::Debug for PartsCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PartsCollector").finish_non_exhaustive()
    }
}

impl Collector for PartsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let parts = all_parts(&self.supervisor, &*self.store);
        let help = "Panics and unexpected ends of a part of the server.";
        let mut family = encoder.encode_descriptor("dabba_part_failures", help, None, MetricType::Counter)?;
        for part in &parts {
            let labels = [("part", part.name.as_str())];
            ConstCounter::new(part.failures).encode(family.encode_family(&labels)?)?;
        }
        let help = "0 while a part of the server keeps failing or waits unusually long, else 1.";
        let mut family = encoder.encode_descriptor("dabba_part_up", help, None, MetricType::Gauge)?;
        for part in &parts {
            let labels = [("part", part.name.as_str())];
            ConstGauge::new(i64::from(!part.is_down && !part.is_stuck))
                .encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
