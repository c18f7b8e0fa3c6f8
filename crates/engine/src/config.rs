//! The engine's limits and times, each with its default.

use std::{num::NonZeroUsize, time::Duration};

use jiff::SignedDuration;

use crate::PaymentConfig;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Committers of each shard that write side by side. A store with a single writer gains nothing from more
    /// than one.
    pub committers: usize,
    /// Most commits in one transaction.
    pub max_batch: usize,
    /// Most commits that wait for one committer. What comes beyond is refused at once.
    pub max_queued: usize,
    /// Longest time that a request waits for its commit.
    pub commit_timeout: Duration,
    /// How often a decision is made anew when its order or catalogue changed meanwhile.
    pub max_decision_attempts: u32,
    /// Most catalogues kept in memory.
    pub cached_catalogues: u64,
    /// Most orders remembered as commands left them, so that the next command on one reads nothing.
    pub remembered_orders: usize,
    /// Maximum number of open orders of one customer that this process has placed. `None`: no limit.
    pub max_open_orders: Option<NonZeroUsize>,
    /// How often it is asked whether others have changed the catalogues that are kept. A change is seen
    /// by every server after this time at the latest, and what the store takes to answer.
    pub catalogue_poll_interval: Duration,
    /// How long an idempotency key is remembered.
    pub key_retention: SignedDuration,
    /// How often expired keys are looked for.
    pub maintenance_interval: Duration,
    /// Interval at which each shard is measured for `/metrics`.
    pub measurement_interval: Duration,
    /// Maximum time for one measurement of a shard. A shard that takes longer counts as down.
    pub measurement_timeout: Duration,
    /// Interval at which revocations by other servers are polled. Those by this server take effect at once.
    pub revocation_poll_interval: Duration,
    /// Maximum age of a cached membership. Changes by this server take effect at once.
    pub membership_max_age: Duration,
    /// Maximum age of a cached membership while the database that keeps the accounts does not answer, so that staff go on
    /// working. A server that has read no revocations for this time refuses all tokens as unavailable.
    pub membership_max_stale_age: Duration,
    /// Passwords hashed at the same time; each takes a core and [`PasswordCost::memory_kib`]. Half of the cores, 1 to 4, so that
    /// a flood of sign-ins leaves the others to orders.
    pub concurrent_password_hashes: usize,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
    /// How tasks are worked.
    pub tasks: TaskConfig,
    /// How payments are made.
    pub payments: PaymentConfig,
}

/// How tasks are worked.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// Most tasks claimed at once.
    pub batch_size: usize,
    /// Most tasks of a queue that are worked side by side. No more are claimed than can be begun at once.
    pub concurrency: usize,
    /// For how long a claimed task is nobody else's. A task that takes longer is broken off: another
    /// worker may have taken it over by then.
    pub lease: Duration,
    /// How often it is looked for tasks that are due: a task is begun after this time at the latest, when
    /// there is room.
    pub poll_interval: Duration,
    /// Longest pause after the first failure of a task. It doubles with each failure.
    pub base_backoff: Duration,
    /// Longest pause after any failure.
    pub max_backoff: Duration,
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
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
}

impl PasswordCost {
    /// The least that the algorithm takes. For tests only.
    pub const LEAST: Self = Self { memory_kib: 8, iterations: 1 };
}

impl Default for PasswordCost {
    /// The first choice of OWASP's password storage recommendations for Argon2id.
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
            remembered_orders: 10_000,
            max_open_orders: None,
            catalogue_poll_interval: Duration::from_millis(500),
            key_retention: SignedDuration::from_hours(7 * 24),
            maintenance_interval: Duration::from_mins(1),
            measurement_interval: Duration::from_secs(10),
            measurement_timeout: Duration::from_secs(5),
            revocation_poll_interval: Duration::from_secs(1),
            membership_max_age: Duration::from_secs(3),
            membership_max_stale_age: Duration::from_hours(1),
            concurrent_password_hashes: half_of_the_cores(),
            password_cost: PasswordCost::default(),
            tasks: TaskConfig::default(),
            payments: PaymentConfig::default(),
        }
    }
}
