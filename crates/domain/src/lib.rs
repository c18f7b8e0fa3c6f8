//! The rules of an order, and nothing else: no I/O, no clock, no randomness, no async.
//!
//! Time and random bits come in as arguments, so every rule can be driven from a table or a property.
//!
//! | module | what it decides |
//! |---|---|
//! | [`ids`] | one type per id; `UUIDv7` with the bucket that says where a row lives |
//! | [`money`] | amounts in minor units and their checked arithmetic |
//! | [`restaurant`] | settings, opening hours, pause |
//! | [`menu`] | categories, items, options, the validation of a whole menu, and which items are unavailable |
//! | [`pricing`] | from a cart to itemised amounts |
//! | [`order`] | the lifecycle: commands, events, who may do what and when |
//! | [`ledger`] | whose an order's money is, from its events |
//! | [`account`] | roles and actors |
//! | [`import`] | restaurants read from a file |
//!
//! To add a command: a row in [`order::lifecycle`], a variant in [`order::Command`] and in
//! [`order::Event`], its arm in `decide` and in `evolve`. The compiler names each place.

pub mod account;
pub mod external_id;
pub mod ids;
pub mod import;
pub mod ledger;
pub mod limits;
pub mod menu;
pub mod money;
#[cfg(feature = "openapi")]
mod openapi;
pub mod order;
pub mod pricing;
pub mod problem;
mod read_only;
pub mod restaurant;
pub mod text;

pub use account::{Actor, Role};
pub use external_id::ExternalId;
pub use ids::{AccountId, Bucket, OrderId, RestaurantId, TaskId};
pub use jiff::Timestamp;
pub use money::{Amount, Currency, Money};
pub use problem::{Problem, Problems, whole_number};
pub use read_only::ReadOnly;
