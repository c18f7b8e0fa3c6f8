//! Tests of the payment providers behind the engine's port.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod simulated;
