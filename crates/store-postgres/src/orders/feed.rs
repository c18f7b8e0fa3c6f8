//! The feed: all events, in the order of commits, none skipped.
//!
//! A sequence is not enough. A transaction draws its numbers early and commits late, so a reader that
//! has seen number 8 may find number 7 afterwards, behind its back. The cure is to know which
//! transactions can still commit. Each event carries the number of its transaction, and a reader stops
//! before the oldest transaction that is open (`pg_snapshot_xmin`): whatever has a lower number is
//! decided and visible, and whatever will be written by a transaction that is open or yet to begin has
//! a number at or above it. So what lies before a cursor never changes, and the cursor is the pair of
//! both numbers. An event that depends on another follows it: its transaction began after the other
//! had committed, and so has the higher number.
//!
//! What waits: events, behind any transaction *that writes* and is open, anywhere in the same cluster
//! of databases. Transactions that only read have no number and hold nothing up, however long.
//!
//! The numbers are the cluster's. A database that is restored from a dump into another cluster may hold
//! numbers that this one has not reached, and is refused when it is opened; see [`crate::migrate`].

use std::{fmt, str::FromStr};

use dabba_store::{BucketRange, FeedCursor, FeedEntry, StoreError};

use super::read::{event_columns, events_of};
use crate::{codec::read, failure::Failure, pool::Connection, shard};

/// The order names its table: `transaction_id` alone would be the column of the answer, a text, in which 1000
/// comes before 999.
pub(crate) const READ_FEED: &str = concat!(
    "SELECT transaction_id::text, sequence, ",
    event_columns!(),
    " FROM order_events \
     WHERE (transaction_id, sequence) > ($1::text::xid8, $2) \
        AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
        AND bucket_of(order_id) BETWEEN $4 AND $5 \
     ORDER BY order_events.transaction_id, order_events.sequence LIMIT $3"
);

/// A place in the feed: just behind an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    transaction_id: u64,
    sequence: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.transaction_id, self.sequence)
    }
}

impl FromStr for Place {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let place = text.split_once('-').and_then(|(transaction_id, sequence)| {
            Some(Self { transaction_id: transaction_id.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        // Only the text that this store writes: no sign, no leading zeros.
        place
            .filter(|place| place.transaction_id > 0 && place.sequence > 0 && place.to_string() == text)
            .ok_or_else(|| {
                StoreError::Corrupt(
                    "a cursor of the feed that this store did not make, perhaps of the embedded database from which this \
                     one was copied: read the feed from its start"
                        .to_owned(),
                )
            })
    }
}

impl Place {
    /// The place that a cursor names. One that no store of this kind made is refused.
    pub(super) fn parse(cursor: &FeedCursor) -> Result<Self, StoreError> {
        if *cursor == FeedCursor::start() { Ok(Self::default()) } else { cursor.0.parse() }
    }
}

pub(super) async fn feed(
    connection: &Connection,
    after: &Place,
    limit: u32,
    buckets: BucketRange,
) -> Result<Vec<FeedEntry>, Failure> {
    let (first, last) = shard::numbers(buckets);
    let rows = connection
        .query(
            READ_FEED,
            &[&after.transaction_id.to_string(), &after.sequence, &i64::from(limit), &first, &last],
        )
        .await?;
    let events = events_of(connection, &rows, 2).await?;
    rows.iter()
        .zip(events)
        .map(|(row, event)| {
            let transaction_id: &str = read(row, 0)?;
            let transaction_id = transaction_id
                .parse()
                .map_err(|_| Failure::corrupt(format!("{transaction_id} is not a transaction's number")))?;
            let place = Place { transaction_id, sequence: read(row, 1)? };
            Ok(FeedEntry { cursor: FeedCursor(place.to_string()), event })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cursors_of_this_store_are_read() {
        assert_eq!(Place::parse(&FeedCursor::start()), Ok(Place::default()));
        assert_eq!(
            Place::parse(&FeedCursor("740-17".to_owned())),
            Ok(Place { transaction_id: 740, sequence: 17 })
        );
        for text in
            ["17", "0-1", "1-0", "-1-1", "1--1", "+1-1", "01-1", "1-01", " 1-1", "1-1x", "1-1-1", "x-1"]
        {
            assert!(Place::parse(&FeedCursor(text.to_owned())).is_err(), "{text}");
        }
    }
}
