//! A payment provider that has done what the orders of a store say, and lets a test change that.

use async_trait::async_trait;
use dabba_domain::{OrderId, order::PaymentStatus};
use dabba_sim::audit::{GatewayLedger, GatewaySummary};
use dabba_store::OrderStore;

/// What is done to each summary.
pub(crate) type Doctor = fn(&mut GatewaySummary);

/// See the module.
pub(crate) struct Agreeing<'a> {
    pub(crate) store: &'a dyn OrderStore,
    pub(crate) doctor: Doctor,
}

#[async_trait]
impl GatewayLedger for Agreeing<'_> {
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
        (self.doctor)(&mut summary);
        Ok((summary != GatewaySummary::default()).then_some(summary))
    }
}

/// A payment provider that cannot be asked.
pub(crate) struct Silent;

#[async_trait]
impl GatewayLedger for Silent {
    async fn summary(&self, _: OrderId) -> Result<Option<GatewaySummary>, String> {
        Err("a test says so".to_owned())
    }
}
