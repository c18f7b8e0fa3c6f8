//! Restaurants, menus and stock.

mod marks;

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    ids::Id,
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
    BELOW_EVERY_ID, StoredRow as _,
    catalogue::{
        EncodedRestaurant, MAX_STORED_MENUS, encode_menu, listed_restaurant_of, mark_of, no_menu,
        priced_restaurant_of, refused_creation, refused_menu, written_update,
    },
    stock::stock_level_of,
};
use futures::FutureExt as _;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use self::marks::{
    FIND_UNAVAILABLE, Marks, UPDATE_AVAILABILITY_REVISION, lock_menu_revisions, set_availability,
};
use crate::{
    PostgresStore,
    codec::{collect, first},
    failure::Failure,
    hints::catalogue_channel,
    orders::view::{FIND_REVISIONS, revisions_of},
    pool::{BEGIN_SNAPSHOT, Connection},
    shard, stock,
};

/// The columns that [`listed_restaurant_of`] reads, in its order.
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
use notifying;

const FIND_RESTAURANT: &str = concat!("SELECT ", restaurant_columns!(), " FROM restaurants WHERE id = $1");

/// Finds restaurants, for a program that neither prices orders nor replaces menus.
pub(crate) const FIND_RESTAURANTS: &str =
    concat!("SELECT ", restaurant_columns!(), " FROM restaurants WHERE id = ANY ($1::uuid[])");

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

const FIND_STOCK_LEVELS: &str =
    "SELECT item, remaining, revision FROM stock WHERE restaurant_id = $1 ORDER BY item";

const FIND_REVISION: &str = "SELECT revision FROM restaurants WHERE id = $1";

const INSERT_RESTAURANT: &str = concat!(
    "\
    WITH made AS ( \
        INSERT INTO restaurants \
            (id, revision, menu_revision, created_at_ns, name, settings, pause, closed, external_id, format) \
        VALUES ($1, $2, 1, $3, $4, $5::text::json, $6::text::json, $8::text::json, $9, $10) \
        ON CONFLICT DO NOTHING RETURNING id) \
    INSERT INTO menus (restaurant_id, revision, menu) SELECT id, 1, $7::text::json FROM made",
    notifying!("restaurant_id")
);

const INSERT_MENU: &str = "INSERT INTO menus (restaurant_id, revision, menu) VALUES ($1, $2, $3::text::json)";

/// Deletes all menus except the newest `$2`. If there are fewer, deletes nothing.
const DELETE_OLD_MENUS: &str = "\
    DELETE FROM menus WHERE restaurant_id = $1 AND revision < ( \
        SELECT revision FROM menus WHERE restaurant_id = $1 ORDER BY revision DESC LIMIT 1 OFFSET $2::bigint - 1)";

/// Never lowers the format: a newer server may have replaced the menu, which does not change the revision that this
/// statement compares.
const UPDATE_RESTAURANT: &str = concat!(
    "\
    UPDATE restaurants SET revision = revision + 1, name = $3, settings = $4::text::json, \
        pause = $5::text::json, closed = $6::text::json, format = greatest(format, $7::integer) \
    WHERE id = $1 AND revision = $2",
    notifying!("id")
);

/// States the format of the new menu. Never lowers the format, which also describes the settings.
const UPDATE_MENU_REVISION: &str = concat!(
    "UPDATE restaurants SET menu_revision = $2, format = greatest(format, $3::integer) WHERE id = $1",
    notifying!("id")
);

/// Every statement of this module that looks for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_restaurant", FIND_RESTAURANT),
    ("find_restaurants", FIND_RESTAURANTS),
    ("list_restaurants", LIST_RESTAURANTS),
    ("find_external_id", FIND_EXTERNAL_ID),
    ("find_menu", FIND_MENU),
    ("find_stock_levels", FIND_STOCK_LEVELS),
    ("find_revision", FIND_REVISION),
    ("find_limited", FIND_LIMITED),
    ("find_unavailable", FIND_UNAVAILABLE),
    ("lock_menu_revisions", marks::LOCK_MENU_REVISIONS),
    ("delete_old_menus", DELETE_OLD_MENUS),
    ("update_restaurant", UPDATE_RESTAURANT),
    ("update_menu_revision", UPDATE_MENU_REVISION),
    ("update_availability_revision", UPDATE_AVAILABILITY_REVISION),
    ("mark_available", marks::MARK_AVAILABLE),
];

#[async_trait]
impl CatalogueStore for PostgresStore {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        let (text, marks) = (encode_menu(menu)?, Marks::new(menu.document_availability()));
        let columns = EncodedRestaurant::new(restaurant)?;
        let (columns, menu, marks) = (&columns, &text, &marks);
        self.in_transaction(|connection| async move {
            shard::require(&connection, restaurant.id.bucket()).await?;
            let creation = create(&connection, columns, menu).await?;
            if creation.is_created() {
                marks.write(&connection, columns.id.uuid()).await?;
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

    async fn catalogue_since(
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
        check_revision_count(ids)?;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        self.read(async |connection| revisions_of(&connection.query(FIND_REVISIONS, &[&ids]).await?)).await
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
            let (mut page, mut after) = (RestaurantPage::default(), after);
            loop {
                let wanted = page.wanted(limit);
                let rows = connection
                    .query(LIST_RESTAURANTS, &[&after, &i64::from(wanted), &first, &last, &is_closed])
                    .await?;
                let listed: Vec<_> = collect(&rows, listed_restaurant_of)?;
                match page.add(listed, wanted) {
                    Some(last) => after = last.uuid(),
                    None => return Ok(page),
                }
            }
        };
        let page = self.read_maybe_stale(is_behind_the_first_page, list).await?;
        Ok(RestaurantPage { incomplete: !self.held.is_as_expected(), ..page })
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
            Ok(written_update(id, update(&connection, columns, expected).await?))
        })
        .await
    }

    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        let (text, marks) = (encode_menu(menu)?, Marks::new(menu.document_availability()));
        let (text, marks) = (&text, &marks);
        self.in_transaction(|connection| async move {
            shard::require(&connection, id.bucket()).await?;
            replace_menu(&connection, id, text, marks, expected).await
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
            set_availability(&connection, id, marks, expected).await
        })
        .await
    }

    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        self.held.check(id.bucket())?;
        self.read(async |connection| {
            let rows = connection.query(FIND_STOCK_LEVELS, &[&id.uuid()]).await?;
            collect(&rows, stock_level_of)
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

async fn create(
    connection: &Connection,
    columns: &EncodedRestaurant,
    menu: &str,
) -> Result<RestaurantCreation, Failure> {
    let EncodedRestaurant { id, revision, name, created_at_ns, settings, pause, closed, external_id, format } =
        columns;
    let external_id = external_id.as_ref().map(ExternalId::as_str);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &id.uuid(),
        &i64::from(*revision),
        created_at_ns,
        name,
        settings,
        pause,
        &menu,
        closed,
        &external_id,
        format,
    ];
    if connection.execute(INSERT_RESTAURANT, &parameters).await? == 1 {
        return Ok(RestaurantCreation::Created);
    }
    let by = match external_id {
        Some(external_id) => find_external_id(connection, external_id).await?,
        None => None,
    };
    Ok(refused_creation(*id, by))
}

async fn find_external_id(
    connection: &Connection,
    external_id: &str,
) -> Result<Option<RestaurantId>, Failure> {
    first(&connection.query(FIND_EXTERNAL_ID, &[&external_id]).await?, |row| row.id(0))
}

pub(crate) async fn update(
    connection: &Connection,
    columns: &EncodedRestaurant,
    expected: Revision,
) -> Result<CatalogueUpdate, Failure> {
    let EncodedRestaurant { id, name, settings, pause, closed, format, .. } = columns;
    let id = id.uuid();
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&id, &i64::from(expected), name, settings, pause, closed, format];
    if connection.execute(UPDATE_RESTAURANT, &parameters).await? == 1 {
        return Ok(CatalogueUpdate::Done { revision: expected + 1 });
    }
    // Revisions only increase, so the expected revision still does not match.
    let current = first(&connection.query(FIND_REVISION, &[&id]).await?, |row| row.number(0))?;
    Ok(current.map_or(CatalogueUpdate::NotFound, |current| CatalogueUpdate::Conflict { current }))
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
    let found = first(&restaurants, |row| priced_restaurant_of(id, row))?;
    let Some((restaurant, revisions)) = found else { return Ok(None) };
    let MenuRevisions { menu: menu_revision, availability: availability_revision } = revisions;
    let known = known.filter(|known| known.menu_revision == menu_revision);
    let (menu, limited) = if let Some(known) = known {
        (Arc::clone(&known.menu), Arc::clone(&known.limited))
    } else {
        let menu = first(&menus, |row| row.document(0))?.ok_or_else(|| no_menu(id))?;
        (Arc::new(menu), Arc::new(collect(&limited, |row| row.item(0))?))
    };
    let unavailable = collect(&unavailable, mark_of)?;
    Ok(Some(Catalogue { restaurant, menu, menu_revision, limited, unavailable, availability_revision }))
}

async fn replace_menu(
    connection: &Connection,
    id: RestaurantId,
    menu: &str,
    marks: &Marks,
    expected: MenuRevisions,
) -> Result<CatalogueUpdate, Failure> {
    if let Some(refusal) = refused_menu(lock_menu_revisions(connection, id).await?, expected) {
        return Ok(refusal);
    }
    let (id, revision) = (id.uuid(), expected.menu + 1);
    connection.execute(INSERT_MENU, &[&id, &i64::from(revision), &menu]).await?;
    connection.execute(DELETE_OLD_MENUS, &[&id, &i64::from(MAX_STORED_MENUS)]).await?;
    let format = stored_version(RESTAURANT_FORMAT);
    connection.execute(UPDATE_MENU_REVISION, &[&id, &i64::from(revision), &format]).await?;
    if marks.write(connection, id).await? {
        let availability = i64::from(expected.availability + 1);
        connection.execute(UPDATE_AVAILABILITY_REVISION, &[&id, &availability]).await?;
    }
    Ok(CatalogueUpdate::Done { revision })
}
