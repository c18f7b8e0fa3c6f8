//! Marks of items that cannot be ordered.

use dabba_domain::{
    RestaurantId,
    menu::{Availability, UnavailableItem, UnavailableItems},
    restaurant::Revision,
    text::Slug,
};
use dabba_store::{CatalogueUpdate, MenuRevisions};
use dabba_store_sql::catalogue::{encode_mark_end, mark_of, refused_availability};
use rusqlite::{Connection, Transaction, params};

use super::menu_revisions;
use crate::{
    codec::{collect, id_bytes},
    failure::Failure,
};

pub(crate) const FIND_UNAVAILABLE: &str =
    "SELECT item, until FROM unavailable_items WHERE restaurant_id = ?1 ORDER BY item";

/// Writes nothing and counts no row if the same mark already exists.
const MARK_UNAVAILABLE: &str = "\
    INSERT INTO unavailable_items (restaurant_id, item, until) VALUES (?1, ?2, ?3) \
    ON CONFLICT (restaurant_id, item) DO UPDATE SET until = excluded.until WHERE until IS NOT excluded.until";

/// Writes nothing and counts no row if the existing mark lasts at least as long. Ends are compared as texts without
/// their `Z`, so that `12:00:00` is before `12:00:00.5`.
const EXTEND_MARK: &str = "\
    INSERT INTO unavailable_items (restaurant_id, item, until) VALUES (?1, ?2, ?3) \
    ON CONFLICT (restaurant_id, item) DO UPDATE SET until = excluded.until \
    WHERE until IS NOT NULL AND (excluded.until IS NULL OR rtrim(excluded.until, 'Z') > rtrim(until, 'Z'))";

pub(crate) const MARK_AVAILABLE: &str =
    "DELETE FROM unavailable_items WHERE restaurant_id = ?1 AND item = ?2";

pub(crate) const RAISE_AVAILABILITY_REVISION: &str =
    "UPDATE restaurants SET availability_revision = availability_revision + 1 WHERE id = ?1";

/// Raises the revision of a restaurant's availability.
pub(super) fn raise_revision(transaction: &Transaction<'_>, id: RestaurantId) -> Result<(), Failure> {
    transaction.prepare_cached(RAISE_AVAILABILITY_REVISION)?.execute([id_bytes(id)])?;
    Ok(())
}

/// Returns the unavailable items of a restaurant.
pub(super) fn unavailable_items(
    connection: &Connection,
    id: RestaurantId,
) -> Result<UnavailableItems, Failure> {
    let mut statement = connection.prepare_cached(FIND_UNAVAILABLE)?;
    let marks = collect(statement.query([id_bytes(id)])?, |row| mark_of(row))?;
    Ok(marks.into_iter().collect())
}

/// Marks an item, and returns whether the mark changed.
pub(super) fn mark(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    availability: Availability,
) -> Result<bool, Failure> {
    let (id, item) = (id_bytes(id), item.as_str());
    let changed = match availability {
        Availability::Available => transaction.prepare_cached(MARK_AVAILABLE)?.execute(params![id, item])?,
        Availability::Unavailable { until } => transaction
            .prepare_cached(MARK_UNAVAILABLE)?
            .execute(params![id, item, encode_mark_end(until)])?,
    };
    Ok(changed > 0)
}

/// Marks the items that a terminal event of an order names. A mark is never shortened.
pub(crate) fn extend_marks(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    items: &[UnavailableItem],
) -> Result<(), Failure> {
    let mut changed = 0;
    for UnavailableItem { item, until } in items {
        let parameters = params![id_bytes(id), item.as_str(), encode_mark_end(*until)];
        changed += transaction.prepare_cached(EXTEND_MARK)?.execute(parameters)?;
    }
    if changed > 0 {
        raise_revision(transaction, id)?;
    }
    Ok(())
}

/// Sets the availability of an item.
pub(super) fn set_availability(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    availability: Availability,
    expected: Option<&[Revision]>,
) -> Result<CatalogueUpdate, Failure> {
    let Some(MenuRevisions { availability: revision, .. }) = menu_revisions(transaction, id)? else {
        return Ok(CatalogueUpdate::NotFound);
    };
    if let Some(refusal) = refused_availability(revision, expected) {
        return Ok(refusal);
    }
    if !mark(transaction, id, item, availability)? {
        return Ok(CatalogueUpdate::Done { revision });
    }
    raise_revision(transaction, id)?;
    Ok(CatalogueUpdate::Done { revision: revision + 1 })
}
