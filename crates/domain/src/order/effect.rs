//! The effect of a decision on an order's status and money, for a preview.
//!
//! The effect is read from the decision: from its events through the ledger, and from its tasks. So a preview cannot
//! state anything else than what the decision causes.

use serde::Serialize;

use super::{Decision, Order, OrderStatus, RefundNumber, Version};
use crate::{Amount, Currency, ledger::customer_movements, task::Task};

/// Effect of a command on an order's status and money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CommandEffect))]
pub struct Effect {
    /// Status before the command.
    pub status_from: OrderStatus,
    /// Status after the command.
    pub status_to: OrderStatus,
    /// Version after the command.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub version: Version,
    /// Money that the command moves.
    pub money: MoneyEffect,
}

/// Money that a command moves, as the order's payment is known now. An amount that is zero is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MoneyEffect {
    /// The currency of every amount.
    pub currency: Currency,
    /// Agreed total, if its authorization is voided: the customer pays nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized_voided: Option<Amount>,
    /// Captured amount: cash at once, a card by the payment provider soon afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<Amount>,
    /// Amount that the customer gets back at once, in cash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Amount>,
    /// Amount whose refund is requested from the payment provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_scheduled: Option<Amount>,
}

impl Decision {
    /// Returns the effect of the decision on the order that it was made on.
    pub fn effect(&self, before: &Order) -> Effect {
        let details = &self.order.details;
        let total = details.amounts.total;
        let moved = customer_movements(details, &self.events);
        let mut money = MoneyEffect {
            currency: details.currency,
            authorized_voided: None,
            captured: moved.paid,
            refunded: moved.returned,
            refund_scheduled: None,
        };
        for spec in &self.tasks {
            match &spec.task {
                Task::VoidPayment => money.authorized_voided = not_zero(total),
                Task::CapturePayment => money.captured = not_zero(total),
                Task::RefundPayment { number } => money.refund_scheduled = self.amount_of_refund(*number),
                Task::WarnUnaccepted
                | Task::ExpireUnaccepted
                | Task::ExpireUnpaid
                | Task::AuthorizePayment { .. }
                | Task::Review { .. } => {}
            }
        }
        Effect {
            status_from: before.status,
            status_to: self.order.status,
            version: self.order.version,
            money,
        }
    }

    fn amount_of_refund(&self, number: RefundNumber) -> Option<Amount> {
        let refund = self.order.refunds.iter().find(|state| state.refund.number == number);
        refund.and_then(|state| not_zero(state.refund.amount))
    }
}

fn not_zero(amount: Amount) -> Option<Amount> {
    Some(amount).filter(|amount| !amount.is_zero())
}
