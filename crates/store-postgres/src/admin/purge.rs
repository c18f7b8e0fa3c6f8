//! Purge of rows that belong to another shard, a bounded number of rows at a time.
//!
//! Each step reads the database's own bucket range in the same statement that deletes. So a purge can never delete a
//! row that the database holds. Steps are small transactions at READ COMMITTED: they block no other transaction, and
//! take no part in the detection of serialization failures.
//!
//! A newer version may keep rows by rules that this program does not know. So each step first refuses a newer schema,
//! even a compatible one: the database may be migrated during a purge. The statement that deletes checks the schema
//! again, because the migration may commit between the two.

use dabba_store::StoreError;
use dabba_store_sql::BELOW_EVERY_ID;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Administration;
use crate::{
    codec::read,
    failure::Failure,
    migrate::{NEWEST, refuse_newer_schema},
    pool::Connection,
};

/// Maximum number of rows of one table that one step reads and deletes.
pub(crate) const ROWS_PER_STEP: i64 = 1_000;

/// A table that is scanned by an id whose bucket tells where a row belongs. A table that references another one comes
/// before it.
struct Table {
    name: &'static str,
    /// Column of the id, the first column of an index.
    id: &'static str,
    /// Condition on rows that belong to the directory, whatever the bucket of their id.
    of_directory: &'static str,
}

impl Table {
    const fn new(name: &'static str, id: &'static str) -> Self {
        Self { name, id, of_directory: "false" }
    }
}

const TABLES: [Table; 10] = [
    Table::new("webhook_failures", "order_id"),
    Table { of_directory: "tasks.subject_kind <> 'order'", ..Table::new("tasks", "id") },
    Table::new("tracking_links", "order_id"),
    Table::new("boards", "restaurant_id"),
    Table::new("order_events", "order_id"),
    Table::new("orders", "id"),
    Table::new("stock", "restaurant_id"),
    Table::new("unavailable_items", "restaurant_id"),
    Table::new("menus", "restaurant_id"),
    Table::new("restaurants", "id"),
];

/// Schema version that this program knows, as a parameter of the statements that delete.
const KNOWN_SCHEMA: i64 = NEWEST as i64;

/// Condition that no newer program has migrated the database, for the statement that deletes. Newer programs write only after
/// their migration, so a snapshot that contains a row of a newer program contains the migration too.
macro_rules! schema_is_known {
    ($known:literal) => {
        concat!("NOT EXISTS (SELECT FROM schema_versions WHERE version > ", $known, "::bigint)")
    };
}

/// Deletes `$1` rows of a table that only the directory uses, unless the database is the directory.
macro_rules! purge_outside_directory {
    ($table:literal, $order:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY( SELECT ",
            $table,
            ".ctid FROM ",
            $table,
            ", shard WHERE shard.is_the_only_row AND NOT shard.is_directory AND ",
            schema_is_known!("$2"),
            " ORDER BY ",
            $order,
            " LIMIT $1))"
        )
    };
}

/// Idempotency keys have no index that begins with the restaurant, so they are scanned by account. Keys without a
/// restaurant belong to the directory.
const PURGE_KEYS: &str = concat!(
    "\
    WITH seen AS ( \
        SELECT account_id, restaurant_id, key FROM idempotency_keys \
        WHERE (account_id, restaurant_id, key) > ($1, $2, $3) \
        ORDER BY account_id, restaurant_id, key LIMIT $4), \
    gone AS ( \
        DELETE FROM idempotency_keys USING seen, shard \
        WHERE idempotency_keys.account_id = seen.account_id \
            AND idempotency_keys.restaurant_id = seen.restaurant_id AND idempotency_keys.key = seen.key \
            AND shard.is_the_only_row \
            AND CASE WHEN seen.restaurant_id = '00000000-0000-0000-0000-000000000000' \
                THEN NOT shard.is_directory \
                ELSE bucket_of(seen.restaurant_id) NOT BETWEEN shard.first_bucket AND shard.last_bucket END \
            AND ",
    schema_is_known!("$5"),
    " \
        RETURNING 1) \
    SELECT account_id, restaurant_id, key, (SELECT count(*) FROM gone) FROM seen \
    ORDER BY account_id DESC, restaurant_id DESC, key DESC LIMIT 1"
);

/// Records the last event's position as purged, unless a later one is recorded. Considers only events that the feed can
/// return: an event of an open transaction may follow the others and come before them.
const RECORD_LAST_EVENT: &str = concat!(
    "\
    UPDATE feed_state SET purged_transaction_id = last.transaction_id, purged_sequence = last.sequence \
    FROM ( \
        SELECT transaction_id, sequence FROM order_events WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
        ORDER BY transaction_id DESC, sequence DESC LIMIT 1) AS last \
    WHERE is_the_only_row \
        AND (last.transaction_id, last.sequence) > (purged_transaction_id, purged_sequence) AND ",
    schema_is_known!("$1"),
);

/// Tables that only the directory uses. A table that references another one comes before it.
const DIRECTORY: [(&str, &str); 9] = [
    ("webhook_endpoints", purge_outside_directory!("webhook_endpoints", "id")),
    ("webhook_counter", purge_outside_directory!("webhook_counter", "id")),
    ("memberships", purge_outside_directory!("memberships", "restaurant_id, account_id")),
    ("revocations", purge_outside_directory!("revocations", "revision")),
    ("revocation_counter", purge_outside_directory!("revocation_counter", "id")),
    ("api_keys", purge_outside_directory!("api_keys", "id")),
    ("sessions", purge_outside_directory!("sessions", "id")),
    ("login_links", purge_outside_directory!("login_links", "hash")),
    ("accounts", purge_outside_directory!("accounts", "id")),
];

impl Table {
    /// Returns the statement that reads `$2` ids after `$1`, and deletes the rows of those that belong to another
    /// shard, if the schema is at most `$3`. Its result is the last id read, and the number of deleted rows.
    fn sql(&self) -> String {
        let Self { name, id, of_directory } = self;
        let schema_is_known = schema_is_known!("$3");
        format!(
            "WITH seen AS (SELECT DISTINCT {id} FROM (\
                 SELECT {id} FROM {name} WHERE {id} > $1 ORDER BY {id} LIMIT $2) AS next), \
             gone AS (\
                 DELETE FROM {name} USING seen, shard WHERE {name}.{id} = seen.{id} AND shard.is_the_only_row \
                     AND CASE WHEN {of_directory} THEN NOT shard.is_directory \
                         ELSE bucket_of(seen.{id}) NOT BETWEEN shard.first_bucket AND shard.last_bucket END \
                     AND {schema_is_known} \
                 RETURNING 1) \
             SELECT {id}, (SELECT count(*) FROM gone) FROM seen ORDER BY {id} DESC LIMIT 1"
        )
    }
}

/// Every statement of this module, for the test of query plans.
#[cfg(test)]
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    let fixed =
        [("purge_keys", PURGE_KEYS), ("record_last_event", RECORD_LAST_EVENT)].into_iter().chain(DIRECTORY);
    let fixed = fixed.map(|(name, sql)| (name, sql.to_owned()));
    fixed.chain(TABLES.iter().map(|table| (table.name, table.sql()))).collect()
}

/// Rows that a purge has deleted from one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Name of the table.
    pub table: &'static str,
    /// Number of deleted rows.
    pub rows: u64,
}

impl Administration {
    /// Deletes all rows that belong to another shard, in bounded steps. After each step, calls `progress` with the
    /// table and the number of rows deleted from it so far. A purge can be interrupted and repeated.
    ///
    /// Fails with [`StoreError::Unfit`] if the database belongs to no shard map, because then no row can be assigned
    /// to a shard, and as [`Administration::require_known_schema`].
    pub async fn purge(&self, mut progress: impl FnMut(Purged) + Send) -> Result<Vec<Purged>, StoreError> {
        if self.ownership().await?.is_none() {
            return Err(StoreError::Unfit("the database is in no shard map".to_owned()));
        }
        self.record_last_event().await?;
        let mut all = Vec::new();
        all.push(self.purge_keys(&mut progress).await?);
        for table in &TABLES {
            all.push(self.purge_table(table, &mut progress).await?);
        }
        for (table, sql) in DIRECTORY {
            all.push(self.purge_directory(table, sql, &mut progress).await?);
        }
        // A last step may have kept its rows because of a migration after its check.
        self.require_known_schema().await?;
        Ok(all)
    }

    /// Records the position of the last event, which the purge may delete. Events of another shard are not written any
    /// more, so no event that the purge deletes comes after it.
    async fn record_last_event(&self) -> Result<(), StoreError> {
        self.run(async |connection| {
            refuse_newer_schema(connection).await?;
            connection.write(RECORD_LAST_EVENT, &[&KNOWN_SCHEMA]).await.map(drop)
        })
        .await
    }

    async fn purge_table(
        &self,
        table: &Table,
        progress: &mut (impl FnMut(Purged) + Send),
    ) -> Result<Purged, StoreError> {
        let sql = table.sql();
        let mut purged = Purged { table: table.name, rows: 0 };
        let mut after = BELOW_EVERY_ID;
        loop {
            let step = self.run(async |connection| {
                refuse_newer_schema(connection).await?;
                let rows = connection.write_returning(&sql, &[&after, &ROWS_PER_STEP, &KNOWN_SCHEMA]).await?;
                let Some(row) = rows.first() else { return Ok(None) };
                Ok(Some((read::<Uuid>(row, 0)?, read::<i64>(row, 1)?)))
            });
            let Some((last, gone)) = step.await? else { return Ok(purged) };
            after = last;
            purged.rows += u64::try_from(gone).unwrap_or(0);
            progress(purged);
        }
    }

    async fn purge_keys(&self, progress: &mut (impl FnMut(Purged) + Send)) -> Result<Purged, StoreError> {
        let mut purged = Purged { table: "idempotency_keys", rows: 0 };
        let mut after = (BELOW_EVERY_ID, BELOW_EVERY_ID, String::new());
        loop {
            let step = self.run(async |connection| {
                refuse_newer_schema(connection).await?;
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&after.0, &after.1, &after.2, &ROWS_PER_STEP, &KNOWN_SCHEMA];
                let rows = connection.write_returning(PURGE_KEYS, &parameters).await?;
                let Some(row) = rows.first() else { return Ok(None) };
                Ok(Some(((read(row, 0)?, read(row, 1)?, read(row, 2)?), read::<i64>(row, 3)?)))
            });
            let Some((last, gone)) = step.await? else { return Ok(purged) };
            after = last;
            purged.rows += u64::try_from(gone).unwrap_or(0);
            progress(purged);
        }
    }

    async fn purge_directory(
        &self,
        table: &'static str,
        sql: &str,
        progress: &mut (impl FnMut(Purged) + Send),
    ) -> Result<Purged, StoreError> {
        let mut purged = Purged { table, rows: 0 };
        loop {
            let step = self.run(async |connection: &Connection| -> Result<u64, Failure> {
                refuse_newer_schema(connection).await?;
                connection.write(sql, &[&ROWS_PER_STEP, &KNOWN_SCHEMA]).await
            });
            let gone = step.await?;
            if gone == 0 {
                return Ok(purged);
            }
            purged.rows += gone;
            progress(purged);
        }
    }
}

#[cfg(test)]
mod tests {
    use dabba_pg_cluster::Cluster;

    use super::*;
    use crate::{Ownership, PostgresStore};

    /// A database that is not the directory, with a task, an idempotency key and an account that belong elsewhere.
    const FILL: &str = "\
        UPDATE shard SET name = 'south', first_bucket = 1, is_directory = false; \
        INSERT INTO tasks (id, order_id, run_at_ns, kind) VALUES \
            ('00000001-0000-7000-8000-000000000001', '00000002-0000-7000-8000-000000000001', 1, 'capture_payment'); \
        INSERT INTO idempotency_keys SELECT '00000003-0000-7000-8000-000000000001', \
            '00000004-0000-7000-8000-000000000001', '00000002-0000-7000-8000-000000000001', 2, 1, 'key', \
            decode(repeat('00', 32), 'hex'); \
        INSERT INTO accounts SELECT '00000003-0000-7000-8000-000000000001', 0, 'a@example.org', 'A', 'customer', ''";

    /// Each form of the statements that delete checks the schema itself, because the database may be migrated after the
    /// check before the statement.
    #[tokio::test]
    async fn no_statement_deletes_under_a_newer_schema() {
        let cluster = Cluster::shared().unwrap();
        let database = cluster.create_database().unwrap();
        let url = cluster.url(&database);
        PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
        cluster.execute(&database, FILL).unwrap();
        let administration = Administration::new(&url).unwrap();
        let tasks = TABLES[1].sql();
        let (_, accounts) = *DIRECTORY.iter().find(|(table, _)| *table == "accounts").unwrap();
        for (known, expected) in [(KNOWN_SCHEMA - 1, 0_u64), (KNOWN_SCHEMA, 1)] {
            let deleted = administration.run(async |connection| {
                let of_tasks =
                    connection.write_returning(&tasks, &[&BELOW_EVERY_ID, &ROWS_PER_STEP, &known]).await?;
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&BELOW_EVERY_ID, &BELOW_EVERY_ID, &"", &ROWS_PER_STEP, &known];
                let of_keys = connection.write_returning(PURGE_KEYS, &parameters).await?;
                let of_accounts = connection.write(accounts, &[&ROWS_PER_STEP, &known]).await?;
                Ok((read::<i64>(&of_tasks[0], 1)?, read::<i64>(&of_keys[0], 3)?, of_accounts))
            });
            let in_rows = i64::try_from(expected).unwrap();
            assert_eq!(deleted.await.unwrap(), (in_rows, in_rows, expected));
        }
        administration.close().await;
    }
}
