//! What fails between the engine and what it stands on: calls that do not arrive, answers that get lost,
//! workers that die or hang in the middle of a call.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use dabba_domain::{
    Currency,
    order::{PaymentReference, PaymentReport, PaymentToken, RefundFailureReason, RefundNumber},
};
use dabba_engine::{AmountRules, Clock, GatewayAnswer, GatewayError, Payment, PaymentGateway};
use dabba_gateways::simulated::{
    Provider,
    provider::{Outcome, Reply, rules},
    wire::{Notification, Report},
};
use dabba_store::{
    Commit, StockChange, StoreError,
    intercept::{Interceptor, StoreCall},
};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::Notify;

use super::Plant;

/// Of a thousand calls of the store, so many fail before they are carried out.
const STORE_FAILS: u32 = 8;
/// Of a thousand answers of the store, so many get lost.
const STORE_LOSES: u32 = 8;
/// Of a thousand calls of the provider, so many fail before they are carried out.
const PROVIDER_FAILS: u32 = 30;
/// Of a thousand answers of the provider, so many get lost.
const PROVIDER_LOSES: u32 = 30;
/// At so many of a thousand calls of the provider the worker dies.
const WORKER_DIES: u32 = 20;
/// At so many of a thousand calls of the provider the worker hangs.
const WORKER_HANGS: u32 = 60;
/// Where tasks are to get lost, those of so many of a thousand commits do.
const LOSES_TASKS: u32 = 20;
/// Where the provider is to answer wrongly, it does so for so many of a thousand refunds.
const ANSWERS_WRONGLY: u32 = 600;
/// Reports of the provider that wait to be delivered. What comes beyond is never delivered.
const MAX_REPORTS: usize = 500;

/// What happens to a worker in the middle of a call.
pub(super) enum Breakdown {
    /// It is never heard of again.
    Dies,
    /// It goes on when this bell rings.
    Hangs(Arc<Notify>),
}

/// Decides what fails. Shared by all that stands between the parts.
pub(super) struct Chaos {
    random: Mutex<StdRng>,
    is_calm: AtomicBool,
    failures: AtomicU64,
    breakdown: Mutex<Option<Breakdown>>,
    broken: Notify,
    plant: Option<Plant>,
}

impl Chaos {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        Self {
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            is_calm: AtomicBool::new(true),
            failures: AtomicU64::new(0),
            breakdown: Mutex::default(),
            broken: Notify::new(),
            plant,
        }
    }

    /// From now on nothing fails, or everything may.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::Relaxed);
    }

    /// How many calls have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns when the worker that works just now breaks down.
    pub(super) async fn breakdown(&self) -> Breakdown {
        loop {
            if let Some(broken) = self.breakdown.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return broken;
            }
            self.broken.notified().await;
        }
    }

    fn break_down(&self, how: Breakdown) {
        *self.breakdown.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        self.broken.notify_one();
    }

    /// A number below a thousand; none of those that mean something, while all is calm.
    fn draw(&self) -> u32 {
        if self.is_calm.load(Ordering::Relaxed) {
            return u32::MAX;
        }
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..1_000)
    }

    /// Whether a report of the provider arrives at some time, where so many wait already. Of what a task asks for,
    /// the provider tells again; a refund that fails late it reports once, and repeats that until it is heard.
    pub(super) fn is_told(&self, notification: &Notification, waiting: usize) -> bool {
        match notification.report {
            Report::RefundRefused { .. } => self.plant != Some(Plant::LostReversals),
            Report::RefundedElsewhere { .. } | Report::Chargeback { .. } => {
                self.plant != Some(Plant::LostDashboardReports)
            }
            _ => waiting < MAX_REPORTS,
        }
    }

    fn fail(&self) -> String {
        self.failures.fetch_add(1, Ordering::Relaxed);
        "the simulation says so".to_owned()
    }
}

/// Stands before the store.
pub(super) struct StoreChaos(pub(super) Arc<Chaos>);

#[async_trait]
impl Interceptor for StoreChaos {
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call != StoreCall::Other && self.0.draw() < STORE_FAILS {
            return Err(StoreError::Unavailable(self.0.fail()));
        }
        Ok(())
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        if call != StoreCall::Other && self.0.draw() < STORE_LOSES {
            return Err(StoreError::OutcomeUnknown(self.0.fail()));
        }
        Ok(())
    }

    fn change(&self, mut batch: Vec<Commit>) -> Vec<Commit> {
        for commit in &mut batch {
            match self.0.plant {
                Some(Plant::LostStock) => {
                    commit.stock.retain(|change| matches!(change, StockChange::Take(_)));
                }
                Some(Plant::LostMarks) => commit.unavailable.clear(),
                Some(Plant::LostTasks) if self.0.draw() < LOSES_TASKS => commit.tasks.clear(),
                _ => {}
            }
        }
        batch
    }
}

/// Stands before the provider, and takes what it reports.
pub(super) struct ProviderChaos {
    pub(super) chaos: Arc<Chaos>,
    pub(super) provider: Arc<Provider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reports: Arc<Mutex<Vec<Notification>>>,
}

impl ProviderChaos {
    async fn around(
        &self,
        payment: &Payment,
        call: impl Fn(&Payment) -> Outcome + Send,
    ) -> Result<GatewayAnswer, GatewayError> {
        let lost = || Err(GatewayError::Unavailable(self.chaos.fail()));
        if self.chaos.draw() < PROVIDER_FAILS {
            return lost();
        }
        let outcome = if self.chaos.plant == Some(Plant::ForgottenKeys) {
            let bits = self.chaos.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
            call(&Payment { key: format!("{}-{bits:x}", payment.key), ..payment.clone() })
        } else {
            call(payment)
        };
        self.keep(outcome.notifications);
        self.maybe_break_down().await;
        if self.chaos.draw() < PROVIDER_LOSES {
            return lost();
        }
        match outcome.reply {
            Reply::Answer(answer) => Ok(self.falsify(answer.into())),
            Reply::Refused(refusal) => Err(GatewayError::Refused(refusal.to_string())),
            // That an answer never comes is noticed at once here: a limit in time would be one of real time.
            Reply::Failed(_) | Reply::Silence => lost(),
        }
    }

    /// The answer, unless a defect is to be put in here.
    fn falsify(&self, answer: GatewayAnswer) -> GatewayAnswer {
        match answer {
            GatewayAnswer::Report(PaymentReport::Refunded { number })
                if self.chaos.plant == Some(Plant::WrongAnswers) && self.chaos.draw() < ANSWERS_WRONGLY =>
            {
                let reason = RefundFailureReason::Other;
                GatewayAnswer::Report(PaymentReport::RefundRefused { number, reason })
            }
            answer => answer,
        }
    }

    fn keep(&self, notifications: Vec<Notification>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in notifications {
            if self.chaos.is_told(&notification, reports.len()) {
                reports.push(notification);
            }
        }
    }

    async fn maybe_break_down(&self) {
        match self.chaos.draw() {
            0..WORKER_DIES => {
                self.chaos.break_down(Breakdown::Dies);
                std::future::pending::<()>().await;
            }
            WORKER_DIES..WORKER_HANGS => {
                let bell = Arc::new(Notify::new());
                self.chaos.break_down(Breakdown::Hangs(Arc::clone(&bell)));
                bell.notified().await;
            }
            _ => {}
        }
    }
}

#[async_trait]
impl PaymentGateway for ProviderChaos {
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
        self.around(payment, |payment| self.provider.authorize(payment, token, self.clock.now())).await
    }

    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, |payment| self.provider.capture(payment, reference, self.clock.now())).await
    }

    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, |payment| self.provider.void(payment, reference, self.clock.now())).await
    }

    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        let now = self.clock.now();
        self.around(payment, |payment| self.provider.refund(payment, reference, number, now)).await
    }
}
