//! Limited stock: never oversold (I7), never lost.

use std::sync::Arc;

use dabba_domain::{
    RestaurantId,
    order::{CancelReason, Command},
};

use super::builders::{World, customer, draw, menu, order_of, slug};
use crate::{Commit, CommitOutcome, StockChange, StockShortage, Store};

/// Creates a restaurant with this stock.
async fn restaurant_with(store: &Arc<dyn Store>, world: &mut World, stock: &[(&str, u32)]) -> RestaurantId {
    let restaurant = world.restaurant();
    let items: Vec<&str> = stock.iter().map(|(item, _)| *item).collect();
    assert!(store.create_restaurant(&restaurant, &menu(&items)).await.unwrap().is_created());
    for (item, remaining) in stock {
        store.set_stock(restaurant.id, &slug(item), Some(*remaining)).await.unwrap();
    }
    restaurant.id
}

/// Returns the remaining stock, by item in alphabetical order.
async fn left(store: &Arc<dyn Store>, restaurant: RestaurantId) -> Vec<u32> {
    store.stock(restaurant).await.unwrap().iter().map(|level| level.remaining).collect()
}

fn out_of(item: &str, available: u32) -> CommitOutcome {
    CommitOutcome::OutOfStock(vec![StockShortage { item: slug(item), available }])
}

/// Of a hundred concurrent orders for one item each, with a stock of forty, forty are committed, the others
/// are refused with nothing available, and the remaining stock is zero.
pub async fn limited_stock_is_sold_out_and_never_oversold(store: Arc<dyn Store>) {
    let mut world = World::new(21);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 40)]).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let commit = world.place_taking(restaurant, &[("naan", 1)]);
        let store = Arc::clone(&store);
        running.spawn(async move { store.commit(vec![commit]).await.unwrap().remove(0) });
    }
    let outcomes = running.join_all().await;
    let sold = outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Committed).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == out_of("naan", 0)).count();
    assert_eq!((sold, refused), (40, 60));
    assert_eq!(left(&store, restaurant).await, [0]);
}

/// If one of several items is short, the order draws none of them; the outcome names every item that is
/// short.
pub async fn several_items_are_drawn_together_or_not_at_all(store: Arc<dyn Store>) {
    let mut world = World::new(22);
    let restaurant = restaurant_with(&store, &mut world, &[("dal", 3), ("naan", 5), ("roti", 1)]).await;
    let order = world.place_taking(restaurant, &[("naan", 4), ("dal", 4), ("roti", 2)]);
    let shortages = vec![
        StockShortage { item: slug("dal"), available: 3 },
        StockShortage { item: slug("roti"), available: 1 },
    ];
    assert_eq!(store.commit(vec![order]).await.unwrap(), [CommitOutcome::OutOfStock(shortages)]);
    assert_eq!(left(&store, restaurant).await, [3, 5, 1]);
    let order = world.place_taking(restaurant, &[("naan", 4), ("dal", 3), ("roti", 1)]);
    assert_eq!(store.commit(vec![order]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(left(&store, restaurant).await, [0, 1, 0]);
}

/// Each order of a batch sees the stock that the earlier orders left.
pub async fn stock_goes_down_within_a_batch(store: Arc<dyn Store>) {
    let mut world = World::new(23);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 5)]).await;
    let batch = [2, 2, 2, 1].map(|quantity| world.place_taking(restaurant, &[("naan", quantity)])).to_vec();
    let committed = CommitOutcome::Committed;
    let outcomes = store.commit(batch).await.unwrap();
    assert_eq!(outcomes, [committed.clone(), committed.clone(), out_of("naan", 1), committed]);
    assert_eq!(left(&store, restaurant).await, [0]);
}

/// An item on two lines of an order is drawn for both lines, and is short if both together exceed the stock.
pub async fn an_item_drawn_twice_in_one_commit_counts_twice(store: Arc<dyn Store>) {
    let mut world = World::new(24);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 5)]).await;
    let order = world.place_taking(restaurant, &[("naan", 3), ("naan", 3)]);
    assert_eq!(store.commit(vec![order]).await.unwrap(), [out_of("naan", 5)]);
    let order = world.place_taking(restaurant, &[("naan", 3), ("naan", 2)]);
    assert_eq!(store.commit(vec![order]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(left(&store, restaurant).await, [0]);
}

/// An order that was priced while an item was limited is refused when the item is no longer limited, and the
/// stock of another restaurant does not count.
pub async fn stock_of_an_unlimited_item_cannot_be_drawn(store: Arc<dyn Store>) {
    let mut world = World::new(25);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 5)]).await;
    let other = restaurant_with(&store, &mut world, &[("roti", 5)]).await;
    let order = world.place_taking(other, &[("naan", 1)]);
    assert_eq!(store.commit(vec![order]).await.unwrap(), [out_of("naan", 0)]);
    store.set_stock(restaurant, &slug("naan"), None).await.unwrap();
    let order = world.place_taking(restaurant, &[("naan", 1)]);
    assert_eq!(store.commit(vec![order]).await.unwrap(), [out_of("naan", 0)]);
}

/// A cancelled order returns its stock, once.
pub async fn returned_stock_can_be_drawn_again(store: Arc<dyn Store>) {
    let mut world = World::new(26);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 5)]).await;
    let placed = world.place_taking(restaurant, &[("naan", 5)]);
    let order = order_of(&placed);
    let cancel = Command::cancel(CancelReason::Other);
    let cancelled = world.act(&order, &cancel, &customer(&order));
    assert_eq!(cancelled.stock, [StockChange::Return(draw("naan", 5))]);
    let again = cancelled.clone();
    let next = world.place_taking(restaurant, &[("naan", 4)]);
    let outcomes = store.commit(vec![placed, cancelled, again, next]).await.unwrap();
    let committed = CommitOutcome::Committed;
    let conflict = CommitOutcome::VersionConflict { current: 3 };
    assert_eq!(outcomes, [committed.clone(), committed.clone(), conflict, committed]);
    assert_eq!(left(&store, restaurant).await, [1]);
}

/// Returning an item that is no longer limited succeeds and has no effect.
pub async fn stock_of_an_unlimited_item_is_not_returned(store: Arc<dyn Store>) {
    let mut world = World::new(27);
    let restaurant = restaurant_with(&store, &mut world, &[("naan", 5), ("roti", 5)]).await;
    let placed = world.place_taking(restaurant, &[("naan", 2), ("roti", 2)]);
    let order = order_of(&placed);
    store.commit(vec![placed]).await.unwrap();
    store.set_stock(restaurant, &slug("naan"), None).await.unwrap();
    let cancel = Command::cancel(CancelReason::Other);
    let cancelled: Commit = world.act(&order, &cancel, &customer(&order));
    assert_eq!(store.commit(vec![cancelled]).await.unwrap(), [CommitOutcome::Committed]);
    let levels = store.stock(restaurant).await.unwrap();
    assert_eq!(levels.len(), 1);
    assert_eq!((levels[0].item.as_str(), levels[0].remaining), ("roti", 5));
}
