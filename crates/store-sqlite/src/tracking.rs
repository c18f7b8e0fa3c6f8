//! Tracking links.

use async_trait::async_trait;
use dabba_domain::{Bucket, OrderId, Timestamp};
use dabba_store::{
    StoreError, TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
};
use dabba_store_sql::StoredRow as _;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::{
    SqliteStore,
    codec::{collect, first, id_bytes},
    failure::Failure,
};

pub(crate) const HAS_ORDER: &str = "SELECT 1 FROM orders WHERE id = ?1";

pub(crate) const COUNT: &str = "SELECT count(*) FROM tracking_links WHERE order_id = ?1";

const INSERT: &str =
    "INSERT INTO tracking_links (hash, order_id, created_at_ns, check_at_ns) VALUES (?1, ?2, ?3, ?4)";

pub(crate) const FIND: &str = "SELECT order_id FROM tracking_links WHERE hash = ?1";

/// Returns the links whose check is due, each with whether it can be deleted.
pub(crate) const FIND_DUE: &str = "\
    SELECT links.hash, orders.id IS NULL OR (orders.is_terminal AND orders.updated_at_ns <= ?2) \
    FROM tracking_links AS links LEFT JOIN orders ON orders.id = links.order_id \
    WHERE links.check_at_ns <= ?1 ORDER BY links.check_at_ns, links.hash LIMIT ?3";

pub(crate) const DELETE: &str = "DELETE FROM tracking_links WHERE hash = ?1";

pub(crate) const POSTPONE: &str = "UPDATE tracking_links SET check_at_ns = ?2 WHERE hash = ?1";

fn create(
    transaction: &Transaction<'_>,
    link: &TrackingLink,
    max: u32,
) -> Result<TrackingLinkCreation, Failure> {
    let order_id = id_bytes(link.order_id);
    let has_order = transaction.prepare_cached(HAS_ORDER)?.query_row([order_id], |_| Ok(())).optional()?;
    if has_order.is_none() {
        return Ok(TrackingLinkCreation::NotFound);
    }
    let count: i64 = transaction.prepare_cached(COUNT)?.query_row([order_id], |row| row.get(0))?;
    if count >= i64::from(max) {
        return Ok(TrackingLinkCreation::TooMany);
    }
    transaction.prepare_cached(INSERT)?.execute(params![
        link.hash.0,
        order_id,
        exact_nanoseconds(link.created_at)?,
        exact_nanoseconds(link.check_at)?,
    ])?;
    Ok(TrackingLinkCreation::Created)
}

fn check(
    transaction: &Transaction<'_>,
    due_until_ns: i64,
    unchanged_since_ns: i64,
    next_check_at_ns: i64,
    limit: u32,
) -> Result<u32, Failure> {
    let mut statement = transaction.prepare_cached(FIND_DUE)?;
    let rows = statement.query(params![due_until_ns, unchanged_since_ns, limit])?;
    let due = collect(rows, |row| Ok((row.bytes(0)?.to_vec(), row.integer(1)? != 0)))?;
    for (hash, is_over) in &due {
        if *is_over {
            transaction.prepare_cached(DELETE)?.execute(params![hash])?;
        } else {
            transaction.prepare_cached(POSTPONE)?.execute(params![hash, next_check_at_ns])?;
        }
    }
    u32::try_from(due.len()).map_err(|_| Failure::corrupt("more links were found than requested"))
}

#[async_trait]
impl TrackingStore for SqliteStore {
    async fn create_tracking_link(
        &self,
        link: &TrackingLink,
        max: u32,
    ) -> Result<TrackingLinkCreation, StoreError> {
        let link = *link;
        self.writer.write(move |transaction| create(transaction, &link, max)).await
    }

    async fn tracked_order(
        &self,
        _bucket: Bucket,
        hash: &TrackingLinkHash,
    ) -> Result<Option<OrderId>, StoreError> {
        let hash = hash.0;
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND)?;
                first(statement.query(params![hash])?, |row| row.id(0))
            })
            .await
    }

    async fn check_tracking_links(
        &self,
        due_until: Timestamp,
        unchanged_since: Timestamp,
        next_check_at: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let [due_until, unchanged_since, next_check_at] =
            [due_until, unchanged_since, next_check_at].map(clamped_nanoseconds);
        self.writer
            .write(move |transaction| check(transaction, due_until, unchanged_since, next_check_at, limit))
            .await
    }
}
