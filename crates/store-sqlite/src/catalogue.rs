//! Restaurants, menus and stock.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    menu::{Availability, Menu, UnavailableItem, UnavailableItems},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::encoding::{RESTAURANT_FORMAT, decode_json, exact_nanoseconds, written_by_newer};
use dabba_store::{
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, MenuRevisions, PageSize, Resource,
    RestaurantCreation, RestaurantPage, StockEdit, StockLevel, StockUpdate, StoreError, UnderKey,
    check_revisions_asked,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::{
    SqliteStore,
    claims::{self, OwnedClaim},
    codec::{BELOW_EVERY_ID, id_bytes, read_id, read_number, read_optional_text, read_text, read_timestamp},
    failure::Failure,
    orders::commit::find_revisions,
    stock,
};

/// Number of menus kept per restaurant: the current menu and the menus before it.
pub const MENUS_KEPT: u32 = 10;

/// Columns that [`restaurant_of`] reads, in its order.
macro_rules! restaurant_columns {
    () => {
        "id, revision, settings, pause, created_at_ns, menu_revision, closed, availability_revision, format"
    };
}

pub(crate) const FIND_RESTAURANT: &str =
    concat!("SELECT ", restaurant_columns!(), " FROM restaurants WHERE id = ?1");

pub(crate) const LIST_RESTAURANTS: &str = concat!(
    "SELECT ",
    restaurant_columns!(),
    " FROM restaurants WHERE id > ?1 AND (?3 IS NULL OR (closed IS NOT NULL) = ?3) ORDER BY id LIMIT ?2"
);

pub(crate) const FIND_EXTERNAL_ID: &str = "SELECT id FROM restaurants WHERE external_id = ?1";

pub(crate) const FIND_MENU: &str =
    "SELECT menu FROM menus WHERE restaurant_id = ?1 ORDER BY revision DESC LIMIT 1";

pub(crate) const FIND_STOCK_LEVELS: &str =
    "SELECT item, remaining, revision FROM stock WHERE restaurant_id = ?1 ORDER BY item";

pub(crate) const FIND_REVISION: &str = "SELECT revision FROM restaurants WHERE id = ?1";

pub(crate) const FIND_MENU_REVISION: &str = "SELECT menu_revision FROM restaurants WHERE id = ?1";

pub(crate) const FIND_AVAILABILITY_REVISION: &str =
    "SELECT availability_revision FROM restaurants WHERE id = ?1";

pub(crate) const FIND_UNAVAILABLE: &str =
    "SELECT item, until FROM unavailable_items WHERE restaurant_id = ?1 ORDER BY item";

const INSERT_RESTAURANT: &str = "\
    INSERT INTO restaurants \
        (id, revision, menu_revision, name, created_at_ns, settings, pause, closed, external_id) \
    VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";

const INSERT_MENU: &str = "INSERT INTO menus (restaurant_id, revision, menu) VALUES (?1, ?2, ?3)";

/// Deletes all menus except the newest ?2. With fewer menus, the subquery is NULL and nothing is deleted.
pub(crate) const DELETE_OLD_MENUS: &str = "\
    DELETE FROM menus WHERE restaurant_id = ?1 AND revision < ( \
        SELECT revision FROM menus WHERE restaurant_id = ?1 ORDER BY revision DESC LIMIT 1 OFFSET ?2 - 1)";

pub(crate) const UPDATE_RESTAURANT: &str = "\
    UPDATE restaurants SET revision = revision + 1, name = ?2, settings = ?3, pause = ?4, closed = ?5 \
    WHERE id = ?1";

pub(crate) const UPDATE_MENU_REVISION: &str = "UPDATE restaurants SET menu_revision = ?2 WHERE id = ?1";

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

#[async_trait]
impl CatalogueStore for SqliteStore {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        let restaurant = EncodedRestaurant::new(restaurant)?;
        let menu = EncodedMenu::new(menu)?;
        self.writer.write(move |transaction| create(transaction, &restaurant, &menu)).await
    }

    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError> {
        let external_id = external_id.clone();
        self.readers.read(move |connection| find_external_id(connection, &external_id)).await
    }

    async fn catalogue_beyond(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        let known = known.map(|known| KnownMenu {
            revision: known.menu_revision,
            menu: Arc::clone(&known.menu),
            limited: Arc::clone(&known.limited),
        });
        self.readers.read(move |connection| catalogue(connection, id, known)).await
    }

    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        check_revisions_asked(ids)?;
        let ids = ids.to_vec();
        self.readers
            .read(move |connection| {
                let find = |id| Ok(find_revisions(connection, id)?.map(|guard| (id, guard)));
                ids.into_iter().filter_map(|id| find(id).transpose()).collect()
            })
            .await
    }

    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        self.readers
            .read(move |connection| {
                let after = after.map_or(BELOW_EVERY_ID, id_bytes);
                let mut statement = connection.prepare_cached(LIST_RESTAURANTS)?;
                let mut rows = statement.query(params![after, limit.get(), is_closed])?;
                let mut restaurants = Vec::new();
                while let Some(row) = rows.next()? {
                    restaurants.push(restaurant_of(row)?);
                }
                Ok(RestaurantPage { restaurants, incomplete: false })
            })
            .await
    }

    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        let restaurant = EncodedRestaurant::new(restaurant)?;
        let (id, claim) = (restaurant.id, claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), Some(id), || {
                    let update = update(transaction, &restaurant, expected)?;
                    let written = match update {
                        CatalogueUpdate::Done { revision } => Some((Resource::Restaurant(id), revision)),
                        _ => None,
                    };
                    Ok((update, written))
                })
            })
            .await
    }

    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        let menu = EncodedMenu::new(menu)?;
        self.writer.write(move |transaction| replace_menu(transaction, id, &menu, expected)).await
    }

    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        let (item, expected) = (item.clone(), expected.map(<[_]>::to_vec));
        let write = move |transaction: &Transaction<'_>| {
            set_availability(transaction, id, &item, availability, expected.as_deref())
        };
        self.writer.write(write).await
    }

    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        self.readers.read(move |connection| stock_levels(connection, id)).await
    }

    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        let (item, edit) = (item.clone(), stock::OwnedEdit::from(edit));
        self.writer.write(move |transaction| stock::change(transaction, id, &item, &edit)).await
    }
}

/// Columns of a restaurant, encoded.
struct EncodedRestaurant {
    id: RestaurantId,
    revision: Revision,
    name: String,
    created_at_ns: i64,
    settings: String,
    pause: Option<String>,
    closed: Option<String>,
    external_id: Option<ExternalId>,
}

impl EncodedRestaurant {
    fn new(restaurant: &Restaurant) -> Result<Self, StoreError> {
        let encode = || -> Result<Self, Failure> {
            Ok(Self {
                id: restaurant.id,
                revision: restaurant.revision,
                name: restaurant.settings.name.as_str().to_owned(),
                created_at_ns: exact_nanoseconds(restaurant.created_at)?,
                settings: serde_json::to_string(&restaurant.settings)?,
                pause: restaurant.pause.as_ref().map(serde_json::to_string).transpose()?,
                closed: restaurant.closed.as_ref().map(serde_json::to_string).transpose()?,
                external_id: restaurant.settings.external_id.clone(),
            })
        };
        encode().map_err(StoreError::from)
    }
}

/// An encoded menu, and the availability that its document states.
struct EncodedMenu {
    menu: String,
    stated: Vec<(Slug, Availability)>,
}

impl EncodedMenu {
    fn new(menu: &Menu) -> Result<Self, StoreError> {
        let stated = menu.stated_availability().map(|(item, stated)| (item.clone(), stated)).collect();
        let menu = serde_json::to_string(menu).map_err(Failure::from)?;
        Ok(Self { menu, stated })
    }
}

/// Parts of a cached catalogue that need not be read again while the menu has this revision.
struct KnownMenu {
    revision: Revision,
    menu: Arc<Menu>,
    limited: Arc<HashSet<Slug>>,
}

fn create(
    transaction: &Transaction<'_>,
    restaurant: &EncodedRestaurant,
    menu: &EncodedMenu,
) -> Result<RestaurantCreation, Failure> {
    let external_id = restaurant.external_id.as_ref();
    let inserted = transaction.prepare_cached(INSERT_RESTAURANT)?.execute(params![
        id_bytes(restaurant.id),
        restaurant.revision,
        restaurant.name,
        restaurant.created_at_ns,
        restaurant.settings,
        restaurant.pause,
        restaurant.closed,
        external_id.map(ExternalId::as_str),
    ])?;
    if inserted == 0 {
        let by = external_id.map(|external_id| find_external_id(transaction, external_id)).transpose()?;
        return Ok(match by.flatten() {
            Some(by) if by != restaurant.id => RestaurantCreation::ExternalIdTaken { by },
            _ => RestaurantCreation::IdTaken,
        });
    }
    transaction.prepare_cached(INSERT_MENU)?.execute(params![id_bytes(restaurant.id), 1, menu.menu])?;
    for (item, availability) in &menu.stated {
        mark(transaction, restaurant.id, item, *availability)?;
    }
    Ok(RestaurantCreation::Created)
}

fn find_external_id(
    connection: &Connection,
    external_id: &ExternalId,
) -> Result<Option<RestaurantId>, Failure> {
    let mut statement = connection.prepare_cached(FIND_EXTERNAL_ID)?;
    let mut rows = statement.query([external_id.as_str()])?;
    rows.next()?.map(|row| read_id(row, 0)).transpose()
}

fn catalogue(
    connection: &mut Connection,
    id: RestaurantId,
    known: Option<KnownMenu>,
) -> Result<Option<Catalogue>, Failure> {
    // One transaction, so that all parts are read at the same moment.
    let transaction = connection.transaction()?;
    let mut statement = transaction.prepare_cached(FIND_RESTAURANT)?;
    let mut rows = statement.query([id_bytes(id)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    if read_number(row, 8)? > RESTAURANT_FORMAT {
        return Err(written_by_newer(format_args!("restaurant {id:?} or its menu")).into());
    }
    let restaurant = restaurant_of(row)?;
    let (menu_revision, availability_revision) = (read_number(row, 5)?, read_number(row, 7)?);
    let known = known.filter(|known| known.revision == menu_revision);
    let (menu, limited) = if let Some(KnownMenu { menu, limited, .. }) = known {
        (menu, limited)
    } else {
        let limited = stock_levels(&transaction, id)?.into_iter().map(|level| level.item).collect();
        (Arc::new(find_menu(&transaction, id)?), Arc::new(limited))
    };
    let unavailable = unavailable_items(&transaction, id)?;
    Ok(Some(Catalogue { restaurant, menu, menu_revision, limited, unavailable, availability_revision }))
}

fn find_menu(connection: &Connection, id: RestaurantId) -> Result<Menu, Failure> {
    let mut statement = connection.prepare_cached(FIND_MENU)?;
    let mut rows = statement.query([id_bytes(id)])?;
    match rows.next()? {
        Some(row) => Ok(decode_json(read_text(row, 0)?)?),
        None => Err(Failure::corrupt(format!("{id:?} has no menu"))),
    }
}

fn unavailable_items(connection: &Connection, id: RestaurantId) -> Result<UnavailableItems, Failure> {
    let mut statement = connection.prepare_cached(FIND_UNAVAILABLE)?;
    let mut rows = statement.query([id_bytes(id)])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let item = Slug::new(read_text(row, 0)?).map_err(|error| Failure::corrupt(error.to_string()))?;
        let until = read_optional_text(row, 1)?.map(str::parse).transpose();
        marks.push((item, until.map_err(|error: jiff::Error| Failure::corrupt(error.to_string()))?));
    }
    Ok(marks.into_iter().collect())
}

/// Returns the restaurant of a row of [`restaurant_columns`]. A row that a newer version wrote and this version cannot
/// decode is [`StoreError::WrittenByNewer`].
fn restaurant_of(row: &Row<'_>) -> Result<Restaurant, Failure> {
    match decode_restaurant(row) {
        Err(failure) if failure.is_corrupt() && read_number(row, 8)? > RESTAURANT_FORMAT => {
            let id: RestaurantId = read_id(row, 0)?;
            Err(written_by_newer(format_args!("restaurant {id}")).into())
        }
        restaurant => restaurant,
    }
}

fn decode_restaurant(row: &Row<'_>) -> Result<Restaurant, Failure> {
    Ok(Restaurant {
        id: read_id(row, 0)?,
        revision: read_number(row, 1)?,
        settings: decode_json(read_text(row, 2)?)?,
        pause: read_optional_text(row, 3)?.map(decode_json).transpose()?,
        closed: read_optional_text(row, 6)?.map(decode_json).transpose()?,
        created_at: read_timestamp(row, 4)?,
    })
}

fn stock_levels(connection: &Connection, id: RestaurantId) -> Result<Vec<StockLevel>, Failure> {
    let mut statement = connection.prepare_cached(FIND_STOCK_LEVELS)?;
    let mut rows = statement.query([id_bytes(id)])?;
    let mut levels = Vec::new();
    while let Some(row) = rows.next()? {
        let item = Slug::new(read_text(row, 0)?).map_err(|error| Failure::corrupt(error.to_string()))?;
        levels.push(StockLevel { item, remaining: read_number(row, 1)?, revision: read_number(row, 2)? });
    }
    Ok(levels)
}

/// Returns the number that one of the statements for revisions finds.
fn revision(transaction: &Transaction<'_>, sql: &str, id: RestaurantId) -> Result<Option<Revision>, Failure> {
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.query_row([id_bytes(id)], |row| row.get(0)).optional()?)
}

fn update(
    transaction: &Transaction<'_>,
    restaurant: &EncodedRestaurant,
    expected: Revision,
) -> Result<CatalogueUpdate, Failure> {
    match revision(transaction, FIND_REVISION, restaurant.id)? {
        None => return Ok(CatalogueUpdate::NotFound),
        Some(current) if current != expected => return Ok(CatalogueUpdate::Conflict { current }),
        Some(_) => {}
    }
    transaction.prepare_cached(UPDATE_RESTAURANT)?.execute(params![
        id_bytes(restaurant.id),
        restaurant.name,
        restaurant.settings,
        restaurant.pause,
        restaurant.closed,
    ])?;
    Ok(CatalogueUpdate::Done { revision: expected + 1 })
}

fn replace_menu(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    menu: &EncodedMenu,
    expected: MenuRevisions,
) -> Result<CatalogueUpdate, Failure> {
    let Some(current) = revision(transaction, FIND_MENU_REVISION, id)? else {
        return Ok(CatalogueUpdate::NotFound);
    };
    let availability = revision(transaction, FIND_AVAILABILITY_REVISION, id)?;
    if current != expected.menu || availability != Some(expected.availability) {
        return Ok(CatalogueUpdate::Conflict { current });
    }
    let revision = current + 1;
    transaction.prepare_cached(INSERT_MENU)?.execute(params![id_bytes(id), revision, menu.menu])?;
    transaction.prepare_cached(DELETE_OLD_MENUS)?.execute(params![id_bytes(id), MENUS_KEPT])?;
    transaction.prepare_cached(UPDATE_MENU_REVISION)?.execute(params![id_bytes(id), revision])?;
    let mut has_changed = false;
    for (item, availability) in &menu.stated {
        has_changed |= mark(transaction, id, item, *availability)?;
    }
    if has_changed {
        transaction.prepare_cached(RAISE_AVAILABILITY_REVISION)?.execute([id_bytes(id)])?;
    }
    Ok(CatalogueUpdate::Done { revision })
}

/// Marks an item, and returns whether the mark changed.
pub(crate) fn mark(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    availability: Availability,
) -> Result<bool, Failure> {
    let (id, item) = (id_bytes(id), item.as_str());
    let changed = match availability {
        Availability::Available => transaction.prepare_cached(MARK_AVAILABLE)?.execute(params![id, item])?,
        Availability::Unavailable { until } => {
            let until = until.map(|until| until.to_string());
            transaction.prepare_cached(MARK_UNAVAILABLE)?.execute(params![id, item, until])?
        }
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
        let until = until.map(|until| until.to_string());
        let parameters = params![id_bytes(id), item.as_str(), until];
        changed += transaction.prepare_cached(EXTEND_MARK)?.execute(parameters)?;
    }
    if changed > 0 {
        transaction.prepare_cached(RAISE_AVAILABILITY_REVISION)?.execute([id_bytes(id)])?;
    }
    Ok(())
}

fn set_availability(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    item: &Slug,
    availability: Availability,
    expected: Option<&[Revision]>,
) -> Result<CatalogueUpdate, Failure> {
    let Some(revision) = revision(transaction, FIND_AVAILABILITY_REVISION, id)? else {
        return Ok(CatalogueUpdate::NotFound);
    };
    if expected.is_some_and(|expected| !expected.contains(&revision)) {
        return Ok(CatalogueUpdate::Conflict { current: revision });
    }
    if !mark(transaction, id, item, availability)? {
        return Ok(CatalogueUpdate::Done { revision });
    }
    transaction.prepare_cached(RAISE_AVAILABILITY_REVISION)?.execute([id_bytes(id)])?;
    Ok(CatalogueUpdate::Done { revision: revision + 1 })
}
