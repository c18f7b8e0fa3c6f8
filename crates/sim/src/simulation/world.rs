//! Restaurants, users, servers and the clock of a simulation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dabba_domain::{
    AccountId, Bucket, OrderId, RestaurantId, Role, Timestamp, WebhookEndpointId, menu::MenuDocument,
    order::Version, restaurant::SettingsDocument, text::Slug,
};
use dabba_engine::{Clock, Error, Principal, Random, SeededRandom, WebhookRequest, sealing::SecretKeys};
use dabba_gateways::simulated::{Provider, provider::Delays, wire::Notification};
use dabba_store::{
    Account, AccountCreation, BucketRange, IdempotencyKey, ShardMap, ShardRange, ShardedStore, Store,
    WebhookContentType, WebhookPayload,
};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::json;
use tokio::time::Instant;

use super::{
    SHARDS, SimulationOptions,
    chaos::Chaos,
    problem::Problem,
    server::{Server, Site},
    store::InstantStore,
};

/// Start time of every simulation: a Monday at noon.
pub(super) const START: Timestamp = Timestamp::constant(1_780_315_200, 0); // 1 June 2026, 12:00 UTC.
/// Number of servers on the same stores.
pub(super) const SERVERS: usize = 2;
/// Minimum number of restaurants. There are more if a shard has none of these.
const RESTAURANTS: usize = 3;
/// Maximum number of restaurants.
const MAX_RESTAURANTS: usize = 30;
const CUSTOMERS: usize = 5;
const COURIERS: usize = 3;
/// Maximum number of events in a delivery to the webhook endpoint with batches.
pub(super) const MAX_BATCH: u32 = 10;
/// The key of the secrets of webhook endpoints.
const SECRET_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Minimum of the initial stock of the limited item.
const MIN_STOCK: u32 = 8;
/// The item with limited stock, at every restaurant.
pub(super) const LIMITED: &str = "thali";

/// The true time, which Tokio's paused clock drives.
pub(super) struct WorldClock(Instant);

impl WorldClock {
    /// Returns the virtual time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        START.saturating_add(self.elapsed()).unwrap_or(START)
    }
}

/// A restaurant with its staff.
pub(super) struct Place {
    pub(super) id: RestaurantId,
    pub(super) staff: Principal,
}

/// A webhook endpoint.
pub(super) struct Hook {
    pub(super) id: WebhookEndpointId,
    pub(super) url: String,
    /// The restaurant whose events the endpoint receives; `None` for all restaurants.
    pub(super) owner: Option<RestaurantId>,
    /// Short names of the types that the endpoint receives; empty for all types.
    pub(super) types: Vec<&'static str>,
}

impl Hook {
    /// Returns the name of the endpoint in problems.
    pub(super) fn name(&self) -> String {
        format!("the webhook endpoint {}", self.url)
    }
}

/// The simulated world. See the module documentation. All actions share it.
pub(super) struct World {
    pub(super) site: Arc<Site>,
    pub(super) chaos: Arc<Chaos>,
    /// All shards, without faults.
    pub(super) store: Arc<dyn Store>,
    servers: Mutex<Vec<Arc<Server>>>,
    started_servers: AtomicU64,
    pub(super) admin: Principal,
    pub(super) places: Vec<Place>,
    pub(super) customers: Vec<Principal>,
    pub(super) couriers: Vec<Principal>,
    /// The webhook endpoints. Each receives all matching events, because all orders are placed later.
    pub(super) hooks: Vec<Hook>,
    /// Initial stock of the limited item.
    pub(super) stock: u32,
    state: Mutex<State>,
}

/// What the users know and do.
#[derive(Default)]
pub(super) struct State {
    /// The placed orders by idempotency key.
    pub(super) placed: BTreeMap<String, OrderId>,
    /// The orders that may be open.
    pub(super) open: Vec<OrderId>,
    /// The orders that have ended.
    pub(super) ended: Vec<OrderId>,
    /// The highest version of each order that a response contained.
    pub(super) acknowledged: BTreeMap<OrderId, Version>,
    /// Attempts to place an order that were refused after an attempt whose outcome is unknown.
    pub(super) refused: Vec<(Principal, RestaurantId, IdempotencyKey)>,
    /// Number of begun and of finished changes of availability by the staff of each restaurant.
    pub(super) availability_changes: HashMap<RestaurantId, (u64, u64)>,
    /// Number of orders that ended because of unavailable items that a user named.
    pub(super) ends_for_items: u64,
    /// Cursors of the feed at earlier moments, at which replays of webhook endpoints may begin.
    pub(super) cursors: Vec<String>,
    /// Problems found during the run.
    pub(super) problems: Vec<Problem>,
}

impl World {
    /// Creates a world on empty stores, one for each shard.
    pub(super) async fn new(
        stores: Vec<Arc<dyn Store>>,
        options: &SimulationOptions,
    ) -> Result<Arc<Self>, String> {
        let seed = options.seed;
        let chaos = Arc::new(Chaos::new(seed ^ 0x00c0_ffee, options.plant));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed ^ 0x5eed));
        let delays = Delays { answer: Duration::ZERO, ..Delays::default() };
        let instant = |store| Arc::new(InstantStore(store)) as Arc<dyn Store>;
        let shards: Vec<_> = stores.into_iter().map(instant).collect();
        let map = map()?;
        let store = ShardedStore::new(map.clone(), shards.clone()).map_err(|error| error.to_string())?;
        let reports: Arc<Mutex<Vec<Notification>>> = Arc::default();
        let keys = SecretKeys::parse(SECRET_KEY).map_err(|error| error.to_string())?;
        let lost_events = shards.iter().map(|_| Arc::default()).collect();
        let site = Site {
            seed,
            map,
            shards,
            chaos: Arc::clone(&chaos),
            clock: Arc::new(WorldClock(Instant::now())),
            provider: Arc::new(Provider::with_delays(random, delays)),
            reports,
            receivers: Arc::default(),
            keys: Arc::new(keys),
            lost_events,
        };
        let stock = (options.orders * chaos.rates.stock / 1_000).max(MIN_STOCK);
        let mut world = Self {
            site: Arc::new(site),
            chaos,
            store: Arc::new(store),
            servers: Mutex::default(),
            started_servers: AtomicU64::new(0),
            admin: Principal::new(account_id(seed, 0), Role::Admin),
            places: Vec::new(),
            customers: Vec::new(),
            couriers: Vec::new(),
            hooks: Vec::new(),
            stock,
            state: Mutex::default(),
        };
        for _ in 0..SERVERS {
            let server = world.start_server(0).await?;
            world.lock_servers().push(server);
        }
        world.populate().await.map_err(|error| format!("the simulation could not start: {error}"))?;
        Ok(Arc::new(world))
    }

    /// Starts a server on a machine whose clock is ahead by this number of milliseconds.
    async fn start_server(&self, skew: i64) -> Result<Arc<Server>, String> {
        let number = 1 + self.started_servers.fetch_add(1, Ordering::Relaxed);
        Server::start(&self.site, number, skew).await.map_err(|error| error.to_string())
    }

    /// Starts a server in place of the one with this index.
    pub(super) async fn replace_server(&self, place: usize, skew: i64) {
        match self.start_server(skew).await {
            Ok(server) => {
                if let Some(before) = self.lock_servers().get_mut(place) {
                    *before = server;
                }
            }
            Err(error) => self.report_problem(format!("a server could not start: {error}")),
        }
    }

    fn lock_servers(&self) -> MutexGuard<'_, Vec<Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the servers, by index.
    pub(super) fn servers(&self) -> Vec<Arc<Server>> {
        self.lock_servers().clone()
    }

    /// Returns what the users know and do.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a problem.
    pub(super) fn report_problem(&self, problem: impl Into<Problem>) {
        self.state().problems.push(problem.into());
    }

    /// Returns the true time.
    pub(super) fn now(&self) -> Timestamp {
        self.site.clock.now()
    }

    /// Creates restaurants until every shard has one, accounts, and webhook endpoints.
    async fn populate(&mut self) -> Result<(), Error> {
        let engine = Arc::clone(&self.servers()[0].engine);
        let mut has_restaurant = [false; SHARDS];
        for number in 0..MAX_RESTAURANTS {
            if number >= RESTAURANTS && has_restaurant == [true; SHARDS] {
                break;
            }
            let entry = engine.catalogue.create_restaurant(&self.admin, settings(number), menu(1)).await?;
            let id = entry.restaurant().id;
            has_restaurant[self.store.shard_of(id.bucket())] = true;
            let staff = self.user(Role::Restaurant).await?;
            engine.accounts.add_member(&self.admin, id, staff.account_id).await?;
            let item = Slug::new(LIMITED).map_err(|error| Error::Internal(error.to_string()))?;
            engine.catalogue.set_stock(&staff, id, &item, Some(self.stock), None).await?;
            self.places.push(Place { id, staff });
        }
        for _ in 0..CUSTOMERS {
            let customer = self.user(Role::Customer).await?;
            self.customers.push(customer);
        }
        for _ in 0..COURIERS {
            let courier = self.user(Role::Courier).await?;
            self.couriers.push(courier);
        }
        let restaurants: Vec<_> = self.places.iter().map(|place| place.id).collect();
        let [first, .., last] = restaurants[..] else { return Ok(()) };
        self.create_hook(None, &[], 1).await?;
        self.create_hook(None, &["accepted", "courier_assigned", "delivered", "cancelled"], 1).await?;
        self.create_hook(None, &[], MAX_BATCH).await?;
        self.create_hook(Some(first), &[], 1).await?;
        self.create_hook(Some(last), &["placed", "marked_ready", "picked_up"], 2).await
    }

    /// Creates a webhook endpoint with a receiver of its own.
    async fn create_hook(
        &mut self,
        owner: Option<RestaurantId>,
        types: &[&'static str],
        batch: u32,
    ) -> Result<(), Error> {
        let webhooks = Arc::clone(&self.servers()[0].webhooks);
        let url = format!("https://receiver-{}.example/", self.hooks.len() + 1);
        let request = WebhookRequest {
            restaurant_id: owner,
            url: url.clone(),
            types: (!types.is_empty()).then(|| types.iter().map(|name| (*name).to_owned()).collect()),
            payload: WebhookPayload::Event,
            content_type: WebhookContentType::Json,
            concurrency: 8,
            batch,
        };
        let endpoint = webhooks.create(&self.admin, request, None).await?.endpoint;
        self.hooks.push(Hook { id: endpoint.id, url, owner, types: types.to_vec() });
        Ok(())
    }

    async fn user(&mut self, role: Role) -> Result<Principal, Error> {
        let number = 1 + self.customers.len() + 10 * self.couriers.len() + 100 * self.places.len();
        let id = account_id(self.site.seed, number as u64);
        let account = Account {
            id,
            holder: dabba_engine::AccountHolder::Person,
            email: format!("{number}@dabba.example"),
            name: dabba_domain::text::Name::new("Someone")
                .map_err(|error| Error::Internal(error.to_string()))?,
            role,
            password_hash: "nobody knows it".to_owned(),
            created_at: START,
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        };
        match self.store.create_account(&account).await? {
            AccountCreation::Created => Ok(Principal::new(id, role)),
            AccountCreation::EmailTaken | AccountCreation::CallerRevoked => {
                Err(Error::Internal("the store is not empty".into()))
            }
        }
    }
}

/// Returns a random number below a bound.
pub(super) fn below(random: &mut StdRng, bound: usize) -> usize {
    random.random_range(0..bound.max(1))
}

/// Returns the map of shards of equal size.
fn map() -> Result<ShardMap, String> {
    let mut rest = BucketRange::WHOLE;
    let mut shards = Vec::new();
    for shard in 1..=SHARDS {
        let next = usize::from(Bucket::COUNT) * shard / SHARDS;
        let next = u16::try_from(next).ok().and_then(Bucket::new);
        let (buckets, above) = match next.and_then(|next| rest.split_at(next)) {
            Some((buckets, above)) => (buckets, above),
            None => (rest, rest),
        };
        rest = above;
        shards.push(ShardRange { name: format!("shard-{shard}"), buckets, split_from: None });
    }
    ShardMap::new(shards).map_err(|error| error.to_string())
}

fn account_id(seed: u64, number: u64) -> AccountId {
    AccountId::generate(START, Bucket::from_random(0), seed.rotate_left(32) ^ (number << 8))
}

fn settings(number: usize) -> SettingsDocument {
    let deadline = [480, 60, 3_600][number % 3];
    let document = json!({
        "name": format!("Kitchen {number}"), "currency": "GBP", "time_zone": "Europe/London",
        "tax_rate_basis_points": 1_250 * (number % 3), "delivery": {"fee": 249, "free_from": 5_000},
        "acceptance_deadline_seconds": deadline, "refund_limit": 1_500,
    });
    serde_json::from_value(document).unwrap_or_else(|error| unreachable!("settings: {error}"))
}

/// Returns a menu whose prices depend on the edition.
pub(super) fn menu(edition: usize) -> MenuDocument {
    let document = json!({"categories": [{"name": "All", "items": [
        {"id": "thali", "name": "Thali", "price_minor": 1_195 + edition % 7},
        {"id": "dosa", "name": "Dosa", "price_minor": 833, "option_groups": [{"id": "filling", "name": "Filling", "min": 1, "max": 2, "options": [
            {"id": "potato", "name": "Potato", "price_minor": 0}, {"id": "paneer", "name": "Paneer", "price_minor": 149}]}]},
        {"id": "tea", "name": "Tea", "price_minor": 275 + edition % 3},
        {"id": "water", "name": "Water", "price_minor": 0},
    ]}]});
    serde_json::from_value(document).unwrap_or_else(|error| unreachable!("a menu: {error}"))
}
