//! Load: so many connections, each placing one order after the other, each order under a key of its own.
//! Either as quickly as they are answered (a closed loop), or at a rate (an open loop), where an order that has
//! to wait for a connection counts from when it should have been sent, so that no waiting is left out.
//!
//! It is bounded in time and in orders, and refuses any server that is not on this machine.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most connections of one load.
pub const MAX_CONNECTIONS: usize = 1_024;
/// Longest load.
pub const MAX_DURATION: Duration = Duration::from_mins(10);
/// Longest latency that is told apart, in microseconds.
const LONGEST_LATENCY_US: u64 = 60_000_000;
/// Time after which a request counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that one worker opens anew after failures before it gives up.
const MAX_RECONNECTS: u32 = 10;

/// What to place, where, and how much of it.
#[derive(Clone, Debug)]
pub struct PlaceLoad {
    /// The server. Has to be a loopback address.
    pub address: SocketAddr,
    /// The restaurant's id.
    pub restaurant_id: String,
    /// A customer's token.
    pub token: String,
    /// The order's body, as JSON. Each order is this one.
    pub body: Bytes,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Orders that are sent in a second; as many as are answered, when absent.
    pub rate: Option<NonZeroU32>,
    /// Time after which no order is begun.
    pub duration: Duration,
    /// Orders after which no order is begun.
    pub max_orders: u64,
    /// Names the run in the idempotency keys, so that no two runs share one.
    pub run: String,
}

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server is not on this machine.
    #[error("{0} is not a loopback address: load is only put on a server on this machine")]
    NotLoopback(SocketAddr),
    /// A bound was exceeded.
    #[error("{0}")]
    OutOfBounds(String),
    /// No connection could be made.
    #[error("no connection to {address}: {reason}")]
    NoConnection {
        /// The server.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Orders placed: answered with 201, and not a replay.
    pub placed: u64,
    /// Everything else, by kind: a status, `replayed`, or what happened to the connection.
    pub errors: BTreeMap<String, u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Latencies of the orders placed, in microseconds.
    pub latencies: Histogram<u64>,
}

impl Report {
    /// Orders placed in a second.
    pub fn orders_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count that a person reads")]
        let placed = self.placed as f64;
        placed / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency that this share of the orders (0 to 1) did not exceed.
    pub fn latency_at(&self, share: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(share))
    }

    /// All that did not end as an order.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Runs a load and waits for its end.
pub async fn place_orders(load: PlaceLoad) -> Result<Report, LoadError> {
    if !load.address.ip().is_loopback() {
        return Err(LoadError::NotLoopback(load.address));
    }
    if load.connections == 0 || load.connections > MAX_CONNECTIONS {
        return Err(LoadError::OutOfBounds(format!("connections: 1 to {MAX_CONNECTIONS}")));
    }
    if load.duration > MAX_DURATION {
        return Err(LoadError::OutOfBounds(format!("at most {} seconds", MAX_DURATION.as_secs())));
    }
    let load = Arc::new(load);
    let mut connections = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        let connected = connect(load.address).await;
        connections
            .push(connected.map_err(|reason| LoadError::NoConnection { address: load.address, reason })?);
    }
    let begun = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for connection in connections {
        let worker = Worker { load: Arc::clone(&load), begun: Arc::clone(&begun), tally: Tally::new() };
        workers.spawn(worker.run(connection, started));
    }
    let mut total = Tally::new();
    while let Some(finished) = workers.join_next().await {
        match finished {
            Ok(tally) => total.merge(&tally),
            Err(error) => total.fail(format!("worker: {error}")),
        }
    }
    let Tally { errors, latencies } = total;
    Ok(Report { placed: latencies.len(), errors, elapsed: started.elapsed(), latencies })
}

/// What one worker, or all together, counted.
struct Tally {
    errors: BTreeMap<String, u64>,
    latencies: Histogram<u64>,
}

impl Tally {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the library accepts")]
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_LATENCY_US, 3).expect("constant bounds");
        Self { errors: BTreeMap::new(), latencies }
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so adding cannot fail.
        let _ = self.latencies.add(&other.latencies);
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    fn fail(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    fn place(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(microseconds.max(1));
    }
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the sender; an error reaches whoever sends.
    tokio::spawn(connection);
    Ok(sender)
}

struct Worker {
    load: Arc<PlaceLoad>,
    /// Orders begun by all workers.
    begun: Arc<AtomicU64>,
    tally: Tally,
}

impl Worker {
    async fn run(mut self, mut connection: Connection, started: Instant) -> Tally {
        let mut reconnects = 0;
        while started.elapsed() < self.load.duration {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.max_orders {
                break;
            }
            let Some(sent) = self.turn(number, started).await else { break };
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.place(&mut connection, number)).await;
            match answer.unwrap_or_else(|_| Err("timeout".into())) {
                Ok(()) => self.tally.place(sent.elapsed()),
                Err(kind) => self.tally.fail(kind),
            }
            if connection.is_closed() {
                reconnects += 1;
                match connect(self.load.address).await {
                    Ok(fresh) if reconnects <= MAX_RECONNECTS => connection = fresh,
                    _ => break,
                }
            }
        }
        self.tally
    }

    /// Waits until an order is to be sent, and answers when that is; `None` when it is after the end.
    async fn turn(&self, number: u64, started: Instant) -> Option<Instant> {
        let Some(rate) = self.load.rate else { return Some(Instant::now()) };
        let number = u32::try_from(number).ok()?;
        let due = Duration::from_secs(1).checked_mul(number)? / rate.get();
        if due >= self.load.duration {
            return None;
        }
        let due = started.checked_add(due)?;
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }

    async fn place(&self, connection: &mut Connection, number: u64) -> Result<(), String> {
        let PlaceLoad { address, restaurant_id, token, body, run, .. } = &*self.load;
        let request = Request::post(format!("/v1/restaurants/{restaurant_id}/orders"))
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", format!("{run}-{number}"))
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        connection.ready().await.map_err(|error| error.to_string())?;
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let replayed = response.headers().contains_key("idempotency-replayed");
        // The body has to be read before the connection can be used again.
        response.into_body().collect().await.map_err(|error| error.to_string())?;
        match (status.as_u16(), replayed) {
            (201, false) => Ok(()),
            (201, true) => Err("replayed".into()),
            (other, _) => Err(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(address: &str, connections: usize) -> PlaceLoad {
        PlaceLoad {
            address: address.parse().unwrap(),
            restaurant_id: "r".into(),
            token: "t".into(),
            body: Bytes::from_static(b"{}"),
            connections,
            rate: None,
            duration: Duration::from_secs(1),
            max_orders: 1,
            run: "test".into(),
        }
    }

    #[tokio::test]
    async fn only_servers_on_this_machine_are_loaded_and_only_so_much() {
        let error = place_orders(load("192.0.2.1:80", 1)).await.unwrap_err();
        assert!(matches!(error, LoadError::NotLoopback(_)), "{error}");
        for connections in [0, MAX_CONNECTIONS + 1] {
            let error = place_orders(load("127.0.0.1:9", connections)).await.unwrap_err();
            assert!(matches!(error, LoadError::OutOfBounds(_)), "{error}");
        }
    }

    #[test]
    fn a_report_counts_what_was_placed() {
        let mut tally = Tally::new();
        for milliseconds in 1..=100 {
            tally.place(Duration::from_millis(milliseconds));
        }
        tally.fail("503".into());
        let mut total = Tally::new();
        total.merge(&tally);
        let Tally { errors, latencies } = total;
        let report = Report { placed: latencies.len(), errors, elapsed: Duration::from_secs(2), latencies };
        assert_eq!((report.placed, report.error_count()), (100, 1));
        assert!((report.orders_per_second() - 50.0).abs() < f64::EPSILON);
        let median = report.latency_at(0.5).as_micros();
        assert!((50_000..=50_100).contains(&median), "{median}");
    }
}
