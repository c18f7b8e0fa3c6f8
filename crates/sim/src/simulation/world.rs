//! Restaurants, people, servers and the clock of a simulation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use dabba_domain::{
    AccountId, Bucket, OrderId, RestaurantId, Role, Timestamp, menu::MenuDocument,
    restaurant::SettingsDocument, text::Slug,
};
use dabba_engine::{
    BreakerConfig, Clock, Engine, EngineConfig, Error, ManualClock, PasswordCost, PaymentConfig, Ports,
    Principal, Random, SeededRandom,
};
use dabba_gateways::simulated::{Provider, provider::Delays, wire::Notification};
use dabba_store::{Account, AccountCreation, Store};
use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::{
    SimulationOptions,
    chaos::{Chaos, FaultyStore, ProviderChaos},
};

/// Start time of every simulation: a Monday at noon.
const START: Timestamp = Timestamp::constant(1_780_315_200, 0); // 1 June 2026, 12:00 UTC.
/// Number of servers on the same store.
pub(super) const SERVERS: usize = 2;
const RESTAURANTS: usize = 3;
const CUSTOMERS: usize = 5;
const COURIERS: usize = 3;
/// Initial stock of the limited item.
pub(super) const STOCK: u32 = 300;
/// The item with limited stock, at every restaurant.
pub(super) const LIMITED: &str = "thali";

/// A restaurant with its staff.
pub(super) struct Place {
    pub(super) id: RestaurantId,
    pub(super) staff: Principal,
}

/// The simulated world. See the module documentation.
pub(super) struct World {
    random: StdRng,
    seed: u64,
    /// The store without injected failures.
    pub(super) store: Arc<dyn Store>,
    faulty: Arc<dyn Store>,
    pub(super) chaos: Arc<Chaos>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) provider: Arc<Provider>,
    pub(super) reports: Arc<Mutex<Vec<Notification>>>,
    pub(super) engines: Vec<Arc<Engine>>,
    started_servers: u64,
    pub(super) admin: Principal,
    pub(super) places: Vec<Place>,
    pub(super) customers: Vec<Principal>,
    pub(super) couriers: Vec<Principal>,
    /// The placed orders by idempotency key.
    pub(super) placed: BTreeMap<String, OrderId>,
    /// The orders that may be open.
    pub(super) open: Vec<OrderId>,
    /// The orders that have ended.
    pub(super) ended: Vec<OrderId>,
    /// Number of orders that ended because of unavailable items that a user named.
    pub(super) ends_for_items: u64,
    /// Problems found during the run.
    pub(super) problems: Vec<String>,
}

impl World {
    pub(super) async fn new(store: Arc<dyn Store>, options: &SimulationOptions) -> Result<Self, String> {
        let seed = options.seed;
        let chaos = Arc::new(Chaos::new(seed ^ 0x00c0_ffee, options.plant));
        let clock = Arc::new(ManualClock::new(START));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed ^ 0x5eed));
        let delays = Delays { answer: Duration::ZERO, ..Delays::default() };
        let faulty = FaultyStore { inner: Arc::clone(&store), chaos: Arc::clone(&chaos) };
        let admin = Principal::new(account_id(seed, 0), Role::Admin);
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            seed,
            store,
            faulty: Arc::new(faulty),
            chaos,
            clock,
            provider: Arc::new(Provider::with_delays(random, delays)),
            reports: Arc::default(),
            engines: Vec::new(),
            started_servers: 0,
            admin,
            places: Vec::new(),
            customers: Vec::new(),
            couriers: Vec::new(),
            placed: BTreeMap::new(),
            open: Vec::new(),
            ended: Vec::new(),
            ends_for_items: 0,
            problems: Vec::new(),
        };
        for place in 0..SERVERS {
            world.start_server(place);
        }
        world.populate().await.map_err(|error| format!("the simulation could not start: {error}"))?;
        world.chaos.set_calm(false);
        Ok(world)
    }

    /// Starts a server and replaces the previous one with this index.
    pub(super) fn start_server(&mut self, place: usize) {
        self.started_servers += 1;
        let gateway = ProviderChaos {
            chaos: Arc::clone(&self.chaos),
            provider: Arc::clone(&self.provider),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            reports: Arc::clone(&self.reports),
        };
        let ports = Ports {
            store: Arc::clone(&self.faulty),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(self.seed.wrapping_add(self.started_servers << 32))),
            gateway: Some(Arc::new(gateway)),
        };
        let breaker = BreakerConfig { open_for: Duration::from_secs(20), ..BreakerConfig::default() };
        let config = EngineConfig {
            password_cost: PasswordCost::LEAST,
            payments: PaymentConfig { breaker, ..PaymentConfig::default() },
            ..EngineConfig::default()
        };
        let engine = Engine::start(ports, config);
        match self.engines.get_mut(place) {
            Some(before) => *before = engine,
            None => self.engines.push(engine),
        }
    }

    async fn populate(&mut self) -> Result<(), Error> {
        let engine = Arc::clone(&self.engines[0]);
        for number in 0..RESTAURANTS {
            let entry = engine.create_restaurant(&self.admin, settings(number), menu(1)).await?;
            let id = entry.restaurant().id;
            let staff = self.person(Role::Restaurant).await?;
            engine.add_member(&self.admin, id, staff.account_id).await?;
            let item = Slug::new(LIMITED).map_err(|error| Error::Internal(error.to_string()))?;
            engine.set_stock(&staff, id, &item, Some(STOCK), None).await?;
            self.places.push(Place { id, staff });
        }
        for _ in 0..CUSTOMERS {
            let customer = self.person(Role::Customer).await?;
            self.customers.push(customer);
        }
        for _ in 0..COURIERS {
            let courier = self.person(Role::Courier).await?;
            self.couriers.push(courier);
        }
        Ok(())
    }

    async fn person(&mut self, role: Role) -> Result<Principal, Error> {
        let number = 1 + self.customers.len() + 10 * self.couriers.len() + 100 * self.places.len();
        let id = account_id(self.seed, number as u64);
        let account = Account {
            id,
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

    /// Returns a random number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound.max(1))
    }

    /// Returns a random server.
    pub(super) fn server(&mut self) -> Arc<Engine> {
        let place = self.below(SERVERS);
        Arc::clone(&self.engines[place])
    }

    /// Advances the clock by less than a second up to seconds, sometimes up to minutes.
    pub(super) fn advance_clock(&mut self) {
        let seconds = match self.below(60) {
            0 => self.below(600),
            1..10 => self.below(40),
            _ => self.below(4),
        };
        let millis = self.below(1_000);
        let millis = i64::try_from(seconds * 1_000 + millis).unwrap_or(0);
        self.clock.advance(SignedDuration::from_millis(millis));
    }

    pub(super) fn start() -> Timestamp {
        START
    }
}

fn account_id(seed: u64, number: u64) -> AccountId {
    AccountId::generate(START, Bucket::from_random(0), seed.rotate_left(32) ^ (number << 8))
}

fn settings(number: usize) -> SettingsDocument {
    let deadline = [480, 60, 3_600][number % 3];
    let document = json!({
        "name": format!("Kitchen {number}"), "currency": "GBP", "time_zone": "Europe/London",
        "tax_rate_basis_points": 1_250 * number, "delivery": {"fee": 249, "free_from": 5_000},
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
