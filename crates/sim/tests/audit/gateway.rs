//! A payment provider whose records match the orders of a store, and can be changed by a test.

use async_trait::async_trait;
use dabba_domain::{OrderId, order::PaymentStatus};
use dabba_sim::audit::{GatewayLedger, GatewaySummary};
use dabba_store::OrderStore;

/// A change to the provider's summary.
pub(crate) type TamperSummary = fn(&mut GatewaySummary);

/// See the module documentation.
pub(crate) struct ConsistentProvider<'a> {
    pub(crate) store: &'a dyn OrderStore,
    pub(crate) tamper: TamperSummary,
}

#[async_trait]
impl GatewayLedger for ConsistentProvider<'_> {
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String> {
        let order = self.store.order(order_id).await.unwrap().unwrap();
        let is_asked = order.payment_reference.is_some();
        let has_captured = matches!(
            order.payment_status,
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded
        );
        let is_void = matches!(order.payment_status, PaymentStatus::Voided | PaymentStatus::Failed);
        let total = order.details.amounts.total.minor();
        let mut summary = GatewaySummary {
            authorized: if is_asked { total } else { 0 },
            captured: order.captured.minor(),
            refunded: order.refunded.minor(),
            returned: 0,
            voided: if is_asked && is_void { total } else { 0 },
            authorizations: is_asked.into(),
            captures: has_captured.into(),
        };
        (self.tamper)(&mut summary);
        Ok((summary != GatewaySummary::default()).then_some(summary))
    }
}

/// A payment provider that does not answer.
pub(crate) struct UnavailableProvider;

#[async_trait]
impl GatewayLedger for UnavailableProvider {
    async fn summary(&self, _: OrderId) -> Result<Option<GatewaySummary>, String> {
        Err("injected by a test".to_owned())
    }
}
