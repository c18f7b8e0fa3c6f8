//! The feed: all events in the order of their commits, without gaps.
//!
//! A sequence alone is not enough. A transaction draws its sequence numbers early and commits late, so a reader that
//! has passed number 8 may miss number 7, which becomes visible later. So a reader must know which transactions can
//! still commit. Each event stores the id of its transaction, and a reader stops before the oldest open transaction
//! (`pg_snapshot_xmin`). Every transaction with a lower id has ended, and its events are visible. Every transaction
//! that is open or begins later has that id or a higher one. So the feed before a position never changes, and the
//! position consists of the transaction id and the sequence number. An event that depends on another one follows it:
//! its transaction began after the other transaction had committed, and so has the higher id.
//!
//! Events wait for every older open transaction *that writes*, in any database of the same cluster. Transactions that
//! only read have no id and never delay the feed.
//!
//! Transaction ids belong to the cluster. A database that was restored from a dump into another cluster may contain
//! ids that this cluster has not reached yet. Such a database is refused when it is opened; see [`crate::migrate`].
//!
//! # What a page guarantees
//!
//! *Every event is durable* (I11), and so is every event of an order's history that is read for publication. A commit
//! waits for the standbys before it becomes visible, with two exceptions:
//!
//! - After a crash, the primary shows commits that still waited. Every connection of before a crash is lost. So the store
//!   waits once on each connection, after the connection's first read and before it returns the events, until everything
//!   visible is as durable as an acknowledged commit ([`Connection::confirm`]). The session itself records that the wait
//!   is over, in the parameter `dabba.confirmed`: it belongs to the server process, also behind a pooler.
//! - An operator cancels or terminates a session that waits for the standbys. PostgreSQL then ends the wait, and shows the
//!   commit although no standby has it. Connections with `dabba.confirmed = yes` do not wait again, so they publish its
//!   events. If the primary is lost before a standby has the commit, consumers have received events that no history
//!   contains. The store cannot prevent this without a wait before each page. The guide for operators forbids it
//!   (`docs/guides/operator/events.md`).
//!
//! While no standby answers, that wait does not end. So only one connection at a time waits, in a task of its own, and
//! not in the call: a caller that stops waiting would leave a server process behind that waits, and the next call
//! another one.
//!
//! *The database has the buckets of the map.* A database that has given buckets away has no page for a server with the
//! old map: the page would advance a cursor beyond the split, and the new shard, whose feed begins there, would inherit
//! this position and skip its first events. The page and the range come from one snapshot, so a page from before the
//! split ends before the split.
//!
//! *The end is a position of an event.* The oldest open transaction would be an end, too, but after a crash PostgreSQL
//! may use the number of a transaction again that wrote nothing durable, and events below the end would follow. A purge
//! may delete the last event, so it records a position after all events that it deletes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    OrderId,
    order::{RecordedEvent, Version},
};
use dabba_store::{
    BucketRange, FeedEnd, FeedEvent, FeedPage, FeedPosition, FeedStore, Incarnation, StoreError,
};
use dabba_store_sql::{
    StoredRow as _,
    feed::{feed_event_of, incarnation_of, sequence_of, stored_sequence},
};
use tokio::task::AbortHandle;
use tokio_postgres::Row;

use crate::{
    PostgresStore,
    codec::{PgRow, read},
    failure::Failure,
    orders,
    pool::Connection,
    shard::{buckets_of, numbers},
};

/// States whether the connection's wait is over.
macro_rules! is_confirmed {
    () => {
        "coalesce(current_setting('dabba.confirmed', true), '') = 'yes'"
    };
}

pub(crate) use is_confirmed;

/// Selects what every answer contains: the buckets, the incarnation, and whether the connection's wait is over.
macro_rules! state {
    () => {
        concat!("SELECT shard.first_bucket, shard.last_bucket, feed_state.incarnation, ", is_confirmed!())
    };
}

/// Number of columns of [`state`].
const STATE_COLUMNS: usize = 4;

/// Reads a page. The limit applies to the events; then each event searches its order. Without events, the result is one
/// row.
///
/// ORDER BY names the table: `transaction_id` alone would be the output column, a text, in which 1000 sorts before
/// 999.
const READ_FEED: &str = concat!(
    state!(),
    ", page.transaction_id, page.sequence, page.order_id, page.version, page.type, page.data, page.actor, page.at_ns, \
        orders.restaurant_id, orders.customer_id, orders.format \
     FROM shard JOIN feed_state ON feed_state.is_the_only_row \
     LEFT JOIN ( \
        SELECT transaction_id::text, sequence, order_id, version, type, data::text, actor::text, at_ns FROM order_events \
        WHERE (transaction_id, sequence) > ($1::text::xid8, $2) \
            AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
            AND bucket_of(order_id) BETWEEN $4 AND $5 \
        ORDER BY order_events.transaction_id, order_events.sequence LIMIT $3 \
     ) AS page ON true \
     LEFT JOIN orders ON orders.id = page.order_id \
     WHERE shard.is_the_only_row"
);

/// Reads the end: the last event, or the position up to which events were purged.
const READ_END: &str = concat!(
    state!(),
    ", last.transaction_id::text, last.sequence, \
        feed_state.purged_transaction_id::text, feed_state.purged_sequence \
     FROM shard JOIN feed_state ON feed_state.is_the_only_row \
     LEFT JOIN ( \
        SELECT transaction_id, sequence FROM order_events \
        WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot()) \
        ORDER BY transaction_id DESC, sequence DESC LIMIT 1 \
     ) AS last ON true \
     WHERE shard.is_the_only_row"
);

/// Every read of this module, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[("feed_page", READ_FEED), ("feed_end", READ_END)];

/// Records in the session that its wait is over.
const SET_CONFIRMED: &str = "SELECT set_config('dabba.confirmed', 'yes', false)";

/// Maximum time that a call waits for the wait of another connection.
const MAX_WAIT_FOR_OTHER: Duration = Duration::from_secs(1);

/// The wait of a new connection. See the description of the module.
#[derive(Default)]
pub(crate) struct Confirmation {
    /// Held by the task that waits.
    turn: Arc<tokio::sync::Mutex<()>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Confirmation {
    /// Returns when everything that the connection has seen is as durable as an acknowledged commit.
    async fn wait(&self, connection: Connection) -> Result<(), Failure> {
        let unavailable = |text: &str| Failure::Store(StoreError::Unavailable(text.to_owned()));
        let turn = tokio::time::timeout(MAX_WAIT_FOR_OTHER, Arc::clone(&self.turn).lock_owned()).await;
        let turn = turn.map_err(|_| {
            unavailable("the feed waits until the standbys have the latest commits: check the standbys")
        })?;
        let waiting = tokio::spawn(async move {
            connection.confirm().await?;
            connection.query(SET_CONFIRMED, &[]).await?;
            // The next connection waits only after this one is back in the pool.
            drop(connection);
            drop(turn);
            Ok::<(), Failure>(())
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting.abort_handle());
        waiting.await.unwrap_or_else(|_| Err(unavailable("the store is closed")))
    }

    /// Ends the wait of a connection, so that the connection does not delay the end of the store.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

#[async_trait]
impl FeedStore for PostgresStore {
    async fn feed(&self, _shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        let (first, last) = numbers(self.held.expected().buckets);
        let (transaction, sequence) = (after.transaction.to_string(), stored_sequence(after.sequence));
        let rows = self
            .read_feed(async |connection| {
                let limit = i64::from(limit);
                connection.query(READ_FEED, &[&transaction, &sequence, &limit, &first, &last]).await
            })
            .await?;
        page_of(&rows, limit).map_err(Failure::into_store_error)
    }

    async fn feed_end(&self, _shard: usize) -> Result<FeedEnd, StoreError> {
        let rows = self.read_feed(async |connection| connection.query(READ_END, &[]).await).await?;
        end_of(&rows).map_err(Failure::into_store_error)
    }

    async fn public_events(
        &self,
        order: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.held.check(order.bucket())?;
        self.read_public(async |connection| {
            orders::read::public_events(connection, order, after, limit).await
        })
        .await
    }
}

impl PostgresStore {
    /// Reads rows that begin with the columns of [`state`], and returns them when they may be published.
    async fn read_feed(
        &self,
        query: impl AsyncFnOnce(&Connection) -> Result<Vec<Row>, Failure>,
    ) -> Result<Vec<Row>, StoreError> {
        self.read_public(async |connection| {
            let rows = query(connection).await?;
            let row = rows.first().ok_or_else(|| {
                Failure::Store(StoreError::Unfit("the database belongs to no shard map".to_owned()))
            })?;
            self.require_expected(buckets_of(row, 0)?)?;
            let is_confirmed = read(row, 3)?;
            Ok((rows, is_confirmed))
        })
        .await
    }

    /// Runs a read, and returns its result when it may be published. The read states whether the connection's wait is
    /// over; see [`is_confirmed`].
    async fn read_public<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<(T, bool), Failure>,
    ) -> Result<T, StoreError> {
        let run = async {
            let connection = self.connection().await?;
            let (found, is_confirmed) = work(&connection).await?;
            if !is_confirmed {
                self.confirmation.wait(connection).await?;
            }
            Ok(found)
        };
        run.await.map_err(Failure::into_store_error)
    }

    /// Refuses a database that has other buckets than the map states.
    fn require_expected(&self, found: BucketRange) -> Result<(), Failure> {
        if found == self.held.expected().buckets {
            return Ok(());
        }
        self.held.update(found);
        Err(Failure::Store(StoreError::Unavailable(
            "buckets of the shard were moved, so its events are not read with the old shard map: restart with the new shard map"
                .to_owned(),
        )))
    }
}

fn page_of(rows: &[Row], limit: u32) -> Result<FeedPage, Failure> {
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(transaction) = read::<Option<&str>>(row, STATE_COLUMNS)? else { continue };
        events.push(feed_event_of(PgRow(row), STATE_COLUMNS + 1, transaction_of(transaction)?)?);
    }
    // The joins keep the order of the page, but SQL does not promise it.
    events.sort_by_key(|event: &FeedEvent| event.position);
    let is_at_end = events.len() < limit as usize;
    Ok(FeedPage { incarnation: incarnation(rows)?, events, is_at_end })
}

fn end_of(rows: &[Row]) -> Result<FeedEnd, Failure> {
    let position = |row: &Row, column: usize| -> Result<FeedPosition, Failure> {
        let Some(transaction) = read::<Option<&str>>(row, column)? else { return Ok(FeedPosition::START) };
        let sequence = sequence_of(PgRow(row).integer(column + 1)?)?;
        Ok(FeedPosition { transaction: transaction_of(transaction)?, sequence })
    };
    let row = rows.first().ok_or_else(|| Failure::corrupt("the feed has no end"))?;
    let last = position(row, STATE_COLUMNS)?.max(position(row, STATE_COLUMNS + 2)?);
    Ok(FeedEnd { incarnation: incarnation(rows)?, position: last })
}

fn incarnation(rows: &[Row]) -> Result<Incarnation, Failure> {
    let row = rows.first().ok_or_else(|| Failure::corrupt("the database has no incarnation"))?;
    Ok(incarnation_of(PgRow(row), 2)?)
}

fn transaction_of(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::corrupt(format!("{text} is not a transaction's number")))
}
