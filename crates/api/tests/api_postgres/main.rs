//! The API on PostgreSQL: the same tests as on `SQLite`, each on a database of its own.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared functions fail a test in the same way as the test itself"
)]

mod shards;
#[path = "../api/suite.rs"]
mod suite;

use dabba_testkit::{TestServer, TestServerBuilder, postgres};

pub(crate) use suite::{allowed, ids, metric, raw, start, walk_to};

/// Returns a builder of a server on PostgreSQL.
pub(crate) fn builder() -> TestServerBuilder {
    TestServer::builder().store(postgres())
}
