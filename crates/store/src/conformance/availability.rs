//! Availability: stored apart from the menu, with its own revision.

use std::sync::Arc;

use dabba_domain::{
    RestaurantId,
    menu::{Availability, CategoryDocument, ItemDocument, Menu, MenuDocument},
};

use super::builders::{World, menu, menu_at, slug};
use crate::{Catalogue, CatalogueUpdate, MenuRevisions, Store};

const UNAVAILABLE: Availability = Availability::Unavailable { until: None };

const fn done(revision: u32) -> CatalogueUpdate {
    CatalogueUpdate::Done { revision }
}

async fn create(store: &Arc<dyn Store>, world: &mut World, menu: &Menu) -> RestaurantId {
    let restaurant = world.restaurant();
    assert!(store.create_restaurant(&restaurant, menu).await.unwrap().is_created());
    restaurant.id
}

async fn catalogue(store: &Arc<dyn Store>, id: RestaurantId) -> Catalogue {
    store.catalogue(id).await.unwrap().unwrap()
}

/// Returns a menu whose document states the availability of some items.
fn stating(items: &[(&str, Option<Availability>)]) -> Menu {
    let item = |(id, availability): &(&str, Option<Availability>)| ItemDocument {
        id: Some((*id).to_owned()),
        name: format!("Item {id}"),
        price_minor: 450,
        availability: *availability,
        ..ItemDocument::default()
    };
    let items = items.iter().map(item).collect();
    let category = CategoryDocument { name: "Starters".to_owned(), items, ..CategoryDocument::default() };
    MenuDocument::from(vec![category]).validate().unwrap()
}

/// A mark is stored exactly, to the nanosecond, and setting it again is no change. The menu and its revision do not
/// change. An item that is not on the menu can be marked. Other restaurants are unaffected.
pub async fn availability_is_stored_apart_from_the_menu(store: Arc<dyn Store>) {
    let mut world = World::new(121);
    let id = create(&store, &mut world, &menu(&["naan", "roti"])).await;
    let other = create(&store, &mut world, &menu(&["naan"])).await;
    let away = Availability::Unavailable { until: Some(world.in_seconds(3_600)) };
    let far = "9999-12-30T22:00:00.999999999Z".parse().unwrap();
    for (item, availability, revision) in [
        ("naan", Availability::Available, 1),
        ("naan", away, 2),
        ("naan", away, 2),
        ("naan", UNAVAILABLE, 3),
        ("naan", UNAVAILABLE, 3),
        ("roti", Availability::Unavailable { until: Some(far) }, 4),
        ("dal", away, 5),
        ("naan", Availability::Available, 6),
        ("naan", Availability::Available, 6),
    ] {
        let updated = store.set_availability(id, &slug(item), availability, None).await.unwrap();
        assert_eq!(updated, done(revision), "{item} {availability:?}");
        let stored = catalogue(&store, id).await;
        assert_eq!(stored.unavailable.availability(item), availability);
        assert_eq!((stored.availability_revision, stored.menu_revision), (revision, 1));
        assert_eq!(*stored.menu, menu(&["naan", "roti"]));
    }
    let stored = catalogue(&store, id).await.unavailable;
    assert_eq!(stored.availability("dal"), away);
    let untouched = catalogue(&store, other).await;
    assert_eq!(untouched.unavailable.availability("naan"), Availability::Available);
    assert_eq!(untouched.availability_revision, 1);
    for (expected, updated) in [
        (&[][..], CatalogueUpdate::Conflict { current: 6 }),
        (&[5, 7], CatalogueUpdate::Conflict { current: 6 }),
        (&[5, 6], done(7)),
    ] {
        let answer = store.set_availability(id, &slug("naan"), away, Some(expected)).await.unwrap();
        assert_eq!(answer, updated, "{expected:?}");
        let is_marked = catalogue(&store, id).await.unavailable.availability("naan") == away;
        assert_eq!(is_marked, updated == done(7));
    }
    let unknown = world.restaurant_id();
    for availability in [UNAVAILABLE, Availability::Available] {
        let updated = store.set_availability(unknown, &slug("naan"), availability, None).await.unwrap();
        assert_eq!(updated, CatalogueUpdate::NotFound);
    }
}

/// Replacing a menu sets the availability that its document states. Availability that it does not state is kept, also
/// for an item that is temporarily off the menu.
pub async fn a_menu_sets_the_availability_that_it_states(store: Arc<dyn Store>) {
    let mut world = World::new(122);
    let first =
        stating(&[("naan", Some(UNAVAILABLE)), ("roti", Some(Availability::Available)), ("dal", None)]);
    let id = create(&store, &mut world, &first).await;
    let expect = async |expected: [(&str, Availability); 3], revision| {
        let stored = catalogue(&store, id).await;
        for (item, availability) in expected {
            assert_eq!(stored.unavailable.availability(item), availability, "{item}");
        }
        assert_eq!(stored.availability_revision, revision);
    };
    let available = Availability::Available;
    expect([("naan", UNAVAILABLE), ("roti", available), ("dal", available)], 1).await;
    let away = Availability::Unavailable { until: Some(world.in_seconds(60)) };
    let second = stating(&[("roti", Some(away)), ("dal", None)]);
    assert_eq!(store.replace_menu(id, &second, menu_at(1)).await.unwrap(), done(2));
    expect([("naan", UNAVAILABLE), ("roti", away), ("dal", available)], 2).await;
    // Replacing the menu with the same document changes no mark.
    let at = |menu, availability| MenuRevisions { menu, availability };
    assert_eq!(store.replace_menu(id, &second, at(2, 2)).await.unwrap(), done(3));
    expect([("naan", UNAVAILABLE), ("roti", away), ("dal", available)], 2).await;
    let third = stating(&[("naan", None), ("roti", Some(available)), ("dal", Some(UNAVAILABLE))]);
    assert_eq!(store.replace_menu(id, &third, at(3, 2)).await.unwrap(), done(4));
    expect([("naan", UNAVAILABLE), ("roti", available), ("dal", UNAVAILABLE)], 3).await;
}

/// A document based on an older availability does not undo later marks.
pub async fn a_menu_is_not_replaced_at_another_availability_revision(store: Arc<dyn Store>) {
    let mut world = World::new(123);
    let id = create(&store, &mut world, &menu(&["naan"])).await;
    store.set_availability(id, &slug("naan"), UNAVAILABLE, None).await.unwrap();
    let stale = stating(&[("naan", Some(Availability::Available))]);
    let conflict = CatalogueUpdate::Conflict { current: 1 };
    assert_eq!(store.replace_menu(id, &stale, menu_at(1)).await.unwrap(), conflict);
    let stored = catalogue(&store, id).await;
    assert_eq!((&*stored.menu, stored.menu_revision), (&menu(&["naan"]), 1));
    assert_eq!(stored.unavailable.availability("naan"), UNAVAILABLE);
    assert_eq!(store.replace_menu(id, &stale, stored.menu_revisions()).await.unwrap(), done(2));
    assert_eq!(catalogue(&store, id).await.unavailable.availability("naan"), Availability::Available);
}

/// A caller with a cached menu does not read the menu again until it changes; marks, settings and stock are current.
pub async fn a_known_menu_is_not_read_again(store: Arc<dyn Store>) {
    let mut world = World::new(124);
    let id = create(&store, &mut world, &menu(&["naan", "roti"])).await;
    store.set_stock(id, &slug("roti"), Some(1)).await.unwrap();
    let known = catalogue(&store, id).await;
    store.set_availability(id, &slug("naan"), UNAVAILABLE, None).await.unwrap();
    let mut restaurant = known.restaurant.clone();
    restaurant.settings.collection = false;
    store.update_restaurant(&restaurant, 1).await.unwrap();
    let newer = store.catalogue_since(id, Some(&known)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&newer.menu, &known.menu) && Arc::ptr_eq(&newer.limited, &known.limited));
    assert_eq!(newer, catalogue(&store, id).await);
    store.set_stock(id, &slug("naan"), Some(1)).await.unwrap();
    let limited = store.catalogue_since(id, Some(&newer)).await.unwrap().unwrap();
    assert_eq!(limited, catalogue(&store, id).await);
    assert_eq!(limited.limited.len(), 2);
    store.replace_menu(id, &menu(&["dal"]), limited.menu_revisions()).await.unwrap();
    let replaced = store.catalogue_since(id, Some(&limited)).await.unwrap().unwrap();
    assert_eq!(replaced, catalogue(&store, id).await);
    assert_eq!(*replaced.menu, menu(&["dal"]));
    assert_eq!(store.catalogue_since(world.restaurant_id(), Some(&replaced)).await.unwrap(), None);
}
