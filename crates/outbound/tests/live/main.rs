//! The feed and the live streams, on an engine with two shards whose feeds can fail.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared functions fail a test in the same way as the test itself"
)]

mod boards;
mod feed;
mod orders;
mod restored;
mod streams;
mod tracking;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{
    Bucket, OrderId, RestaurantId,
    order::{Order, OrderStatus},
};
use dabba_outbound::{
    Filter, TypeSet,
    feed::Start,
    live::{FeedStream, Item, Live, LiveConfig, LiveEvent, Session},
};
use dabba_store::{
    FeedEnd, FeedPage, FeedPosition, ShardMap, ShardRange, ShardedStore, Store, StoreError, layer::StoreLayer,
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_testkit::{PATIENCE, TestAccount, TestServer, menu, settings};
use futures::FutureExt as _;
use tempfile::TempDir;

/// First bucket of the southern shard, which has the upper half of the buckets.
const SOUTH: u16 = Bucket::COUNT / 2;

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(200);

/// A store whose feeds fail while `is_down` is set, by shard.
pub(crate) struct Faults {
    inner: Arc<dyn Store>,
    pub(crate) is_down: [AtomicBool; 2],
    /// Number of reads of the feed.
    pub(crate) reads: AtomicUsize,
    /// What is wrong with reads of orders.
    pub(crate) orders: Mutex<OrderFault>,
    /// Number of reads of changed orders for boards.
    pub(crate) order_reads: AtomicUsize,
    /// Time that a read of open orders takes for each order, in milliseconds.
    pub(crate) time_per_order: AtomicU64,
}

impl Faults {
    fn check(&self, shard: usize) -> Result<(), StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.is_down[shard].load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        Ok(())
    }

    pub(crate) fn set_orders(&self, fault: OrderFault) {
        *self.orders.lock().unwrap() = fault;
    }

    /// Returns an error if a read of these orders fails, and otherwise whether it finds them.
    fn check_orders(&self, ids: &[OrderId]) -> Result<bool, StoreError> {
        match *self.orders.lock().unwrap() {
            OrderFault::Down => Err(unavailable()),
            OrderFault::Damaged(id) if ids.contains(&id) => {
                Err(StoreError::Corrupt("injected by the test".to_owned()))
            }
            OrderFault::Lost => Ok(false),
            OrderFault::Hanging(_) | OrderFault::None | OrderFault::Damaged(_) => Ok(true),
        }
    }

    fn hangs(&self, restaurant: RestaurantId) -> bool {
        matches!(*self.orders.lock().unwrap(), OrderFault::Hanging(id) if id == restaurant)
    }

    /// Returns the store without its faults.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("injected by the test".to_owned())
}

/// What is wrong with reads of orders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OrderFault {
    /// Nothing.
    None,
    /// The reads fail.
    Down,
    /// The orders do not exist.
    Lost,
    /// The open orders of this restaurant are not returned.
    Hanging(RestaurantId),
    /// This order cannot be decoded.
    Damaged(OrderId),
}

#[async_trait]
impl StoreLayer for Layer {
    fn inner(&self) -> &dyn Store {
        &*self.0.inner
    }

    async fn feed(&self, shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        self.0.check(shard)?;
        self.0.inner.feed(shard, after, limit).await
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        self.0.order_reads.fetch_add(1, Ordering::SeqCst);
        if self.0.check_orders(ids)? { self.0.inner.orders(ids).await } else { Ok(Vec::new()) }
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        if self.0.check_orders(&[id])? { self.0.inner.order(id).await } else { Ok(None) }
    }

    async fn open_orders(
        &self,
        restaurant_id: RestaurantId,
        statuses: &[OrderStatus],
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        if self.0.hangs(restaurant_id) {
            return pending().await;
        }
        self.0.check_orders(&[])?;
        let orders = self.0.inner.open_orders(restaurant_id, statuses, before, limit).await?;
        let time = self.0.time_per_order.load(Ordering::SeqCst) * orders.len() as u64;
        tokio::time::sleep(Duration::from_millis(time)).await;
        Ok(orders)
    }

    async fn feed_end(&self, shard: usize) -> Result<FeedEnd, StoreError> {
        self.0.check(shard)?;
        self.0.inner.feed_end(shard).await
    }
}

struct Layer(Arc<Faults>);

/// A server with two shards, `north` and `south`, each with a restaurant, and a feed of its own.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) faults: Arc<Faults>,
    pub(crate) live: Arc<Live>,
    /// A restaurant in the north and one in the south.
    pub(crate) restaurants: [RestaurantId; 2],
    _directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| -> Arc<dyn Store> {
            let path = directory.path().join(name);
            SqliteStore::migrate(&path).unwrap();
            Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap())
        };
        let range = |(name, buckets): (&str, String)| ShardRange {
            name: name.to_owned(),
            buckets: buckets.parse().unwrap(),
            split_from: None,
        };
        let ranges = [("north", format!("0-{}", SOUTH - 1)), ("south", format!("{SOUTH}-4095"))];
        let map = ShardMap::new(ranges.map(range).into()).unwrap();
        let router = ShardedStore::new(map, vec![open("north.db"), open("south.db")]).unwrap();
        let faults = Arc::new(Faults {
            inner: Arc::new(router),
            is_down: Default::default(),
            reads: AtomicUsize::new(0),
            orders: Mutex::new(OrderFault::None),
            order_reads: AtomicUsize::new(0),
            time_per_order: AtomicU64::new(0),
        });
        let store = Arc::clone(&faults);
        let store = move || {
            let store: Arc<dyn Store> = Arc::new(Layer(Arc::clone(&store)));
            std::future::ready(store).boxed()
        };
        let server = TestServer::builder().store(Arc::new(store)).start().await;
        let restaurants = restaurants(&server).await;
        let config = LiveConfig {
            heartbeat: HEARTBEAT,
            // Every stream of a test has the same credential.
            max_streams_per_credential: 10_000,
            ..LiveConfig::default()
        };
        let live = Live::new(server.engine(), config);
        live.start();
        Self { server, faults, live: Arc::new(live), restaurants, _directory: directory }
    }

    /// Places an order of a restaurant through the API. Returns its id.
    pub(crate) async fn place(&self, restaurant: RestaurantId, key: &str) -> String {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        let placed = self.server.post(&path, Some(&self.server.customer), &TestServer::collection());
        placed.key(key).send().await.text_at("/id")
    }

    pub(crate) async fn open(&self, start: Start, filter: Filter) -> FeedStream {
        self.live.feed_stream(self.session(&self.server.admin), start, filter).await.unwrap()
    }

    pub(crate) fn session(&self, account: &TestAccount) -> Session {
        let (principal, issued_at) = (account.principal(), self.server.now());
        Session { principal, issued_at, expires_at: None, credential: 1 }
    }
}

async fn restaurants(server: &TestServer) -> [RestaurantId; 2] {
    /// Each shard has half of the buckets, and the bucket of a restaurant is random.
    const MAX_ATTEMPTS: usize = 100;
    let mut found = [None, None];
    for _ in 0..MAX_ATTEMPTS {
        if let [Some(north), Some(south)] = found {
            return [north, south];
        }
        let settings = serde_json::from_value(settings("Dosa House")).unwrap();
        let menu = serde_json::from_value(menu()).unwrap();
        let admin = server.admin.principal();
        let made = server.engine().catalogue.create_restaurant(&admin, settings, menu).await.unwrap();
        let id = made.restaurant().id;
        found[usize::from(id.bucket().number() >= SOUTH)] = Some(id);
    }
    panic!("all restaurants are on one shard");
}

pub(crate) fn of_restaurant(id: RestaurantId) -> Filter {
    Filter { restaurant: Some(id), types: TypeSet::ALL }
}

/// Returns the name of an event: its order and its version.
pub(crate) fn name(event: &LiveEvent) -> String {
    format!("{}-{}", event.event.order_id, event.event.version)
}

/// Returns the next item that is no heartbeat.
pub(crate) async fn next(stream: &mut FeedStream) -> Item {
    first_item(async || stream.next().await).await
}

/// Returns the first item that is no heartbeat. `next` reads a stream.
pub(crate) async fn first_item(mut next: impl AsyncFnMut() -> Option<Item>) -> Item {
    let item = async {
        loop {
            match next().await.unwrap() {
                Item::Heartbeat { .. } => {}
                item => return item,
            }
        }
    };
    tokio::time::timeout(PATIENCE, item).await.unwrap()
}

/// Returns the next event, and the id after it.
pub(crate) async fn next_event(stream: &mut FeedStream) -> (Arc<LiveEvent>, String) {
    match next(stream).await {
        Item::Event { id, event } => (event, id),
        item => panic!("an event was expected, not {item:?}"),
    }
}
