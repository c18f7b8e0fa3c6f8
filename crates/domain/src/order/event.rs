//! What has happened to an order, and the only function that changes its state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Actor, Amount, OrderId, Timestamp,
    order::{
        CancelReason, Closure, Order, OrderDetails, OrderStatus, PaymentStatus, RefundReason, RejectReason,
        Version,
    },
    text::Note,
};

/// Something that happened to an order. Events are never changed; to know an order is to know
/// its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OrderEvent))]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// It was placed. Always the first event, and only the first.
    Placed(Arc<OrderDetails>),
    /// Its payment is certain.
    Confirmed {
        /// Until when the restaurant has to accept.
        acceptance_deadline: Timestamp,
    },
    /// The restaurant took it.
    Accepted {
        /// In how many minutes the food will be ready, counted from the event.
        preparation_minutes: u32,
        /// When that is.
        ready_by: Timestamp,
    },
    /// The restaurant did not take it.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// Why, in the restaurant's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The food is ready.
    MarkedReady,
    /// A courier will carry it.
    CourierAssigned {
        /// The courier's account.
        courier_id: AccountId,
    },
    /// The courier has the food.
    PickedUp,
    /// The customer has the food.
    Delivered,
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// Why, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The restaurant did not answer in time.
    Expired {
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The money was collected.
    PaymentCaptured {
        /// How much.
        amount: Amount,
    },
    /// The customer got money back.
    Refunded {
        /// How much this time.
        amount: Amount,
        /// Why.
        reason: RefundReason,
        /// Why, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
}

impl Event {
    /// The event's name, as in its JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Placed(_) => "placed",
            Self::Confirmed { .. } => "confirmed",
            Self::Accepted { .. } => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::MarkedReady => "marked_ready",
            Self::CourierAssigned { .. } => "courier_assigned",
            Self::PickedUp => "picked_up",
            Self::Delivered => "delivered",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired { .. } => "expired",
            Self::PaymentCaptured { .. } => "payment_captured",
            Self::Refunded { .. } => "refunded",
        }
    }
}

/// An event in an order's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The order.
    pub order_id: OrderId,
    /// Its place in the order's history, from 1 without a gap.
    pub version: Version,
    /// When it happened.
    pub at: Timestamp,
    /// Who made it happen.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}

/// A history that no order can have: damage in a store, or a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order {order_id}: event {version} ({event}) cannot follow version {after}")]
pub struct HistoryError {
    /// The order.
    pub order_id: OrderId,
    /// The number of the event that does not fit.
    pub version: Version,
    /// Its name.
    pub event: &'static str,
    /// The version before it; 0 when there is no order yet.
    pub after: Version,
}

/// The order after an event: the only way an order's state changes.
///
/// Says nothing about whether the event was allowed; that was decided before it was recorded. It
/// does refuse an event out of sequence.
pub fn evolve(order: Option<Order>, recorded: &RecordedEvent) -> Result<Order, HistoryError> {
    let misfit = |after| HistoryError {
        order_id: recorded.order_id,
        version: recorded.version,
        event: recorded.event.name(),
        after,
    };
    let mut order = match (order, &recorded.event) {
        (None, Event::Placed(details)) if recorded.version == 1 => return Ok(placed(recorded, details)),
        (None, _) => return Err(misfit(0)),
        (Some(order), Event::Placed(_)) => return Err(misfit(order.version)),
        (Some(order), _) if recorded.order_id == order.id && recorded.version == order.version + 1 => order,
        (Some(order), _) => return Err(misfit(order.version)),
    };
    match &recorded.event {
        Event::Placed(_) => return Err(misfit(order.version)),
        Event::Confirmed { acceptance_deadline } => {
            order.status = OrderStatus::Confirmed;
            order.acceptance_deadline = Some(*acceptance_deadline);
        }
        Event::Accepted { ready_by, .. } => {
            order.status = OrderStatus::Preparing;
            order.ready_by = Some(*ready_by);
        }
        Event::Rejected { reason, note, .. } => {
            close(&mut order, Closure::Rejected { reason: *reason, note: note.clone() });
        }
        Event::MarkedReady => order.status = OrderStatus::ReadyForPickup,
        Event::CourierAssigned { courier_id } => order.courier_id = Some(*courier_id),
        Event::PickedUp => order.status = OrderStatus::OutForDelivery,
        Event::Delivered => order.status = OrderStatus::Delivered,
        Event::Cancelled { reason, note, .. } => {
            close(&mut order, Closure::Cancelled { by: recorded.actor, reason: *reason, note: note.clone() });
        }
        Event::Expired { .. } => close(&mut order, Closure::Expired),
        Event::PaymentCaptured { amount } => {
            order.payment_status = PaymentStatus::Captured;
            order.captured = *amount;
        }
        Event::Refunded { amount, .. } => {
            order.refunded = order.refunded.plus(*amount).map_err(|_| misfit(order.version))?;
            if order.refunded == order.captured {
                order.payment_status = PaymentStatus::Refunded;
                order.status = OrderStatus::Refunded;
            } else {
                order.payment_status = PaymentStatus::PartiallyRefunded;
            }
        }
    }
    order.version = recorded.version;
    order.updated_at = recorded.at;
    Ok(order)
}

fn placed(recorded: &RecordedEvent, details: &Arc<OrderDetails>) -> Order {
    Order {
        id: recorded.order_id,
        version: recorded.version,
        details: Arc::clone(details),
        status: OrderStatus::Created,
        payment_status: PaymentStatus::Pending,
        captured: Amount::ZERO,
        refunded: Amount::ZERO,
        courier_id: None,
        acceptance_deadline: None,
        ready_by: None,
        closure: None,
        placed_at: recorded.at,
        updated_at: recorded.at,
    }
}

fn close(order: &mut Order, closure: Closure) {
    order.status = OrderStatus::Cancelled;
    order.closure = Some(closure);
    if order.payment_status == PaymentStatus::Pending {
        order.payment_status = PaymentStatus::Voided;
    }
}

/// The order that a history makes; `None` for an empty one.
pub fn fold<'a>(history: impl IntoIterator<Item = &'a RecordedEvent>) -> Result<Option<Order>, HistoryError> {
    history.into_iter().try_fold(None, |order, recorded| evolve(order, recorded).map(Some))
}
