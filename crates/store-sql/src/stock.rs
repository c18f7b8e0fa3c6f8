//! Manual changes of stock.

use std::ops::ControlFlow;

use dabba_domain::{RestaurantId, order::Version, restaurant::Revision, text::Slug};
use dabba_store::{Resource, StockEdit, StockLevel, StockOperation, StockUpdate, StoreError, StoredStock};

use crate::StoredRow;

/// Revision counters in a restaurant's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Revision of the menu.
    pub menu_revision: Revision,
    /// Highest revision of any stock that is no longer limited.
    pub floor: Revision,
}

impl Counters {
    /// Returns the counters of a row with these columns: `menu_revision`, `stock_revision_floor`.
    pub fn of<'row>(row: impl StoredRow<'row>) -> Result<Self, StoreError> {
        Ok(Self { menu_revision: row.number(0)?, floor: row.number(1)? })
    }
}

/// Limited stock of an item, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Number of items left.
    pub remaining: u32,
    /// Revision of the stock.
    pub revision: Revision,
}

impl Present {
    /// Returns the stock of a row with these columns: `remaining`, `revision`.
    pub fn of<'row>(row: impl StoredRow<'row>) -> Result<Self, StoreError> {
        Ok(Self { remaining: row.number(0)?, revision: row.number(1)? })
    }
}

/// The write of a change of stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockWrite {
    /// Write of the item's row.
    pub row: RowWrite,
    /// New counters of the restaurant; `None` if they stay.
    pub counters: Option<Counters>,
    /// New stock of the item; `None` if it is unlimited.
    level: Option<StockLevel>,
    menu_revision: Revision,
}

/// Write of the row of an item's stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowWrite {
    /// The row is inserted.
    Insert(Present),
    /// The row is updated.
    Update(Present),
    /// The row is deleted.
    Delete,
}

/// Decides a change of an item's stock from the rows as read. `present` is `None` if the stock is unlimited. The caller
/// has checked the restaurant and the key.
pub fn decide(
    item: &Slug,
    edit: &StockEdit<'_>,
    present: Option<Present>,
    counters: Counters,
) -> ControlFlow<StockUpdate, StockWrite> {
    let current = present.map(|present| present.revision);
    if edit.expected.is_some() && edit.expected != current {
        return ControlFlow::Break(StockUpdate::Conflict { current });
    }
    let remaining = match (edit.operation, present) {
        (StockOperation::Set(remaining), _) => remaining,
        (StockOperation::Adjust(_), None) => return ControlFlow::Break(StockUpdate::NotLimited),
        (StockOperation::Adjust(by), Some(present)) => {
            match StockOperation::adjusted(by, present.remaining) {
                Ok(result) => Some(result),
                Err(refusal) => return ControlFlow::Break(refusal),
            }
        }
    };
    let Counters { menu_revision, floor } = counters;
    let (row, counters) = match (current, remaining) {
        (None, None) => return ControlFlow::Break(StockUpdate::Done { level: None, menu_revision }),
        (Some(revision), Some(remaining)) => {
            (RowWrite::Update(Present { remaining, revision: revision + 1 }), None)
        }
        (None, Some(remaining)) => {
            let row = RowWrite::Insert(Present { remaining, revision: floor + 1 });
            (row, Some(Counters { menu_revision: menu_revision + 1, floor }))
        }
        (Some(revision), None) => {
            let counters = Counters { menu_revision: menu_revision + 1, floor: floor.max(revision) };
            (RowWrite::Delete, Some(counters))
        }
    };
    let level = match row {
        RowWrite::Insert(Present { remaining, revision })
        | RowWrite::Update(Present { remaining, revision }) => {
            Some(StockLevel { item: item.clone(), remaining, revision })
        }
        RowWrite::Delete => None,
    };
    let menu_revision = counters.map_or(menu_revision, |counters| counters.menu_revision);
    ControlFlow::Continue(StockWrite { row, counters, level, menu_revision })
}

impl StockWrite {
    /// Returns the resource and version to which the key of the change leads; `None` if the change needs no record,
    /// because the item is no longer limited.
    pub fn claimed(&self, id: RestaurantId) -> Option<(Resource, Version)> {
        let StockLevel { item, remaining, revision } = self.level.as_ref()?;
        let resource = Resource::Stock { restaurant_id: id, item: item.clone(), remaining: *remaining };
        Some((resource, *revision))
    }

    /// Returns the outcome of the written change.
    pub fn done(self) -> StockUpdate {
        StockUpdate::Done { level: self.level, menu_revision: self.menu_revision }
    }
}

/// Returns the stock of a row with these columns: `item`, `remaining`, `revision`.
pub fn stock_level_of<'row>(row: impl StoredRow<'row>) -> Result<StockLevel, StoreError> {
    Ok(StockLevel { item: row.item(0)?, remaining: row.number(1)?, revision: row.number(2)? })
}

/// Returns the stock of a row with these columns: `restaurant_id`, `item`, `remaining`.
pub fn stored_stock_of<'row>(row: impl StoredRow<'row>) -> Result<StoredStock, StoreError> {
    Ok(StoredStock { restaurant_id: row.id(0)?, item: row.item(1)?, remaining: row.integer(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTERS: Counters = Counters { menu_revision: 5, floor: 8 };

    fn decided(
        operation: StockOperation,
        expected: Option<Revision>,
        present: Option<Present>,
    ) -> ControlFlow<StockUpdate, StockWrite> {
        let edit = StockEdit { operation, expected, claim: None };
        decide(&Slug::new("naan").unwrap(), &edit, present, COUNTERS)
    }

    /// Proves that the revision of stock is above every earlier one, also after a time without a limit, and that the
    /// menu's revision increases exactly if the item becomes limited or unlimited.
    #[test]
    fn revisions_increase() {
        let present = Some(Present { remaining: 3, revision: 11 });
        for (operation, present, row, counters) in [
            (
                StockOperation::Set(Some(4)),
                None,
                RowWrite::Insert(Present { remaining: 4, revision: 9 }),
                Some(Counters { menu_revision: 6, floor: 8 }),
            ),
            (
                StockOperation::Set(Some(4)),
                present,
                RowWrite::Update(Present { remaining: 4, revision: 12 }),
                None,
            ),
            (
                StockOperation::Adjust(2),
                present,
                RowWrite::Update(Present { remaining: 5, revision: 12 }),
                None,
            ),
            (
                StockOperation::Set(None),
                present,
                RowWrite::Delete,
                Some(Counters { menu_revision: 6, floor: 11 }),
            ),
        ] {
            let ControlFlow::Continue(write) = decided(operation, None, present) else { panic!() };
            assert_eq!((write.row, write.counters), (row, counters), "{operation:?}");
        }
    }

    /// Proves that a change that is refused or has no effect writes nothing.
    #[test]
    fn a_refused_change_writes_nothing() {
        let present = Some(Present { remaining: 3, revision: 11 });
        for (operation, expected, present, outcome) in [
            (StockOperation::Set(None), None, None, StockUpdate::Done { level: None, menu_revision: 5 }),
            (StockOperation::Set(None), Some(1), present, StockUpdate::Conflict { current: Some(11) }),
            (StockOperation::Set(None), Some(1), None, StockUpdate::Conflict { current: None }),
            (StockOperation::Adjust(1), None, None, StockUpdate::NotLimited),
        ] {
            assert_eq!(decided(operation, expected, present), ControlFlow::Break(outcome), "{operation:?}");
        }
        assert!(decided(StockOperation::Adjust(-4), None, present).is_break());
    }
}
