//! The search for restaurants that deliver to a place, answered from memory.
//!
//! An index contains all restaurants of all shards. [`Catalogues::follow_restaurants`] fills it and keeps it up to date:
//!
//! - Changes by this process reach the index with the cache of catalogues, before the change is acknowledged.
//! - Changes by other processes reach it with the store's hints, or with the next sweep
//!   ([`crate::EngineConfig::restaurant_sweep_interval`]): a sweep compares the revisions of all restaurants and lists the
//!   restaurants created since the sweep before.
//!
//! The index finds the restaurants whose bounds contain the place in an R-tree; the exact areas decide. A stale
//! result costs at most a refused quote, because quote and order check the place again.
//!
//! | module | content |
//! |---|---|
//! | `index` | the index and the search in it |
//! | `follow` | filling the index and keeping it up to date |

mod follow;
mod index;

use std::sync::Arc;

use dabba_domain::{
    RestaurantId,
    restaurant::{DeliveryTerms, DeliveryZone, Location, Restaurant},
};

pub(crate) use index::RestaurantIndex;

use super::Catalogues;

/// Distance within which a search finds a restaurant that delivers and has no delivery zones, in metres.
pub const DEFAULT_REACH_METRES: u32 = 5_000;

/// Maximum number of restaurants that searches can find. The index omits further restaurants, and reports all results as
/// incomplete.
pub const MAX_INDEXED_RESTAURANTS: usize = 200_000;

/// Maximum number of positions in the delivery zones of all restaurants in the index: 80 MB. The index omits further
/// restaurants, and reports all results as incomplete.
pub const MAX_INDEXED_POSITIONS: usize = 10_000_000;

/// A search for restaurants that deliver to a place.
#[derive(Clone, Debug)]
pub struct RestaurantSearch {
    /// The place.
    pub place: Location,
    /// Only restaurants that take orders now (`true`), or only those that do not (`false`).
    pub is_open: Option<bool>,
    /// Text whose words must all occur in the name of a restaurant, in any order, without differences of case and accents.
    pub text: Option<String>,
    /// Position after which the page begins.
    pub after: Option<SearchPosition>,
    /// Maximum number of restaurants in the page.
    pub limit: usize,
}

/// Position in the results of a search: nearest first, and restaurants without a location last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchPosition {
    /// Distance from the place to the restaurant in millimetres; the maximum without a location.
    pub millimetres: u64,
    /// The restaurant.
    pub id: RestaurantId,
}

/// A restaurant that delivers to the place of a search.
#[derive(Clone, Debug)]
pub struct FoundRestaurant {
    /// The restaurant.
    pub restaurant: Arc<Restaurant>,
    /// Position in the results.
    pub position: SearchPosition,
    /// Terms of a delivery to the place.
    pub terms: DeliveryTerms,
    /// Index of the delivery zone that contains the place; `None` if the restaurant has no delivery zones.
    zone: Option<usize>,
}

impl FoundRestaurant {
    /// Returns the distance from the place in whole metres; `None` if the location of the restaurant is not known.
    pub const fn distance_metres(&self) -> Option<u64> {
        match self.position.millimetres {
            u64::MAX => None,
            millimetres => Some((millimetres + 500) / 1_000),
        }
    }

    /// Returns the delivery zone that contains the place.
    pub fn zone(&self) -> Option<&DeliveryZone> {
        self.restaurant.settings.zones.get(self.zone?)
    }
}

/// A page of the results of a search.
#[derive(Clone, Debug, Default)]
pub struct SearchPage {
    /// The restaurants, nearest first.
    pub restaurants: Vec<FoundRestaurant>,
    /// Whether there are more results.
    pub has_more: bool,
    /// Whether restaurants may be missing or outdated: the index does not contain all restaurants yet, a shard did not answer
    /// the last sweep, this server cannot decode a restaurant, or the index is full.
    pub incomplete: bool,
}

impl Catalogues {
    /// Returns the restaurants that deliver to a place, nearest first. A restaurant with delivery zones delivers within
    /// them; one without is found within [`DEFAULT_REACH_METRES`] of its location, although it accepts orders for every
    /// address. For everyone. Needs [`Catalogues::follow_restaurants`]; reads nothing from the store.
    pub fn search(&self, search: &RestaurantSearch) -> SearchPage {
        self.catalogue_cache.index.search(search, self.clock.now())
    }
}
