//! Items that become unavailable at the end of an order: a part of the batch's transaction.
//!
//! Every change of availability locks the restaurant's row first, then the marks in the order of their items. A batch
//! does the same before it changes stock, because a manual change of stock also locks the restaurant before the
//! stock.

use std::collections::{BTreeSet, HashMap};

use dabba_domain::{RestaurantId, Timestamp};
use dabba_store::encoding::EncodedCommit;
use dabba_store_sql::{
    StoredRow as _,
    catalogue::{encode_mark_end, mark_end_of},
};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::{plan::Plan, view::StockKey};
use crate::{codec::collect, failure::Failure, hints::catalogue_channel};

/// Finds the existing marks of items.
pub(crate) const FIND_MARKS: &str = "\
    SELECT restaurant_id, item, until \
    FROM unnest($1::uuid[], $2::text[]) AS asked (restaurant_id, item) \
    JOIN unavailable_items USING (restaurant_id, item)";

/// Waits for other transactions that change the restaurant's availability, menu or limited stock. Orders do not wait:
/// they only read the row.
pub(crate) const LOCK_RESTAURANTS: &str =
    "SELECT id FROM restaurants WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE";

/// Writes nothing if an existing mark lasts at least as long. Ends are compared byte by byte as texts without their
/// `Z`: `12:00:00` is before `12:00:00.5`. Notifies other servers when the transaction commits.
pub(crate) const EXTEND_MARKS: &str = concat!(
    "WITH changed AS ( \
        INSERT INTO unavailable_items (restaurant_id, item, until) \
        SELECT restaurant_id, item, until FROM unnest($1::uuid[], $2::text[], $3::text[]) \
            AS mark (restaurant_id, item, until) \
        ON CONFLICT (restaurant_id, item) DO UPDATE SET until = excluded.until \
        WHERE unavailable_items.until IS NOT NULL AND (excluded.until IS NULL \
            OR rtrim(excluded.until, 'Z') COLLATE \"C\" > rtrim(unavailable_items.until, 'Z') COLLATE \"C\") \
        RETURNING restaurant_id) \
     UPDATE restaurants SET availability_revision = availability_revision + 1 \
     FROM (SELECT DISTINCT restaurant_id FROM changed) AS marked WHERE restaurants.id = marked.restaurant_id \
     RETURNING id, pg_notify('",
    catalogue_channel!(),
    "', id::text)"
);

/// Locks the restaurants whose items are marked.
pub(super) async fn lock_restaurants(
    client: &ClientWrapper,
    sql: &Statement,
    plan: &Plan<'_>,
) -> Result<bool, Failure> {
    let restaurants: BTreeSet<Uuid> = plan.marks.keys().map(|(id, _)| id.uuid()).collect();
    let restaurants: Vec<Uuid> = restaurants.into_iter().collect();
    client.query(sql, &[&restaurants]).await?;
    Ok(true)
}

/// Writes the marks. The condition holds if the marks of exactly the planned restaurants change, or if the plan does
/// not rely on that.
pub(super) async fn extend_marks(
    client: &ClientWrapper,
    sql: &Statement,
    plan: &Plan<'_>,
) -> Result<bool, Failure> {
    let (mut restaurants, mut items, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for ((restaurant, item), until) in &plan.marks {
        restaurants.push(restaurant.uuid());
        items.push(item.as_str());
        ends.push(encode_mark_end(*until));
    }
    let rows = client.query(sql, &[&restaurants, &items, &ends]).await?;
    let changed: BTreeSet<RestaurantId> = collect(&rows, |row| row.id(0))?;
    Ok(plan.remarked.as_ref().is_none_or(|remarked| *remarked == changed))
}

/// Returns the marks in the rows of [`FIND_MARKS`], by the items that the batch marks.
pub(super) fn marks_of<'b>(
    rows: &[Row],
    batch: &'b [EncodedCommit],
) -> Result<HashMap<StockKey<'b>, Option<Timestamp>>, Failure> {
    let found: HashMap<(RestaurantId, &str), Option<Timestamp>> =
        collect(rows, |row| Ok(((row.id(0)?, row.text(1)?), mark_end_of(row, 2)?)))?;
    let marked = batch.iter().flat_map(|EncodedCommit { commit, .. }| {
        commit.unavailable.iter().map(|unavailable| (commit.restaurant_id, &unavailable.item))
    });
    Ok(marked
        .filter_map(|key @ (restaurant_id, item)| Some((key, *found.get(&(restaurant_id, item.as_str()))?)))
        .collect())
}
