//! The sender of webhooks, on the embedded store, with scripted endpoints and in virtual time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod bench;
mod changes;
mod crashes;
mod failover;
mod isolation;
mod lifecycle;
mod log;
mod messages;
mod order;
mod payload;
mod probe;
mod purge;
mod reads;
mod revival;
mod script;
