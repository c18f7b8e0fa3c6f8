//! Group commit and idempotency keys.

use confique::Config;
use dabba_engine::EngineConfig;
use jiff::SignedDuration;

use super::Bounded;

/// Writes.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: writes")))]
pub(crate) struct Writes {
    /// Maximum number of writes that wait for one committer. 1 to 1,000,000; default 4,096. Further writes are refused with 503.
    #[config(env = "DABBA_COMMIT_QUEUE_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_queue_limit: Bounded<1, 1_000_000>,

    /// Maximum number of writes in one transaction. 1 to 10,000; default 256.
    #[config(env = "DABBA_COMMIT_BATCH_LIMIT", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_batch_limit: Bounded<1, 10_000>,

    /// Number of concurrent transactions that write to one PostgreSQL database. 1 to 64; default 2, for the embedded database 1.
    #[config(env = "DABBA_COMMITTERS")]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) committers: Option<Bounded<1, 64>>,

    /// Retention of idempotency keys, in seconds. 60 to 31,536,000; default 604,800.
    #[config(env = "DABBA_IDEMPOTENCY_RETENTION_SECONDS", default = 604_800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) idempotency_retention_seconds: Bounded<60, 31_536_000>,
}

impl Writes {
    /// Returns the configuration of the engine, as far as these settings determine it. `default_committers` depends on the
    /// database.
    pub(crate) fn engine_config(&self, default_committers: usize) -> EngineConfig {
        let retention = i64::try_from(self.idempotency_retention_seconds.get()).unwrap_or(i64::MAX);
        EngineConfig {
            committers: self.committers.map_or(default_committers, Bounded::size),
            max_batch: self.commit_batch_limit.size(),
            max_queued: self.commit_queue_limit.size(),
            key_retention: SignedDuration::from_secs(retention),
            ..EngineConfig::default()
        }
    }
}
