//! A store, a clock in virtual time, endpoints, and senders.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    Actor, Bucket, OrderId, RestaurantId, Timestamp, WebhookEndpointId,
    order::{Command, Order},
};
use dabba_engine::{Clock, SeededRandom, replay_start, sealing::SecretKeys};
use dabba_outbound::webhooks::{
    OrderRenderer, WebhookPorts, WebhookSender, secret_place, signature::WebhookSecret,
};
use dabba_store::{
    FeedCursor, FeedEnd, FeedPosition, PageSize, SealedSecret, ShardMap, ShardRange, ShardedStore, Store,
    Supervisor, UnderKey, WebhookContentType, WebhookCreation, WebhookEndpoint, WebhookFailure,
    WebhookHealth, WebhookOwner, WebhookPayload, WebhookSettings, WebhookState, WebhookUpdate,
    WebhookUpdated,
    conformance::builders::{World, order_of, staff},
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use jiff::SignedDuration;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval},
};

use crate::{
    probe::{Probe, Still},
    script::{Endpoints, Script, check},
};

/// A clock that follows the virtual time, and can be advanced.
pub(crate) struct VirtualClock {
    start: Timestamp,
    began: Instant,
    ahead: Mutex<SignedDuration>,
    /// The task of the sender, while the next call of any other task panics: that of a request that is being built.
    panics_outside: Mutex<Option<tokio::task::Id>>,
}

impl VirtualClock {
    pub(crate) fn advance(&self, by: SignedDuration) {
        *self.ahead.lock().unwrap() += by;
    }

    /// Lets the next request of a sender panic while it is built.
    pub(crate) fn panic_in_request(&self, sender: &JoinHandle<()>) {
        *self.panics_outside.lock().unwrap() = Some(sender.id());
    }

    /// Returns whether the request has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panics_outside.lock().unwrap().is_none()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        if let Some(task) = tokio::task::try_id() {
            let panicking = self.panics_outside.lock().unwrap().take_if(|spared| *spared != task);
            // The lock is not held during the panic.
            assert_eq!(panicking, None, "a planted panic");
        }
        self.start + self.began.elapsed() + *self.ahead.lock().unwrap()
    }
}

/// Represents orders by their version, status and viewer, except for those that a test marks.
#[derive(Default)]
pub(crate) struct Renderer {
    /// Orders that cannot be represented.
    pub(crate) failing: Mutex<BTreeSet<OrderId>>,
    /// Order whose representation panics.
    pub(crate) panicking: Mutex<Option<OrderId>>,
    /// Number of bytes by which each order is larger.
    pub(crate) padding: AtomicUsize,
}

#[async_trait]
impl OrderRenderer for Renderer {
    async fn render(&self, order: &Order, viewer: &Actor) -> Result<Box<RawValue>, String> {
        // The lock is not held during the panic.
        let panicking = *self.panicking.lock().unwrap();
        assert_ne!(panicking, Some(order.id), "a planted panic");
        if self.failing.lock().unwrap().contains(&order.id) {
            return Err("a planted fault".to_owned());
        }
        let Order { id, version, status, .. } = order;
        let padding = "x".repeat(self.padding.load(Ordering::Relaxed));
        let represented =
            json!({"id": id, "version": version, "status": status, "viewer": viewer, "padding": padding});
        Ok(to_raw_value(&represented).unwrap())
    }
}

/// Name of the file of an embedded store.
const DATABASE: &str = "dabba.db";

/// Returns a new embedded store, with its directory.
fn embedded() -> (tempfile::TempDir, Arc<dyn Store>) {
    let directory = tempfile::tempdir().unwrap();
    SqliteStore::migrate(&directory.path().join(DATABASE)).unwrap();
    let store = open(&directory);
    (directory, store)
}

fn open(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&directory.path().join(DATABASE), &SqliteOptions::default()).unwrap())
}

/// Returns a store of two shards: `north` with the lower half of the buckets, and `south`.
pub(crate) fn two_shards(north: Arc<dyn Store>, south: Arc<dyn Store>) -> Arc<dyn Store> {
    let shard = |name: &str, buckets: &str| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
        split_from: None,
    };
    let map = ShardMap::new(vec![shard("north", "0-2047"), shard("south", "2048-4095")]).unwrap();
    Arc::new(ShardedStore::new(map, vec![north, south]).unwrap())
}

/// Everything that a test needs.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) restaurant: RestaurantId,
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) probe: Arc<Probe>,
    pub(crate) renderer: Arc<Renderer>,
    /// The supervisor of the latest sender.
    pub(crate) supervisor: Arc<Supervisor>,
    keys: Arc<SecretKeys>,
    senders: u64,
    directories: Vec<tempfile::TempDir>,
}

impl Bench {
    pub(crate) fn new(seed: u64) -> Self {
        let (directory, store) = embedded();
        Self { directories: vec![directory], ..Self::on(store, seed) }
    }

    /// Returns a bench on two shards: `north` with the lower half of the buckets, and `south`.
    pub(crate) fn with_two_shards(seed: u64) -> Self {
        let ((north_directory, north), (south_directory, south)) = (embedded(), embedded());
        let store = two_shards(north, south);
        Self { directories: vec![north_directory, south_directory], ..Self::on(store, seed) }
    }

    /// Returns a bench on a store.
    pub(crate) fn on(store: Arc<dyn Store>, seed: u64) -> Self {
        let probe = Arc::<Probe>::default();
        let mut world = World::new(seed);
        let restaurant = world.restaurant_id();
        let clock = VirtualClock {
            start: world.now(),
            began: Instant::now(),
            ahead: Mutex::default(),
            panics_outside: Mutex::default(),
        };
        Self {
            world,
            store: Arc::new(Still(store, Arc::clone(&probe))),
            probe,
            clock: Arc::new(clock),
            endpoints: Arc::default(),
            restaurant,
            orders: BTreeMap::new(),
            renderer: Arc::default(),
            supervisor: Arc::new(Supervisor::new(Arc::new(|| 7))),
            keys: Arc::new(SecretKeys::parse(&"ab".repeat(32)).unwrap()),
            senders: 0,
            directories: Vec::new(),
        }
    }

    /// Returns a standby with the content that the embedded store has now. A standby has the incarnation of its primary,
    /// unlike a backup.
    pub(crate) fn standby(&mut self) -> Arc<dyn Store> {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join(DATABASE);
        let primary = rusqlite::Connection::open(self.directories[0].path().join(DATABASE)).unwrap();
        primary.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        let standby = open(&directory);
        // To open an embedded database ends its leases; a standby that takes over has them.
        let lease = "SELECT group_name, until_ns FROM feed_leases";
        let lease = primary.query_row(lease, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (group, until): (String, i64) = lease.unwrap();
        let promoted = rusqlite::Connection::open(copy).unwrap();
        promoted
            .execute(
                "UPDATE feed_leases SET until_ns = ?2 WHERE group_name = ?1",
                rusqlite::params![group, until],
            )
            .unwrap();
        self.directories.push(directory);
        standby
    }

    /// Returns how often a method of the store was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.probe.calls.lock().unwrap().get(method).copied().unwrap_or_default()
    }

    pub(crate) fn sender(&mut self) -> Arc<WebhookSender> {
        self.senders += 1;
        let random = Arc::new(SeededRandom::new(self.senders));
        self.supervisor = Arc::new(Supervisor::new(Arc::new(|| 7)));
        WebhookSender::new(WebhookPorts {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random,
            egress: Arc::clone(&self.endpoints) as Arc<_>,
            keys: Arc::clone(&self.keys),
            orders: Arc::clone(&self.renderer) as Arc<_>,
            supervisor: Arc::clone(&self.supervisor),
            poll_interval: dabba_outbound::webhooks::limits::POLL_INTERVAL,
        })
    }

    /// Starts a sender. Aborting the handle is a crash.
    pub(crate) fn start(&mut self) -> JoinHandle<()> {
        tokio::spawn(self.sender().run(std::future::pending()))
    }

    pub(crate) fn seal(&self, id: WebhookEndpointId, secret: &WebhookSecret) -> Box<[u8]> {
        let (row, random) = (id.to_string(), SeededRandom::new(9));
        self.keys.seal(secret_place(&row), secret.as_bytes(), &random).unwrap().into()
    }

    /// Creates an endpoint that receives all events from now on.
    pub(crate) async fn endpoint(
        &mut self,
        url: &str,
        script: Script,
        change: impl FnOnce(&mut WebhookEndpoint),
    ) -> WebhookEndpointId {
        self.endpoints.script(url, script);
        let (at, random) = (self.clock.now(), self.world.random());
        let id = WebhookEndpointId::generate(at, Bucket::from_random(random), random);
        let ends: Vec<_> = self.ends().await.into_iter().map(Some).collect();
        let start = FeedCursor::at_end(&self.store.feed_sources(), &ends).unwrap().to_string();
        let sealed = self.seal(id, &WebhookSecret::generate(&SeededRandom::new(1)));
        let settings = WebhookSettings {
            url: url.to_owned(),
            types: Vec::new(),
            payload: WebhookPayload::Event,
            content_type: WebhookContentType::Json,
            concurrency: 8,
            batch: 1,
            state: WebhookState::Enabled,
            enabled_at: at,
            requested_attempts: 0,
            secrets: vec![SealedSecret { sealed, until: None }],
            start,
        };
        let mut endpoint = WebhookEndpoint {
            id,
            owner: WebhookOwner::Platform,
            settings,
            created_at: at,
            created_by: self.world.account_id(),
            deleted_at: None,
            version: 1,
            revision: 0,
            positioned: 0,
            health: WebhookHealth::default(),
        };
        change(&mut endpoint);
        let created = self.store.create_webhook_endpoint_under(&endpoint, 100_000, None, None).await;
        assert_eq!(created, Ok(UnderKey::Ended(WebhookCreation::Created)));
        id
    }

    /// Changes an endpoint, as a request would.
    pub(crate) async fn change(
        &self,
        id: WebhookEndpointId,
        repositions: bool,
        change: impl FnOnce(&mut WebhookEndpoint),
    ) {
        let mut endpoint = self.store.webhook_endpoint(id).await.unwrap().unwrap();
        let expected = endpoint.version;
        change(&mut endpoint);
        let update = WebhookUpdate { endpoint, expected, repositions, by: None, at: self.clock.now() };
        let updated = self.store.update_webhook_endpoint_under(&update, None).await.unwrap();
        assert!(matches!(updated, UnderKey::Ended(WebhookUpdated::Done(_))), "{updated:?}");
    }

    /// Returns the ends of the feeds of all shards.
    pub(crate) async fn ends(&self) -> Vec<FeedEnd> {
        let mut ends = Vec::new();
        for shard in 0..self.store.shard_count() {
            ends.push(self.store.feed_end(shard).await.unwrap());
        }
        ends
    }

    /// Replays an endpoint from the present end of the feed, as a request would.
    pub(crate) async fn replay_from_end(&self, id: WebhookEndpointId) {
        let ends = self.ends().await;
        let answers: Vec<_> = ends.iter().copied().map(Some).collect();
        let end = FeedCursor::at_end(&self.store.feed_sources(), &answers).unwrap();
        self.replay(id, end).await;
    }

    /// Replays an endpoint from a cursor, as a request would. Returns the position in each shard at which the replay begins.
    pub(crate) async fn replay(&self, id: WebhookEndpointId, after: FeedCursor) -> Vec<FeedPosition> {
        let ends = self.ends().await;
        let endpoint = self.store.webhook_endpoint(id).await.unwrap().unwrap();
        let mut start = replay_start(&*self.store, &endpoint, after, &ends).await.unwrap();
        let text = start.to_string();
        self.change(id, true, |endpoint| endpoint.settings.start = text).await;
        let answers: Vec<_> = ends.into_iter().map(Some).collect();
        start.resolve(&self.store.feed_sources(), &answers).unwrap().into_iter().flatten().collect()
    }

    /// Places an order: two events.
    pub(crate) async fn place(&mut self) -> OrderId {
        self.place_at(self.restaurant).await
    }

    pub(crate) async fn place_at(&mut self, restaurant: RestaurantId) -> OrderId {
        let account = self.world.account_id();
        let commit = self.world.place(restaurant, account);
        let order = order_of(&commit);
        self.store.commit(vec![commit]).await.unwrap();
        let id = order.id;
        self.orders.insert(id, order);
        id
    }

    /// Places an order of another restaurant of a shard.
    pub(crate) async fn place_in(&mut self, shard: usize) -> OrderId {
        let restaurant = self.restaurant_in(shard);
        self.place_at(restaurant).await
    }

    /// Returns another restaurant of a shard.
    pub(crate) fn restaurant_in(&mut self, shard: usize) -> RestaurantId {
        loop {
            let restaurant = self.world.restaurant_id();
            if self.store.shard_of(restaurant.bucket()) == shard {
                return restaurant;
            }
        }
    }

    /// Adds an event to an order.
    pub(crate) async fn act(&mut self, id: OrderId) {
        let order = self.orders[&id].clone();
        let (command, actor) = if order.version == 2 {
            (Command::Accept { preparation_minutes: 20 }, staff(&order))
        } else {
            let account_id = self.world.account_id();
            (Command::assign(account_id), Actor::Admin { account_id })
        };
        let commit = self.world.act(&order, &command, &actor);
        self.orders.insert(id, order_of(&commit));
        self.store.commit(vec![commit]).await.unwrap();
    }

    /// Returns all versions of all orders.
    pub(crate) fn expected(&self) -> BTreeMap<String, Vec<u32>> {
        self.orders.iter().map(|(id, order)| (id.to_string(), (1..=order.version).collect())).collect()
    }

    /// Returns whether an endpoint has accepted everything, in order.
    pub(crate) fn check(&self, url: &str) -> Result<(), String> {
        check(&self.endpoints.accepted(url), &self.expected())
    }

    /// Waits, in virtual time, until a condition holds.
    pub(crate) async fn until(&self, limit: Duration, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(50));
        while !condition() {
            assert!(began.elapsed() < limit, "{what} did not happen within {limit:?}");
            ticks.tick().await;
        }
    }

    /// Waits until an endpoint has accepted everything, in order.
    pub(crate) async fn until_complete(&self, url: &str, limit: Duration) {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(50));
        while let Err(missing) = self.check(url) {
            assert!(began.elapsed() < limit, "{url}: {missing} after {limit:?}");
            ticks.tick().await;
        }
    }

    /// Lets virtual time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) async fn failures(&self, id: WebhookEndpointId) -> Vec<WebhookFailure> {
        self.store.webhook_failures(id, false, None, PageSize::DEFAULT).await.unwrap().failures
    }
}
