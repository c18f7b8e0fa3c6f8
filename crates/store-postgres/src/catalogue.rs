//! Restaurants, menus and stock.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    ids::Id,
    menu::Menu,
    restaurant::{Restaurant, Revision},
    text::Slug,
};
use dabba_store::encoding::{decode_json, exact_nanoseconds};
use dabba_store::{
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, PageSize, Resource,
    RestaurantCreation, RestaurantPage, StockEdit, StockLevel, StockUpdate, StoreError, UnderKey,
    check_revisions_asked,
};
use futures::FutureExt as _;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    PostgresStore,
    codec::{BELOW_EVERY_ID, read, read_id, read_number, read_timestamp},
    failure::Failure,
    hints::catalogue_channel,
    orders::view::{FIND_REVISIONS, revision_of},
    pool::{BEGIN_SNAPSHOT, Connection},
    shard, stock,
};

/// Menus of a restaurant that are kept: the one that holds, and those before it, for looking back.
pub const MENUS_KEPT: u32 = 10;

/// The columns that [`restaurant_of`] reads, in its order.
macro_rules! restaurant_columns {
    () => {
        "id, revision, settings::text, pause::text, created_at_ns, menu_revision, closed::text"
    };
}

/// What each change of a catalogue ends with: others are told of it when it is committed, and only then.
macro_rules! telling {
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

const FIND_MENU: &str =
    "SELECT menu::text FROM menus WHERE restaurant_id = $1 ORDER BY revision DESC LIMIT 1";

const FIND_STOCK_LEVELS: &str =
    "SELECT item, remaining, revision FROM stock WHERE restaurant_id = $1 ORDER BY item";

const FIND_REVISION: &str = "SELECT revision FROM restaurants WHERE id = $1";

/// Locks the restaurant against others who change its menu or its stock's being kept. Orders are not
/// held up: they read the row, and notice at their COMMIT.
const LOCK_MENU_REVISION: &str = "SELECT menu_revision FROM restaurants WHERE id = $1 FOR UPDATE";

const INSERT_RESTAURANT: &str = concat!(
    "\
    WITH made AS ( \
        INSERT INTO restaurants \
            (id, revision, menu_revision, created_at_ns, name, settings, pause, closed, external_id) \
        VALUES ($1, $2, 1, $3, $4, $5::text::json, $6::text::json, $8::text::json, $9) \
        ON CONFLICT DO NOTHING RETURNING id) \
    INSERT INTO menus (restaurant_id, revision, menu) SELECT id, 1, $7::text::json FROM made",
    telling!("restaurant_id")
);

const INSERT_MENU: &str = "INSERT INTO menus (restaurant_id, revision, menu) VALUES ($1, $2, $3::text::json)";

/// All but the newest. Without that many there is no limit to compare with, and nothing is deleted.
const FORGET_MENUS: &str = "\
    DELETE FROM menus WHERE restaurant_id = $1 AND revision < ( \
        SELECT revision FROM menus WHERE restaurant_id = $1 ORDER BY revision DESC LIMIT 1 OFFSET $2::bigint - 1)";

const UPDATE_RESTAURANT: &str = concat!(
    "\
    UPDATE restaurants SET revision = revision + 1, name = $3, settings = $4::text::json, \
        pause = $5::text::json, closed = $6::text::json \
    WHERE id = $1 AND revision = $2",
    telling!("id")
);

const UPDATE_MENU_REVISION: &str =
    concat!("UPDATE restaurants SET menu_revision = $2 WHERE id = $1", telling!("id"));

/// What becomes limited again begins above every revision that its stock had.
const DELETE_STOCK_OF_OTHERS: &str = "\
    WITH gone AS ( \
        DELETE FROM stock WHERE restaurant_id = $1 AND item <> ALL ($2::text[]) RETURNING revision) \
    UPDATE restaurants \
    SET stock_revision_floor = greatest(stock_revision_floor, (SELECT max(revision) FROM gone)) WHERE id = $1";

/// Every statement of this part that looks for rows, for the test that looks at their plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_restaurant", FIND_RESTAURANT),
    ("list_restaurants", LIST_RESTAURANTS),
    ("find_external_id", FIND_EXTERNAL_ID),
    ("find_menu", FIND_MENU),
    ("find_stock_levels", FIND_STOCK_LEVELS),
    ("find_revision", FIND_REVISION),
    ("lock_menu_revision", LOCK_MENU_REVISION),
    ("forget_menus", FORGET_MENUS),
    ("update_restaurant", UPDATE_RESTAURANT),
    ("update_menu_revision", UPDATE_MENU_REVISION),
    ("delete_stock_of_others", DELETE_STOCK_OF_OTHERS),
];

#[async_trait]
impl CatalogueStore for PostgresStore {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        let menu = encode_menu(menu)?;
        let columns = EncodedRestaurant::new(restaurant)?;
        let (columns, menu) = (&columns, &menu);
        self.in_transaction(|connection| async move {
            shard::require(&connection, restaurant.id.bucket()).await?;
            create(&connection, columns, i64::from(restaurant.revision), menu).await
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

    async fn catalogue(&self, id: RestaurantId) -> Result<Option<Catalogue>, StoreError> {
        self.held.check(id.bucket())?;
        self.read(async |connection| catalogue(connection, id).await).await
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
        let restaurants = self.read_perhaps_calmly(is_behind_the_first_page, list).await?;
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
        expected: Revision,
    ) -> Result<CatalogueUpdate, StoreError> {
        let encoded = encode_menu(menu)?;
        let items: Vec<&str> = menu.items().map(|item| item.id.as_str()).collect();
        let (encoded, items) = (&encoded, &items);
        self.in_transaction(|connection| async move {
            shard::require(&connection, id.bucket()).await?;
            replace_menu(&connection, id.uuid(), encoded, items, expected).await
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

/// The columns of a restaurant that take time to make.
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
    // Revisions only go up, so what did not fit a moment ago still does not.
    match connection.query(FIND_REVISION, &[id]).await?.first() {
        Some(row) => Ok(CatalogueUpdate::Conflict { current: read_number(row, 0)? }),
        None => Ok(CatalogueUpdate::NotFound),
    }
}

fn encode_menu(menu: &Menu) -> Result<String, StoreError> {
    serde_json::to_string(menu).map_err(|error| Failure::from(error).into_store_error())
}

async fn catalogue(connection: &Connection, id: RestaurantId) -> Result<Option<Catalogue>, Failure> {
    let statements = connection.prepare([FIND_RESTAURANT, FIND_MENU, FIND_STOCK_LEVELS]).await?;
    let uuid = id.uuid();
    // One transaction, so that the parts are of one moment.
    let answers = connection
        .begin_with(BEGIN_SNAPSHOT, |client| {
            let question = |statement| async move { Ok(client.query(statement, &[&uuid]).await?) }.boxed();
            statements.iter().map(question).collect()
        })
        .await?;
    connection.rollback().await;
    let [restaurants, menus, stock] =
        <[Vec<Row>; 3]>::try_from(answers).map_err(|_| Failure::corrupt("an answer went missing"))?;
    let Some(row) = restaurants.first() else { return Ok(None) };
    let menu: &str = match menus.first() {
        Some(row) => read(row, 0)?,
        None => return Err(Failure::corrupt(format!("{id:?} has no menu"))),
    };
    Ok(Some(Catalogue {
        restaurant: restaurant_of(row)?,
        menu: decode_json(menu)?,
        menu_revision: read_number(row, 5)?,
        limited: stock.iter().map(|row| Ok(stock_level_of(row)?.item)).collect::<Result<_, Failure>>()?,
    }))
}

fn restaurant_of(row: &Row) -> Result<Restaurant, Failure> {
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
    let item = Slug::new(read(row, 0)?).map_err(|error| Failure::corrupt(error.to_string()))?;
    Ok(StockLevel { item, remaining: read_number(row, 1)?, revision: read_number(row, 2)? })
}

async fn lock_menu_revision(connection: &Connection, id: Uuid) -> Result<Option<Revision>, Failure> {
    connection.query(LOCK_MENU_REVISION, &[&id]).await?.first().map(|row| read_number(row, 0)).transpose()
}

async fn replace_menu(
    connection: &Connection,
    id: Uuid,
    menu: &str,
    items: &[&str],
    expected: Revision,
) -> Result<CatalogueUpdate, Failure> {
    match lock_menu_revision(connection, id).await? {
        None => return Ok(CatalogueUpdate::NotFound),
        Some(current) if current != expected => return Ok(CatalogueUpdate::Conflict { current }),
        Some(_) => {}
    }
    let revision = expected + 1;
    connection.execute(INSERT_MENU, &[&id, &i64::from(revision), &menu]).await?;
    connection.execute(FORGET_MENUS, &[&id, &i64::from(MENUS_KEPT)]).await?;
    connection.execute(UPDATE_MENU_REVISION, &[&id, &i64::from(revision)]).await?;
    connection.execute(DELETE_STOCK_OF_OTHERS, &[&id, &items]).await?;
    Ok(CatalogueUpdate::Done { revision })
}
