//! Rules of an order: no I/O, no clock, no randomness, no async.
//!
//! The caller passes time and random bits as arguments, so that tests can run every rule from a table or a property.
//!
//! | module | content |
//! |---|---|
//! | [`ids`] | one type per id: a `UUIDv7` that contains the bucket of its row |
//! | [`money`] | amounts in minor units and their checked arithmetic |
//! | [`restaurant`] | settings, opening hours, delivery zones, pause |
//! | [`geo`] | positions and areas on Earth, distances |
//! | [`menu`] | categories, items, options, the validation of a whole menu, and the unavailable items |
//! | [`pricing`] | the itemized amounts of a cart |
//! | [`tax`] | taxes as exact decimals, and their amounts on goods |
//! | [`fee`] | fees beside the goods: conditions, amounts and receivers |
//! | [`order`] | the lifecycle: commands, events, who may give a command and when |
//! | [`task`] | work that Dabba does later: kinds, queues and subjects of tasks |
//! | [`ledger`] | the ledger of an order, derived from its events |
//! | [`account`] | roles and actors |
//! | [`import`] | restaurants read from a file |
//!
//! To add a command, add a variant to [`order::Command`], to [`order::CommandKind`] and to [`order::Event`] (with its
//! name). The compiler then names the missing arms, such as those of `decide`, `evolve`, `check_content`, `repeat`,
//! `is_repeat` and `ends_order`. It does not name these places:
//!
//! - the row in [`order::lifecycle`], which the test `the_table_contains_every_command` requires;
//! - `allowed_actions` in `order/permission.rs`: a condition beyond the table, or a deadline of the action. The test
//!   `allowed_actions_and_decide_agree` finds a missing condition;
//! - the first arms of `is_repeat`, if the order does not contain the whole content of the command;
//! - the lists of commands in `tests/domain`: `any_command` in `moves.rs`, `commands` and `is_for_role` in `access.rs`,
//!   and `steps` and `given` of `what_a_repeated_command_is_answered_with` in `lifecycle.rs`;
//! - the table of repeated commands in `docs/reference/lifecycle.md`.

pub mod account;
pub mod external_id;
pub mod fee;
pub mod geo;
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
mod share;
pub mod statistics;
pub mod task;
pub mod tax;
pub mod text;

pub use account::{Actor, Role, Via};
pub use external_id::ExternalId;
pub use ids::{
    AccountId, ApiKeyId, Bucket, DisplayCode, DisplayCodeError, OrderId, RestaurantId, SessionId, TaskId,
    WebhookEndpointId,
};
pub use jiff::Timestamp;
pub use money::{Amount, Currency, Money};
pub use problem::{InputProblem, Problems, entry_count, one_of, quoted, whole_number};
pub use read_only::ReadOnly;
