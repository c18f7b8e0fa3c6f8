//! Whether the payment provider did what an order says, and nothing else.

use async_trait::async_trait;
use dabba_domain::{
    Amount, OrderId,
    order::{Order, PaymentStatus, RefundStatus},
};
use dabba_gateways::simulated::ledger::Summary;

use super::{AuditOptions, Code, Findings};

/// What a payment provider has done, by its own account.
#[async_trait]
pub trait GatewayLedger: Send + Sync {
    /// What it has done for an order; `None` when it was never asked for anything. The error is a text for
    /// whoever audits.
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String>;
}

/// What a payment provider has done for an order. Amounts are in minor units of the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewaySummary {
    /// What was set aside, all in all.
    pub authorized: i64,
    /// What was collected.
    pub captured: i64,
    /// Sum of the refunds that were not reversed.
    pub refunded: i64,
    /// Sum of the refunds that were reversed because they failed later.
    pub returned: i64,
    /// What was set aside and let go of without being collected.
    pub voided: i64,
    /// How often money was set aside.
    pub authorizations: u32,
    /// How often money was collected.
    pub captures: u32,
}

impl From<Summary> for GatewaySummary {
    fn from(summary: Summary) -> Self {
        let Summary { authorized, captured, refunded, returned, voided, authorizations, captures, .. } =
            summary;
        Self { authorized, captured, refunded, returned, voided, authorizations, captures }
    }
}

/// Compares an order with what the provider had done when it was asked, which was after the order was read.
///
/// An order learns of a step when it is done. So the provider may be ahead of it by the step that is under
/// way, and never behind.
pub(super) fn check(
    order: &Order,
    summary: Option<GatewaySummary>,
    options: &AuditOptions,
    findings: &mut Findings,
) {
    let done = summary.unwrap_or_default();
    for (count, what) in [(done.authorizations, "set aside"), (done.captures, "collected")] {
        if count > 1 {
            findings.add(Code::GatewayTwice, format!("the payment provider has {what} money {count} times"));
        }
    }
    if order.payment_reference.is_some() && done.authorizations == 0 {
        let text = "its payment was authorized, and the payment provider knows of none";
        findings.add(Code::GatewayDiffers, text);
    }
    let captured = compare("collected", done.captured, order.captured, 0, uncollected(order), findings);
    let unknown = returned_unknown(order, done.returned);
    let refunded = compare("given back", done.refunded, order.refunded, unknown, pending(order), findings);
    let is_long_ago = options.now.duration_since(order.updated_at) > options.payment_open_after;
    if (captured == Place::Ahead || refunded == Place::Ahead) && is_long_ago {
        let text = format!(
            "the payment provider has collected {} and given back {}; the order knows of {} and {}",
            done.captured,
            done.refunded,
            order.captured.minor(),
            order.refunded.minor()
        );
        findings.add(Code::GatewayAhead, text);
    }
    let left = i128::from(done.authorized) - i128::from(done.captured) - i128::from(done.voided);
    // While it is not over, that it is to be let go of is known.
    let is_over = matches!(order.payment_status, PaymentStatus::Voided | PaymentStatus::Failed);
    if is_over && left > 0 {
        let text = format!("its payment is {}, and the provider has {left} set aside", order.payment_status);
        findings.add(Code::GatewayHolds, text);
    }
}

/// Where the provider is, beside the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Level,
    Ahead,
    /// Nowhere where it could be.
    Apart,
}

/// Compares an amount. The provider may have done `more` than the order knows, or a part of it; and so much `less`
/// where something came back of which the order does not know.
fn compare(what: &str, done: i64, known: Amount, less: i128, more: i128, findings: &mut Findings) -> Place {
    let (done, known) = (i128::from(done), i128::from(known.minor()));
    if done == known {
        Place::Level
    } else if (known - less..=known + more).contains(&done) {
        Place::Ahead
    } else {
        let text = format!("{known} was {what} by the order, {done} by the payment provider");
        findings.add(Code::GatewayDiffers, text);
        Place::Apart
    }
}

/// What came back to the provider of refunds that failed late, and of which the order does not know yet.
fn returned_unknown(order: &Order, returned: i64) -> i128 {
    let failed = order.refunds.iter();
    let failed = failed.filter(|state| matches!(state.status, RefundStatus::Failed | RefundStatus::Reversed));
    let known: i128 = failed.map(|state| i128::from(state.refund.amount.minor())).sum();
    (i128::from(returned) - known).max(0)
}

/// What may be collected that the order does not know of yet.
fn uncollected(order: &Order) -> i128 {
    match order.payment_status {
        PaymentStatus::Pending | PaymentStatus::Authorized => order.details.amounts.total.minor().into(),
        _ => 0,
    }
}

/// What may be given back that the order does not know of yet.
fn pending(order: &Order) -> i128 {
    let pending = order.refunds.iter().filter(|state| state.status == RefundStatus::Pending);
    pending.map(|state| i128::from(state.refund.amount.minor())).sum()
}
