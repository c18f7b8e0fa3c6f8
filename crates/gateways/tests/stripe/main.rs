//! Tests of the Stripe client against a stub server with the responses that Stripe's API reference describes,
//! and tests of the webhook reader. The module `localstripe` tests against another implementation of the API,
//! on request.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod authorize;
mod external;
mod holds;
mod localstripe;
mod refund;
mod stub;
mod webhook;
