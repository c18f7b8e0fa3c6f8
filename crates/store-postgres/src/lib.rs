//! The store for many servers, on PostgreSQL 14 or newer.
//!
//! | module | what it holds |
//! |---|---|
//! | `orders` | the commit of a batch (read its description first), the reads, the feed |
//! | `tasks`, `catalogue`, `accounts` | the other parts of the contract |
//! | `pool`, `tls` | the connections |
//! | `retry`, `metrics` | trying again, and counting that |
//! | `migrate` | the schema |
//! | `codec`, `failure` | values in columns, and errors by SQLSTATE |
//!
//! Whatever has several statements and writes is one SERIALIZABLE transaction, tried again when it
//! collides. Statements that stand alone are as atomic as they are. Reads that consist of several
//! statements see one moment.
//!
//! To find a row there are indexes for every read; a test asks PostgreSQL for the plan of each on a
//! large table and refuses a scan.

mod accounts;
mod catalogue;
mod codec;
mod failure;
mod metrics;
mod migrate;
mod options;
mod orders;
mod pool;
#[cfg(test)]
mod query_plans;
mod retry;
mod tasks;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use dabba_store::{Store, StoreError};

pub use crate::{
    catalogue::MENUS_KEPT, metrics::PostgresMetrics, options::PostgresOptions, retry::Randomness,
};
use crate::{
    failure::Failure,
    pool::{BEGIN_SERIALIZABLE, Connection, Connections, Step},
    retry::Retry,
    tls::Target,
};

/// A question that has to look into a table. A standby cannot be written to and so is not well.
const PING: &str = "SELECT pg_is_in_recovery(), count(*) FROM (SELECT 1 FROM restaurants LIMIT 1) AS one";

/// A store in one PostgreSQL database. Any number of them, in any number of processes, may be open on
/// one database.
///
/// Its calls need a Tokio runtime with I/O and time enabled.
pub struct PostgresStore {
    connections: Connections,
    retry: Retry,
    metrics: PostgresMetrics,
}

impl PostgresStore {
    /// Brings the database at `url` to the newest schema. Answers how many migrations were needed.
    ///
    /// Several processes may do this at once: they wait for each other.
    pub async fn migrate(url: &str) -> Result<usize, StoreError> {
        migrate::migrate(url).await
    }

    /// Opens the database at `url`, which must have the newest schema.
    ///
    /// Fails as unavailable, with a text for the operator, when it cannot be reached or has another
    /// schema.
    pub async fn open(
        url: &str,
        options: &PostgresOptions,
        randomness: Randomness,
    ) -> Result<Self, StoreError> {
        let metrics = PostgresMetrics::default();
        let store = Self {
            connections: Connections::new(Target::parse(url)?, options)?,
            retry: Retry::new(options, randomness, metrics.clone()),
            metrics,
        };
        store.read(async |connection| migrate::check_schema(connection).await).await?;
        Ok(store)
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
            let connection = self.connections.get().await?;
            work(&connection).await
        };
        run.await.map_err(Failure::into_store_error)
    }

    /// Runs something as one SERIALIZABLE transaction, and again when it collides.
    async fn in_transaction<T, F>(&self, work: impl Fn(Arc<Connection>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.retry.begin();
        loop {
            let attempt = async {
                let connection = Arc::new(self.connections.get().await?);
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

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let is_standby =
            self.read(async |connection| codec::read(&connection.query(PING, &[]).await?[0], 0)).await?;
        if is_standby { Err(StoreError::Unavailable("the database is a standby".to_owned())) } else { Ok(()) }
    }

    async fn close(&self) {
        self.connections.close().await;
    }
}
