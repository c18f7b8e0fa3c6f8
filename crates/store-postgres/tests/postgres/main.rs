//! Tests of the store against a real PostgreSQL server. They are one program, so that they share one cluster if they
//! share a process.

#![expect(clippy::unwrap_used, reason = "a failure ends the test")]

mod begin;
mod clocks;
mod collisions;
mod common;
mod conformance;
mod counted;
mod documentation;
mod feed;
mod high_availability;
mod hints;
mod lost_commit;
mod measuring;
mod newer;
mod outages;
mod ownership;
mod proxy;
mod replica;
mod restore;
mod rights;
mod router;
mod schema;
mod shards;
mod statistics;
mod subjects;
mod tls;
mod webhooks;
mod workers;
mod writers;
