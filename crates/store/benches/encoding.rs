//! Measures the encoding of a commit for a store with columns, and the decoding of its events. Uses no
//! database.
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

/// Number of calls that are timed together. By default the harness derives the cost of a call from the first
/// call, whose caches are cold, and times each call separately.
const CALLS: u32 = 100;

fn main() {
    divan::main();
}

/// Returns the commit of a new order: details, two events, a key, tasks.
fn placed() -> Commit {
    let mut world = World::new(1);
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    world.place(restaurant_id, customer_id)
}

/// Returns the commit of a restaurant that accepts an order.
fn accepted() -> Commit {
    let order = order_of(&placed());
    World::new(2).act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order))
}

/// Checks and encodes a new order.
#[divan::bench(sample_size = CALLS)]
fn encode_placed(bencher: Bencher<'_, '_>) {
    encode(bencher, &placed());
}

/// Checks and encodes a change of an order. The constant parts of the order are not encoded again.
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

/// Decodes the event of a new order, which contains all details.
#[divan::bench(sample_size = CALLS)]
fn decode_placed(bencher: Bencher<'_, '_>) {
    decode_first(bencher, placed());
}

/// Decodes a small event.
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
