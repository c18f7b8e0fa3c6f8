//! Measurement of the databases for operators, in the background.
//!
//! `/metrics` shows the last measurement of each shard and its time, so a scrape never waits for a database and never
//! fails because of one. A separate part measures each shard, so a shard that hangs does not delay the others.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_domain::{
    Timestamp,
    task::{TaskKind, TaskQueue},
};
use dabba_store::{Measurement, Need, PoolStatus, Standby, StandbyMode, Store, StoreError};
use futures::future::join_all;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use tokio::time::MissedTickBehavior;

use crate::{
    Engine,
    condition::{Condition, Transition},
};

/// Minimum interval between two measurements of a shard.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// The last measurement of each shard, by index.
#[derive(Debug)]
pub(crate) struct Measurements {
    shards: Vec<Mutex<Measured>>,
}

/// The last measurement of a shard.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// Whether the last measurement succeeded. `None` before the first.
    is_up: Option<bool>,
    /// The last successful measurement, and its time.
    last: Option<(Timestamp, Measurement)>,
}

impl Measurements {
    pub(crate) fn new(shard_count: usize) -> Self {
        Self { shards: (0..shard_count).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, index: usize) -> Option<MutexGuard<'_, Measured>> {
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, index: usize, at: Timestamp, measured: &Result<Measurement, StoreError>) {
        let Some(mut shard) = self.shard(index) else { return };
        shard.is_up = Some(measured.is_ok());
        if let Ok(measured) = measured {
            shard.last = Some((at, measured.clone()));
        }
    }

    fn all(&self) -> Vec<Measured> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

impl Engine {
    /// Measures every shard at each [`crate::EngineConfig::measurement_interval`]. Runs until the future is dropped.
    pub async fn measure_shards(self: Arc<Self>) {
        join_all((0..self.store.shard_count()).map(async |shard| {
            let part = self.supervisor.part(format!("measurer_{shard}"), Need::Helpful);
            self.supervisor.run(&part, || self.measure_until_it_fails(shard)).await;
        }))
        .await;
    }

    async fn measure_until_it_fails(&self, shard: usize) -> Result<(), String> {
        let mut interval = tokio::time::interval(self.config.measurement_interval.max(MIN_INTERVAL));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            match condition.record(self.measure_shard(shard).await) {
                Some(Transition::Failed(error)) => {
                    tracing::warn!(%error, shard, "a shard cannot be measured; /metrics shows its last measurement");
                }
                Some(Transition::Recovered) => tracing::info!(shard, "a shard is measured again"),
                None => {}
            }
        }
    }

    /// Measures a shard once for `/metrics`.
    pub async fn measure_shard(&self, shard: usize) -> Result<(), StoreError> {
        let (now, limit) = (self.now(), self.config.measurement_timeout);
        let measured = tokio::time::timeout(limit, self.store.measure(shard, now)).await;
        let measured =
            measured.unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {limit:?}"))));
        self.measurements.note(shard, now, &measured);
        measured.map(drop)
    }
}

/// Exports the last measurements, and the use of the connection pools at the time of the scrape.
pub(crate) struct ShardsCollector {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) measurements: Arc<Measurements>,
}

impl fmt::Debug for ShardsCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ShardsCollector").finish_non_exhaustive()
    }
}

impl Collector for ShardsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (names, measured) = (self.store.shard_names(), self.measurements.all());
        let shards: Vec<_> = names.iter().map(String::as_str).zip(&measured).collect();
        let directory = measured.get(self.store.directory()).and_then(|shard| shard.is_up);
        encode_state(&mut encoder, &shards, directory)?;
        let last: Vec<Last<'_>> =
            shards.iter().filter_map(|(name, shard)| Some((*name, shard.last.as_ref()?))).collect();
        encode_tasks(&mut encoder, &last)?;
        encode_standbys(&mut encoder, &last)?;
        encode_pools(&mut encoder, &self.store.pools())
    }
}

/// A shard's name and its last successful measurement.
type Last<'a> = (&'a str, &'a (Timestamp, Measurement));

/// Encodes a gauge.
fn gauge<L: EncodeLabelSet, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: impl IntoIterator<Item = (L, V)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_state(
    encoder: &mut DescriptorEncoder<'_>,
    shards: &[(&str, &Measured)],
    directory: Option<bool>,
) -> Result<(), fmt::Error> {
    let up = ("dabba_shard_up", "1 if the shard's database answered the last measurement, else 0.");
    let is_up = shards.iter().filter_map(|(name, shard)| Some(([("shard", *name)], i64::from(shard.is_up?))));
    gauge(encoder, up, is_up)?;
    let up =
        ("dabba_directory_up", "1 if the database of the accounts answered the last measurement, else 0.");
    let family = encoder.encode_descriptor(up.0, up.1, None, MetricType::Gauge)?;
    if let Some(is_up) = directory {
        ConstGauge::new(i64::from(is_up)).encode(family)?;
    }
    let measured = (
        "dabba_shard_measured_timestamp_seconds",
        "Time of the shard's last measurement, in seconds since 1970: its tasks and standbys are as of then.",
    );
    let times = shards.iter().filter_map(|(name, shard)| {
        let (at, _) = shard.last.as_ref()?;
        Some(([("shard", *name)], at.as_duration().as_secs_f64()))
    });
    gauge(encoder, measured, times)
}

fn encode_tasks(encoder: &mut DescriptorEncoder<'_>, last: &[Last<'_>]) -> Result<(), fmt::Error> {
    let parked = ("dabba_tasks_parked", "Parked tasks, which wait for an admin.");
    // Kinds without parked tasks are exported as 0: an alert on a change needs a value before the first task is parked.
    let counts = last.iter().map(|(shard, (_, measured))| {
        let mut counts: BTreeMap<&str, u64> = TaskKind::ALL.iter().map(|kind| (kind.as_str(), 0)).collect();
        counts.extend(measured.parked.iter().map(|(kind, count)| (kind.as_str(), *count)));
        (*shard, counts)
    });
    let counts = counts.flat_map(|(shard, counts)| {
        counts.into_iter().map(move |(kind, count)| ([("shard", shard), ("kind", kind)], count))
    });
    gauge(encoder, parked, counts)?;
    let overdue = (
        "dabba_task_oldest_overdue_seconds",
        "Time since the oldest due task that no worker has leased became due; 0 without such a task.",
    );
    let ages = last.iter().flat_map(|(shard, (at, measured))| {
        TaskQueue::ALL.iter().map(move |queue| {
            let due = measured.overdue.iter().find(|(of, _)| of == queue).map_or(*at, |(_, due)| *due);
            ([("shard", *shard), ("queue", queue.as_str())], at.duration_since(due).as_secs_f64().max(0.0))
        })
    });
    gauge(encoder, overdue, ages)?;
    let due = ("dabba_tasks_due", "Due tasks that no worker has leased, at most 10,000.");
    let counts = last.iter().flat_map(|(shard, (_, measured))| {
        let counts = measured.due.iter();
        counts.map(move |(queue, count)| ([("shard", *shard), ("queue", queue.as_str())], *count))
    });
    gauge(encoder, due, counts)
}

fn encode_standbys(encoder: &mut DescriptorEncoder<'_>, last: &[Last<'_>]) -> Result<(), fmt::Error> {
    let with_standbys =
        || last.iter().filter_map(|(shard, (_, measured))| Some((*shard, measured.standbys.as_ref()?)));
    let count = (
        "dabba_standbys",
        "Standbys that receive the shard's log, by whether commits wait for them; hidden: the user lacks pg_monitor.",
    );
    let counts = with_standbys().flat_map(|(shard, standbys)| {
        StandbyMode::ALL.map(|mode| {
            let count = standbys.iter().filter(|standby| standby.mode == mode).count();
            ([("shard", shard), ("mode", mode.as_str())], count)
        })
    });
    gauge(encoder, count, counts)?;
    let bytes = ("dabba_standby_lag_bytes", "Bytes of the shard's log that a standby has not replayed.");
    let lags = largest(with_standbys(), |standby| standby.lag_bytes);
    gauge(encoder, bytes, lags)?;
    let seconds = (
        "dabba_standby_lag_seconds",
        "Time from the flush of the shard's latest log to a standby's replay, as the primary reports it.",
    );
    let lags = largest(with_standbys(), |standby| standby.lag);
    gauge(encoder, seconds, lags.into_iter().map(|(labels, lag)| (labels, lag.as_secs_f64())))
}

/// Labels of a standby: shard, name, address and mode.
type StandbyLabels<'a> = [(&'static str, &'a str); 4];

/// Returns the largest value of all standbys with the same labels. Names need not be unique.
fn largest<'a, T: Ord>(
    shards: impl Iterator<Item = (&'a str, &'a Vec<Standby>)>,
    value: impl Fn(&Standby) -> Option<T>,
) -> BTreeMap<StandbyLabels<'a>, T> {
    let mut largest = BTreeMap::new();
    for (shard, standbys) in shards {
        for standby in standbys {
            let Some(value) = value(standby) else { continue };
            let (name, address) = (standby.name.as_str(), standby.address.as_str());
            let labels =
                [("shard", shard), ("standby", name), ("address", address), ("mode", standby.mode.as_str())];
            if largest.get(&labels).is_none_or(|so_far| *so_far < value) {
                largest.insert(labels, value);
            }
        }
    }
    largest
}

fn encode_pools(encoder: &mut DescriptorEncoder<'_>, pools: &[PoolStatus]) -> Result<(), fmt::Error> {
    let connections = ("dabba_pool_connections", "Open connections of a pool, by state.");
    let states = pools.iter().flat_map(|pool| {
        let used = pool.open.saturating_sub(pool.idle);
        [("idle", pool.idle), ("used", used)].map(|(state, count)| {
            ([("shard", pool.shard.as_str()), ("pool", pool.pool), ("state", state)], count)
        })
    });
    gauge(encoder, connections, states)?;
    let of_each =
        |value: fn(&PoolStatus) -> usize| pools.iter().map(move |pool| (labels_of(pool), value(pool)));
    let limit = ("dabba_pool_connection_limit", "Maximum number of connections of a pool.");
    gauge(encoder, limit, of_each(|pool| pool.limit))?;
    let waiting = ("dabba_pool_waiting", "Calls that wait for a connection of a pool.");
    gauge(encoder, waiting, of_each(|pool| pool.waiting))
}

fn labels_of(pool: &PoolStatus) -> [(&str, &str); 2] {
    [("shard", pool.shard.as_str()), ("pool", pool.pool)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that two standbys with the same name and address are one series, which shows the larger lag.
    #[test]
    fn standbys_with_the_same_labels_are_one_series() {
        let standby = |lag_bytes| Standby {
            name: "walreceiver".to_owned(),
            address: String::new(),
            mode: StandbyMode::Asynchronous,
            lag_bytes,
            lag: None,
        };
        let standbys = vec![standby(Some(5)), standby(Some(7)), standby(None)];
        let found = largest([("main", &standbys)].into_iter(), |standby| standby.lag_bytes);
        assert_eq!(found.into_values().collect::<Vec<_>>(), [7]);
    }
}
