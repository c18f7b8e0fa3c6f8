//! The publisher to a broker: against a broker in memory with injected failures, and against a NATS server.

#![expect(clippy::unwrap_used, reason = "shared functions fail a test in the same way as the test itself")]

mod lease;
mod losing;
mod publishing;
mod restored;
mod shards;
mod world;
