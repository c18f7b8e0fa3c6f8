//! The index of restaurants by the places to which they deliver.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use dabba_domain::{
    RestaurantId, Timestamp,
    geo::{Bounds, Position},
    menu::searchable,
    restaurant::{Location, Reach, Restaurant, Revision},
};
use rstar::{AABB, RTree, RTreeObject};
use tokio::sync::Notify;

use super::{
    DEFAULT_REACH_METRES, FoundRestaurant, MAX_INDEXED_POSITIONS, MAX_INDEXED_RESTAURANTS, RestaurantSearch,
    SearchPage, SearchPosition,
};

/// Millimetres per metre.
const MILLIMETRES: f64 = 1_000.0;

/// All restaurants, by id and by the bounds of the places to which they deliver. Empty until it is followed.
#[derive(Default)]
pub(crate) struct RestaurantIndex {
    state: RwLock<State>,
    is_followed: AtomicBool,
    /// Restaurants that a hint has named. Contains each at most once.
    announced: Mutex<HashSet<RestaurantId>>,
    pub(super) announcement: Notify,
}

#[derive(Default)]
struct State {
    restaurants: HashMap<RestaurantId, Known>,
    tree: RTree<Delivering>,
    /// Number of positions in the areas of all restaurants in the tree.
    positions: usize,
    /// Restaurants that this program cannot decode.
    unreadable: HashSet<RestaurantId>,
    /// Whether the last sweep has compared the index with every shard.
    is_current: bool,
    /// Whether the index has omitted a restaurant because it is full.
    is_full: bool,
}

/// What the index knows of a restaurant.
struct Known {
    revision: Revision,
    /// The restaurant, if a search can find it.
    indexed: Option<Arc<Indexed>>,
}

/// A restaurant in the index.
struct Indexed {
    restaurant: Arc<Restaurant>,
    /// Name in the form in which it is searched.
    name: String,
    opening: Opening,
}

/// Whether a restaurant is within its opening hours, for the minute at which this was last asked: openings begin and end at
/// whole minutes.
struct Opening(AtomicI64);

impl Opening {
    /// No minute: the first question finds the answer.
    const UNKNOWN: i64 = i64::MIN;

    fn is_open(&self, restaurant: &Restaurant, now: Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60);
        let known = self.0.load(Ordering::Relaxed);
        if known != Self::UNKNOWN && known >> 1 == minute {
            return known & 1 == 1;
        }
        let settings = &restaurant.settings;
        let is_open = settings.opening_hours.first_open_from(now, &settings.time_zone) == Some(now);
        self.0.store(minute << 1 | i64::from(is_open), Ordering::Relaxed);
        is_open
    }
}

impl Indexed {
    fn new(restaurant: Arc<Restaurant>) -> Self {
        let name = searchable(restaurant.settings.name.as_str());
        Self { restaurant, name, opening: Opening(AtomicI64::new(Opening::UNKNOWN)) }
    }

    fn is_accepting(&self, now: Timestamp) -> bool {
        let is_paused =
            self.restaurant.pause.is_some_and(|pause| pause.until.is_none_or(|until| now < until));
        !is_paused && self.opening.is_open(&self.restaurant, now)
    }

    /// Returns the restaurant as a result of a search, if it delivers to the place.
    fn found(&self, place: Location) -> Option<FoundRestaurant> {
        let settings = &self.restaurant.settings;
        let distance = settings.location.map(|location| location.distance_metres(place));
        let (terms, zone) = match settings.reach(Some(place)) {
            Reach::Zone(zone) => {
                (zone.terms(), settings.zones.iter().position(|other| std::ptr::eq(other, zone)))
            }
            Reach::Anywhere(terms)
                if distance.is_some_and(|metres| metres <= f64::from(DEFAULT_REACH_METRES)) =>
            {
                (terms, None)
            }
            Reach::Anywhere(_) | Reach::Outside | Reach::Unlocated | Reach::Never => return None,
        };
        let millimetres = distance.map_or(u64::MAX, in_millimetres);
        let position = SearchPosition { millimetres, id: self.restaurant.id };
        Some(FoundRestaurant { restaurant: Arc::clone(&self.restaurant), position, terms, zone })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no distance on Earth is that long"
)]
fn in_millimetres(metres: f64) -> u64 {
    (metres * MILLIMETRES).round() as u64
}

/// Returns a position in the numbers of the tree, which holds whole numbers of this size exactly. In whole numbers, the
/// areas that the tree computes would overflow.
fn point(Position { lng, lat }: Position) -> [f64; 2] {
    [lng.into(), lat.into()]
}

/// A restaurant in the tree.
struct Delivering {
    bounds: AABB<[f64; 2]>,
    indexed: Arc<Indexed>,
}

impl RTreeObject for Delivering {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> AABB<[f64; 2]> {
        self.bounds
    }
}

impl PartialEq for Delivering {
    fn eq(&self, other: &Self) -> bool {
        self.indexed.restaurant.id == other.indexed.restaurant.id
    }
}

impl Delivering {
    /// Returns the number of positions in the areas of the restaurant.
    fn positions(&self) -> usize {
        self.indexed.restaurant.settings.zones.iter().map(|zone| zone.area.positions()).sum()
    }

    /// Returns the entry of a restaurant; `None` if no search finds it.
    fn new(indexed: &Arc<Indexed>) -> Option<Self> {
        let Restaurant { settings, closed, .. } = &*indexed.restaurant;
        if closed.is_some() || settings.delivery.is_none() {
            return None;
        }
        let bounds = if settings.zones.is_empty() {
            settings.location.map(|location| Bounds::around(location, DEFAULT_REACH_METRES))
        } else {
            let bounds = settings.zones.iter().filter_map(|zone| zone.area.bounds(settings.location));
            bounds.reduce(Bounds::joined)
        };
        let Bounds { min, max } = bounds?;
        let bounds = AABB::from_corners(point(min), point(max));
        Some(Self { bounds, indexed: Arc::clone(indexed) })
    }
}

impl State {
    fn remove(&mut self, id: RestaurantId) {
        let known = self.restaurants.remove(&id).and_then(|known| known.indexed);
        if let Some(entry) = known.as_ref().and_then(Delivering::new) {
            self.tree.remove(&entry);
            self.positions -= entry.positions();
        }
    }

    /// Adds a restaurant that is not in the index. One that no search finds has only its revision there. Returns whether the
    /// index has space for it.
    fn add(&mut self, restaurant: &Restaurant) -> bool {
        let indexed = Arc::new(Indexed::new(Arc::new(restaurant.clone())));
        let entry = Delivering::new(&indexed);
        let known = Known { revision: restaurant.revision, indexed: entry.is_some().then_some(indexed) };
        if let Some(entry) = entry {
            let positions = self.positions + entry.positions();
            if self.tree.size() >= MAX_INDEXED_RESTAURANTS || positions > MAX_INDEXED_POSITIONS {
                return false;
            }
            self.positions = positions;
            self.tree.insert(entry);
        }
        self.restaurants.insert(restaurant.id, known);
        true
    }
}

impl RestaurantIndex {
    /// From now on, the index contains the restaurants that it is given.
    pub(super) fn begin(&self) {
        self.is_followed.store(true, Ordering::Relaxed);
    }

    fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Adds a restaurant, or replaces it if this revision is newer.
    pub(crate) fn put(&self, restaurant: &Restaurant) {
        if !self.is_followed() || !self.is_news(restaurant.id, restaurant.revision) {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Another call may have been faster.
        if state.restaurants.get(&restaurant.id).is_some_and(|known| known.revision >= restaurant.revision) {
            return;
        }
        state.remove(restaurant.id);
        state.unreadable.remove(&restaurant.id);
        if !state.add(restaurant) && !std::mem::replace(&mut state.is_full, true) {
            tracing::warn!(
                MAX_INDEXED_RESTAURANTS,
                MAX_INDEXED_POSITIONS,
                "the search does not find all restaurants"
            );
        }
    }

    fn is_news(&self, id: RestaurantId, revision: Revision) -> bool {
        self.revision(id).is_none_or(|known| known < revision)
    }

    /// Removes a restaurant.
    pub(crate) fn remove(&self, id: RestaurantId) {
        if self.is_followed() {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.remove(id);
            state.unreadable.remove(&id);
        }
    }

    /// Removes a restaurant that this program cannot decode, and reports all results as incomplete from now on. Returns whether
    /// this is news.
    pub(super) fn omit(&self, id: RestaurantId) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.remove(id);
        state.unreadable.insert(id)
    }

    /// Notes that another process may have changed a restaurant.
    pub(crate) fn announce(&self, id: RestaurantId) {
        if self.is_followed() {
            self.announced.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            self.announcement.notify_one();
        }
    }

    /// Returns the restaurants that were announced since the last call.
    pub(super) fn take_announced(&self) -> Vec<RestaurantId> {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *announced).into_iter().collect()
    }

    /// Returns the revision at which the index has a restaurant.
    pub(super) fn revision(&self, id: RestaurantId) -> Option<Revision> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.restaurants.get(&id).map(|known| known.revision)
    }

    pub(super) fn restaurant(&self, id: RestaurantId) -> Option<Arc<Restaurant>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let indexed = state.restaurants.get(&id)?.indexed.as_ref()?;
        Some(Arc::clone(&indexed.restaurant))
    }

    pub(super) fn ids(&self) -> Vec<RestaurantId> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.restaurants.keys().copied().collect()
    }

    /// Notes whether the last sweep has compared the index with every shard.
    pub(super) fn set_current(&self, is_current: bool) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).is_current = is_current;
    }

    /// Returns a page of the restaurants that deliver to a place, nearest first.
    pub(super) fn search(&self, search: &RestaurantSearch, now: Timestamp) -> SearchPage {
        let RestaurantSearch { place, is_open, text, after, limit } = search;
        let words = text.as_deref().map(searchable).unwrap_or_default();
        let has_words = |indexed: &Indexed| words.split_whitespace().all(|word| indexed.name.contains(word));
        let (candidates, incomplete) = self.around(*place);
        let candidates = candidates.iter().filter(|indexed| has_words(indexed));
        let mut found: Vec<_> = candidates
            .filter_map(|indexed| Some((indexed.found(*place)?, indexed)))
            .filter(|(found, _)| after.is_none_or(|after| found.position > after))
            .collect();
        found.sort_unstable_by_key(|(found, _)| found.position);
        // Opening hours are the most expensive condition, so they are checked up to the end of the page only.
        let mut restaurants = found
            .into_iter()
            .filter(|(_, indexed)| is_open.is_none_or(|is_open| indexed.is_accepting(now) == is_open));
        let page = restaurants.by_ref().take(*limit).map(|(found, _)| found).collect();
        SearchPage { restaurants: page, has_more: restaurants.next().is_some(), incomplete }
    }

    /// Returns the restaurants whose bounds contain a place, and whether some may be missing.
    fn around(&self, place: Location) -> (Vec<Arc<Indexed>>, bool) {
        let point = AABB::from_point(point(place.into()));
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let candidates = state.tree.locate_in_envelope_intersecting(point);
        let candidates = candidates.map(|entry| Arc::clone(&entry.indexed)).collect();
        (candidates, !state.is_current || state.is_full || !state.unreadable.is_empty())
    }
}
