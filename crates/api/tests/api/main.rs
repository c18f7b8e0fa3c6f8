//! The API over real HTTP: a whole server on a socket, with a store in a file.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared functions fail a test in the same way as the test itself"
)]

mod connections;
mod damaged;
mod description;
mod gone;
mod http2;
mod hygiene;
mod large_orders;
mod limits;
mod replaced_sessions;
mod shards;
mod silent;
mod statements;
mod supervised;
mod tls;
mod unknown_secrets;
// The explicit path makes the compiler find the submodules beside the file, as for the other test
// target.
#[path = "suite.rs"]
mod suite;

use dabba_testkit::{TestServer, TestServerBuilder};

pub(crate) use suite::{allowed, ids, metric, raw, start, walk_to};

/// Returns a builder of a server on `SQLite`.
pub(crate) fn builder() -> TestServerBuilder {
    TestServer::builder()
}
