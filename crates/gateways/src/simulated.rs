//! A payment provider that moves no money: to try everything against that has to do with payments, failures
//! above all.
//!
//! | module | what it is |
//! |---|---|
//! | [`provider`] | the rules: payments, idempotency keys, and the ledger of what was done. No I/O and no clock |
//! | [`tokens`] | what can be paid with, and how the provider behaves then |
//! | [`ledger`] | what the provider did, entry by entry and summed up for each order |
//! | [`in_process`] | the engine's port, on a provider in the same process |
//! | [`service`] | a provider offered over HTTP |
//! | [`webhooks`] | the sender of webhooks, which the service has on request |
//! | [`signature`] | how webhooks are signed, and the reader of those that are |
//! | [`client`] | the engine's port, on a provider behind HTTP |
//! | [`wire`] | what client and service say to each other |
//!
//! The provider decides at once, and says how its decision is to reach the caller
//! ([`provider::Outcome`]): after a while, as an error, or not at all. Who carries the call acts that out.
//! So all that can go wrong on the way is decided in one place, and is the same in a process and over HTTP.
//!
//! Everything is kept in memory. A provider that is started anew knows nothing of what was before.

pub mod client;
mod http;
pub mod in_process;
pub mod ledger;
mod problem;
pub mod provider;
pub mod service;
pub mod signature;
mod state;
pub mod tokens;
pub mod webhooks;
pub mod wire;

pub use client::SimulatedGateway;
pub use in_process::InProcessGateway;
pub use provider::{Health, Provider};
pub use service::{router, router_with_webhooks};
pub use signature::{WebhookError, WebhookSecret, read_webhook};
pub use webhooks::WebhookTarget;

/// What the simulated provider is called in metrics and logs, in a process and over HTTP.
const NAME: &str = "simulated";
