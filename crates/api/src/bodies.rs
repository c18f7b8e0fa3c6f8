//! Bodies of requests and responses: their members, and how values of the lower crates become bodies. They read nothing:
//! a route reads, and passes the values.

pub(crate) mod accounts;
pub(crate) mod boards;
pub(crate) mod commands;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod limited;
pub(crate) mod menus;
pub(crate) mod operations;
pub(crate) mod orders;
pub(crate) mod quotes;
pub(crate) mod receipts;
pub(crate) mod restaurants;
pub(crate) mod sandbox;
pub(crate) mod sessions;
pub(crate) mod shards;
pub(crate) mod statistics;
pub(crate) mod stock;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod tracking;
pub(crate) mod webhook_endpoints;
