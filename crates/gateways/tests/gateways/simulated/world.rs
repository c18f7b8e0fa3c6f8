//! A provider, a gateway to it, and the calls that the engine makes for an order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use dabba_domain::{
    Amount, Bucket, Currency, OrderId, Timestamp,
    order::{PaymentReference, PaymentReport, PaymentToken, RefundNumber},
};
use dabba_engine::{Clock, GatewayAnswer, GatewayError, ManualClock, Payment, PaymentGateway, SeededRandom};
use dabba_gateways::simulated::{
    InProcessGateway, Provider, SimulatedGateway,
    ledger::{Entry, Operation},
    provider::Delays,
    router,
};
use tokio::{net::TcpListener, time::timeout};

/// The price of every order, in minor units.
pub(crate) const TOTAL: i64 = 2_500;
/// Maximum number of attempts until a call is answered. With a token that fails half of the calls, it is
/// practically impossible to reach this number.
const MAX_ATTEMPTS: u32 = 200;
/// Maximum time to wait for a ledger entry.
const PATIENCE: Duration = Duration::from_mins(1);
/// A page size that includes the whole ledger.
pub(crate) const WHOLE_LEDGER: usize = usize::MAX;

pub(crate) fn start_of_time() -> Timestamp {
    "2026-01-05T12:00:00Z".parse().unwrap()
}

pub(crate) fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

pub(crate) fn token(text: &str) -> PaymentToken {
    PaymentToken::new(text).unwrap()
}

pub(crate) fn reference(text: &str) -> PaymentReference {
    PaymentReference::new(text).unwrap()
}

pub(crate) fn number(number: u32) -> RefundNumber {
    RefundNumber::new(number).unwrap()
}

pub(crate) fn order(number: u64) -> OrderId {
    OrderId::generate(start_of_time(), Bucket::FIRST, number << 2)
}

/// Returns a call for an order, with the key that the engine uses.
pub(crate) fn payment(order_id: OrderId, step: &str, minor: i64) -> Payment {
    payment_in(order_id, step, minor, "GBP")
}

pub(crate) fn payment_in(order_id: OrderId, step: &str, minor: i64, currency: &str) -> Payment {
    let currency = Currency::from_code(currency).unwrap();
    Payment { order_id, key: format!("{order_id}-{step}"), amount: amount(minor), currency }
}

pub(crate) fn provider(seed: u64) -> Arc<Provider> {
    Arc::new(Provider::new(Arc::new(SeededRandom::new(seed))))
}

/// Serves on a local port for as long as the test runs.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A provider and a gateway to it.
pub(crate) struct World {
    pub(crate) provider: Arc<Provider>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    pub(crate) delays: Delays,
    /// Timeout for a call that never gets an answer.
    pub(crate) call_timeout: Duration,
}

/// A step of a payment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Authorize(&'static str),
    Capture,
    Void,
    Refund(u32, i64),
}

impl World {
    /// Creates a provider in process. Use it in tests with paused time.
    pub(crate) fn in_process() -> Self {
        let clock = Arc::new(ManualClock::new(start_of_time()));
        let provider = provider(1);
        let gateway = InProcessGateway::new(Arc::clone(&provider), Arc::clone(&clock) as Arc<dyn Clock>);
        let (delays, call_timeout) = (Delays::default(), Duration::from_mins(1));
        Self { provider, clock, gateway: Arc::new(gateway), delays, call_timeout }
    }

    /// Creates a provider over HTTP with short delays, because the test runs in real time.
    pub(crate) async fn over_http() -> Self {
        let delays = Delays { answer: Duration::from_millis(50), ..Delays::default() };
        let clock = Arc::new(ManualClock::new(start_of_time()));
        let provider = Arc::new(Provider::with_delays(Arc::new(SeededRandom::new(1)), delays));
        let app = router(Arc::clone(&provider), Arc::clone(&clock) as Arc<dyn Clock>);
        let base_url = format!("http://{}/", serve(app).await);
        let gateway = Arc::new(SimulatedGateway::new(&base_url, Duration::from_secs(5)).unwrap());
        Self { provider, clock, gateway, delays, call_timeout: Duration::from_millis(200) }
    }

    /// Advances the clock until pending payments are due.
    pub(crate) fn advance_to_decision(&self) {
        self.clock.advance(self.delays.decision.try_into().unwrap());
    }

    /// Makes a call once.
    pub(crate) async fn call(&self, order_id: OrderId, step: Step) -> Result<GatewayAnswer, GatewayError> {
        let gateway = &self.gateway;
        match step {
            Step::Authorize(name) => {
                gateway.authorize(&payment(order_id, "authorize", TOTAL), &token(name)).await
            }
            Step::Capture => {
                gateway.capture(&payment(order_id, "capture", TOTAL), &self.reference(order_id)).await
            }
            Step::Void => gateway.void(&payment(order_id, "void", TOTAL), &self.reference(order_id)).await,
            Step::Refund(which, minor) => {
                let payment = payment(order_id, &format!("refund-{which}"), minor);
                gateway.refund(&payment, &self.reference(order_id), number(which)).await
            }
        }
    }

    /// Retries a call until it is answered, as the engine does.
    pub(crate) async fn call_until_answered(&self, order_id: OrderId, step: Step) -> PaymentReport {
        for _ in 0..MAX_ATTEMPTS {
            match timeout(self.call_timeout, self.call(order_id, step)).await {
                Ok(Ok(GatewayAnswer::Report(report))) => return report,
                Ok(Ok(GatewayAnswer::Pending)) => self.advance_to_decision(),
                Ok(Err(GatewayError::Unavailable(_))) | Err(_) => {}
                Ok(Err(error)) => panic!("{step:?}: {error}"),
            }
        }
        panic!("{step:?} got no answer after {MAX_ATTEMPTS} attempts");
    }

    /// Returns the reference of an order's only payment.
    pub(crate) fn reference(&self, order_id: OrderId) -> PaymentReference {
        let payments = self.provider.payments(order_id);
        assert_eq!(payments.len(), 1, "the order must have exactly one payment: {payments:?}");
        payments[0].reference.clone()
    }

    /// Returns the ledger entries of an order, oldest first.
    pub(crate) fn entries(&self, order_id: OrderId) -> Vec<Entry> {
        let mut entries = self.provider.ledger(0, WHOLE_LEDGER);
        entries.retain(|entry| entry.order_id == order_id);
        entries
    }

    /// Returns the ledger entries of an order as operations and minor units.
    pub(crate) fn done(&self, order_id: OrderId) -> Vec<(Operation, i64)> {
        self.entries(order_id).iter().map(|entry| (entry.operation, entry.amount.minor())).collect()
    }

    /// Waits until the order has a ledger entry; fails the test after [`PATIENCE`].
    pub(crate) async fn wait_for_entry(&self, order_id: OrderId) {
        let wait = async {
            while self.done(order_id).is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "the order has no ledger entry");
    }
}

/// Returns the result of a call whose answer is this report.
#[expect(clippy::unnecessary_wraps, reason = "tests compare it with the result of a call")]
pub(crate) fn reported(report: PaymentReport) -> Result<GatewayAnswer, GatewayError> {
    Ok(GatewayAnswer::Report(report))
}

#[track_caller]
pub(crate) fn assert_unavailable(answer: &Result<GatewayAnswer, GatewayError>) {
    assert!(matches!(answer, Err(GatewayError::Unavailable(_))), "{answer:?}");
}

#[track_caller]
pub(crate) fn assert_refused(answer: &Result<GatewayAnswer, GatewayError>) {
    assert!(matches!(answer, Err(GatewayError::Refused(_))), "{answer:?}");
}
