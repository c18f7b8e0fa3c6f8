//! The client of Stripe against a server that gives the answers that Stripe's API reference describes, and
//! the reader of its webhooks. `localstripe` speaks with another implementation of the API, on request.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod authorize;
mod elsewhere;
mod holds;
mod localstripe;
mod refund;
mod stub;
mod webhook;
