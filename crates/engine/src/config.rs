//! Limits and timings of the engine, with their defaults.

use std::{num::NonZeroUsize, time::Duration};

use dabba_store::Backoff;
use jiff::SignedDuration;

use crate::PaymentConfig;

/// Configuration of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Number of committers per shard that write concurrently. More than one has no benefit for a store with a single
    /// writer.
    pub committers: usize,
    /// Maximum number of commits per transaction.
    pub max_batch: usize,
    /// Maximum number of commits in the queue of a committer. Beyond it, commits are refused at once.
    pub max_queued: usize,
    /// Maximum time that a request waits for its commit.
    pub commit_timeout: Duration,
    /// Maximum number of attempts of a decision whose order or catalogue changes before the write.
    pub max_decision_attempts: u32,
    /// Maximum number of cached catalogues.
    pub cached_catalogues: u64,
    /// Maximum number of cached orders, so that the next command on a cached order reads nothing.
    pub cached_orders: usize,
    /// Maximum number of open orders per customer placed by this process. `None`: no limit.
    pub max_open_orders: Option<NonZeroUsize>,
    /// Maximum number of ids, the newest ones, that each shard reads for a search by display code.
    pub max_searched_ids: u32,
    /// Interval at which each server polls the revisions of its cached catalogues. Every server sees a change within
    /// this time plus the response time of the store.
    pub catalogue_poll_interval: Duration,
    /// Interval at which each server compares its index of restaurants with the store. A search finds changes by other
    /// servers within this time plus the response time of the store, even if every hint is lost.
    pub restaurant_sweep_interval: Duration,
    /// Time for which an idempotency key is stored.
    pub key_retention: SignedDuration,
    /// Interval at which expired keys are deleted.
    pub maintenance_interval: Duration,
    /// Interval at which each shard is measured for `/metrics`.
    pub measurement_interval: Duration,
    /// Timeout of one measurement of a shard. A shard that takes longer counts as down.
    pub measurement_timeout: Duration,
    /// Interval at which statistics are rolled up.
    pub statistics_interval: Duration,
    /// Interval at which revocations by other servers are polled. This server's own revocations take effect at once.
    pub revocation_poll_interval: Duration,
    /// Maximum age of a cached membership. This server's own changes take effect at once.
    pub membership_max_age: Duration,
    /// Maximum age of a cached membership while the database that keeps the accounts does not answer, so that staff can
    /// continue to work. A server that has read no revocations for this time refuses all tokens as unavailable.
    pub membership_max_stale_age: Duration,
    /// Interval at which the times of uses of API keys and sessions are written.
    pub key_use_write_interval: Duration,
    /// Interval at which new and ended connections of boards are written.
    pub board_write_interval: Duration,
    /// Time after which a restaurant that takes orders and of which no board is connected is paused. `None`: never.
    pub unattended_pause: Option<SignedDuration>,
    /// Maximum number of passwords hashed concurrently; each uses a core and [`PasswordCost::memory_kib`]. Default:
    /// half of the cores, 1 to 4, so that a flood of logins leaves cores for orders.
    pub concurrent_password_hashes: usize,
    /// Cost of hashing a password.
    pub password_cost: PasswordCost,
    /// Configuration of task workers.
    pub tasks: TaskConfig,
    /// Configuration of payments.
    pub payments: PaymentConfig,
}

/// Configuration of task workers.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// Maximum number of tasks leased at once.
    pub batch_size: usize,
    /// Maximum number of tasks of a queue in flight. Workers lease only tasks that they can start at once.
    pub concurrency: usize,
    /// Duration of a task's lease. An execution that takes longer is cancelled, because another worker may have leased
    /// the task by then.
    pub lease: Duration,
    /// Interval at which workers poll for due tasks. A due task starts within this time if the worker has capacity.
    pub poll_interval: Duration,
    /// Maximum pause after the first failure of a task. The maximum doubles with each failure.
    pub base_backoff: Duration,
    /// Maximum pause after any failure.
    pub max_backoff: Duration,
}

impl TaskConfig {
    /// Returns the limits of the pauses between attempts.
    pub(crate) const fn backoff(&self) -> Backoff {
        Backoff { base: self.base_backoff, max: self.max_backoff }
    }
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self {
            batch_size: 32,
            concurrency: 256,
            lease: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            base_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(5),
        }
    }
}

/// The cost of hashing a password with Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub iterations: u32,
}

impl PasswordCost {
    /// Minimum that the algorithm allows. For tests only.
    pub const MIN: Self = Self { memory_kib: 8, iterations: 1 };
}

impl Default for PasswordCost {
    /// The first recommendation for Argon2id in OWASP's Password Storage Cheat Sheet.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2 }
    }
}

fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 4))
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            committers: 1,
            max_batch: 256,
            max_queued: 4_096,
            commit_timeout: Duration::from_secs(10),
            max_decision_attempts: 8,
            cached_catalogues: 1_000,
            cached_orders: 10_000,
            max_open_orders: None,
            max_searched_ids: 100_000,
            catalogue_poll_interval: Duration::from_millis(500),
            restaurant_sweep_interval: Duration::from_secs(10),
            key_retention: SignedDuration::from_hours(7 * 24),
            maintenance_interval: Duration::from_mins(1),
            measurement_interval: Duration::from_secs(10),
            measurement_timeout: Duration::from_secs(5),
            statistics_interval: Duration::from_secs(10),
            revocation_poll_interval: Duration::from_secs(1),
            membership_max_age: Duration::from_secs(3),
            membership_max_stale_age: Duration::from_hours(1),
            key_use_write_interval: Duration::from_secs(10),
            board_write_interval: Duration::from_secs(1),
            unattended_pause: None,
            concurrent_password_hashes: half_of_the_cores(),
            password_cost: PasswordCost::default(),
            tasks: TaskConfig::default(),
            payments: PaymentConfig::default(),
        }
    }
}
