//! Prices come from the current menu, however late it changes.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{
    Amount,
    menu::{Availability, MenuDocument, UnavailableItem},
    order::OrderRequest,
    restaurant::NotAcceptingReason,
    text::Slug,
};
use dabba_engine::{Conflict, Error, ExpectedMenu, Obstacle, OrderAnswer};
use dabba_store::{CatalogueStore as _, MenuRevisions, StockShortage};
use serde_json::json;

use crate::world::{World, dal, menu_with_dal_at};

fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

fn dal_expecting(total: i64) -> OrderRequest {
    OrderRequest { expected_total: Some(amount(total)), ..dal(1) }
}

/// Proves that an order is priced again when another process has changed the menu, while this process has the old menu
/// in its cache.
#[tokio::test]
async fn an_order_priced_from_a_stale_menu_is_priced_again() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue.entry(world.restaurant_id).await.unwrap();
    let menu = menu_with_dal_at(600);
    other.catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();

    let order = world.place(&dal(1), "a").await.unwrap().order;
    assert_eq!(order.details.amounts.total, amount(600));
    assert_eq!(order.details.menu_revision, 2);
}

#[tokio::test]
async fn a_changed_total_is_refused_with_the_new_quote() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue.entry(world.restaurant_id).await.unwrap();
    let menu = menu_with_dal_at(600);
    other.catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();

    let Err(Error::Conflict(Conflict::PriceChanged(quote))) = world.place(&dal_expecting(500), "a").await
    else {
        panic!("the price has changed");
    };
    assert_eq!((quote.amounts.total, quote.menu_revision), (amount(600), 2));
    assert!(world.orders().await.is_empty());
    // The same key is still free for a request with the new total.
    assert!(!world.place(&dal_expecting(600), "a").await.unwrap().replayed);
}

#[tokio::test]
async fn a_change_that_keeps_the_total_does_not_refuse_the_order() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue.entry(world.restaurant_id).await.unwrap();
    let naan = Slug::new("naan").unwrap();
    let away = Availability::Unavailable { until: None };
    other.catalogue.set_availability(&world.staff, world.restaurant_id, &naan, away, None).await.unwrap();
    assert_eq!(world.place(&dal_expecting(500), "a").await.unwrap().order.details.menu_revision, 1);
}

/// Returns the obstacles of a refused order.
fn obstacles(refused: Result<OrderAnswer, Error>) -> Vec<Obstacle> {
    match refused {
        Err(Error::Conflict(Conflict::NotOrderable(obstacles))) => obstacles,
        other => panic!("{other:?}"),
    }
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

const UNAVAILABLE: Availability = Availability::Unavailable { until: None };

/// Proves that an order is not placed when another process has just marked its item, and that the refusal lists every
/// obstacle.
#[tokio::test]
async fn an_item_marked_by_another_process_is_not_sold() {
    let world = World::new().await;
    let other = world.second_engine();
    let (staff, id) = (&world.staff, world.restaurant_id);
    world.engine.catalogue.entry(id).await.unwrap();
    other.catalogue.set_stock(staff, id, &slug("dal"), Some(1), None).await.unwrap();
    other.catalogue.set_availability(staff, id, &slug("dal"), UNAVAILABLE, None).await.unwrap();
    let item = UnavailableItem { item: slug("dal"), until: None };
    let mut expected = vec![
        Obstacle::ItemsUnavailable(vec![item]),
        Obstacle::OutOfStock(vec![StockShortage { item: slug("dal"), available: 1 }]),
    ];
    assert_eq!(obstacles(world.place(&dal(2), "a").await), expected);
    other.catalogue.pause(staff, id, None).await.unwrap();
    world.engine.catalogue.resume(staff, id).await.unwrap();
    world.engine.catalogue.pause(staff, id, None).await.unwrap();
    expected.insert(0, Obstacle::NotAccepting(NotAcceptingReason::Paused { until: None, opens_at: None }));
    assert_eq!(obstacles(world.place(&dal(2), "a").await), expected);
    assert_eq!(world.engine.orders.quote(id, dal(2).cart(), None).await.unwrap().obstacles, expected);
    assert!(world.orders().await.is_empty());
}

/// Proves that a change of availability writes one row and reads only the marks: the cached menu is shared.
#[tokio::test]
async fn a_change_of_availability_does_not_read_the_menu_again() {
    let world = World::new().await;
    let other = world.second_engine();
    let (staff, id) = (&world.staff, world.restaurant_id);
    let before = world.engine.catalogue.entry(id).await.unwrap();
    assert_eq!(
        other.catalogue.set_availability(staff, id, &slug("naan"), UNAVAILABLE, None).await.unwrap(),
        2
    );
    // The order finds its catalogue stale and reads it again.
    world.place(&dal(1), "a").await.unwrap();
    let after = world.engine.catalogue.entry(id).await.unwrap();
    assert!(Arc::ptr_eq(&before.catalogue.menu, &after.catalogue.menu));
    assert_eq!(after.catalogue.unavailable.availability("naan"), UNAVAILABLE);
    assert_eq!(after.catalogue.menu_revision, 1);
    // The same mark again is not a change.
    assert_eq!(
        other.catalogue.set_availability(staff, id, &slug("naan"), UNAVAILABLE, None).await.unwrap(),
        2
    );
}

/// Proves that a written change is answered although the store cannot be read afterwards.
#[tokio::test]
async fn a_written_change_is_answered_even_if_the_store_cannot_be_read() {
    let world = World::new().await;
    let (staff, id) = (&world.staff, world.restaurant_id);
    world.engine.catalogue.entry(id).await.unwrap();
    let readable = |count| world.store.readable_catalogues.store(count, Ordering::SeqCst);
    readable(0);
    assert_eq!(
        world.engine.catalogue.set_availability(staff, id, &slug("naan"), UNAVAILABLE, None).await.unwrap(),
        2
    );
    readable(i64::MAX);
    let entry = world.engine.catalogue.entry(id).await.unwrap();
    assert_eq!(entry.catalogue.unavailable.availability("naan"), UNAVAILABLE);

    readable(1);
    let written = world.engine.catalogue.replace_menu(staff, id, menu_with_dal_at(650), None).await.unwrap();
    assert_eq!(written.catalogue.menu_revisions(), MenuRevisions { menu: 2, availability: 2 });
    assert_eq!(written.menu().item("dal").unwrap().price_minor, amount(650));
    readable(i64::MAX);
    let stored = world.store.catalogue(id).await.unwrap().unwrap();
    assert_eq!(written.catalogue, stored);
}

/// Proves that a menu is replaced only in one of the expected states.
#[tokio::test]
async fn a_menu_is_replaced_in_an_expected_state() {
    let world = World::new().await;
    let (staff, id) = (&world.staff, world.restaurant_id);
    world.engine.catalogue.set_availability(staff, id, &slug("naan"), UNAVAILABLE, None).await.unwrap();
    let expected = |menu, availability| ExpectedMenu { menu, availability };
    let replace = async |expected: &[ExpectedMenu]| {
        world.engine.catalogue.replace_menu(staff, id, menu_with_dal_at(600), Some(expected)).await
    };
    for stale in [&[][..], &[expected(1, Some(1))], &[expected(2, None), expected(2, Some(2))]] {
        let Err(Error::Conflict(Conflict::MenuRevision { current })) = replace(stale).await else {
            panic!("{stale:?} does not contain the current state");
        };
        assert_eq!(current, MenuRevisions { menu: 1, availability: 2 });
    }
    replace(&[expected(9, None), expected(1, Some(2))]).await.unwrap();
    let entry = replace(&[expected(2, None)]).await.unwrap();
    assert_eq!(
        entry.catalogue.unavailable.availability("naan"),
        UNAVAILABLE,
        "availability that is not stated is kept"
    );
}

#[tokio::test]
async fn a_pause_by_another_process_is_respected() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue.entry(world.restaurant_id).await.unwrap();
    other.catalogue.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    assert!(matches!(obstacles(world.place(&dal(1), "a").await)[..], [Obstacle::NotAccepting(_)]));
}

#[tokio::test]
async fn stock_that_becomes_limited_elsewhere_is_respected() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue.entry(world.restaurant_id).await.unwrap();
    let item = Slug::new("dal").unwrap();
    other.catalogue.set_stock(&world.staff, world.restaurant_id, &item, Some(2), None).await.unwrap();
    world.place(&dal(2), "a").await.unwrap();
    let shortage = StockShortage { item, available: 0 };
    let short = vec![Obstacle::OutOfStock(vec![shortage])];
    assert_eq!(obstacles(world.place(&dal(1), "b").await), short);
    let quote = world.engine.orders.quote(world.restaurant_id, dal(1).cart(), None).await.unwrap();
    assert_eq!(quote.obstacles, short);
}

/// Proves I7 with the engine's own decisions: of one hundred customers who order one of ten items, ten succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limited_stock_is_never_oversold() {
    let world = Arc::new(World::new().await);
    world.limit_stock("dal", 10).await;
    let buyers: Vec<_> = (0..100)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.place(&dal(1), &format!("buyer {number}")).await })
        })
        .collect();
    let mut served = 0;
    for buyer in buyers {
        match buyer.await.unwrap() {
            Ok(_) => served += 1,
            refused => assert!(matches!(obstacles(refused)[..], [Obstacle::OutOfStock(_)])),
        }
    }
    assert_eq!((served, world.orders().await.len()), (10, 10));
    let stock = world.engine.catalogue.stock(&world.staff, world.restaurant_id).await.unwrap();
    assert_eq!(stock[0].remaining, 0);
}

#[tokio::test]
async fn concurrent_readers_load_a_menu_once() {
    let world = World::new().await;
    let second = world.second_engine();
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let (engine, id) = (Arc::clone(&second), world.restaurant_id);
            tokio::spawn(async move { engine.catalogue.entry(id).await.unwrap().catalogue.menu_revision })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 1);
    }
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 1);
}

/// Proves that a replacement without ids is matched against the menu that it replaces: whichever of two servers writes
/// first, an id never moves to another dish.
#[tokio::test]
async fn ids_stay_with_their_dishes_when_two_servers_replace_a_menu() {
    let world = World::new().await;
    let (other, id) = (world.second_engine(), world.restaurant_id);
    let document = |items: serde_json::Value| -> MenuDocument {
        serde_json::from_value(json!({"categories": [{"name": "麺", "items": items}]})).unwrap()
    };
    let named = |id: &str, name: &str| json!({"id": id, "name": name, "price_minor": 980});
    let by_name = |name: &str| json!({"name": name, "price_minor": 980});
    let names = ["醤油ラーメン", "味噌ラーメン"];
    for round in 0..20 {
        let (first, second) = (names[round % 2], names[(round + 1) % 2]);
        // One server swaps the two names; the other one sends the dishes in another order and without ids.
        let swapped = document(json!([named("x", first), named("x-2", second)]));
        let without_ids = document(json!([by_name("餃子"), by_name(second), by_name(first)]));
        let (one, another) = tokio::join!(
            world.engine.catalogue.replace_menu(&world.staff, id, swapped, None),
            other.catalogue.replace_menu(&world.staff, id, without_ids, None),
        );
        one.unwrap();
        another.unwrap();
        let catalogue = world.store.catalogue(id).await.unwrap().unwrap();
        for (item, name) in [("x", first), ("x-2", second)] {
            assert_eq!(catalogue.menu.item(item).unwrap().name.as_str(), name, "round {round}");
        }
    }
}
