//! Connection pools and transactions of the PostgreSQL databases.

use confique::Config;
use dabba_store_postgres::PostgresOptions;

use super::{Bounded, Milliseconds, Name};

/// Number of connections.
pub(crate) type PoolSize = Bounded<1, 1_000>;
/// Time for which a connection is kept.
pub(crate) type PoolSeconds = Bounded<1, 604_800>;

/// Connections to PostgreSQL.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: connections to PostgreSQL")))]
pub(crate) struct Pools {
    /// Maximum number of connections per PostgreSQL database. 1 to 1,000; default 16.
    #[config(env = "DABBA_POOL_SIZE", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) pool_size: PoolSize,

    /// Maximum wait for a connection while all are in use, in milliseconds. 1 to 600,000; default 3,000. After it the server
    /// responds with 503.
    #[config(env = "DABBA_POOL_WAIT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) pool_wait_milliseconds: Milliseconds,

    /// Idle time after which a connection is closed, in seconds. 1 to 604,800; default 600.
    #[config(env = "DABBA_POOL_IDLE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_idle_seconds: PoolSeconds,

    /// Maximum age of a connection, in seconds. 1 to 604,800; default 1,800. An older connection is not used any more.
    #[config(env = "DABBA_POOL_LIFETIME_SECONDS", default = 1800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_lifetime_seconds: PoolSeconds,

    /// Timeout for connecting to a PostgreSQL database, in milliseconds. 1 to 600,000; default 3,000.
    #[config(env = "DABBA_CONNECT_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) connect_timeout_milliseconds: Milliseconds,

    /// Timeout for one statement in a PostgreSQL database, in milliseconds. 1 to 600,000; default 5,000.
    #[config(env = "DABBA_STATEMENT_TIMEOUT_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) statement_timeout_milliseconds: Milliseconds,

    /// Name of the connections in PostgreSQL's `pg_stat_activity`.
    #[config(env = "DABBA_APPLICATION_NAME", default = "dabba")]
    #[config(layer_attr(arg(long, value_name = "NAME")))]
    pub(crate) application_name: Name,

    /// Maximum number of attempts of a transaction that conflicts with others. 1 to 1,000; default 16.
    #[config(env = "DABBA_TRANSACTION_ATTEMPTS", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) transaction_attempts: Bounded<1, 1_000>,

    /// Maximum time for resolving the outcome of a transaction whose connection was lost at COMMIT, in milliseconds. 1 to
    /// 600,000; default 3,000. After it the server responds with 503 `outcome_unknown`.
    #[config(env = "DABBA_RESOLVE_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) resolve_timeout_milliseconds: Milliseconds,

    /// Maximum lag of a replica, in milliseconds. 1 to 600,000; default 2,000. A replica with a greater lag is not used.
    #[config(env = "DABBA_REPLICA_LAG_LIMIT_MILLISECONDS", default = 2000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) replica_lag_limit_milliseconds: Milliseconds,
}

impl Pools {
    /// Returns the options of a database whose entry in the shards file overrides nothing.
    pub(crate) fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions {
            pool_size: self.pool_size.small(),
            pool_wait_timeout: self.pool_wait_milliseconds.milliseconds(),
            idle_timeout: self.pool_idle_seconds.seconds(),
            max_connection_age: self.pool_lifetime_seconds.seconds(),
            connect_timeout: self.connect_timeout_milliseconds.milliseconds(),
            statement_timeout: self.statement_timeout_milliseconds.milliseconds(),
            application_name: self.application_name.as_str().to_owned(),
            max_attempts: self.transaction_attempts.small(),
            resolve_timeout: self.resolve_timeout_milliseconds.milliseconds(),
            max_replica_lag: self.replica_lag_limit_milliseconds.milliseconds(),
            ..PostgresOptions::default()
        }
    }
}
