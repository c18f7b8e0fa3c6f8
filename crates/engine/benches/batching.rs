//! Measures the engine's own cost: orders that are placed concurrently and committed as one batch.
//!
//! `cargo bench -p dabba-engine [-- FILTER]`
//!
//! The store acknowledges every batch and writes nothing, so the measured time is the engine's: pricing, the decision,
//! the commit, and the way to the committer and back. Everything runs on one thread. All orders are queued before the
//! committer runs; an assertion checks that each batch contained all of them.

#![expect(clippy::unwrap_used, reason = "a panic fails the benchmark")]

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/engine/faulty.rs"]
mod faulty;
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
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

/// Places `orders` orders concurrently. The counted items are orders; the difference between 1 and 64 shows the effect
/// of batching.
#[divan::bench(args = [1, 64], sample_size = 10)]
fn placing(bencher: Bencher<'_, '_>, orders: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    world.store.writes_nothing.store(true, Ordering::SeqCst);
    let request = dal(1);
    let place = |key: IdempotencyKey| {
        world.engine.orders.place(&world.customer, world.restaurant_id, black_box(&request), key)
    };
    let keys: Vec<_> = (0..orders).map(|number| key(&format!("key {number}"))).collect();
    bencher
        .counter(ItemsCount::new(orders))
        .with_inputs(|| keys.clone())
        .bench_local_values(|keys| runtime.block_on(try_join_all(keys.into_iter().map(place))).unwrap());
    let batches = world.store.batches.lock().unwrap();
    assert!(!batches.is_empty() && batches.iter().all(|size| *size == orders), "{batches:?}");
}
