//! The binary, as people and programs use it: real child processes, real sockets, real files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod demo;
mod dependencies;
mod import;
mod load;
mod readme;
mod serve;
mod settings;
mod support;
mod token;
