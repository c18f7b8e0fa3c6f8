//! Tests of the engine on a real store, with faults injected between the two.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod boards;
mod cached;
mod clocks;
mod committing;
mod cut_off;
mod defects;
mod disconnected;
mod faulty;
mod idempotency;
mod isolation;
mod keys;
mod limits;
mod measuring;
mod menus;
mod nearby;
mod paying;
mod payments;
mod recent;
mod registering;
mod scopes;
mod searching;
mod sessions;
mod signals;
mod statistics;
mod stock;
mod storm;
mod supervision;
mod task_faults;
mod tasks;
mod tracking;
mod two_servers;
mod unavailable;
mod watching;
mod webhook_keys;
mod working;
mod world;
