//! Rules of an order: no I/O, no clock, no randomness, no async.
//!
//! The caller passes time and random bits as arguments, so that tests can run every rule from a table or a property.
//!
//! | module | content |
//! |---|---|
//! | [`ids`] | one type per id: a `UUIDv7` that contains the bucket of its row |
//! | [`money`] | amounts in minor units and their checked arithmetic |
//! | [`restaurant`] | settings, opening hours, pause |
//! | [`menu`] | categories, items, options, the validation of a whole menu, and the unavailable items |
//! | [`pricing`] | the itemized amounts of a cart |
//! | [`order`] | the lifecycle: commands, events, who may give a command and when |
//! | [`task`] | work that Dabba does later: kinds, queues and subjects of tasks |
//! | [`ledger`] | the ledger of an order, derived from its events |
//! | [`account`] | roles and actors |
//! | [`import`] | restaurants read from a file |
//!
//! To add a command, add a variant to [`order::Command`], to [`order::CommandKind`] and to [`order::Event`] (with its
//! name), an arm to `decide`, to `evolve` and to `repeat`, and a row to [`order::lifecycle`]. The compiler names the
//! missing arms; the test `the_table_contains_every_command` names the missing row.

pub mod account;
pub mod external_id;
pub mod ids;
pub mod import;
pub mod json_pointer;
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
pub mod task;
pub mod text;

pub use account::{Actor, Role};
pub use external_id::ExternalId;
pub use ids::{AccountId, Bucket, OrderId, RestaurantId, TaskId};
pub use jiff::Timestamp;
pub use money::{Amount, Currency, Money};
pub use problem::{InputProblem, Problems, whole_number};
pub use read_only::ReadOnly;
