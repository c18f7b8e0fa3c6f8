//! The pool of connections, and the settings of each connection.
//!
//! Every connection makes PostgreSQL find rows by index only. For small tables, the planner would prefer a sequential
//! scan, and in a SERIALIZABLE transaction a reader of a whole table conflicts with every writer of that table. Every
//! connection also makes PostgreSQL plan each statement once: all statements are written so that one plan suits every
//! parameter.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use dabba_store::{Part, PoolStatus, StoreError, Supervisor};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Status,
    Timeouts,
};
use futures::future::{BoxFuture, join_all};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_postgres::{Config, Error, Row, Statement, types::ToSql};

use crate::{PostgresOptions, codec::read, failure::Failure, hosts::Hosts, tls::ConnectionTarget};

/// Planner settings for every statement of this store.
const SESSION: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off \
                       -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan -c jit=off";

/// Suppresses notices. Warnings are still sent, because a warning reports a problem.
const NO_NOTICES: &str = "-c client_min_messages=warning";

/// Overrides a read-only default of the user or of the database. A standby stays read-only.
const WRITABLE: &str = "-c default_transaction_read_only=off";

/// Sets up each new connection.
///
/// An acknowledged commit must be on disk, whatever the server's default is. A stronger default (a standby must have
/// the commit too) stays.
///
/// Statements outside an explicit write transaction must not write. The store sends the statements of a transaction
/// without waiting for the response to BEGIN. If BEGIN fails (a timeout, a late cancellation), each statement would
/// be a transaction of its own, although the caller gets an error that nothing was written. So the server itself refuses
/// such writes (25006). This default is set after the connection is made ([`WRITABLE`] until then), because a URL
/// with `target_session_attrs=read-write` treats a server with that default as a standby.
pub(crate) const SET_UP: &str = "\
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SET default_transaction_read_only = on";

/// Begins a transaction for a single statement that writes.
const BEGIN_STATEMENT: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// Begins a transaction that writes. The lock is taken before the snapshot: see [`crate::shard`].
pub(crate) const BEGIN_SERIALIZABLE: &str =
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE; LOCK TABLE shard IN ACCESS SHARE MODE";

/// Begins a transaction whose statements all see the same snapshot. It takes no part in the detection of
/// serialization failures: its results are only displayed, or verified again before a write relies on them.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Makes every earlier COMMIT as durable as a commit of this store: writes a message to the WAL, and the commit of
/// that message waits for everything that a commit waits for.
///
/// A visible commit is not necessarily durable. If the wait for a standby is interrupted, by a restart or by an
/// operator, the commit becomes visible although the standby may not have it.
const CONFIRM: &str = "SELECT pg_logical_emit_message(true, 'dabba', '')";

/// Number of keepalive probes without a response before a connection counts as lost, on systems that count probes
/// instead of measuring the time.
const KEEPALIVE_RETRIES: u32 = 3;

/// Minimum interval between two removals of idle connections.
const MIN_REAP_INTERVAL: Duration = Duration::from_millis(100);

/// A statement that is being executed. Its result may state if the plan's condition holds.
pub(crate) type Step<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// The pool of connections to one database.
pub(crate) struct Connections {
    pool: Pool,
    /// One permit for each connection in use, so that closing can wait for all of them.
    lent: Arc<Semaphore>,
    reaper: Option<JoinHandle<()>>,
}

impl Connections {
    /// Creates a pool. Connections are opened on demand. If `reaper` is given, that part closes idle connections.
    pub(crate) fn new(
        target: ConnectionTarget,
        options: &PostgresOptions,
        reaper: Option<(&Arc<Supervisor>, Arc<Part>)>,
    ) -> Result<Self, StoreError> {
        let ConnectionTarget { mut config, tls } = target;
        configure(&mut config, options);
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let hosts = Hosts::new(&config, tls, options.connect_timeout);
        let manager = Manager::from_connect(config, hosts, manager_config);
        let (max_age, max_idle) = (options.max_connection_age, options.idle_timeout);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size.max(1) as usize)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.pool_wait_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            .post_create(Hook::async_fn(|client: &mut ClientWrapper, _| {
                Box::pin(async move { client.batch_execute(SET_UP).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                if metrics.age() > max_age || metrics.last_used() > max_idle {
                    Err(HookError::message("the connection is too old"))
                } else {
                    Ok(())
                }
            }))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let reaper = reaper.map(|(supervisor, part)| {
            let (supervisor, pool) = (Arc::clone(supervisor), pool.clone());
            tokio::spawn(async move { supervisor.run(&part, || reap(pool.clone(), max_idle)).await })
        });
        Ok(Self { pool, lent: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), reaper })
    }

    /// Returns a connection from the pool.
    pub(crate) async fn get(&self) -> Result<Connection, Failure> {
        let closed = |_| Failure::Store(StoreError::Unavailable("the store is closed".to_owned()));
        let permit = Arc::clone(&self.lent).acquire_owned().await.map_err(closed)?;
        let client = self.pool.get().await?;
        Ok(Connection {
            client: Some(client),
            is_in_transaction: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            _permit: permit,
        })
    }

    /// Returns the current use of the pool, with these names.
    pub(crate) fn status(&self, shard: &str, pool: &'static str) -> PoolStatus {
        let Status { max_size: limit, size: open, available: idle, waiting } = self.pool.status();
        PoolStatus { shard: shard.to_owned(), pool, limit, open, idle, waiting }
    }

    fn stop_reaping(&self) {
        if let Some(reaper) = &self.reaper {
            reaper.abort();
        }
    }

    /// Returns whether the pool refuses new calls.
    pub(crate) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Refuses new calls, and returns when the running ones have finished.
    pub(crate) async fn close(&self) {
        self.pool.close();
        self.stop_reaping();
        let all = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        drop(self.lent.acquire_many(all).await);
        self.lent.close();
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.stop_reaping();
    }
}

/// Applies the settings of every connection.
pub(crate) fn configure(config: &mut Config, options: &PostgresOptions) {
    let statement_timeout_ms = options.statement_timeout.as_millis();
    // An open transaction that waits for its client delays others, including everyone's feed.
    let client_timeout = (options.resolve_timeout * 2 / 3).max(PostgresOptions::MIN_CLIENT_TIMEOUT);
    let client_timeout_ms = client_timeout.as_millis();
    let given = config.get_options().unwrap_or_default();
    // The URL's options come last, so they take precedence.
    let session = format!(
        "{SESSION} {NO_NOTICES} {WRITABLE} -c statement_timeout={statement_timeout_ms} \
         -c idle_in_transaction_session_timeout={client_timeout_ms} {given}"
    );
    config
        .options(session)
        .application_name(&options.application_name)
        .connect_timeout(options.connect_timeout)
        .tcp_user_timeout(options.network_timeout)
        // A client that waits for a response has nothing to send, so without probes it would wait for hours for a
        // machine that has vanished. The first probe is sent after half of the time.
        .keepalives(true)
        .keepalives_idle((options.network_timeout / 2).max(Duration::from_secs(1)))
        .keepalives_interval((options.network_timeout / 8).max(Duration::from_secs(1)))
        .keepalives_retries(KEEPALIVE_RETRIES);
}

/// Applies the settings of a connection that migrates. The server sends no notices (such as that a table exists
/// already), because the client logs each of them. Statements have no timeout. Options of the URL take precedence.
pub(crate) fn configure_migration(config: &mut Config) {
    let given = config.get_options().unwrap_or_default();
    let options = format!("{NO_NOTICES} {WRITABLE} -c statement_timeout=0 {given}");
    config.options(options);
}

/// Closes connections that have been idle for too long.
async fn reap(pool: Pool, max_idle: Duration) -> Result<(), String> {
    let mut interval = tokio::time::interval((max_idle / 4).max(MIN_REAP_INTERVAL));
    loop {
        interval.tick().await;
        pool.retain(|_, metrics| metrics.last_used() <= max_idle);
    }
}

/// A connection from the pool.
///
/// A connection that is dropped inside a transaction or during a statement, because of an error or because the caller
/// stopped waiting, is closed, which rolls the transaction back. Such a connection must not return to the pool: its
/// next user would be inside that transaction, or would wait for that statement.
pub(crate) struct Connection {
    client: Option<Object>,
    is_in_transaction: AtomicBool,
    /// Number of statements that were sent, to be prepared or executed, and have no response yet.
    unanswered: AtomicU32,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if (*self.is_in_transaction.get_mut() || *self.unanswered.get_mut() > 0)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}

impl Connection {
    pub(crate) fn client(&self) -> Result<&ClientWrapper, Failure> {
        self.client.as_deref().ok_or_else(|| Failure::corrupt("a connection is missing"))
    }

    fn set_in_transaction(&self, is_in_transaction: bool) {
        self.is_in_transaction.store(is_in_transaction, Ordering::Relaxed);
    }

    /// Ends the session and everything that belongs to it when this connection is dropped.
    pub(crate) fn close_when_dropped(&self) {
        self.set_in_transaction(true);
    }

    /// Waits for a response, and counts the statement as unanswered until the response has arrived.
    pub(crate) async fn answer<T>(&self, call: impl Future<Output = T>) -> T {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let answer = call.await;
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Runs a single statement.
    pub(crate) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let run = async { client.query(&client.prepare_cached(sql).await?, parameters).await };
        Ok(self.answer(run).await?)
    }

    /// Runs a statement that returns one number.
    pub(crate) async fn query_number(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<i64, Failure> {
        let rows = self.query(sql, parameters).await?;
        rows.first().map_or_else(|| Err(Failure::corrupt("the database returned no row")), |row| read(row, 0))
    }

    /// Runs a statement that writes, inside a write transaction. Returns the number of affected rows.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        let client = self.client()?;
        let run = async { client.execute(&client.prepare_cached(sql).await?, parameters).await };
        Ok(self.answer(run).await?)
    }

    /// Runs a statement that writes as its own transaction. Returns the number of affected rows.
    pub(crate) async fn write(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        let [statement] = self.prepare([sql]).await?;
        let client = self.client()?;
        self.in_own_transaction(client.execute(&statement, parameters)).await
    }

    /// Runs a statement that writes as its own transaction. Returns its rows.
    pub(crate) async fn write_returning(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let [statement] = self.prepare([sql]).await?;
        let client = self.client()?;
        self.in_own_transaction(client.query(&statement, parameters)).await
    }

    /// Runs a statement between BEGIN and COMMIT, in one round trip. If BEGIN fails, the statement cannot write. If
    /// the statement fails, COMMIT rolls back.
    async fn in_own_transaction<T>(
        &self,
        statement: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let client = self.client()?;
        self.set_in_transaction(true);
        let (begin, commit) = (client.batch_execute(BEGIN_STATEMENT), client.batch_execute("COMMIT"));
        // `join3` polls in order, so the three are sent in order.
        match futures::future::join3(begin, statement, commit).await {
            (Ok(()), Ok(answer), Ok(())) => {
                self.set_in_transaction(false);
                Ok(answer)
            }
            // Statements after the first failed one fail because of it, so the first error is the cause.
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                self.rollback().await;
                Err(Failure::of_commit(error))
            }
        }
    }

    /// Prepares statements that are new to this connection, all at once.
    pub(crate) async fn prepare<const N: usize>(&self, sql: [&str; N]) -> Result<[Statement; N], Failure> {
        let client = self.client()?;
        let statements = self.answer(join_all(sql.map(|sql| client.prepare_cached(sql)))).await;
        let statements = statements.into_iter().collect::<Result<Vec<_>, Error>>()?;
        <[Statement; N]>::try_from(statements)
            .map_err(|_| Failure::corrupt("a prepared statement is missing"))
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self, begin: &str) -> Result<(), Failure> {
        self.set_in_transaction(true);
        Ok(self.client()?.batch_execute(begin).await?)
    }

    /// Begins a transaction and sends all steps after BEGIN without waiting for a response. Rolls back after an
    /// error.
    ///
    /// A step must send its statement when it is polled for the first time, as the client does with a prepared
    /// statement. Steps are polled in order, so they are executed in order.
    pub(crate) async fn begin_with<'a, T>(
        &'a self,
        begin: &'static str,
        steps: impl FnOnce(&'a ClientWrapper) -> Vec<Step<'a, T>>,
    ) -> Result<Vec<T>, Failure> {
        let client = self.client()?;
        self.set_in_transaction(true);
        let begin = async { client.batch_execute(begin).await.map_err(Failure::from) };
        // `join` polls its first future first, and `join_all` polls in order.
        let (begun, answers) = futures::future::join(begin, join_all(steps(client))).await;
        // After a failed step, the later ones fail too, with less informative errors.
        match begun.and_then(|()| answers.into_iter().collect()) {
            Ok(answers) => Ok(answers),
            Err(failure) => {
                self.rollback().await;
                Err(failure)
            }
        }
    }

    /// Commits a transaction.
    pub(crate) async fn commit(&self) -> Result<(), Failure> {
        match self.client()?.batch_execute("COMMIT").await {
            Ok(()) => {
                self.set_in_transaction(false);
                Ok(())
            }
            Err(error) => {
                let failure = Failure::of_commit(error);
                // After an ERROR the transaction has ended, and ROLLBACK only causes a warning. After any other
                // failure, the connection is unusable.
                if !matches!(failure, Failure::Store(StoreError::OutcomeUnknown(_))) {
                    self.rollback().await;
                }
                Err(failure)
            }
        }
    }

    /// Returns when every visible commit is as durable as this store's own commits. See [`CONFIRM`].
    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        self.query(CONFIRM, &[]).await.map(drop)
    }

    /// Rolls a transaction back. If ROLLBACK fails, closing the connection rolls back.
    pub(crate) async fn rollback(&self) {
        let Ok(client) = self.client() else { return };
        if client.batch_execute("ROLLBACK").await.is_ok() {
            self.set_in_transaction(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that vanishes while a client waits for its response is detected within about the configured time:
    /// keepalive probes begin earlier, and there are several of them.
    #[test]
    fn keepalive_probes_detect_a_silent_server() {
        for network_timeout in [PostgresOptions::DEFAULT_NETWORK_TIMEOUT, Duration::from_secs(30)] {
            // The URL asks for keepalives that would be too late.
            let mut config: Config = "postgresql://u@h/d?keepalives=0&keepalives_idle=7200".parse().unwrap();
            configure(&mut config, &PostgresOptions { network_timeout, ..PostgresOptions::default() });
            assert!(config.get_keepalives());
            assert_eq!(config.get_tcp_user_timeout(), Some(&network_timeout));
            let probes = config.get_keepalives_interval().unwrap() * config.get_keepalives_retries().unwrap();
            assert!(config.get_keepalives_idle() + probes <= network_timeout);
        }
        let mut config = Config::new();
        configure(
            &mut config,
            &PostgresOptions { network_timeout: Duration::ZERO, ..PostgresOptions::default() },
        );
        // The operating system accepts whole seconds only, and at least one.
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(1)));
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(1));
    }
}
