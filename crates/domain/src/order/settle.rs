//! Decisions on the reports of a payment provider.
//!
//! A task requests each step of a payment by card from the provider. [`settle`] converts the provider's reports into
//! events of the order. Reports may arrive late, twice or out of order. A fact that is already recorded is not recorded
//! again, and an order that has ended stays ended.

use super::{
    Closure, Decision, DeclineReason, Event, Order, OrderStatus, PaymentMethod, PaymentReference,
    PaymentReport, PaymentStatus, PaymentStep, Refund, RefundBearer, RefundReason, Rejection, ReviewReason,
};
use crate::{Actor, Amount, Money, Timestamp, restaurant::RestaurantSettings, task::Task};

/// Returns the decision that follows from a provider's report; without events if the report is already known.
/// `settings` are the settings of the order's restaurant.
///
/// A report is accepted regardless of the number of the order's events, because money that has moved cannot be refused.
pub fn settle(
    order: &Order,
    report: &PaymentReport,
    settings: &RestaurantSettings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    if order.is_written_by_newer {
        return Err(Rejection::WrittenByNewer);
    }
    let mut decision = Decision::unchanged(order);
    if !order.details.needs_provider() {
        return Ok(decision);
    }
    match report {
        PaymentReport::Authorized { reference } => decision.authorized(reference, None, settings, now)?,
        PaymentReport::AuthorizedAmount { reference, money } => {
            decision.authorized(reference, Some(*money), settings, now)?;
        }
        PaymentReport::Declined { reason } => decision.declined(*reason, now)?,
        PaymentReport::Captured { reference } => decision.captured(reference, None, settings, now)?,
        PaymentReport::CapturedAmount { reference, money } => {
            decision.captured(reference, Some(*money), settings, now)?;
        }
        PaymentReport::ExternalRefund { payment, reference, money } => {
            if decision.is_about(payment, settings, now)? {
                decision.refunded_at_provider(reference, *money, now)?;
            }
        }
        PaymentReport::ExternalRefundFailed { reference, reason } => {
            decision.provider_refund_failed(reference, *reason, now)?;
        }
        PaymentReport::Chargeback { payment, reference, money, outcome } => {
            if decision.is_about(payment, settings, now)? {
                decision.charged_back(reference, *money, *outcome, now)?;
            }
        }
        PaymentReport::Voided { reference } => decision.voided(Some(reference), now)?,
        PaymentReport::NeverRequested => decision.voided(None, now)?,
        PaymentReport::Refunded { number } => {
            if let Some(refund) = order.pending_refund(*number) {
                decision.record(&Actor::System, now, Event::Refunded(refund.clone()))?;
            }
        }
        PaymentReport::RefundRefused { number, reason } => decision.refund_refused(*number, *reason, now)?,
    }
    Ok(decision)
}

impl Decision {
    /// Returns whether money that moved without Dabba belongs to the order's payment. Such a movement proves that the
    /// payment was captured, so the capture is recorded first if its own report has not arrived yet.
    fn is_about(
        &mut self,
        payment: &PaymentReference,
        settings: &RestaurantSettings,
        now: Timestamp,
    ) -> Result<bool, Rejection> {
        self.captured(payment, None, settings, now)?;
        let is_captured = !matches!(
            self.order.payment_status,
            PaymentStatus::Pending
                | PaymentStatus::Authorized
                | PaymentStatus::Failed
                | PaymentStatus::Voided
        );
        Ok(is_captured && self.order.payment_reference.as_ref() == Some(payment))
    }

    /// Returns the money if it differs from the agreed amount or currency.
    fn not_agreed(&self, money: Option<Money>) -> Option<Money> {
        let details = &self.order.details;
        let agreed = Money { amount: details.amounts.total, currency: details.currency };
        money.filter(|money| *money != agreed)
    }

    fn authorized(
        &mut self,
        reference: &PaymentReference,
        money: Option<Money>,
        settings: &RestaurantSettings,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if !self.order.may_still_be_authorized(reference) {
            return Ok(());
        }
        let event = Event::PaymentAuthorized { reference: reference.clone() };
        self.record(&Actor::System, now, event)?;
        let other = self.not_agreed(money);
        if let Some(money) = other {
            self.differs(PaymentStep::Authorized, money, now)?;
        }
        let details = &self.order.details;
        let is_too_little = other.is_some_and(|money| {
            money.amount_in(details.currency).is_none_or(|amount| amount < details.amounts.total)
        });
        match self.order.status {
            // The order is not paid with less than the agreed amount or in another currency. It expires at its payment
            // deadline, and the payment is voided.
            OrderStatus::Created if is_too_little => {}
            OrderStatus::Created => return self.confirm(settings.acceptance_deadline(), now),
            // The order has ended in the meantime.
            OrderStatus::Cancelled | OrderStatus::Refunded => self.tasks_at(now, [Task::VoidPayment]),
            // The previous payment was voided after the restaurant had accepted, so the food still has to be paid for.
            _ => self.tasks_at(now, [Task::CapturePayment]),
        }
        Ok(())
    }

    fn declined(&mut self, reason: DeclineReason, now: Timestamp) -> Result<(), Rejection> {
        if self.order.payment_status != PaymentStatus::Pending {
            return Ok(());
        }
        let ends_order = self.order.status == OrderStatus::Created;
        let stock_returned = ends_order && self.return_stock();
        self.record(&Actor::System, now, Event::PaymentFailed { reason, stock_returned })
    }

    /// Records a capture. Without `money`, the captured amount is the agreed one. An amount in another currency cannot
    /// be recorded and counts as zero.
    fn captured(
        &mut self,
        reference: &PaymentReference,
        money: Option<Money>,
        settings: &RestaurantSettings,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        // The report of the authorization may arrive later, or never.
        self.authorized(reference, None, settings, now)?;
        if self.order.payment_status != PaymentStatus::Authorized {
            return Ok(());
        }
        let other = self.not_agreed(money);
        let amount = match other {
            None => self.order.details.amounts.total,
            Some(money) => money.amount_in(self.order.details.currency).unwrap_or(Amount::ZERO),
        };
        self.record(&Actor::System, now, Event::PaymentCaptured { amount })?;
        if self.order.status == OrderStatus::Cancelled {
            self.refund_rest(&Actor::System, now)?;
        }
        if let Some(money) = other {
            self.differs(PaymentStep::Captured, money, now)?;
        }
        Ok(())
    }

    /// Records that a payment was voided. `reference` is `None` if the provider never had a payment.
    fn voided(&mut self, reference: Option<&PaymentReference>, now: Timestamp) -> Result<(), Rejection> {
        let order = &self.order;
        let is_this = match order.payment_status {
            PaymentStatus::Pending => true,
            PaymentStatus::Authorized => order.payment_reference.as_ref() == reference,
            _ => false,
        };
        if !is_this {
            return Ok(());
        }
        // Without an authorized payment the kitchen does not begin. Once it has begun, the order goes on, and an admin
        // decides about the money.
        let ends_order = matches!(order.status, OrderStatus::Created | OrderStatus::Confirmed);
        if ends_order {
            let stock_returned = self.return_stock();
            let reason = DeclineReason::CalledOff;
            return self.record(&Actor::System, now, Event::PaymentFailed { reason, stock_returned });
        }
        if self.order.status != OrderStatus::Cancelled {
            self.tasks_at(now, [Task::Review { reason: ReviewReason::PaymentVoided }]);
        }
        self.record(&Actor::System, now, Event::PaymentVoided)
    }

    /// Voids or refunds the payment of an order that has just ended early.
    pub(super) fn unwind_payment(&mut self, actor: &Actor, now: Timestamp) -> Result<(), Rejection> {
        match self.order.payment_status {
            PaymentStatus::Authorized => {
                self.tasks_at(now, [Task::VoidPayment]);
                Ok(())
            }
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded => self.refund_rest(actor, now),
            // The worker that requests the authorization sees that the order has ended.
            PaymentStatus::Pending
            | PaymentStatus::Failed
            | PaymentStatus::Voided
            | PaymentStatus::Refunded => Ok(()),
        }
    }

    /// Refunds the remaining amount of an order that ended early. The bearer of the early end bears the refund.
    fn refund_rest(&mut self, actor: &Actor, now: Timestamp) -> Result<(), Rejection> {
        let amount = self.order.refundable();
        if amount.is_zero() {
            return Ok(());
        }
        let number = self.order.next_refund_number();
        let (reason, borne_by) = (RefundReason::OrderEnded, self.order.bearer_of_early_end());
        let refund = Refund {
            number,
            amount,
            lines: Vec::new(),
            taxes: Vec::new(),
            reason,
            note: None,
            borne_by,
            external: None,
        };
        self.request_refund(actor, refund, now)
    }

    /// Records a refund: for a card as a request to the provider, for cash as paid.
    pub(super) fn request_refund(
        &mut self,
        actor: &Actor,
        refund: Refund,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        match self.order.details.payment_method {
            PaymentMethod::Cash => self.record(actor, now, Event::Refunded(refund)),
            PaymentMethod::Card => {
                self.tasks_at(now, [Task::RefundPayment { number: refund.number }]);
                self.record(actor, now, Event::RefundRequested(refund))
            }
        }
    }
}

impl Order {
    /// Returns the default bearer of a refund: if the order ended early, the bearer of its end, otherwise the
    /// restaurant.
    pub(super) fn default_bearer(&self) -> RefundBearer {
        if self.closure.is_none() {
            return RefundBearer::Restaurant;
        }
        // Old cancellations did not record their bearer; the refund that followed did.
        let follows =
            |refund: &&Refund| refund.reason == RefundReason::OrderEnded && refund.external.is_none();
        let followed = self.refunds.first().map(|state| &state.refund).filter(follows);
        followed.map_or_else(|| self.bearer_of_early_end(), |refund| refund.borne_by)
    }

    /// Returns who bears the refunds that follow from the early end of the order.
    fn bearer_of_early_end(&self) -> RefundBearer {
        match self.closure {
            Some(Closure::Cancelled { borne_by, .. }) => borne_by,
            _ => RefundBearer::of_an_early_end(),
        }
    }

    /// Returns whether a report of an authorization of this payment is new. A payment that was voided or captured was
    /// authorized before.
    fn may_still_be_authorized(&self, reference: &PaymentReference) -> bool {
        match self.payment_status {
            PaymentStatus::Pending => true,
            // The payment failed or was voided before Dabba knew the provider's id of this payment.
            PaymentStatus::Failed | PaymentStatus::Voided => {
                self.payment_reference.as_ref() != Some(reference)
            }
            PaymentStatus::Authorized
            | PaymentStatus::Captured
            | PaymentStatus::PartiallyRefunded
            | PaymentStatus::Refunded => false,
        }
    }
}
