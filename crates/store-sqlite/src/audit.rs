//! Reads of an audit: each list walks the primary key of its table.

use async_trait::async_trait;
use dabba_domain::{RestaurantId, TaskId, text::Slug};
use dabba_store::{
    AuditStore, Listing, PageSize, ScopedKey, StoreError, StoredClaim, StoredStock, StoredTask,
};
use dabba_store_sql::{claims::stored_claim_of, stock::stored_stock_of, tasks::stored_task_of};
use rusqlite::{ToSql, params_from_iter};

use crate::{
    SqliteStore,
    backup::problems,
    claims::scope_bytes,
    codec::{BELOW_EVERY_ID, SqliteRow, collect, id_bytes},
    tasks::{KNOWN_KINDS, KNOWN_SUBJECT_KINDS},
};

pub(crate) const ALL_TASKS: &str = "\
    SELECT id, subject_kind, order_id, kind, payload, run_at_ns, attempts, leased_until_ns, parked_at_ns, \
        resolved_at_ns \
    FROM tasks \
    WHERE id > ?1 AND NOT instr(kind || subject_kind, ',') \
        AND instr(?3, ',' || kind || ',') AND instr(?4, ',' || subject_kind || ',') \
    ORDER BY id LIMIT ?2";

pub(crate) const ALL_CLAIMS: &str = "\
    SELECT account_id, restaurant_id, key, fingerprint, order_id, version, resource, fingerprint_version \
    FROM idempotency_keys \
    WHERE (account_id, restaurant_id, key) > (?1, ?2, ?3) \
    ORDER BY account_id, restaurant_id, key LIMIT ?4";

pub(crate) const ALL_STOCK: &str = "\
    SELECT restaurant_id, item, remaining FROM stock \
    WHERE (restaurant_id, item) > (?1, ?2) ORDER BY restaurant_id, item LIMIT ?3";

#[async_trait]
impl AuditStore for SqliteStore {
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.readers.read(|connection| problems(connection)).await
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        let parameters: [Box<dyn ToSql + Send>; 4] = [
            Box::new(after),
            Box::new(limit.get()),
            Box::new(KNOWN_KINDS.as_str()),
            Box::new(KNOWN_SUBJECT_KINDS.as_str()),
        ];
        self.list(ALL_TASKS, parameters, |row| stored_task_of(row)).await
    }

    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        // A key is never empty, so the empty text precedes every key.
        let (account, restaurant, key) =
            after.map_or((BELOW_EVERY_ID, BELOW_EVERY_ID, String::new()), |after| {
                (id_bytes(after.account_id), scope_bytes(after.restaurant_id), after.key.as_str().to_owned())
            });
        let parameters: [Box<dyn ToSql + Send>; 4] =
            [Box::new(account), Box::new(restaurant), Box::new(key), Box::new(limit.get())];
        self.list(ALL_CLAIMS, parameters, |row| stored_claim_of(row)).await
    }

    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        // An item's id is never empty, so the empty text precedes every id.
        let (restaurant, item) = after.map_or((BELOW_EVERY_ID, String::new()), |(restaurant_id, item)| {
            (id_bytes(restaurant_id), item.as_str().to_owned())
        });
        let parameters: [Box<dyn ToSql + Send>; 3] =
            [Box::new(restaurant), Box::new(item), Box::new(limit.get())];
        self.list(ALL_STOCK, parameters, |row| stored_stock_of(row)).await
    }
}

impl SqliteStore {
    /// Returns all rows of a statement.
    async fn list<T: Send + 'static, const N: usize>(
        &self,
        sql: &'static str,
        parameters: [Box<dyn ToSql + Send>; N],
        read: for<'row> fn(SqliteRow<'row>) -> Result<T, StoreError>,
    ) -> Result<Listing<T>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query(params_from_iter(parameters))?;
                Ok(Listing { entries: collect(rows, read)?, incomplete: false })
            })
            .await
    }
}
