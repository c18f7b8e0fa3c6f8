//! A world with payments by card, and a payment provider that fails where a test injects a fault.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dabba_domain::{
    Currency, OrderId,
    order::{
        Command, Order, OrderRequest, PaymentReference, PaymentReport, PaymentToken, RefundNumber,
        RefundReason, RefundRequest,
    },
    task::TaskQueue,
};
use dabba_engine::{
    AmountRules, Engine, EngineConfig, GatewayAnswer, GatewayError, Payment, PaymentGateway, ProviderObject,
    SeededRandom, SystemClock,
};
use dabba_gateways::simulated::{InProcessGateway, Provider, ProviderHealth, ledger::Summary};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    faulty::Gate,
    working::working_config,
    world::{World, accept, embedded_store},
};

/// Maximum number of seconds of the world's clock until a task that failed once is completed. Backoff and a lease are
/// shorter.
const MAX_SECONDS: u32 = 120;

/// Fault of a call to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// The call does not reach the provider.
    Before,
    /// The call is executed, and its answer is lost.
    After,
    /// The caller dies during the call: the call is executed and never returns.
    Death,
}

/// Result of a look-up: an order and a report, if there is one.
type Found = Result<Option<(OrderId, PaymentReport)>, GatewayError>;

/// A provider that forwards every call to a simulated one.
pub(crate) struct TestGateway {
    inner: InProcessGateway,
    pub(crate) provider: Arc<Provider>,
    next_fault: Mutex<Option<CallFault>>,
    /// Gate at which calls wait after their execution.
    pub(crate) gate: Gate,
    /// Result of the next look-ups.
    pub(crate) found: Mutex<Found>,
    /// Idempotency keys of all calls that reached the provider.
    pub(crate) keys: Mutex<Vec<String>>,
}

impl TestGateway {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(Provider::new(Arc::new(SeededRandom::new(3))));
        let inner = InProcessGateway::new(Arc::clone(&provider), Arc::new(SystemClock));
        Self {
            inner,
            provider,
            next_fault: Mutex::default(),
            gate: Gate::new(),
            keys: Mutex::default(),
            found: Mutex::new(Ok(None)),
        }
    }

    pub(crate) fn fail_once(&self, fault: CallFault) {
        *self.next_fault.lock().unwrap() = Some(fault);
    }

    async fn around(
        &self,
        payment: &Payment,
        call: impl Future<Output = Result<GatewayAnswer, GatewayError>>,
    ) -> Result<GatewayAnswer, GatewayError> {
        let fault = self.next_fault.lock().unwrap().take();
        let lost = || Err(GatewayError::Unavailable("injected by the test".into()));
        if fault == Some(CallFault::Before) {
            return lost();
        }
        self.keys.lock().unwrap().push(payment.key.clone());
        let answer = call.await;
        self.gate.pass().await;
        match fault {
            None | Some(CallFault::Before) => answer,
            Some(CallFault::After) => lost(),
            Some(CallFault::Death) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl PaymentGateway for TestGateway {
    fn name(&self) -> &'static str {
        "test"
    }
    fn rules(&self, currency: Currency) -> Option<AmountRules> {
        self.inner.rules(currency)
    }
    async fn look_up(&self, _object: &ProviderObject) -> Found {
        self.found.lock().unwrap().clone()
    }
    async fn authorize(
        &self,
        payment: &Payment,
        token: &PaymentToken,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, self.inner.authorize(payment, token)).await
    }
    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, self.inner.capture(payment, reference)).await
    }
    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, self.inner.void(payment, reference)).await
    }
    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.around(payment, self.inner.refund(payment, reference, number)).await
    }
}

/// A world and its payment provider.
pub(crate) struct PayingWorld {
    pub(crate) world: World,
    pub(crate) gateway: Arc<TestGateway>,
}

/// Returns an order of `quantity` dal, which cost 500 each, paid by card with this token.
pub(crate) fn dal_by_card(quantity: u32, token: &str) -> OrderRequest {
    serde_json::from_value(json!({
        "lines": [{"item": "dal", "quantity": quantity}], "fulfilment": {"type": "collection"},
        "payment_method": "card", "payment_token": token,
    }))
    .unwrap()
}

/// Returns a refund of an amount, or of the full amount.
pub(crate) fn refund(minor: Option<i64>) -> Command {
    let amount = minor.map(|minor| dabba_domain::Amount::from_minor(minor).unwrap());
    Command::Refund(RefundRequest::new(amount, RefundReason::Quality))
}

impl PayingWorld {
    pub(crate) async fn new() -> Self {
        Self::with(working_config()).await
    }

    pub(crate) async fn with(config: EngineConfig) -> Self {
        let (directory, inner) = embedded_store();
        let gateway = Arc::new(TestGateway::new());
        let port = Arc::clone(&gateway) as Arc<dyn PaymentGateway>;
        let world = World::paying(inner, Some(port), config).await.keeping(directory);
        Self { world, gateway }
    }

    pub(crate) async fn place(&self, token: &str) -> Order {
        self.world.place(&dal_by_card(2, token), token).await.unwrap().order
    }

    pub(crate) async fn read(&self, id: OrderId) -> Order {
        self.world.engine.orders.order(&self.world.admin, id).await.unwrap()
    }

    /// Executes all due tasks with this engine, and ignores errors.
    pub(crate) async fn work_with(&self, engine: &Engine) {
        for queue in TaskQueue::ALL {
            while let Ok(true) = engine.work.run_next(*queue).await {}
        }
    }

    /// Advances the clock second by second and executes due tasks until the order fulfils the condition.
    pub(crate) async fn until(&self, id: OrderId, what: &str, holds: impl Fn(&Order) -> bool) -> Order {
        for _ in 0..MAX_SECONDS {
            self.work_with(&self.world.engine).await;
            // The store may still fail.
            if let Ok(order) = self.world.engine.orders.order(&self.world.admin, id).await
                && holds(&order)
            {
                return order;
            }
            self.world.clock.advance(SignedDuration::from_secs(1));
        }
        panic!("never {what}: {:?}", self.read(id).await);
    }

    /// Advances the clock further, and asserts that the order does not change.
    pub(crate) async fn settle(&self, order: &Order) {
        for _ in 0..40 {
            self.world.clock.advance(SignedDuration::from_secs(1));
            self.work_with(&self.world.engine).await;
        }
        assert_eq!(self.read(order.id).await, *order);
    }

    /// Returns an order that was paid, accepted, prepared and collected.
    pub(crate) async fn delivered(&self, token: &str) -> Order {
        let id = self.place(token).await.id;
        self.until(id, "confirmed", |order| order.acceptance_deadline.is_some()).await;
        for command in [accept(), Command::MarkReady, Command::deliver()] {
            self.world.act(&self.world.staff, id, command).await.unwrap();
        }
        self.until(id, "captured", |order| !order.captured.is_zero()).await
    }

    /// Asserts that the provider's ledger agrees with the order, and that no step took effect twice (I8).
    pub(crate) fn check_ledgers(&self, order: &Order, what: &str) {
        let summary: Summary = self.gateway.provider.summary(order.id);
        assert!(summary.authorizations <= 1 && summary.captures <= 1, "{what}: {summary:?}");
        let money = (summary.captured, summary.refunded);
        let recorded = (order.captured.minor(), order.refunded.minor());
        assert_eq!(money, recorded, "{what}: {summary:?}");
    }

    pub(crate) fn set_health(&self, health: ProviderHealth) {
        self.gateway.provider.set_health(health);
    }
}
