//! Restaurants, menus and marks of unavailable items.

use dabba_domain::{
    ExternalId, RestaurantId, Timestamp,
    menu::Menu,
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::{
    CatalogueGuard, CatalogueUpdate, MenuRevisions, Resource, RestaurantCreation, StoreError,
    encoding::{RESTAURANT_FORMAT, exact_nanoseconds, stored_version, written_by_newer},
};
use serde::Serialize;

use crate::{StoredRow, claims::Written, corrupt};

/// Number of menus kept per restaurant: the current menu and the menus before it.
pub const MAX_STORED_MENUS: u32 = 10;

/// Columns of a restaurant, encoded.
pub struct EncodedRestaurant {
    /// Id of the restaurant.
    pub id: RestaurantId,
    /// Revision of the restaurant.
    pub revision: Revision,
    /// Name of the restaurant, which is also in its settings.
    pub name: String,
    /// Time of the registration.
    pub created_at_ns: i64,
    /// The settings, as JSON.
    pub settings: String,
    /// The pause, as JSON.
    pub pause: Option<String>,
    /// The closure, as JSON.
    pub closed: Option<String>,
    /// External id of the restaurant, which is also in its settings.
    pub external_id: Option<ExternalId>,
    /// Version of the format of these columns, [`RESTAURANT_FORMAT`].
    pub format: i32,
}

impl EncodedRestaurant {
    /// Returns the columns of a restaurant.
    pub fn new(restaurant: &Restaurant) -> Result<Self, StoreError> {
        Ok(Self {
            id: restaurant.id,
            revision: restaurant.revision,
            name: restaurant.settings.name.as_str().to_owned(),
            created_at_ns: exact_nanoseconds(restaurant.created_at)?,
            settings: to_json(&restaurant.settings)?,
            pause: restaurant.pause.as_ref().map(to_json).transpose()?,
            closed: restaurant.closed.as_ref().map(to_json).transpose()?,
            external_id: restaurant.settings.external_id.clone(),
            format: stored_version(RESTAURANT_FORMAT),
        })
    }
}

/// Returns the document of a menu.
pub fn encode_menu(menu: &Menu) -> Result<String, StoreError> {
    to_json(menu)
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(corrupt)
}

/// Returns the restaurant of a row that begins with these columns: `id`, `revision`, `settings`, `pause`,
/// `created_at_ns`, `menu_revision`, `closed`, `availability_revision`, `format`.
///
/// If a newer version wrote the row and this version cannot decode it, the error is [`StoreError::WrittenByNewer`]. The
/// error names the restaurant, because the row may be one of many in a list.
pub fn restaurant_of<'row>(row: impl StoredRow<'row>) -> Result<Restaurant, StoreError> {
    match decode_restaurant(row) {
        Err(StoreError::Corrupt(reason)) => {
            let id: RestaurantId = row.id(0)?;
            Err(if row.format(8)? > RESTAURANT_FORMAT {
                written_by_newer(format_args!("restaurant {id}"))
            } else {
                StoreError::Corrupt(format!("restaurant {id} cannot be decoded: {reason}"))
            })
        }
        restaurant => restaurant,
    }
}

/// Returns the id of the restaurant in a row of a list, and the restaurant unless this program cannot decode it.
pub fn listed_restaurant_of<'row>(
    row: impl StoredRow<'row>,
) -> Result<(RestaurantId, Option<Restaurant>), StoreError> {
    let id = row.id(0)?;
    match restaurant_of(row) {
        Ok(restaurant) => Ok((id, Some(restaurant))),
        Err(StoreError::Corrupt(_) | StoreError::WrittenByNewer(_)) => Ok((id, None)),
        Err(error) => Err(error),
    }
}

fn decode_restaurant<'row>(row: impl StoredRow<'row>) -> Result<Restaurant, StoreError> {
    Ok(Restaurant {
        id: row.id(0)?,
        revision: row.number(1)?,
        settings: row.document(2)?,
        pause: row.optional_document(3)?,
        closed: row.optional_document(6)?,
        created_at: row.timestamp(4)?,
    })
}

/// Returns the restaurant and its revisions from a row of [`restaurant_of`], for a program that prices orders or
/// replaces the menu. Any newer format is [`StoreError::WrittenByNewer`].
pub fn priced_restaurant_of<'row>(
    id: RestaurantId,
    row: impl StoredRow<'row>,
) -> Result<(Restaurant, MenuRevisions), StoreError> {
    require_known_format(id, row.format(8)?)?;
    let revisions = MenuRevisions { menu: row.number(5)?, availability: row.number(7)? };
    Ok((restaurant_of(row)?, revisions))
}

/// Refuses a restaurant with a newer format: only a newer program may price its orders or change its menu.
pub fn require_known_format(id: RestaurantId, format: u32) -> Result<(), StoreError> {
    if format <= RESTAURANT_FORMAT {
        return Ok(());
    }
    Err(written_by_newer(format_args!("restaurant {id} or its menu")))
}

/// Returns the error for a restaurant without a menu, which cannot exist in a sound database.
pub fn no_menu(id: RestaurantId) -> StoreError {
    StoreError::Corrupt(format!("restaurant {id} has no menu"))
}

/// Returns the revisions of a row with these columns, the first of which is `first`: `revision`, `menu_revision`,
/// `availability_revision`.
pub fn guard_of<'row>(row: impl StoredRow<'row>, first: usize) -> Result<CatalogueGuard, StoreError> {
    Ok(CatalogueGuard {
        restaurant_revision: row.number(first)?,
        menu_revision: row.number(first + 1)?,
        availability_revision: row.number(first + 2)?,
    })
}

/// Returns the unavailable item of a row with these columns: `item`, `until`.
pub fn mark_of<'row>(row: impl StoredRow<'row>) -> Result<(Slug, Option<Timestamp>), StoreError> {
    Ok((row.item(0)?, mark_end_of(row, 1)?))
}

/// Returns the end of a mark in a column; `None` for a mark without an end.
pub fn mark_end_of<'row>(row: impl StoredRow<'row>, column: usize) -> Result<Option<Timestamp>, StoreError> {
    row.optional_text(column)?.map(str::parse).transpose().map_err(|error: jiff::Error| corrupt(error))
}

/// Returns the stored form of a mark's end. The statements compare ends as texts without their `Z`, so that `12:00:00`
/// is before `12:00:00.5`.
pub fn encode_mark_end(until: Option<Timestamp>) -> Option<String> {
    until.map(|until| until.to_string())
}

/// Returns the outcome of a registration whose row was not inserted. `by` is the restaurant with the same external id.
pub fn refused_creation(id: RestaurantId, by: Option<RestaurantId>) -> RestaurantCreation {
    match by {
        Some(by) if by != id => RestaurantCreation::ExternalIdTaken { by },
        _ => RestaurantCreation::IdTaken,
    }
}

/// Returns an update of a restaurant, and what it wrote.
pub fn written_update(id: RestaurantId, update: CatalogueUpdate) -> (CatalogueUpdate, Written) {
    let written = match update {
        CatalogueUpdate::Done { revision } => Some((Resource::Restaurant(id), revision)),
        _ => None,
    };
    (update, written)
}

/// Returns why a menu cannot be replaced, if the restaurant does not exist or has other revisions than expected.
pub fn refused_menu(current: Option<MenuRevisions>, expected: MenuRevisions) -> Option<CatalogueUpdate> {
    match current {
        None => Some(CatalogueUpdate::NotFound),
        Some(current) if current != expected => Some(CatalogueUpdate::Conflict { current: current.menu }),
        Some(_) => None,
    }
}

/// Returns the outcome of a change of availability that cannot be made, if the availability has none of the expected
/// revisions.
pub fn refused_availability(current: Revision, expected: Option<&[Revision]>) -> Option<CatalogueUpdate> {
    let is_expected = expected.is_none_or(|expected| expected.contains(&current));
    (!is_expected).then_some(CatalogueUpdate::Conflict { current })
}
