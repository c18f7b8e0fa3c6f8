//! HTTP servers on this machine that receive webhooks.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use dabba_engine::Clock;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    task::JoinSet,
};

use super::{ledger::Ledger, receipts::Full};

/// Time after which a hanging receiver responds. A sender abandons the request before.
pub const HANGING_PAUSE: Duration = Duration::from_secs(30);
/// Maximum number of connections of a receiver.
const MAX_CONNECTIONS: usize = 4_096;
/// Length of the queue of connections that a receiver has not accepted.
const BACKLOG: u32 = 4_096;
/// Maximum size of a request: a batch of 100 events is far smaller.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The path of an endpoint, before its number.
const PATH: &str = "/endpoints/";

/// Ports of the receivers on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Responds at once.
    pub healthy: u16,
    /// Responds after [`HANGING_PAUSE`].
    pub hanging: u16,
    /// Refuses connections.
    pub dead: u16,
}

impl Ports {
    /// Free ports, which the system selects.
    pub const FREE: Self = Self { healthy: 0, hanging: 0, dead: 0 };

    /// Returns this port and the two ports after it; `None` if they do not exist.
    pub fn from_first(first: u16) -> Option<Self> {
        Some(Self { healthy: first, hanging: first.checked_add(1)?, dead: first.checked_add(2)? })
    }

    /// Returns the addresses, for a server's setting `webhook_allowed_hosts`.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        [self.healthy, self.hanging, self.dead].map(address)
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Returns the URL of the endpoint with this number.
pub(super) fn url(port: u16, number: usize) -> String {
    format!("http://{}{PATH}{number}", address(port))
}

/// Running receivers. They end when this value is dropped.
pub struct Receivers {
    ports: Ports,
    /// Bound, so that no other process listens there, and not listening, so that connections are refused.
    _dead: TcpSocket,
    running: JoinSet<()>,
}

impl Receivers {
    /// Binds the ports. The receivers accept connections after [`Self::start`].
    pub fn bind(ports: Ports) -> io::Result<(Self, [TcpListener; 2])> {
        let dead = bound(ports.dead)?;
        let listeners = [bound(ports.healthy)?.listen(BACKLOG)?, bound(ports.hanging)?.listen(BACKLOG)?];
        let [healthy, hanging] = [listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()];
        let ports = Ports { healthy, hanging, dead: dead.local_addr()?.port() };
        Ok((Self { ports, _dead: dead, running: JoinSet::new() }, listeners))
    }

    /// Returns the ports.
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// Starts to receive. The ledger of an endpoint has the endpoint's number as index.
    pub fn start(
        &mut self,
        [healthy, hanging]: [TcpListener; 2],
        ledgers: &Arc<[Arc<Ledger>]>,
        clock: &Arc<dyn Clock>,
    ) {
        for (listener, pause) in [(healthy, Duration::ZERO), (hanging, HANGING_PAUSE)] {
            let receiver = Receiver { ledgers: Arc::clone(ledgers), clock: Arc::clone(clock), pause };
            self.running.spawn(accept(listener, Arc::new(receiver)));
        }
    }
}

fn bound(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?; // Connections of an earlier run may be closing.
    socket.bind(address(port))?;
    Ok(socket)
}

async fn accept(listener: TcpListener, receiver: Arc<Receiver>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A failure only adds latency.
        let _ = stream.set_nodelay(true);
        let receiver = Arc::clone(&receiver);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let receiver = Arc::clone(&receiver);
                async move { Ok::<_, Infallible>(receiver.receive(request).await) }
            });
            // The client may disconnect at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

struct Receiver {
    ledgers: Arc<[Arc<Ledger>]>,
    clock: Arc<dyn Clock>,
    pause: Duration,
}

impl Receiver {
    async fn receive(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let number = request.uri().path().strip_prefix(PATH).and_then(|number| number.parse::<usize>().ok());
        let Some(ledger) = number.and_then(|number| self.ledgers.get(number)) else {
            return response(StatusCode::NOT_FOUND);
        };
        let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
            return response(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let recorded = record(ledger, &body.to_bytes(), self.clock.as_ref());
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        match recorded {
            Ok(()) => response(StatusCode::NO_CONTENT),
            Err(Full) => response(StatusCode::INSUFFICIENT_STORAGE),
        }
    }
}

/// Records a delivery: an event, or an array of events.
fn record(ledger: &Ledger, body: &[u8], clock: &dyn Clock) -> Result<(), Full> {
    let now = clock.now();
    if body.first() != Some(&b'[') {
        return ledger.record_json(body, now);
    }
    let Ok(events) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        ledger.record_malformed();
        return Ok(());
    };
    events.into_iter().try_for_each(|event| ledger.record_json(event.get().as_bytes(), now))
}

fn response(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use dabba_domain::OrderId;
    use dabba_engine::SystemClock;

    use super::{
        super::{
            ledger::{EventKey, Latencies, tests::event},
            receipts::Receipts as _,
        },
        *,
    };

    /// Proves that single events and batches reach the ledger of their endpoint, and that a dead receiver refuses
    /// connections.
    #[tokio::test]
    async fn events_and_batches_reach_their_endpoint() {
        let latencies = Arc::new(Latencies::default());
        let ledgers: Arc<[Arc<Ledger>]> =
            (0..2).map(|_| Arc::new(Ledger::new(Arc::clone(&latencies)))).collect();
        let (mut receivers, listeners) = Receivers::bind(Ports::FREE).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        receivers.start(listeners, &ledgers, &clock);
        let Ports { healthy, dead, .. } = receivers.ports();

        let order: OrderId = "0198f3a0-0000-7000-8000-000000000001".parse().unwrap();
        let of = |version| event(order, version, "2026-05-01T10:00:00Z");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let send = async |number, body: String| http.post(url(healthy, number)).body(body).send().await;
        assert_eq!(send(1, of(1)).await.unwrap().status(), 204);
        assert_eq!(send(1, format!("[{},{}]", of(2), of(3))).await.unwrap().status(), 204);
        assert_eq!(send(2, of(1)).await.unwrap().status(), 404);
        assert_eq!(send(0, "[1,".into()).await.unwrap().status(), 204);

        let keys: Vec<_> = (1..=3).map(|version| EventKey { order, version }).collect();
        ledgers[1].with_first(|first| assert_eq!(first, keys));
        assert_eq!((ledgers[0].count(), ledgers[0].malformed(), ledgers[1].malformed()), (0, 1, 0));
        assert!(http.post(url(dead, 0)).send().await.unwrap_err().is_connect());
    }
}
