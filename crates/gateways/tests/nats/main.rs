//! The client of NATS JetStream against Debian's nats-server.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod consumer;
mod feed;
mod loss;
mod publishing;
mod streams;
