//! Refunds that the payment provider refuses, before or after it reported them as made.

use super::{
    Decision, Event, Order, OrderStatus, PaymentStatus, RefundFailureReason, RefundNumber, RefundState,
    RefundStatus, Rejection, ReviewReason,
};
use crate::{Actor, Amount, Timestamp, task::Task};

impl Decision {
    /// Records that the provider refused or reversed a refund. The amount can be refunded again, and an admin gets a
    /// review. A repeated report, or a report about a refund that already failed, changes nothing.
    pub(super) fn refund_refused(
        &mut self,
        number: RefundNumber,
        reason: RefundFailureReason,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let is_it = |state: &&RefundState| state.refund.number == number && state.refund.external.is_none();
        let state = self.order.refunds.iter().find(is_it);
        let (event, review) = match state.map(|state| state.status) {
            Some(RefundStatus::Pending) => (
                Event::RefundFailed { number, reason: Some(reason) },
                ReviewReason::RefundFailed { number, reason },
            ),
            Some(RefundStatus::Paid) => {
                (Event::RefundReversed { number, reason }, ReviewReason::RefundReversed { number, reason })
            }
            Some(RefundStatus::Failed | RefundStatus::Reversed) | None => return Ok(()),
        };
        self.tasks_at(now, [Task::Review { reason: review }]);
        self.record(&Actor::System, now, event)
    }
}

impl Order {
    /// Reverses a paid refund: the amount counts as captured again, and the order returns to the status that it had
    /// before the full refund. Returns `None` if there is no such refund.
    pub(super) fn reverse_refund(
        &mut self,
        number: RefundNumber,
        reason: Option<RefundFailureReason>,
    ) -> Option<()> {
        let state = self.refunds.iter_mut().find(|state| state.refund.number == number)?;
        if state.status != RefundStatus::Paid {
            return None;
        }
        (state.status, state.failure) = (RefundStatus::Reversed, reason);
        let amount = state.refund.amount;
        self.refunded = match self.recomputed_refunded() {
            Some(refunded) => refunded,
            None => self.refunded.minus(amount).ok()?,
        };
        self.payment_status = match self.refunded {
            Amount::ZERO => PaymentStatus::Captured,
            back if back >= self.captured => PaymentStatus::Refunded,
            _ => PaymentStatus::PartiallyRefunded,
        };
        if self.status == OrderStatus::Refunded && self.payment_status != PaymentStatus::Refunded {
            self.status =
                if self.closure.is_some() { OrderStatus::Cancelled } else { OrderStatus::Delivered };
        }
        Some(())
    }
}
