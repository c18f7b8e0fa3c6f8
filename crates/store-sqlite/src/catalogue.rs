//! Restaurants, menus and stock.

pub(crate) mod marks;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    menu::{Availability, Menu},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::{
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, MenuRevisions, PageSize,
    RestaurantCreation, RestaurantPage, StockEdit, StockLevel, StockUpdate, StoreError, UnderKey,
    check_revision_count,
    encoding::{RESTAURANT_FORMAT, stored_version},
};
use dabba_store_sql::{
    StoredRow as _,
    catalogue::{
        EncodedRestaurant, MAX_STORED_MENUS, encode_menu, listed_restaurant_of, no_menu,
        priced_restaurant_of, refused_creation, refused_menu, require_known_format, written_update,
    },
    stock::stock_level_of,
};
use rusqlite::{Connection, Transaction, params};

use self::marks::{mark, raise_revision, set_availability, unavailable_items};
use crate::{
    SqliteStore,
    claims::{self, OwnedClaim},
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    failure::Failure,
    orders::commit::find_revisions,
    stock,
};

/// Columns that [`listed_restaurant_of`] reads, in its order.
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

pub(crate) const FIND_MENU_REVISIONS: &str =
    "SELECT menu_revision, availability_revision, format FROM restaurants WHERE id = ?1";

const INSERT_RESTAURANT: &str = "\
    INSERT INTO restaurants \
        (id, revision, menu_revision, name, created_at_ns, settings, pause, closed, external_id, format) \
    VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";

const INSERT_MENU: &str = "INSERT INTO menus (restaurant_id, revision, menu) VALUES (?1, ?2, ?3)";

/// Deletes all menus except the newest ?2. With fewer menus, the subquery is NULL and nothing is deleted.
pub(crate) const DELETE_OLD_MENUS: &str = "\
    DELETE FROM menus WHERE restaurant_id = ?1 AND revision < ( \
        SELECT revision FROM menus WHERE restaurant_id = ?1 ORDER BY revision DESC LIMIT 1 OFFSET ?2 - 1)";

/// Never lowers the format: a newer version may have replaced the menu, which does not change the revision of the
/// settings.
pub(crate) const UPDATE_RESTAURANT: &str = "\
    UPDATE restaurants SET revision = revision + 1, name = ?2, settings = ?3, pause = ?4, closed = ?5, \
        format = max(format, ?6) \
    WHERE id = ?1";

/// States the format of the new menu. Never lowers the format, which also describes the settings.
pub(crate) const UPDATE_MENU_REVISION: &str =
    "UPDATE restaurants SET menu_revision = ?2, format = max(format, ?3) WHERE id = ?1";

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

    async fn catalogue_since(
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
        check_revision_count(ids)?;
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
                let mut after = after.map_or(BELOW_EVERY_ID, id_bytes);
                let mut statement = connection.prepare_cached(LIST_RESTAURANTS)?;
                let mut page = RestaurantPage::default();
                loop {
                    let wanted = page.wanted(limit);
                    let rows = statement.query(params![after, wanted, is_closed])?;
                    match page.add(collect(rows, |row| listed_restaurant_of(row))?, wanted) {
                        Some(last) => after = id_bytes(last),
                        None => return Ok(page),
                    }
                }
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
                    Ok(written_update(id, update(transaction, &restaurant, expected)?))
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

/// An encoded menu, and the availability that its document states.
struct EncodedMenu {
    menu: String,
    stated: Vec<(Slug, Availability)>,
}

impl EncodedMenu {
    fn new(menu: &Menu) -> Result<Self, StoreError> {
        let stated = menu.document_availability().map(|(item, stated)| (item.clone(), stated)).collect();
        Ok(Self { menu: encode_menu(menu)?, stated })
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
        restaurant.format,
    ])?;
    if inserted == 0 {
        let by = external_id.map(|external_id| find_external_id(transaction, external_id)).transpose()?;
        return Ok(refused_creation(restaurant.id, by.flatten()));
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
    first(statement.query([external_id.as_str()])?, |row| row.id(0))
}

fn catalogue(
    connection: &mut Connection,
    id: RestaurantId,
    known: Option<KnownMenu>,
) -> Result<Option<Catalogue>, Failure> {
    // One transaction, so that all parts are read at the same moment.
    let transaction = connection.transaction()?;
    let mut statement = transaction.prepare_cached(FIND_RESTAURANT)?;
    let found = first(statement.query([id_bytes(id)])?, |row| priced_restaurant_of(id, row))?;
    let Some((restaurant, revisions)) = found else { return Ok(None) };
    let MenuRevisions { menu: menu_revision, availability: availability_revision } = revisions;
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
    let menu = first(statement.query([id_bytes(id)])?, |row| row.document(0))?;
    Ok(menu.ok_or_else(|| no_menu(id))?)
}

fn stock_levels(connection: &Connection, id: RestaurantId) -> Result<Vec<StockLevel>, Failure> {
    let mut statement = connection.prepare_cached(FIND_STOCK_LEVELS)?;
    collect(statement.query([id_bytes(id)])?, |row| stock_level_of(row))
}

/// Returns the revision of a restaurant.
fn revision(transaction: &Transaction<'_>, id: RestaurantId) -> Result<Option<Revision>, Failure> {
    let mut statement = transaction.prepare_cached(FIND_REVISION)?;
    first(statement.query([id_bytes(id)])?, |row| row.number(0))
}

/// Returns the revisions of a restaurant for a change of its menu or its marks. A restaurant with a newer format must be
/// changed by a newer version.
fn menu_revisions(transaction: &Transaction<'_>, id: RestaurantId) -> Result<Option<MenuRevisions>, Failure> {
    let mut statement = transaction.prepare_cached(FIND_MENU_REVISIONS)?;
    first(statement.query([id_bytes(id)])?, |row| {
        require_known_format(id, row.format(2)?)?;
        Ok(MenuRevisions { menu: row.number(0)?, availability: row.number(1)? })
    })
}

pub(crate) fn update(
    transaction: &Transaction<'_>,
    restaurant: &EncodedRestaurant,
    expected: Revision,
) -> Result<CatalogueUpdate, Failure> {
    match revision(transaction, restaurant.id)? {
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
        restaurant.format,
    ])?;
    Ok(CatalogueUpdate::Done { revision: expected + 1 })
}

fn replace_menu(
    transaction: &Transaction<'_>,
    id: RestaurantId,
    menu: &EncodedMenu,
    expected: MenuRevisions,
) -> Result<CatalogueUpdate, Failure> {
    if let Some(refusal) = refused_menu(menu_revisions(transaction, id)?, expected) {
        return Ok(refusal);
    }
    let revision = expected.menu + 1;
    transaction.prepare_cached(INSERT_MENU)?.execute(params![id_bytes(id), revision, menu.menu])?;
    transaction.prepare_cached(DELETE_OLD_MENUS)?.execute(params![id_bytes(id), MAX_STORED_MENUS])?;
    let format = stored_version(RESTAURANT_FORMAT);
    transaction.prepare_cached(UPDATE_MENU_REVISION)?.execute(params![id_bytes(id), revision, format])?;
    let mut has_changed = false;
    for (item, availability) in &menu.stated {
        has_changed |= mark(transaction, id, item, *availability)?;
    }
    if has_changed {
        raise_revision(transaction, id)?;
    }
    Ok(CatalogueUpdate::Done { revision })
}
