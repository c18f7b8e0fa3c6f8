//! The use cases of payments, as methods of the engine. Each calls the method of the part.

use dabba_domain::{OrderId, order::PaymentReport};

use crate::{Engine, Error, ProviderNotice};

impl Engine {
    /// Calls [`crate::Payments::record_notice`].
    pub async fn record_notice(&self, notice: &ProviderNotice) -> Result<(), Error> {
        self.payments.record_notice(notice).await
    }

    /// Calls [`crate::Payments::record_payment`].
    pub async fn record_payment(&self, order_id: OrderId, report: &PaymentReport) -> Result<(), Error> {
        self.payments.record_payment(order_id, report).await
    }
}
