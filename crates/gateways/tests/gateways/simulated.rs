//! The provider that moves no money, in the process and over HTTP.

mod client;
mod health;
mod random;
mod repeating;
mod service;
mod tokens;
mod webhooks;
mod world;
