//! The open connections, their limits, and which one makes room for another.

use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry as Metrics,
};
use tokio::sync::Notify;

use super::{
    ServeOptions,
    activity::{Activity, Worth},
};
use crate::limit::ClientAddress;

/// Maximum number of connections that are compared when one has to be closed.
const COMPARED: usize = 64;

/// Why a connection was refused or closed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The reasons for which connections are refused or closed, as `/metrics` shows them.
const FOR_ADDRESS: &str = "too_many_of_address";
const FOR_ALL: &str = "too_many";
const FOR_ROOM: &str = "made_room";
const FOR_UNSENT: &str = "unsent_bytes";
const FOR_RECEIVED: &str = "received_bytes";

/// What a server measures about its connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    closed: Family<ReasonLabel, Counter>,
}

impl ConnectionMetrics {
    /// Measurements in this registry.
    pub fn new(registry: &mut Metrics) -> Self {
        let metrics = Self::default();
        registry.register("dabba_http_connections", "Open connections", metrics.open.clone());
        registry.register(
            "dabba_http_connections_closed",
            "Connections that were refused or closed to protect the others, by reason",
            metrics.closed.clone(),
        );
        for reason in [FOR_ADDRESS, FOR_ALL, FOR_ROOM, FOR_UNSENT, FOR_RECEIVED] {
            metrics.closed.get_or_create_owned(&ReasonLabel { reason });
        }
        metrics
    }

    fn count(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// A network, such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let ((own, own_width), (other, other_width)) = (bits(self.address), bits(address));
        let differ = own ^ other;
        own_width == other_width && (self.length == 0 || differ >> (128 - u32::from(self.length)) == 0)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a network: give an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8"
            )
        };
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let address = address.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(width), |length| length.trim().parse().map_err(|_| wrong()))?;
        if length > width { Err(wrong()) } else { Ok(Self { address, length }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

/// Why there is no place for a connection.
pub(super) struct Refused {
    pub(super) reason: &'static str,
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Registry {
    options: ServeOptions,
    metrics: ConnectionMetrics,
    open: Mutex<Open>,
    /// Told whenever a connection ends.
    ended: Notify,
    received: AtomicUsize,
    unsent: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    connections: Vec<Arc<Activity>>,
    /// Number of connections from each address. The connections of an address share its counter.
    by_address: HashMap<ClientAddress, Arc<AtomicUsize>>,
    /// Where the next comparison begins.
    next: usize,
    /// Connections whose task has not ended, among them those that were told to.
    running: usize,
}

impl Open {
    /// Returns the connection that is least worth keeping, of those that are compared now, unless it is busy. Of equal ones, the
    /// address with the most connections loses its oldest: a client with a few connections keeps them while others flood the server.
    fn least(&mut self) -> Option<Arc<Activity>> {
        let count = self.connections.len();
        let compared = (0..count.min(COMPARED)).map(|offset| (self.next + offset) % count);
        let key = |index: usize| {
            let connection = &self.connections[index];
            let (worth, since) = connection.worth();
            (worth, Reverse(connection.of_address.load(Ordering::Relaxed)), since, index)
        };
        let least = compared.map(key).filter(|(worth, ..)| *worth < Worth::Busy).min();
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
            received: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a place for a connection from this address. When there is none, a connection that does nothing makes room.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refused> {
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
        Ok(Place { registry: Arc::clone(self), counted, activity })
    }

    /// Closes the connection that is least worth keeping, unless all are busy.
    fn close_least(&self, open: &mut Open) -> bool {
        let Some(least) = open.least() else { return false };
        open.remove(&least);
        least.close();
        self.metrics.count(FOR_ROOM);
        true
    }

    /// Closes a connection that does nothing.
    pub(super) fn make_room(&self) {
        self.close_least(&mut self.open());
    }

    /// Closes connections that are receiving bodies, the most expensive first, until what is held is no more than allowed. The
    /// connection that asks is as good as any other. Returns false if that one was closed, or none is left.
    fn make_room_for_bodies(&self, asking: &Arc<Activity>) -> bool {
        let mut open = self.open();
        while self.received.load(Ordering::Relaxed) > self.options.max_received_bytes {
            let receiving = open
                .connections
                .iter()
                .filter_map(|connection| Some((connection.cost_of_body()?, connection)));
            let Some((_, most)) = receiving.max_by_key(|(cost, _)| *cost) else { return false };
            if Arc::ptr_eq(most, asking) {
                return false;
            }
            let most = Arc::clone(most);
            open.remove(&most);
            most.close();
            self.release_received(&most);
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

    /// Closes connections whose clients take nothing, those first that have done so for the longest time, until what is held is no more
    /// than allowed. Their bytes no longer count at once.
    fn make_room_for_responses(&self) {
        let mut open = self.open();
        while self.unsent.load(Ordering::Relaxed) > self.options.max_unsent_bytes {
            let stalled = open.connections.iter().map(|connection| (connection.worth(), connection));
            let longest = stalled
                .filter(|((worth, _), _)| *worth == Worth::Stalled)
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

    /// Has each connection end after its requests.
    pub(super) fn stop(&self) {
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

/// The place of an open connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    registry: Arc<Registry>,
    /// The address that the connection counts for.
    counted: Option<ClientAddress>,
    pub(super) activity: Arc<Activity>,
}

impl Place {
    /// Counts bytes of a request's body, until the request is answered. When there are too many, the connections make room whose
    /// bodies have cost the most so far; their bytes no longer count at once. Returns false if there is no room nevertheless.
    pub(super) fn hold_received(&self, bytes: usize) -> bool {
        self.activity.received.fetch_add(bytes, Ordering::Relaxed);
        let held = self.registry.received.fetch_add(bytes, Ordering::Relaxed);
        held + bytes <= self.registry.options.max_received_bytes
            || self.registry.make_room_for_bodies(&self.activity)
    }

    /// Counts the bytes of the request's body as gone.
    pub(super) fn release_received(&self) {
        self.registry.release_received(&self.activity);
    }

    /// Counts bytes of a response that the socket is to take. When there are too many, connections make room whose clients have taken
    /// nothing for the longest time.
    pub(super) fn hold_unsent(&self, bytes: usize) {
        self.activity.unsent.fetch_add(bytes, Ordering::Relaxed);
        self.registry.unsent.fetch_add(bytes, Ordering::Relaxed);
        self.check_unsent();
    }

    /// Notes that the socket takes nothing at the moment. A connection whose bytes fitted while it was written to may have to make
    /// room now.
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

    /// Counts everything that was written as taken by the socket.
    pub(super) fn sent(&self) {
        self.registry.release_unsent(&self.activity);
    }
}

impl Drop for Place {
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
        fn place(self: &Arc<Self>, last: u8) -> Option<Place> {
            self.enter(address(last)).ok()
        }
    }

    #[test]
    fn a_network_contains_the_addresses_of_its_prefix() {
        let cases = [
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::2", false),
        ];
        for (network, address, is_inside) in cases {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), is_inside, "{network} {address}");
            assert_eq!(parsed.to_string().parse::<Network>().unwrap(), parsed);
        }
        for wrong in
            ["", "proxy", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", "10.0.0.0/8/8"]
        {
            let error = wrong.parse::<Network>().unwrap_err();
            assert!(error.contains("10.0.0.0/8"), "{wrong:?}: {error}");
        }
    }

    /// Proves that the connection that is worth least makes room, and that the order is the one of [`Worth`].
    #[test]
    fn the_least_worth_makes_room() {
        type Step = fn(&Activity);
        let steps: [(Step, Worth); 6] = [
            (|_| (), Worth::Unproven),
            (
                |connection| {
                    connection.begin_request();
                    connection.stall();
                },
                Worth::Stalled,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.begin_body();
                },
                Worth::ReceivingFirst,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.end_request();
                },
                Worth::Idle,
            ),
            (
                |connection| {
                    connection.begin_request();
                    connection.end_request();
                    connection.begin_request();
                    connection.begin_body();
                },
                Worth::Receiving,
            ),
            (Activity::begin_request, Worth::Busy),
        ];
        let registry = registry(|options| options.max_connections = steps.len());
        let places: Vec<Place> = steps.iter().rev().map(|_| registry.place(1).unwrap()).collect();
        for (place, (step, worth)) in places.iter().rev().zip(&steps) {
            step(&place.activity);
            assert_eq!(place.activity.worth().0, *worth);
        }
        let mut busy = Vec::new();
        for expected in (0..steps.len() - 1).rev() {
            let place = registry.place(2).unwrap();
            place.activity.begin_request();
            busy.push(place);
            let closed: Vec<bool> = places.iter().map(|place| place.activity.is_closed()).collect();
            let due: Vec<bool> = (0..steps.len()).map(|index| index > expected).collect();
            assert_eq!(closed, due);
        }
        assert!(registry.place(3).is_none(), "what is left is busy");
    }

    /// Proves that a client with a few connections keeps them while another one opens many: of connections worth the same, the
    /// address with the most loses its oldest.
    #[test]
    fn the_address_with_the_most_makes_room() {
        let registry = registry(|options| options.max_connections = COMPARED);
        let mut honest = vec![registry.place(1).unwrap()];
        let mut flood: Vec<Place> = (1..COMPARED).map(|_| registry.place(2).unwrap()).collect();
        flood.extend((0..10 * COMPARED).map(|_| registry.place(2).unwrap()));
        honest.push(registry.place(1).unwrap());
        assert!(honest.iter().all(|place| !place.activity.is_closed()));
        let closed = flood.iter().take_while(|place| place.activity.is_closed()).count();
        assert_eq!(closed, 10 * COMPARED + 1, "the oldest are closed");
    }

    /// Proves that a connection whose request is being answered is never closed for another, and that its place is free again
    /// when it ends.
    #[test]
    fn what_is_busy_makes_no_room() {
        let registry = registry(|options| options.max_connections = 2);
        let places = [1, 2].map(|last| registry.place(last).unwrap());
        for place in &places {
            place.activity.begin_request();
        }
        assert_eq!(registry.enter(address(3)).err().map(|refused| refused.reason), Some(FOR_ALL));
        registry.make_room();
        assert!(places.iter().all(|place| !place.activity.is_closed()));
        drop(places);
        assert!(registry.place(3).is_some());
    }

    /// Proves that an address is counted until its connections end, also those that had to make room.
    #[test]
    fn an_address_is_counted_until_its_connections_end() {
        let registry = registry(|options| {
            options.max_connections = 1;
            options.max_connections_per_address = 2;
        });
        let first = registry.place(1).unwrap();
        let second = registry.place(1).unwrap();
        assert!(first.activity.is_closed());
        assert_eq!(registry.enter(address(1)).err().map(|refused| refused.reason), Some(FOR_ADDRESS));
        drop(first);
        let third = registry.place(1).unwrap();
        drop((second, third));
        assert!(registry.open().by_address.is_empty());
        assert_eq!(registry.open().running, 0);
    }

    /// Proves that bodies of requests are held up to the limit of all connections together, and count until the request is answered.
    #[test]
    fn bodies_are_held_up_to_a_limit() {
        let registry = registry(|_| ());
        let (first, second) = (registry.place(1).unwrap(), registry.place(2).unwrap());
        assert!(first.hold_received(MAX_RECEIVED_BYTES));
        assert!(!second.hold_received(1), "what is complete makes no room");
        second.release_received();
        first.release_received();
        assert!(second.hold_received(MAX_RECEIVED_BYTES));
        drop(second);
        assert!(first.hold_received(1), "a connection that ends holds nothing");
    }

    /// Proves that the most expensive body makes room for others, in bytes and time, and that no more are closed than necessary.
    #[tokio::test(start_paused = true)]
    async fn the_most_expensive_body_makes_room() {
        let registry = registry(|_| ());
        let places: Vec<Place> = (1..=4).map(|last| registry.place(last).unwrap()).collect();
        let [slow, small, quick, new] = places.as_slice() else { panic!("four places") };
        for place in [slow, small] {
            place.activity.begin_body();
        }
        assert!(slow.hold_received(MAX_RECEIVED_BYTES / 2 - 1));
        assert!(small.hold_received(1));
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        quick.activity.begin_body();
        assert!(quick.hold_received(MAX_RECEIVED_BYTES / 2));
        new.activity.begin_body();
        assert!(new.hold_received(1_000));
        let closed: Vec<bool> = places.iter().map(|place| place.activity.is_closed()).collect();
        assert_eq!(closed, [true, false, false, false]);
        assert!(!quick.hold_received(MAX_RECEIVED_BYTES), "the most expensive one gives way itself");
    }

    /// Proves that too many unsent bytes close a client that takes nothing, and no other one.
    #[test]
    fn a_client_that_takes_nothing_makes_room_for_responses() {
        let registry = registry(|_| ());
        let (stalled, taking) = (registry.place(1).unwrap(), registry.place(2).unwrap());
        taking.hold_unsent(1);
        stalled.hold_unsent(MAX_UNSENT_BYTES);
        assert!(!stalled.activity.is_closed(), "it may take them");
        stalled.stall();
        assert!(stalled.activity.is_closed());
        assert!(!taking.activity.is_closed());
        taking.hold_unsent(MAX_UNSENT_BYTES - 1);
        let other = registry.place(3).unwrap();
        other.stall();
        assert!(!other.activity.is_closed(), "what is held is no more than allowed");
        taking.hold_unsent(1);
        assert!(other.activity.is_closed());
        assert!(!taking.activity.is_closed(), "it takes what it asked for");
    }
}
