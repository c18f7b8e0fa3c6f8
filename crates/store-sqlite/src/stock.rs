//! Manual changes of stock. Draws and returns of orders are part of their commits.

use std::ops::ControlFlow;

use dabba_domain::{RestaurantId, restaurant::Revision, text::Slug};
use dabba_store::{StockEdit, StockOperation, StockUpdate};
use dabba_store_sql::stock::{self, Counters, Present, RowWrite};
use rusqlite::{Transaction, params};

use crate::{
    claims::{self, OwnedClaim},
    codec::{first, id_bytes},
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

impl OwnedEdit {
    /// Returns the edit, borrowed.
    fn get(&self) -> StockEdit<'_> {
        let Self { operation, expected, claim } = self;
        let claim = claim.as_ref().map(OwnedClaim::get);
        StockEdit { operation: *operation, expected: *expected, claim }
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
    let edit = edit.get();
    let mut statement = transaction.prepare_cached(FIND_COUNTERS)?;
    let counters = first(statement.query([id_bytes(id)])?, |row| Counters::of(row))?;
    let Some(counters) = counters else { return Ok(StockUpdate::NotFound) };
    if let Some(claim) = edit.claim
        && let Some(record) = claims::find(transaction, claim, Some(id))?
    {
        return Ok(StockUpdate::of_record(&record, claim.claim.fingerprint));
    }
    let mut statement = transaction.prepare_cached(FIND_LEVEL)?;
    let present = first(statement.query(params![id_bytes(id), item.as_str()])?, |row| Present::of(row))?;
    let write = match stock::decide(item, &edit, present, counters) {
        ControlFlow::Continue(write) => write,
        ControlFlow::Break(update) => return Ok(update),
    };
    let (row_id, item) = (id_bytes(id), item.as_str());
    match write.row {
        RowWrite::Insert(Present { remaining, revision }) => {
            transaction.prepare_cached(INSERT_LEVEL)?.execute(params![row_id, item, remaining, revision])?
        }
        RowWrite::Update(Present { remaining, revision }) => {
            transaction.prepare_cached(UPDATE_LEVEL)?.execute(params![row_id, item, remaining, revision])?
        }
        RowWrite::Delete => transaction.prepare_cached(DELETE_LEVEL)?.execute(params![row_id, item])?,
    };
    if let Some(Counters { menu_revision, floor }) = write.counters {
        transaction.prepare_cached(UPDATE_COUNTERS)?.execute(params![row_id, menu_revision, floor])?;
    }
    if let (Some(claim), Some((resource, version))) = (edit.claim, write.claimed(id)) {
        claims::insert(transaction, claim, Some(id), &resource, version)?;
    }
    Ok(write.done())
}
