//! Checks that the payment provider did exactly what the order says.

use async_trait::async_trait;
use dabba_domain::{
    Amount, OrderId,
    order::{Order, PaymentStatus, RefundStatus},
};
use dabba_gateways::simulated::ledger::Summary;

use super::{AuditOptions, FindingCode, Findings};

/// The payment provider's own records.
#[async_trait]
pub trait GatewayLedger: Send + Sync {
    /// Returns what the provider did for an order; `None` if it never received a call for the order. The
    /// error is a text for the operator.
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String>;
}

/// The provider's totals for an order. Amounts are in minor units of the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewaySummary {
    /// Total of the authorized amounts.
    pub authorized: i64,
    /// Total of the captured amounts.
    pub captured: i64,
    /// Total of the refunds that did not fail.
    pub refunded: i64,
    /// Total of the refunds that failed after they had succeeded.
    pub returned: i64,
    /// Total of the voided amounts.
    pub voided: i64,
    /// Number of authorizations.
    pub authorizations: u32,
    /// Number of captures.
    pub captures: u32,
}

impl From<Summary> for GatewaySummary {
    fn from(summary: Summary) -> Self {
        let Summary { authorized, captured, refunded, returned, voided, authorizations, captures, .. } =
            summary;
        Self { authorized, captured, refunded, returned, voided, authorizations, captures }
    }
}

/// Compares an order with the provider's totals, which were read after the order.
///
/// The order records a step after the provider has carried it out. So the provider may be ahead of the order
/// by the step in progress, and never behind.
pub(super) fn check(
    order: &Order,
    summary: Option<GatewaySummary>,
    options: &AuditOptions,
    findings: &mut Findings,
) {
    let done = summary.unwrap_or_default();
    for (count, what) in [(done.authorizations, "authorized"), (done.captures, "captured")] {
        if count > 1 {
            findings
                .add(FindingCode::GatewayTwice, format!("the payment provider {what} money {count} times"));
        }
    }
    if order.payment_reference.is_some() && done.authorizations == 0 {
        let text = "its payment was authorized, but the payment provider has no payment";
        findings.add(FindingCode::GatewayDiffers, text);
    }
    let captured = compare("captured", done.captured, order.captured, 0, uncollected(order), findings);
    let unknown = returned_unknown(order, done.returned);
    let refunded = compare("refunded", done.refunded, order.refunded, unknown, pending(order), findings);
    let is_long_ago = options.now.duration_since(order.updated_at) > options.payment_open_after;
    if (captured == Relation::Ahead || refunded == Relation::Ahead) && is_long_ago {
        let text = format!(
            "the payment provider captured {} and refunded {}; the order records {} and {}",
            done.captured,
            done.refunded,
            order.captured.minor(),
            order.refunded.minor()
        );
        findings.add(FindingCode::GatewayAhead, text);
    }
    let left = i128::from(done.authorized) - i128::from(done.captured) - i128::from(done.voided);
    // While the payment is still open, a void is expected and may be pending.
    let is_over = matches!(order.payment_status, PaymentStatus::Voided | PaymentStatus::Failed);
    if is_over && left > 0 {
        let text = format!(
            "its payment is {}, but the payment provider still holds an authorization of {left}",
            order.payment_status
        );
        findings.add(FindingCode::GatewayHolds, text);
    }
}

/// The state of the provider in comparison with the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Ahead,
    /// The amounts contradict each other.
    Inconsistent,
}

/// Compares an amount. The provider may have moved up to `more` than the order records, and up to `less` less
/// if refunds failed that the order does not know.
fn compare(
    what: &str,
    done: i64,
    known: Amount,
    less: i128,
    more: i128,
    findings: &mut Findings,
) -> Relation {
    let (done, known) = (i128::from(done), i128::from(known.minor()));
    if done == known {
        Relation::Equal
    } else if (known - less..=known + more).contains(&done) {
        Relation::Ahead
    } else {
        let text =
            format!("{known} was {what} according to the order, {done} according to the payment provider");
        findings.add(FindingCode::GatewayDiffers, text);
        Relation::Inconsistent
    }
}

/// Returns the amount of refunds that failed late and of which the order does not know yet.
fn returned_unknown(order: &Order, returned: i64) -> i128 {
    let failed = order.refunds.iter();
    let failed = failed.filter(|state| matches!(state.status, RefundStatus::Failed | RefundStatus::Reversed));
    let known: i128 = failed.map(|state| i128::from(state.refund.amount.minor())).sum();
    (i128::from(returned) - known).max(0)
}

/// Returns the amount that may be captured without the order knowing it yet.
fn uncollected(order: &Order) -> i128 {
    match order.payment_status {
        PaymentStatus::Pending | PaymentStatus::Authorized => order.details.amounts.total.minor().into(),
        _ => 0,
    }
}

/// Returns the amount that may be refunded without the order knowing it yet.
fn pending(order: &Order) -> i128 {
    let pending = order.refunds.iter().filter(|state| state.status == RefundStatus::Pending);
    pending.map(|state| i128::from(state.refund.amount.minor())).sum()
}
