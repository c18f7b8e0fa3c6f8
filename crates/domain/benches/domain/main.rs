//! Cost of the rules: pricing a cart, deciding on an order, parsing input.
//!
//! `cargo bench -p dabba-domain [-- FILTER]`
//!
//! No benchmark waits for anything, so each result is the time of one core.

#![expect(clippy::unwrap_used, reason = "a benchmark with invalid input must fail")]

#[expect(dead_code, reason = "the benchmarks use only a part of the tests' module")]
#[path = "../../tests/domain/common.rs"]
mod common;
#[expect(dead_code, clippy::panic, reason = "as above; the tests fail by panicking")]
#[path = "../../tests/domain/moves.rs"]
mod moves;

mod inputs;
mod orders;
mod parsing;
mod pricing;

/// Number of calls in one sample, for calls that take microseconds at most. By default, the harness derives the number
/// from the first call, whose data is not in the CPU caches, and then times each call alone.
const CALLS: u32 = 100;

fn main() {
    divan::main();
}
