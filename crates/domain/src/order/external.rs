//! Changes at the payment provider without Dabba: refunds in its dashboard, chargebacks, and payments of another amount
//! or currency than agreed.
//!
//! Dabba records these changes and creates a review for an admin. Dabba does not refund money that the customer already
//! has, or may get from an open chargeback. The platform bears money that goes back without Dabba, because only the
//! platform has access to the provider's account. A correction between platform and restaurant is made outside Dabba.

use serde::{Deserialize, Serialize};

use super::{
    Decision, Event, External, ExternalKind, Order, OrderStatus, PaymentReference, PaymentStatus, Refund,
    RefundBearer, RefundFailureReason, RefundNumber, RefundReason, RefundState, RefundStatus, Rejection,
    ReviewReason,
};
use crate::{Actor, Amount, Money, Timestamp, task::Task};

/// Step of a payment whose amount may differ from the agreed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStep {
    /// The authorization.
    Authorized,
    /// The capture.
    Captured,
}

/// State of a chargeback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackOutcome {
    /// The chargeback is not decided yet.
    Open,
    /// The customer keeps the money.
    Lost,
    /// The platform has the money again.
    Won,
}

impl Decision {
    /// Records a refund made at the provider. A refund that is already recorded changes nothing.
    pub(super) fn refunded_at_provider(
        &mut self,
        reference: &PaymentReference,
        money: Money,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if self.order.external_refund(reference).is_some() {
            return Ok(());
        }
        let refund = self.external(ExternalKind::Refund, reference, money);
        let (number, amount) = (refund.number, refund.amount);
        self.review(ReviewReason::RefundedAtProvider { number, amount }, now);
        self.record(&Actor::System, now, Event::Refunded(refund))
    }

    /// Records that a refund made at the provider failed.
    pub(super) fn provider_refund_failed(
        &mut self,
        reference: &PaymentReference,
        reason: RefundFailureReason,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        match self.order.external_refund(reference).map(|state| (state.status, state.refund.number)) {
            Some((RefundStatus::Paid, number)) => {
                self.review(ReviewReason::RefundReversed { number, reason }, now);
                self.record(&Actor::System, now, Event::RefundReversed { number, reason })
            }
            _ => Ok(()),
        }
    }

    /// Records the state of a chargeback. A chargeback is opened once, then lost or won once, and may still be won
    /// after it was lost. Any other report is late and changes nothing.
    pub(super) fn charged_back(
        &mut self,
        reference: &PaymentReference,
        money: Money,
        outcome: ChargebackOutcome,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if self.order.external_refund(reference).is_none() {
            let refund = self.external(ExternalKind::Chargeback, reference, money);
            let (number, amount) = (refund.number, refund.amount);
            self.review(ReviewReason::ChargebackOpened { number, amount }, now);
            self.record(&Actor::System, now, Event::ChargebackOpened(refund))?;
        }
        let known = self.order.external_refund(reference);
        let Some((status, number)) = known.map(|state| (state.status, state.refund.number)) else {
            return Ok(());
        };
        match (outcome, status) {
            (ChargebackOutcome::Lost, RefundStatus::Pending) => {
                self.review(ReviewReason::ChargebackLost { number }, now);
                self.record(&Actor::System, now, Event::ChargebackLost { number })
            }
            (ChargebackOutcome::Won, RefundStatus::Pending | RefundStatus::Paid) => {
                self.review(ReviewReason::ChargebackWon { number }, now);
                self.record(&Actor::System, now, Event::ChargebackWon { number })
            }
            _ => Ok(()),
        }
    }

    /// Records that the provider authorized or captured another amount or currency than agreed.
    pub(super) fn differs(
        &mut self,
        step: PaymentStep,
        money: Money,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        self.review(ReviewReason::PaymentDiffers { step, money }, now);
        self.record(&Actor::System, now, Event::PaymentDiffers { step, money })
    }

    pub(super) fn review(&mut self, reason: ReviewReason, now: Timestamp) {
        self.tasks_at(now, [Task::Review { reason }]);
    }

    fn external(&self, kind: ExternalKind, reference: &PaymentReference, money: Money) -> Refund {
        let amount = money.amount_in(self.order.details.currency);
        let reference = reference.clone();
        Refund {
            number: self.order.next_refund_number(),
            amount: amount.unwrap_or(Amount::ZERO),
            lines: Vec::new(),
            taxes: Vec::new(),
            reason: RefundReason::Other,
            note: None,
            borne_by: RefundBearer::Platform,
            external: Some(External { kind, reference, money: amount.is_none().then_some(money) }),
        }
    }
}

impl Order {
    /// Marks a refund as paid, whether it was requested before or not. Returns `None` if an amount is out of range.
    pub(super) fn pay_refund(&mut self, refund: &Refund) -> Option<()> {
        match self.refunds.iter_mut().find(|state| state.refund.number == refund.number) {
            Some(state) => state.status = RefundStatus::Paid,
            None => self.refunds.push(RefundState::new(RefundStatus::Paid, refund.clone())),
        }
        self.add_refunded(refund.amount)
    }

    /// Marks a chargeback as lost. Returns `None` if there is no such open chargeback.
    pub(super) fn lose_chargeback(&mut self, number: RefundNumber) -> Option<()> {
        let state = self.refunds.iter_mut().find(|state| state.refund.number == number)?;
        if state.status != RefundStatus::Pending {
            return None;
        }
        state.status = RefundStatus::Paid;
        let amount = state.refund.amount;
        self.add_refunded(amount)
    }

    /// Marks a chargeback as won, even if it was lost before. Returns `None` if there is no such chargeback.
    pub(super) fn win_chargeback(&mut self, number: RefundNumber) -> Option<()> {
        let state = self.refunds.iter_mut().find(|state| state.refund.number == number)?;
        match state.status {
            RefundStatus::Pending => state.status = RefundStatus::Reversed,
            RefundStatus::Paid => return self.reverse_refund(number, None),
            RefundStatus::Failed | RefundStatus::Reversed => return None,
        }
        Some(())
    }

    /// Returns the refunded part of the captured amount, recomputed from all refunds, if some money went back without
    /// Dabba. The provider does not limit such refunds to what is left here, so their sum may exceed the captured
    /// amount. Returns `None` if Dabba made all refunds.
    pub(super) fn recomputed_refunded(&self) -> Option<Amount> {
        self.refunds.iter().find(|state| state.refund.external.is_some())?;
        let paid = self.refunds.iter().filter(|state| state.status == RefundStatus::Paid);
        let sum = Amount::sum(paid.map(|state| state.refund.amount));
        Some(sum.map_or(self.captured, |sum| sum.min(self.captured)))
    }

    /// Adds a refunded amount. An order that is still on its way keeps its status.
    fn add_refunded(&mut self, amount: Amount) -> Option<()> {
        self.refunded = match self.recomputed_refunded() {
            Some(refunded) => refunded,
            None => self.refunded.plus(amount).ok()?,
        };
        if self.refunded >= self.captured {
            self.payment_status = PaymentStatus::Refunded;
            if self.status.is_terminal() {
                self.status = OrderStatus::Refunded;
            }
        } else if self.refunded > Amount::ZERO {
            self.payment_status = PaymentStatus::PartiallyRefunded;
        }
        Some(())
    }
}
