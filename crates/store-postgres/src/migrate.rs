//! The schema: numbered SQL files, forward only.
//!
//! To change the schema, add a file to `migrations/` and its line to [`MIGRATIONS`]. A file that has
//! been released is never edited: its checksum is kept in each database.

use dabba_store::StoreError;
use refinery::{Migration, Runner};
use tokio_postgres::Client;

use crate::{
    Ownership, PostgresOptions,
    failure::{Failure, describe},
    hosts::Hosts,
    pool::Connection,
    shard,
    tls::Target,
};

/// Every migration, by name, in order.
pub(crate) const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("../migrations/V1__initial.sql")),
    ("V2__shard", include_str!("../migrations/V2__shard.sql")),
    ("V3__parked_tasks", include_str!("../migrations/V3__parked_tasks.sql")),
    ("V4__card_payments", include_str!("../migrations/V4__card_payments.sql")),
    ("V5__stock_revisions", include_str!("../migrations/V5__stock_revisions.sql")),
    ("V6__external_ids", include_str!("../migrations/V6__external_ids.sql")),
    ("V7__availability", include_str!("../migrations/V7__availability.sql")),
];

/// The version of the newest migration: they are numbered from 1 without a gap.
#[expect(clippy::cast_possible_wrap, reason = "there are few migrations")]
const NEWEST: i64 = MIGRATIONS.len() as i64;

/// The name, as a number, of the lock that a migrating server holds on its database: `dabba` in ASCII.
const LOCK: i64 = 0x64_61_62_62_61;

/// The schema that is there; NULL when there is none. Two steps, since a statement that names a table
/// that is not there cannot be planned.
const HAS_HISTORY: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
const VERSION: &str = "SELECT max(version)::bigint FROM refinery_schema_history";

/// Whether there is an event of a transaction that this cluster has not come to yet.
///
/// That happens when a dump is restored into another cluster, and it would be bad for the feed: what is
/// written from now on would stand before what is there, and readers would never see it.
const IS_FROM_THE_FUTURE: &str = "\
    SELECT EXISTS (SELECT FROM order_events WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))";

/// Brings a database to the newest schema and takes it into its map. Answers how many migrations were needed.
pub(crate) async fn migrate(url: &str, ownership: &Ownership) -> Result<usize, StoreError> {
    let mut target = Target::parse(url)?;
    target.config.application_name("dabba migrate");
    let time = PostgresOptions::DEFAULT_CONNECT_TIMEOUT;
    let hosts = Hosts::new(&target.config, target.tls, time);
    let (mut client, connection) = tokio::time::timeout(time, hosts.find())
        .await
        .map_err(|_| StoreError::Unavailable("the database does not answer".to_owned()))?
        .map_err(|error| StoreError::Unavailable(describe(&error)))?;
    let applied = async {
        let applied = apply(&mut client).await?;
        shard::claim(&client, ownership).await.map_err(Failure::into_store_error)?;
        Ok(applied)
    };
    let applied = applied.await;
    // The end of the session gives the lock back, whatever happened in between.
    drop(client);
    // An error here came to light above, where it mattered.
    let _ = connection.await;
    applied
}

async fn apply(client: &mut Client) -> Result<usize, StoreError> {
    let unavailable = |error| StoreError::Unavailable(describe(&error));
    // Whoever comes second waits here, and then finds the work done. The lock is the database's own.
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(unavailable)?;
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StoreError::Corrupt(format!("a migration is misnamed: {error}")))?;
    // Grouped, so that a migration and the note that it was made are one transaction.
    let report = Runner::new(&migrations)
        .set_grouped(true)
        .run_async(client)
        .await
        .map_err(|error| StoreError::Unfit(format!("the database was not migrated: {error}")))?;
    Ok(report.applied_migrations().len())
}

/// Makes sure that a database has the schema for which this program was written.
pub(crate) async fn check_schema(connection: &Connection) -> Result<(), Failure> {
    let client = connection.client()?;
    let has_history: bool = client.query_one(HAS_HISTORY, &[]).await?.try_get(0)?;
    let version: Option<i64> =
        if has_history { client.query_one(VERSION, &[]).await?.try_get(0)? } else { None };
    match version {
        Some(NEWEST) => check_numbering(connection).await,
        Some(newer) if newer > NEWEST => Err(Failure::Store(StoreError::Unfit(format!(
            "the database has schema version {newer}, and this program knows {NEWEST}: use a newer one"
        )))),
        older => Err(Failure::Store(StoreError::Unfit(format!(
            "the database has schema version {}, and {NEWEST} is needed: run `dabba migrate`",
            older.unwrap_or(0)
        )))),
    }
}

async fn check_numbering(connection: &Connection) -> Result<(), Failure> {
    let is_from_the_future: bool =
        connection.client()?.query_one(IS_FROM_THE_FUTURE, &[]).await?.try_get(0)?;
    if !is_from_the_future {
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
    use super::*;

    #[test]
    fn the_newest_version_is_that_of_the_last_migration() {
        let (name, sql) = MIGRATIONS.last().unwrap();
        let newest = Migration::unapplied(name, sql).unwrap();
        assert_eq!(i64::from(newest.version()), NEWEST);
    }
}
