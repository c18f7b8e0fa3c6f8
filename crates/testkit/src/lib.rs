//! A complete Dabba server on a TCP port for tests: with a manual clock, accounts of every role, and two
//! restaurants that are open.
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
//! Every response is compared with the `OpenAPI` description, so each test of the API also tests the description.
//!
//! A [`StoreFactory`] opens the store, and is called again when the server restarts. The default is an `SQLite`
//! file. With another factory, such as [`postgres`], the same tests run on another store.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test whose server does not work has failed, and the panic shows where"
)]

mod accounts;
mod canned;
mod client;
mod description;
mod events;
mod exposition;
mod files;
mod nats;
mod secrets;
mod server;
mod stores;
mod tls;
mod waiting;
mod webhooks;

pub use accounts::{PASSWORD, TestAccount};
pub use canned::CannedServer;
pub use client::{HttpResponse, Request, http_client};
pub use description::errors_of;
pub use events::{EventMessage, EventStream};
pub use exposition::{Exposition, MetricFamily, MetricSample};
pub use files::{files_below, sources_below};
pub use nats::{NatsMessage, NatsServer, create_nats_stream, nats_messages, nats_stream};
pub use secrets::WITH_SECRET;
pub use server::{TestServer, TestServerBuilder, menu, settings};
pub use stores::{Restore, StoreFactory, postgres, postgres_shard, restorable_postgres, sqlite_in};
pub use tls::TlsIdentity;
pub use waiting::{PATIENCE, equal, eventually, eventually_blocking, eventually_within};
pub use webhooks::{WebhookCall, WebhookReceiver};
