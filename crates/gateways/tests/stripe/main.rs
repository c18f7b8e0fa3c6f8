//! The client of Stripe against a server that gives the answers that Stripe's API reference describes, and
//! the reader of its webhooks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authorize;
mod holds;
mod refund;
mod stub;
mod webhook;
