//! Statistics of the platform: roll-ups per minute, and their reading.
//!
//! No request waits for statistics, and no commit contains a statement for them:
//!
//! | values | derived from | written by |
//! |---|---|---|
//! | orders, acceptance, lateness, delivery | the feed of the shard | the process that holds the shard's lease, exactly once |
//! | waiting tasks and their age | a measurement of the shard, once per minute | the same process |
//! | latency of placing | the durations that each process measures | each process, in rows of its own |
//!
//! Any number of processes may run on the same databases. If the lease holder dies, another process takes the lease when
//! it has expired, reads the stored position and continues there. Position and values are one transaction, so an event
//! neither counts twice nor is left out ([`dabba_store::StatisticsStore`]).
//!
//! A process writes its durations of each minute as a whole, again and again while the minute lasts. It loses those
//! since its last write if it is killed, at most one interval, and those of the oldest minutes while a shard does not
//! answer for longer than [`latency::KEPT_MINUTES`].

mod derived;
mod followed;
mod latency;
mod merging;
mod reading;
mod roll_up;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use dabba_store::{Need, StatisticsRow, Store, StoreError, Supervisor};
use futures::future::{join, join_all};
use jiff::SignedDuration;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{MissedTickBehavior, interval, timeout},
};

pub(crate) use self::latency::PlacingLatency;
pub use self::reading::{
    DEFAULT_STATISTICS_RANGE, DEFAULT_STATISTICS_STEP_SECONDS, MAX_STATISTICS_POINTS, MAX_STATISTICS_RANGE,
    MAX_STATISTICS_STEP_SECONDS, StatisticsAnswer, StatisticsPoint, StatisticsQuery, StatisticsQueryError,
    StatisticsSeries,
};
use self::roll_up::RollingUp;
use crate::{
    Clock, Error, Random,
    condition::{Condition, Transition},
};

/// Time for which statistics are stored.
pub const STATISTICS_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Minimum interval of roll-ups.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Maximum number of requests that read statistics at the same time. Others wait.
const MAX_READS: usize = 4;

/// Use cases of statistics, and the parts that roll them up.
pub struct Statistics {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    supervisor: Arc<Supervisor>,
    interval: Duration,
    pub(crate) latency: Arc<PlacingLatency>,
    /// Random name of this process, drawn when it first writes.
    process: OnceLock<String>,
    /// The state of the roll-up of each shard, by index.
    shards: Vec<Mutex<RollingUp>>,
    pub(crate) reads: Semaphore,
}

/// Repeated work for a shard.
#[derive(Clone, Copy, Debug)]
enum Work {
    RollUp,
    Write,
}

impl Statistics {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
        supervisor: &Arc<Supervisor>,
        latency: &Arc<PlacingLatency>,
        interval: Duration,
    ) -> Self {
        let shards = (0..store.shard_count()).map(|_| Mutex::default()).collect();
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            random: Arc::clone(random),
            supervisor: Arc::clone(supervisor),
            interval: interval.max(MIN_INTERVAL),
            latency: Arc::clone(latency),
            process: OnceLock::new(),
            shards,
            reads: Semaphore::new(MAX_READS),
        }
    }

    /// Rolls up every shard at each [`crate::EngineConfig::statistics_interval`], if no other process does, and writes
    /// the durations that this process measured. Runs until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        let shards = 0..self.store.shard_count();
        let rolling_up = join_all(shards.clone().map(async |shard| {
            let part = self.supervisor.part(format!("statistics_{shard}"), Need::Helpful);
            self.supervisor.run(&part, || self.repeat(shard, Work::RollUp)).await;
        }));
        let writing = join_all(shards.map(async |shard| {
            let part = self.supervisor.part(format!("statistics_writer_{shard}"), Need::Helpful);
            self.supervisor.run(&part, || self.repeat(shard, Work::Write)).await;
        }));
        join(rolling_up, writing).await;
    }

    /// Does the work for a shard at each interval. Logs only when the work begins to fail, and when it succeeds again.
    async fn repeat(&self, shard: usize, work: Work) -> Result<(), String> {
        let mut interval = interval(self.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            let worked = match work {
                Work::RollUp => self.roll_up(shard).await,
                Work::Write => self.write_measured(shard).await,
            };
            match condition.record(worked) {
                Some(Transition::Failed(error)) => {
                    tracing::warn!(%error, shard, "the statistics of a shard cannot be written; they are written later");
                }
                Some(Transition::Recovered) => {
                    tracing::info!(shard, "the statistics of a shard are written again");
                }
                None => {}
            }
        }
    }

    /// Rolls up the events of a shard, given by index, up to the end of its feed, and measures its tasks once per minute.
    /// Does nothing if another process does.
    pub async fn roll_up(&self, shard: usize) -> Result<(), Error> {
        let Some(state) = self.shards.get(shard) else { return Ok(()) };
        self.clock.check()?;
        let mut state = state.lock().await;
        self.roll_up_shard(shard, &mut state).await
    }

    /// Writes the durations that this process measured for a shard, given by index, since the last successful write.
    pub async fn write_measured(&self, shard: usize) -> Result<(), Error> {
        if !self.latency.is_any_unwritten(shard) {
            return Ok(());
        }
        let rows = self.latency.unwritten(shard, self.process());
        self.store.set_statistics(shard, &rows).await?;
        self.latency.written(shard, &rows);
        Ok(())
    }

    /// Ends the work of this process: writes the durations that it measured, and releases its leases, so that another
    /// process continues the roll-ups at once. Call it after [`Self::run`] was dropped. Waits at most `limit`. A shard
    /// that does not answer loses the durations, and its lease expires.
    pub async fn finish(&self, limit: Duration) {
        let finish = async |shard| {
            let ended = timeout(limit, join(self.write_measured(shard), self.release(shard))).await;
            let error = match ended {
                Ok((Ok(()), ())) => return,
                Ok((Err(error), ())) => error.to_string(),
                Err(_) => "the shard does not answer in time".to_owned(),
            };
            tracing::warn!(%error, shard, "the latest measured durations are not recorded in the statistics");
        };
        join_all((0..self.store.shard_count()).map(finish)).await;
    }

    fn process(&self) -> &str {
        self.process.get_or_init(|| format!("{:016x}", self.random.next_u64()))
    }

    async fn set(&self, shard: usize, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        if rows.is_empty() { Ok(()) } else { self.store.set_statistics(shard, rows).await }
    }
}
