//! The only function that changes an order's state.

use std::sync::Arc;

use super::{
    Closure, Event, Order, OrderDetails, OrderStatus, PaymentMethod, PaymentStatus, RecordedEvent,
    RefundState, RefundStatus, Version,
};
use crate::{Amount, OrderId};

/// A history that no order can have, because of damage in a store or a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order {order_id}: event {version} ({event}) cannot follow version {after}")]
pub struct HistoryError {
    /// The order.
    pub order_id: OrderId,
    /// The number of the event that does not fit.
    pub version: Version,
    /// Name of the event.
    pub event: String,
    /// Version before the event; 0 if there is no order yet.
    pub after: Version,
}

/// Returns the order after an event. This is the only way in which an order's state changes.
///
/// `evolve` does not check whether the event was allowed; that was decided before the event was recorded. It refuses an
/// event that is out of sequence.
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
            let (by, reason, note, borne_by) =
                (recorded.actor.without_via(), *reason, note.clone(), *borne_by);
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
            order.reverse_refund(*number, Some(*reason)).ok_or_else(|| misfit(version))?;
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
        Event::Unknown(_) => order.is_written_by_newer = true,
    }
    order.version = recorded.version;
    order.updated_at = recorded.at;
    Ok(order)
}

fn placed(recorded: &RecordedEvent, details: &Arc<OrderDetails>) -> Order {
    // If the total of an order by card is zero, the payment counts as captured from the start.
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
        is_written_by_newer: false,
    }
}

fn close(order: &mut Order, closure: Closure) {
    order.status = OrderStatus::Cancelled;
    order.closure = Some(closure);
    // A payment by card may be in progress. The payment provider reports its result.
    let nothing_under_way = order.details.payment_method == PaymentMethod::Cash;
    if nothing_under_way && order.payment_status == PaymentStatus::Pending {
        order.payment_status = PaymentStatus::Voided;
    }
}

/// Returns the order that results from a history; `None` for an empty history.
pub fn fold<'a>(history: impl IntoIterator<Item = &'a RecordedEvent>) -> Result<Option<Order>, HistoryError> {
    history.into_iter().try_fold(None, |order, recorded| evolve(order, recorded).map(Some))
}
