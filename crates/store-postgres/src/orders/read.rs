//! Reads of single orders, their events, and their keys.

use std::collections::HashSet;

use dabba_domain::{
    OrderId,
    order::{RecordedEvent, Version},
};
use dabba_store::{
    StoreError,
    encoding::{ORDER_FORMAT, decode_event, decode_event_of_newer, stored_version},
};
use dabba_store_sql::{
    StoredRow as _,
    claims::deleted_keys,
    orders::{event_of, order_of},
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::together::Orders;
use crate::{
    codec::{collect, read},
    failure::Failure,
    feed::is_confirmed,
    pool::Connection,
};

/// Selects the columns that [`order_of`] reads, in its order. The details of an order are in its first event. A
/// subquery reads that event for each order. A join could be slow: if both tables were small when the statement was
/// planned, the plan may begin with the events, and later read all of them.
macro_rules! select_orders {
    () => {
        "SELECT orders.id, orders.version, \
            (SELECT data::text FROM order_events WHERE order_id = orders.id AND order_events.version = 1), status, payment_status, captured, refunded, \
            courier_id, payment_reference, refunds::text, acceptance_deadline_ns, ready_by_ns, closure::text, \
            placed_at_ns, updated_at_ns, orders.format \
         FROM orders "
    };
}
pub(super) use select_orders;

/// The columns that [`event_of`] reads, in its order.
macro_rules! event_columns {
    () => {
        "order_id, version, type, data::text, actor::text, at_ns"
    };
}

/// Number of columns of [`event_columns`].
const EVENT_COLUMNS: usize = 6;

pub(crate) const FIND_ORDERS: &str = concat!(select_orders!(), "WHERE orders.id = ANY ($1)");

pub(crate) const FIND_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM order_events WHERE order_id = $1 AND version > $2 ORDER BY version LIMIT $3"
);

/// Finds the same events, and in the column [`EVENT_COLUMNS`] whether the connection's wait for the standbys is over.
pub(crate) const FIND_PUBLIC_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    is_confirmed!(),
    " FROM order_events WHERE order_id = $1 AND version > $2 ORDER BY version LIMIT $3"
);

/// Finds the orders, of the given ones, that a newer program has written to.
pub(crate) const FIND_NEWER: &str = "SELECT id FROM orders WHERE id = ANY ($1) AND format > $2";

pub(crate) const FIND_CLAIM: &str = "\
    SELECT fingerprint, order_id, version, resource::text, fingerprint_version FROM idempotency_keys \
    WHERE account_id = $1 AND restaurant_id = $2 AND key = $3";

/// Deletes the oldest keys first, so that a bounded number of deletions always makes progress. Several servers may do
/// this at the same time: each skips the rows that the others have locked.
pub(crate) const DELETE_EXPIRED_KEYS: &str = "\
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM idempotency_keys WHERE claimed_at_ns < $1 \
        ORDER BY claimed_at_ns LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Returns the orders with these ids.
pub(crate) async fn orders(connection: &Connection, ids: &[OrderId]) -> Result<Orders, Failure> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    collect(&connection.query(FIND_ORDERS, &[&ids]).await?, |row| Ok((row.id(0)?, order_of(row))))
}

pub(super) async fn events(
    connection: &Connection,
    id: OrderId,
    after: Version,
    limit: u32,
) -> Result<Vec<RecordedEvent>, Failure> {
    let rows = connection.query(FIND_EVENTS, &[&id.uuid(), &i64::from(after), &i64::from(limit)]).await?;
    events_of(connection, &rows).await
}

/// Returns the events, and whether they may be published at once. Without events, nothing is published.
pub(crate) async fn public_events(
    connection: &Connection,
    id: OrderId,
    after: Version,
    limit: u32,
) -> Result<(Vec<RecordedEvent>, bool), Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] = [&id.uuid(), &i64::from(after), &i64::from(limit)];
    let rows = connection.query(FIND_PUBLIC_EVENTS, &parameters).await?;
    let is_confirmed = rows.first().map_or(Ok(true), |row| read(row, EVENT_COLUMNS))?;
    Ok((events_of(connection, &rows).await?, is_confirmed))
}

/// Decodes the events in rows of [`event_columns`]. An event that cannot be
/// decoded is passed on as stored, if a newer program wrote to its order.
async fn events_of(connection: &Connection, rows: &[Row]) -> Result<Vec<RecordedEvent>, Failure> {
    let decoded = collect(rows, |row| event_of(row, 0, decode_event));
    let Err(Failure::Store(StoreError::Corrupt(_))) = &decoded else { return decoded };
    let orders: Vec<Uuid> = collect(rows, |row| row.uuid(0))?;
    let newer = connection.query(FIND_NEWER, &[&orders, &stored_version(ORDER_FORMAT)]).await?;
    let newer: HashSet<Uuid> = collect(&newer, |row| row.uuid(0))?;
    collect(rows, |row| {
        let is_newer = newer.contains(&row.uuid(0)?);
        event_of(row, 0, if is_newer { decode_event_of_newer } else { decode_event })
    })
}

/// Deletes the oldest keys claimed before a time. Returns the number of deleted keys.
pub(super) async fn delete_expired_keys(
    connection: &Connection,
    claimed_before_ns: i64,
    limit: u32,
) -> Result<u32, Failure> {
    let deleted = connection.write(DELETE_EXPIRED_KEYS, &[&claimed_before_ns, &i64::from(limit)]).await?;
    Ok(deleted_keys(deleted)?)
}
