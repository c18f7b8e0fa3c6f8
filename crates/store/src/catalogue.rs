//! Restaurants, their menus and their limited stock.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    limits::MAX_STOCK,
    menu::{Availability, Menu, UnavailableItems},
    restaurant::{Restaurant, Revision},
    text::Slug,
};

use crate::{
    CatalogueGuard, ClaimAt, ClaimRecord, Fingerprint, PageSize, Resource, SameRequest, StoreError, UnderKey,
};

/// Maximum number of restaurants in one call of [`CatalogueStore::revisions`].
pub const MAX_REVISIONS: usize = 256;

/// Stores restaurants, menus and stock.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// Registers a restaurant with its menu and the availability stated in the menu's document, unless its id or its
    /// external id is taken. Menu and availability start at revision 1.
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError>;

    /// Returns the restaurant with this external id. The external id's bucket determines the shard.
    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError>;

    /// Returns everything that pricing an order of a restaurant needs.
    async fn catalogue(&self, id: RestaurantId) -> Result<Option<Catalogue>, StoreError> {
        self.catalogue_since(id, None).await
    }

    /// Returns the same as [`CatalogueStore::catalogue`], for a caller that has an older state of the catalogue. If the
    /// menu and the limited items still have the known revision, the result shares them with `known` instead of reading
    /// them. A change of availability therefore reads only the marks and not a large menu.
    async fn catalogue_since(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError>;

    /// Returns the current revisions of at most [`MAX_REVISIONS`] restaurants, in any order. A caller uses them to
    /// check whether its cached catalogues are still current. Unknown restaurants and restaurants on a shard that does
    /// not answer are omitted; the call fails only if none of the requested shards answers. More ids than the maximum
    /// are [`StoreError::Corrupt`].
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError>;

    /// Returns a page of restaurants after the given restaurant, ordered by id, oldest first: all restaurants, only
    /// permanently closed ones, or only those not permanently closed. A page with fewer restaurants than `limit` is the last
    /// one. A restaurant that cannot be decoded does not prevent the reading of the others.
    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError>;

    /// Replaces the settings, the pause and the closure of a restaurant that is at revision `expected`. The new
    /// revision is `expected + 1`; the `revision` field of the given restaurant is ignored. The external id does not
    /// change. The key's scope is the restaurant. The store checks the claim first and makes it in the same transaction
    /// as the update.
    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError>;

    /// Updates a restaurant without an idempotency key.
    async fn update_restaurant(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
    ) -> Result<CatalogueUpdate, StoreError> {
        match self.update_restaurant_under(restaurant, expected, None).await? {
            UnderKey::Ended(update) => Ok(update),
            UnderKey::Claimed(_) => Err(StoreError::Corrupt(
                "the store claimed an idempotency key, but the call had none".to_owned(),
            )),
        }
    }

    /// Replaces the menu of a restaurant that is at the `expected` revisions. The same transaction sets the
    /// availability that the menu's document states, and increases the availability's revision if a mark changes.
    /// Availability that the document does not state is kept.
    ///
    /// `Done` and `Conflict` return the menu's revision, even if only the availability has another revision than
    /// expected.
    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// Marks an item as unavailable, or removes the mark. Writes one small row and neither reads nor writes the menu,
    /// so it does not check whether the item is on the menu. With `expected`, the availability must be at one of these
    /// revisions. `Done` and `Conflict` return the availability's revision, which increases if the mark changes.
    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// Returns the limited stock of a restaurant, ordered by item.
    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError>;

    /// Changes the stock of an item manually and atomically, if the conditions of the edit hold. The store checks the
    /// conditions in this order and returns the first failure: the restaurant, the claim, the revision, the limit.
    ///
    /// The stock's new revision is higher than every revision that the item's stock ever had; sales and returns do not
    /// change the revision. The menu's revision increases if the item becomes limited or unlimited.
    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError>;

    /// Sets the stock of an item without conditions: [`CatalogueStore::change_stock`] with [`StockOperation::Set`].
    async fn set_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        remaining: Option<u32>,
    ) -> Result<StockUpdate, StoreError> {
        let edit = StockEdit { operation: StockOperation::Set(remaining), expected: None, claim: None };
        self.change_stock(id, item, &edit).await
    }
}

/// Refuses more than [`MAX_REVISIONS`] restaurants. Every store calls this check.
pub fn check_revision_count(ids: &[RestaurantId]) -> Result<(), StoreError> {
    if ids.len() <= MAX_REVISIONS {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} restaurants in one read of revisions, at most {MAX_REVISIONS} are allowed",
        ids.len()
    )))
}

/// A restaurant with its menu, both read at the same moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// The restaurant.
    pub restaurant: Restaurant,
    /// The menu. Catalogues with the same menu revision share it.
    pub menu: Arc<Menu>,
    /// Increases with every change of the menu or of the set of limited items.
    pub menu_revision: Revision,
    /// Items with limited stock. The remaining number is not cached; the store checks it when an order is written.
    pub limited: Arc<HashSet<Slug>>,
    /// Items that cannot be ordered, including items that are currently not on the menu.
    pub unavailable: UnavailableItems,
    /// Increases with every change of `unavailable`. The expiry of a mark is not a change.
    pub availability_revision: Revision,
}

impl Catalogue {
    /// Returns the revisions that must be unchanged when an order priced from this catalogue is written.
    pub const fn guard(&self) -> CatalogueGuard {
        CatalogueGuard {
            restaurant_revision: self.restaurant.revision,
            menu_revision: self.menu_revision,
            availability_revision: self.availability_revision,
        }
    }

    /// Returns the revisions that must be unchanged when a menu derived from this catalogue is written.
    pub const fn menu_revisions(&self) -> MenuRevisions {
        MenuRevisions { menu: self.menu_revision, availability: self.availability_revision }
    }
}

/// Revisions of a menu and of the availability of its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MenuRevisions {
    /// Revision of the menu.
    pub menu: Revision,
    /// Revision of the availability.
    pub availability: Revision,
}

/// A page of restaurants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestaurantPage {
    /// The restaurants.
    pub restaurants: Vec<Restaurant>,
    /// Whether restaurants may be missing from this page because a shard did not answer in time. The missing
    /// restaurants cannot accept orders either. Later pages do not contain them: a caller that needs them requests this
    /// page again.
    pub incomplete: bool,
    /// Restaurants that belong to this page, but that this program cannot decode: they are damaged, or a newer program wrote
    /// them. The page has further restaurants in their place.
    pub unreadable: Vec<RestaurantId>,
}

impl RestaurantPage {
    /// Returns how many restaurants a page of this size lacks.
    pub fn wanted(&self, limit: PageSize) -> u32 {
        limit.get().saturating_sub(u32::try_from(self.restaurants.len()).unwrap_or(u32::MAX))
    }

    /// Adds the restaurants that a store has found in the order of their ids, each with its content unless this program
    /// cannot decode it. Returns the id after which the store continues if the page is not complete: it found as many
    /// as `wanted`, and not all of them can be decoded.
    pub fn add(
        &mut self,
        found: Vec<(RestaurantId, Option<Restaurant>)>,
        wanted: u32,
    ) -> Option<RestaurantId> {
        let last = found.last().map(|(id, _)| *id).filter(|_| found.len() >= wanted as usize);
        let unreadable = self.unreadable.len();
        for (id, restaurant) in found {
            match restaurant {
                Some(restaurant) => self.restaurants.push(restaurant),
                None => self.unreadable.push(id),
            }
        }
        last.filter(|_| self.unreadable.len() > unreadable)
    }
}

/// Outcome of the registration of a restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestaurantCreation {
    /// The restaurant is registered.
    Created,
    /// A restaurant with this id already exists.
    IdTaken,
    /// A restaurant with this external id already exists.
    ExternalIdTaken {
        /// The existing restaurant.
        by: RestaurantId,
    },
}

impl RestaurantCreation {
    /// Returns whether the restaurant is registered.
    pub const fn is_created(self) -> bool {
        matches!(self, Self::Created)
    }
}

/// Outcome of a change of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueUpdate {
    /// The change is written.
    Done {
        /// The current revision.
        revision: Revision,
    },
    /// Another writer changed the catalogue first; nothing is written.
    Conflict {
        /// The current revision.
        current: Revision,
    },
    /// The restaurant does not exist.
    NotFound,
}

/// Stock of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockLevel {
    /// The item.
    pub item: Slug,
    /// Number of items left.
    pub remaining: u32,
    /// Increases with every manual change; sales and returns do not change it.
    pub revision: Revision,
}

/// A manual change of an item's stock.
#[derive(Clone, Copy, Debug)]
pub struct StockEdit<'a> {
    /// The operation.
    pub operation: StockOperation,
    /// Revision that the stock must have, if the caller states one. Unlimited stock has no revision.
    pub expected: Option<Revision>,
    /// Idempotency key of the edit, in the scope of the restaurant. Only an adjustment accepts a key.
    pub claim: Option<ClaimAt<'a>>,
}

/// Operation of a [`StockEdit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockOperation {
    /// Sets the number of items; `None` removes the limit.
    Set(Option<u32>),
    /// Adds to the stock, or subtracts from it. The result must be between zero and [`MAX_STOCK`]. Stock that returns
    /// have raised above [`MAX_STOCK`] can still be lowered.
    ///
    /// [`MAX_STOCK`]: dabba_domain::limits::MAX_STOCK
    Adjust(i32),
}

impl StockOperation {
    /// Returns the stock after an adjustment, or the outcome that refuses the adjustment. Every store calls this
    /// function or applies the same rule.
    pub fn adjusted(by: i32, remaining: u32) -> Result<u32, StockUpdate> {
        match remaining.checked_add_signed(by) {
            None if by < 0 => Err(StockUpdate::TooLow { remaining }),
            Some(result) if by < 0 || result <= MAX_STOCK => Ok(result),
            _ => Err(StockUpdate::TooHigh { remaining }),
        }
    }
}

/// Outcome of a [`StockEdit`]. Every outcome except `Done` has written nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockUpdate {
    /// The edit is written.
    Done {
        /// Stock after the edit; `None` if it is unlimited.
        level: Option<StockLevel>,
        /// The menu's revision after the edit.
        menu_revision: Revision,
    },
    /// The key was already claimed by the same request; this is that request's result.
    Replayed(StockLevel),
    /// The key was already claimed by another request.
    KeyReused,
    /// A newer version of Dabba claimed the key, in a form that only that version can compare.
    NewerClaim,
    /// The stock has another revision than expected.
    Conflict {
        /// The current revision; `None` if the stock is unlimited.
        current: Option<Revision>,
    },
    /// The item's stock is unlimited, so there is nothing to adjust.
    NotLimited,
    /// The adjustment would lower the stock below zero.
    TooLow {
        /// Number of items left.
        remaining: u32,
    },
    /// The adjustment would raise the stock above [`MAX_STOCK`].
    TooHigh {
        /// Number of items left.
        remaining: u32,
    },
    /// The restaurant does not exist.
    NotFound,
}

impl StockUpdate {
    /// Returns the outcome of an edit whose key is already claimed.
    pub fn of_record(record: &ClaimRecord, fingerprint: Fingerprint) -> Self {
        match (record.is_of(fingerprint), &record.resource) {
            (SameRequest::Unknown, _) => Self::NewerClaim,
            (SameRequest::Yes, Resource::Stock { item, remaining, .. }) => {
                let (item, remaining) = (item.clone(), *remaining);
                Self::Replayed(StockLevel { item, remaining, revision: record.version })
            }
            _ => Self::KeyReused,
        }
    }
}
