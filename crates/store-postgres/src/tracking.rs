//! Tracking links.

use async_trait::async_trait;
use dabba_domain::{Bucket, OrderId, Timestamp};
use dabba_store::{
    StoreError, TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
};
use dabba_store_sql::StoredRow as _;
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore,
    codec::{first, read},
    failure::Failure,
    shard,
};

/// First schema version with tracking links.
const SCHEMA: u32 = 17;

const HAS_ORDER: &str = "SELECT 1 FROM orders WHERE id = $1";

const COUNT: &str = "SELECT count(*) FROM tracking_links WHERE order_id = $1";

const INSERT: &str =
    "INSERT INTO tracking_links (hash, order_id, created_at_ns, check_at_ns) VALUES ($1, $2, $3, $4)";

const FIND: &str = "SELECT order_id FROM tracking_links WHERE hash = $1";

/// Returns the links whose check is due, each with whether it can be deleted.
const FIND_DUE: &str = "\
    SELECT due.hash, orders.id IS NULL OR (orders.is_terminal AND orders.updated_at_ns <= $2) \
    FROM (SELECT hash, order_id FROM tracking_links WHERE check_at_ns <= $1 ORDER BY check_at_ns, hash LIMIT $3) AS due \
    LEFT JOIN orders ON orders.id = due.order_id";

const DELETE: &str = "DELETE FROM tracking_links WHERE hash = ANY ($1::bytea[])";

const POSTPONE: &str = "UPDATE tracking_links SET check_at_ns = $2 WHERE hash = ANY ($1::bytea[])";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("has_order", HAS_ORDER),
    ("count_tracking_links", COUNT),
    ("find_tracking_link", FIND),
    ("find_due_tracking_links", FIND_DUE),
    ("delete_tracking_links", DELETE),
    ("postpone_tracking_links", POSTPONE),
];

impl PostgresStore {
    fn require_tracking(&self) -> Result<(), StoreError> {
        if self.known_schema >= SCHEMA {
            return Ok(());
        }
        Err(StoreError::Unfit(format!(
            "only a server that knows schema version {SCHEMA} stores tracking links"
        )))
    }
}

#[async_trait]
impl TrackingStore for PostgresStore {
    /// Creates the link in a SERIALIZABLE transaction: two transactions that both count the links cannot both commit.
    async fn create_tracking_link(
        &self,
        link: &TrackingLink,
        max: u32,
    ) -> Result<TrackingLinkCreation, StoreError> {
        self.require_tracking()?;
        let order_id = link.order_id.uuid();
        let bucket = link.order_id.bucket();
        self.held.check(bucket)?;
        // An order is never deleted, and a read in the transaction could conflict with a commit on the order.
        let has_order = self
            .read(async |connection| Ok(!connection.query(HAS_ORDER, &[&order_id]).await?.is_empty()))
            .await?;
        if !has_order {
            return Ok(TrackingLinkCreation::NotFound);
        }
        let (created_at_ns, check_at_ns) =
            (exact_nanoseconds(link.created_at)?, exact_nanoseconds(link.check_at)?);
        self.in_transaction(|connection| async move {
            shard::require(&connection, bucket).await?;
            let count: i64 = connection.query_number(COUNT, &[&order_id]).await?;
            if count >= i64::from(max) {
                return Ok(TrackingLinkCreation::TooMany);
            }
            let parameters: [&(dyn ToSql + Sync); 4] =
                [&&link.hash.0[..], &order_id, &created_at_ns, &check_at_ns];
            connection.execute(INSERT, &parameters).await?;
            Ok(TrackingLinkCreation::Created)
        })
        .await
    }

    async fn tracked_order(
        &self,
        bucket: Bucket,
        hash: &TrackingLinkHash,
    ) -> Result<Option<OrderId>, StoreError> {
        self.require_tracking()?;
        self.held.check(bucket)?;
        self.read(async |connection| first(&connection.query(FIND, &[&&hash.0[..]]).await?, |row| row.id(0)))
            .await
    }

    async fn check_tracking_links(
        &self,
        due_until: Timestamp,
        unchanged_since: Timestamp,
        next_check_at: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(0);
        }
        let [due_until, unchanged_since, next_check_at] =
            [due_until, unchanged_since, next_check_at].map(clamped_nanoseconds);
        // Read before the transaction that writes: an order that has ended stays ended.
        let due: Vec<(Vec<u8>, bool)> = self
            .read(async |connection| {
                let parameters: [&(dyn ToSql + Sync); 3] = [&due_until, &unchanged_since, &i64::from(limit)];
                let rows = connection.query(FIND_DUE, &parameters).await?;
                rows.iter().map(|row| Ok((read(row, 0)?, read(row, 1)?))).collect::<Result<_, Failure>>()
            })
            .await?;
        let checked = u32::try_from(due.len())
            .map_err(|_| StoreError::Corrupt("more links were found than requested".to_owned()))?;
        let (over, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, is_over)| *is_over);
        let [over, others] = [over, others].map(|links| links.into_iter().map(|(hash, _)| hash).collect());
        let (over, others): (&Vec<Vec<u8>>, &Vec<Vec<u8>>) = (&over, &others);
        if checked > 0 {
            self.in_transaction(|connection| async move {
                connection.execute(DELETE, &[over]).await?;
                connection.execute(POSTPONE, &[others, &next_check_at]).await?;
                Ok(())
            })
            .await?;
        }
        Ok(checked)
    }
}
