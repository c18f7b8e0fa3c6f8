//! Load: so many connections, each making one request after the other, each order under a key of its own.
//!
//! Either as quickly as they are answered (a closed loop), or at a rate (an open loop), where what has to wait
//! for a connection counts from when it should have been sent, so that no waiting is left out ("coordinated
//! omission", G. Tene).
//!
//! It is bounded in time and in operations, and refuses any server that is not on this machine. What is done
//! over and over is a [`Mix`]; to add one, a variant there and its arm in `operation`.

mod connection;
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

use self::{connection::Connection, operation::Operator};
pub use prefill::{MAX_PREFILL, PrefillError, prefill};
pub use prepare::{Issuer, prepare};
pub use report::Report;
use report::SharedReport;

/// Most connections of one load.
pub const MAX_CONNECTIONS: usize = 1_024;
/// Longest load.
pub const MAX_DURATION: Duration = Duration::from_mins(10);
/// Connections that one worker opens anew after failures before it gives up.
const MAX_RECONNECTS: u32 = 10;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// An order is placed.
    Place,
    /// An order is placed, accepted, assigned, made ready, picked up and delivered.
    Life,
    /// A menu is read.
    Menu,
    /// An order is read, by its customer.
    Order,
    /// The first page of a restaurant's orders is read, by its staff.
    Kitchen,
    /// An order that was placed is placed again, under its key.
    Replay,
}

impl Mix {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Place, Self::Life, Self::Menu, Self::Order, Self::Kitchen, Self::Replay];

    /// Its name.
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

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mix| mix.as_str() == name)
    }
}

/// Who and what there is on a server, for the load to work with.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Ids of restaurants to order from, at least one.
    pub restaurants: Vec<String>,
    /// A token of somebody who works for all of them.
    pub staff: String,
    /// Tokens of customers, at least one. Orders are spread over them.
    pub customers: Vec<String>,
    /// A courier's token.
    pub courier: String,
    /// An order's body, as JSON, which every restaurant takes. Each order is this one.
    pub order: Bytes,
    /// Ids of orders to be read, with the customer's place in `customers`. For [`Mix::Order`].
    pub orders: Vec<(String, usize)>,
    /// Orders to be placed again. For [`Mix::Replay`].
    pub placed: Option<PlacedOrders>,
}

/// Orders that the first of the customers placed in an earlier load.
#[derive(Clone, Debug)]
pub struct PlacedOrders {
    /// What the load was called.
    pub run: String,
    /// How many were placed, all with success.
    pub count: NonZeroU64,
}

/// How much of what.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server. Has to be a loopback address.
    pub address: SocketAddr,
    /// What is done.
    pub mix: Mix,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Operations that are begun in a second; as many as are answered, when absent.
    pub rate: Option<NonZeroU32>,
    /// Time after which none is begun.
    pub duration: Duration,
    /// Operations after which none is begun.
    pub max_operations: u64,
    /// Names the run in the idempotency keys, so that no two runs share one.
    pub run: String,
}

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server is not on this machine.
    #[error("{0} is not a loopback address: load is only put on a server on this machine")]
    NotLoopback(SocketAddr),
    /// A bound was exceeded, or something is missing.
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

/// Counts what has been begun, for whoever wants to show progress.
pub type Progress = Arc<AtomicU64>;

/// Runs a load and waits for its end.
pub async fn run_load(load: Load, scene: Arc<Scene>, progress: Progress) -> Result<Report, LoadError> {
    check(&load, &scene)?;
    let (address, count) = (load.address, load.connections);
    let operator = Arc::new(Operator::new(load, scene).map_err(LoadError::OutOfBounds)?);
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

fn check(load: &Load, scene: &Scene) -> Result<(), LoadError> {
    if !load.address.ip().is_loopback() {
        return Err(LoadError::NotLoopback(load.address));
    }
    if load.connections == 0 || load.connections > MAX_CONNECTIONS {
        return Err(LoadError::OutOfBounds(format!("connections: 1 to {MAX_CONNECTIONS}")));
    }
    if load.duration > MAX_DURATION {
        return Err(LoadError::OutOfBounds(format!("at most {} seconds", MAX_DURATION.as_secs())));
    }
    let lacks = |what: &str| Err(LoadError::OutOfBounds(format!("there is no {what} to work with")));
    if scene.restaurants.is_empty() {
        return lacks("restaurant");
    }
    if scene.customers.is_empty() {
        return lacks("customer");
    }
    if load.mix == Mix::Order && scene.orders.is_empty() {
        return lacks("order");
    }
    if load.mix == Mix::Replay && scene.placed.is_none() {
        return lacks("order to place again");
    }
    Ok(())
}

struct Worker {
    operator: Arc<Operator>,
    /// Operations begun by all workers.
    begun: Progress,
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
            let Some(due) = self.turn(number, started).await else { break };
            match self.operator.operate(&mut connection, number).await {
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

    /// Waits until an operation is to begin, and answers when that is; `None` when it is after the end.
    async fn turn(&self, number: u64, started: Instant) -> Option<Instant> {
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

/// The place of a number in a list that is not empty.
fn place_in(number: u64, length: usize) -> usize {
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

    fn scene() -> Arc<Scene> {
        Arc::new(Scene {
            restaurants: vec!["r".into()],
            staff: "s".into(),
            customers: vec!["c".into()],
            courier: "k".into(),
            order: Bytes::from_static(b"{}"),
            orders: Vec::new(),
            placed: None,
        })
    }

    /// Proves that what has no bounds, or nothing to work with, is not begun.
    #[tokio::test]
    async fn only_servers_on_this_machine_are_loaded_and_only_so_much() {
        let run = async |load| run_load(load, scene(), Progress::default()).await.unwrap_err();
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
