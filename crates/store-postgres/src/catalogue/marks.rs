//! Marks of items that cannot be ordered.

use dabba_domain::{RestaurantId, menu::Availability, restaurant::Revision, text::Slug};
use dabba_store::{CatalogueUpdate, MenuRevisions};
use dabba_store_sql::{
    StoredRow as _,
    catalogue::{encode_mark_end, refused_availability, require_known_format},
};
use uuid::Uuid;

use super::notifying;
use crate::{codec::first, failure::Failure, hints::catalogue_channel, pool::Connection};

pub(super) const FIND_UNAVAILABLE: &str =
    "SELECT item, until FROM unavailable_items WHERE restaurant_id = $1";

/// Locks the restaurant against other changes of its menu, availability or limited stock. Orders do not wait: they
/// read the row, and conflict at their COMMIT.
pub(super) const LOCK_MENU_REVISIONS: &str =
    "SELECT menu_revision, availability_revision, format FROM restaurants WHERE id = $1 FOR UPDATE";

pub(super) const UPDATE_AVAILABILITY_REVISION: &str =
    concat!("UPDATE restaurants SET availability_revision = $2 WHERE id = $1", notifying!("id"));

/// Writes nothing, and counts no row, if the same mark exists already.
const MARK_UNAVAILABLE: &str = "\
    INSERT INTO unavailable_items (restaurant_id, item, until) \
    SELECT $1, item, until FROM unnest($2::text[], $3::text[]) AS mark (item, until) \
    ON CONFLICT (restaurant_id, item) DO UPDATE SET until = excluded.until \
    WHERE unavailable_items.until IS DISTINCT FROM excluded.until";

pub(super) const MARK_AVAILABLE: &str =
    "DELETE FROM unavailable_items WHERE restaurant_id = $1 AND item = ANY ($2::text[])";

/// Locks a restaurant for a change of its menu or its marks, and returns its revisions. A restaurant with a newer
/// format must be changed by a newer server: that server may have raised the format since this server read the menu.
pub(super) async fn lock_menu_revisions(
    connection: &Connection,
    id: RestaurantId,
) -> Result<Option<MenuRevisions>, Failure> {
    let rows = connection.query(LOCK_MENU_REVISIONS, &[&id.uuid()]).await?;
    first(&rows, |row| {
        require_known_format(id, row.format(2)?)?;
        Ok(MenuRevisions { menu: row.number(0)?, availability: row.number(1)? })
    })
}

/// Marks of items as columns, sorted, so that two transactions lock the rows in the same order.
#[derive(Default)]
pub(super) struct Marks {
    unavailable: Vec<String>,
    /// End of each mark in `unavailable`.
    until: Vec<Option<String>>,
    available: Vec<String>,
}

impl Marks {
    pub(super) fn new<'a>(stated: impl IntoIterator<Item = (&'a Slug, Availability)>) -> Self {
        let mut stated: Vec<_> = stated.into_iter().collect();
        stated.sort_by_key(|(item, _)| *item);
        let mut marks = Self::default();
        for (item, availability) in stated {
            let item = item.as_str().to_owned();
            match availability {
                Availability::Available => marks.available.push(item),
                Availability::Unavailable { until } => {
                    marks.unavailable.push(item);
                    marks.until.push(encode_mark_end(until));
                }
            }
        }
        marks
    }

    /// Writes the marks. Returns whether a mark changed.
    pub(super) async fn write(&self, connection: &Connection, id: Uuid) -> Result<bool, Failure> {
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

/// Writes the marks of one item.
pub(super) async fn set_availability(
    connection: &Connection,
    id: RestaurantId,
    marks: &Marks,
    expected: Option<&[Revision]>,
) -> Result<CatalogueUpdate, Failure> {
    let Some(MenuRevisions { availability, .. }) = lock_menu_revisions(connection, id).await? else {
        return Ok(CatalogueUpdate::NotFound);
    };
    if let Some(refusal) = refused_availability(availability, expected) {
        return Ok(refusal);
    }
    if !marks.write(connection, id.uuid()).await? {
        return Ok(CatalogueUpdate::Done { revision: availability });
    }
    let revision = availability + 1;
    connection.execute(UPDATE_AVAILABILITY_REVISION, &[&id.uuid(), &i64::from(revision)]).await?;
    Ok(CatalogueUpdate::Done { revision })
}
