//! Events of an order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Actor, Amount, Money, OrderId, Timestamp,
    menu::UnavailableItem,
    order::{
        CancelReason, DeclineReason, ExpiryReason, InterventionReason, OrderDetails, PaymentReference,
        PaymentStep, Refund, RefundBearer, RefundFailureReason, RefundNumber, RejectReason, StockDraw,
        Version,
    },
    text::Note,
};

/// An event of an order. Events never change, and together they determine the state of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OrderEvent))]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// The order was placed. This is always the first event, and only the first.
    Placed(Arc<OrderDetails>),
    /// The payment is certain.
    Confirmed {
        /// Deadline by which the restaurant must accept.
        acceptance_deadline: Timestamp,
    },
    /// The restaurant accepted the order.
    Accepted {
        /// Minutes until the food is ready, counted from the event.
        preparation_minutes: u32,
        /// Time at which the food should be ready.
        ready_by: Timestamp,
    },
    /// The restaurant rejected the order.
    Rejected {
        /// Reason for the rejection.
        reason: RejectReason,
        /// Explanation in the restaurant's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Their stock was not returned. Absent in events recorded before such items were
        /// named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Whether the order's stock was returned.
        stock_returned: bool,
    },
    /// The food is ready.
    MarkedReady,
    /// A courier was assigned to the order.
    CourierAssigned {
        /// The courier's account.
        courier_id: AccountId,
        /// Reason why an admin assigned the courier. Present if the admin had to give one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Explanation in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The courier picked up the food.
    PickedUp,
    /// The customer received the food.
    Delivered {
        /// Reason of an admin who reported the delivery instead of the courier or the restaurant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Explanation in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The order was cancelled.
    Cancelled {
        /// Reason for the cancellation.
        reason: CancelReason,
        /// Explanation in the actor's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Their stock was not returned. Absent in events recorded before such items were
        /// named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Whether the order's stock was returned.
        stock_returned: bool,
        /// Bearer of the refunds that follow from the cancellation, even if the payment is captured only later. Absent:
        /// everyone bears them.
        #[serde(
            default = "RefundBearer::of_an_early_end",
            skip_serializing_if = "RefundBearer::is_of_an_early_end"
        )]
        borne_by: RefundBearer,
    },
    /// The restaurant was warned that its time to accept is running out.
    AcceptanceDue {
        /// Deadline by which the restaurant must accept.
        acceptance_deadline: Timestamp,
    },
    /// The order expired, because the payment or the acceptance did not arrive by its deadline.
    Expired {
        /// What the order was waiting for.
        #[serde(default)]
        waited_for: ExpiryReason,
        /// Whether the order's stock was returned.
        stock_returned: bool,
    },
    /// The payment was captured.
    PaymentCaptured {
        /// Captured amount.
        amount: Amount,
    },
    /// The payment provider authorized the payment.
    PaymentAuthorized {
        /// The payment provider's id of the payment.
        reference: PaymentReference,
    },
    /// The payment failed. An order that was waiting for the payment ends with this event.
    PaymentFailed {
        /// Reason for the failure.
        reason: DeclineReason,
        /// Whether the order's stock was returned.
        stock_returned: bool,
    },
    /// The authorization was voided, or the payment was never authorized.
    PaymentVoided,
    /// A refund was requested from the payment provider.
    RefundRequested(Refund),
    /// The payment provider refused the refund.
    RefundFailed {
        /// Number of the refund within the order.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Reason for the failure. Absent in events recorded before reasons were recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RefundFailureReason>,
    },
    /// The customer received a refund.
    Refunded(Refund),
    /// The customer opened a chargeback at their bank. Its amount cannot be refunded until the chargeback is decided.
    ChargebackOpened(Refund),
    /// The chargeback was decided in the customer's favour: the customer keeps the money.
    ChargebackLost {
        /// Number of the refund that represents the chargeback.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// The chargeback was decided against the customer: the platform has the money again.
    ChargebackWon {
        /// Number of the refund that represents the chargeback.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// The payment provider authorized or captured another amount or currency than agreed. The amounts of the order do
    /// not change.
    PaymentDiffers {
        /// The step that differs: authorization or capture.
        step: PaymentStep,
        /// Amount that the provider authorized or captured.
        money: Money,
    },
    /// A refund failed after the payment provider had reported it as made. The amount can be refunded again.
    RefundReversed {
        /// Number of the refund within the order.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Reason for the failure.
        reason: RefundFailureReason,
    },
    /// An event recorded by a newer version of Dabba, in its stored form. It is shown and passed on. An order with such
    /// an event accepts no decisions.
    #[serde(skip_deserializing, untagged)]
    #[cfg_attr(feature = "openapi", schema(skip))]
    Unknown(UnknownEvent),
}

/// An event whose type this version of Dabba does not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnknownEvent {
    /// Name of the event.
    #[serde(rename = "type")]
    pub name: Arc<str>,
    /// Content of the event. Absent for an event without content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

impl Event {
    /// Returns whether this version of Dabba knows an event with this name.
    pub fn is_known(name: &str) -> bool {
        Self::NAMES.contains(&name)
    }

    /// Returns the event of a delivery without a reason.
    pub const fn delivered() -> Self {
        Self::Delivered { reason: None, note: None }
    }

    /// Returns the event of an assignment without a reason.
    pub const fn assigned(courier_id: AccountId) -> Self {
        Self::CourierAssigned { courier_id, reason: None, note: None }
    }

    /// Returns the draws from limited stock that the event returned, out of all draws of the order.
    pub fn returned_stock<'a>(&'a self, drawn: &'a [StockDraw]) -> impl Iterator<Item = &'a StockDraw> {
        let (is_any, kept) = match self {
            Self::Rejected { stock_returned, items, .. } | Self::Cancelled { stock_returned, items, .. } => {
                (*stock_returned, items.as_slice())
            }
            Self::Expired { stock_returned, .. } | Self::PaymentFailed { stock_returned, .. } => {
                (*stock_returned, [].as_slice())
            }
            _ => (false, [].as_slice()),
        };
        drawn.iter().filter(move |draw| is_any && kept.iter().all(|kept| kept.item != draw.item))
    }

    /// Returns the event's name, as in its JSON form.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(unknown) => &unknown.name,
            known => known.known_name().unwrap_or_default(),
        }
    }
}

macro_rules! named_events {
    ($($event:pat => $name:literal,)*) => {
        impl Event {
            /// Names of the events that this version of Dabba knows.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Returns the name of an event that this version of Dabba knows; `None` for any other event.
            pub const fn known_name(&self) -> Option<&'static str> {
                Some(match self {
                    $($event => $name,)*
                    Self::Unknown(_) => return None,
                })
            }
        }
    };
}

named_events! {
    Event::Placed(_) => "placed",
    Event::Confirmed { .. } => "confirmed",
    Event::Accepted { .. } => "accepted",
    Event::Rejected { .. } => "rejected",
    Event::MarkedReady => "marked_ready",
    Event::CourierAssigned { .. } => "courier_assigned",
    Event::PickedUp => "picked_up",
    Event::Delivered { .. } => "delivered",
    Event::Cancelled { .. } => "cancelled",
    Event::Expired { .. } => "expired",
    Event::PaymentCaptured { .. } => "payment_captured",
    Event::AcceptanceDue { .. } => "acceptance_due",
    Event::PaymentAuthorized { .. } => "payment_authorized",
    Event::PaymentFailed { .. } => "payment_failed",
    Event::PaymentVoided => "payment_voided",
    Event::RefundRequested(_) => "refund_requested",
    Event::RefundFailed { .. } => "refund_failed",
    Event::Refunded(_) => "refunded",
    Event::RefundReversed { .. } => "refund_reversed",
    Event::ChargebackOpened(_) => "chargeback_opened",
    Event::ChargebackLost { .. } => "chargeback_lost",
    Event::ChargebackWon { .. } => "chargeback_won",
    Event::PaymentDiffers { .. } => "payment_differs",
}

/// An event in an order's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The order.
    pub order_id: OrderId,
    /// Number of the event in the order's history, from 1 without gaps.
    pub version: Version,
    /// Time of the event.
    pub at: Timestamp,
    /// Actor that caused the event.
    pub actor: Actor,
    /// The event.
    pub event: Event,
}
