//! Tests of the simulated provider, in process and over HTTP.

mod client;
mod health;
mod random;
mod repeating;
mod service;
mod tokens;
mod webhooks;
mod world;
