//! Reports of payment providers that no call asked for.

use dabba_domain::{
    OrderId,
    order::{Order, PaymentReport},
    restaurant::RestaurantSettings,
};
use tokio::time::timeout;

use super::{GatewayError, Payments, ProviderNotice, ProviderObject, steps::settled};
use crate::{Error, order_writer::complete};

impl Payments {
    /// Records a webhook of a payment provider. If the notice does not name the order, the provider is asked once; it
    /// answers with its current state, so a late notice does no harm. [`Error::Unavailable`] makes the provider send
    /// the notice again. A notice about an order that does not exist here changes nothing.
    pub async fn record_notice(&self, notice: &ProviderNotice) -> Result<(), Error> {
        let (order_id, report) = match notice {
            ProviderNotice::Report(order_id, report) => (*order_id, report.clone()),
            ProviderNotice::LookUp(object) => match self.look_up(object).await? {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        match self.record_payment(order_id, &report).await {
            // The provider's account may also serve other systems. An error would make the provider send the notice
            // again.
            Err(Error::NotFound(_)) => {
                tracing::info!(%order_id, "a payment was reported for an order that does not exist here");
                Ok(())
            }
            recorded => recorded,
        }
    }

    async fn look_up(&self, object: &ProviderObject) -> Result<Option<(OrderId, PaymentReport)>, Error> {
        let Some(gateway) = &self.gateway else { return Ok(None) };
        let limit = self.config.call_timeout;
        let found = timeout(limit, gateway.port.look_up(object)).await;
        let found =
            found.unwrap_or_else(|_| Err(GatewayError::Unavailable(format!("no answer within {limit:?}"))));
        found.map_err(|error| {
            tracing::warn!(?object, %error, "a change at the payment provider cannot be looked up");
            Error::Unavailable
        })
    }

    /// Records an unsolicited report of a payment provider. A report that is already known changes nothing.
    pub async fn record_payment(&self, order_id: OrderId, report: &PaymentReport) -> Result<(), Error> {
        let settle = |order: &Order, settings: &RestaurantSettings, now| {
            settled(order, report, settings, now).map(|decision| complete(order, decision))
        };
        self.unattended.conclude(order_id, None, settle).await.map(drop)
    }
}
