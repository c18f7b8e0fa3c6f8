//! What it costs to write out a commit for a store that keeps columns, and to read its events again. No
//! database is asked.
//!
//! `cargo bench -p dabba-store [-- FILTER]`

#![expect(clippy::unwrap_used, reason = "a benchmark whose input is wrong has failed")]

use dabba_domain::order::Command;
use dabba_store::{
    Commit,
    conformance::builders::{World, order_of, staff},
    encoding::{EncodedCommit, decode_event},
};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};

/// Calls that are timed together. Left to itself the harness takes the first call, which finds nothing in the
/// caches, for what a call costs, and times each by itself.
const CALLS: u32 = 100;

fn main() {
    divan::main();
}

/// The commit of a new order: what was agreed, two events, a key, its tasks.
fn placed() -> Commit {
    let mut world = World::new(1);
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    world.place(restaurant_id, customer_id)
}

/// The commit of a restaurant that takes it.
fn accepted() -> Commit {
    let order = order_of(&placed());
    World::new(2).act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order))
}

/// Checks and writes out a new order.
#[divan::bench(sample_size = CALLS)]
fn encode_placed(bencher: Bencher<'_, '_>) {
    encode(bencher, &placed());
}

/// Checks and writes out a change of an order, of which nothing is written that never changes.
#[divan::bench(sample_size = CALLS)]
fn encode_accepted(bencher: Bencher<'_, '_>) {
    encode(bencher, &accepted());
}

fn encode(bencher: Bencher<'_, '_>, commit: &Commit) {
    bencher
        .counter(ItemsCount::new(1_usize))
        .with_inputs(|| commit.clone())
        .bench_values(|commit| EncodedCommit::new(commit).unwrap());
}

/// Reads the event of a new order, which holds all that was agreed.
#[divan::bench(sample_size = CALLS)]
fn decode_placed(bencher: Bencher<'_, '_>) {
    decode_first(bencher, placed());
}

/// Reads a small event.
#[divan::bench(sample_size = CALLS)]
fn decode_accepted(bencher: Bencher<'_, '_>) {
    decode_first(bencher, accepted());
}

fn decode_first(bencher: Bencher<'_, '_>, commit: Commit) {
    let change = EncodedCommit::new(commit).unwrap().change.unwrap();
    let event = &change.events[0];
    let data = change.data_of(event).unwrap();
    bencher
        .counter(BytesCount::of_str(data))
        .bench(|| decode_event(black_box(event.name), black_box(Some(data))).unwrap());
}
