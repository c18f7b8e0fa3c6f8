//! Manual changes of stock. Draws and returns of orders are part of their commits.

use dabba_domain::{RestaurantId, restaurant::Revision, text::Slug};
use dabba_store::{Resource, StockEdit, StockLevel, StockOperation, StockUpdate};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::{
    claims::{self, OwnedClaim},
    codec::id_bytes,
    failure::Failure,
};

pub(crate) const FIND_COUNTERS: &str =
    "SELECT menu_revision, stock_revision_floor FROM restaurants WHERE id = ?1";

pub(crate) const FIND_LEVEL: &str =
    "SELECT remaining, revision FROM stock WHERE restaurant_id = ?1 AND item = ?2";

const INSERT_LEVEL: &str =
    "INSERT INTO stock (restaurant_id, item, remaining, revision) VALUES (?1, ?2, ?3, ?4)";

pub(crate) const UPDATE_LEVEL: &str =
    "UPDATE stock SET remaining = ?3, revision = ?4 WHERE restaurant_id = ?1 AND item = ?2";

pub(crate) const DELETE_LEVEL: &str = "DELETE FROM stock WHERE restaurant_id = ?1 AND item = ?2";

pub(crate) const UPDATE_COUNTERS: &str =
    "UPDATE restaurants SET menu_revision = ?2, stock_revision_floor = ?3 WHERE id = ?1";

/// An owned [`StockEdit`], which can be sent to the writer thread.
pub(crate) struct OwnedEdit {
    operation: StockOperation,
    expected: Option<Revision>,
    claim: Option<OwnedClaim>,
}

impl From<&StockEdit<'_>> for OwnedEdit {
    fn from(edit: &StockEdit<'_>) -> Self {
        let StockEdit { operation, expected, claim } = *edit;
        Self { operation, expected, claim: claim.map(OwnedClaim::from) }
    }
}

/// Changes the stock of an item. Nothing else writes between the reads and the write, so the values read
/// still hold.
pub(crate) fn change(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    edit: &OwnedEdit,
) -> Result<StockUpdate, Failure> {
    let counters = transaction
        .prepare_cached(FIND_COUNTERS)?
        .query_row([id_bytes(id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((menu_revision, floor)) = counters else { return Ok(StockUpdate::NotFound) };
    let claim = edit.claim.as_ref().map(OwnedClaim::get);
    if let Some(claim) = claim
        && let Some(record) = claims::find(transaction, claim, Some(id))?
    {
        return Ok(StockUpdate::of_record(&record, claim.claim.fingerprint));
    }
    let present: Option<(u32, Revision)> = transaction
        .prepare_cached(FIND_LEVEL)?
        .query_row(params![id_bytes(id), item.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
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
    let counters = Counters { menu_revision, floor };
    let update = write(transaction, id, item, current, remaining, counters)?;
    if let (Some(claim), StockUpdate::Done { level: Some(level), .. }) = (claim, &update) {
        let resource = Resource::Stock { restaurant_id: id, item: item.clone(), remaining: level.remaining };
        claims::insert(transaction, claim, Some(id), &resource, level.revision)?;
    }
    Ok(update)
}

/// Counters in a restaurant's row.
#[derive(Clone, Copy)]
struct Counters {
    menu_revision: Revision,
    /// The highest revision of stock that is no longer limited.
    floor: Revision,
}

/// Writes the stock of an item that is at a revision, or unlimited.
fn write(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    current: Option<Revision>,
    remaining: Option<u32>,
    counters: Counters,
) -> Result<StockUpdate, Failure> {
    let Counters { menu_revision, floor } = counters;
    let level = |remaining, revision| StockLevel { item: item.clone(), remaining, revision };
    let count = |menu_revision: Revision, floor: Revision| {
        transaction.prepare_cached(UPDATE_COUNTERS)?.execute(params![id_bytes(id), menu_revision, floor])
    };
    let (level, menu_revision) = match (current, remaining) {
        (None, None) => (None, menu_revision),
        (Some(revision), Some(remaining)) => {
            let parameters = params![id_bytes(id), item.as_str(), remaining, revision + 1];
            transaction.prepare_cached(UPDATE_LEVEL)?.execute(parameters)?;
            (Some(level(remaining, revision + 1)), menu_revision)
        }
        (None, Some(remaining)) => {
            let parameters = params![id_bytes(id), item.as_str(), remaining, floor + 1];
            transaction.prepare_cached(INSERT_LEVEL)?.execute(parameters)?;
            count(menu_revision + 1, floor)?;
            (Some(level(remaining, floor + 1)), menu_revision + 1)
        }
        (Some(revision), None) => {
            transaction.prepare_cached(DELETE_LEVEL)?.execute(params![id_bytes(id), item.as_str()])?;
            count(menu_revision + 1, floor.max(revision))?;
            (None, menu_revision + 1)
        }
    };
    Ok(StockUpdate::Done { level, menu_revision })
}
