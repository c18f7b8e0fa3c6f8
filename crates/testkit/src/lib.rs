//! A server to test against: the whole of Dabba on a socket, with a clock that stands still, people of
//! every role, and a restaurant that is open. For tests only.
//!
//! ```no_run
//! # async fn example() {
//! use dabba_testkit::TestServer;
//! let server = TestServer::start().await;
//! let placed = server.post(&server.orders_path(), Some(&server.customer), &TestServer::order()).key("1").send().await;
//! assert_eq!(placed.status, 201);
//! # }
//! ```
//!
//! Every answer is compared with the API's description, so each test of the API is a test of the description.
//!
//! The store is made by a [`StoreFactory`], which is called again when the server is restarted: an `SQLite`
//! file by default. With another factory, such as [`postgres`], the same tests run on another store.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test whose server does not work has failed; where it did is what there is to say"
)]

mod client;
mod description;
mod exposition;
mod people;
mod server;
mod stores;

pub use client::{Answer, Request};
pub use description::errors_of;
pub use exposition::{Exposition, MetricFamily, MetricSample};
pub use people::{PASSWORD, Person};
pub use server::{TestServer, TestServerBuilder, menu, settings};
pub use stores::{StoreFactory, postgres, sqlite_in};
