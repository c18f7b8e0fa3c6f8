//! The order and its lifecycle.
//!
//! The events of an order determine its state. Only [`evolve`] changes a state. Only three functions create events:
//! [`place()`], [`decide()`] and, for the reports of a payment provider, [`settle`]. The table [`lifecycle::RULES`]
//! defines which commands are allowed; [`lifecycle::table`] prints it, and `docs/reference/lifecycle.md` contains that
//! output.

mod command;
mod content;
mod decide;
mod event;
mod external;
pub mod lifecycle;
mod payment;
mod refund;
mod repeat;
mod reversal;
mod review;
mod state;
mod task;

pub use command::{
    CancelReason, Command, CommandKind, InterventionReason, OrderRequest, RefundReason, RejectReason,
};
pub use decide::{AllowedAction, Decision, Rejection, TaskSpec, allowed_actions, decide, place};
pub use event::{Event, RecordedEvent, UnknownEvent, evolve, fold};
pub use external::{ChargebackOutcome, PaymentStep};
pub use payment::{DeclineReason, PaymentReference, PaymentReport, PaymentTextError, PaymentToken, settle};
pub use refund::{
    External, ExternalKind, Refund, RefundBearer, RefundFailureReason, RefundLine, RefundNumber,
    RefundRequest, RefundState, RefundStatus,
};
pub use repeat::is_repeat;
pub use review::ReviewReason;
pub use state::{
    Address, Awaited, Closure, Contact, Fulfilment, Order, OrderDetails, OrderStatus, PaymentMethod,
    PaymentStatus, StockDraw, Version,
};
pub use task::{Task, TaskKind, TaskQueue};
