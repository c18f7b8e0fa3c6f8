//! Leases of groups of consumers, and their positions in the feed.
//!
//! Each write under a lease first updates the lease's row ([`EXTEND`]), which locks the row until the transaction ends.
//! So a process that takes the lease waits for the write of the holder before, or makes it fail. Positions and leases
//! are not fenced by the range of buckets (the module `shard`): they belong to the feed of the database, whatever
//! buckets it holds.

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{
    Checkpoint, ConsumerName, ConsumerStore, FeedLease, FeedPlace, LeaseRequest, LeaseTaken, StoreError,
    StoredPosition, WebhookRevision,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
};
use dabba_store_sql::{
    StoredRow as _,
    consumers::{EncodedPlace, SHARED, own_position_of, position_of},
    position_columns,
};
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore,
    codec::{collect, first},
    failure::Failure,
    pool::Connection,
    webhooks::deliveries,
};

/// First schema version with consumers and webhooks.
pub(crate) const SCHEMA: u32 = 15;

/// The time with which leases are compared, in nanoseconds since 1970: this database's clock, unless the parameter
/// gives a time.
macro_rules! moment {
    ($parameter:literal) => {
        concat!(
            "coalesce(",
            $parameter,
            "::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)"
        )
    };
}
pub(crate) use moment;

/// Takes a lease that is free, expired or the caller's own. A token is at least the time in microseconds, so that it
/// never equals a token from before a restore. Parameters: group, holder, duration, time.
const TAKE: &str = concat!(
    "WITH moment AS MATERIALIZED (SELECT ",
    moment!("$4"),
    " AS ns) \
     INSERT INTO feed_leases (group_name, holder, token, until_ns) \
     SELECT $1, $2, ns / 1000, least(ns::numeric + $3::bigint, 9223372036854775807)::bigint FROM moment \
     ON CONFLICT (group_name) DO UPDATE SET holder = excluded.holder, \
         token = greatest(feed_leases.token + 1, excluded.token), until_ns = excluded.until_ns \
         WHERE feed_leases.until_ns <= (SELECT ns FROM moment) OR feed_leases.holder = excluded.holder \
     RETURNING token"
);

const FIND_HOLDER: &str = "SELECT holder, until_ns FROM feed_leases WHERE group_name = $1";

/// Extends a lease that is held, or leaves it unchanged with a duration of 0. Parameters: group, token, duration, time.
const EXTEND: &str = concat!(
    "UPDATE feed_leases SET until_ns = greatest(until_ns, least(",
    moment!("$4"),
    "::numeric + $3::bigint, 9223372036854775807)::bigint) \
     WHERE group_name = $1 AND token = $2 AND until_ns > ",
    moment!("$4")
);

/// Ends a lease that is held. Parameters: group, token, time.
const RELEASE: &str = concat!(
    "UPDATE feed_leases SET until_ns = least(until_ns, ",
    moment!("$3"),
    ") WHERE group_name = $1 AND token = $2 AND until_ns > ",
    moment!("$3")
);

const FIND_POSITION: &str =
    concat!("SELECT ", position_columns!(), " FROM feed_consumers WHERE group_name = $1 AND consumer = $2");

const FIND_OWN_POSITIONS: &str = concat!(
    "SELECT consumer, ",
    position_columns!(),
    " FROM feed_consumers WHERE group_name = $1 AND consumer > $2 ORDER BY consumer LIMIT $3"
);

macro_rules! set_positions {
    () => {
        "INSERT INTO feed_consumers \
             (group_name, consumer, incarnation, transaction_number, sequence, known, updated_at_ns) \
         SELECT $1, consumer, incarnation, transaction_number, sequence, $6::bigint, $7::bigint \
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) \
             AS given (consumer, incarnation, transaction_number, sequence) \
         ON CONFLICT (group_name, consumer) DO UPDATE SET incarnation = excluded.incarnation, \
             transaction_number = excluded.transaction_number, sequence = excluded.sequence, \
             known = greatest(feed_consumers.known, excluded.known), updated_at_ns = excluded.updated_at_ns"
    };
}

/// Never goes back under the same incarnation.
const ADVANCE: &str = concat!(
    set_positions!(),
    " WHERE feed_consumers.incarnation <> excluded.incarnation \
        OR (feed_consumers.transaction_number, feed_consumers.sequence) \
            <= (excluded.transaction_number, excluded.sequence)"
);

const REWIND: &str = set_positions!();

/// Removes the positions of consumers that are not after the position of their group.
const JOIN: &str = "\
    DELETE FROM feed_consumers WHERE group_name = $1 AND consumer = ANY ($2::text[]) AND EXISTS ( \
        SELECT FROM feed_consumers AS shared WHERE shared.group_name = $1 AND shared.consumer = '' \
            AND (shared.incarnation <> feed_consumers.incarnation \
                OR (feed_consumers.transaction_number, feed_consumers.sequence) \
                    <= (shared.transaction_number, shared.sequence)))";

pub(crate) const DELETE_POSITION: &str = "DELETE FROM feed_consumers WHERE group_name = $1 AND consumer = $2";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_holder", FIND_HOLDER),
    ("extend", EXTEND),
    ("release", RELEASE),
    ("find_position", FIND_POSITION),
    ("find_own_positions", FIND_OWN_POSITIONS),
    ("join", JOIN),
    ("delete_position", DELETE_POSITION),
];

#[async_trait]
impl ConsumerStore for PostgresStore {
    async fn take_feed_lease(
        &self,
        _shard: usize,
        request: &LeaseRequest,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseTaken, StoreError> {
        let LeaseRequest { group, holder } = request;
        let (duration, moment) = self.duration_and_moment(now, until);
        self.in_transaction(|connection| async move {
            self.require_consumers()?;
            let parameters: [&(dyn ToSql + Sync); 4] =
                [&group.as_str(), &holder.as_str(), &duration, &moment];
            if let Some(token) = first(&connection.query(TAKE, &parameters).await?, |row| row.integer(0))? {
                return Ok(LeaseTaken::Taken(FeedLease { group: group.clone(), token }));
            }
            let rows = connection.query(FIND_HOLDER, &[&group.as_str()]).await?;
            let held = first(&rows, |row| {
                Ok(LeaseTaken::Held { by: row.text(0)?.to_owned(), until: row.timestamp(1)? })
            })?;
            held.ok_or_else(|| Failure::corrupt("a lease is held and has no holder"))
        })
        .await
    }

    async fn renew_feed_lease(
        &self,
        _shard: usize,
        lease: &FeedLease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.in_transaction(|connection| async move { self.extend(&connection, lease, now, until).await })
            .await
    }

    async fn release_feed_lease(
        &self,
        _shard: usize,
        lease: &FeedLease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (_, moment) = self.duration_and_moment(now, now);
        self.in_transaction(|connection| async move {
            let parameters: [&(dyn ToSql + Sync); 3] = [&lease.group.as_str(), &lease.token, &moment];
            Ok(connection.execute(RELEASE, &parameters).await? == 1)
        })
        .await
    }

    async fn feed_position(
        &self,
        _shard: usize,
        group: &ConsumerName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Option<StoredPosition>, StoreError> {
        let consumer = consumer.map_or(SHARED, ConsumerName::as_str);
        self.read(async |connection| {
            let rows = connection.query(FIND_POSITION, &[&group.as_str(), &consumer]).await?;
            first(&rows, |row| position_of(row, 0))
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
        let after = after.map_or(SHARED, ConsumerName::as_str);
        self.read(async |connection| {
            let parameters: [&(dyn ToSql + Sync); 3] = [&group.as_str(), &after, &i64::from(limit)];
            collect(&connection.query(FIND_OWN_POSITIONS, &parameters).await?, own_position_of)
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
        self.in_transaction(|connection| async move {
            if !self.extend(&connection, lease, now, until).await? {
                return Ok(false);
            }
            write_positions(&connection, &lease.group, checkpoint, now).await?;
            deliveries::write(&connection, checkpoint).await?;
            Ok(true)
        })
        .await
    }
}

impl PostgresStore {
    /// Refuses calls of a server that knows only an earlier schema. Only the test of upgrades has such servers.
    pub(crate) fn require_consumers(&self) -> Result<(), Failure> {
        if self.known_schema >= SCHEMA {
            return Ok(());
        }
        Err(Failure::Store(StoreError::Unfit(format!(
            "only a server that knows schema version {SCHEMA} delivers webhooks"
        ))))
    }

    /// Returns the duration of a lease, and the time with which it is compared; `None` for the database's clock.
    fn duration_and_moment(&self, now: Timestamp, until: Timestamp) -> (i64, Option<i64>) {
        let (now, until) = (clamped_nanoseconds(now), clamped_nanoseconds(until));
        (until.saturating_sub(now), self.lease_time(now))
    }

    /// Extends a lease within a transaction, and locks it until the transaction ends. Returns `false` if the lease is
    /// lost or has expired.
    pub(crate) async fn extend(
        &self,
        connection: &Connection,
        lease: &FeedLease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        let (duration, moment) = self.duration_and_moment(now, until);
        let parameters: [&(dyn ToSql + Sync); 4] = [&lease.group.as_str(), &lease.token, &duration, &moment];
        Ok(connection.execute(EXTEND, &parameters).await? == 1)
    }

    /// Locks a lease within a transaction that writes. Returns `false` if the lease is lost or has expired.
    pub(crate) async fn lock_lease(
        &self,
        connection: &Connection,
        lease: &FeedLease,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        self.extend(connection, lease, now, now).await
    }

    /// Returns the time with which a read compares a lease; `None` for the database's clock.
    pub(crate) fn lease_moment(&self, now: Timestamp) -> Option<i64> {
        self.lease_time(clamped_nanoseconds(now))
    }
}

async fn write_positions(
    connection: &Connection,
    group: &ConsumerName,
    checkpoint: &Checkpoint,
    now: Timestamp,
) -> Result<(), Failure> {
    let now_ns = exact_nanoseconds(now)?;
    if let Some((place, known)) = checkpoint.shared {
        let sql = if checkpoint.is_shared_rewound { REWIND } else { ADVANCE };
        set_positions(connection, sql, group, &[(SHARED, place)], known, now_ns).await?;
    }
    set_positions(connection, ADVANCE, group, &checkpoint.advanced, 0, now_ns).await?;
    set_positions(connection, REWIND, group, &checkpoint.rewound, 0, now_ns).await?;
    if !checkpoint.joined.is_empty() {
        let joined: Vec<&str> = checkpoint.joined.iter().map(ConsumerName::as_str).collect();
        connection.execute(JOIN, &[&group.as_str(), &joined]).await?;
    }
    Ok(())
}

async fn set_positions<N: AsRef<str> + Sync>(
    connection: &Connection,
    sql: &str,
    group: &ConsumerName,
    positions: &[(N, FeedPlace)],
    known: WebhookRevision,
    now_ns: i64,
) -> Result<(), Failure> {
    if positions.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = positions.iter().map(|(name, _)| name.as_ref()).collect();
    let (mut incarnations, mut transactions, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
    for (_, place) in positions {
        let encoded = EncodedPlace::new(*place)?;
        incarnations.push(encoded.incarnation);
        transactions.push(encoded.transaction);
        sequences.push(encoded.sequence);
    }
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&group.as_str(), &names, &incarnations, &transactions, &sequences, &known, &now_ns];
    connection.execute(sql, &parameters).await?;
    Ok(())
}
