//! Restaurants, menus and stock.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    ids::Id,
    menu::{Availability, Menu, UnavailableItems},
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::encoding::{RESTAURANT_FORMAT, decode_json, exact_nanoseconds, written_by_newer};
use dabba_store::{
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, MenuRevisions, PageSize, Resource,
    RestaurantCreation, RestaurantPage, StockEdit, StockLevel, StockUpdate, StoreError, UnderKey,
    check_revisions_asked,
};
use futures::FutureExt as _;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    PostgresStore,
    codec::{BELOW_EVERY_ID, read, read_format, read_id, read_number, read_timestamp},
    failure::Failure,
    hints::catalogue_channel,
    orders::view::{FIND_REVISIONS, revision_of},
    pool::{BEGIN_SNAPSHOT, Connection},
    shard, stock,
};

/// Number of menus that are kept for each restaurant: the current one, and earlier ones for reference.
pub const MENUS_KEPT: u32 = 10;

/// The columns that [`restaurant_of`] reads, in its order.
macro_rules! restaurant_columns {
    () => {
        "id, revision, settings::text, pause::text, created_at_ns, menu_revision, closed::text, \
         availability_revision, format"
    };
}

/// Ends each change of a catalogue: notifies other servers when the transaction commits.
macro_rules! notifying {
    ($id:literal) => {
        concat!(" RETURNING pg_notify('", catalogue_channel!(), "', ", $id, "::text)")
    };
}

const FIND_RESTAURANT: &str = concat!("SELECT ", restaurant_columns!(), " FROM restaurants WHERE id = $1");

const LIST_RESTAURANTS: &str = concat!(
    "SELECT ",
    restaurant_columns!(),
    " FROM restaurants WHERE id > $1 AND bucket_of(id) BETWEEN $3 AND $4 \
        AND ($5::boolean IS NULL OR (closed IS NOT NULL) = $5) ORDER BY id LIMIT $2"
);

const FIND_EXTERNAL_ID: &str = "SELECT id FROM restaurants WHERE external_id = $1";

/// Returns no row if the menu is at the revision that the caller knows (`$2`).
const FIND_MENU: &str = "\
    SELECT menu::text FROM menus \
    WHERE restaurant_id = $1 AND (SELECT menu_revision FROM restaurants WHERE id = $1) IS DISTINCT FROM $2::bigint \
    ORDER BY revision DESC LIMIT 1";

/// Returns no row if the menu is at the revision that the caller knows (`$2`).
const FIND_LIMITED: &str = "\
    SELECT item FROM stock \
    WHERE restaurant_id = $1 AND (SELECT menu_revision FROM restaurants WHERE id = $1) IS DISTINCT FROM $2::bigint";

const FIND_UNAVAILABLE: &str = "SELECT item, until FROM unavailable_items WHERE restaurant_id = $1";

const FIND_STOCK_LEVELS: &str =
    "SELECT item, remaining, revision FROM stock WHERE restaurant_id = $1 ORDER BY item";

const FIND_REVISION: &str = "SELECT revision FROM restaurants WHERE id = $1";

/// Locks the restaurant against other changes of its menu, availability or limited stock. Orders do not wait: they
/// read the row, and conflict at their COMMIT.
const LOCK_MENU_REVISIONS: &str =
    "SELECT menu_revision, availability_revision, format FROM restaurants WHERE id = $1 FOR UPDATE";

const INSERT_RESTAURANT: &str = concat!(
    "\
    WITH made AS ( \
        INSERT INTO restaurants \
            (id, revision, menu_revision, created_at_ns, name, settings, pause, closed, external_id) \
        VALUES ($1, $2, 1, $3, $4, $5::text::json, $6::text::json, $8::text::json, $9) \
        ON CONFLICT DO NOTHING RETURNING id) \
    INSERT INTO menus (restaurant_id, revision, menu) SELECT id, 1, $7::text::json FROM made",
    notifying!("restaurant_id")
);

const INSERT_MENU: &str = "INSERT INTO menus (restaurant_id, revision, menu) VALUES ($1, $2, $3::text::json)";

/// Deletes all menus except the newest `$2`. If there are fewer, deletes nothing.
const DELETE_OLD_MENUS: &str = "\
    DELETE FROM menus WHERE restaurant_id = $1 AND revision < ( \
        SELECT revision FROM menus WHERE restaurant_id = $1 ORDER BY revision DESC LIMIT 1 OFFSET $2::bigint - 1)";

const UPDATE_RESTAURANT: &str = concat!(
    "\
    UPDATE restaurants SET revision = revision + 1, name = $3, settings = $4::text::json, \
        pause = $5::text::json, closed = $6::text::json \
    WHERE id = $1 AND revision = $2",
    notifying!("id")
);

const UPDATE_MENU_REVISION: &str =
    concat!("UPDATE restaurants SET menu_revision = $2 WHERE id = $1", notifying!("id"));

const UPDATE_AVAILABILITY_REVISION: &str =
    concat!("UPDATE restaurants SET availability_revision = $2 WHERE id = $1", notifying!("id"));

/// Writes nothing, and counts no row, if the same mark exists already.
const MARK_UNAVAILABLE: &str = "\
    INSERT INTO unavailable_items (restaurant_id, item, until) \
    SELECT $1, item, until FROM unnest($2::text[], $3::text[]) AS mark (item, until) \
    ON CONFLICT (restaurant_id, item) DO UPDATE SET until = excluded.until \
    WHERE unavailable_items.until IS DISTINCT FROM excluded.until";

const MARK_AVAILABLE: &str =
    "DELETE FROM unavailable_items WHERE restaurant_id = $1 AND item = ANY ($2::text[])";

/// Every statement of this module that looks for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_restaurant", FIND_RESTAURANT),
    ("list_restaurants", LIST_RESTAURANTS),
    ("find_external_id", FIND_EXTERNAL_ID),
    ("find_menu", FIND_MENU),
    ("find_stock_levels", FIND_STOCK_LEVELS),
    ("find_revision", FIND_REVISION),
    ("find_limited", FIND_LIMITED),
    ("find_unavailable", FIND_UNAVAILABLE),
    ("lock_menu_revisions", LOCK_MENU_REVISIONS),
    ("delete_old_menus", DELETE_OLD_MENUS),
    ("update_restaurant", UPDATE_RESTAURANT),
    ("update_menu_revision", UPDATE_MENU_REVISION),
    ("update_availability_revision", UPDATE_AVAILABILITY_REVISION),
    ("mark_available", MARK_AVAILABLE),
];

#[async_trait]
impl CatalogueStore for PostgresStore {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        let (text, marks) = (encode_menu(menu)?, Marks::new(menu.stated_availability()));
        let columns = EncodedRestaurant::new(restaurant)?;
        let (columns, menu, marks) = (&columns, &text, &marks);
        self.in_transaction(|connection| async move {
            shard::require(&connection, restaurant.id.bucket()).await?;
            let creation = create(&connection, columns, i64::from(restaurant.revision), menu).await?;
            if creation.is_created() {
                marks.write(&connection, columns.id).await?;
            }
            Ok(creation)
        })
        .await
    }

    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError> {
        self.held.check(external_id.bucket())?;
        self.read(async |connection| find_external_id(connection, external_id.as_str()).await).await
    }

    async fn catalogue_beyond(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        self.held.check(id.bucket())?;
        self.read(async |connection| catalogue(connection, id, known).await).await
    }

    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        check_revisions_asked(ids)?;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        self.read(async |connection| {
            connection.query(FIND_REVISIONS, &[&ids]).await?.iter().map(revision_of).collect()
        })
        .await
    }

    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        let is_behind_the_first_page = after.is_some();
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        let (first, last) = shard::numbers(self.held.buckets());
        let list = |connection: Arc<Connection>| async move {
            let limit = i64::from(limit.get());
            let rows =
                connection.query(LIST_RESTAURANTS, &[&after, &limit, &first, &last, &is_closed]).await?;
            rows.iter().map(restaurant_of).collect()
        };
        let restaurants = self.read_maybe_stale(is_behind_the_first_page, list).await?;
        Ok(RestaurantPage { restaurants, incomplete: !self.held.is_as_expected() })
    }

    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        let (columns, id) = (&EncodedRestaurant::new(restaurant)?, restaurant.id);
        self.under_key(claim, Some(id), |connection| async move {
            shard::require(&connection, id.bucket()).await?;
            let update = update(&connection, columns, expected).await?;
            let written = match update {
                CatalogueUpdate::Done { revision } => Some((Resource::Restaurant(id), revision)),
                _ => None,
            };
            Ok((update, written))
        })
        .await
    }

    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        let (text, marks) = (encode_menu(menu)?, Marks::new(menu.stated_availability()));
        let (text, marks) = (&text, &marks);
        self.in_transaction(|connection| async move {
            shard::require(&connection, id.bucket()).await?;
            replace_menu(&connection, id.uuid(), text, marks, expected).await
        })
        .await
    }

    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        let marks = &Marks::new([(item, availability)]);
        self.in_transaction(|connection| async move {
            shard::require(&connection, id.bucket()).await?;
            set_availability(&connection, id.uuid(), marks, expected).await
        })
        .await
    }

    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        self.held.check(id.bucket())?;
        self.read(async |connection| {
            let rows = connection.query(FIND_STOCK_LEVELS, &[&id.uuid()]).await?;
            rows.iter().map(stock_level_of).collect()
        })
        .await
    }

    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        let update = self
            .in_transaction(|connection| async move {
                shard::require(&connection, id.bucket()).await?;
                stock::change(&connection, id, item, edit).await
            })
            .await?;
        if matches!(update, StockUpdate::Replayed(_)) {
            self.confirm().await?;
        }
        Ok(update)
    }
}

/// Encoded columns of a restaurant.
struct EncodedRestaurant {
    id: Uuid,
    name: String,
    created_at_ns: i64,
    settings: String,
    pause: Option<String>,
    closed: Option<String>,
    external_id: Option<String>,
}

impl EncodedRestaurant {
    fn new(restaurant: &Restaurant) -> Result<Self, StoreError> {
        let encode = || -> Result<Self, Failure> {
            Ok(Self {
                id: restaurant.id.uuid(),
                name: restaurant.settings.name.as_str().to_owned(),
                created_at_ns: exact_nanoseconds(restaurant.created_at)?,
                settings: serde_json::to_string(&restaurant.settings)?,
                pause: restaurant.pause.as_ref().map(serde_json::to_string).transpose()?,
                closed: restaurant.closed.as_ref().map(serde_json::to_string).transpose()?,
                external_id: restaurant.settings.external_id.as_ref().map(ToString::to_string),
            })
        };
        encode().map_err(Failure::into_store_error)
    }
}

async fn create(
    connection: &Connection,
    columns: &EncodedRestaurant,
    revision: i64,
    menu: &String,
) -> Result<RestaurantCreation, Failure> {
    let EncodedRestaurant { id, name, created_at_ns, settings, pause, closed, external_id } = columns;
    let parameters: [&(dyn ToSql + Sync); 9] =
        [id, &revision, created_at_ns, name, settings, pause, menu, closed, external_id];
    if connection.execute(INSERT_RESTAURANT, &parameters).await? == 1 {
        return Ok(RestaurantCreation::Created);
    }
    let by = match external_id {
        Some(external_id) => find_external_id(connection, external_id).await?,
        None => None,
    };
    Ok(match by {
        Some(by) if by.uuid() != *id => RestaurantCreation::ExternalIdTaken { by },
        _ => RestaurantCreation::IdTaken,
    })
}

async fn find_external_id(
    connection: &Connection,
    external_id: &str,
) -> Result<Option<RestaurantId>, Failure> {
    connection.query(FIND_EXTERNAL_ID, &[&external_id]).await?.first().map(|row| read_id(row, 0)).transpose()
}

async fn update(
    connection: &Connection,
    columns: &EncodedRestaurant,
    expected: Revision,
) -> Result<CatalogueUpdate, Failure> {
    let EncodedRestaurant { id, name, settings, pause, closed, .. } = columns;
    let parameters: [&(dyn ToSql + Sync); 6] = [id, &i64::from(expected), name, settings, pause, closed];
    if connection.execute(UPDATE_RESTAURANT, &parameters).await? == 1 {
        return Ok(CatalogueUpdate::Done { revision: expected + 1 });
    }
    // Revisions only increase, so the expected revision still does not match.
    match connection.query(FIND_REVISION, &[id]).await?.first() {
        Some(row) => Ok(CatalogueUpdate::Conflict { current: read_number(row, 0)? }),
        None => Ok(CatalogueUpdate::NotFound),
    }
}

fn encode_menu(menu: &Menu) -> Result<String, StoreError> {
    serde_json::to_string(menu).map_err(|error| Failure::from(error).into_store_error())
}

async fn catalogue(
    connection: &Connection,
    id: RestaurantId,
    known: Option<&Catalogue>,
) -> Result<Option<Catalogue>, Failure> {
    let statements = connection.prepare([FIND_RESTAURANT, FIND_UNAVAILABLE, FIND_MENU, FIND_LIMITED]).await?;
    let [find_restaurant, find_unavailable, find_menu, find_limited] = &statements;
    let uuid = id.uuid();
    let known_revision = known.map(|known| i64::from(known.menu_revision));
    // One snapshot for all parts.
    let answers = connection
        .begin_with(BEGIN_SNAPSHOT, |client| {
            let whole = |statement| async move { Ok(client.query(statement, &[&uuid]).await?) }.boxed();
            let unless_known = |statement| {
                async move { Ok(client.query(statement, &[&uuid, &known_revision]).await?) }.boxed()
            };
            vec![
                whole(find_restaurant),
                whole(find_unavailable),
                unless_known(find_menu),
                unless_known(find_limited),
            ]
        })
        .await?;
    connection.rollback().await;
    let [restaurants, unavailable, menus, limited] = <[Vec<Row>; 4]>::try_from(answers)
        .map_err(|_| Failure::corrupt("the database returned too few results"))?;
    let Some(row) = restaurants.first() else { return Ok(None) };
    if read_format(row, 8)? > RESTAURANT_FORMAT {
        return Err(written_by_newer(format_args!("restaurant {id:?} or its menu")).into());
    }
    let menu_revision = read_number(row, 5)?;
    let (menu, limited) = match (known.filter(|known| known.menu_revision == menu_revision), menus.first()) {
        (Some(known), _) => (Arc::clone(&known.menu), Arc::clone(&known.limited)),
        (None, Some(row)) => {
            let limited = limited.iter().map(slug_of).collect::<Result<_, _>>()?;
            (Arc::new(decode_json(read(row, 0)?)?), Arc::new(limited))
        }
        (None, None) => return Err(Failure::corrupt(format!("{id:?} has no menu"))),
    };
    Ok(Some(Catalogue {
        restaurant: restaurant_of(row)?,
        menu,
        menu_revision,
        limited,
        unavailable: unavailable_of(&unavailable)?,
        availability_revision: read_number(row, 7)?,
    }))
}

/// Decodes the id of an item in a row's first column.
fn slug_of(row: &Row) -> Result<Slug, Failure> {
    Slug::new(read(row, 0)?).map_err(|error| Failure::corrupt(error.to_string()))
}

fn unavailable_of(rows: &[Row]) -> Result<UnavailableItems, Failure> {
    rows.iter()
        .map(|row| {
            let until = read::<Option<&str>>(row, 1)?.map(str::parse).transpose();
            Ok((slug_of(row)?, until.map_err(|error: jiff::Error| Failure::corrupt(error.to_string()))?))
        })
        .collect()
}

/// Decodes a restaurant from a row of [`restaurant_columns`]. If a newer program wrote the restaurant and this
/// program cannot decode it, the error is unavailable.
fn restaurant_of(row: &Row) -> Result<Restaurant, Failure> {
    match decode_restaurant(row) {
        Err(Failure::Store(StoreError::Corrupt(_))) if read_format(row, 8)? > RESTAURANT_FORMAT => {
            let id: RestaurantId = read_id(row, 0)?;
            Err(written_by_newer(format_args!("restaurant {id}")).into())
        }
        restaurant => restaurant,
    }
}

fn decode_restaurant(row: &Row) -> Result<Restaurant, Failure> {
    Ok(Restaurant {
        id: read_id(row, 0)?,
        revision: read_number(row, 1)?,
        settings: decode_json(read(row, 2)?)?,
        pause: read::<Option<&str>>(row, 3)?.map(decode_json).transpose()?,
        closed: read::<Option<&str>>(row, 6)?.map(decode_json).transpose()?,
        created_at: read_timestamp(row, 4)?,
    })
}

fn stock_level_of(row: &Row) -> Result<StockLevel, Failure> {
    Ok(StockLevel { item: slug_of(row)?, remaining: read_number(row, 1)?, revision: read_number(row, 2)? })
}

/// Locks a restaurant for a change of its menu or its marks, and returns its revisions. A restaurant with a newer
/// format must be changed by a newer server: that server may have raised the format since this server read the menu.
async fn lock_menu_revisions(connection: &Connection, id: Uuid) -> Result<Option<MenuRevisions>, Failure> {
    let rows = connection.query(LOCK_MENU_REVISIONS, &[&id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if read_format(row, 2)? > RESTAURANT_FORMAT {
        return Err(written_by_newer(format_args!("restaurant {id} or its menu")).into());
    }
    Ok(Some(MenuRevisions { menu: read_number(row, 0)?, availability: read_number(row, 1)? }))
}

/// Marks of items as columns, sorted, so that two transactions lock the rows in the same order.
#[derive(Default)]
struct Marks {
    unavailable: Vec<String>,
    /// End of each mark in `unavailable`.
    until: Vec<Option<String>>,
    available: Vec<String>,
}

impl Marks {
    fn new<'a>(stated: impl IntoIterator<Item = (&'a Slug, Availability)>) -> Self {
        let mut stated: Vec<_> = stated.into_iter().collect();
        stated.sort_by_key(|(item, _)| *item);
        let mut marks = Self::default();
        for (item, availability) in stated {
            let item = item.as_str().to_owned();
            match availability {
                Availability::Available => marks.available.push(item),
                Availability::Unavailable { until } => {
                    marks.unavailable.push(item);
                    marks.until.push(until.map(|until| until.to_string()));
                }
            }
        }
        marks
    }

    /// Writes the marks. Returns whether a mark changed.
    async fn write(&self, connection: &Connection, id: Uuid) -> Result<bool, Failure> {
        let mut changed = 0;
        if !self.unavailable.is_empty() {
            changed += connection.execute(MARK_UNAVAILABLE, &[&id, &self.unavailable, &self.until]).await?;
        }
        if !self.available.is_empty() {
            changed += connection.execute(MARK_AVAILABLE, &[&id, &self.available]).await?;
        }
        Ok(changed > 0)
    }
}

async fn set_availability(
    connection: &Connection,
    id: Uuid,
    marks: &Marks,
    expected: Option<&[Revision]>,
) -> Result<CatalogueUpdate, Failure> {
    let Some(MenuRevisions { availability, .. }) = lock_menu_revisions(connection, id).await? else {
        return Ok(CatalogueUpdate::NotFound);
    };
    if expected.is_some_and(|expected| !expected.contains(&availability)) {
        return Ok(CatalogueUpdate::Conflict { current: availability });
    }
    if !marks.write(connection, id).await? {
        return Ok(CatalogueUpdate::Done { revision: availability });
    }
    let revision = availability + 1;
    connection.execute(UPDATE_AVAILABILITY_REVISION, &[&id, &i64::from(revision)]).await?;
    Ok(CatalogueUpdate::Done { revision })
}

async fn replace_menu(
    connection: &Connection,
    id: Uuid,
    menu: &str,
    marks: &Marks,
    expected: MenuRevisions,
) -> Result<CatalogueUpdate, Failure> {
    match lock_menu_revisions(connection, id).await? {
        None => return Ok(CatalogueUpdate::NotFound),
        Some(current) if current != expected => {
            return Ok(CatalogueUpdate::Conflict { current: current.menu });
        }
        Some(_) => {}
    }
    let revision = expected.menu + 1;
    connection.execute(INSERT_MENU, &[&id, &i64::from(revision), &menu]).await?;
    connection.execute(DELETE_OLD_MENUS, &[&id, &i64::from(MENUS_KEPT)]).await?;
    connection.execute(UPDATE_MENU_REVISION, &[&id, &i64::from(revision)]).await?;
    if marks.write(connection, id).await? {
        let availability = i64::from(expected.availability + 1);
        connection.execute(UPDATE_AVAILABILITY_REVISION, &[&id, &availability]).await?;
    }
    Ok(CatalogueUpdate::Done { revision })
}
