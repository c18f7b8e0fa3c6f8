//! Reads of single orders, their events, and the feed.

use dabba_domain::{
    Amount, OrderId,
    order::{Order, OrderStatus, PaymentReference, PaymentStatus, RecordedEvent, Version},
};
use dabba_store::encoding::{
    ORDER_FORMAT, decode_details, decode_event, decode_event_of_newer, decode_json, decode_refunds,
    written_by_newer,
};
use dabba_store::{FeedCursor, FeedEntry, StoreError};
use rusqlite::{Connection, Row, params};

use crate::{
    codec::{
        id_bytes, read_id, read_name, read_number, read_optional_id, read_optional_text,
        read_optional_timestamp, read_text, read_timestamp,
    },
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

/// Columns that [`event_of`] reads, in its order, starting with the second column.
macro_rules! event_columns {
    () => {
        "sequence, order_id, version, type, data, actor, at_ns"
    };
}

pub(crate) const FIND_ORDER: &str = concat!("SELECT ", order_columns!(), " FROM orders WHERE id = ?1");

pub(crate) const FIND_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM order_events WHERE order_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3"
);

pub(crate) const FIND_NEWER: &str = "SELECT 1 FROM orders WHERE id = ?1 AND format > ?2";

pub(crate) const READ_FEED: &str =
    concat!("SELECT ", event_columns!(), " FROM order_events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");

pub(crate) fn order(connection: &Connection, id: OrderId) -> Result<Option<Order>, Failure> {
    let mut statement = connection.prepare_cached(FIND_ORDER)?;
    let mut rows = statement.query([id_bytes(id)])?;
    rows.next()?.map(order_of).transpose()
}

/// Returns the order of a row of [`order_columns`]. A row that a newer version wrote and this version cannot decode is
/// [`StoreError::WrittenByNewer`].
pub(super) fn order_of(row: &Row<'_>) -> Result<Order, Failure> {
    let is_newer = read_number(row, 15)? > ORDER_FORMAT;
    match decode_order(row, is_newer) {
        Err(failure) if is_newer && failure.is_corrupt() => {
            let id: OrderId = read_id(row, 0)?;
            Err(written_by_newer(format_args!("order {id}")).into())
        }
        order => order,
    }
}

fn decode_order(row: &Row<'_>, is_newer: bool) -> Result<Order, Failure> {
    Ok(Order {
        id: read_id(row, 0)?,
        version: read_number(row, 1)?,
        details: decode_details(read_text(row, 2)?)?,
        status: read_name(row, 3, OrderStatus::from_name)?,
        payment_status: read_name(row, 4, PaymentStatus::from_name)?,
        captured: read_amount(row, 5)?,
        refunded: read_amount(row, 6)?,
        courier_id: read_optional_id(row, 7)?,
        payment_reference: read_optional_text(row, 8)?.map(read_reference).transpose()?,
        refunds: decode_refunds(read_optional_text(row, 9)?)?,
        acceptance_deadline: read_optional_timestamp(row, 10)?,
        ready_by: read_optional_timestamp(row, 11)?,
        closure: read_optional_text(row, 12)?.map(decode_json).transpose()?,
        placed_at: read_timestamp(row, 13)?,
        updated_at: read_timestamp(row, 14)?,
        is_newer,
    })
}

fn read_reference(text: &str) -> Result<PaymentReference, Failure> {
    PaymentReference::new(text).map_err(|error| Failure::corrupt(error.to_string()))
}

fn read_amount(row: &Row<'_>, column: usize) -> Result<Amount, Failure> {
    Amount::from_minor(row.get(column)?).map_err(|error| Failure::corrupt(error.to_string()))
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
        events.push(event_of(connection, row)?);
    }
    Ok(events)
}

/// Returns the event of a row of [`event_columns`]. If a newer version wrote the event's order and the event cannot be decoded,
/// it is returned as stored.
fn event_of(connection: &Connection, row: &Row<'_>) -> Result<RecordedEvent, Failure> {
    let (name, data) = (read_text(row, 3)?, read_optional_text(row, 4)?);
    let event = match decode_event(name, data) {
        Err(StoreError::Corrupt(_)) if is_of_newer(connection, row)? => decode_event_of_newer(name, data)?,
        event => event?,
    };
    Ok(RecordedEvent {
        order_id: read_id(row, 1)?,
        version: read_number(row, 2)?,
        at: read_timestamp(row, 6)?,
        actor: decode_json(read_text(row, 5)?)?,
        event,
    })
}

/// Returns whether a newer version wrote the order of the event in a row of [`event_columns`].
fn is_of_newer(connection: &Connection, row: &Row<'_>) -> Result<bool, Failure> {
    let order_id: OrderId = read_id(row, 1)?;
    let mut statement = connection.prepare_cached(FIND_NEWER)?;
    Ok(statement.exists(params![id_bytes(order_id), ORDER_FORMAT])?)
}

/// Returns the position of a cursor. Fails for a cursor that no store of this kind made.
pub(super) fn parse_cursor(cursor: &FeedCursor) -> Result<i64, StoreError> {
    if *cursor == FeedCursor::start() {
        return Ok(0);
    }
    match cursor.0.parse::<i64>() {
        // Only the text that this store writes: no sign, no leading zeros.
        Ok(sequence) if sequence > 0 && cursor.0 == sequence.to_string() => Ok(sequence),
        _ => Err(StoreError::Corrupt("the feed cursor was not made by this store".to_owned())),
    }
}

pub(super) fn feed(connection: &Connection, after: i64, limit: u32) -> Result<Vec<FeedEntry>, Failure> {
    let mut statement = connection.prepare_cached(READ_FEED)?;
    let mut rows = statement.query(params![after, limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let sequence: i64 = row.get(0)?;
        entries
            .push(FeedEntry { cursor: FeedCursor(sequence.to_string()), event: event_of(connection, row)? });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cursors_of_this_store_are_accepted() {
        assert_eq!(parse_cursor(&FeedCursor::start()), Ok(0));
        assert_eq!(parse_cursor(&FeedCursor("17".to_owned())), Ok(17));
        for text in ["0", "-1", "+1", "017", " 1", "1x", "x", "9223372036854775808"] {
            assert!(parse_cursor(&FeedCursor(text.to_owned())).is_err(), "{text}");
        }
    }
}
