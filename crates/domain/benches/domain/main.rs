//! What the rules cost: pricing a cart, deciding on an order, reading what comes in.
//!
//! `cargo bench -p dabba-domain [-- FILTER]`
//!
//! Nothing here waits for anything, so a figure is the time of one core.

#![expect(clippy::unwrap_used, reason = "a benchmark whose input is wrong has failed")]

#[expect(dead_code, reason = "the tests, whose people and orders these are, use more of it")]
#[path = "../../tests/domain/common.rs"]
mod common;
#[expect(dead_code, clippy::panic, reason = "as above; and they fail by panicking")]
#[path = "../../tests/domain/moves.rs"]
mod moves;

mod inputs;
mod orders;
mod parsing;
mod pricing;

/// Calls that are timed together where one takes microseconds at most. Left to itself the harness takes the
/// first call, which finds nothing in the caches, for what a call costs, and times each by itself.
const CALLS: u32 = 100;

fn main() {
    divan::main();
}
