//! Options of a store. The defaults suit one server of several.

use std::time::Duration;

/// Clock that decides when a task's lease expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseClock {
    /// The database's clock. Servers with different clocks do not take over each other's leases.
    #[default]
    Database,
    /// The time that the caller passes. For tests and simulations with virtual time.
    Caller,
}

/// Options of a [`crate::PostgresStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Maximum number of connections.
    pub pool_size: u32,
    /// Maximum time that a call waits for a connection before it fails as unavailable.
    pub pool_wait_timeout: Duration,
    /// Maximum time to open and set up a connection. If the URL names several hosts, a host that does not respond
    /// gets an equal share of this time.
    pub connect_timeout: Duration,
    /// Time after which an unused connection is closed.
    pub idle_timeout: Duration,
    /// Maximum age of a connection. Replacing old connections moves load to a server that has come back, and frees
    /// memory that a backend has accumulated.
    pub max_connection_age: Duration,
    /// Maximum time of one statement in the database.
    pub statement_timeout: Duration,
    /// Time after which a connection to a silent server counts as lost: either sent data is not acknowledged, or
    /// keepalive probes get no response. At least some seconds.
    pub network_timeout: Duration,
    /// URL of a replica of the database, for reads that may be slightly stale. The replica has its own pool with the
    /// same limits.
    pub replica_url: Option<String>,
    /// Maximum lag of the replica. Beyond this lag, reads go to the primary.
    pub max_replica_lag: Duration,
    /// Maximum time to resolve the outcome of a batch whose connection was lost at COMMIT. After this time the
    /// outcome is reported as unknown. The limit covers all losses of one batch together. Two thirds of this time is
    /// the limit for a transaction that waits for its client (but see [`PostgresOptions::MIN_CLIENT_TIMEOUT`]). So
    /// the transaction of a client that vanished has ended before the time is over.
    pub resolve_timeout: Duration,
    /// Name of the connections in `pg_stat_activity`.
    pub application_name: String,
    /// Newest schema version that the store supports; at most the newest that exists. Lower values are for tests of
    /// upgrades.
    pub known_schema: u32,
    /// Whether the store opens a database with an unfinished copy. For the audit at the end of the copy.
    pub during_copy: bool,
    /// Whether the store only reads, so that its user needs no write privileges. For the auditor.
    pub reads_only: bool,
    /// Maximum number of attempts of a transaction. After the last one, the transaction fails as contended.
    pub max_attempts: u32,
    /// Upper bound of the pause before the second attempt. The bound doubles with each attempt. The pause is random
    /// between zero and the bound (full jitter).
    pub base_backoff: Duration,
    /// Maximum of the upper bound of a pause.
    pub max_backoff: Duration,
    /// Clock that decides when leases of tasks expire.
    pub lease_clock: LeaseClock,
}

impl PostgresOptions {
    /// Newest schema version that this program knows.
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
    /// Minimum time for which a transaction waits for its client. A busy client may be slow and still be alive.
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
