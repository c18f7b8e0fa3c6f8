//! The order and its life.
//!
//! An order is what its events say: [`evolve`] is the only way a state changes, [`decide()`] and
//! [`place()`] the only way events come about. What is allowed stands in one table,
//! [`lifecycle::RULES`]; [`lifecycle::table`] prints it and `docs/lifecycle.md` is that print.

mod command;
mod decide;
mod event;
pub mod lifecycle;
mod state;

pub use command::{CancelReason, Command, CommandKind, OrderRequest, RefundReason, RejectReason};
pub use decide::{AllowedAction, Decision, Rejection, TaskSpec, allowed_actions, decide, place};
pub use event::{Event, RecordedEvent, evolve, fold};
pub use state::{
    Address, Closure, Contact, Fulfilment, Order, OrderDetails, OrderStatus, PaymentMethod, PaymentStatus,
    StockDraw, TaskKind, Version,
};
