//! Reads of an audit: each list walks through its table in the order of the primary key. All reads use the primary,
//! so that a later read never returns older data. Rows that were moved to another database are read there.

use async_trait::async_trait;
use dabba_domain::{RestaurantId, TaskId, ids::Id, text::Slug};
use dabba_store::{
    AuditStore, Listing, PageSize, ScopedKey, StoreError, StoredClaim, StoredStock, StoredTask,
};
use dabba_store_sql::{
    BELOW_EVERY_ID,
    claims::{scope_uuid, stored_claim_of},
    stock::stored_stock_of,
    tasks::{known_kinds, known_subject_kinds, stored_task_of},
};
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore,
    codec::{PgRow, collect},
    tasks::is_here,
};

const ALL_TASKS: &str = concat!(
    "\
    SELECT id, subject_kind, order_id, kind, payload::text, run_at_ns, attempts, leased_until_ns, parked_at_ns, \
        resolved_at_ns \
    FROM tasks \
    WHERE id > $1 AND kind = ANY ($3) AND subject_kind = ANY ($4) AND ",
    is_here!(),
    " ORDER BY id LIMIT $2"
);

const ALL_CLAIMS: &str = "\
    SELECT account_id, restaurant_id, key, fingerprint, order_id, version, resource::text, fingerprint_version \
    FROM idempotency_keys \
    WHERE (account_id, restaurant_id, key) > ($1, $2, $3) \
        AND CASE WHEN restaurant_id = '00000000-0000-0000-0000-000000000000' \
            THEN (SELECT is_directory FROM shard WHERE is_the_only_row) \
            ELSE bucket_of(restaurant_id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
                AND (SELECT last_bucket FROM shard WHERE is_the_only_row) END \
    ORDER BY account_id, restaurant_id, key LIMIT $4";

const ALL_STOCK: &str = "\
    SELECT restaurant_id, item, remaining FROM stock \
    WHERE (restaurant_id, item) > ($1, $2) \
        AND bucket_of(restaurant_id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
            AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
    ORDER BY restaurant_id, item LIMIT $3";

/// Every statement of this module, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] =
    &[("all_tasks", ALL_TASKS), ("all_claims", ALL_CLAIMS), ("all_stock", ALL_STOCK)];

#[async_trait]
impl AuditStore for PostgresStore {
    /// PostgreSQL checks its own storage.
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&after, &i64::from(limit.get()), &known_kinds(), &known_subject_kinds()];
        self.list(&self.of_known_tasks(ALL_TASKS), &parameters, |row| stored_task_of(row)).await
    }

    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        // The empty string is less than every key.
        let (account, restaurant, key) = after.map_or((BELOW_EVERY_ID, BELOW_EVERY_ID, ""), |after| {
            (after.account_id.uuid(), scope_uuid(after.restaurant_id), after.key.as_str())
        });
        let parameters: [&(dyn ToSql + Sync); 4] = [&account, &restaurant, &key, &i64::from(limit.get())];
        self.list(ALL_CLAIMS, &parameters, |row| stored_claim_of(row)).await
    }

    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        // The empty string is less than every item's id.
        let (restaurant, item) =
            after.map_or((BELOW_EVERY_ID, ""), |(restaurant_id, item)| (restaurant_id.uuid(), item.as_str()));
        self.list(ALL_STOCK, &[&restaurant, &item, &i64::from(limit.get())], |row| stored_stock_of(row)).await
    }
}

impl PostgresStore {
    /// Returns all rows of a statement.
    async fn list<T>(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        read: impl for<'row> Fn(PgRow<'row>) -> Result<T, StoreError>,
    ) -> Result<Listing<T>, StoreError> {
        self.read(async |connection| {
            let rows = connection.query(sql, parameters).await?;
            let entries = collect(&rows, read)?;
            Ok(Listing { entries, incomplete: !self.held.is_as_expected() })
        })
        .await
    }
}
