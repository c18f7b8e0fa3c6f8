//! The connections, and what is true of each of them.
//!
//! Every connection is told to find rows by index alone. In small tables the planner would rather
//! read the whole table, and in a SERIALIZABLE transaction whoever reads a whole table collides with
//! everyone who writes to it. It is also told to plan each statement once, since all of them are made
//! so that one plan serves every parameter.

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

use crate::{PostgresOptions, codec::read, failure::Failure, hosts::Hosts, tls::Target};

/// How the server is to carry out every statement of this store.
const SESSION: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off \
                       -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan -c jit=off";

/// What each connection sets once it is made.
///
/// Warnings are sent, since something is wrong then.
const NO_NOTICES: &str = "-c client_min_messages=warning";

/// Whatever the default of the user or the database is. A standby stays read-only.
const WRITABLE: &str = "-c default_transaction_read_only=off";

/// A commit that is acknowledged is on the disk, whatever the server's default is. Where the default
/// promises more than that (a standby has it too), it stays.
///
/// Statements outside of a transaction that was begun to write cannot write. The statements of a transaction are sent
/// without waiting for its BEGIN, each of them would be a transaction of its own if BEGIN failed (a timeout, a
/// cancellation that comes late), and the caller is told that nothing was written. So the server itself refuses such
/// writes (25006). While the connection is made the default is off ([`WRITABLE`]), since a URL with
/// `target_session_attrs=read-write` takes a server with that default for a standby.
pub(crate) const SET_UP: &str = "\
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SET default_transaction_read_only = on";

/// Begins a transaction of one statement that writes.
const BEGIN_ALONE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// Begins a transaction that writes. The lock comes before its snapshot is made: see [`crate::shard`].
pub(crate) const BEGIN_SERIALIZABLE: &str =
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE; LOCK TABLE shard IN ACCESS SHARE MODE";

/// Begins a transaction whose statements all see one moment. It takes no part in the detection of
/// collisions, since what it reads is either only shown or proved again before it is relied upon.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Makes every COMMIT of before this moment as safe as one's own: it writes a word to the log, whose commit
/// waits for whatever a commit has to wait for.
///
/// What can be read need not have got that far. A commit whose wait for a standby was broken off, by a
/// restart or by hand, can be read from then on, although the standby may not have it.
const CONFIRM: &str = "SELECT pg_logical_emit_message(true, 'dabba', '')";

/// How many times a server that says nothing is asked whether it is there, on systems that count this
/// rather than take the time.
const KEEPALIVE_RETRIES: u32 = 3;

/// The smallest pause between two looks for connections that nobody uses.
const MIN_REAP_INTERVAL: Duration = Duration::from_millis(100);

/// A statement on its way, and whether what it says is what was hoped for.
pub(crate) type Step<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// The pool of connections to one database.
pub(crate) struct Connections {
    pool: Pool,
    /// One permit for each connection that is lent out, so that closing can wait for them.
    lent: Arc<Semaphore>,
    reaper: Option<JoinHandle<()>>,
}

impl Connections {
    /// Makes a pool. Connections are made when they are needed. Those that nobody uses are closed by this part,
    /// if one is given.
    pub(crate) fn new(
        target: Target,
        options: &PostgresOptions,
        reaper: Option<(&Arc<Supervisor>, Arc<Part>)>,
    ) -> Result<Self, StoreError> {
        let Target { mut config, tls } = target;
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

    /// Lends a connection.
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

    /// Returns the use of the pool at this moment, under these names.
    pub(crate) fn status(&self, shard: &str, pool: &'static str) -> PoolStatus {
        let Status { max_size: limit, size: open, available: idle, waiting } = self.pool.status();
        PoolStatus { shard: shard.to_owned(), pool, limit, open, idle, waiting }
    }

    fn stop_reaping(&self) {
        if let Some(reaper) = &self.reaper {
            reaper.abort();
        }
    }

    /// Whether new calls are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Refuses new calls, and returns when those that have begun are done.
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

/// What is true of every connection.
pub(crate) fn configure(config: &mut Config, options: &PostgresOptions) {
    let statement_timeout_ms = options.statement_timeout.as_millis();
    // A transaction that waits for its client holds up others, the feed of everybody among them.
    let client_timeout = (options.resolve_timeout * 2 / 3).max(PostgresOptions::MIN_CLIENT_TIMEOUT);
    let client_timeout_ms = client_timeout.as_millis();
    let given = config.get_options().unwrap_or_default();
    // What the URL asks for comes last and so wins.
    let session = format!(
        "{SESSION} {NO_NOTICES} {WRITABLE} -c statement_timeout={statement_timeout_ms} \
         -c idle_in_transaction_session_timeout={client_timeout_ms} {given}"
    );
    config
        .options(session)
        .application_name(&options.application_name)
        .connect_timeout(options.connect_timeout)
        .tcp_user_timeout(options.network_timeout)
        // Whoever waits for an answer has sent everything, and would wait for hours for a machine that
        // is gone without a word. Half of the time passes before the first question.
        .keepalives(true)
        .keepalives_idle((options.network_timeout / 2).max(Duration::from_secs(1)))
        .keepalives_interval((options.network_timeout / 8).max(Duration::from_secs(1)))
        .keepalives_retries(KEEPALIVE_RETRIES);
}

/// What is true of a connection that migrates: the server sends no notices, such as that a table is there already, since the
/// client logs every one of them; a statement may take as long as it needs. What the URL asks for wins.
pub(crate) fn configure_migration(config: &mut Config) {
    let given = config.get_options().unwrap_or_default();
    let options = format!("{NO_NOTICES} {WRITABLE} -c statement_timeout=0 {given}");
    config.options(options);
}

/// Closes connections that nobody has used for long.
async fn reap(pool: Pool, max_idle: Duration) -> Result<(), String> {
    let mut interval = tokio::time::interval((max_idle / 4).max(MIN_REAP_INTERVAL));
    loop {
        interval.tick().await;
        pool.retain(|_, metrics| metrics.last_used() <= max_idle);
    }
}

/// A connection, lent.
///
/// One that is dropped in the middle of a transaction or of a statement, because of an error or because the
/// caller stopped waiting, is closed, which rolls the transaction back: it must not go back to the others,
/// who would find themselves in that transaction, or wait behind that statement.
pub(crate) struct Connection {
    client: Option<Object>,
    is_in_transaction: AtomicBool,
    /// Statements that have been sent, to be prepared or run, and not answered.
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
        self.client.as_deref().ok_or_else(|| Failure::corrupt("a connection went missing"))
    }

    fn set_in_transaction(&self, is_in_transaction: bool) {
        self.is_in_transaction.store(is_in_transaction, Ordering::Relaxed);
    }

    /// Ends the session when this connection is given back, with all that belongs to the session.
    pub(crate) fn close_when_dropped(&self) {
        self.set_in_transaction(true);
    }

    /// Waits for an answer, and remembers that one is out until it has come.
    pub(crate) async fn answer<T>(&self, call: impl Future<Output = T>) -> T {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let answer = call.await;
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Runs a statement by itself.
    pub(crate) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let run = async { client.query(&client.prepare_cached(sql).await?, parameters).await };
        Ok(self.answer(run).await?)
    }

    /// Runs a statement that answers one number.
    pub(crate) async fn query_number(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<i64, Failure> {
        let rows = self.query(sql, parameters).await?;
        rows.first().map_or_else(|| Err(Failure::corrupt("an answer went missing")), |row| read(row, 0))
    }

    /// Runs a statement that writes, within a transaction that was begun for that. Returns how many rows it touched.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        let client = self.client()?;
        let run = async { client.execute(&client.prepare_cached(sql).await?, parameters).await };
        Ok(self.answer(run).await?)
    }

    /// Runs a statement that writes as a transaction of its own. Returns how many rows it touched.
    pub(crate) async fn write(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        let [statement] = self.prepare([sql]).await?;
        let client = self.client()?;
        self.alone(client.execute(&statement, parameters)).await
    }

    /// Runs a statement that writes as a transaction of its own. Returns its rows.
    pub(crate) async fn write_returning(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let [statement] = self.prepare([sql]).await?;
        let client = self.client()?;
        self.alone(client.query(&statement, parameters)).await
    }

    /// Runs a statement between BEGIN and COMMIT, in one round trip. When BEGIN fails the statement cannot write, and when
    /// the statement fails COMMIT rolls back.
    async fn alone<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let client = self.client()?;
        self.set_in_transaction(true);
        let (begin, commit) = (client.batch_execute(BEGIN_ALONE), client.batch_execute("COMMIT"));
        // `join3` polls in order, so the three are sent in order.
        match futures::future::join3(begin, statement, commit).await {
            (Ok(()), Ok(answer), Ok(())) => {
                self.set_in_transaction(false);
                Ok(answer)
            }
            // What comes after the first that failed failed because of it.
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                self.rollback().await;
                Err(Failure::of_commit(error))
            }
        }
    }

    /// Prepares statements that this connection has not met yet, all at once.
    pub(crate) async fn prepare<const N: usize>(&self, sql: [&str; N]) -> Result<[Statement; N], Failure> {
        let client = self.client()?;
        let statements = self.answer(join_all(sql.map(|sql| client.prepare_cached(sql)))).await;
        let statements = statements.into_iter().collect::<Result<Vec<_>, Error>>()?;
        <[Statement; N]>::try_from(statements).map_err(|_| Failure::corrupt("a statement went missing"))
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self, begin: &str) -> Result<(), Failure> {
        self.set_in_transaction(true);
        Ok(self.client()?.batch_execute(begin).await?)
    }

    /// Begins a transaction and sends all steps behind it without waiting for any answer. On an error
    /// the transaction is rolled back.
    ///
    /// A step must send its statement when it is first polled, which is what the client does with a
    /// statement that is prepared. Steps are polled in order, so they are carried out in order.
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
        // When one fails the others after it fail too, with less to say.
        match begun.and_then(|()| answers.into_iter().collect()) {
            Ok(answers) => Ok(answers),
            Err(failure) => {
                self.rollback().await;
                Err(failure)
            }
        }
    }

    /// Makes a transaction durable.
    pub(crate) async fn commit(&self) -> Result<(), Failure> {
        match self.client()?.batch_execute("COMMIT").await {
            Ok(()) => {
                self.set_in_transaction(false);
                Ok(())
            }
            Err(error) => {
                let failure = Failure::of_commit(error);
                // After an ERROR there is no transaction any more, and to roll back nothing is only
                // a warning. Otherwise the connection is of no use.
                if !matches!(failure, Failure::Store(StoreError::OutcomeUnknown(_))) {
                    self.rollback().await;
                }
                Err(failure)
            }
        }
    }

    /// Returns when everything that can be read is as safe as what this store commits. See [`CONFIRM`].
    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        self.query(CONFIRM, &[]).await.map(drop)
    }

    /// Undoes a transaction. When even that fails, closing the connection does it.
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

    /// A machine that vanishes while an answer of it is waited for is noticed in about the time that is set:
    /// the questions whether it is there begin before, and are several.
    #[test]
    fn a_silent_server_is_asked_whether_it_is_there() {
        for network_timeout in [PostgresOptions::DEFAULT_NETWORK_TIMEOUT, Duration::from_secs(30)] {
            // As the URL asks for it, which would be too late.
            let mut config: Config = "postgresql://u@h/d?keepalives=0&keepalives_idle=7200".parse().unwrap();
            configure(&mut config, &PostgresOptions { network_timeout, ..PostgresOptions::default() });
            assert!(config.get_keepalives());
            assert_eq!(config.get_tcp_user_timeout(), Some(&network_timeout));
            let questions =
                config.get_keepalives_interval().unwrap() * config.get_keepalives_retries().unwrap();
            assert!(config.get_keepalives_idle() + questions <= network_timeout);
        }
        let mut config = Config::new();
        configure(
            &mut config,
            &PostgresOptions { network_timeout: Duration::ZERO, ..PostgresOptions::default() },
        );
        // The operating system takes whole seconds, and refuses none.
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(1)));
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(1));
    }
}
