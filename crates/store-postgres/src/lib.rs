//! The store on PostgreSQL 14 or newer, shared by many servers.
//!
//! | module | content |
//! |---|---|
//! | `orders` | the commit of a batch (read its documentation first), the resolution of lost commits, the reads |
//! | `feed` | the feed |
//! | `tasks`, `catalogue`, `accounts` | the other parts of the contract |
//! | `pool`, `hosts`, `tls` | the connections |
//! | `shard` | the bucket range that a database holds |
//! | [`admin`] | for operators: inspection of a database, and the move of a bucket range to another database |
//! | `replica`, `monitor` | reads from a replica, and the background checks |
//! | `hints` | notifications of changes by other servers |
//! | `transaction`, `retry`, `metrics` | transactions, retries and counters |
//! | `migrate` | the schema |
//! | `import` | the target of a copy from another store |
//! | `codec`, `failure` | rows of PostgreSQL, and errors by SQLSTATE |
//!
//! What this store shares with the embedded store, such as the values of rows, is in [`dabba_store_sql`].
//!
//! A write of several statements is one SERIALIZABLE transaction, which is retried after a conflict. A single
//! statement is atomic by itself. A read of several statements uses one snapshot.
//!
//! Every statement that looks for rows uses an index. A test asks PostgreSQL for the plan of each statement on large
//! tables, and fails on a sequential scan.

mod accounts;
pub mod admin;
mod audit;
mod boards;
mod catalogue;
mod claims;
mod codec;
mod consumers;
mod failure;
mod feed;
mod hints;
mod hosts;
mod import;
mod metrics;
mod migrate;
#[cfg(test)]
mod migration_tests;
mod monitor;
mod options;
mod orders;
mod pool;
#[cfg(test)]
mod query_plans;
mod replica;
mod retry;
mod rights;
mod shard;
mod standbys;
mod statistics;
mod stock;
mod tasks;
mod tls;
mod tracking;
mod transaction;
mod webhooks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{Bucket, Timestamp, task::TaskQueue};
use dabba_store::{
    DatabaseKind, FeedSource, Health, Hint, Measurement, Need, PartStatus, PoolStatus, ShardInfo, Store,
    StoreError, Supervisor,
};
use futures::stream::BoxStream;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_postgres::types::ToSql;

pub use dabba_store_sql::catalogue::MAX_STORED_MENUS;

use crate::{
    failure::Failure,
    feed::Confirmation,
    hints::Listener,
    orders::together::GroupReads,
    pool::{Connection, Connections},
    replica::Replica,
    retry::Retry,
    shard::Held,
    tls::ConnectionTarget,
};
pub use crate::{
    import::CopyTarget,
    metrics::PostgresMetrics,
    options::{LeaseClock, PostgresOptions},
    retry::Randomness,
    rights::{REQUIRED_PRIVILEGES, reading_privileges},
    shard::Ownership,
};

/// Query of the health check. It reads a table. A standby cannot accept writes, so it counts as unhealthy.
const PING: &str = "SELECT pg_is_in_recovery(), count(*) FROM (SELECT 1 FROM restaurants LIMIT 1) AS one";

/// Reads the database's clock, in microseconds since 1970.
const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// A store in one PostgreSQL database. Any number of stores, in any number of processes, may use the same database.
///
/// Its methods need a Tokio runtime with I/O and time enabled.
pub struct PostgresStore {
    connections: Arc<Connections>,
    replica: Option<Arc<Replica>>,
    /// Buckets that the database holds.
    held: Arc<Held>,
    /// Whether the database's schema, rights and ownership have been verified.
    is_verified: Arc<AtomicBool>,
    /// See [`PostgresOptions::known_schema`].
    known_schema: u32,
    /// See [`PostgresOptions::during_copy`].
    during_copy: bool,
    /// See [`PostgresOptions::reads_only`].
    reads_only: bool,
    /// Notified when the database has been verified.
    verified: Arc<Notify>,
    monitor: JoinHandle<()>,
    supervisor: Arc<Supervisor>,
    listener: Listener,
    order_reads: GroupReads,
    confirmation: Confirmation,
    /// Whether the last batch contained a commit that failed or was replayed. The next batch then begins with a view.
    read_view_first: AtomicBool,
    retry: Retry,
    /// See [`PostgresOptions::resolve_timeout`].
    resolve_timeout: Duration,
    lease_clock: LeaseClock,
    metrics: PostgresMetrics,
}

impl PostgresStore {
    /// Checks that a store can be opened with a URL, as [`PostgresStore::new`] does. Does not connect. The error is a
    /// clause that follows the name of the URL; it never contains the URL.
    pub fn check_url(url: &str) -> Result<(), String> {
        ConnectionTarget::read(url).map(drop)
    }

    /// Migrates the database at `url` to the newest schema. If the database belongs to no shard map yet, records
    /// `ownership` in it. Returns the number of migrations applied.
    ///
    /// Several processes may call this at the same time: one migrates, the others wait. Fails as unavailable, with a
    /// text for the operator, if the database cannot be reached; as unfit if the database has another ownership.
    pub async fn migrate(url: &str, ownership: &Ownership) -> Result<usize, StoreError> {
        migrate::migrate(url, ownership, migrate::NEWEST).await
    }

    /// Does what [`PostgresStore::migrate`] does, for a server that knows the schema up to `known` only
    /// ([`PostgresOptions::known_schema`]). Leaves a newer schema that is compatible with `known` unchanged.
    pub async fn migrate_to(url: &str, ownership: &Ownership, known: u32) -> Result<usize, StoreError> {
        migrate::migrate(url, ownership, known.min(migrate::NEWEST)).await
    }

    /// Opens the database at `url`. The database must have a compatible schema and the given `ownership`; otherwise
    /// the error is [`StoreError::Unfit`], with a text for the operator.
    pub async fn open(
        url: &str,
        ownership: &Ownership,
        options: &PostgresOptions,
        randomness: Randomness,
    ) -> Result<Self, StoreError> {
        let store = Self::new(url, ownership, options, randomness)?;
        store.verify().await?;
        Ok(store)
    }

    /// Creates a store for a database that may not be reachable yet. The store verifies the database on first use,
    /// and refuses to work in an unfit one. Fails if the URL or the options are invalid.
    pub fn new(
        url: &str,
        ownership: &Ownership,
        options: &PostgresOptions,
        randomness: Randomness,
    ) -> Result<Self, StoreError> {
        let target = ConnectionTarget::parse(url)?;
        let supervisor = Arc::new(Supervisor::new(Arc::clone(&randomness)));
        let listener = Listener::new(&target, options, Arc::clone(&randomness), Arc::clone(&supervisor));
        let reaper = supervisor.part("connection_reaper", Need::Helpful);
        let connections = Arc::new(Connections::new(target, options, Some((&supervisor, reaper)))?);
        let replica = match &options.replica_url {
            Some(url) => {
                let reaper = supervisor.part("replica_connection_reaper", Need::Helpful);
                let target = ConnectionTarget::parse(url)?;
                let connections = Connections::new(target, options, Some((&supervisor, reaper)))?;
                Some(Arc::new(Replica::new(connections, options.max_replica_lag)))
            }
            None => None,
        };
        let held = Arc::new(Held::new(ownership.clone()));
        let (verified, is_verified) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let known_schema = options.known_schema.min(migrate::NEWEST);
        let metrics = PostgresMetrics::default();
        let watched = monitor::Watched {
            connections: Arc::clone(&connections),
            held: Arc::clone(&held),
            is_verified: Arc::clone(&is_verified),
            known_schema,
            replica: replica.clone(),
            metrics: metrics.clone(),
        };
        let monitor = monitor::run(Arc::clone(&verified), watched, Arc::clone(&supervisor));
        Ok(Self {
            monitor: tokio::spawn(monitor),
            supervisor,
            retry: Retry::new(options, randomness, metrics.clone()),
            resolve_timeout: options.resolve_timeout,
            lease_clock: options.lease_clock,
            order_reads: GroupReads::default(),
            confirmation: Confirmation::default(),
            read_view_first: AtomicBool::new(false),
            connections,
            listener,
            replica,
            held,
            is_verified,
            known_schema,
            during_copy: options.during_copy,
            reads_only: options.reads_only,
            verified,
            metrics,
        })
    }

    /// Verifies the database's schema, rights and ownership, as the first use of the store does.
    pub async fn verify(&self) -> Result<(), StoreError> {
        self.connection().await.map(drop).map_err(Failure::into_store_error)
    }

    /// Returns a connection to the database, which is verified first.
    async fn connection(&self) -> Result<Connection, Failure> {
        let connection = self.connections.get().await?;
        if !self.is_verified.load(Ordering::Relaxed) {
            let check = async {
                rights::check(connection.client()?, self.reads_only).await?;
                migrate::check_schema(&connection, self.known_schema).await?;
                shard::verify(connection.client()?, &self.held).await?;
                if self.during_copy {
                    return Ok(());
                }
                // The last check, because a beginning copy locks the table `shard`: `shard::verify` waits for that
                // lock.
                import::refuse_unfinished(connection.client()?).await
            };
            connection.answer(check).await?;
            self.is_verified.store(true, Ordering::Relaxed);
            self.verified.notify_one();
        }
        Ok(connection)
    }

    /// Returns the store's counters.
    pub fn metrics(&self) -> &PostgresMetrics {
        &self.metrics
    }

    /// Runs `work` on a connection, without retries.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let run = async {
            let connection = self.connection().await?;
            work(&connection).await
        };
        run.await.map_err(Failure::into_store_error)
    }

    /// Notifies other servers.
    async fn notify(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        self.read(async |connection| connection.query(sql, parameters).await.map(drop)).await
    }

    /// Runs a read. If `may_be_stale`, the read goes to the replica, provided that one is configured and its lag is
    /// within the limit. Otherwise works like [`PostgresStore::read`].
    async fn read_maybe_stale<T, F>(
        &self,
        may_be_stale: bool,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if may_be_stale
            && let Some(replica) = &self.replica
            && let Some(answer) = replica.read(&work).await
        {
            self.metrics.replica_reads.inc();
            return Ok(answer);
        }
        let run = async {
            let connection = Arc::new(self.connection().await?);
            work(connection).await
        };
        run.await.map_err(Failure::into_store_error)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.monitor.abort();
        self.confirmation.stop();
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<Health, StoreError> {
        let is_standby =
            self.read(async |connection| codec::read(&connection.query(PING, &[]).await?[0], 0)).await?;
        if is_standby {
            return Err(StoreError::Unavailable("the database is a standby".to_owned()));
        }
        let outdated = (!self.held.is_as_expected()).then(|| self.held.expected().name.clone());
        Ok(Health { outdated_shards: outdated.into_iter().collect(), ..Health::default() })
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(async |connection| {
            let microseconds = connection.query_number(TIME, &[]).await?;
            let time = Timestamp::from_microsecond(microseconds);
            time.map(Some).map_err(|error| Failure::corrupt(error.to_string()))
        })
        .await
    }

    async fn measure(&self, _shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        self.read(async |connection| {
            let mismatch = shard::mismatch(connection.client()?, self.held.expected());
            let mismatch = connection.answer(mismatch).await?;
            let measured = self.measure_tasks(connection, now).await?;
            let version = migrate::version(connection).await?;
            let standbys = Some(standbys::find(connection).await?);
            Ok(Measurement { standbys, schema_version: Some(version), mismatch, ..measured })
        })
        .await
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let replica = self.replica.as_ref().map(|replica| ("replica", replica.connections()));
        let pools = [("database", &*self.connections)].into_iter().chain(replica);
        pools.map(|(pool, connections)| connections.status(&self.held.expected().name, pool)).collect()
    }

    fn shards(&self) -> Vec<ShardInfo> {
        let Ownership { name, buckets, .. } = self.held.expected();
        vec![ShardInfo { name: name.clone(), database: DatabaseKind::Postgresql, buckets: *buckets }]
    }

    fn feed_sources(&self) -> Vec<FeedSource> {
        vec![FeedSource { name: self.held.expected().name.clone(), split_from: None }]
    }

    fn directory(&self) -> usize {
        0
    }

    fn shard_count(&self) -> usize {
        1
    }

    fn shard_of(&self, _bucket: Bucket) -> usize {
        0
    }

    async fn close(&self) {
        self.monitor.abort();
        self.listener.close();
        self.confirmation.stop();
        self.connections.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }

    /// Returns hints of changed catalogues, of due tasks and of new events, by any server. Hints are lost while the
    /// listening connection is down. A pooler that assigns connections per transaction delivers none.
    fn hints(&self) -> BoxStream<'static, Hint> {
        self.listener.hints()
    }

    fn parts(&self) -> Vec<PartStatus> {
        self.supervisor.parts()
    }

    async fn warm_up(&self, batches: usize) {
        self.prepare_connections(batches).await;
    }

    async fn announce_tasks(&self, _bucket: Bucket, queue: TaskQueue) {
        if let Err(error) = self.notify(hints::NOTIFY_OF_TASKS, &[&queue.as_str()]).await {
            tracing::debug!(%error, "workers were not notified of due tasks; their next poll finds the tasks");
        }
    }

    async fn announce_events(&self, _shard: usize) {
        if let Err(error) = self.notify(hints::NOTIFY_OF_EVENTS, &[]).await {
            tracing::debug!(%error, "followers were not notified of events; their next poll finds the events");
        }
    }
}
