//! The engine's port to a provider in the same process.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    Currency,
    order::{PaymentReference, PaymentToken, RefundNumber},
};
use dabba_engine::{AmountRules, Clock, GatewayAnswer, GatewayError, Payment, PaymentGateway};

use super::{
    NAME,
    provider::{Outcome, Provider, Reply, rules},
    wire::{not_authorized, not_refunded},
};

/// Calls a [`Provider`] directly and simulates its delays and lost replies. A call whose reply is lost never
/// returns, so the caller needs a timeout, as the engine has.
#[derive(Clone)]
pub struct InProcessGateway {
    provider: Arc<Provider>,
    clock: Arc<dyn Clock>,
}

impl InProcessGateway {
    /// Creates a gateway to this provider, which several gateways may share, with this clock.
    pub fn new(provider: Arc<Provider>, clock: Arc<dyn Clock>) -> Self {
        Self { provider, clock }
    }
}

#[async_trait]
impl PaymentGateway for InProcessGateway {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self, currency: Currency) -> Option<AmountRules> {
        rules(currency)
    }

    async fn authorize(
        &self,
        payment: &Payment,
        token: &PaymentToken,
    ) -> Result<GatewayAnswer, GatewayError> {
        let outcome = self.provider.authorize(payment, token, self.clock.now());
        if is_final_refusal(&outcome) {
            return Ok(not_authorized());
        }
        respond(outcome).await
    }

    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        respond(self.provider.capture(payment, reference, self.clock.now())).await
    }

    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        respond(self.provider.void(payment, reference, self.clock.now())).await
    }

    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        let outcome = self.provider.refund(payment, reference, number, self.clock.now());
        if is_final_refusal(&outcome) {
            return Ok(not_refunded(number));
        }
        respond(outcome).await
    }
}

const fn is_final_refusal(outcome: &Outcome) -> bool {
    matches!(outcome.reply, Reply::Refused(refusal) if refusal.is_final())
}

async fn respond(outcome: Outcome) -> Result<GatewayAnswer, GatewayError> {
    if !outcome.delay.is_zero() {
        tokio::time::sleep(outcome.delay).await;
    }
    match outcome.reply {
        Reply::Answer(answer) => Ok(answer.into()),
        Reply::Refused(refusal) => Err(GatewayError::Refused(refusal.to_string())),
        Reply::Failed(failure) => Err(GatewayError::Unavailable(failure.to_string())),
        Reply::Silence => std::future::pending().await,
    }
}
