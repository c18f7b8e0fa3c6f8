//! Load generator. Each connection sends one request after the other; each order has its own idempotency key.
//!
//! A load runs in one of two ways. In a closed loop, each connection sends its next request as soon as the
//! previous one is answered. In an open loop, operations start at a rate. Their latency counts from the time
//! at which they were due, so that it includes the time of waiting for a connection ("coordinated omission",
//! G. Tene).
//!
//! A load is limited in time and in operations, and refuses every server that is not on this machine. The
//! [`Mix`] selects the operation to repeat. To add an operation, add a variant to [`Mix`] and an arm in
//! `operation`.

mod connection;
pub mod events;
mod operation;
mod prefill;
mod prepare;
mod report;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use dabba_domain::AccountId;

use self::{connection::Connection, operation::Operator};
pub use prefill::{MAX_PREFILL, PrefillError, prefill};
pub use prepare::{Issuer, MAX_RESTAURANTS, prepare, prepare_restaurants};
pub use report::LoadReport;
use report::SharedReport;

/// Maximum number of connections of one load.
pub const MAX_CONNECTIONS: usize = 16_384;
/// Maximum duration of a load.
pub const MAX_DURATION: Duration = Duration::from_mins(10);
/// Maximum number of connections that one worker reopens after failures before it stops.
const MAX_RECONNECTS: u32 = 10;

/// The operation that a load repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Places an order.
    Place,
    /// Places an order, accepts it, assigns a courier, marks it ready, picks it up and delivers it.
    Life,
    /// Reads a menu.
    Menu,
    /// Reads an order as its customer.
    Order,
    /// Reads the first page of a restaurant's orders as its staff.
    Kitchen,
    /// Places an order again with the idempotency key of its first placement.
    Replay,
}

impl Mix {
    /// All mixes.
    pub const ALL: [Self; 6] =
        [Self::Place, Self::Life, Self::Menu, Self::Order, Self::Kitchen, Self::Replay];

    /// Returns the name of the mix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Life => "life",
            Self::Menu => "menu",
            Self::Order => "order",
            Self::Kitchen => "kitchen",
            Self::Replay => "replay",
        }
    }

    /// Returns the mix with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mix| mix.as_str() == name)
    }
}

/// The data on the server that a load uses.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Ids of the restaurants to order from, at least one.
    pub restaurants: Vec<String>,
    /// A token of an account that is staff of all these restaurants.
    pub staff: String,
    /// That account.
    pub staff_account: Option<AccountId>,
    /// Tokens of customers, at least one. The load distributes the orders over them.
    pub customers: Vec<String>,
    /// A token of a courier.
    pub courier: String,
    /// The JSON body of every order. Every restaurant accepts it.
    pub order: Bytes,
    /// Ids of orders to read, each with the index of its customer in `customers`. For [`Mix::Order`].
    pub orders: Vec<(String, usize)>,
    /// Orders to place again. For [`Mix::Replay`].
    pub placed: Option<PlacedOrders>,
}

/// Orders that the first customer placed in an earlier load.
#[derive(Clone, Debug)]
pub struct PlacedOrders {
    /// The `run` of that load.
    pub run: String,
    /// Number of orders that were placed, all successfully.
    pub count: NonZeroU64,
}

/// The parameters of a load.
#[derive(Clone, Debug)]
pub struct Load {
    /// The address of the server. It must be a loopback address.
    pub address: SocketAddr,
    /// The operation to repeat.
    pub mix: Mix,
    /// Number of connections, each with one request at a time.
    pub connections: usize,
    /// Operations to start per second; without a rate, each connection starts its next operation as soon as
    /// the previous one ends.
    pub rate: Option<NonZeroU32>,
    /// Time after which no operation starts.
    pub duration: Duration,
    /// Number of operations after which no operation starts.
    pub max_operations: u64,
    /// Name of the run, a part of the idempotency keys, so that no two runs share a key.
    pub run: String,
}

/// The reason why a load could not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server is not on this machine.
    #[error("{0} is not a loopback address: a load runs only against a server on this machine")]
    NotLoopback(SocketAddr),
    /// A parameter exceeds its limit, or data is missing.
    #[error("{0}")]
    OutOfBounds(String),
    /// A connection could not be opened.
    #[error("no connection to {address}: {reason}")]
    NoConnection {
        /// The server.
        address: SocketAddr,
        /// The reason.
        reason: String,
    },
}

/// Counter of started operations, for progress displays.
pub type OperationCount = Arc<AtomicU64>;

/// Runs a load to its end.
pub async fn run_load(
    load: Load,
    dataset: Arc<Dataset>,
    progress: OperationCount,
) -> Result<LoadReport, LoadError> {
    check(&load, &dataset)?;
    let (address, count) = (load.address, load.connections);
    let operator = Arc::new(Operator::new(load, dataset).map_err(LoadError::OutOfBounds)?);
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let connected = Connection::open(address).await;
        connections.push(connected.map_err(|reason| LoadError::NoConnection { address, reason })?);
    }
    progress.store(0, Ordering::Relaxed);
    let started = Instant::now();
    let report = SharedReport::default();
    let mut workers = tokio::task::JoinSet::new();
    for connection in connections {
        let worker =
            Worker { operator: Arc::clone(&operator), begun: Arc::clone(&progress), report: report.clone() };
        workers.spawn(worker.run(connection, started));
    }
    while let Some(finished) = workers.join_next().await {
        if let Err(error) = finished {
            report.lock().fail(format!("worker: {error}"));
        }
    }
    let mut report = report.take();
    report.elapsed = started.elapsed();
    Ok(report)
}

fn check(load: &Load, dataset: &Dataset) -> Result<(), LoadError> {
    if !load.address.ip().is_loopback() {
        return Err(LoadError::NotLoopback(load.address));
    }
    if load.connections == 0 || load.connections > MAX_CONNECTIONS {
        return Err(LoadError::OutOfBounds(format!("connections must be from 1 to {MAX_CONNECTIONS}")));
    }
    if load.duration > MAX_DURATION {
        return Err(LoadError::OutOfBounds(format!(
            "duration must be at most {} seconds",
            MAX_DURATION.as_secs()
        )));
    }
    let lacks = |what: &str| Err(LoadError::OutOfBounds(format!("the load needs at least one {what}")));
    if dataset.restaurants.is_empty() {
        return lacks("restaurant");
    }
    if dataset.customers.is_empty() {
        return lacks("customer");
    }
    if load.mix == Mix::Order && dataset.orders.is_empty() {
        return lacks("order");
    }
    if load.mix == Mix::Replay && dataset.placed.is_none() {
        return lacks("order to replay");
    }
    Ok(())
}

struct Worker {
    operator: Arc<Operator>,
    /// Operations that all workers have started.
    begun: OperationCount,
    report: SharedReport,
}

impl Worker {
    async fn run(self, mut connection: Connection, started: Instant) {
        let mut reconnects = 0;
        while started.elapsed() < self.operator.load.duration {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.operator.load.max_operations {
                break;
            }
            let Some(due) = self.wait_until_due(number, started).await else { break };
            match self.operator.run_operation(&mut connection, number).await {
                Ok(acknowledged) => self.report.lock().done(due.elapsed(), acknowledged),
                Err(kind) => self.report.lock().fail(kind),
            }
            if connection.is_closed() {
                reconnects += 1;
                match Connection::open(self.operator.load.address).await {
                    Ok(fresh) if reconnects <= MAX_RECONNECTS => connection = fresh,
                    _ => break,
                }
            }
        }
    }

    /// Waits until an operation is due and returns the due time; `None` if it is due after the end of the
    /// load.
    async fn wait_until_due(&self, number: u64, started: Instant) -> Option<Instant> {
        let Some(rate) = self.operator.load.rate else { return Some(Instant::now()) };
        let number = u32::try_from(number).ok()?;
        let due = Duration::from_secs(1).checked_mul(number)? / rate.get();
        if due >= self.operator.load.duration {
            return None;
        }
        let due = started.checked_add(due)?;
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }
}

/// Maps a number to an index of a list with at least one element.
fn index_in(number: u64, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX).max(1);
    usize::try_from(number % length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(address: &str, connections: usize) -> Load {
        Load {
            address: address.parse().unwrap(),
            mix: Mix::Place,
            connections,
            rate: None,
            duration: Duration::from_secs(1),
            max_operations: 1,
            run: "test".into(),
        }
    }

    fn dataset() -> Arc<Dataset> {
        Arc::new(Dataset {
            restaurants: vec!["r".into()],
            staff: "s".into(),
            staff_account: None,
            customers: vec!["c".into()],
            courier: "k".into(),
            order: Bytes::from_static(b"{}"),
            orders: Vec::new(),
            placed: None,
        })
    }

    /// Proves that a load without limits or without data does not start.
    #[tokio::test]
    async fn a_load_needs_a_local_server_limits_and_data() {
        let run = async |load| run_load(load, dataset(), OperationCount::default()).await.unwrap_err();
        assert!(matches!(run(load("192.0.2.1:80", 1)).await, LoadError::NotLoopback(_)));
        for connections in [0, MAX_CONNECTIONS + 1] {
            let error = run(load("127.0.0.1:9", connections)).await;
            assert!(matches!(error, LoadError::OutOfBounds(_)), "{error}");
        }
        for mix in [Mix::Order, Mix::Replay] {
            let nothing_to_read = Load { mix, ..load("127.0.0.1:9", 1) };
            assert!(matches!(run(nothing_to_read).await, LoadError::OutOfBounds(_)));
        }
    }
}
