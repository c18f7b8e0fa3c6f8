//! Reads of single orders and their events.

use dabba_domain::{
    OrderId,
    order::{Order, RecordedEvent, Version},
};
use dabba_store::StoreError;
use dabba_store::encoding::{ORDER_FORMAT, decode_event, decode_event_of_newer};
use dabba_store_sql::{
    StoredRow as _,
    orders::{event_of, order_of},
};
use rusqlite::{Connection, Row, params};

use crate::{
    codec::{SqliteRow, first, id_bytes},
    failure::Failure,
};

/// Columns that [`order_of`] reads, in its order.
macro_rules! order_columns {
    () => {
        "id, version, details, status, payment_status, captured, refunded, courier_id, \
         payment_reference, refunds, acceptance_deadline_ns, ready_by_ns, closure, placed_at_ns, updated_at_ns, \
         format"
    };
}
pub(super) use order_columns;

/// Columns that [`event_of`] reads, in its order.
macro_rules! event_columns {
    () => {
        "order_id, version, type, data, actor, at_ns"
    };
}

pub(crate) const FIND_ORDER: &str = concat!("SELECT ", order_columns!(), " FROM orders WHERE id = ?1");

pub(crate) const FIND_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM order_events WHERE order_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3"
);

pub(crate) const FIND_NEWER: &str = "SELECT 1 FROM orders WHERE id = ?1 AND format > ?2";

pub(crate) fn order(connection: &Connection, id: OrderId) -> Result<Option<Order>, Failure> {
    let mut statement = connection.prepare_cached(FIND_ORDER)?;
    first(statement.query([id_bytes(id)])?, |row| order_of(row))
}

pub(super) fn events(
    connection: &Connection,
    id: OrderId,
    after: Version,
    limit: u32,
) -> Result<Vec<RecordedEvent>, Failure> {
    let mut statement = connection.prepare_cached(FIND_EVENTS)?;
    let mut rows = statement.query(params![id_bytes(id), after, limit])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read_event(connection, row)?);
    }
    Ok(events)
}

/// Returns the event of a row of [`event_columns`]. If a newer version wrote the event's order and the event cannot be decoded,
/// it is returned as stored.
fn read_event(connection: &Connection, row: &Row<'_>) -> Result<RecordedEvent, Failure> {
    let row = SqliteRow(row);
    match event_of(row, 0, decode_event) {
        Err(StoreError::Corrupt(_)) if is_of_newer(connection, row)? => {
            Ok(event_of(row, 0, decode_event_of_newer)?)
        }
        event => Ok(event?),
    }
}

/// Returns whether a newer version wrote the order of the event in a row of [`event_columns`].
fn is_of_newer(connection: &Connection, row: SqliteRow<'_>) -> Result<bool, Failure> {
    let order_id: OrderId = row.id(0)?;
    let mut statement = connection.prepare_cached(FIND_NEWER)?;
    Ok(statement.exists(params![id_bytes(order_id), ORDER_FORMAT])?)
}
