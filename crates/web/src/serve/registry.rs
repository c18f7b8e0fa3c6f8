//! The open connections, their limits, and the choice of the connection to close for a new one.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    ServeOptions,
    activity::{Activity, KeepPriority},
    metrics::{ConnectionMetrics, FOR_ABANDONED, FOR_ADDRESS, FOR_ALL, FOR_RECEIVED, FOR_ROOM, FOR_UNSENT},
};
use crate::ClientAddress;

/// Maximum number of connections that are compared to choose the one to close.
const COMPARED: usize = 64;

/// Number of responses that the client of an HTTP/2 connection may abandon beyond those that it lets complete. A browser
/// abandons a page's requests when the person leaves the page; an attacker (CVE-2023-44487) abandons nearly all.
const MAX_ABANDONED: u64 = 128;

/// Minimum time between two searches for stalled connections that find too few. Without it, every response would search all
/// connections while clients read slowly.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// Reason why a connection gets no slot.
pub(super) struct Refused {
    pub(super) reason: &'static str,
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) options: ServeOptions,
    metrics: ConnectionMetrics,
    open: Mutex<Open>,
    /// Notified whenever a connection ends.
    ended: Notify,
    /// Whether the server stops.
    stopping: watch::Sender<bool>,
    received: AtomicUsize,
    unsent: AtomicUsize,
    born: Instant,
    /// Time before which stalled connections are not searched again, in milliseconds since `born`.
    next_search: AtomicU64,
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
            born: Instant::now(),
            next_search: AtomicU64::new(0),
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

    /// Stops counting these bytes, which are a part of those of a connection. If the connection was closed for others, they do
    /// not count already.
    fn release_part(of_connection: &AtomicUsize, total: &AtomicUsize, bytes: usize) {
        let mut released = 0;
        let _ = of_connection.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            released = held.min(bytes);
            Some(held - released)
        });
        if released > 0 {
            total.fetch_sub(released, Ordering::Relaxed);
        }
    }

    fn release_received(&self, activity: &Activity) {
        let bytes = activity.received.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.received.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Closes connections until the total of unsent bytes is within the limit: those whose clients have read nothing for the
    /// longest time, and at least for [`super::Timeouts::min_stall`]. Above the ceiling, also those whose responses have cost the
    /// most so far. The bytes of closed connections stop counting at once.
    fn make_room_for_responses(&self) {
        let mut open = self.open();
        loop {
            let unsent = self.unsent.load(Ordering::Relaxed);
            if unsent <= self.options.max_unsent_bytes {
                return;
            }
            let sending = open.connections.iter().filter_map(|it| Some((it.cost_of_responses()?, it)));
            let stalled = sending.clone().map(|(_, connection)| (connection.keep_priority(), connection));
            let longest = stalled
                .filter(|((keep_priority, _), _)| *keep_priority == KeepPriority::Stalled)
                .min_by_key(|((_, since), _)| *since)
                .map(|(_, connection)| connection);
            let most_expensive = || {
                let sending = (unsent > self.options.unsent_ceiling_bytes).then_some(sending);
                sending
                    .and_then(|sending| sending.max_by_key(|(cost, _)| *cost))
                    .map(|(_, connection)| connection)
            };
            let Some(chosen) = longest.or_else(most_expensive).map(Arc::clone) else {
                let next =
                    self.now().saturating_add(SEARCH_INTERVAL.as_millis().try_into().unwrap_or(u64::MAX));
                self.next_search.store(next, Ordering::Relaxed);
                return;
            };
            open.remove(&chosen);
            chosen.close();
            self.release_unsent(&chosen);
            self.metrics.count(FOR_UNSENT);
        }
    }

    /// Returns the milliseconds since the registry was created.
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
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

    /// Stops counting the bytes of the connection's bodies.
    pub(super) fn release_received(&self) {
        self.registry.release_received(&self.activity);
    }

    /// Stops counting the bytes of one of the connection's bodies.
    pub(super) fn release_received_part(&self, bytes: usize) {
        Registry::release_part(&self.activity.received, &self.registry.received, bytes);
    }

    /// Stops counting bytes of one of the connection's responses.
    pub(super) fn release_unsent_part(&self, bytes: usize) {
        Registry::release_part(&self.activity.unsent, &self.registry.unsent, bytes);
        if self.activity.unsent.load(Ordering::Relaxed) == 0 {
            self.activity.end_unsent();
        }
    }

    /// Records that the client has abandoned a response. Closes the connection if it abandons too many.
    pub(super) fn abandon(&self) {
        if self.activity.abandon(MAX_ABANDONED) && !self.activity.is_closed() {
            self.activity.close();
            self.registry.metrics.count(FOR_ABANDONED);
        }
    }

    /// Records that a handshake has failed.
    pub(super) fn fail_handshake(&self) {
        self.registry.metrics.failed_handshakes.inc();
    }

    /// Counts bytes of a response that the socket has not accepted yet. Above the limits, closes connections.
    pub(super) fn hold_unsent(&self, bytes: usize) {
        if bytes > 0 {
            self.activity.hold_unsent(bytes);
            self.registry.unsent.fetch_add(bytes, Ordering::Relaxed);
            self.check_unsent();
        }
    }

    fn check_unsent(&self) {
        let Registry { options, unsent, next_search, .. } = &*self.registry;
        let unsent = unsent.load(Ordering::Relaxed);
        let is_due = || {
            unsent > options.unsent_ceiling_bytes
                || self.registry.now() >= next_search.load(Ordering::Relaxed)
        };
        if unsent > options.max_unsent_bytes && is_due() {
            self.registry.make_room_for_responses();
        }
    }

    /// Records that the socket has accepted everything. On a multiplexed connection, responses may still wait for their
    /// client, so each of them counts its own bytes.
    pub(super) fn sent(&self) {
        if !self.activity.is_multiplexed() && self.activity.unsent.load(Ordering::Relaxed) > 0 {
            self.registry.release_unsent(&self.activity);
            self.activity.end_unsent();
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.release_received();
        self.registry.release_unsent(&self.activity);
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
mod tests;
