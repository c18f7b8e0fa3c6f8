//! Knowledge that the stores on SQL databases share: which columns a value has, which ranges a list reads, and which
//! rules a write applies to the rows that it has read.
//!
//! | module | content |
//! |---|---|
//! | `row` | the trait through which this crate reads a row, and ids that bound a range |
//! | [`accounts`], [`catalogue`], [`claims`], [`consumers`], [`orders`], [`statistics`], [`tasks`], [`webhooks`] | the columns of a value, values from rows, columns from values |
//! | [`lists`] | the index ranges of a list of orders, and the page made of them |
//! | [`feed`] | the events of a feed |
//! | [`stock`] | manual changes of stock |
//! | [`schema`] | the list of migrations, and the check of a database's schema version |
//! | `testing` | checks of a store's migrations (feature `testing`) |
//!
//! The crate names no driver and contains no statement, only lists of columns. A statement depends on the dialect, on
//! the locks and on the query planner of its database, so each store keeps its own, and a change of one store cannot
//! make the other slower. This crate is not part of the contract (`dabba-store`), because a store that is not on SQL
//! columns would not need it.
//!
//! A function that decides about a write returns [`ControlFlow`](std::ops::ControlFlow): `Break` with the outcome if
//! nothing has to be written, `Continue` with what to write.

pub mod accounts;
pub mod boards;
pub mod catalogue;
pub mod claims;
pub mod consumers;
pub mod feed;
pub mod lists;
pub mod orders;
mod row;
pub mod schema;
pub mod statistics;
pub mod stock;
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
pub mod webhooks;

use dabba_store::StoreError;

pub use row::{ABOVE_EVERY_ID, BELOW_EVERY_ID, StoredRow};

/// Returns the error for invalid content of the database.
fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
