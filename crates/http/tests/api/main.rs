//! The API, over real HTTP: a whole server on a socket, on a store in a file.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests share fails them as they would themselves"
)]

mod connections;
mod description;
mod hygiene;
mod limits;
mod shards;
mod statements;
mod supervised;
// By its path, so that its modules are found beside it, as they are by the other target.
#[path = "suite.rs"]
mod suite;

use dabba_testkit::{TestServer, TestServerBuilder};

pub(crate) use suite::{allowed, ids, metric, raw, start, walk_to};

/// A server to be set up, on `SQLite`.
pub(crate) fn builder() -> TestServerBuilder {
    TestServer::builder()
}
