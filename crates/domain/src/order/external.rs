//! What happens at the payment provider without Dabba: refunds in its dashboard, chargebacks, and payments of another
//! amount or currency than was agreed.
//!
//! Dabba records these facts and asks a person to look at them. Money that the customer has, or may get by an open
//! chargeback, cannot be refunded by Dabba as well. The platform bears what goes back without Dabba, because only the
//! platform has access to the provider's account; a correction between platform and restaurant is made outside of
//! Dabba.

use serde::{Deserialize, Serialize};

use super::{
    Decision, Event, External, ExternalKind, Order, OrderStatus, PaymentReference, PaymentStatus, Refund,
    RefundBearer, RefundFailureReason, RefundNumber, RefundReason, RefundState, RefundStatus, Rejection,
    ReviewReason, Task,
};
use crate::{Actor, Amount, Money, Timestamp};

/// A step of a payment that can be of another amount than was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStep {
    /// The authorization.
    Authorized,
    /// The capture.
    Captured,
}

/// How far a chargeback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackOutcome {
    /// It is not decided.
    Open,
    /// The customer keeps the money.
    Lost,
    /// The money is here again.
    Won,
}

impl Decision {
    /// Records a refund that somebody made at the provider. One that is known changes nothing.
    pub(super) fn refunded_elsewhere(
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

    /// Records that a refund failed that somebody had made at the provider.
    pub(super) fn failed_elsewhere(
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

    /// Records how far a chargeback is. It is opened once, then lost or won once, and may still be won after it was
    /// lost; whatever else is reported is late.
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

    /// Records that the provider authorized or captured something else than was agreed.
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
            reason: RefundReason::Other,
            note: None,
            borne_by: RefundBearer::Platform,
            external: Some(External { kind, reference, money: amount.is_none().then_some(money) }),
        }
    }
}

impl Order {
    /// Takes a refund as paid, whether it was asked for before or not. `None` where the amounts leave their range.
    pub(super) fn pay_refund(&mut self, refund: &Refund) -> Option<()> {
        match self.refunds.iter_mut().find(|state| state.refund.number == refund.number) {
            Some(state) => state.status = RefundStatus::Paid,
            None => self.refunds.push(RefundState::new(RefundStatus::Paid, refund.clone())),
        }
        self.has_back(refund.amount)
    }

    /// Takes a chargeback as lost. `None` where there is no such chargeback.
    pub(super) fn lose_chargeback(&mut self, number: RefundNumber) -> Option<()> {
        let state = self.refunds.iter_mut().find(|state| state.refund.number == number)?;
        if state.status != RefundStatus::Pending {
            return None;
        }
        state.status = RefundStatus::Paid;
        let amount = state.refund.amount;
        self.has_back(amount)
    }

    /// Takes a chargeback as won, also one that was lost. `None` where there is no such chargeback.
    pub(super) fn win_chargeback(&mut self, number: RefundNumber) -> Option<()> {
        let state = self.refunds.iter_mut().find(|state| state.refund.number == number)?;
        match state.status {
            RefundStatus::Pending => state.status = RefundStatus::Reversed,
            RefundStatus::Paid => return self.take_back(number, None),
            RefundStatus::Failed | RefundStatus::Reversed => return None,
        }
        Some(())
    }

    /// What the customer has back of what was captured, where some of it went back without Dabba: nobody asks then
    /// what is left, so all of it together may be more. `None` where all refunds are Dabba's own.
    pub(super) fn recounted(&self) -> Option<Amount> {
        self.refunds.iter().find(|state| state.refund.external.is_some())?;
        let paid = self.refunds.iter().filter(|state| state.status == RefundStatus::Paid);
        let sum = Amount::sum(paid.map(|state| state.refund.amount));
        Some(sum.map_or(self.captured, |sum| sum.min(self.captured)))
    }

    /// The customer has so much more back. While the food is on its way, the order goes on.
    fn has_back(&mut self, amount: Amount) -> Option<()> {
        self.refunded = match self.recounted() {
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
