//! What has happened to an order, and the only function that changes its state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Actor, Amount, Money, OrderId, Timestamp,
    menu::UnavailableItem,
    order::{
        Awaited, CancelReason, Closure, DeclineReason, InterventionReason, Order, OrderDetails, OrderStatus,
        PaymentMethod, PaymentReference, PaymentStatus, PaymentStep, Refund, RefundBearer,
        RefundFailureReason, RefundNumber, RefundState, RefundStatus, RejectReason, StockDraw, Version,
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
        /// The items that were unavailable. Their stock did not go back. Absent in events that were recorded before
        /// items were named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The food is ready.
    MarkedReady,
    /// A courier will carry it.
    CourierAssigned {
        /// The courier's account.
        courier_id: AccountId,
        /// Why an admin assigned them, where the admin had to say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Why, in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The courier has the food.
    PickedUp,
    /// The customer has the food.
    Delivered {
        /// Why an admin says so, and not who carried it or handed it over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Why, in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// Why, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// The items that were unavailable. Their stock did not go back. Absent in events that were recorded before
        /// items were named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Whether what it took from stock went back.
        stock_returned: bool,
        /// Who bears what is refunded because of it, also when the payment is captured only later. Absent when
        /// everyone bears it.
        #[serde(
            default = "RefundBearer::of_an_early_end",
            skip_serializing_if = "RefundBearer::is_of_an_early_end"
        )]
        borne_by: RefundBearer,
    },
    /// The restaurant's time to accept runs out.
    AcceptanceDue {
        /// Until when it has to accept.
        acceptance_deadline: Timestamp,
    },
    /// Something was waited for in vain.
    Expired {
        /// For what.
        #[serde(default)]
        waited_for: Awaited,
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The money was collected.
    PaymentCaptured {
        /// How much.
        amount: Amount,
    },
    /// The payment provider has set the money aside.
    PaymentAuthorized {
        /// What the provider calls the payment.
        reference: PaymentReference,
    },
    /// The payment did not come about. An order that waits for it ends by that.
    PaymentFailed {
        /// Why.
        reason: DeclineReason,
        /// Whether what it took from stock went back.
        stock_returned: bool,
    },
    /// The money that was set aside is free again, or never was.
    PaymentVoided,
    /// The payment provider is to give the customer money back.
    RefundRequested(Refund),
    /// The payment provider refused to.
    RefundFailed {
        /// Which of the order's refunds it is.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Why. Absent in events that were recorded before reasons were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RefundFailureReason>,
    },
    /// The customer got money back.
    Refunded(Refund),
    /// The customer has their bank take money back. It cannot be refunded until that is decided.
    ChargebackOpened(Refund),
    /// A chargeback was decided for the customer: the customer keeps the money.
    ChargebackLost {
        /// Which of the order's refunds stands for it.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// A chargeback was decided against the customer: the money is here again.
    ChargebackWon {
        /// Which of the order's refunds stands for it.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
    },
    /// The payment provider authorized or captured another amount or currency than was agreed. Says nothing about
    /// what the order costs.
    PaymentDiffers {
        /// Which of the two.
        step: PaymentStep,
        /// How much the provider authorized or captured.
        money: Money,
    },
    /// A refund failed after the payment provider had reported it as made. The amount can be refunded again.
    RefundReversed {
        /// Which of the order's refunds it is.
        #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
        number: RefundNumber,
        /// Why.
        reason: RefundFailureReason,
    },
    /// An event that a newer version of Dabba recorded, as it is stored. It is shown and passed on, and nobody decides
    /// on an order that has one.
    #[serde(skip_deserializing, untagged)]
    #[cfg_attr(feature = "openapi", schema(skip))]
    Unknown(UnknownEvent),
}

/// An event whose type this version of Dabba does not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnknownEvent {
    /// Its name.
    #[serde(rename = "type")]
    pub name: Arc<str>,
    /// Its content. Absent for an event that is only a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

impl Event {
    /// Returns whether this version of Dabba knows an event of this name.
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

    /// Returns what of an order's draws from limited stock the event gave back.
    pub fn stock_given_back<'a>(&'a self, drawn: &'a [StockDraw]) -> impl Iterator<Item = &'a StockDraw> {
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

    /// The event's name, as in its JSON.
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
            /// The names of the events that this version of Dabba knows.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name of an event that this version of Dabba knows; `None` of any other.
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
    pub event: String,
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
        event: recorded.event.name().to_owned(),
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
        Event::Rejected { reason, note, items, .. } => {
            let (reason, note, items) = (*reason, note.clone(), items.clone());
            close(&mut order, Closure::Rejected { reason, note, items });
        }
        Event::MarkedReady => order.status = OrderStatus::ReadyForPickup,
        Event::CourierAssigned { courier_id, .. } => order.courier_id = Some(*courier_id),
        Event::PickedUp => order.status = OrderStatus::OutForDelivery,
        Event::Delivered { .. } => order.status = OrderStatus::Delivered,
        Event::Cancelled { reason, note, items, borne_by, .. } => {
            let (by, reason, note, borne_by) = (recorded.actor, *reason, note.clone(), *borne_by);
            close(&mut order, Closure::Cancelled { by, reason, note, items: items.clone(), borne_by });
        }
        Event::AcceptanceDue { .. } | Event::PaymentDiffers { .. } => {}
        Event::Expired { waited_for, .. } => close(&mut order, Closure::Expired { waited_for: *waited_for }),
        Event::PaymentAuthorized { reference } => {
            order.payment_status = PaymentStatus::Authorized;
            order.payment_reference = Some(reference.clone());
        }
        Event::PaymentFailed { reason, .. } => {
            order.payment_status = PaymentStatus::Failed;
            if !order.status.is_terminal() {
                close(&mut order, Closure::PaymentFailed { reason: *reason });
            }
        }
        Event::PaymentVoided => order.payment_status = PaymentStatus::Voided,
        Event::PaymentCaptured { amount } => {
            order.payment_status = PaymentStatus::Captured;
            order.captured = *amount;
        }
        Event::RefundRequested(refund) | Event::ChargebackOpened(refund) => {
            order.refunds.push(RefundState::new(RefundStatus::Pending, refund.clone()));
        }
        Event::RefundFailed { number, reason } => {
            let state = order.refunds.iter_mut().find(|state| state.refund.number == *number);
            let state = state.ok_or_else(|| misfit(recorded.version - 1))?;
            (state.status, state.failure) = (RefundStatus::Failed, *reason);
        }
        Event::RefundReversed { number, reason } => {
            let version = order.version;
            order.take_back(*number, Some(*reason)).ok_or_else(|| misfit(version))?;
        }
        Event::Refunded(refund) => {
            let version = order.version;
            order.pay_refund(refund).ok_or_else(|| misfit(version))?;
        }
        Event::ChargebackLost { number } => {
            let version = order.version;
            order.lose_chargeback(*number).ok_or_else(|| misfit(version))?;
        }
        Event::ChargebackWon { number } => {
            let version = order.version;
            order.win_chargeback(*number).ok_or_else(|| misfit(version))?;
        }
        Event::Unknown(_) => order.is_newer = true,
    }
    order.version = recorded.version;
    order.updated_at = recorded.at;
    Ok(order)
}

fn placed(recorded: &RecordedEvent, details: &Arc<OrderDetails>) -> Order {
    // Of a total of zero by card, everything is collected from the start.
    let is_settled = details.payment_method == PaymentMethod::Card && !details.needs_provider();
    Order {
        id: recorded.order_id,
        version: recorded.version,
        details: Arc::clone(details),
        status: OrderStatus::Created,
        payment_status: if is_settled { PaymentStatus::Captured } else { PaymentStatus::Pending },
        captured: Amount::ZERO,
        refunded: Amount::ZERO,
        payment_reference: None,
        refunds: Vec::new(),
        courier_id: None,
        acceptance_deadline: None,
        ready_by: None,
        closure: None,
        placed_at: recorded.at,
        updated_at: recorded.at,
        is_newer: false,
    }
}

fn close(order: &mut Order, closure: Closure) {
    order.status = OrderStatus::Cancelled;
    order.closure = Some(closure);
    // A payment by card may be under way; what became of it, the provider says.
    let nothing_under_way = order.details.payment_method == PaymentMethod::Cash;
    if nothing_under_way && order.payment_status == PaymentStatus::Pending {
        order.payment_status = PaymentStatus::Voided;
    }
}

/// The order that a history makes; `None` for an empty one.
pub fn fold<'a>(history: impl IntoIterator<Item = &'a RecordedEvent>) -> Result<Option<Order>, HistoryError> {
    history.into_iter().try_fold(None, |order, recorded| evolve(order, recorded).map(Some))
}
