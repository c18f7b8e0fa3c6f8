//! Leases of groups of consumers, and their positions in the feed.

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{
    Checkpoint, ConsumerName, ConsumerStore, FeedLease, FeedPlace, LeaseRequest, LeaseTaken, StoreError,
    StoredPosition, WebhookRevision,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
    least_revision,
};
use dabba_store_sql::{
    StoredRow as _,
    consumers::{EncodedPlace, SHARED, own_position_of, position_of},
    position_columns,
};
use rusqlite::{Connection, Transaction, params};

use crate::{
    SqliteStore,
    codec::{collect, first},
    failure::Failure,
    webhooks::deliveries,
};

/// Takes a lease that is free, expired or the caller's own. Parameters: group, holder, minimum token, end, time.
pub(crate) const TAKE: &str = "\
    INSERT INTO feed_leases (group_name, holder, token, until_ns) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (group_name) DO UPDATE SET holder = excluded.holder, \
        token = max(feed_leases.token + 1, excluded.token), until_ns = excluded.until_ns \
        WHERE feed_leases.until_ns <= ?5 OR feed_leases.holder = excluded.holder \
    RETURNING token";

pub(crate) const FIND_HOLDER: &str = "SELECT holder, until_ns FROM feed_leases WHERE group_name = ?1";

/// Extends a lease that is held. Parameters: group, token, end, time.
pub(crate) const EXTEND: &str = "\
    UPDATE feed_leases SET until_ns = max(until_ns, ?3) WHERE group_name = ?1 AND token = ?2 AND until_ns > ?4";

pub(crate) const RELEASE: &str =
    "UPDATE feed_leases SET until_ns = ?3 WHERE group_name = ?1 AND token = ?2 AND until_ns > ?3";

/// Ends all leases. Reads the whole table, which has one row per group.
const END_ALL: &str = "UPDATE feed_leases SET until_ns = 0 WHERE until_ns > 0";

/// Finds a row if the lease is held. Parameters: group, token, time.
pub(crate) const IS_HELD: &str =
    "SELECT 1 FROM feed_leases WHERE group_name = ?1 AND token = ?2 AND until_ns > ?3";

pub(crate) const FIND_POSITION: &str =
    concat!("SELECT ", position_columns!(), " FROM feed_consumers WHERE group_name = ?1 AND consumer = ?2");

pub(crate) const FIND_OWN_POSITIONS: &str = concat!(
    "SELECT consumer, ",
    position_columns!(),
    " FROM feed_consumers WHERE group_name = ?1 AND consumer > ?2 ORDER BY consumer LIMIT ?3"
);

macro_rules! set_position {
    () => {
        "INSERT INTO feed_consumers \
             (group_name, consumer, incarnation, transaction_number, sequence, known, updated_at_ns) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (group_name, consumer) DO UPDATE SET incarnation = excluded.incarnation, \
             transaction_number = excluded.transaction_number, sequence = excluded.sequence, \
             known = max(feed_consumers.known, excluded.known), updated_at_ns = excluded.updated_at_ns"
    };
}

/// Never goes back under the same incarnation.
pub(crate) const ADVANCE: &str = concat!(
    set_position!(),
    " WHERE feed_consumers.incarnation <> excluded.incarnation \
        OR (feed_consumers.transaction_number, feed_consumers.sequence) \
            <= (excluded.transaction_number, excluded.sequence)"
);

pub(crate) const REWIND: &str = set_position!();

/// Removes the position of a consumer that is not after the position of its group.
pub(crate) const JOIN: &str = "\
    DELETE FROM feed_consumers WHERE group_name = ?1 AND consumer = ?2 AND EXISTS ( \
        SELECT 1 FROM feed_consumers AS shared WHERE shared.group_name = ?1 AND shared.consumer = '' \
            AND (shared.incarnation <> feed_consumers.incarnation \
                OR (feed_consumers.transaction_number, feed_consumers.sequence) \
                    <= (shared.transaction_number, shared.sequence)))";

pub(crate) const DELETE_POSITION: &str = "DELETE FROM feed_consumers WHERE group_name = ?1 AND consumer = ?2";

/// Ends the leases of the process that had the database open before.
pub(crate) fn end_leases(connection: &Connection) -> Result<(), Failure> {
    connection.execute(END_ALL, [])?;
    Ok(())
}

#[async_trait]
impl ConsumerStore for SqliteStore {
    async fn take_feed_lease(
        &self,
        _shard: usize,
        request: &LeaseRequest,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseTaken, StoreError> {
        let request = request.clone();
        self.writer.write(move |transaction| take(transaction, request, now, until)).await
    }

    async fn renew_feed_lease(
        &self,
        _shard: usize,
        lease: &FeedLease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.writer.write(move |transaction| extend(transaction, &lease, now, until)).await
    }

    async fn release_feed_lease(
        &self,
        _shard: usize,
        lease: &FeedLease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.writer
            .write(move |transaction| {
                let parameters = params![lease.group.as_str(), lease.token, clamped_nanoseconds(now)];
                Ok(transaction.prepare_cached(RELEASE)?.execute(parameters)? == 1)
            })
            .await
    }

    async fn feed_position(
        &self,
        _shard: usize,
        group: &ConsumerName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Option<StoredPosition>, StoreError> {
        let (group, consumer) = (group.clone(), consumer.cloned());
        self.readers
            .read(move |connection| {
                let consumer = consumer.as_ref().map_or(SHARED, ConsumerName::as_str);
                let mut statement = connection.prepare_cached(FIND_POSITION)?;
                first(statement.query([group.as_str(), consumer])?, |row| position_of(row, 0))
            })
            .await
    }

    async fn own_feed_positions(
        &self,
        _shard: usize,
        group: &ConsumerName,
        after: Option<&ConsumerName>,
        limit: u32,
    ) -> Result<Vec<(ConsumerName, StoredPosition)>, StoreError> {
        let (group, after) = (group.clone(), after.cloned());
        self.readers
            .read(move |connection| {
                let after = after.as_ref().map_or(SHARED, ConsumerName::as_str);
                let mut statement = connection.prepare_cached(FIND_OWN_POSITIONS)?;
                collect(statement.query(params![group.as_str(), after, limit])?, |row| own_position_of(row))
            })
            .await
    }

    async fn checkpoint_feed(
        &self,
        _shard: usize,
        lease: &FeedLease,
        checkpoint: &Checkpoint,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        checkpoint.check()?;
        let (lease, checkpoint) = (lease.clone(), checkpoint.clone());
        self.writer
            .write(move |transaction| {
                if !extend(transaction, &lease, now, until)? {
                    return Ok(false);
                }
                write_positions(transaction, &lease.group, &checkpoint, now)?;
                deliveries::write(transaction, &checkpoint)?;
                Ok(true)
            })
            .await
    }
}

fn take(
    transaction: &Transaction<'_>,
    request: LeaseRequest,
    now: Timestamp,
    until: Timestamp,
) -> Result<LeaseTaken, Failure> {
    let LeaseRequest { group, holder } = request;
    let parameters = params![
        group.as_str(),
        holder.as_str(),
        least_revision(now),
        clamped_nanoseconds(until),
        clamped_nanoseconds(now)
    ];
    let mut statement = transaction.prepare_cached(TAKE)?;
    if let Some(token) = first(statement.query(parameters)?, |row| row.integer(0))? {
        return Ok(LeaseTaken::Taken(FeedLease { group, token }));
    }
    let mut statement = transaction.prepare_cached(FIND_HOLDER)?;
    let held = first(statement.query([group.as_str()])?, |row| {
        Ok(LeaseTaken::Held { by: row.text(0)?.to_owned(), until: row.timestamp(1)? })
    })?;
    held.ok_or_else(|| Failure::corrupt("a lease is held and has no holder"))
}

/// Extends a lease. Returns `false` if it is lost or has expired. Every write under a lease calls this function or
/// [`is_held`] first, in its transaction.
pub(crate) fn extend(
    transaction: &Transaction<'_>,
    lease: &FeedLease,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Failure> {
    let parameters =
        params![lease.group.as_str(), lease.token, clamped_nanoseconds(until), clamped_nanoseconds(now)];
    Ok(transaction.prepare_cached(EXTEND)?.execute(parameters)? == 1)
}

/// Returns whether a lease is held at this time.
pub(crate) fn is_held(connection: &Connection, lease: &FeedLease, now: Timestamp) -> Result<bool, Failure> {
    let parameters = params![lease.group.as_str(), lease.token, clamped_nanoseconds(now)];
    Ok(connection.prepare_cached(IS_HELD)?.exists(parameters)?)
}

fn write_positions(
    transaction: &Transaction<'_>,
    group: &ConsumerName,
    checkpoint: &Checkpoint,
    now: Timestamp,
) -> Result<(), Failure> {
    let now_ns = exact_nanoseconds(now)?;
    let set = |sql, consumer: &str, place: FeedPlace, known: WebhookRevision| -> Result<(), Failure> {
        let EncodedPlace { incarnation, transaction: number, sequence } = EncodedPlace::new(place)?;
        let parameters = params![group.as_str(), consumer, incarnation, number, sequence, known, now_ns];
        transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    };
    if let Some((place, known)) = checkpoint.shared {
        set(if checkpoint.is_shared_rewound { REWIND } else { ADVANCE }, SHARED, place, known)?;
    }
    for (consumer, place) in &checkpoint.advanced {
        set(ADVANCE, consumer.as_str(), *place, 0)?;
    }
    for (consumer, place) in &checkpoint.rewound {
        set(REWIND, consumer.as_str(), *place, 0)?;
    }
    for consumer in &checkpoint.joined {
        transaction.prepare_cached(JOIN)?.execute([group.as_str(), consumer.as_str()])?;
    }
    Ok(())
}
