//! Orders and their events, from rows.

use dabba_domain::OrderId;
use dabba_domain::order::{Event, Order, OrderStatus, PaymentReference, PaymentStatus, RecordedEvent};
use dabba_store::{
    StoreError,
    encoding::{ORDER_FORMAT, decode_details, decode_refunds, written_by_newer},
};

use crate::{StoredRow, corrupt};

/// Returns the order of a row with these columns: `id`, `version`, `details`, `status`, `payment_status`, `captured`,
/// `refunded`, `courier_id`, `payment_reference`, `refunds`, `acceptance_deadline_ns`, `ready_by_ns`, `closure`,
/// `placed_at_ns`, `updated_at_ns`, `format`.
///
/// If a newer version wrote the row and this version cannot decode it, the error is [`StoreError::WrittenByNewer`]. The
/// error names the order, because the row may be one of many in a list.
pub fn order_of<'row>(row: impl StoredRow<'row>) -> Result<Order, StoreError> {
    let is_written_by_newer = row.format(15)? > ORDER_FORMAT;
    match decode_order(row, is_written_by_newer) {
        Err(StoreError::Corrupt(reason)) => {
            let id: OrderId = row.id(0)?;
            Err(if is_written_by_newer {
                written_by_newer(format_args!("order {id}"))
            } else {
                StoreError::Corrupt(format!("order {id} cannot be decoded: {reason}"))
            })
        }
        order => order,
    }
}

fn decode_order<'row>(row: impl StoredRow<'row>, is_written_by_newer: bool) -> Result<Order, StoreError> {
    Ok(Order {
        id: row.id(0)?,
        version: row.number(1)?,
        details: decode_details(row.text(2)?)?,
        status: row.name(3, OrderStatus::from_name)?,
        payment_status: row.name(4, PaymentStatus::from_name)?,
        captured: row.amount(5)?,
        refunded: row.amount(6)?,
        courier_id: row.optional_id(7)?,
        payment_reference: row.optional_text(8)?.map(PaymentReference::new).transpose().map_err(corrupt)?,
        refunds: decode_refunds(row.optional_text(9)?)?,
        acceptance_deadline: row.optional_timestamp(10)?,
        ready_by: row.optional_timestamp(11)?,
        closure: row.optional_document(12)?,
        placed_at: row.timestamp(13)?,
        updated_at: row.timestamp(14)?,
        is_written_by_newer,
    })
}

/// Returns the event of a row with these columns, the first of which is `first`: `order_id`, `version`, `type`, `data`,
/// `actor`, `at_ns`. `decode` returns the event from its name and content
/// ([`decode_event`](dabba_store::encoding::decode_event), or
/// [`decode_event_of_newer`](dabba_store::encoding::decode_event_of_newer) if a newer version wrote the order).
pub fn event_of<'row>(
    row: impl StoredRow<'row>,
    first: usize,
    decode: impl FnOnce(&str, Option<&str>) -> Result<Event, StoreError>,
) -> Result<RecordedEvent, StoreError> {
    let event = decode(row.text(first + 2)?, row.optional_text(first + 3)?)?;
    Ok(RecordedEvent {
        order_id: row.id(first)?,
        version: row.number(first + 1)?,
        at: row.timestamp(first + 5)?,
        actor: row.document(first + 4)?,
        event,
    })
}
