//! What the engine costs around a store: orders that are placed at once and written as one batch.
//!
//! `cargo bench -p dabba-engine [-- FILTER]`
//!
//! The store acknowledges every batch and writes none, so the time is the engine's own: the price, the
//! decision, the commit, the way to a committer and back. Everything happens on one thread, on which all
//! orders are queued before the committer has its turn; that they met in one batch is checked.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be carried out has failed")]

#[expect(dead_code, reason = "the tests, whose store this is, use more of it")]
#[path = "../tests/engine/faulty.rs"]
mod faulty;
#[expect(dead_code, reason = "the tests, whose restaurant and people these are, use more of it")]
#[path = "../tests/engine/world.rs"]
mod world;

use std::sync::atomic::Ordering;

use dabba_store::IdempotencyKey;
use divan::{Bencher, black_box, counter::ItemsCount};
use futures::future::try_join_all;

use crate::world::{World, dal, key};

fn main() {
    divan::main();
}

/// Places so many orders at once. The items counted are orders: between one and sixty-four is the cost of
/// a batch.
#[divan::bench(args = [1, 64], sample_size = 10)]
fn placing(bencher: Bencher<'_, '_>, orders: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    world.store.writes_nothing.store(true, Ordering::SeqCst);
    let request = dal(1);
    let place = |key: IdempotencyKey| {
        world.engine.place(&world.customer, world.restaurant_id, black_box(&request), key)
    };
    let keys: Vec<_> = (0..orders).map(|number| key(&format!("key {number}"))).collect();
    bencher
        .counter(ItemsCount::new(orders))
        .with_inputs(|| keys.clone())
        .bench_local_values(|keys| runtime.block_on(try_join_all(keys.into_iter().map(place))).unwrap());
    let batches = world.store.batches.lock().unwrap();
    assert!(!batches.is_empty() && batches.iter().all(|size| *size == orders), "{batches:?}");
}
