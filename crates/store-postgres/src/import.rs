//! The target of a copy from another store, row by row, and the check for unfinished copies.

mod columns;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{
    StoreError,
    transfer::{
        Contents, CopyProgress, CopyState, Digest, DigestBuilder, Row, TABLES, Table, Target, check_layout,
        normalize,
    },
};
use futures::TryStreamExt as _;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, types::ToSql};

use self::columns::{columns_of, insert, select, value_of};
use crate::{
    Ownership, PostgresOptions, PostgresStore,
    codec::read,
    failure::{Failure, describe},
    hosts::Hosts,
    pool::{SET_UP, configure},
    shard, tls,
};

/// Name of the connection in `pg_stat_activity`.
const APPLICATION_NAME: &str = "dabba copy";

/// A transaction whose client is silent ends after two thirds of this time.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

/// Maximum time to wait for a lock, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// Maximum number of checks for servers on the target, and the pause between two checks.
const MAX_ATTEMPTS: u32 = 20;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts the sessions of servers and workers, as far as they use the application names of Dabba.
const COUNT_SESSIONS: &str = "\
    SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = ANY ($1)";

/// Tables and columns that are not copied: the positions in the feed, and the records that each database keeps about
/// itself.
const NOT_COPIED: &[(&str, &[&str])] = &[
    ("order_events", &["transaction_id", "sequence"]),
    ("schema_versions", &[]),
    ("refinery_schema_history", &[]),
    ("shard", &[]),
    ("copies", &[]),
    ("feed_state", &[]),
    // A login link lasts some minutes only.
    ("login_links", &[]),
    // The source refuses to be copied while it has webhook endpoints.
    ("webhook_endpoints", &[]),
    ("webhook_counter", &[]),
    ("feed_leases", &[]),
    ("feed_consumers", &[]),
    ("webhook_failures", &[]),
    ("webhook_attempts", &[]),
    // The target counts the events of the last day anew.
    ("statistics", &[]),
    ("statistics_progress", &[]),
];

const COLUMNS: &str = "\
    SELECT columns.table_name::text, columns.column_name::text FROM information_schema.columns AS columns \
    JOIN information_schema.tables AS tables USING (table_schema, table_name) \
    WHERE columns.table_schema = current_schema() AND tables.table_type = 'BASE TABLE'";

/// Begins a transaction that writes. The session's default is read-only, so a write outside such a transaction fails.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";

const HAS_TABLE: &str = "SELECT to_regclass($1::text) IS NOT NULL";

/// Two statements, because PostgreSQL cannot plan a statement that names a missing table.
const HAS_COPIES: &str = "SELECT to_regclass('copies') IS NOT NULL";
const IS_UNFINISHED: &str = "SELECT EXISTS (SELECT FROM copies WHERE finished_at IS NULL)";

const FIND_STATE: &str = "\
    SELECT contents::text, progress::text, (extract(epoch FROM finished_at) * 1000)::bigint FROM copies \
    WHERE is_the_only_row";

const BEGIN_COPY: &str = "\
    INSERT INTO copies (contents, progress) VALUES ($1::text::json, $2::text::json) \
    ON CONFLICT (is_the_only_row) DO NOTHING";

const LOCK_PROGRESS: &str =
    "SELECT progress::text FROM copies WHERE is_the_only_row AND finished_at IS NULL FOR UPDATE";

const UPDATE_PROGRESS: &str = "UPDATE copies SET progress = $1::text::json WHERE is_the_only_row";

const FINISH: &str = "UPDATE copies SET finished_at = now() WHERE is_the_only_row AND finished_at IS NULL";

/// Refuses a database that contains an unfinished copy.
pub(crate) async fn refuse_unfinished(client: &Client) -> Result<(), Failure> {
    let has_copies: bool = read(&client.query_one(HAS_COPIES, &[]).await?, 0)?;
    if has_copies && read(&client.query_one(IS_UNFINISHED, &[]).await?, 0)? {
        return Err(Failure::Store(StoreError::Unfit(
            "a copy of an embedded database into this database is not finished: run `dabba copy` again"
                .to_owned(),
        )));
    }
    Ok(())
}

/// A PostgreSQL database as the target of a copy.
pub struct CopyTarget {
    client: Client,
    /// Application names of the sessions of servers and workers.
    server_names: Vec<String>,
    _connection: JoinHandle<()>,
}

impl CopyTarget {
    /// Connects to the database at `url` and migrates it to the newest schema. Refuses a database that contains rows
    /// and no unfinished copy, and leaves it unchanged. Also refuses a database in use by servers or workers: their
    /// sessions have the name `server_name` ([`PostgresOptions::application_name`]) or the default name.
    pub async fn prepare(url: &str, ownership: &Ownership, server_name: &str) -> Result<Self, StoreError> {
        let mut target = Self::connect(url).await?;
        target.server_names.push(server_name.to_owned());
        target.require_usable().await.map_err(Failure::into_store_error)?;
        target.require_no_servers().await.map_err(Failure::into_store_error)?;
        PostgresStore::migrate(url, ownership).await?;
        target.set_up(ownership).await.map_err(Failure::into_store_error)?;
        Ok(target)
    }

    /// Connects to the database at `url`, which must have the given `ownership`.
    pub async fn open(url: &str, ownership: &Ownership) -> Result<Self, StoreError> {
        let target = Self::connect(url).await?;
        target.set_up(ownership).await.map_err(Failure::into_store_error)?;
        Ok(target)
    }

    async fn connect(url: &str) -> Result<Self, StoreError> {
        let tls::ConnectionTarget { mut config, tls } = tls::ConnectionTarget::parse(url)?;
        let options = PostgresOptions {
            application_name: APPLICATION_NAME.to_owned(),
            // The time to read a whole table has no limit. A lost connection is detected without this timeout.
            statement_timeout: Duration::ZERO,
            resolve_timeout: CLIENT_TIMEOUT,
            ..PostgresOptions::default()
        };
        configure(&mut config, &options);
        let time = PostgresOptions::DEFAULT_CONNECT_TIMEOUT;
        let hosts = Hosts::new(&config, tls, time);
        let (client, connection) = tokio::time::timeout(time, hosts.find())
            .await
            .map_err(|_| StoreError::Unavailable("the database does not respond".to_owned()))?
            .map_err(|error| StoreError::Unavailable(describe(&error)))?;
        let server_names = vec![PostgresOptions::DEFAULT_APPLICATION_NAME.to_owned()];
        Ok(Self { client, server_names, _connection: connection })
    }

    async fn set_up(&self, ownership: &Ownership) -> Result<(), Failure> {
        // Whole tables are read, for which an index is useless.
        let set_up = format!("{SET_UP}; SET enable_seqscan = on; SET lock_timeout = {LOCK_TIMEOUT_MS}");
        self.client.batch_execute(&set_up).await?;
        shard::check(&self.client, ownership).await
    }

    /// Runs `work` as one transaction.
    async fn in_transaction(
        &self,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), StoreError> {
        let run = async {
            self.client.batch_execute(BEGIN).await?;
            match work.await {
                Ok(()) => self.client.batch_execute("COMMIT").await.map_err(Failure::of_commit),
                Err(failure) => {
                    // If ROLLBACK fails, the connection is lost, and so is the transaction.
                    let _ = self.client.batch_execute("ROLLBACK").await;
                    Err(failure)
                }
            }
        };
        run.await.map_err(Failure::into_store_error)
    }

    async fn find_state(&self) -> Result<CopyState, Failure> {
        let Some(row) = self.client.query_opt(FIND_STATE, &[]).await? else { return Ok(CopyState::Absent) };
        let contents: Contents = serde_json::from_str(read(&row, 0)?)?;
        let progress: CopyProgress = serde_json::from_str(read(&row, 1)?)?;
        let finished_at: Option<i64> = read(&row, 2)?;
        let Some(finished_at) = finished_at else { return Ok(CopyState::Unfinished(contents, progress)) };
        let at =
            Timestamp::from_millisecond(finished_at).map_err(|error| Failure::corrupt(error.to_string()))?;
        Ok(CopyState::Finished(contents, at))
    }

    /// Refuses a database in use by servers or workers of Dabba: they would process the tasks of an incomplete copy.
    /// Retries, because the session of an ended process may exist for a moment longer.
    async fn require_no_servers(&self) -> Result<(), Failure> {
        let mut attempts = 1;
        loop {
            let sessions: i64 =
                read(&self.client.query_one(COUNT_SESSIONS, &[&self.server_names]).await?, 0)?;
            if sessions == 0 {
                return Ok(());
            }
            if attempts >= MAX_ATTEMPTS {
                return Err(Failure::Store(StoreError::Unfit(format!(
                    "servers or workers of Dabba use the target ({sessions} connections): stop them"
                ))));
            }
            attempts += 1;
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
    }

    /// Refuses a database that contains rows and no copy, whatever its schema is.
    async fn require_usable(&self) -> Result<(), Failure> {
        let has_copies: bool = read(&self.client.query_one(HAS_COPIES, &[]).await?, 0)?;
        if has_copies && self.find_state().await? != CopyState::Absent {
            return Ok(());
        }
        self.require_empty().await
    }

    /// Refuses a database that contains rows.
    async fn require_empty(&self) -> Result<(), Failure> {
        for table in TABLES {
            if !read::<bool>(&self.client.query_one(HAS_TABLE, &[&table.name]).await?, 0)? {
                continue;
            }
            let sql = format!("SELECT EXISTS (SELECT FROM {})", table.name);
            if read(&self.client.query_one(&sql, &[]).await?, 0)? {
                return Err(Failure::Store(StoreError::Unfit(format!(
                    "the target is not empty: its table {} has rows; copy into a new, empty database",
                    table.name
                ))));
            }
        }
        Ok(())
    }

    async fn write_page(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        from: &CopyProgress,
        to: &CopyProgress,
    ) -> Result<(), Failure> {
        let (count, columns) = (rows.len() as u64, columns_of(table, rows)?);
        let locked = self.client.query_opt(LOCK_PROGRESS, &[]).await?;
        let progress: Option<CopyProgress> =
            locked.map(|row| Ok::<_, Failure>(serde_json::from_str(read(&row, 0)?)?)).transpose()?;
        if progress.as_ref() != Some(from) {
            return Err(Failure::Store(StoreError::Unfit(
                "another `dabba copy` writes to the target".to_owned(),
            )));
        }
        let parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect();
        let written = self.client.execute(&insert(table), &parameters).await?;
        if written != count {
            return Err(Failure::corrupt(format!("{written} rows of {count} were written")));
        }
        self.client.execute(UPDATE_PROGRESS, &[&serde_json::to_string(to)?]).await?;
        Ok(())
    }

    async fn read_digest(&self, table: &'static Table) -> Result<Digest, Failure> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = pin!(self.client.query_raw(&select(table), none).await?);
        let mut digest = DigestBuilder::new(table);
        while let Some(row) = rows.try_next().await? {
            let values = table.columns.iter().enumerate().map(|(index, column)| {
                let value = value_of(&row, index, column.kind)?;
                Ok(normalize(table, column, value)?)
            });
            digest.add(&values.collect::<Result<Row, Failure>>()?);
        }
        Ok(digest.finish())
    }
}

#[async_trait]
impl Target for CopyTarget {
    async fn check_schema(&self) -> Result<(), StoreError> {
        let rows = self.client.query(COLUMNS, &[]).await;
        let rows = rows.map_err(|error| Failure::from(error).into_store_error())?;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let column: Result<(String, String), Failure> =
                read(&row, 0).and_then(|table| Ok((table, read(&row, 1)?)));
            let (table, column) = column.map_err(Failure::into_store_error)?;
            found.entry(table).or_default().insert(column);
        }
        check_layout(&found, NOT_COPIED)
    }

    async fn state(&self) -> Result<CopyState, StoreError> {
        self.find_state().await.map_err(Failure::into_store_error)
    }

    async fn begin(&self, contents: &Contents) -> Result<(), StoreError> {
        self.in_transaction(async {
            // Waits for running writes, and makes later ones wait.
            self.client.batch_execute("LOCK TABLE shard IN ACCESS EXCLUSIVE MODE").await?;
            // A server that has started since `prepare` would continue. A server that starts from now on waits for
            // the lock in `shard::verify`, and then finds the copy.
            self.require_no_servers().await?;
            self.require_empty().await?;
            let (contents, progress) =
                (serde_json::to_string(contents)?, serde_json::to_string(&CopyProgress::at(0))?);
            if self.client.execute(BEGIN_COPY, &[&contents, &progress]).await? == 1 {
                return Ok(());
            }
            Err(Failure::Store(StoreError::Unfit("another `dabba copy` writes to the target".to_owned())))
        })
        .await
    }

    async fn write(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        from: &CopyProgress,
        to: &CopyProgress,
    ) -> Result<(), StoreError> {
        self.in_transaction(self.write_page(table, rows, from, to)).await
    }

    async fn digest(&self, table: &'static Table) -> Result<Digest, StoreError> {
        self.read_digest(table).await.map_err(Failure::into_store_error)
    }

    async fn finish(&self) -> Result<(), StoreError> {
        self.in_transaction(async {
            self.client.execute(FINISH, &[]).await?;
            Ok(())
        })
        .await
    }
}
