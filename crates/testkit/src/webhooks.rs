//! Webhooks of a server under test, and a receiver for them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use dabba_api::{WebhookEndpoints, WebhookOrders};
use dabba_engine::{Egress, Engine, SeededRandom, SystemClock, Webhooks, sealing::SecretKeys};
use dabba_outbound::webhooks::{WebhookPorts, WebhookSender, limits};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{eventually, server::never};

/// The key that seals the secrets of endpoints.
const SECRETS_KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// Returns the webhook endpoints of a server, and the sender's work. The sender uses the machine's clock, because the
/// database checks its leases by its own.
pub(crate) fn webhooks(
    engine: &Arc<Engine>,
    egress: &Arc<dyn Egress>,
) -> (WebhookEndpoints, impl Future<Output = ()> + Send + use<>) {
    let keys = Arc::new(SecretKeys::parse(SECRETS_KEY).expect("a key"));
    let sender = WebhookSender::new(WebhookPorts {
        store: Arc::clone(engine.store()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SeededRandom::new(engine.random_u64())),
        egress: Arc::clone(egress),
        keys: Arc::clone(&keys),
        orders: WebhookOrders::new(engine),
        supervisor: Arc::clone(engine.supervisor()),
        poll_interval: limits::POLL_INTERVAL,
    });
    let manager = Webhooks::new(engine, Arc::clone(egress), keys);
    let work = Arc::clone(&sender).run(never());
    (WebhookEndpoints { manager, sender }, work)
}

/// A request that a [`WebhookReceiver`] has received.
#[derive(Clone, Debug)]
pub struct WebhookCall {
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl WebhookCall {
    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Returns a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Received {
    calls: Mutex<Vec<WebhookCall>>,
    status: AtomicU16,
    /// Whether responses wait.
    held: watch::Sender<bool>,
}

/// A receiver of webhooks on this machine. It stops when it is dropped.
pub struct WebhookReceiver {
    address: SocketAddr,
    received: Arc<Received>,
    serving: JoinHandle<()>,
}

impl WebhookReceiver {
    /// Starts a receiver that responds with 204.
    pub async fn start() -> Self {
        let received = Arc::new(Received { status: AtomicU16::new(204), ..Received::default() });
        let app = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("serving should not fail");
        });
        Self { address, received, serving }
    }

    /// Returns the URL of the receiver.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Sets the status of the following responses.
    pub fn respond_with(&self, status: u16) {
        self.received.status.store(status, Ordering::SeqCst);
    }

    /// Holds the responses to the following requests until [`WebhookReceiver::release`].
    pub fn hold(&self) {
        self.received.held.send_replace(true);
    }

    /// Sends the responses that [`WebhookReceiver::hold`] held.
    pub fn release(&self) {
        self.received.held.send_replace(false);
    }

    /// Returns the requests so far.
    pub fn calls(&self) -> Vec<WebhookCall> {
        self.received.calls.lock().expect("no panic under the lock").clone()
    }

    /// Waits until a request meets a condition, and returns the first such request after the first `skip` requests.
    pub async fn until(&self, skip: usize, condition: impl Fn(&WebhookCall) -> bool) -> WebhookCall {
        eventually("a webhook arrives", async || {
            let calls = self.calls();
            let found = calls.iter().skip(skip).find(|call| condition(call)).cloned();
            found.ok_or_else(|| format!("{} requests", calls.len()))
        })
        .await
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    received.calls.lock().expect("no panic under the lock").push(WebhookCall { headers, body });
    let mut held = received.held.subscribe();
    held.wait_for(|is_held| !is_held).await.expect("the receiver outlives its requests");
    StatusCode::from_u16(received.status.load(Ordering::SeqCst)).expect("a status")
}
