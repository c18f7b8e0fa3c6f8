//! Orders that have not moved for long. Nothing about them is wrong; somebody should look.

use dabba_domain::{
    Timestamp,
    order::{Order, OrderStatus},
};
use jiff::SignedDuration;

use super::{AuditOptions, Code, Findings};

pub(super) fn check(order: &Order, options: &AuditOptions, findings: &mut Findings) {
    let AuditOptions { unanswered_after, stuck_after, .. } = *options;
    let changed_at = order.updated_at;
    let (code, since, allowed, advice) = match order.status {
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
        OrderStatus::OutForDelivery => (Code::Undelivered, changed_at, stuck_after, "ask the courier"),
        OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Refunded => return,
    };
    let waiting = waiting(since, options.now);
    if waiting > allowed {
        let (minutes, status) = (waiting.as_mins(), order.status);
        findings.add(code, format!("it is {status}, and has been due for {minutes} minutes; {advice}"));
    }
}

/// How long ago that was; less than nothing when it is to come.
fn waiting(since: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(since)
}
