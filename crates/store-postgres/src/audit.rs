//! Reads of an audit: each list walks through its table in the order of the primary key. All reads use the primary,
//! so that a later read never returns older data. Rows that were moved to another database are read there.

use async_trait::async_trait;
use dabba_domain::{OrderId, RestaurantId, TaskId, ids::Id, order::Order, text::Slug};
use dabba_store::{
    AuditStore, IdempotencyKey, Listing, PageSize, ScopedKey, StoreError, StoredClaim, StoredStock,
    StoredTask, check_orders_asked,
};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    PostgresStore,
    claims::{claim_record_of, read_scope, scope_uuid},
    codec::{BELOW_EVERY_ID, read, read_id, read_number, read_optional_timestamp},
    failure::Failure,
    orders::read::orders,
    tasks::{known_kinds, task_of},
};

const ALL_TASKS: &str = "\
    SELECT id, order_id, kind, payload::text, run_at_ns, attempts, leased_until_ns, parked_at_ns, \
        resolved_at_ns \
    FROM tasks \
    WHERE id > $1 AND kind = ANY ($3) \
        AND bucket_of(id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
            AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
    ORDER BY id LIMIT $2";

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

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        check_orders_asked(ids)?;
        ids.iter().try_for_each(|id| self.held.check(id.bucket()))?;
        let found = self.read(async |connection| orders(connection, ids).await).await?;
        found.into_values().collect()
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.list(ALL_TASKS, &[&after, &i64::from(limit.get()), &known_kinds()], stored_task_of).await
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
        self.list(ALL_CLAIMS, &parameters, stored_claim_of).await
    }

    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        // The empty string is less than every item's id.
        let (restaurant, item) =
            after.map_or((BELOW_EVERY_ID, ""), |(restaurant_id, item)| (restaurant_id.uuid(), item.as_str()));
        self.list(ALL_STOCK, &[&restaurant, &item, &i64::from(limit.get())], stored_stock_of).await
    }
}

impl PostgresStore {
    /// Returns all rows of a statement.
    async fn list<T>(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        read: fn(&Row) -> Result<T, Failure>,
    ) -> Result<Listing<T>, StoreError> {
        self.read(async |connection| {
            let rows = connection.query(sql, parameters).await?;
            let entries = rows.iter().map(read).collect::<Result<_, _>>()?;
            Ok(Listing { entries, incomplete: !self.held.is_as_expected() })
        })
        .await
    }
}

fn stored_task_of(row: &Row) -> Result<StoredTask, Failure> {
    Ok(StoredTask {
        task: task_of(row)?,
        attempts: read_number(row, 5)?,
        leased_until: read_optional_timestamp(row, 6)?,
        parked_at: read_optional_timestamp(row, 7)?,
        resolved_at: read_optional_timestamp(row, 8)?,
    })
}

fn stored_claim_of(row: &Row) -> Result<StoredClaim, Failure> {
    let key = IdempotencyKey::new(read(row, 2)?).map_err(|error| Failure::corrupt(error.to_string()))?;
    Ok(StoredClaim {
        key: ScopedKey { account_id: read_id(row, 0)?, restaurant_id: read_scope(row, 1)?, key },
        record: claim_record_of(row, 3)?,
    })
}

fn stored_stock_of(row: &Row) -> Result<StoredStock, Failure> {
    let item = Slug::new(read(row, 1)?).map_err(|error| Failure::corrupt(error.to_string()))?;
    Ok(StoredStock { restaurant_id: read_id(row, 0)?, item, remaining: read(row, 2)? })
}
