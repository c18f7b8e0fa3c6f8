//! Changes of stock by staff, during sales and under faults.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::text::Slug;
use dabba_engine::{Conflict, Error, Obstacle, StockAdjustment, StockAnswer};

use crate::world::{World, dal, key};

fn item() -> Slug {
    Slug::new("dal").unwrap()
}

async fn adjust(world: &World, by: i64, name: &str) -> Result<StockAnswer, Error> {
    let adjustment = StockAdjustment { by, expected: None, key: key(name) };
    world.engine.catalogue.adjust_stock(&world.staff, world.restaurant_id, &item(), adjustment).await
}

/// Proves that adjustments during sales lose no stock and sell none twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn adjustments_do_not_overwrite_sales() {
    let world = Arc::new(World::new().await);
    world.limit_stock("dal", 40).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..40 {
        let world = Arc::clone(&world);
        running.spawn(async move { world.place(&dal(1), &format!("buyer {number}")).await.map(drop) });
    }
    for number in 0..10 {
        let world = Arc::clone(&world);
        running.spawn(async move { adjust(&world, 6, &format!("batch {number}")).await.map(drop) });
    }
    for ended in running.join_all().await {
        ended.unwrap();
    }
    let stock = world.engine.catalogue.stock(&world.staff, world.restaurant_id).await.unwrap();
    assert_eq!((stock[0].remaining, stock[0].revision), (60, 11));
}

/// Proves that a written change is answered as successful even if nothing can be read afterwards, and that the
/// catalogue is current again once it can be read.
#[tokio::test]
async fn a_written_change_is_answered_even_if_the_store_cannot_be_read() {
    let world = World::new().await;
    let id = world.restaurant_id;
    world.engine.catalogue.entry(id).await.unwrap();
    world.store.loses_catalogues_after_a_change.store(true, Ordering::SeqCst);
    let answer = world.engine.catalogue.set_stock(&world.staff, id, &item(), Some(5), None).await.unwrap();
    assert_eq!(answer.level.map(|level| level.remaining), Some(5));
    assert_eq!(adjust(&world, 6, "a").await.unwrap().level.map(|level| level.remaining), Some(11));
    let created = world.another_restaurant(&world.engine).await;
    let cached = world.engine.catalogue.entry(created).await.unwrap();
    assert_eq!(cached.menu().items().count(), 2);
    assert!(world.engine.catalogue.entry(id).await.is_err(), "a stale catalogue is not returned");
    world.store.restore_catalogues();
    assert!(world.engine.catalogue.entry(id).await.unwrap().catalogue.limited.contains("dal"));
    let Err(Error::Conflict(Conflict::NotOrderable(obstacles))) = world.place(&dal(12), "b").await else {
        panic!("there are 11")
    };
    assert!(matches!(obstacles[..], [Obstacle::OutOfStock(_)]));
}

/// Proves that the retry of an adjustment is answered from its record, on every server.
#[tokio::test]
async fn a_retry_of_an_adjustment_is_a_replay() {
    let world = World::new().await;
    world.limit_stock("dal", 5).await;
    let first = adjust(&world, 6, "a").await.unwrap();
    assert!(!first.replayed);
    world.place(&dal(4), "order").await.unwrap();
    let other = world.second_engine();
    let adjustment = StockAdjustment { by: 6, expected: None, key: key("a") };
    let again =
        other.catalogue.adjust_stock(&world.staff, world.restaurant_id, &item(), adjustment).await.unwrap();
    assert_eq!(again, StockAnswer { replayed: true, ..first });
    assert!(matches!(adjust(&world, 7, "a").await, Err(Error::KeyReused)));
    assert!(world.place(&dal(1), "a").await.is_ok(), "a customer's key is another key");
}
