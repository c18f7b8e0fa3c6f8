//! The feed. There is one writer, so the sequence of the events is the order of the commits, and a commit is on the
//! disk before it is visible.

use async_trait::async_trait;
use dabba_domain::{
    OrderId,
    order::{RecordedEvent, Version},
};
use dabba_store::{FeedEnd, FeedPage, FeedPosition, FeedStore, Incarnation, OrderStore as _, StoreError};
use dabba_store_sql::feed::{feed_event_of, incarnation_of, sequence_of, stored_sequence};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    SqliteStore,
    codec::{SqliteRow, first},
    failure::Failure,
};

/// `SQLite` searches the order of each event, in the order of the outer table, so the limit ends the search.
pub(crate) const READ_FEED: &str = "\
    SELECT sequence, order_id, order_events.version, type, data, actor, at_ns, restaurant_id, customer_id, format \
    FROM order_events LEFT JOIN orders ON orders.id = order_id \
    WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

pub(crate) const FIND_LAST: &str = "SELECT coalesce(max(sequence), 0) FROM order_events";

pub(crate) const FIND_INCARNATION: &str = "SELECT incarnation FROM feed_state WHERE is_the_only_row = 1";

/// Gives a database a new incarnation.
const RENEW: &str = "UPDATE feed_state SET incarnation = lower(hex(randomblob(8)))";

#[async_trait]
impl FeedStore for SqliteStore {
    async fn feed(&self, _shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        self.readers.read(move |connection| feed(connection, after, limit)).await
    }

    async fn feed_end(&self, _shard: usize) -> Result<FeedEnd, StoreError> {
        self.readers.read(|connection| feed_end(connection)).await
    }

    async fn public_events(
        &self,
        order: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.events(order, after, limit).await
    }
}

/// Returns the sequence of a position. A position with a transaction lies after all positions of this store, which have
/// none.
pub(crate) fn position_of(position: FeedPosition) -> i64 {
    if position.transaction > 0 { i64::MAX } else { stored_sequence(position.sequence) }
}

fn feed(connection: &Connection, after: FeedPosition, limit: u32) -> Result<FeedPage, Failure> {
    let incarnation = incarnation(connection)?;
    let mut statement = connection.prepare_cached(READ_FEED)?;
    let mut rows = statement.query(params![position_of(after), limit])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(feed_event_of(SqliteRow(row), 0, 0)?);
    }
    let is_at_end = events.len() < limit as usize;
    Ok(FeedPage { incarnation, events, is_at_end })
}

fn feed_end(connection: &Connection) -> Result<FeedEnd, Failure> {
    let incarnation = incarnation(connection)?;
    let last = connection.prepare_cached(FIND_LAST)?.query_row([], |row| row.get(0))?;
    Ok(FeedEnd { incarnation, position: FeedPosition { transaction: 0, sequence: sequence_of(last)? } })
}

fn incarnation(connection: &Connection) -> Result<Incarnation, Failure> {
    let mut statement = connection.prepare_cached(FIND_INCARNATION)?;
    first(statement.query([])?, |row| incarnation_of(row, 0))?
        .ok_or_else(|| Failure::corrupt("the database has no incarnation"))
}

/// Gives the database of a connection a new incarnation. A database with an earlier schema has none; its migration
/// creates one.
pub(crate) fn renew_incarnation(connection: &Connection) -> Result<(), Failure> {
    let has_state = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'feed_state'", [], |_| Ok(()))
        .optional()?;
    if has_state.is_some() {
        connection.execute(RENEW, [])?;
    }
    Ok(())
}
