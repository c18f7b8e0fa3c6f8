//! Restaurants, their menus and their limited stock.

use std::collections::HashSet;

use async_trait::async_trait;
use dabba_domain::{
    RestaurantId,
    menu::Menu,
    restaurant::{Restaurant, Revision},
    text::Slug,
};

use crate::{CatalogueGuard, PageSize, StoreError};

/// Most restaurants whose revisions are asked for in one call of [`CatalogueStore::revisions`].
pub const MAX_REVISIONS: usize = 256;

/// Keeps restaurants, menus and stock.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// Registers a restaurant with its menu, whose revision is 1. `false` when the id is taken.
    async fn create_restaurant(&self, restaurant: &Restaurant, menu: &Menu) -> Result<bool, StoreError>;

    /// All that is needed to price an order of a restaurant.
    async fn catalogue(&self, id: RestaurantId) -> Result<Option<Catalogue>, StoreError>;

    /// The revisions of at most [`MAX_REVISIONS`] restaurants as they are now, in any order: whether what
    /// is remembered of them still holds. Those of unknown restaurants are missing, and so are those on a
    /// shard that does not answer; only when no shard that was asked answers is it an error. To ask for
    /// more at once is [`StoreError::Corrupt`].
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError>;

    /// A page of restaurants behind the given one, by id, oldest first.
    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError>;

    /// Replaces the settings and the pause of a restaurant that is at revision `expected`. The
    /// restaurant's own `revision` is not looked at; the new one is `expected + 1`.
    async fn update_restaurant(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// Replaces the menu of a restaurant whose menu is at revision `expected`. Stock of items that
    /// are no longer on it is no longer kept.
    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: Revision,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// The limited stock of a restaurant, by item.
    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError>;

    /// Sets how many of an item there are; `None`: as many as one wants. The menu's revision goes
    /// up when the item becomes limited or ceases to be, and is answered either way.
    async fn set_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        remaining: Option<u32>,
    ) -> Result<CatalogueUpdate, StoreError>;
}

/// Refuses to look for the revisions of more restaurants than [`MAX_REVISIONS`]. Every store asks this.
pub fn check_revisions_asked(ids: &[RestaurantId]) -> Result<(), StoreError> {
    if ids.len() <= MAX_REVISIONS {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("{} revisions at once, of at most {MAX_REVISIONS}", ids.len())))
}

/// A restaurant with its menu, as they were together at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// The restaurant.
    pub restaurant: Restaurant,
    /// Its menu.
    pub menu: Menu,
    /// Goes up with every change of the menu, of an availability, and of which items are limited.
    pub menu_revision: Revision,
    /// The items whose stock is limited. How many there are is asked when it matters.
    pub limited: HashSet<Slug>,
}

impl Catalogue {
    /// What must not have changed when an order that was priced from this is written.
    pub const fn guard(&self) -> CatalogueGuard {
        CatalogueGuard { restaurant_revision: self.restaurant.revision, menu_revision: self.menu_revision }
    }
}

/// A page of restaurants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestaurantPage {
    /// The restaurants.
    pub restaurants: Vec<Restaurant>,
    /// Whether restaurants may be missing here because a shard did not answer in time; they cannot take an
    /// order either. They are not on a later page: whoever needs them asks for this page again.
    pub incomplete: bool,
}

/// How a change of the catalogue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueUpdate {
    /// It is written.
    Done {
        /// The revision that holds now.
        revision: Revision,
    },
    /// Someone else was quicker; nothing is written.
    Conflict {
        /// The revision that holds.
        current: Revision,
    },
    /// There is no such restaurant.
    NotFound,
}

/// How many of an item there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockLevel {
    /// The item.
    pub item: Slug,
    /// How many.
    pub remaining: u32,
}
