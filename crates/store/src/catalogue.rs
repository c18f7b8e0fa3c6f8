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

/// Most restaurants whose revisions are asked for in one call of [`CatalogueStore::revisions`].
pub const MAX_REVISIONS: usize = 256;

/// Keeps restaurants, menus and stock.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// Registers a restaurant with its menu and the availability that the menu's document states, unless its id or
    /// its external id is taken. The revisions of menu and availability are 1.
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError>;

    /// Returns the restaurant with this external id; the shard is the one of the external id's bucket.
    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError>;

    /// All that is needed to price an order of a restaurant.
    async fn catalogue(&self, id: RestaurantId) -> Result<Option<Catalogue>, StoreError> {
        self.catalogue_beyond(id, None).await
    }

    /// The same as [`CatalogueStore::catalogue`] for a caller that knows an older state of it. The menu and what is
    /// limited are shared with `known` instead of read where they are still at the known revision, so that a
    /// change of availability costs a read of the marks and not of a large menu.
    async fn catalogue_beyond(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError>;

    /// The revisions of at most [`MAX_REVISIONS`] restaurants as they are now, in any order: whether what
    /// is remembered of them still holds. Those of unknown restaurants are missing, and so are those on a
    /// shard that does not answer; only when no shard that was asked answers is it an error. To ask for
    /// more at once is [`StoreError::Corrupt`].
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError>;

    /// A page of restaurants behind the given one, by id, oldest first: all, or those that are closed
    /// permanently, or those that are not.
    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError>;

    /// Replaces the settings, the pause and the closure of a restaurant that is at revision `expected`. The
    /// restaurant's own `revision` is not looked at; the new one is `expected + 1`. The external id stays. The key
    /// is in the restaurant's scope; its claim is looked at first, and made together with the update.
    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError>;

    /// Updates a restaurant without a key.
    async fn update_restaurant(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
    ) -> Result<CatalogueUpdate, StoreError> {
        match self.update_restaurant_under(restaurant, expected, None).await? {
            UnderKey::Ended(update) => Ok(update),
            UnderKey::Claimed(_) => {
                Err(StoreError::Corrupt("a key was claimed that was not given".to_owned()))
            }
        }
    }

    /// Replaces the menu of a restaurant that is at the `expected` revisions. The availability that the menu's
    /// document states is set with it, and raises the availability's revision if it changes a mark. What the
    /// document does not state is kept.
    ///
    /// `Done` and `Conflict` name the menu's revision, also where only the availability is at another one.
    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// Marks an item as unavailable, or takes the mark away. Writes one small row; the menu is neither read nor
    /// written, so it is not asked whether the item is on it. With `expected`, the availability must be at one of these
    /// revisions. `Done` and `Conflict` name the availability's revision, which goes up if the mark changes.
    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError>;

    /// The limited stock of a restaurant, by item.
    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError>;

    /// Changes the stock of an item by hand, atomically, if what the edit expects is so. The conditions are
    /// checked in this order, and the first that fails is the outcome: the restaurant, the claim, the
    /// revision, the limit.
    ///
    /// The stock's revision goes up, above every revision that the item's stock ever had; sales and returns
    /// leave it as it is. The menu's revision goes up when the item becomes limited or ceases to be.
    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError>;

    /// Sets the stock of an item without conditions: [`CatalogueStore::change_stock`] with
    /// [`StockOperation::Set`].
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
    /// Its menu. Shared by all catalogues with the same revision of the menu.
    pub menu: Arc<Menu>,
    /// Goes up with every change of the menu, and of which items are limited.
    pub menu_revision: Revision,
    /// The items whose stock is limited. How many there are is asked when it matters.
    pub limited: Arc<HashSet<Slug>>,
    /// The items that cannot be ordered, among them items that are not on the menu at present.
    pub unavailable: UnavailableItems,
    /// Goes up with every change of `unavailable`. The passing of a mark's end is no change.
    pub availability_revision: Revision,
}

impl Catalogue {
    /// What must not have changed when an order that was priced from this is written.
    pub const fn guard(&self) -> CatalogueGuard {
        CatalogueGuard {
            restaurant_revision: self.restaurant.revision,
            menu_revision: self.menu_revision,
            availability_revision: self.availability_revision,
        }
    }

    /// What must not have changed when a menu that was made from this is written.
    pub const fn menu_revisions(&self) -> MenuRevisions {
        MenuRevisions { menu: self.menu_revision, availability: self.availability_revision }
    }
}

/// The revisions of a menu and of the availability of its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MenuRevisions {
    /// The menu's.
    pub menu: Revision,
    /// The availability's.
    pub availability: Revision,
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

/// How the registration of a restaurant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestaurantCreation {
    /// It is registered.
    Created,
    /// There is a restaurant with this id.
    IdTaken,
    /// There is a restaurant with this external id.
    ExternalIdTaken {
        /// The restaurant.
        by: RestaurantId,
    },
}

impl RestaurantCreation {
    /// Whether the restaurant is registered.
    pub const fn is_created(self) -> bool {
        matches!(self, Self::Created)
    }
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
    /// Goes up with every change by hand; sales and returns leave it as it is.
    pub revision: Revision,
}

/// A change of an item's stock by hand.
#[derive(Clone, Copy, Debug)]
pub struct StockEdit<'a> {
    /// What changes.
    pub operation: StockOperation,
    /// The revision at which the stock has to be, if the caller insists on one. Stock that is not limited is
    /// at none.
    pub expected: Option<Revision>,
    /// The idempotency key under which this is done, in the scope of the restaurant. Only an adjustment
    /// takes one.
    pub claim: Option<ClaimAt<'a>>,
}

/// What a [`StockEdit`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockOperation {
    /// Sets how many there are; `None` lifts the limit.
    Set(Option<u32>),
    /// Adds to what there is, or takes from it. The result lies between zero and [`MAX_STOCK`]; stock that
    /// returns have brought above [`MAX_STOCK`] can still be lowered.
    ///
    /// [`MAX_STOCK`]: dabba_domain::limits::MAX_STOCK
    Adjust(i32),
}

impl StockOperation {
    /// What an adjustment makes of a stock, or why it makes nothing of it. Every store asks this, or decides
    /// as this does.
    pub fn adjusted(by: i32, remaining: u32) -> Result<u32, StockUpdate> {
        match remaining.checked_add_signed(by) {
            None if by < 0 => Err(StockUpdate::TooLow { remaining }),
            Some(result) if by < 0 || result <= MAX_STOCK => Ok(result),
            _ => Err(StockUpdate::TooHigh { remaining }),
        }
    }
}

/// How a [`StockEdit`] ended. What is not `Done` has written nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockUpdate {
    /// It is written.
    Done {
        /// The stock after it; `None` when it is not limited.
        level: Option<StockLevel>,
        /// The menu's revision after it.
        menu_revision: Revision,
    },
    /// The key had been claimed for the same request, which led to this.
    Replayed(StockLevel),
    /// The key had been claimed for another request.
    KeyReused,
    /// The key had been claimed by a newer version of Dabba, in a way that only that version can compare.
    NewerClaim,
    /// The stock is at another revision than expected.
    Conflict {
        /// The revision at which it is; `None` when it is not limited.
        current: Option<Revision>,
    },
    /// The item's stock is not limited, so there is nothing to adjust.
    NotLimited,
    /// The adjustment would take more than there is.
    TooLow {
        /// How many there are.
        remaining: u32,
    },
    /// The adjustment would lead above [`MAX_STOCK`].
    TooHigh {
        /// How many there are.
        remaining: u32,
    },
    /// There is no such restaurant.
    NotFound,
}

impl StockUpdate {
    /// The outcome of an edit under a key that is claimed.
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
