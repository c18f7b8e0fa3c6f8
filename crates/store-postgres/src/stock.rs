//! Manual changes of stock. The stock that orders take and return is part of their commits.
//!
//! Manual changes of one restaurant wait for each other at the restaurant's row. The stock's row is locked against
//! orders that take from it. If an order has taken stock in the meantime, the transaction conflicts and is retried
//! with the remaining stock.

use dabba_domain::{RestaurantId, restaurant::Revision, text::Slug};
use dabba_store::{Resource, StockEdit, StockLevel, StockOperation, StockUpdate};
use uuid::Uuid;

use crate::{claims, codec::read_number, failure::Failure, hints::catalogue_channel, pool::Connection};

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

/// Revision counters in a restaurant's row.
#[derive(Clone, Copy)]
struct Counters {
    menu_revision: Revision,
    /// Highest revision of any stock that is not limited any more.
    floor: Revision,
}

/// Changes the stock of an item, inside a transaction.
pub(crate) async fn change(
    connection: &Connection,
    id: RestaurantId,
    item: &Slug,
    edit: &StockEdit<'_>,
) -> Result<StockUpdate, Failure> {
    let key = (id.uuid(), item.as_str());
    let rows = connection.query(LOCK_COUNTERS, &[&key.0]).await?;
    let Some(row) = rows.first() else { return Ok(StockUpdate::NotFound) };
    let counters = Counters { menu_revision: read_number(row, 0)?, floor: read_number(row, 1)? };
    if let Some(claim) = edit.claim
        && let Some(record) = claims::find(connection, claim, Some(id)).await?
    {
        return Ok(StockUpdate::of_record(&record, claim.claim.fingerprint));
    }
    let rows = connection.query(LOCK_LEVEL, &[&key.0, &key.1]).await?;
    let present: Option<(u32, Revision)> =
        rows.first().map(|row| Ok::<_, Failure>((read_number(row, 0)?, read_number(row, 1)?))).transpose()?;
    let current = present.map(|(_, revision)| revision);
    if edit.expected.is_some() && edit.expected != current {
        return Ok(StockUpdate::Conflict { current });
    }
    let remaining = match (edit.operation, present) {
        (StockOperation::Set(remaining), _) => remaining,
        (StockOperation::Adjust(_), None) => return Ok(StockUpdate::NotLimited),
        (StockOperation::Adjust(by), Some((remaining, _))) => match StockOperation::adjusted(by, remaining) {
            Ok(result) => Some(result),
            Err(refusal) => return Ok(refusal),
        },
    };
    let (revision, menu_revision) = write(connection, key, current, remaining, counters).await?;
    let level = remaining.map(|remaining| StockLevel { item: item.clone(), remaining, revision });
    if let (Some(claim), Some(level)) = (edit.claim, &level) {
        let resource = Resource::Stock { restaurant_id: id, item: item.clone(), remaining: level.remaining };
        claims::insert(connection, claim, Some(id), &resource, level.revision).await?;
    }
    Ok(StockUpdate::Done { level, menu_revision })
}

/// Writes the stock of an item whose current revision is `current`, or `None` if it is not limited. Returns the new
/// revisions of the stock and of the menu.
async fn write(
    connection: &Connection,
    (id, item): (Uuid, &str),
    current: Option<Revision>,
    remaining: Option<u32>,
    counters: Counters,
) -> Result<(Revision, Revision), Failure> {
    let Counters { menu_revision, floor } = counters;
    let (revision, menu_revision, floor) = match (current, remaining.map(i64::from)) {
        (None, None) => return Ok((floor, menu_revision)),
        (Some(current), Some(remaining)) => {
            let revision = i64::from(current + 1);
            connection.execute(UPDATE_LEVEL, &[&id, &item, &remaining, &revision]).await?;
            return Ok((current + 1, menu_revision));
        }
        (None, Some(remaining)) => {
            let revision = i64::from(floor + 1);
            connection.execute(INSERT_LEVEL, &[&id, &item, &remaining, &revision]).await?;
            (floor + 1, menu_revision + 1, floor)
        }
        (Some(current), None) => {
            connection.execute(DELETE_LEVEL, &[&id, &item]).await?;
            (current, menu_revision + 1, floor.max(current))
        }
    };
    connection.execute(UPDATE_COUNTERS, &[&id, &i64::from(menu_revision), &i64::from(floor)]).await?;
    Ok((revision, menu_revision))
}
