//! Manual changes of stock. The stock that orders take and return is part of their commits.
//!
//! Manual changes of one restaurant wait for each other at the restaurant's row. The stock's row is locked against
//! orders that take from it. If an order has taken stock in the meantime, the transaction conflicts and is retried
//! with the remaining stock.

use std::ops::ControlFlow;

use dabba_domain::{RestaurantId, text::Slug};
use dabba_store::{StockEdit, StockUpdate};
use dabba_store_sql::stock::{self, Counters, Present, RowWrite};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{claims, codec::first, failure::Failure, hints::catalogue_channel, pool::Connection};

/// Locks the restaurant against other manual changes of its menu or stock. Orders do not wait: they only read the
/// row.
const LOCK_COUNTERS: &str =
    "SELECT menu_revision, stock_revision_floor FROM restaurants WHERE id = $1 FOR UPDATE";

const LOCK_LEVEL: &str =
    "SELECT remaining, revision FROM stock WHERE restaurant_id = $1 AND item = $2 FOR UPDATE";

const INSERT_LEVEL: &str =
    "INSERT INTO stock (restaurant_id, item, remaining, revision) VALUES ($1, $2, $3, $4)";

const UPDATE_LEVEL: &str =
    "UPDATE stock SET remaining = $3, revision = $4 WHERE restaurant_id = $1 AND item = $2";

const DELETE_LEVEL: &str = "DELETE FROM stock WHERE restaurant_id = $1 AND item = $2";

/// Notifies other servers when the transaction commits.
const UPDATE_COUNTERS: &str = concat!(
    "UPDATE restaurants SET menu_revision = $2, stock_revision_floor = $3 WHERE id = $1 RETURNING pg_notify('",
    catalogue_channel!(),
    "', id::text)"
);

/// Every statement of this module that looks for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("lock_counters", LOCK_COUNTERS),
    ("lock_level", LOCK_LEVEL),
    ("update_level", UPDATE_LEVEL),
    ("delete_level", DELETE_LEVEL),
    ("update_counters", UPDATE_COUNTERS),
    ("insert_claim", claims::INSERT_CLAIM),
];

/// Changes the stock of an item, inside a transaction.
pub(crate) async fn change(
    connection: &Connection,
    id: RestaurantId,
    item: &Slug,
    edit: &StockEdit<'_>,
) -> Result<StockUpdate, Failure> {
    let (row_id, name) = (id.uuid(), item.as_str());
    let rows = connection.query(LOCK_COUNTERS, &[&row_id]).await?;
    let Some(counters) = first(&rows, Counters::of)? else { return Ok(StockUpdate::NotFound) };
    if let Some(claim) = edit.claim
        && let Some(record) = claims::find(connection, claim, Some(id)).await?
    {
        return Ok(StockUpdate::of_record(&record, claim.claim.fingerprint));
    }
    let present = first(&connection.query(LOCK_LEVEL, &[&row_id, &name]).await?, Present::of)?;
    let write = match stock::decide(item, edit, present, counters) {
        ControlFlow::Continue(write) => write,
        ControlFlow::Break(update) => return Ok(update),
    };
    match write.row {
        RowWrite::Insert(level) => write_level(connection, INSERT_LEVEL, row_id, name, level).await?,
        RowWrite::Update(level) => write_level(connection, UPDATE_LEVEL, row_id, name, level).await?,
        RowWrite::Delete => {
            connection.execute(DELETE_LEVEL, &[&row_id, &name]).await?;
        }
    }
    if let Some(Counters { menu_revision, floor }) = write.counters {
        let parameters: [&(dyn ToSql + Sync); 3] = [&row_id, &i64::from(menu_revision), &i64::from(floor)];
        connection.execute(UPDATE_COUNTERS, &parameters).await?;
    }
    if let (Some(claim), Some((resource, version))) = (edit.claim, write.claimed(id)) {
        claims::insert(connection, claim, Some(id), &resource, version).await?;
    }
    Ok(write.done())
}

/// Inserts or updates the row of an item's stock.
async fn write_level(
    connection: &Connection,
    sql: &str,
    id: Uuid,
    item: &str,
    level: Present,
) -> Result<(), Failure> {
    let (remaining, revision) = (i64::from(level.remaining), i64::from(level.revision));
    connection.execute(sql, &[&id, &item, &remaining, &revision]).await?;
    Ok(())
}
