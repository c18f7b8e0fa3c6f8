//! Reads of single orders, their events, and their keys.

use std::collections::HashSet;

use dabba_domain::{
    Amount, OrderId,
    order::{Event, Order, OrderStatus, PaymentReference, PaymentStatus, RecordedEvent, Version},
};
use dabba_store::{
    StoreError,
    encoding::{
        ORDER_FORMAT, decode_details, decode_event, decode_event_of_newer, decode_json, decode_refunds,
        written_by_newer,
    },
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::together::Orders;
use crate::{
    codec::{
        read, read_format, read_id, read_name, read_number, read_optional_id, read_optional_timestamp,
        read_timestamp,
    },
    failure::Failure,
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
pub(super) use event_columns;

pub(crate) const FIND_ORDERS: &str = concat!(select_orders!(), "WHERE orders.id = ANY ($1)");

pub(crate) const FIND_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM order_events WHERE order_id = $1 AND version > $2 ORDER BY version LIMIT $3"
);

/// Finds the orders, of the given ones, that a newer program has written to.
pub(crate) const FIND_NEWER: &str = "SELECT id FROM orders WHERE id = ANY ($1) AND format > $2";

pub(crate) const FIND_CLAIM: &str = "\
    SELECT fingerprint, order_id, version, resource::text, fingerprint_version FROM idempotency_keys \
    WHERE account_id = $1 AND restaurant_id = $2 AND key = $3";

/// Deletes the oldest keys first, so that a bounded number of deletions always makes progress. Several servers may do
/// this at the same time: each skips the rows that the others have locked.
pub(crate) const FORGET_KEYS: &str = "\
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM idempotency_keys WHERE claimed_at_ns < $1 \
        ORDER BY claimed_at_ns LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Returns the orders with these ids.
pub(crate) async fn orders(connection: &Connection, ids: &[OrderId]) -> Result<Orders, Failure> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = connection.query(FIND_ORDERS, &[&ids]).await?;
    let order = |row: &Row| Ok((read_id(row, 0)?, order_of(row).map_err(Failure::into_store_error)));
    rows.iter().map(order).collect()
}

/// Decodes an order from a row of [`select_orders`]. If a newer program wrote the order and this program cannot
/// decode it, the error is unavailable.
pub(crate) fn order_of(row: &Row) -> Result<Order, Failure> {
    let is_newer = read_format(row, 15)? > ORDER_FORMAT;
    match decode_order(row, is_newer) {
        Err(Failure::Store(StoreError::Corrupt(_))) if is_newer => {
            let id: OrderId = read_id(row, 0)?;
            Err(written_by_newer(format_args!("order {id}")).into())
        }
        order => order,
    }
}

fn decode_order(row: &Row, is_newer: bool) -> Result<Order, Failure> {
    let reference: Option<&str> = read(row, 8)?;
    let closure: Option<&str> = read(row, 12)?;
    Ok(Order {
        id: read_id(row, 0)?,
        version: read_number(row, 1)?,
        details: decode_details(read(row, 2)?)?,
        status: read_name(row, 3, OrderStatus::from_name)?,
        payment_status: read_name(row, 4, PaymentStatus::from_name)?,
        captured: read_amount(row, 5)?,
        refunded: read_amount(row, 6)?,
        courier_id: read_optional_id(row, 7)?,
        payment_reference: reference.map(read_reference).transpose()?,
        refunds: decode_refunds(read(row, 9)?)?,
        acceptance_deadline: read_optional_timestamp(row, 10)?,
        ready_by: read_optional_timestamp(row, 11)?,
        closure: closure.map(decode_json).transpose()?,
        placed_at: read_timestamp(row, 13)?,
        updated_at: read_timestamp(row, 14)?,
        is_newer,
    })
}

fn read_reference(text: &str) -> Result<PaymentReference, Failure> {
    PaymentReference::new(text).map_err(|error| Failure::corrupt(error.to_string()))
}

fn read_amount(row: &Row, column: usize) -> Result<Amount, Failure> {
    Amount::from_minor(read(row, column)?).map_err(|error| Failure::corrupt(error.to_string()))
}

pub(super) async fn events(
    connection: &Connection,
    id: OrderId,
    after: Version,
    limit: u32,
) -> Result<Vec<RecordedEvent>, Failure> {
    let rows = connection.query(FIND_EVENTS, &[&id.uuid(), &i64::from(after), &i64::from(limit)]).await?;
    events_of(connection, &rows, 0).await
}

/// Decodes the events in rows from the columns of [`event_columns`], which begin at `column`. An event that cannot be
/// decoded is passed on as stored, if a newer program wrote to its order.
pub(super) async fn events_of(
    connection: &Connection,
    rows: &[Row],
    column: usize,
) -> Result<Vec<RecordedEvent>, Failure> {
    let decoded = rows.iter().map(|row| event_of(row, column, decode_event)).collect();
    let Err(Failure::Store(StoreError::Corrupt(_))) = &decoded else { return decoded };
    let orders = rows.iter().map(|row| read::<Uuid>(row, column)).collect::<Result<Vec<_>, _>>()?;
    let newer =
        connection.query(FIND_NEWER, &[&orders, &i32::try_from(ORDER_FORMAT).unwrap_or(i32::MAX)]).await?;
    let newer = newer.iter().map(|row| read(row, 0)).collect::<Result<HashSet<Uuid>, _>>()?;
    let decode = |row: &Row| {
        let is_newer = newer.contains(&read::<Uuid>(row, column)?);
        event_of(row, column, if is_newer { decode_event_of_newer } else { decode_event })
    };
    rows.iter().map(decode).collect()
}

/// Decodes an event from the columns of [`event_columns`], which begin at `column`.
fn event_of(
    row: &Row,
    column: usize,
    decode: fn(&str, Option<&str>) -> Result<Event, StoreError>,
) -> Result<RecordedEvent, Failure> {
    let event = decode(read(row, column + 2)?, read(row, column + 3)?)?;
    Ok(RecordedEvent {
        order_id: read_id(row, column)?,
        version: read_number(row, column + 1)?,
        at: read_timestamp(row, column + 5)?,
        actor: decode_json(read(row, column + 4)?)?,
        event,
    })
}

/// Deletes the oldest keys claimed before a time. Returns the number of deleted keys.
pub(super) async fn forget_keys(
    connection: &Connection,
    claimed_before_ns: i64,
    limit: u32,
) -> Result<u32, Failure> {
    let deleted = connection.write(FORGET_KEYS, &[&claimed_before_ns, &i64::from(limit)]).await?;
    u32::try_from(deleted).map_err(|_| Failure::corrupt("more keys were deleted than requested"))
}
