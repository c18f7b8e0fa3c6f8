//! Finds orders that have not changed for too long. Their data is valid, but an operator should look at them.

use dabba_domain::{
    Timestamp,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus},
};
use jiff::SignedDuration;

use super::{AuditOptions, FindingCode, Findings};

pub(super) fn check(order: &Order, options: &AuditOptions, findings: &mut Findings) {
    let by_card = order.details.payment_method == PaymentMethod::Card;
    let waits = match order.status {
        OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Refunded => {
            by_card.then(|| payment(order, options)).flatten()
        }
        _ => Some(food(order, options, by_card)),
    };
    let Some(Wait { code, since, allowed, advice }) = waits else { return };
    let waiting = options.now.duration_since(since);
    if waiting > allowed {
        let (minutes, status, payment) = (waiting.as_mins(), order.status, order.payment_status);
        let text = format!(
            "it is {status} and its payment {payment}, and its next step has been due for {minutes} minutes; {advice}"
        );
        findings.add(code, text);
    }
}

/// The step that an order waits for.
struct Wait {
    code: FindingCode,
    /// The time from which the waiting time counts.
    since: Timestamp,
    /// Maximum waiting time.
    allowed: SignedDuration,
    /// The advice to the operator after the maximum.
    advice: &'static str,
}

/// Returns the next step of an order that has not ended.
fn food(order: &Order, options: &AuditOptions, by_card: bool) -> Wait {
    let AuditOptions { unanswered_after, stuck_after, .. } = *options;
    let changed_at = order.updated_at;
    let (code, since, allowed, advice) = match order.status {
        OrderStatus::Created if by_card => (
            FindingCode::Unpaid,
            order.details.payment_deadline.unwrap_or(order.placed_at),
            unanswered_after,
            "it should have expired; check whether workers are running",
        ),
        OrderStatus::Created => {
            (FindingCode::Unanswered, order.placed_at, unanswered_after, "confirm or cancel it")
        }
        OrderStatus::Confirmed => (
            FindingCode::Unanswered,
            order.acceptance_deadline.unwrap_or(order.placed_at),
            unanswered_after,
            "it should have expired; check whether workers are running",
        ),
        OrderStatus::Preparing => (
            FindingCode::Unready,
            order.ready_by.map_or(changed_at, |ready_by| ready_by.max(changed_at)),
            stuck_after,
            "ask the restaurant",
        ),
        OrderStatus::ReadyForPickup => {
            (FindingCode::NotPickedUp, changed_at, stuck_after, "ask the restaurant and the courier")
        }
        _ => (FindingCode::Undelivered, changed_at, stuck_after, "ask the courier"),
    };
    Wait { code, since, allowed, advice }
}

/// Returns the next step of the card payment of an order that has ended.
fn payment(order: &Order, options: &AuditOptions) -> Option<Wait> {
    let (since, allowed) = (order.updated_at, options.payment_open_after);
    let (code, advice) = match (order.status, order.payment_status) {
        (OrderStatus::Cancelled, PaymentStatus::Pending | PaymentStatus::Authorized) => {
            (FindingCode::PaymentOpen, "check whether workers are running, and the payment at the provider")
        }
        (
            OrderStatus::Delivered,
            PaymentStatus::Pending
            | PaymentStatus::Authorized
            | PaymentStatus::Failed
            | PaymentStatus::Voided,
        ) => (FindingCode::Uncaptured, "check whether workers are running, or ask the customer to pay"),
        _ => return None,
    };
    Some(Wait { code, since, allowed, advice })
}
