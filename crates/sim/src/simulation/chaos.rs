//! Injects failures between the engine and its store and provider: calls that do not arrive, lost responses,
//! and workers that die or hang during a call.

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
    Commit, CommitOutcome, StockChange, Store, StoreError,
    layer::{CallKind, StoreCall, StoreLayer},
};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::Notify;

use super::Plant;

/// Per mille of store calls that fail before they have an effect.
const STORE_FAILS: u32 = 8;
/// Per mille of store calls whose response is lost.
const STORE_LOSES: u32 = 8;
/// Per mille of provider calls that fail before they have an effect.
const PROVIDER_FAILS: u32 = 30;
/// Per mille of provider calls whose response is lost.
const PROVIDER_LOSES: u32 = 30;
/// Per mille of provider calls in which the worker dies.
const WORKER_DIES: u32 = 20;
/// Upper limit of the per mille range of provider calls in which the worker hangs; the range begins at
/// `WORKER_DIES`.
const WORKER_HANGS: u32 = 60;
/// Per mille of commits that lose their tasks, with the defect `lost-tasks`.
const LOSES_TASKS: u32 = 20;
/// Per mille of refunds with a wrong answer, with the defect `wrong-answers`.
const ANSWERS_WRONGLY: u32 = 600;
/// Maximum number of undelivered reports of the provider. Further reports are lost.
const MAX_REPORTS: usize = 500;

/// A failure of a worker during a call.
pub(super) enum Breakdown {
    /// The worker dies.
    Dies,
    /// The worker hangs until this notification.
    Hangs(Arc<Notify>),
}

/// Decides which calls fail. All intercepting layers share it.
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

    /// Stops or starts the failures.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::Relaxed);
    }

    /// Returns the number of failed calls.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Waits until the running worker breaks down.
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

    /// Returns a random number below 1,000, or a number that causes no failure while failures are stopped.
    fn draw(&self) -> u32 {
        if self.is_calm.load(Ordering::Relaxed) {
            return u32::MAX;
        }
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..1_000)
    }

    /// Returns whether a report of the provider is delivered later, given the number of waiting reports. A
    /// report about a task's call may be lost, because a retry returns the same answer. The provider reports
    /// a late failure of a refund only once and repeats the report until it is accepted, so such a report is
    /// always delivered.
    pub(super) fn is_delivered_later(&self, notification: &Notification, waiting: usize) -> bool {
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
        "injected by the simulation".to_owned()
    }
}

/// A store of which some calls fail, some responses are lost, and, with a plant, some commits are incomplete.
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) chaos: Arc<Chaos>,
}

impl FaultyStore {
    /// Whether calls of a kind can fail.
    const fn is_exposed(call: StoreCall) -> bool {
        !matches!(call.kind, CallKind::Health | CallKind::Other)
    }

    fn damage_commit(&self, commit: &mut Commit) {
        match self.chaos.plant {
            Some(Plant::LostStock) => {
                commit.stock.retain(|change| matches!(change, StockChange::Take(_)));
            }
            Some(Plant::LostMarks) => commit.unavailable.clear(),
            Some(Plant::LostTasks) if self.chaos.draw() < LOSES_TASKS => commit.tasks.clear(),
            _ => {}
        }
    }
}

#[async_trait]
impl StoreLayer for FaultyStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if Self::is_exposed(call) && self.chaos.draw() < STORE_FAILS {
            return Err(StoreError::Unavailable(self.chaos.fail()));
        }
        Ok(())
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        if Self::is_exposed(call) && self.chaos.draw() < STORE_LOSES {
            return Err(StoreError::OutcomeUnknown(self.chaos.fail()));
        }
        Ok(())
    }

    async fn commit_shared(&self, mut batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        if self.chaos.plant.is_some() {
            for commit in &mut batch {
                self.damage_commit(Arc::make_mut(commit));
            }
        }
        let call = StoreCall { kind: CallKind::Commit, method: "commit_shared" };
        self.around(call, self.inner.commit_shared(batch)).await
    }
}

/// Intercepts the calls of the provider, and queues its reports.
pub(super) struct ProviderChaos {
    pub(super) chaos: Arc<Chaos>,
    pub(super) provider: Arc<Provider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reports: Arc<Mutex<Vec<Notification>>>,
}

impl ProviderChaos {
    async fn intercept(
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
        self.queue_reports(outcome.notifications);
        self.maybe_break_down().await;
        if self.chaos.draw() < PROVIDER_LOSES {
            return lost();
        }
        match outcome.reply {
            Reply::Answer(answer) => Ok(self.falsify(answer.into())),
            Reply::Refused(refusal) => Err(GatewayError::Refused(refusal.to_string())),
            // A missing reply fails at once here, because a timeout would need real time.
            Reply::Failed(_) | Reply::Silence => lost(),
        }
    }

    /// Returns the answer, falsified if the defect demands it.
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

    fn queue_reports(&self, notifications: Vec<Notification>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in notifications {
            if self.chaos.is_delivered_later(&notification, reports.len()) {
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
                let resumption = Arc::new(Notify::new());
                self.chaos.break_down(Breakdown::Hangs(Arc::clone(&resumption)));
                resumption.notified().await;
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
