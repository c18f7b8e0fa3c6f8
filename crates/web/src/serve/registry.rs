//! The open connections, their limits, and the choice of the connection to close for a new one.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::{
    ServeOptions,
    activity::{Activity, KeepPriority},
    metrics::{ConnectionMetrics, FOR_ADDRESS, FOR_ALL, FOR_RECEIVED, FOR_ROOM, FOR_UNSENT},
};
use crate::ClientAddress;

/// Maximum number of connections that are compared to choose the one to close.
const COMPARED: usize = 64;

/// Reason why a connection gets no slot.
pub(super) struct Refused {
    pub(super) reason: &'static str,
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Registry {
    options: ServeOptions,
    metrics: ConnectionMetrics,
    open: Mutex<Open>,
    /// Notified whenever a connection ends.
    ended: Notify,
    /// Whether the server stops.
    stopping: watch::Sender<bool>,
    received: AtomicUsize,
    unsent: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    connections: Vec<Arc<Activity>>,
    /// Number of connections from each address. The connections of an address share the counter.
    by_address: HashMap<ClientAddress, Arc<AtomicUsize>>,
    /// Index at which the next comparison begins.
    next: usize,
    /// Number of connections whose task has not ended, including those that are being closed.
    running: usize,
}

impl Open {
    /// Compares some of the connections and returns the one with the lowest priority for keeping, unless all are busy. If
    /// priorities are equal, the address with the most connections loses its oldest one, so that a client with a few connections
    /// keeps them while others flood the server.
    fn least(&mut self) -> Option<Arc<Activity>> {
        let count = self.connections.len();
        let compared = (0..count.min(COMPARED)).map(|offset| (self.next + offset) % count);
        let key = |index: usize| {
            let connection = &self.connections[index];
            let (keep_priority, since) = connection.keep_priority();
            (keep_priority, Reverse(connection.of_address.load(Ordering::Relaxed)), since, index)
        };
        let least = compared.map(key).filter(|(keep_priority, ..)| *keep_priority < KeepPriority::Busy).min();
        self.next = (self.next + COMPARED) % count.max(1);
        least.map(|(.., index)| Arc::clone(&self.connections[index]))
    }

    fn remove(&mut self, activity: &Arc<Activity>) {
        let index = activity.index.load(Ordering::Relaxed);
        if self.connections.get(index).is_some_and(|found| Arc::ptr_eq(found, activity)) {
            self.connections.swap_remove(index);
            if let Some(moved) = self.connections.get(index) {
                moved.index.store(index, Ordering::Relaxed);
            }
        }
    }
}

impl Registry {
    pub(super) fn new(options: ServeOptions, metrics: ConnectionMetrics) -> Self {
        Self {
            options,
            metrics,
            open: Mutex::default(),
            ended: Notify::new(),
            stopping: watch::Sender::new(false),
            received: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a slot for a connection from this address. If all slots are in use, closes a connection that is not busy.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionSlot, Refused> {
        let refused = |reason| {
            self.metrics.count(reason);
            Err(Refused { reason })
        };
        let is_trusted = self.options.trusted_proxies.iter().any(|network| network.contains(address));
        let counted = (!is_trusted).then(|| ClientAddress::new(address));
        let mut open = self.open();
        let of_address = counted.and_then(|address| open.by_address.get(&address)).map(Arc::clone);
        let of_address = of_address.unwrap_or_default();
        if of_address.load(Ordering::Relaxed) >= self.options.max_connections_per_address {
            return refused(FOR_ADDRESS);
        }
        if open.connections.len() >= self.options.max_connections && !self.close_least(&mut open) {
            return refused(FOR_ALL);
        }
        if let Some(address) = counted {
            of_address.fetch_add(1, Ordering::Relaxed);
            open.by_address.entry(address).or_insert_with(|| Arc::clone(&of_address));
        }
        let activity = Arc::new(Activity::new(self.options.timeouts, of_address));
        activity.index.store(open.connections.len(), Ordering::Relaxed);
        open.connections.push(Arc::clone(&activity));
        open.running += 1;
        drop(open);
        self.metrics.open.inc();
        Ok(ConnectionSlot { registry: Arc::clone(self), counted, activity })
    }

    /// Closes the connection with the lowest priority for keeping. Returns false if all are busy.
    fn close_least(&self, open: &mut Open) -> bool {
        let Some(least) = open.least() else { return false };
        open.remove(&least);
        least.close();
        self.metrics.count(FOR_ROOM);
        true
    }

    /// Closes a connection that is not busy, if there is one.
    pub(super) fn make_room(&self) {
        self.close_least(&mut self.open());
    }

    /// Closes connections that are receiving bodies, the most expensive first, until the total is within the limit. Treats the
    /// requesting connection like all others. Returns false if that connection is the most expensive, or if no connection is
    /// receiving a body.
    fn make_room_for_bodies(&self, requesting: &Arc<Activity>) -> bool {
        let mut open = self.open();
        while self.received.load(Ordering::Relaxed) > self.options.max_received_bytes {
            let receiving = open
                .connections
                .iter()
                .filter_map(|connection| Some((connection.cost_of_body()?, connection)));
            let Some((_, most_expensive)) = receiving.max_by_key(|(cost, _)| *cost) else { return false };
            if Arc::ptr_eq(most_expensive, requesting) {
                return false;
            }
            let most_expensive = Arc::clone(most_expensive);
            open.remove(&most_expensive);
            most_expensive.close();
            self.release_received(&most_expensive);
            self.metrics.count(FOR_RECEIVED);
        }
        true
    }

    fn release_received(&self, activity: &Activity) {
        let bytes = activity.received.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.received.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Closes connections whose clients read nothing, beginning with those that have read nothing for the longest time, until the
    /// total is within the limit. The bytes of closed connections stop counting at once.
    fn make_room_for_responses(&self) {
        let mut open = self.open();
        while self.unsent.load(Ordering::Relaxed) > self.options.max_unsent_bytes {
            let stalled = open.connections.iter().map(|connection| (connection.keep_priority(), connection));
            let longest = stalled
                .filter(|((keep_priority, _), _)| *keep_priority == KeepPriority::Stalled)
                .min_by_key(|((_, since), _)| *since);
            let Some((_, longest)) = longest else { return };
            let longest = Arc::clone(longest);
            open.remove(&longest);
            longest.close();
            self.release_unsent(&longest);
            self.metrics.count(FOR_UNSENT);
        }
    }

    fn release_unsent(&self, activity: &Activity) {
        let bytes = activity.unsent.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.unsent.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Ends each connection after its requests.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
        for connection in &self.open().connections {
            connection.stop();
        }
    }

    /// Closes every connection.
    pub(super) fn close_all(&self) {
        for connection in &self.open().connections {
            connection.close();
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let ended = self.ended.notified();
            if self.open().running == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// The slot of an open connection. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    registry: Arc<Registry>,
    /// The address for which the connection is counted.
    counted: Option<ClientAddress>,
    pub(super) activity: Arc<Activity>,
}

impl ConnectionSlot {
    /// Counts bytes of a request's body until the request is answered. Above the limit, closes the connections whose bodies have
    /// cost the most so far; their bytes stop counting at once. Returns false if the total stays above the limit.
    pub(super) fn hold_received(&self, bytes: usize) -> bool {
        self.activity.received.fetch_add(bytes, Ordering::Relaxed);
        let held = self.registry.received.fetch_add(bytes, Ordering::Relaxed);
        held + bytes <= self.registry.options.max_received_bytes
            || self.registry.make_room_for_bodies(&self.activity)
    }

    /// Returns a receiver of whether the server stops.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.registry.stopping.subscribe()
    }

    /// Stops counting the bytes of the request's body.
    pub(super) fn release_received(&self) {
        self.registry.release_received(&self.activity);
    }

    /// Counts bytes of a response that the socket has not accepted yet. Above the limit, closes the connections whose clients
    /// have read nothing for the longest time.
    pub(super) fn hold_unsent(&self, bytes: usize) {
        self.activity.unsent.fetch_add(bytes, Ordering::Relaxed);
        self.registry.unsent.fetch_add(bytes, Ordering::Relaxed);
        self.check_unsent();
    }

    /// Records that the socket accepts nothing at the moment. Checks the limit again, because a connection counts as stalled only
    /// from now on.
    pub(super) fn stall(&self) {
        if self.activity.stall() {
            self.check_unsent();
        }
    }

    fn check_unsent(&self) {
        if self.registry.unsent.load(Ordering::Relaxed) > self.registry.options.max_unsent_bytes {
            self.registry.make_room_for_responses();
        }
    }

    /// Records that the socket has accepted everything.
    pub(super) fn sent(&self) {
        self.registry.release_unsent(&self.activity);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.release_received();
        self.sent();
        let mut open = self.registry.open();
        open.remove(&self.activity);
        open.running -= 1;
        if let Some(address) = self.counted
            && self.activity.of_address.fetch_sub(1, Ordering::Relaxed) == 1
        {
            open.by_address.remove(&address);
        }
        drop(open);
        self.registry.metrics.open.dec();
        self.registry.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{MAX_RECEIVED_BYTES, MAX_UNSENT_BYTES};

    fn registry(change: impl FnOnce(&mut ServeOptions)) -> Arc<Registry> {
        let mut options = ServeOptions::default();
        change(&mut options);
        Arc::new(Registry::new(options, ConnectionMetrics::default()))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    impl Registry {
        fn slot(self: &Arc<Self>, last: u8) -> Option<ConnectionSlot> {
            self.enter(address(last)).ok()
        }
    }
    /// Proves that the connection with the lowest priority is closed, in the order of [`KeepPriority`].
    #[test]
    fn the_connection_with_the_lowest_priority_is_closed() {
        type Step = fn(&Activity);
        let steps: [(Step, KeepPriority); 6] = [
            (|_| (), KeepPriority::Unproven),
            (
                |connection| {
                    connection.begin_request();
                    connection.stall();
                },
                KeepPriority::Stalled,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.begin_body();
                },
                KeepPriority::ReceivingFirst,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.end_request();
                },
                KeepPriority::Idle,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.end_request();
                    connection.begin_request();
                    connection.begin_body();
                },
                KeepPriority::Receiving,
            ),
            (Activity::begin_request, KeepPriority::Busy),
        ];
        let registry = registry(|options| options.max_connections = steps.len());
        let slots: Vec<ConnectionSlot> = steps.iter().rev().map(|_| registry.slot(1).unwrap()).collect();
        for (slot, (step, keep_priority)) in slots.iter().rev().zip(&steps) {
            step(&slot.activity);
            assert_eq!(slot.activity.keep_priority().0, *keep_priority);
        }
        let mut busy = Vec::new();
        for expected in (0..steps.len() - 1).rev() {
            let slot = registry.slot(2).unwrap();
            slot.activity.begin_request();
            busy.push(slot);
            let closed: Vec<bool> = slots.iter().map(|slot| slot.activity.is_closed()).collect();
            let due: Vec<bool> = (0..steps.len()).map(|index| index > expected).collect();
            assert_eq!(closed, due);
        }
        assert!(registry.slot(3).is_none(), "busy connections must not be closed for a new one");
    }

    /// Proves that a client with a few connections keeps them while another one opens many: if priorities are equal, the address
    /// with the most connections loses its oldest one.
    #[test]
    fn the_address_with_the_most_connections_loses_one() {
        let registry = registry(|options| options.max_connections = COMPARED);
        let mut honest = vec![registry.slot(1).unwrap()];
        let mut flood: Vec<ConnectionSlot> = (1..COMPARED).map(|_| registry.slot(2).unwrap()).collect();
        flood.extend((0..10 * COMPARED).map(|_| registry.slot(2).unwrap()));
        honest.push(registry.slot(1).unwrap());
        assert!(honest.iter().all(|slot| !slot.activity.is_closed()));
        let closed = flood.iter().take_while(|slot| slot.activity.is_closed()).count();
        assert_eq!(closed, 10 * COMPARED + 1, "the oldest connections must be closed");
    }

    /// Proves that a busy connection is never closed for another one, and that its slot is free again when it ends.
    #[test]
    fn a_busy_connection_is_not_closed() {
        let registry = registry(|options| options.max_connections = 2);
        let slots = [1, 2].map(|last| registry.slot(last).unwrap());
        for slot in &slots {
            slot.activity.begin_request();
        }
        assert_eq!(registry.enter(address(3)).err().map(|refused| refused.reason), Some(FOR_ALL));
        registry.make_room();
        assert!(slots.iter().all(|slot| !slot.activity.is_closed()));
        drop(slots);
        assert!(registry.slot(3).is_some());
    }

    /// Proves that connections count for their address until they end, including those that were closed for others.
    #[test]
    fn an_address_is_counted_until_its_connections_end() {
        let registry = registry(|options| {
            options.max_connections = 1;
            options.max_connections_per_address = 2;
        });
        let first = registry.slot(1).unwrap();
        let second = registry.slot(1).unwrap();
        assert!(first.activity.is_closed());
        assert_eq!(registry.enter(address(1)).err().map(|refused| refused.reason), Some(FOR_ADDRESS));
        drop(first);
        let third = registry.slot(1).unwrap();
        drop((second, third));
        assert!(registry.open().by_address.is_empty());
        assert_eq!(registry.open().running, 0);
    }

    /// Proves that the bodies of all connections together have a limit, and that a body counts until its request is answered.
    #[test]
    fn the_total_size_of_bodies_is_limited() {
        let registry = registry(|_| ());
        let (first, second) = (registry.slot(1).unwrap(), registry.slot(2).unwrap());
        assert!(first.hold_received(MAX_RECEIVED_BYTES));
        assert!(!second.hold_received(1), "a complete body must not be dropped for another one");
        second.release_received();
        first.release_received();
        assert!(second.hold_received(MAX_RECEIVED_BYTES));
        drop(second);
        assert!(first.hold_received(1), "the bytes of a connection that has ended must not count");
    }

    /// Proves that the connection with the most expensive body, by bytes and time, is closed for others, and that no more
    /// connections than necessary are closed.
    #[tokio::test(start_paused = true)]
    async fn the_connection_with_the_most_expensive_body_is_closed() {
        let registry = registry(|_| ());
        let slots: Vec<ConnectionSlot> = (1..=4).map(|last| registry.slot(last).unwrap()).collect();
        let [slow, small, quick, new] = slots.as_slice() else { panic!("there must be four slots") };
        for slot in [slow, small] {
            slot.activity.begin_body();
        }
        assert!(slow.hold_received(MAX_RECEIVED_BYTES / 2 - 1));
        assert!(small.hold_received(1));
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        quick.activity.begin_body();
        assert!(quick.hold_received(MAX_RECEIVED_BYTES / 2));
        new.activity.begin_body();
        assert!(new.hold_received(1_000));
        let closed: Vec<bool> = slots.iter().map(|slot| slot.activity.is_closed()).collect();
        assert_eq!(closed, [true, false, false, false]);
        assert!(
            !quick.hold_received(MAX_RECEIVED_BYTES),
            "the most_expensive expensive body must be refused itself"
        );
    }

    /// Proves that too many unsent bytes close the connection of a client that reads nothing, and no other one.
    #[test]
    fn the_connection_of_a_client_that_reads_nothing_is_closed_for_others() {
        let registry = registry(|_| ());
        let (stalled, reading) = (registry.slot(1).unwrap(), registry.slot(2).unwrap());
        reading.hold_unsent(1);
        stalled.hold_unsent(MAX_UNSENT_BYTES);
        assert!(!stalled.activity.is_closed(), "the client may still read the bytes");
        stalled.stall();
        assert!(stalled.activity.is_closed());
        assert!(!reading.activity.is_closed());
        reading.hold_unsent(MAX_UNSENT_BYTES - 1);
        let other = registry.slot(3).unwrap();
        other.stall();
        assert!(!other.activity.is_closed(), "the total is within the limit");
        reading.hold_unsent(1);
        assert!(other.activity.is_closed());
        assert!(!reading.activity.is_closed(), "the client reads its response");
    }
}
