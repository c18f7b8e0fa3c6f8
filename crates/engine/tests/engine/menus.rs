//! Prices come from the menu that holds, however late it changed.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{Amount, menu::Availability, order::OrderRequest, text::Slug};
use dabba_engine::{Conflict, Error};

use crate::world::{World, dal, menu_with_dal_at};

fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

fn dal_expecting(total: i64) -> OrderRequest {
    OrderRequest { expected_total: Some(amount(total)), ..dal(1) }
}

/// Another process changes the menu while this one holds the old one in memory and is about to
/// write an order priced from it.
#[tokio::test]
async fn an_order_priced_from_a_stale_menu_is_priced_again() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue(world.restaurant_id).await.unwrap();
    other.replace_menu(&world.staff, world.restaurant_id, menu_with_dal_at(600), None).await.unwrap();

    let order = world.place(&dal(1), "a").await.unwrap().order;
    assert_eq!(order.details.amounts.total, amount(600));
    assert_eq!(order.details.menu_revision, 2);
}

#[tokio::test]
async fn a_customer_who_expected_another_total_is_told_the_new_one() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue(world.restaurant_id).await.unwrap();
    other.replace_menu(&world.staff, world.restaurant_id, menu_with_dal_at(600), None).await.unwrap();

    let Err(Error::Conflict(Conflict::PriceChanged(quote))) = world.place(&dal_expecting(500), "a").await
    else {
        panic!("the price has changed");
    };
    assert_eq!((quote.amounts.total, quote.menu_revision), (amount(600), 2));
    assert!(world.orders().await.is_empty());
    // With the new total in sight, the same key is still free.
    assert!(!world.place(&dal_expecting(600), "a").await.unwrap().replayed);
}

#[tokio::test]
async fn what_changed_without_changing_the_total_does_not_disturb() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue(world.restaurant_id).await.unwrap();
    let naan = Slug::new("naan").unwrap();
    let away = Availability::Unavailable { until: None };
    other.set_availability(&world.staff, world.restaurant_id, &naan, away).await.unwrap();
    assert_eq!(world.place(&dal_expecting(500), "a").await.unwrap().order.details.menu_revision, 2);
}

#[tokio::test]
async fn a_pause_by_another_process_is_caught() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue(world.restaurant_id).await.unwrap();
    other.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    assert!(matches!(world.place(&dal(1), "a").await, Err(Error::Conflict(Conflict::NotAccepting(_)))));
}

#[tokio::test]
async fn stock_that_becomes_limited_elsewhere_is_respected() {
    let world = World::new().await;
    let other = world.second_engine();
    world.engine.catalogue(world.restaurant_id).await.unwrap();
    let item = Slug::new("dal").unwrap();
    other.set_stock(&world.staff, world.restaurant_id, &item, Some(2), None).await.unwrap();
    world.place(&dal(2), "a").await.unwrap();
    let Err(Error::Conflict(Conflict::OutOfStock(shortages))) = world.place(&dal(1), "b").await else {
        panic!("there is none left");
    };
    assert_eq!((shortages[0].item.as_str(), shortages[0].available), ("dal", 0));
    let quote = world.engine.quote(world.restaurant_id, dal(1).cart(), None).await.unwrap();
    assert_eq!(quote.shortages, shortages);
}

/// I7, with the engine's own decisions: of one hundred who want one of ten, ten get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sold_twice() {
    let world = Arc::new(World::new().await);
    let item = Slug::new("dal").unwrap();
    world.engine.set_stock(&world.staff, world.restaurant_id, &item, Some(10), None).await.unwrap();
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
            Err(error) => assert!(matches!(error, Error::Conflict(Conflict::OutOfStock(_))), "{error:?}"),
        }
    }
    assert_eq!((served, world.orders().await.len()), (10, 10));
    let stock = world.engine.stock(&world.staff, world.restaurant_id).await.unwrap();
    assert_eq!(stock[0].remaining, 0);
}

#[tokio::test]
async fn a_menu_is_read_from_the_store_once() {
    let world = World::new().await;
    let second = world.second_engine();
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let (engine, id) = (Arc::clone(&second), world.restaurant_id);
            tokio::spawn(async move { engine.catalogue(id).await.unwrap().catalogue.menu_revision })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 1);
    }
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 1);
}
