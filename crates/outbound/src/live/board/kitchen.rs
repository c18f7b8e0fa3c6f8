//! The restaurant of a board as it is shown: whether it takes orders, and the items that are not simply available.

use std::{collections::BTreeMap, sync::Arc};

use dabba_domain::{
    Amount, RestaurantId, Timestamp,
    restaurant::{NotAcceptingReason, Revision},
    text::{Name, Slug},
};
use dabba_engine::{CatalogueEntry, Engine, Error};
use dabba_store::{StockLevel, Store};
use tokio::time::timeout;

use super::super::follower::READ_TIMEOUT;

/// A restaurant with its menu and its limited stock, as read at a moment.
#[derive(Debug)]
pub(super) struct Kitchen {
    pub(super) entry: Arc<CatalogueEntry>,
    stock: Vec<StockLevel>,
}

/// An item of the menu that is unavailable, or whose stock is limited; or an item that was so before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardItem {
    /// The item's id in the menu.
    pub item: Slug,
    /// Name of the item.
    pub name: Name,
    /// Whether the item is marked as available. An available item without remaining stock cannot be ordered either.
    pub is_available: bool,
    /// Time from which an unavailable item is available again, if it is known.
    pub until: Option<Timestamp>,
    /// Remaining stock; `None` if it is not limited.
    pub remaining: Option<u32>,
}

/// The items that a board shows, by id.
pub(super) type Items = BTreeMap<Slug, BoardItem>;

/// What a board shows of its restaurant, apart from the items. Two equal values look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    revision: Revision,
    not_accepting: Option<NotAcceptingReason>,
    /// A permanent closure hides the pause in the reason.
    is_paused: bool,
}

impl Kitchen {
    /// Reads a restaurant: from the cache of catalogues, and its stock from the store if some of it is limited.
    pub(super) async fn read(engine: &Engine, store: &dyn Store, id: RestaurantId) -> Result<Self, Error> {
        let reading = async {
            let entry = engine.catalogue.entry(id).await?;
            let is_limited = !entry.catalogue.limited.is_empty();
            let stock = if is_limited { store.stock(id).await? } else { Vec::new() };
            Ok(Self { entry, stock })
        };
        timeout(READ_TIMEOUT, reading).await.unwrap_or(Err(Error::Unavailable))
    }

    /// Returns whether orders may change the stock.
    pub(super) fn has_stock(&self) -> bool {
        !self.entry.catalogue.limited.is_empty()
    }

    /// Returns how much the restaurant's staff may refund per order, which decides what staff may do with each order.
    pub(super) fn refund_limit(&self) -> Amount {
        self.entry.restaurant().settings.refund_limit
    }

    /// Returns what a board shows of the restaurant at `now`.
    pub(super) fn look(&self, now: Timestamp) -> Look {
        let restaurant = self.entry.restaurant();
        Look {
            revision: restaurant.revision,
            not_accepting: restaurant.check_accepting(now).err(),
            is_paused: restaurant.pause.is_some_and(|pause| pause.until.is_none_or(|until| now < until)),
        }
    }

    /// Returns the items of the menu that are unavailable at `now`, or whose stock is limited.
    pub(super) fn items(&self, now: Timestamp) -> Items {
        let catalogue = &self.entry.catalogue;
        let stock = self.stock.iter().map(|level| &level.item);
        let marked = catalogue.unavailable.at(now).map(|(item, _)| item);
        let mut items = Items::new();
        for id in stock.chain(marked) {
            if let Some(item) = catalogue.menu.item(id.as_str()) {
                let name = item.name.clone();
                let all =
                    BoardItem { item: id.clone(), name, is_available: true, until: None, remaining: None };
                items.insert(id.clone(), all);
            }
        }
        for level in &self.stock {
            if let Some(item) = items.get_mut(&level.item) {
                item.remaining = Some(level.remaining);
            }
        }
        for (id, until) in catalogue.unavailable.at(now) {
            if let Some(item) = items.get_mut(id) {
                (item.is_available, item.until) = (false, until);
            }
        }
        items
    }
}

/// Returns the items that look different after a change. An item that is no longer in the list is simply available.
pub(super) fn changed_items(before: &Items, after: &Items) -> Vec<BoardItem> {
    let is_new = |item: &&BoardItem| before.get(&item.item) != Some(item);
    let back = before.values().filter(|item| !after.contains_key(&item.item));
    let back =
        back.map(|item| BoardItem { is_available: true, until: None, remaining: None, ..item.clone() });
    after.values().filter(is_new).cloned().chain(back).collect()
}
