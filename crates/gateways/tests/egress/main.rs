//! Tests of the guarded client for URLs that users enter, against servers on this machine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod addresses;
mod connections;
mod encrypted;
mod lookups;
mod responses;
mod world;
