//! A feed, a lease and a broker in memory, and a publisher on them.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dabba_domain::{Bucket, OrderId, RestaurantId, Timestamp};
use dabba_engine::{EventSink, OutgoingEvent, SeededRandom, SinkError, SinkSession};
use dabba_outbound::broker::{
    BrokerConfig, BrokerFeed, BrokerFeedError, BrokerLease, BrokerMetrics, BrokerPage, BrokerPublisher,
    BrokerStart,
};
use dabba_store::Supervisor;

/// Number of events of each order.
pub(crate) const EVENTS_PER_ORDER: usize = 5;

/// Interval of the feed's polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A feed of invented events. A place is the feed's incarnation and the number of events before it.
pub(crate) struct MemoryFeed {
    orders: Vec<OrderId>,
    /// Number of committed events.
    committed: AtomicUsize,
    incarnation: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    /// Whether every place is void.
    pub(crate) is_void: AtomicBool,
    /// Whether a shard does not answer.
    pub(crate) is_incomplete: AtomicBool,
}

impl MemoryFeed {
    /// Returns a feed of these many orders, of which no event is committed yet.
    pub(crate) fn new(orders: usize) -> Arc<Self> {
        let id = |number: usize| {
            OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(number as u64), number as u64 * 4)
        };
        Arc::new(Self {
            orders: (0..orders).map(id).collect(),
            committed: AtomicUsize::new(0),
            incarnation: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            is_void: AtomicBool::new(false),
            is_incomplete: AtomicBool::new(false),
        })
    }

    /// Returns the number of events when all are committed.
    pub(crate) fn len(&self) -> usize {
        self.orders.len() * EVENTS_PER_ORDER
    }

    /// Commits events, up to this number in all.
    pub(crate) fn commit_up_to(&self, count: usize) {
        self.committed.store(count.min(self.len()), Ordering::SeqCst);
    }

    /// Restores the database: all earlier places are void.
    pub(crate) fn restore(&self) {
        self.incarnation.fetch_add(1, Ordering::SeqCst);
    }

    fn place(&self, number: usize) -> String {
        format!("{}-{number}", self.incarnation.load(Ordering::SeqCst))
    }

    fn event(&self, number: usize) -> OutgoingEvent {
        let order_id = self.orders[number % self.orders.len()];
        let id = format!("{order_id}-{}", number / self.orders.len() + 1);
        OutgoingEvent {
            order_id,
            restaurant_id: RestaurantId::generate(Timestamp::UNIX_EPOCH, order_id.bucket(), 7),
            content: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
            id,
            place: self.place(number + 1),
        }
    }

    /// Checks that ids contain every committed event from a number on, and that the first deliveries of each order ascend without a
    /// gap.
    pub(crate) fn assert_complete(&self, ids: &[String], from: usize) {
        let committed = self.committed.load(Ordering::SeqCst);
        let mut expected: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for number in from..committed {
            let event = self.event(number);
            let order = expected.entry(event.order_id.to_string()).or_default();
            order.push(number / self.orders.len() + 1);
        }
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for id in ids {
            let (order, version) = id.rsplit_once('-').unwrap();
            let (order, version) = (seen.entry(order.to_owned()).or_default(), version.parse().unwrap());
            if !order.contains(&version) {
                order.push(version);
            }
        }
        assert_eq!(seen, expected);
    }
}

#[async_trait]
impl BrokerFeed for MemoryFeed {
    async fn begin(&self, start: BrokerStart) -> Result<String, BrokerFeedError> {
        Ok(match start {
            BrokerStart::Start => self.place(0),
            BrokerStart::Now => self.place(self.committed.load(Ordering::SeqCst)),
        })
    }

    async fn read(&self, after: &str, limit: usize) -> Result<BrokerPage, BrokerFeedError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let unreadable = || BrokerFeedError::Unreadable(after.to_owned());
        let (incarnation, number) = after.split_once('-').ok_or_else(unreadable)?;
        let is_present = incarnation.parse() == Ok(self.incarnation.load(Ordering::SeqCst));
        if self.is_void.load(Ordering::SeqCst) || !is_present {
            return Err(BrokerFeedError::Void("the database was restored".to_owned()));
        }
        let number: usize = number.parse().map_err(|_| unreadable())?;
        let committed = self.committed.load(Ordering::SeqCst);
        let end = committed.min(number + limit);
        Ok(BrokerPage {
            events: (number..end).map(|number| self.event(number)).collect(),
            place: self.place(end),
            is_at_end: end == committed,
            is_incomplete: self.is_incomplete.load(Ordering::SeqCst),
        })
    }

    fn is_behind(&self, place: &str, other: &str) -> bool {
        let parts = |place: &str| -> (usize, usize) {
            let (incarnation, number) = place.split_once('-').unwrap();
            (incarnation.parse().unwrap(), number.parse().unwrap())
        };
        let ((incarnation, number), (other_incarnation, other_number)) = (parts(place), parts(other));
        incarnation == other_incarnation && number < other_number
    }

    async fn wait(&self) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A lease that the publishers of a test share.
#[derive(Default)]
pub(crate) struct MemoryLease {
    holder: Mutex<Option<usize>>,
    pub(crate) is_silent: AtomicBool,
}

impl MemoryLease {
    /// Takes the lease away from its holder.
    pub(crate) fn give_to(&self, holder: usize) {
        *self.holder.lock().unwrap() = Some(holder);
    }
}

/// The access of one publisher to the lease.
struct Access {
    lease: Arc<MemoryLease>,
    number: usize,
}

/// Returns the access of the only publisher.
pub(crate) fn always_held(lease: &Arc<MemoryLease>) -> Arc<dyn BrokerLease> {
    Arc::new(Access { lease: Arc::clone(lease), number: 1 })
}

#[async_trait]
impl BrokerLease for Access {
    async fn hold(&self) -> Result<bool, String> {
        if self.lease.is_silent.load(Ordering::SeqCst) {
            return Err("injected by the test".to_owned());
        }
        Ok(*self.lease.holder.lock().unwrap().get_or_insert(self.number) == self.number)
    }

    async fn release(&self) {
        let mut holder = self.lease.holder.lock().unwrap();
        if *holder == Some(self.number) {
            *holder = None;
        }
    }
}

/// A broker in memory.
#[derive(Default)]
pub(crate) struct MemoryBroker {
    /// The id of each stored event, and its place. The id of a mark is empty.
    pub(crate) stored: Mutex<Vec<(String, String)>>,
    /// Ids of all events that a consumer received: those that were stored at any time, in this order.
    pub(crate) delivered: Mutex<Vec<String>>,
    pub(crate) is_down: AtomicBool,
    /// Number of events after which the next publication fails; 0: none fails.
    pub(crate) fail_after: AtomicUsize,
    /// Number of marks that fail.
    pub(crate) failing_marks: AtomicUsize,
    pub(crate) connections: AtomicUsize,
}

impl MemoryBroker {
    /// Removes the last events, down to this number.
    pub(crate) fn truncate(&self, count: usize) {
        self.stored.lock().unwrap().truncate(count);
    }

    /// Stores events of a feed, as a publisher in another process does.
    pub(crate) fn publish_elsewhere(&self, feed: &MemoryFeed, numbers: Range<usize>) {
        for OutgoingEvent { id, place, .. } in numbers.map(|number| feed.event(number)) {
            self.delivered.lock().unwrap().push(id.clone());
            self.stored.lock().unwrap().push((id, place));
        }
    }

    pub(crate) fn delivered(&self) -> Vec<String> {
        self.delivered.lock().unwrap().clone()
    }

    fn check_up(&self) -> Result<(), SinkError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(SinkError::Unavailable("injected by the test".to_owned()));
        }
        Ok(())
    }
}

/// The access of publishers to the broker.
pub(crate) struct MemorySink(pub(crate) Arc<MemoryBroker>);

struct MemorySession {
    broker: Arc<MemoryBroker>,
    place: Option<String>,
    /// Number of events that this session knows.
    count: usize,
}

#[async_trait]
impl EventSink for MemorySink {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn connect(&self) -> Result<Box<dyn SinkSession>, SinkError> {
        self.0.connections.fetch_add(1, Ordering::SeqCst);
        self.0.check_up()?;
        let stored = self.0.stored.lock().unwrap();
        let place = stored.last().map(|(_, place)| place.clone());
        Ok(Box::new(MemorySession { broker: Arc::clone(&self.0), place, count: stored.len() }))
    }
}

impl MemorySession {
    fn store(&mut self, id: String, place: String) -> Result<(), SinkError> {
        self.broker.check_up()?;
        let mut stored = self.broker.stored.lock().unwrap();
        if stored.len() != self.count {
            return Err(SinkError::Conflict(format!("{} events instead of {}", stored.len(), self.count)));
        }
        if !id.is_empty() {
            self.broker.delivered.lock().unwrap().push(id.clone());
        }
        stored.push((id, place));
        self.count += 1;
        Ok(())
    }
}

#[async_trait]
impl SinkSession for MemorySession {
    fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    fn is_connected(&self) -> bool {
        !self.broker.is_down.load(Ordering::SeqCst)
    }

    async fn check(&mut self) -> Result<(), SinkError> {
        self.broker.check_up()?;
        let held = self.broker.stored.lock().unwrap().len();
        if held >= self.count { Ok(()) } else { Err(SinkError::Conflict(format!("{held} events remain"))) }
    }

    async fn mark(&mut self, place: &str) -> Result<(), SinkError> {
        let failing = &self.broker.failing_marks;
        if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(SinkError::Unavailable("injected by the test".to_owned()));
        }
        self.store(String::new(), place.to_owned())
    }

    async fn publish(&mut self, events: Vec<OutgoingEvent>) -> Result<(), SinkError> {
        for event in events {
            self.store(event.id, event.place)?;
            let left = self.broker.fail_after.load(Ordering::SeqCst);
            if left > 0 {
                self.broker.fail_after.store(left - 1, Ordering::SeqCst);
                if left == 1 {
                    return Err(SinkError::Unavailable("injected by the test".to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// A publisher that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) metrics: BrokerMetrics,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) publisher: Arc<BrokerPublisher>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a publisher. `number` is its name in the lease.
    pub(crate) fn start(
        number: usize,
        sink: Arc<dyn EventSink>,
        feed: &Arc<MemoryFeed>,
        lease: &Arc<MemoryLease>,
        start: BrokerStart,
    ) -> Self {
        let metrics = BrokerMetrics::default();
        let supervisor = Arc::new(Supervisor::new(Arc::new(|| 0)));
        let publisher = Arc::new(BrokerPublisher::new(
            sink,
            Arc::<MemoryFeed>::clone(feed),
            Arc::new(Access { lease: Arc::clone(lease), number }),
            Arc::new(SeededRandom::new(number as u64)),
            metrics.clone(),
            BrokerConfig { start, ..BrokerConfig::default() },
        ));
        let task = tokio::spawn({
            let (publisher, supervisor) = (Arc::clone(&publisher), Arc::clone(&supervisor));
            async move { publisher.run(&supervisor).await }
        });
        Self { metrics, supervisor, publisher, task }
    }

    /// Ends the publisher at whatever it does.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        self.publisher.release().await;
    }
}
