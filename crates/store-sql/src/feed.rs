//! Events of the feed, from rows.

use std::sync::Arc;

use dabba_domain::OrderId;
use dabba_store::{FeedEvent, FeedPosition, Incarnation, StoreError, encoding::ORDER_FORMAT};

use crate::{StoredRow, corrupt};

/// Returns the event of a row with these columns, the first of which is `first`: `sequence`, `order_id`, `version`,
/// `type`, `data`, `actor`, `at_ns`, and of the order `restaurant_id`, `customer_id` and `format`. `transaction` is the
/// transaction of the event's position.
///
/// An event whose order does not exist is [`StoreError::Corrupt`]: the columns of the order are then NULL.
pub fn feed_event_of<'row>(
    row: impl StoredRow<'row>,
    first: usize,
    transaction: u64,
) -> Result<FeedEvent, StoreError> {
    let (order_id, version): (OrderId, _) = (row.id(first + 1)?, row.number(first + 2)?);
    let (Some(restaurant_id), Some(customer_id)) = (row.optional_id(first + 7)?, row.optional_id(first + 8)?)
    else {
        return Err(StoreError::Corrupt(format!(
            "the order {order_id} does not exist, and its event {version} does"
        )));
    };
    Ok(FeedEvent {
        position: FeedPosition { transaction, sequence: sequence_of(row.integer(first)?)? },
        order_id,
        restaurant_id,
        customer_id,
        version,
        at: row.timestamp(first + 6)?,
        name: Arc::from(row.text(first + 3)?),
        actor: Box::from(row.text(first + 5)?),
        data: row.optional_text(first + 4)?.map(Box::from),
        is_newer: row.format(first + 9)? > ORDER_FORMAT,
    })
}

/// Returns the sequence of a position.
pub fn sequence_of(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| StoreError::Corrupt(format!("the event number {stored} is negative")))
}

/// Returns a sequence as databases store it. A sequence that no database stores is above every other one.
pub fn stored_sequence(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// Returns the incarnation in a column.
pub fn incarnation_of<'row>(row: impl StoredRow<'row>, column: usize) -> Result<Incarnation, StoreError> {
    row.text(column)?.parse().map_err(corrupt)
}
