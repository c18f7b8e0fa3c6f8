//! The schema: numbered SQL files, applied forward only.
//!
//! To change the schema, add a file to `migrations/` and its line to [`MIGRATIONS`]. Never edit a released file:
//! every database stores its checksum.
//!
//! Servers of several versions run side by side during a rolling upgrade. So each file from `V8` on
//! - inserts its row into `schema_versions`, with the lowest version that a server must know to run on the new
//!   schema. An added table, a column with a default and an index are compatible. A status, a kind of actor or a
//!   constraint that older servers cannot read or meet is incompatible: it takes two releases, the first of which can
//!   read what the second one writes. A new type of event is compatible if it raises `ORDER_FORMAT`
//!   ([`dabba_store::encoding`]);
//! - waits for no lock longer than [`LOCK_TIMEOUT_MS`], because every later transaction would wait behind the
//!   migration. After that time the migration is rolled back, and retried after a pause;
//! - fills no large table. A backfill runs in small batches, each in its own transaction, after the migration.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use dabba_store::{StoreError, chain};
use dabba_store_sql::{
    StoredRow as _,
    schema::{Migrations, Schema},
};
use refinery::Runner;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    Ownership, PostgresOptions,
    codec::{PgRow, first},
    failure::{Failure, describe},
    hosts::Hosts,
    pool::{Connection, configure_migration},
    shard,
    tls::ConnectionTarget,
};

/// Every migration, by name, in order.
pub(crate) const MIGRATIONS: Migrations = Migrations(&[
    ("V1__initial", include_str!("../migrations/V1__initial.sql")),
    ("V2__shard", include_str!("../migrations/V2__shard.sql")),
    ("V3__parked_tasks", include_str!("../migrations/V3__parked_tasks.sql")),
    ("V4__card_payments", include_str!("../migrations/V4__card_payments.sql")),
    ("V5__stock_revisions", include_str!("../migrations/V5__stock_revisions.sql")),
    ("V6__external_ids", include_str!("../migrations/V6__external_ids.sql")),
    ("V7__availability", include_str!("../migrations/V7__availability.sql")),
    ("V8__versions", include_str!("../migrations/V8__versions.sql")),
    ("V9__copies", include_str!("../migrations/V9__copies.sql")),
    ("V10__giving_away", include_str!("../migrations/V10__giving_away.sql")),
    ("V11__revocations", include_str!("../migrations/V11__revocations.sql")),
    ("V12__task_subjects", include_str!("../migrations/V12__task_subjects.sql")),
    ("V13__feed_state", include_str!("../migrations/V13__feed_state.sql")),
    ("V14__api_keys", include_str!("../migrations/V14__api_keys.sql")),
    ("V15__webhooks", include_str!("../migrations/V15__webhooks.sql")),
    ("V16__sessions", include_str!("../migrations/V16__sessions.sql")),
    ("V17__tracking_links", include_str!("../migrations/V17__tracking_links.sql")),
    ("V18__boards", include_str!("../migrations/V18__boards.sql")),
    ("V19__statistics", include_str!("../migrations/V19__statistics.sql")),
]);

/// Version of the newest migration.
pub(crate) const NEWEST: u32 = MIGRATIONS.newest();

/// Maximum time that a statement of a migration waits for a lock, in milliseconds. Less than PostgreSQL's default
/// `deadlock_timeout` of 1 s: if a migration and a commit wait for each other, the migration gives up.
const LOCK_TIMEOUT_MS: u32 = 800;

/// Maximum number of attempts of a migration that cannot get its locks. With the pauses, they take about five
/// minutes.
const MAX_ATTEMPTS: u32 = 30;

/// Pause after the first attempt, in which transactions that waited for the migration continue. It doubles with each
/// attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Maximum time to wait for another process that migrates. Longer than that process's attempts take.
const MAX_LOCK_WAIT: Duration = Duration::from_mins(10);

/// Maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Key of the advisory lock that a migrating process holds: `dabba` in ASCII.
const LOCK: i64 = 0x64_61_62_62_61;

/// Reads the encoding of a database.
const ENCODING: &str = "SELECT current_setting('server_encoding')";

/// The required encoding, which can store every text.
const UTF8: &str = "UTF8";

/// Finds the current schema version; NULL if there is none. Two statements, because PostgreSQL cannot plan a
/// statement that names a missing table.
const HAS_HISTORY: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
const VERSION: &str = "SELECT max(version)::bigint FROM refinery_schema_history";

/// Lowest version that a server must know; no row if the migrations did not state it.
const COMPATIBLE_FROM: &str = "SELECT compatible_from::bigint FROM schema_versions WHERE version = $1";

/// Current schema version and the lowest version that a server must know, for a running server or purge.
pub(crate) const FIND_COMPATIBILITY: &str =
    "SELECT version::bigint, compatible_from::bigint FROM schema_versions ORDER BY version DESC LIMIT 1";

/// Returns whether an event belongs to a transaction whose number this cluster has not reached yet.
///
/// This happens when a dump is restored into another cluster. The feed would then be wrong: new events would be
/// placed before the existing ones, and readers would never see them.
const HAS_FUTURE_TRANSACTION: &str = "\
    SELECT EXISTS (SELECT FROM order_events WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))";

/// Returns the version of a database's schema; 0 without a migration.
pub(crate) async fn version(connection: &Connection) -> Result<u32, Failure> {
    let rows = connection.query(FIND_COMPATIBILITY, &[]).await?;
    Ok(first(&rows, |row| row.number(0))?.unwrap_or(0))
}

/// Migrates a database to the schema `known`, and records its ownership. Returns the number of migrations applied: 0
/// if the database has a newer schema that is compatible with `known`.
pub(crate) async fn migrate(url: &str, ownership: &Ownership, known: u32) -> Result<usize, StoreError> {
    let mut target = ConnectionTarget::parse(url)?;
    target.config.application_name("dabba migrate");
    configure_migration(&mut target.config);
    let time = PostgresOptions::DEFAULT_CONNECT_TIMEOUT;
    let hosts = Hosts::new(&target.config, target.tls, time);
    let (mut client, connection) = tokio::time::timeout(time, hosts.find())
        .await
        .map_err(|_| StoreError::Unavailable("the database does not respond".to_owned()))?
        .map_err(|error| StoreError::Unavailable(describe(&error)))?;
    let applied = async {
        check_encoding(&client).await.map_err(Failure::into_store_error)?;
        let applied = apply(&mut client, known).await?;
        shard::claim(&client, ownership).await.map_err(Failure::into_store_error)?;
        Ok(applied)
    };
    let applied = applied.await;
    // The end of the session releases the lock, whatever happened before.
    drop(client);
    // The caller has already seen every error that matters, in `applied`.
    let _ = connection.await;
    applied
}

async fn apply(client: &mut Client, known: u32) -> Result<usize, StoreError> {
    let unavailable = |error| StoreError::Unavailable(describe(&error));
    let begun = Instant::now();
    let mut is_locked_by_another = false;
    loop {
        // Check before asking for the lock: a server whose schema exists does not wait for another process's
        // migration.
        if is_migrated(client, known).await? {
            return Ok(0);
        }
        // The lock is per database.
        let locked = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
        if locked.and_then(|row| row.try_get(0)).map_err(unavailable)? {
            break;
        }
        if begun.elapsed() > MAX_LOCK_WAIT {
            return Err(StoreError::Unavailable(format!(
                "another session has held the migration lock for more than {MAX_LOCK_WAIT:?}: end that session (pg_locks, locktype \
                 advisory) and retry"
            )));
        }
        if !is_locked_by_another {
            is_locked_by_another = true;
            tracing::info!("another process migrates the database; this one waits for it");
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
    // Another process may have migrated between the check and the lock.
    if is_migrated(client, known).await? {
        return Ok(0);
    }
    let migrations = MIGRATIONS.up_to(known)?;
    let lock_timeout = format!("SET lock_timeout = {LOCK_TIMEOUT_MS}");
    client.batch_execute(&lock_timeout).await.map_err(unavailable)?;
    let (mut attempts, mut pause) = (1, FIRST_PAUSE);
    loop {
        // Grouped: a migration and its history row are one transaction.
        match Runner::new(&migrations).set_grouped(true).run_async(client).await {
            Ok(report) => return Ok(report.applied_migrations().len()),
            Err(error) if attempts < MAX_ATTEMPTS && is_locked(&error) => {
                tracing::info!(attempts, "the migration could not acquire its locks; retrying");
                attempts += 1;
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(not_migrated(&error)),
        }
    }
}

/// Returns the error for a failed migration, with advice if the cause is known.
fn not_migrated(error: &refinery::Error) -> StoreError {
    let why = cause_of(error).map_or_else(|| chain(error), describe);
    let is_forbidden =
        cause_of(error).and_then(tokio_postgres::Error::code) == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    StoreError::Unfit(if is_forbidden {
        format!(
            "the database must be migrated, but its user may not change the schema ({why}): run `dabba migrate` as the owner \
             of the tables, and start servers and workers with `migrate = false`"
        )
    } else {
        format!("the database was not migrated: {why}")
    })
}

/// Returns PostgreSQL's error behind a failed migration.
fn cause_of(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    std::iter::successors(error.source(), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

/// Returns whether a database has the schema `known`, or a newer one that is compatible with `known`. Fails if the
/// newer schema is incompatible.
async fn is_migrated(client: &Client, known: u32) -> Result<bool, StoreError> {
    let check = async {
        let is_there = schema_version(client).await?.is_some_and(|version| version >= known);
        if is_there {
            check_version(client, known).await?;
        }
        Ok(is_there)
    };
    check.await.map_err(Failure::into_store_error)
}

/// Returns whether a migration failed only because of a lock timeout or a deadlock.
fn is_locked(error: &refinery::Error) -> bool {
    let transient = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    cause_of(error).and_then(tokio_postgres::Error::code).is_some_and(|code| transient.contains(code))
}

/// Returns the schema version of a database; `None` if there is no schema.
async fn schema_version(client: &Client) -> Result<Option<u32>, Failure> {
    let has_history: bool = client.query_one(HAS_HISTORY, &[]).await?.try_get(0)?;
    let version: Option<i64> =
        if has_history { client.query_one(VERSION, &[]).await?.try_get(0)? } else { None };
    version
        .map(|version| {
            u32::try_from(version).map_err(|_| Failure::corrupt("the schema version is out of range"))
        })
        .transpose()
}

/// Checks that a server that knows the schema `known` can run on a database.
pub(crate) async fn check_schema(connection: &Connection, known: u32) -> Result<(), Failure> {
    check_encoding(connection.client()?).await?;
    let version = check_version(connection.client()?, known).await?;
    if version > known {
        tracing::info!(version, known, "the database has a newer, compatible schema: upgrade this server");
    }
    check_numbering(connection).await
}

/// Refuses a database that a newer program has migrated, even if the schema is compatible with this program. For programs
/// that delete rows by rules that a newer version may have changed.
pub(crate) async fn refuse_newer_schema(connection: &Connection) -> Result<(), Failure> {
    let rows = connection.query(FIND_COMPATIBILITY, &[]).await?;
    let version: Option<u32> = first(&rows, |row| row.number(0))?;
    match version {
        Some(version) if version > NEWEST => Err(Failure::Store(StoreError::Unfit(format!(
            "the database has schema version {version}, and this program knows {NEWEST}: it could delete rows that a newer \
             version keeps; use the newest version"
        )))),
        _ => Ok(()),
    }
}

/// Refuses a database whose encoding cannot store every text: a single emoji would fail all orders of its batch.
async fn check_encoding(client: &Client) -> Result<(), Failure> {
    let encoding: String = client.query_one(ENCODING, &[]).await?.try_get(0)?;
    if encoding == UTF8 {
        return Ok(());
    }
    Err(Failure::Store(StoreError::Unfit(format!(
        "the encoding of the database is {encoding}; {UTF8} is required: create a database with \
         CREATE DATABASE name ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
    ))))
}

/// Checks that a server that knows the schema `known` can run on the database's schema. Returns the schema version.
async fn check_version(client: &Client, known: u32) -> Result<u32, Failure> {
    let version = schema_version(client).await?.unwrap_or(0);
    let stated = if version > known {
        let row = client.query_opt(COMPATIBLE_FROM, &[&i32::try_from(version).unwrap_or(i32::MAX)]).await?;
        row.map(|row| PgRow(&row).number(0)).transpose()?
    } else {
        None
    };
    let check = Schema::new(version, stated).check(known, "the database");
    check.map(|()| version).map_err(|error| Failure::Store(StoreError::Unfit(error)))
}

async fn check_numbering(connection: &Connection) -> Result<(), Failure> {
    let has_future_transaction: bool =
        connection.client()?.query_one(HAS_FUTURE_TRANSACTION, &[]).await?.try_get(0)?;
    if !has_future_transaction {
        return Ok(());
    }
    Err(Failure::Store(StoreError::Unfit(
        "the database was restored from a dump of another cluster, and its events are numbered beyond this \
         cluster's transactions: advance these with pg_resetwal --next-transaction-id and --epoch, or copy \
         whole clusters (pg_basebackup, pg_upgrade)"
            .to_owned(),
    )))
}

#[cfg(test)]
mod tests {
    use dabba_store_sql::testing::published_migrations;

    use super::*;

    /// Proves that published migrations do not change: a database migrated by a published file refuses a file with another
    /// checksum. Change a line of this snapshot only if its file has not been published.
    #[test]
    fn published_migrations_do_not_change() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        insta::assert_snapshot!(published_migrations(MIGRATIONS, directory));
    }
}
