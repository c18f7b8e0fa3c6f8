//! The API on PostgreSQL: the same tests as on `SQLite`, each on a database of its own.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests share fails them as they would themselves"
)]

#[path = "../api/suite.rs"]
mod suite;

use dabba_testkit::{TestServer, TestServerBuilder, postgres};

pub(crate) use suite::{allowed, ids, metric, raw, start, walk_to};

/// A server to be set up, on PostgreSQL.
pub(crate) fn builder() -> TestServerBuilder {
    TestServer::builder().store(postgres())
}
