//! The store for many servers, on PostgreSQL 14 or newer.
//!
//! | module | what it holds |
//! |---|---|
//! | `orders` | the commit of a batch (read its description first), what becomes of one that is lost, the reads, the feed |
//! | `tasks`, `catalogue`, `accounts` | the other parts of the contract |
//! | `pool`, `hosts`, `tls` | the connections |
//! | `shard` | which part of all orders a database holds |
//! | [`admin`] | for operators: what a database is, and how a part of it is given to another |
//! | `replica`, `monitor` | reads from a replica, and what is looked at in the background |
//! | `hints` | hearing at once what other servers change |
//! | `retry`, `metrics` | trying again, and counting that |
//! | `migrate` | the schema |
//! | `import` | the target of a copy from another store |
//! | `codec`, `failure` | values in columns, and errors by SQLSTATE |
//!
//! Whatever has several statements and writes is one SERIALIZABLE transaction, tried again when it
//! collides. Statements that stand alone are as atomic as they are. Reads that consist of several
//! statements see one moment.
//!
//! To find a row there are indexes for every read; a test asks PostgreSQL for the plan of each on a
//! large table and refuses a scan.

mod accounts;
pub mod admin;
mod audit;
mod catalogue;
mod claims;
mod codec;
mod failure;
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
mod stock;
mod tasks;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    Bucket, RestaurantId, Timestamp,
    order::{TaskQueue, Version},
};
use dabba_store::{
    ClaimAt, Health, Hint, Measurement, Need, PartStatus, PoolStatus, Resource, Store, StoreError,
    Supervisor, UnderKey,
};
use futures::stream::BoxStream;
use tokio::{sync::Notify, task::JoinHandle};

pub use crate::{
    catalogue::MENUS_KEPT,
    import::CopyTarget,
    metrics::PostgresMetrics,
    options::{LeaseClock, PostgresOptions},
    retry::Randomness,
    rights::NEEDED_RIGHTS,
    shard::Ownership,
};
use crate::{
    failure::Failure,
    hints::Listener,
    orders::together::GroupReads,
    pool::{BEGIN_SERIALIZABLE, Connection, Connections, Step},
    replica::Replica,
    retry::Retry,
    shard::Held,
    tls::Target,
};

/// A question that has to look into a table. A standby cannot be written to and so is not well.
const PING: &str = "SELECT pg_is_in_recovery(), count(*) FROM (SELECT 1 FROM restaurants LIMIT 1) AS one";

/// The time on the database's clock, in microseconds since 1970.
const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// A store in one PostgreSQL database. Any number of them, in any number of processes, may be open on
/// one database.
///
/// Its calls need a Tokio runtime with I/O and time enabled.
pub struct PostgresStore {
    connections: Arc<Connections>,
    replica: Option<Arc<Replica>>,
    /// The buckets that the database holds.
    held: Arc<Held>,
    /// Whether the database has been found to be what it should be.
    is_verified: Arc<AtomicBool>,
    /// See [`PostgresOptions::known_schema`].
    known_schema: u32,
    /// See [`PostgresOptions::during_copy`].
    during_copy: bool,
    /// See [`PostgresOptions::reads_only`].
    reads_only: bool,
    /// Told when it has.
    verified: Arc<Notify>,
    monitor: JoinHandle<()>,
    supervisor: Arc<Supervisor>,
    listener: Listener,
    order_reads: GroupReads,
    /// Whether the last batch held a commit that failed or was replayed: the next one is looked into first.
    is_doubtful: AtomicBool,
    retry: Retry,
    /// See [`PostgresOptions::resolve_timeout`].
    resolve_timeout: Duration,
    lease_clock: LeaseClock,
    metrics: PostgresMetrics,
}

impl PostgresStore {
    /// Checks that a store can be opened with a URL, as [`PostgresStore::new`] does. Connects to nothing. The error says what is
    /// wrong, in words that follow the name of the URL, without the URL.
    pub fn check_url(url: &str) -> Result<(), String> {
        Target::read(url).map(drop)
    }

    /// Brings the database at `url` to the newest schema, and takes it into a shard map as what
    /// `ownership` says, unless it is in one. Returns the number of migrations applied.
    ///
    /// Several processes may do this at once: they wait for each other. Fails as unavailable, with a text
    /// for the operator, when the database cannot be reached or says that it is something else.
    pub async fn migrate(url: &str, ownership: &Ownership) -> Result<usize, StoreError> {
        migrate::migrate(url, ownership, migrate::NEWEST).await
    }

    /// Does what [`PostgresStore::migrate`] does, for a server that knows the schema up to `known` only
    /// ([`PostgresOptions::known_schema`]). A newer schema that is compatible with `known` stays as it is.
    pub async fn migrate_to(url: &str, ownership: &Ownership, known: u32) -> Result<usize, StoreError> {
        migrate::migrate(url, ownership, known.min(migrate::NEWEST)).await
    }

    /// Opens the database at `url`, which must have the newest schema and be what `ownership` says: else
    /// it is [`StoreError::Unfit`], with a text for the operator.
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

    /// The same for a database that may not be there yet: it is verified when it is first used, and
    /// nothing is done in one that is unfit. Fails when the URL or the options cannot be used.
    pub fn new(
        url: &str,
        ownership: &Ownership,
        options: &PostgresOptions,
        randomness: Randomness,
    ) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        let supervisor = Arc::new(Supervisor::new(Arc::clone(&randomness)));
        let listener = Listener::new(&target, options, Arc::clone(&randomness), Arc::clone(&supervisor));
        let reaper = supervisor.part("connection_reaper", Need::Helpful);
        let connections = Arc::new(Connections::new(target, options, Some((&supervisor, reaper)))?);
        let replica = match &options.replica_url {
            Some(url) => {
                let reaper = supervisor.part("replica_connection_reaper", Need::Helpful);
                let target = Target::parse(url)?;
                let connections = Connections::new(target, options, Some((&supervisor, reaper)))?;
                Some(Arc::new(Replica::new(connections, options.max_replica_lag)))
            }
            None => None,
        };
        let held = Arc::new(Held::new(ownership.clone()));
        let (verified, is_verified) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let known_schema = options.known_schema.min(migrate::NEWEST);
        let watched = monitor::Watched {
            connections: Arc::clone(&connections),
            held: Arc::clone(&held),
            is_verified: Arc::clone(&is_verified),
            known_schema,
            replica: replica.clone(),
        };
        let monitor = monitor::run(Arc::clone(&verified), watched, Arc::clone(&supervisor));
        let metrics = PostgresMetrics::default();
        Ok(Self {
            monitor: tokio::spawn(monitor),
            supervisor,
            retry: Retry::new(options, randomness, metrics.clone()),
            resolve_timeout: options.resolve_timeout,
            lease_clock: options.lease_clock,
            order_reads: GroupReads::default(),
            is_doubtful: AtomicBool::new(false),
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

    /// Makes sure that the database is what it should be, as whatever uses it does the first time.
    pub async fn verify(&self) -> Result<(), StoreError> {
        self.connection().await.map(drop).map_err(Failure::into_store_error)
    }

    /// Lends a connection to a database that is what it should be.
    async fn connection(&self) -> Result<Connection, Failure> {
        let connection = self.connections.get().await?;
        if !self.is_verified.load(Ordering::Relaxed) {
            let check = async {
                rights::check(connection.client()?, self.reads_only).await?;
                migrate::check_schema(&connection, self.known_schema).await?;
                shard::check(connection.client()?, self.held.expected()).await?;
                if self.during_copy {
                    return Ok(());
                }
                // After the check of the table `shard`, which a copy locks while it begins.
                import::refuse_unfinished(connection.client()?).await
            };
            connection.answer(check).await?;
            self.is_verified.store(true, Ordering::Relaxed);
            self.verified.notify_one();
        }
        Ok(connection)
    }

    /// What this store counts.
    pub fn metrics(&self) -> &PostgresMetrics {
        &self.metrics
    }

    /// Runs something that is not tried again on a connection.
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

    /// Reads what need not be of this very moment, if `is_calm`: from the replica, if there is one that
    /// is close enough behind. Else like [`PostgresStore::read`].
    async fn read_perhaps_calmly<T, F>(
        &self,
        is_calm: bool,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if is_calm
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

    /// Makes a write under a key as one SERIALIZABLE transaction, unless the key is claimed. The write returns how it
    /// ended, and what the key leads to if it was made.
    async fn under_key<T, F>(
        &self,
        claim: Option<ClaimAt<'_>>,
        scope: Option<RestaurantId>,
        write: impl Fn(Arc<Connection>) -> F,
    ) -> Result<UnderKey<T>, StoreError>
    where
        F: Future<Output = Result<(T, Option<(Resource, Version)>), Failure>>,
    {
        let write = &write;
        let ended = self
            .in_transaction(|connection| async move {
                if let Some(claim) = claim
                    && let Some(record) = claims::find(&connection, claim, scope).await?
                {
                    return Ok(UnderKey::Claimed(record));
                }
                let (ended, written) = write(Arc::clone(&connection)).await?;
                if let (Some(claim), Some((resource, version))) = (claim, written) {
                    claims::insert(&connection, claim, scope, &resource, version).await?;
                }
                Ok(UnderKey::Ended(ended))
            })
            .await?;
        if matches!(ended, UnderKey::Claimed(_)) {
            self.confirm().await?;
        }
        Ok(ended)
    }

    /// Returns when everything that can be read is as safe as what this store commits. What is answered from
    /// the record of a key is an acknowledgement.
    async fn confirm(&self) -> Result<(), StoreError> {
        self.read(async |connection| connection.confirm().await).await
    }

    /// Runs something as one SERIALIZABLE transaction, and again when it collides.
    async fn in_transaction<T, F>(&self, work: impl Fn(Arc<Connection>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.retry.begin();
        loop {
            let attempt = async {
                let connection = Arc::new(self.connection().await?);
                connection.begin_with(BEGIN_SERIALIZABLE, |_| Vec::<Step<'_, ()>>::new()).await?;
                match work(Arc::clone(&connection)).await {
                    Ok(value) => connection.commit().await.map(|()| value),
                    Err(failure) => {
                        connection.rollback().await;
                        Err(failure)
                    }
                }
            };
            match attempt.await {
                Ok(value) => return Ok(value),
                Err(failure) => attempts.after_failure(failure).await?,
            }
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.monitor.abort();
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
            let measured = self.measure_tasks(connection, now).await?;
            Ok(Measurement { standbys: Some(standbys::find(connection).await?), ..measured })
        })
        .await
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let replica = self.replica.as_ref().map(|replica| ("replica", replica.connections()));
        let pools = [("database", &*self.connections)].into_iter().chain(replica);
        pools.map(|(pool, connections)| connections.status(&self.held.expected().name, pool)).collect()
    }

    fn shard_names(&self) -> Vec<String> {
        vec![self.held.expected().name.clone()]
    }

    async fn close(&self) {
        self.monitor.abort();
        self.listener.close();
        self.connections.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }

    /// Of changes of catalogues and of tasks, by whatever server. Nothing is told of a time in which the connection
    /// for it was lost, or of a database behind a pooler that lends connections for a transaction only.
    fn hints(&self) -> BoxStream<'static, Hint> {
        self.listener.hints()
    }

    fn parts(&self) -> Vec<PartStatus> {
        self.supervisor.parts()
    }

    async fn warm_up(&self, batches: usize) {
        self.rehearse(batches).await;
    }

    async fn announce_tasks(&self, _bucket: Bucket, queue: TaskQueue) {
        let told = self
            .read(async |connection| {
                connection.query(hints::NOTIFY_OF_TASKS, &[&queue.as_str()]).await?;
                Ok(())
            })
            .await;
        if let Err(error) = told {
            tracing::debug!(%error, "workers are not told of tasks; they look for them");
        }
    }
}
