//! The feed: all events in the order of their commits, without gaps.
//!
//! A sequence alone is not enough. A transaction draws its sequence numbers early and commits late, so a reader that
//! has passed number 8 may miss number 7, which becomes visible later. So a reader must know which transactions can
//! still commit. Each event stores the id of its transaction, and a reader stops before the oldest open transaction
//! (`pg_snapshot_xmin`). Every transaction with a lower id has ended, and its events are visible. Every transaction
//! that is open or begins later has that id or a higher one. So the feed before a cursor never changes, and the
//! cursor consists of the transaction id and the sequence number. An event that depends on another one follows it:
//! its transaction began after the other transaction had committed, and so has the higher id.
//!
//! Events wait for every older open transaction *that writes*, in any database of the same cluster. Transactions that
//! only read have no id and never delay the feed.
//!
//! Transaction ids belong to the cluster. A database that was restored from a dump into another cluster may contain
//! ids that this cluster has not reached yet. Such a database is refused when it is opened; see [`crate::migrate`].

use std::fmt;

use dabba_store::{BucketRange, FeedCursor, FeedEntry, StoreError};
use dabba_store_sql::feed::position_of;

use super::read::{event_columns, events_of};
use crate::{codec::read, failure::Failure, pool::Connection, shard};

/// ORDER BY names the table: `transaction_id` alone would be the output column, a text, in which 1000 sorts before
/// 999.
pub(crate) const READ_FEED: &str = concat!(
    "SELECT transaction_id::text, sequence, ",
    event_columns!(),
    " FROM order_events \
     WHERE (transaction_id, sequence) > ($1::text::xid8, $2) \
        AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
        AND bucket_of(order_id) BETWEEN $4 AND $5 \
     ORDER BY order_events.transaction_id, order_events.sequence LIMIT $3"
);

/// Ends the error for a cursor of another store.
const COPIED: &str = ", but perhaps by the embedded database from which this database was copied: read the feed from \
                      its start";

/// A position in the feed: directly after an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FeedPosition {
    transaction_id: u64,
    sequence: i64,
}

impl fmt::Display for FeedPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.transaction_id, self.sequence)
    }
}

impl FeedPosition {
    /// Parses a cursor. Fails if no store of this kind issued it.
    pub(super) fn parse(cursor: &FeedCursor) -> Result<Self, StoreError> {
        position_of(cursor, COPIED, |text| {
            let (transaction_id, sequence) = text.split_once('-')?;
            let position =
                Self { transaction_id: transaction_id.parse().ok()?, sequence: sequence.parse().ok()? };
            (position.transaction_id > 0 && position.sequence > 0).then_some(position)
        })
    }
}

pub(super) async fn feed(
    connection: &Connection,
    after: &FeedPosition,
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
            let position = FeedPosition { transaction_id, sequence: read(row, 1)? };
            Ok(FeedEntry { cursor: FeedCursor(position.to_string()), event })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cursors_of_this_store_are_accepted() {
        assert_eq!(FeedPosition::parse(&FeedCursor::start()), Ok(FeedPosition::default()));
        assert_eq!(
            FeedPosition::parse(&FeedCursor("740-17".to_owned())),
            Ok(FeedPosition { transaction_id: 740, sequence: 17 })
        );
        for text in
            ["17", "0-1", "1-0", "-1-1", "1--1", "+1-1", "01-1", "1-01", " 1-1", "1-1x", "1-1-1", "x-1"]
        {
            assert!(FeedPosition::parse(&FeedCursor(text.to_owned())).is_err(), "{text}");
        }
    }
}
