//! What can be chosen about a store, with the values that suit one server of several.

use std::time::Duration;

/// By which clock a lease of a task expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseClock {
    /// By the database's own, so that servers whose clocks differ do not take over each other's leases.
    #[default]
    Database,
    /// By the time that the caller names: for tests and simulations, whose time is virtual.
    Caller,
}

/// How a [`crate::PostgresStore`] uses its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Connections at most.
    pub pool_size: u32,
    /// How long a call waits for a connection before it fails as unavailable.
    pub pool_wait_timeout: Duration,
    /// How long making a connection may take, with everything that belongs to it. Where the URL names several
    /// hosts, one that does not answer has its share of this.
    pub connect_timeout: Duration,
    /// A connection that was not used for so long is closed.
    pub idle_timeout: Duration,
    /// A connection is not used beyond this age, so that load moves to a server that has come back,
    /// and memory that a backend has gathered is given back.
    pub max_connection_age: Duration,
    /// How long the database may take for one statement.
    pub statement_timeout: Duration,
    /// How long a server may give no sign of life, be it that data sent to it is not acknowledged or that it
    /// leaves open whether it is still there, before the connection counts as lost. At least some seconds.
    pub network_timeout: Duration,
    /// A replica of the database, for reads that need not be of this very moment. Its connections are
    /// pooled as those of the database are.
    pub replica_url: Option<String>,
    /// How far behind the database the replica may be. When it is further, the database does its work.
    pub max_replica_lag: Duration,
    /// How long it is tried to find out what became of a batch whose connection was lost at COMMIT, before
    /// its outcome is told as unknown. Nothing of a batch waits longer, however often it is lost. Two
    /// thirds of it is how long a transaction may wait for its client (but see
    /// [`PostgresOptions::MIN_CLIENT_TIMEOUT`]), so that one whose client is gone without a trace is over
    /// by then.
    pub resolve_timeout: Duration,
    /// By what name the connections are seen in `pg_stat_activity`.
    pub application_name: String,
    /// The schema up to which the store behaves as if it knew no newer one; at most the newest. Lower values are for
    /// tests of upgrades.
    pub known_schema: u32,
    /// Whether the store opens a database into which a copy is not finished. For the audit at the end of the copy.
    pub during_copy: bool,
    /// Whether the store is only read from, so that its user needs no right to write. For the auditor.
    pub reads_only: bool,
    /// How often a transaction is tried before it fails as contended.
    pub max_attempts: u32,
    /// The longest pause before the second attempt; it doubles with each. The pause itself is drawn
    /// between nothing and this (full jitter).
    pub base_backoff: Duration,
    /// The longest pause before any attempt.
    pub max_backoff: Duration,
    /// By which clock leases of tasks expire.
    pub lease_clock: LeaseClock,
}

impl PostgresOptions {
    /// The newest schema that this program knows.
    pub const NEWEST_SCHEMA: u32 = crate::migrate::NEWEST;
    /// See [`PostgresOptions::pool_size`].
    pub const DEFAULT_POOL_SIZE: u32 = 16;
    /// See [`PostgresOptions::pool_wait_timeout`].
    pub const DEFAULT_POOL_WAIT_TIMEOUT: Duration = Duration::from_secs(3);
    /// See [`PostgresOptions::connect_timeout`].
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// See [`PostgresOptions::idle_timeout`].
    pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_mins(10);
    /// See [`PostgresOptions::max_connection_age`].
    pub const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);
    /// See [`PostgresOptions::statement_timeout`].
    pub const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`PostgresOptions::network_timeout`].
    pub const DEFAULT_NETWORK_TIMEOUT: Duration = Duration::from_secs(10);
    /// See [`PostgresOptions::max_replica_lag`].
    pub const DEFAULT_MAX_REPLICA_LAG: Duration = Duration::from_secs(2);
    /// See [`PostgresOptions::resolve_timeout`].
    pub const DEFAULT_RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
    /// The least time for which a transaction waits for its client: a busy machine is not a dead one.
    pub const MIN_CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
    /// See [`PostgresOptions::application_name`].
    pub const DEFAULT_APPLICATION_NAME: &str = "dabba";
    /// See [`PostgresOptions::max_attempts`].
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 16;
    /// See [`PostgresOptions::base_backoff`].
    pub const DEFAULT_BASE_BACKOFF: Duration = Duration::from_millis(2);
    /// See [`PostgresOptions::max_backoff`].
    pub const DEFAULT_MAX_BACKOFF: Duration = Duration::from_millis(200);
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            pool_size: Self::DEFAULT_POOL_SIZE,
            pool_wait_timeout: Self::DEFAULT_POOL_WAIT_TIMEOUT,
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            idle_timeout: Self::DEFAULT_IDLE_TIMEOUT,
            max_connection_age: Self::DEFAULT_MAX_CONNECTION_AGE,
            statement_timeout: Self::DEFAULT_STATEMENT_TIMEOUT,
            network_timeout: Self::DEFAULT_NETWORK_TIMEOUT,
            replica_url: None,
            max_replica_lag: Self::DEFAULT_MAX_REPLICA_LAG,
            resolve_timeout: Self::DEFAULT_RESOLVE_TIMEOUT,
            application_name: Self::DEFAULT_APPLICATION_NAME.to_owned(),
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            base_backoff: Self::DEFAULT_BASE_BACKOFF,
            max_backoff: Self::DEFAULT_MAX_BACKOFF,
            lease_clock: LeaseClock::Database,
            known_schema: Self::NEWEST_SCHEMA,
            during_copy: false,
            reads_only: false,
        }
    }
}
