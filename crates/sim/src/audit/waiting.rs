//! Orders that have not moved for long. Nothing about them is wrong; somebody should look.

use dabba_domain::{
    Timestamp,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus},
};
use jiff::SignedDuration;

use super::{AuditOptions, Code, Findings};

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
            "it is {status}, its payment {payment}, and that has been due for {minutes} minutes; {advice}"
        );
        findings.add(code, text);
    }
}

/// What an order waits for.
struct Wait {
    code: Code,
    /// Since when.
    since: Timestamp,
    /// How long it may.
    allowed: SignedDuration,
    /// What to do when it waits for longer.
    advice: &'static str,
}

/// What the food waits for, on its way to the customer.
fn food(order: &Order, options: &AuditOptions, by_card: bool) -> Wait {
    let AuditOptions { unanswered_after, stuck_after, .. } = *options;
    let changed_at = order.updated_at;
    let (code, since, allowed, advice) = match order.status {
        OrderStatus::Created if by_card => (
            Code::Unpaid,
            order.details.payment_deadline.unwrap_or(order.placed_at),
            unanswered_after,
            "it should have expired: see whether tasks are carried out",
        ),
        OrderStatus::Created => (Code::Unanswered, order.placed_at, unanswered_after, "confirm or cancel it"),
        OrderStatus::Confirmed => (
            Code::Unanswered,
            order.acceptance_deadline.unwrap_or(order.placed_at),
            unanswered_after,
            "it should have expired: see whether tasks are carried out",
        ),
        OrderStatus::Preparing => (
            Code::Unready,
            order.ready_by.map_or(changed_at, |ready_by| ready_by.max(changed_at)),
            stuck_after,
            "ask the restaurant",
        ),
        OrderStatus::ReadyForPickup => {
            (Code::NotPickedUp, changed_at, stuck_after, "ask the restaurant and the courier")
        }
        _ => (Code::Undelivered, changed_at, stuck_after, "ask the courier"),
    };
    Wait { code, since, allowed, advice }
}

/// What the payment by card of an order waits for that has come to its end.
fn payment(order: &Order, options: &AuditOptions) -> Option<Wait> {
    let (since, allowed) = (order.updated_at, options.payment_open_after);
    let (code, advice) = match (order.status, order.payment_status) {
        (OrderStatus::Cancelled, PaymentStatus::Pending | PaymentStatus::Authorized) => {
            (Code::PaymentOpen, "see whether its tasks are carried out, and what the payment provider has")
        }
        (
            OrderStatus::Delivered,
            PaymentStatus::Pending
            | PaymentStatus::Authorized
            | PaymentStatus::Failed
            | PaymentStatus::Voided,
        ) => (Code::Uncaptured, "see whether its tasks are carried out, or ask the customer for the money"),
        _ => return None,
    };
    Some(Wait { code, since, allowed, advice })
}
