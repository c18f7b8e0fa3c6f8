//! The layer between the servers and the payment provider, in which calls fail and hang, and reports are queued.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    Currency,
    order::{PaymentReference, PaymentReport, PaymentToken, RefundFailureReason, RefundNumber},
};
use dabba_engine::{AmountRules, Clock as _, GatewayAnswer, GatewayError, Payment, PaymentGateway};
use dabba_gateways::simulated::{
    Provider,
    provider::{Outcome, Reply, rules},
    wire::Notification,
};
use tokio::time::sleep;

use super::{
    chaos::{Chaos, count},
    coverage::Mark,
    plant::Plant,
    server::Life,
    world::WorldClock,
};

/// Maximum duration of a call that hangs. Longer than a worker waits for it.
const MAX_HANG_SECONDS: u32 = 40;
/// Maximum duration of a call that does not hang.
const MAX_LATENCY_MILLISECONDS: u32 = 300;
/// Per mille of refunds with a wrong answer, with the defect `wrong-answers`.
const ANSWERS_WRONGLY: u32 = 900;

/// The payment provider as one server reaches it.
pub(super) struct FaultyProvider {
    pub(super) chaos: Arc<Chaos>,
    pub(super) provider: Arc<Provider>,
    pub(super) clock: Arc<WorldClock>,
    pub(super) reports: Arc<Mutex<Vec<Notification>>>,
    pub(super) life: Arc<Life>,
    /// Time for which a worker waits for a call.
    pub(super) call_timeout: Duration,
}

/// Returns whether the provider refuses all calls for this payment. `rate` is per mille of orders.
fn is_chosen(payment: &Payment, rate: u32) -> bool {
    payment.order_id.uuid().as_u128() % 1_000 < u128::from(rate)
}

impl FaultyProvider {
    async fn intercept(
        &self,
        payment: &Payment,
        call: impl Fn(&Payment) -> Outcome + Send,
    ) -> Result<GatewayAnswer, GatewayError> {
        let lost = || Err(GatewayError::Unavailable(self.chaos.fail()));
        let rates = &self.chaos.rates;
        if self.chaos.happens(rates.provider_fails) {
            return lost();
        }
        if !self.chaos.is_calm() && is_chosen(payment, rates.provider_refuses) {
            return Err(GatewayError::Refused(self.chaos.fail()));
        }
        let outcome = if self.chaos.plant == Some(Plant::ForgottenKeys) {
            call(&Payment { key: format!("{}-{:x}", payment.key, self.chaos.bits()), ..payment.clone() })
        } else {
            call(payment)
        };
        self.queue_reports(outcome.notifications);
        self.take_time().await;
        if self.chaos.happens(rates.provider_loses) {
            self.chaos.coverage.pass(Mark::ProviderResponseLost);
            return lost();
        }
        match outcome.reply {
            Reply::Answer(answer) => Ok(self.falsify(answer.into())),
            Reply::Refused(refusal) => Err(GatewayError::Refused(refusal.to_string())),
            Reply::Failed(_) | Reply::Silence => lost(),
        }
    }

    /// Waits for as long as the call takes. The server may die meanwhile.
    async fn take_time(&self) {
        let rates = &self.chaos.rates;
        if self.chaos.happens(rates.server_dies_in_call) {
            self.chaos.coverage.pass(Mark::KilledDuringCall);
            count(&self.chaos.counts.deaths);
            self.life.end();
            std::future::pending::<()>().await;
        }
        if self.chaos.happens(rates.provider_hangs) {
            count(&self.chaos.counts.hangs);
            let time = Duration::from_secs((1 + self.chaos.below(MAX_HANG_SECONDS)).into());
            if time > self.call_timeout {
                self.chaos.coverage.pass(Mark::ProviderHung);
            }
            sleep(time).await;
        } else if !self.chaos.is_calm() {
            sleep(Duration::from_millis(self.chaos.below(MAX_LATENCY_MILLISECONDS).into())).await;
        }
    }

    /// Returns the answer, falsified if the defect demands it.
    fn falsify(&self, answer: GatewayAnswer) -> GatewayAnswer {
        match answer {
            GatewayAnswer::Report(PaymentReport::Refunded { number })
                if self.chaos.plant == Some(Plant::WrongAnswers) && self.chaos.happens(ANSWERS_WRONGLY) =>
            {
                let reason = RefundFailureReason::Other;
                GatewayAnswer::Report(PaymentReport::RefundRefused { number, reason })
            }
            answer => answer,
        }
    }

    fn queue_reports(&self, notifications: Vec<Notification>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in notifications {
            if self.chaos.is_delivered_later(&notification, reports.len()) {
                reports.push(notification);
            }
        }
    }
}

#[async_trait]
impl PaymentGateway for FaultyProvider {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn rules(&self, currency: Currency) -> Option<AmountRules> {
        rules(currency)
    }

    async fn authorize(
        &self,
        payment: &Payment,
        token: &PaymentToken,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.intercept(payment, |payment| self.provider.authorize(payment, token, self.clock.now())).await
    }

    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.intercept(payment, |payment| self.provider.capture(payment, reference, self.clock.now())).await
    }

    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.intercept(payment, |payment| self.provider.void(payment, reference, self.clock.now())).await
    }

    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        let now = self.clock.now();
        self.intercept(payment, |payment| self.provider.refund(payment, reference, number, now)).await
    }
}
