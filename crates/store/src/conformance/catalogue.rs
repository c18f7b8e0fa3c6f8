//! Restaurants, menus and stock levels.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{
    RestaurantId,
    menu::{Availability, UnavailableItems},
    restaurant::{OpeningHours, Pause, Restaurant},
    text::Slug,
};

use super::builders::{World, menu, menu_at, name, slug};
use crate::{
    Catalogue, CatalogueGuard, CatalogueUpdate, MAX_REVISIONS, PageSize, RestaurantPage, StockLevel,
    StockUpdate, Store, StoreError,
};

const fn done(revision: u32) -> CatalogueUpdate {
    CatalogueUpdate::Done { revision }
}

/// Returns whether a change of stock was made and the menu is now at this revision.
fn is_done(update: &StockUpdate, revision: u32) -> bool {
    matches!(update, StockUpdate::Done { menu_revision, .. } if *menu_revision == revision)
}

const fn conflict(current: u32) -> CatalogueUpdate {
    CatalogueUpdate::Conflict { current }
}

async fn create(store: &Arc<dyn Store>, world: &mut World, items: &[&str]) -> Restaurant {
    let restaurant = world.restaurant();
    assert!(store.create_restaurant(&restaurant, &menu(items)).await.unwrap().is_created());
    restaurant
}

async fn catalogue(store: &Arc<dyn Store>, id: RestaurantId) -> Catalogue {
    store.catalogue(id).await.unwrap().unwrap()
}

/// Settings, pause, times and menu of a new restaurant are stored exactly; the menu starts at revision 1.
pub async fn a_created_restaurant_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(61);
    let mut restaurant = world.restaurant();
    restaurant.pause = Some(Pause::by_person(Some(world.in_seconds(600))));
    restaurant.settings.opening_hours = OpeningHours::Weekly(Vec::new());
    let menu = menu(&["naan", "roti"]);
    assert!(store.create_restaurant(&restaurant, &menu).await.unwrap().is_created());
    let expected = Catalogue {
        restaurant,
        menu: Arc::new(menu),
        menu_revision: 1,
        limited: Arc::default(),
        unavailable: UnavailableItems::default(),
        availability_revision: 1,
    };
    assert_eq!(catalogue(&store, expected.restaurant.id).await, expected);
    assert_eq!(store.stock(expected.restaurant.id).await.unwrap(), []);
}

/// A second restaurant with the same id is refused, and the first does not change.
pub async fn a_restaurant_is_created_once(store: Arc<dyn Store>) {
    let mut world = World::new(62);
    let restaurant = create(&store, &mut world, &["naan"]).await;
    let before = catalogue(&store, restaurant.id).await;
    let mut other = restaurant.clone();
    other.settings.name = name("Another");
    assert!(!store.create_restaurant(&other, &menu(&["roti"])).await.unwrap().is_created());
    assert_eq!(catalogue(&store, restaurant.id).await, before);
}

/// Restaurants are listed once each, ordered by id, oldest first.
pub async fn restaurants_are_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(63);
    let mut created = Vec::new();
    for _ in 0..7 {
        created.push(create(&store, &mut world, &["naan"]).await);
    }
    created.sort_by_key(|restaurant| restaurant.id);
    let limit = PageSize::new(3).unwrap();
    for (after, expected) in [
        (None, &created[..3]),
        (Some(created[2].id), &created[3..6]),
        (Some(created[5].id), &created[6..]),
        (Some(created[6].id), &[]),
    ] {
        let page = RestaurantPage { restaurants: expected.to_vec(), ..RestaurantPage::default() };
        assert_eq!(store.restaurants(after, None, limit).await.unwrap(), page);
    }
}

/// An update replaces settings and pause, and keeps the time of creation and the menu. An update based on an
/// older revision returns the current revision.
pub async fn a_restaurant_is_updated_only_at_the_expected_revision(store: Arc<dyn Store>) {
    let mut world = World::new(64);
    let restaurant = create(&store, &mut world, &["naan"]).await;
    let mut changed = restaurant.clone();
    changed.settings.name = name("Another");
    changed.pause = Some(Pause::by_person(None));
    changed.created_at = world.in_seconds(99);
    changed.revision = 77;
    assert_eq!(store.update_restaurant(&changed, 2).await.unwrap(), conflict(1));
    assert_eq!(catalogue(&store, restaurant.id).await.restaurant, restaurant);
    assert_eq!(store.update_restaurant(&changed, 1).await.unwrap(), done(2));
    assert_eq!(store.update_restaurant(&restaurant, 1).await.unwrap(), conflict(2));
    let expected = Restaurant { revision: 2, created_at: restaurant.created_at, ..changed };
    let stored = catalogue(&store, restaurant.id).await;
    assert_eq!(stored.restaurant, expected);
    assert_eq!((stored.menu_revision, &*stored.menu), (1, &menu(&["naan"])));
    let unpaused = Restaurant { pause: None, ..expected };
    assert_eq!(store.update_restaurant(&unpaused, 2).await.unwrap(), done(3));
    assert_eq!(catalogue(&store, restaurant.id).await.restaurant.pause, None);
}

/// The menu has its own revision.
pub async fn a_menu_is_replaced_only_at_the_expected_revision(store: Arc<dyn Store>) {
    let mut world = World::new(65);
    let id = create(&store, &mut world, &["naan"]).await.id;
    let other = create(&store, &mut world, &["dal"]).await.id;
    assert_eq!(store.replace_menu(id, &menu(&["roti"]), menu_at(2)).await.unwrap(), conflict(1));
    assert_eq!(*catalogue(&store, id).await.menu, menu(&["naan"]));
    assert_eq!(store.replace_menu(id, &menu(&["roti"]), menu_at(1)).await.unwrap(), done(2));
    assert_eq!(store.replace_menu(id, &menu(&["puri"]), menu_at(1)).await.unwrap(), conflict(2));
    let stored = catalogue(&store, id).await;
    assert_eq!((&*stored.menu, stored.menu_revision), (&menu(&["roti"]), 2));
    assert_eq!(stored.restaurant.revision, 1);
    assert_eq!(*catalogue(&store, other).await.menu, menu(&["dal"]));
}

/// After any number of replacements, the catalogue contains the latest menu.
pub async fn a_menu_can_be_replaced_many_times(store: Arc<dyn Store>) {
    let mut world = World::new(66);
    let id = create(&store, &mut world, &["naan"]).await.id;
    for revision in 1..=30 {
        let item = format!("item-{revision}");
        assert_eq!(
            store.replace_menu(id, &menu(&[&item]), menu_at(revision)).await.unwrap(),
            done(revision + 1)
        );
        assert_eq!(*catalogue(&store, id).await.menu, menu(&[&item]));
    }
}

/// Replacing the menu keeps the stock, also of an item that is temporarily off the menu.
pub async fn replacing_the_menu_keeps_the_stock(store: Arc<dyn Store>) {
    let mut world = World::new(67);
    let id = create(&store, &mut world, &["naan", "roti"]).await.id;
    let other = create(&store, &mut world, &["roti"]).await.id;
    for (restaurant, item) in [(id, "naan"), (id, "roti"), (other, "roti")] {
        store.set_stock(restaurant, &slug(item), Some(5)).await.unwrap();
    }
    assert_eq!(store.replace_menu(id, &menu(&["naan", "dal"]), menu_at(3)).await.unwrap(), done(4));
    store.set_stock(id, &slug("naan"), Some(4)).await.unwrap();
    assert_eq!(store.replace_menu(id, &menu(&["naan", "roti"]), menu_at(4)).await.unwrap(), done(5));
    let level = |item, remaining, revision| StockLevel { item: slug(item), remaining, revision };
    assert_eq!(store.stock(id).await.unwrap(), [level("naan", 4, 2), level("roti", 5, 1)]);
    assert_eq!(*catalogue(&store, id).await.limited, HashSet::from([slug("naan"), slug("roti")]));
    assert_eq!(store.stock(other).await.unwrap().len(), 1);
}

/// The set of limited items is an input of pricing, so its changes increase the menu's revision; the
/// remaining numbers are not.
pub async fn the_menu_revision_increases_when_an_item_becomes_limited_or_unlimited(store: Arc<dyn Store>) {
    let mut world = World::new(68);
    let id = create(&store, &mut world, &["naan", "roti"]).await.id;
    let naan: Slug = slug("naan");
    for (remaining, revision) in [
        (None, 1), // The item is already unlimited.
        (Some(5), 2),
        (Some(0), 2),
        (Some(7), 2),
        (None, 3),
        (None, 3),
        (Some(1_000_000), 4),
    ] {
        let update = store.set_stock(id, &naan, remaining).await.unwrap();
        assert!(is_done(&update, revision), "{remaining:?}: {update:?}");
        let stored = catalogue(&store, id).await;
        assert_eq!(stored.menu_revision, revision);
        assert_eq!(stored.limited.contains("naan"), remaining.is_some());
        assert_eq!(*stored.menu, menu(&["naan", "roti"]));
        let levels = store.stock(id).await.unwrap();
        assert_eq!(levels.first().map(|level| level.remaining), remaining);
    }
    // All these changes count: the menu is replaced at the resulting revision.
    assert_eq!(store.replace_menu(id, &menu(&["naan"]), menu_at(1)).await.unwrap(), conflict(4));
    assert_eq!(store.replace_menu(id, &menu(&["naan"]), menu_at(4)).await.unwrap(), done(5));
}

/// An unknown restaurant cannot be read or changed, and the attempt does not create it.
pub async fn an_unknown_restaurant_is_not_found(store: Arc<dyn Store>) {
    let mut world = World::new(69);
    let restaurant = world.restaurant();
    let id = restaurant.id;
    let not_found = CatalogueUpdate::NotFound;
    assert_eq!(store.update_restaurant(&restaurant, 1).await.unwrap(), not_found);
    assert_eq!(store.replace_menu(id, &menu(&["naan"]), menu_at(1)).await.unwrap(), not_found);
    for remaining in [Some(1), None] {
        let update = store.set_stock(id, &slug("naan"), remaining).await.unwrap();
        assert_eq!(update, StockUpdate::NotFound);
    }
    assert_eq!(store.catalogue(id).await.unwrap(), None);
    assert_eq!(store.stock(id).await.unwrap(), []);
    assert_eq!(store.restaurants(None, None, PageSize::DEFAULT).await.unwrap(), RestaurantPage::default());
}

/// One of several concurrent changes of the same revision succeeds.
pub async fn one_of_many_concurrent_updates_of_a_revision_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(70);
    let restaurant = create(&store, &mut world, &["naan"]).await;
    let mut running = tokio::task::JoinSet::new();
    for attempt in 0..10 {
        let store = Arc::clone(&store);
        let mut changed = restaurant.clone();
        changed.settings.name = name(&format!("Number {attempt}"));
        running.spawn(async move {
            let of_settings = store.update_restaurant(&changed, 1).await.unwrap();
            let of_menu = store.replace_menu(changed.id, &menu(&["roti"]), menu_at(1)).await.unwrap();
            (changed.settings.name, of_settings, of_menu)
        });
    }
    let results = running.join_all().await;
    let winners: Vec<_> = results.iter().filter(|(_, of_settings, _)| *of_settings == done(2)).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(results.iter().filter(|(_, of_settings, _)| *of_settings == conflict(2)).count(), 9);
    assert_eq!(results.iter().filter(|(_, _, of_menu)| *of_menu == done(2)).count(), 1);
    assert_eq!(catalogue(&store, restaurant.id).await.restaurant.settings.name, winners[0].0);
}

/// Returns the revisions of these restaurants, ordered by id.
async fn revisions(store: &Arc<dyn Store>, ids: &[RestaurantId]) -> Vec<(RestaurantId, CatalogueGuard)> {
    let mut revisions = store.revisions(ids).await.unwrap();
    revisions.sort_by_key(|(id, _)| *id);
    revisions
}

/// The revisions equal the guard of an order that is priced from the catalogue.
pub async fn revisions_equal_the_guard_of_the_catalogue(store: Arc<dyn Store>) {
    let mut world = World::new(73);
    let mut expected = Vec::new();
    for number in 0..5 {
        let mut restaurant = create(&store, &mut world, &["naan"]).await;
        for revision in 1..=number {
            restaurant.settings.name = name(&format!("Number {revision}"));
            assert_eq!(store.update_restaurant(&restaurant, revision).await.unwrap(), done(revision + 1));
        }
        expected.push((restaurant.id, catalogue(&store, restaurant.id).await.guard()));
    }
    let ids: Vec<_> = expected.iter().map(|(id, _)| *id).collect();
    assert_eq!(revisions(&store, &ids).await, expected);
    assert_eq!(revisions(&store, &ids[2..3]).await, expected[2..3]);
    assert_eq!(revisions(&store, &[]).await, []);
}

/// Unknown restaurants are omitted, and the revisions of the others are returned.
pub async fn revisions_of_unknown_restaurants_are_missing(store: Arc<dyn Store>) {
    let mut world = World::new(74);
    let unknown: Vec<_> = (0..4).map(|_| world.restaurant_id()).collect();
    assert_eq!(revisions(&store, &unknown).await, []);
    let known = create(&store, &mut world, &["naan"]).await.id;
    let guard = CatalogueGuard { restaurant_revision: 1, menu_revision: 1, availability_revision: 1 };
    assert_eq!(revisions(&store, &[&unknown[..], &[known]].concat()).await, [(known, guard)]);
}

/// Every change of an input of pricing increases a revision, and nothing else does.
pub async fn revisions_increase_with_each_kind_of_change(store: Arc<dyn Store>) {
    let mut world = World::new(75);
    let restaurant = create(&store, &mut world, &["naan"]).await;
    let (id, naan) = (restaurant.id, slug("naan"));
    let expect = async |restaurant_revision, menu_revision, availability_revision| {
        let guard = CatalogueGuard { restaurant_revision, menu_revision, availability_revision };
        assert_eq!(revisions(&store, &[id]).await, [(id, guard)]);
    };
    expect(1, 1, 1).await;
    let mut changed = restaurant.clone();
    changed.settings.name = name("Another");
    store.update_restaurant(&changed, 1).await.unwrap();
    expect(2, 1, 1).await;
    changed.pause = Some(Pause::by_person(None));
    store.update_restaurant(&changed, 2).await.unwrap();
    expect(3, 1, 1).await;
    store.replace_menu(id, &menu(&["naan", "roti"]), menu_at(1)).await.unwrap();
    expect(3, 2, 1).await;
    store.set_stock(id, &naan, Some(2)).await.unwrap();
    expect(3, 3, 1).await;
    // No catalogue contains the remaining number.
    store.set_stock(id, &naan, Some(5)).await.unwrap();
    expect(3, 3, 1).await;
    store.set_stock(id, &naan, None).await.unwrap();
    expect(3, 4, 1).await;
    let until = Some(world.in_seconds(60));
    store.set_availability(id, &naan, Availability::Unavailable { until }, None).await.unwrap();
    expect(3, 4, 2).await;
    // Setting the same mark again is no change.
    store.set_availability(id, &naan, Availability::Unavailable { until }, None).await.unwrap();
    expect(3, 4, 2).await;
    store.set_availability(id, &naan, Availability::Available, None).await.unwrap();
    expect(3, 4, 3).await;
    // Refused changes increase no revision.
    store.update_restaurant(&changed, 1).await.unwrap();
    store.replace_menu(id, &menu(&["dal"]), menu_at(1)).await.unwrap();
    expect(3, 4, 3).await;
}

/// The revisions of the maximum number of restaurants are returned in one call; one more is refused.
pub async fn revisions_of_many_restaurants_are_limited_per_call(store: Arc<dyn Store>) {
    let mut world = World::new(76);
    let mut created = Vec::new();
    for _ in 0..12 {
        created.push(create(&store, &mut world, &["naan"]).await.id);
    }
    let mut ids = created.clone();
    ids.extend((created.len()..MAX_REVISIONS).map(|_| world.restaurant_id()));
    let found: Vec<_> = revisions(&store, &ids).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, created);
    ids.push(world.restaurant_id());
    let refused = store.revisions(&ids).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}
