//! State of an order at one version, which its events determine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CancelReason, DeclineReason, OrderDetails, PaymentReference, RefundBearer, RefundState, RejectReason,
    named::named_variants,
};
use crate::{AccountId, Actor, Amount, OrderId, Timestamp, menu::UnavailableItem, text::Note};

/// Number of an order's latest event: 1, 2, 3, … It identifies a state of the order.
pub type Version = u32;

/// Status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The order is placed; its payment is not certain yet.
    Created,
    /// The payment is certain; the restaurant has to accept the order.
    Confirmed,
    /// The kitchen prepares the food.
    Preparing,
    /// The food is ready.
    ReadyForPickup,
    /// A courier carries the food.
    OutForDelivery,
    /// The customer has the food.
    Delivered,
    /// The order ended before its delivery.
    Cancelled,
    /// The full amount is refunded.
    Refunded,
}

named_variants!(OrderStatus {
    Created => "created",
    Confirmed => "confirmed",
    Preparing => "preparing",
    ReadyForPickup => "ready_for_pickup",
    OutForDelivery => "out_for_delivery",
    Delivered => "delivered",
    Cancelled => "cancelled",
    Refunded => "refunded",
});

impl OrderStatus {
    /// Returns whether the order has ended. After that, only money moves.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Refunded)
    }
}

/// Status of an order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing has been paid yet.
    Pending,
    /// The payment provider has authorized the payment.
    Authorized,
    /// The payment has been captured. An order by card with a total of zero has nothing to capture and has this status
    /// from the start.
    Captured,
    /// The payment failed.
    Failed,
    /// Nothing was captured, and nothing will be.
    Voided,
    /// A part of the captured amount is refunded.
    PartiallyRefunded,
    /// The full captured amount is refunded.
    Refunded,
}

named_variants!(PaymentStatus {
    Pending => "pending",
    Authorized => "authorized",
    Captured => "captured",
    Failed => "failed",
    Voided => "voided",
    PartiallyRefunded => "partially_refunded",
    Refunded => "refunded",
});

/// An order at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Id of the order.
    pub id: OrderId,
    /// Number of the latest event.
    pub version: Version,
    /// Agreed terms. Shared, because they never change.
    pub details: Arc<OrderDetails>,
    /// Status of the order.
    pub status: OrderStatus,
    /// Status of the payment.
    pub payment_status: PaymentStatus,
    /// Captured amount.
    pub captured: Amount,
    /// Refunded part of the captured amount.
    pub refunded: Amount,
    /// The payment provider's id of the payment. Set when the payment is authorized.
    pub payment_reference: Option<PaymentReference>,
    /// Refunds that were requested or made, in order.
    pub refunds: Vec<RefundState>,
    /// Courier who carries the order.
    pub courier_id: Option<AccountId>,
    /// Deadline by which the restaurant must accept. Set when the order is confirmed.
    pub acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Set when the restaurant accepts.
    pub ready_by: Option<Timestamp>,
    /// The early end of the order, if it ended early.
    pub closure: Option<Closure>,
    /// Time at which the order was placed.
    pub placed_at: Timestamp,
    /// Time of the latest event.
    pub updated_at: Timestamp,
    /// Whether a newer version of Dabba wrote something about the order that this version does not understand. This
    /// version shows such an order as far as it can, and makes no decisions on it.
    pub is_written_by_newer: bool,
}

/// The way in which an order ended before its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Closure {
    /// An actor cancelled the order.
    Cancelled {
        /// Actor that cancelled the order.
        by: Actor,
        /// Reason for the cancellation.
        reason: CancelReason,
        /// Explanation in the actor's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Absent if none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Bearer of the refunds that follow from the cancellation. Absent: everyone bears them.
        #[serde(
            default = "RefundBearer::of_an_early_end",
            skip_serializing_if = "RefundBearer::is_of_an_early_end"
        )]
        borne_by: RefundBearer,
    },
    /// The restaurant rejected the order.
    Rejected {
        /// Reason for the rejection.
        reason: RejectReason,
        /// Explanation in the restaurant's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Absent if none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// The order expired, because the payment or the acceptance did not arrive by its deadline.
    Expired {
        /// What the order was waiting for.
        #[serde(default)]
        waited_for: ExpiryReason,
    },
    /// The payment failed.
    PaymentFailed {
        /// Reason for the failure.
        reason: DeclineReason,
    },
}

impl Closure {
    /// Returns the unavailable items that the early end names.
    pub fn items(&self) -> &[UnavailableItem] {
        match self {
            Self::Cancelled { items, .. } | Self::Rejected { items, .. } => items,
            Self::Expired { .. } | Self::PaymentFailed { .. } => &[],
        }
    }
}

/// What an order waits for until a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Awaited))]
#[serde(rename_all = "snake_case")]
pub enum ExpiryReason {
    /// The restaurant must accept the order.
    #[default]
    Restaurant,
    /// The payment must become certain.
    Payment,
}
