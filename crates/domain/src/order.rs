//! The order and its lifecycle.
//!
//! The events of an order determine its state. Only [`evolve()`] changes a state. Only three functions create events:
//! [`place()`], [`decide()`] and, for the reports of a payment provider, [`settle()`]. The table [`lifecycle::RULES`]
//! defines which commands are allowed; [`lifecycle::table`] prints it, and `docs/reference/lifecycle.md` contains that output.
//!
//! | module | content |
//! |---|---|
//! | `state`, `details`, `address`, `refund` | [`Order`], its agreed terms and its refunds: what the engine works with and stores keep |
//! | `event`, `evolve`, `steps` | the events of an order, and the state and the times that follow from them |
//! | `request`, `command`, `reason`, `refund_request` | what clients ask for: a new order, a command with its reason, a refund |
//! | `validation` | the problems of a request and of a command's content |
//! | [`lifecycle`], `permission`, `repeat` | who may give a command and when; commands that were carried out before |
//! | `decide`, `rejection` | the decision on a command, or the reason why it is refused |
//! | `effect` | what a decision does to the order's status and money |
//! | `payment`, `settle`, `external`, `reversal` | a payment provider's reports, and the decisions on them |
//! | `review` | reasons why an admin must review what a decision leaves open; [`crate::task`] describes the tasks of decisions |

mod address;
mod command;
mod decide;
mod details;
mod effect;
mod event;
mod evolve;
mod external;
pub mod lifecycle;
pub(crate) mod named;
mod payment;
mod permission;
mod reason;
mod refund;
mod refund_request;
mod rejection;
mod repeat;
mod request;
mod reversal;
mod review;
mod settle;
mod state;
mod steps;
mod validation;

pub use address::Address;
pub use command::{Command, CommandKind};
pub use decide::{Decision, TaskSpec, decide, place};
pub use details::{
    Contact, Fulfilment, OrderDetails, OrderZone, PaymentMethod, StockDraw, TERMS_VERSION, TermsVersion,
};
pub use effect::{Effect, MoneyEffect};
pub use event::{Event, RecordedEvent, UnknownEvent};
pub use evolve::{HistoryError, evolve, fold};
pub use external::{ChargebackOutcome, PaymentStep};
pub use payment::{DeclineReason, PaymentReference, PaymentReport, PaymentTextError, PaymentToken};
pub use permission::{AllowedAction, allowed_actions};
pub use reason::{CancelReason, InterventionReason, RefundReason, RejectReason};
pub use refund::{
    External, ExternalKind, Refund, RefundBearer, RefundFailureReason, RefundLine, RefundNumber, RefundState,
    RefundStatus,
};
pub use refund_request::RefundRequest;
pub use rejection::Rejection;
pub use repeat::is_repeat;
pub use request::OrderRequest;
pub use review::ReviewReason;
pub use settle::settle;
pub use state::{Closure, ExpiryReason, Order, OrderStatus, PaymentStatus, Version};
pub use steps::{OrderSteps, OrderWithSteps};
