//! Changes at Stripe that Dabba did not cause: refunds in the dashboard, and disputes.
//!
//! A refund or a dispute does not name the order. The payment intent names it in its metadata, so the client
//! reads the intent together with the refund or the dispute, in one call. The report therefore shows Stripe's
//! current state, however late the event arrives.

use dabba_domain::{
    Money, OrderId,
    order::{ChargebackOutcome, PaymentReport},
};

use super::{
    amounts, declines,
    objects::{Dispute, DisputeStatus, Expandable, PaymentIntent, StripeRefund, StripeRefundStatus},
};

/// Returns the order of a refund and the report about it; `None` if the refund belongs to no order or is
/// undecided.
pub(super) fn of_refund(mut refund: StripeRefund) -> Option<(OrderId, PaymentReport)> {
    let intent = expanded(refund.payment_intent.take())?;
    let order_id = intent.metadata.order_id()?;
    let status = refund.status?;
    let report = match (refund.metadata.refund_number(), status) {
        (Some(number), StripeRefundStatus::Pending | StripeRefundStatus::Succeeded) => {
            PaymentReport::Refunded { number }
        }
        (Some(number), StripeRefundStatus::Failed | StripeRefundStatus::Canceled) => {
            PaymentReport::RefundRefused { number, reason: declines::refund_failure(status, &refund) }
        }
        (None, StripeRefundStatus::Pending | StripeRefundStatus::Succeeded) => {
            let money = money(refund.amount, refund.currency.as_deref())?;
            PaymentReport::ExternalRefund { payment: intent.id, reference: refund.id, money }
        }
        (None, StripeRefundStatus::Failed | StripeRefundStatus::Canceled) => {
            let reason = declines::refund_failure(status, &refund);
            PaymentReport::ExternalRefundFailed { reference: refund.id, reason }
        }
        (_, StripeRefundStatus::RequiresAction | StripeRefundStatus::Unknown) => return None,
    };
    Some((order_id, report))
}

/// Returns the order of a dispute and the report about it; `None` if the dispute belongs to no order or is
/// only an inquiry.
pub(super) fn of_dispute(dispute: Dispute) -> Option<(OrderId, PaymentReport)> {
    let intent = expanded(dispute.payment_intent)?;
    let outcome = match dispute.status? {
        DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => ChargebackOutcome::Open,
        DisputeStatus::Won => ChargebackOutcome::Won,
        DisputeStatus::Lost => ChargebackOutcome::Lost,
        DisputeStatus::Other => return None,
    };
    let money = money(dispute.amount, dispute.currency.as_deref())?;
    let order_id = intent.metadata.order_id()?;
    Some((order_id, PaymentReport::Chargeback { payment: intent.id, reference: dispute.id, money, outcome }))
}

fn expanded(intent: Option<Expandable>) -> Option<PaymentIntent> {
    match intent? {
        Expandable::Intent(intent) => Some(*intent),
        Expandable::Id(id) => {
            tracing::warn!(%id, "Stripe's refund or dispute does not include its payment intent");
            None
        }
    }
}

fn money(units: Option<i64>, code: Option<&str>) -> Option<Money> {
    let money = amounts::money(units?, code?);
    if money.is_none() {
        tracing::warn!(?units, ?code, "Stripe reports an amount or a currency that Dabba does not support");
    }
    money
}
