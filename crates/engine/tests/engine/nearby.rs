//! The search for restaurants that deliver to a place: what it finds, and how its index follows changes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::{
    RestaurantId,
    restaurant::{Location, SettingsDocument},
};
use dabba_engine::{Engine, EngineConfig, RestaurantSearch, SearchPage};
use dabba_store::{CatalogueStore as _, CatalogueUpdate, Hint};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    working::eventually,
    world::{World, config, menu_with_dal_at},
};

/// An interval that is short enough for tests.
const OFTEN: Duration = Duration::from_millis(10);

/// An interval that never elapses in a test.
const NEVER: Duration = Duration::from_hours(1);

/// A second server that follows the restaurants, while the world's own server changes them.
struct Following {
    engine: Arc<Engine>,
    _tasks: JoinSet<()>,
}

impl Following {
    /// Starts the server, and waits until it knows every restaurant.
    async fn start(world: &World, restaurant_sweep_interval: Duration) -> Self {
        let following = Self::begin(world, restaurant_sweep_interval);
        eventually("the index is complete", async || !following.search(&near(0.0, 0.0)).incomplete).await;
        following
    }

    fn begin(world: &World, restaurant_sweep_interval: Duration) -> Self {
        let engine = world.second_engine_with(EngineConfig { restaurant_sweep_interval, ..config() });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
        tasks.spawn(Arc::clone(&engine.catalogue).follow_restaurants());
        Self { engine, _tasks: tasks }
    }

    fn search(&self, search: &RestaurantSearch) -> SearchPage {
        self.engine.catalogue.search(search)
    }

    async fn finds(&self, search: &RestaurantSearch, expected: &[RestaurantId]) {
        eventually("the search finds what it should", async || ids(&self.search(search)) == expected).await;
    }
}

fn near(lat: f64, lng: f64) -> RestaurantSearch {
    RestaurantSearch { place: Location { lat, lng }, is_open: None, text: None, after: None, limit: 100 }
}

fn ids(page: &SearchPage) -> Vec<RestaurantId> {
    page.restaurants.iter().map(|found| found.restaurant.id).collect()
}

fn document(extra: &Value) -> SettingsDocument {
    let mut document = json!({"name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London"});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

/// Settings of a restaurant that delivers within a distance.
fn around(lat: f64, lng: f64, radius_metres: u32) -> SettingsDocument {
    let zones = json!([{"id": "all", "area": {"radius_metres": radius_metres}, "fee": 100, "minutes": 20}]);
    document(&json!({"location": {"lat": lat, "lng": lng}, "zones": zones}))
}

async fn create(world: &World, settings: SettingsDocument) -> RestaurantId {
    let created =
        world.engine.catalogue.create_restaurant(&world.admin, settings, menu_with_dal_at(500)).await;
    created.unwrap().restaurant().id
}

async fn replace(world: &World, id: RestaurantId, settings: SettingsDocument) {
    world.engine.catalogue.replace_settings(&world.admin, id, settings, None).await.unwrap();
}

/// Proves that a sweep finds new, changed and closed restaurants without a hint, and those that existed before.
#[tokio::test]
async fn a_sweep_finds_every_change() {
    let world = World::new().await;
    world.store.hides_hints.store(true, Ordering::SeqCst);
    let before = create(&world, around(51.5, -0.1, 2_000)).await;
    let following = Following::start(&world, OFTEN).await;
    let place = near(51.5, -0.1);
    following.finds(&place, &[before]).await;
    let after = create(&world, around(51.51, -0.1, 2_000)).await;
    following.finds(&place, &[before, after]).await;
    replace(&world, before, around(51.52, -0.1, 3_000)).await;
    following.finds(&place, &[after, before]).await;
    let reason = dabba_domain::text::Note::new("moved").unwrap();
    world.engine.catalogue.close_restaurant(&world.admin, after, reason, None).await.unwrap();
    following.finds(&place, &[before]).await;
    world.engine.catalogue.reopen_restaurant(&world.admin, after, None).await.unwrap();
    following.finds(&place, &[after, before]).await;
    replace(&world, before, around(51.52, -0.1, 1_000)).await;
    following.finds(&place, &[after]).await;
}

/// Proves that a hinted change is found without a sweep, whether or not the catalogue is cached.
#[tokio::test]
async fn a_hinted_change_is_found_without_a_sweep() {
    let world = World::new().await;
    let following = Following::start(&world, NEVER).await;
    let place = near(51.5, -0.1);
    let id = create(&world, around(51.5, -0.1, 2_000)).await;
    world.store.hint(Hint::Catalogue(id)).await;
    following.finds(&place, &[id]).await;
    replace(&world, id, around(60.0, -0.1, 2_000)).await;
    world.store.hint(Hint::Catalogue(id)).await;
    following.finds(&place, &[]).await;
    following.engine.catalogue.entry(id).await.unwrap();
    replace(&world, id, around(51.5, -0.1, 2_000)).await;
    world.store.hint(Hint::Catalogue(id)).await;
    following.finds(&place, &[id]).await;
}

/// Proves that a server finds its own changes at once.
#[tokio::test]
async fn a_servers_own_changes_are_found_at_once() {
    let world = World::new().await;
    let following = Following::start(&world, NEVER).await;
    let catalogue = &following.engine.catalogue;
    let place = near(51.5, -0.1);
    let created =
        catalogue.create_restaurant(&world.admin, around(51.5, -0.1, 2_000), menu_with_dal_at(500)).await;
    let id = created.unwrap().restaurant().id;
    assert_eq!(ids(&following.search(&place)), [id]);
    let found = &following.search(&place).restaurants[0];
    assert_eq!((found.distance_metres(), found.terms.fee.minor()), (Some(0), 100));
    assert_eq!(found.zone().and_then(|zone| zone.minutes), Some(20));
    catalogue.pause(&world.admin, id, None).await.unwrap();
    for (is_open, expected) in [(None, 1), (Some(true), 0), (Some(false), 1)] {
        let found = following.search(&RestaurantSearch { is_open, ..place.clone() });
        assert_eq!(found.restaurants.len(), expected, "{is_open:?}");
    }
    catalogue.replace_settings(&world.admin, id, around(0.0, 0.0, 1), None).await.unwrap();
    assert_eq!(ids(&following.search(&place)), []);
}

/// Proves that a restaurant that cannot be decoded hides no other one, that the results say so, and that the search finds it
/// once it can be decoded.
#[tokio::test]
async fn a_damaged_restaurant_hides_no_other_one() {
    let world = World::new().await;
    let place = near(51.5, -0.1);
    let [first, damaged, last] = {
        let create = async |distance: f64| create(&world, around(51.5 + distance, -0.1, 9_000)).await;
        [create(0.01).await, create(0.02).await, create(0.03).await]
    };
    world.store.unreadable.lock().unwrap().insert(damaged);
    let following = Following::begin(&world, OFTEN);
    following.finds(&place, &[first, last]).await;
    assert!(following.search(&place).incomplete);
    world.store.unreadable.lock().unwrap().clear();
    world.store.hint(Hint::Catalogue(damaged)).await;
    following.finds(&place, &[first, damaged, last]).await;
    assert!(!following.search(&place).incomplete);
    // A known one becomes unreadable with a change that only another program understands.
    let known = world.store.catalogue(first).await.unwrap().unwrap().restaurant;
    world.store.unreadable.lock().unwrap().insert(first);
    assert_eq!(
        world.store.update_restaurant(&known, known.revision).await.unwrap(),
        CatalogueUpdate::Done { revision: 2 }
    );
    following.finds(&place, &[damaged, last]).await;
    assert!(following.search(&place).incomplete);
}

/// Proves that results are incomplete while a shard does not answer, at the start and later, and that the search finds what
/// was created meanwhile.
#[tokio::test]
async fn results_are_incomplete_while_a_shard_is_missing() {
    let world = World::new().await;
    world.store.hides_hints.store(true, Ordering::SeqCst);
    let place = near(51.5, -0.1);
    let ids =
        [create(&world, around(51.5, -0.1, 2_000)).await, create(&world, around(51.51, -0.1, 2_000)).await];
    let lose = |id| {
        world.store.missing.lock().unwrap().insert(id);
    };
    lose(ids[1]);
    let following = Following::begin(&world, OFTEN);
    following.finds(&place, &ids[..1]).await;
    assert!(following.search(&place).incomplete);
    let is_incomplete = async |expected: bool| {
        eventually("the results say whether they are complete", async || {
            following.search(&place).incomplete == expected
        })
        .await;
    };
    world.store.missing.lock().unwrap().clear();
    following.finds(&place, &ids).await;
    is_incomplete(false).await;
    lose(ids[0]);
    is_incomplete(true).await;
    // The last known state is better than none.
    following.finds(&place, &ids).await;
    world.store.missing.lock().unwrap().clear();
    is_incomplete(false).await;
}

/// What a restaurant of the property is: its location, its radius if it has a zone, and whether it is open.
type Random = (Option<(i32, i32)>, Option<u32>, bool);

fn settings_of(restaurant: &Random, number: usize) -> SettingsDocument {
    let (location, radius, is_open) = restaurant;
    let name = if number.is_multiple_of(3) { "Café Zürich" } else { "Dosa House" };
    let mut extra = json!({"name": format!("{name} {number}")});
    if let Some((lat, lng)) = location {
        extra["location"] = json!({"lat": f64::from(*lat) / 100.0, "lng": f64::from(*lng) / 100.0});
        if let Some(radius) = radius {
            extra["zones"] = json!([{"id": "all", "area": {"radius_metres": radius}}]);
        }
    }
    if !is_open {
        extra["opening_hours"] = json!([]);
    }
    document(&extra)
}

/// Proves that the pages of a search are the restaurants that a check of each restaurant finds, in the same order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_a_check_of_each_restaurant_finds() {
    let world = World::new().await;
    let following = Following::start(&world, NEVER).await;
    let catalogue = &following.engine.catalogue;
    let restaurants = (
        proptest::option::weighted(0.9, (5_100_i32..5_130, -30_i32..30)),
        proptest::option::of(1_u32..20_000),
        any::<bool>(),
    );
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for number in 0..120 {
        let settings = settings_of(&restaurants.new_tree(&mut runner).unwrap().current(), number);
        let created = catalogue.create_restaurant(&world.admin, settings, menu_with_dal_at(500)).await;
        all.push(created.unwrap().restaurant().clone());
    }
    let searches = (5_095_i32..5_135, -35_i32..35, proptest::option::of(any::<bool>()), any::<bool>());
    for _ in 0..200 {
        let (lat, lng, is_open, has_text) = searches.new_tree(&mut runner).unwrap().current();
        let place = Location { lat: f64::from(lat) / 100.0, lng: f64::from(lng) / 100.0 };
        let mut expected: Vec<_> = all
            .iter()
            .filter(|restaurant| {
                let settings = &restaurant.settings;
                let distance = settings.location.map(|location| location.distance_metres(place));
                let reach = match settings.zones.first() {
                    Some(zone) => zone.area.contains(settings.location, place),
                    None => distance.is_some_and(|distance| distance <= 5_000.0),
                };
                let is_accepting = restaurant.check_accepting(world.engine.now()).is_ok();
                reach
                    && is_open.is_none_or(|is_open| is_accepting == is_open)
                    && (!has_text || settings.name.as_str().starts_with("Café"))
            })
            .map(|restaurant| {
                let distance = restaurant.settings.location.unwrap().distance_metres(place);
                ((distance * 1_000.0).round(), restaurant.id)
            })
            .collect();
        expected.sort_by(|one, other| one.partial_cmp(other).unwrap());
        let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
        let text = has_text.then(|| "ZUR cafe".to_owned());
        let mut search = RestaurantSearch { place, is_open, text, after: None, limit: 7 };
        let mut found = Vec::new();
        loop {
            let page = following.search(&search);
            found.extend(ids(&page));
            search.after = page.restaurants.last().map(|last| last.position);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(found, expected, "{search:?}");
    }
}
