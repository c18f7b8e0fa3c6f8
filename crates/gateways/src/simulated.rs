//! A simulated payment provider that moves no money. Use it to test everything that involves payments, above
//! all failures.
//!
//! | module | contents |
//! |---|---|
//! | [`provider`] | the rules: payments, idempotency keys and the provider's ledger. No I/O and no clock |
//! | [`tokens`] | the payment tokens, and the provider's behaviour for each of them |
//! | [`ledger`] | the provider's ledger: its entries and the totals of each order |
//! | [`in_process`] | the engine's port to a provider in the same process |
//! | [`service`] | the HTTP service of a provider |
//! | [`webhooks`] | the sender of webhooks, an optional part of the service |
//! | [`signature`] | signing, verifying and reading webhooks |
//! | [`client`] | the engine's port to a provider behind HTTP |
//! | [`wire`] | the messages between client and service |
//!
//! The provider decides every call at once. Its [`provider::Outcome`] also says how the reply reaches the
//! caller: at once, after a delay, as an error, or never. The in-process gateway or the HTTP service then
//! simulates this. So one place decides all failures, and they are the same in process and over HTTP.
//!
//! The provider keeps everything in memory. A restarted provider knows no earlier payments.

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
pub use provider::{Provider, ProviderHealth};
pub use service::{router, router_with_webhooks};
pub use signature::{SimulatedWebhookError, WebhookSecret, read_webhook};
pub use webhooks::WebhookTarget;

/// The name of the simulated provider in metrics and logs, both in process and over HTTP.
const NAME: &str = "simulated";
