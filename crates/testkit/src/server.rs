//! The server under test.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dabba_api::{ApiConfig, LiveMetrics};
use dabba_domain::{RestaurantId, Role, Timestamp, menu::MenuDocument};
use dabba_engine::{
    Egress, Engine, EngineConfig, ManualClock, PasswordCost, PaymentGateway, Ports, SeededRandom,
};
use dabba_store::Store;
use dabba_web::{ConnectionMetrics, RateLimits, Registry, ServeOptions, SigningKey, Web, WebConfig, serve};
use futures::FutureExt as _;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    HttpResponse, PASSWORD, Request, StoreFactory, TestAccount, http_client, sqlite_in, webhooks::webhooks,
};

/// Initial time of every server's clock: noon on a Monday.
const START: &str = "2026-06-01T12:00:00Z";
/// Grace period of a stopping server: for its requests in flight, and then for its writes.
const GRACE: Duration = Duration::from_secs(20);

/// Configuration of a server under test.
pub struct TestServerBuilder {
    store: Option<StoreFactory>,
    engine: EngineConfig,
    web: WebConfig,
    api: ApiConfig,
    connections: ServeOptions,
    seed: u64,
    gateway: Option<Arc<dyn PaymentGateway>>,
    clock: Option<Arc<ManualClock>>,
    egress: Option<Arc<dyn Egress>>,
}

impl TestServerBuilder {
    /// Sets the payment gateway for payments by card.
    pub fn gateway(mut self, gateway: Arc<dyn PaymentGateway>) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Sets the client for URLs that users enter: the server has webhook endpoints, and sends webhooks. The times of
    /// deliveries are those of the machine's clock; a test that compares them sets a clock with this time.
    pub fn webhooks(mut self, egress: Arc<dyn Egress>) -> Self {
        self.egress = Some(egress);
        self
    }

    /// Sets a clock that the test controls.
    pub fn clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the store. Default: `SQLite` in a temporary directory.
    pub fn store(mut self, factory: StoreFactory) -> Self {
        self.store = Some(factory);
        self
    }

    /// Changes the engine's settings.
    pub fn engine(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.engine);
        self
    }

    /// Changes the settings that every HTTP face shares.
    pub fn web(mut self, change: impl FnOnce(&mut WebConfig)) -> Self {
        change(&mut self.web);
        self
    }

    /// Changes the API's settings.
    pub fn api(mut self, change: impl FnOnce(&mut ApiConfig)) -> Self {
        change(&mut self.api);
        self
    }

    /// Changes the limits of connections.
    pub fn connections(mut self, change: impl FnOnce(&mut ServeOptions)) -> Self {
        change(&mut self.connections);
        self
    }

    /// Sets the seed of the random sequence.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the server, and creates its accounts and restaurants.
    pub async fn start(self) -> TestServer {
        let directory = TempDir::new().expect("a directory for the store");
        let factory = self.store.unwrap_or_else(|| sqlite_in(directory.path()));
        let start = || Arc::new(ManualClock::new(START.parse().expect("a time")));
        let clock = self.clock.unwrap_or_else(start);
        let random = Arc::new(SeededRandom::new(self.seed));
        let running = Running::start(
            &factory,
            &clock,
            &random,
            (self.gateway.as_ref(), self.egress.as_ref()),
            &self.engine,
            (&self.web, &self.api),
            &self.connections,
        )
        .await;
        let engine = &running.engine;

        let lifetime = self.web.token_lifetime;
        let key = self.web.signing_key.clone();
        let account = |name, role| TestAccount::register(engine, &key, lifetime, name, role);
        let admin = account("admin", Role::Admin).await;
        let staff = account("staff", Role::Restaurant).await;
        let other_staff = account("other staff", Role::Restaurant).await;
        let restaurant = open_restaurant(engine, &admin, &staff, "Curry Mile Kitchen").await;
        let other_restaurant = open_restaurant(engine, &admin, &other_staff, "Naan Stop").await;
        TestServer {
            customer: account("customer", Role::Customer).await,
            other_customer: account("other customer", Role::Customer).await,
            courier: account("courier", Role::Courier).await,
            other_courier: account("other courier", Role::Courier).await,
            admin,
            staff,
            other_staff,
            restaurant,
            other_restaurant,
            clock,
            client: http_client(),
            config: self.web,
            api: self.api,
            connections: self.connections,
            engine_config: self.engine,
            random,
            gateway: self.gateway,
            egress: self.egress,
            factory,
            running: Some(running),
            _directory: directory,
        }
    }
}

/// A server on its own port, with accounts and two restaurants. It stops when it is dropped.
pub struct TestServer {
    /// A customer, who places orders in most tests.
    pub customer: TestAccount,
    /// Another customer.
    pub other_customer: TestAccount,
    /// Staff of [`Self::restaurant`].
    pub staff: TestAccount,
    /// Staff of [`Self::other_restaurant`].
    pub other_staff: TestAccount,
    /// A courier.
    pub courier: TestAccount,
    /// Another courier.
    pub other_courier: TestAccount,
    /// An admin of the platform.
    pub admin: TestAccount,
    /// A restaurant that is always open.
    pub restaurant: RestaurantId,
    /// Another restaurant that is always open.
    pub other_restaurant: RestaurantId,
    /// The server's clock, which a test moves by hand.
    pub clock: Arc<ManualClock>,
    /// Settings that every HTTP face shares.
    pub config: WebConfig,
    api: ApiConfig,
    connections: ServeOptions,
    engine_config: EngineConfig,
    client: reqwest::Client,
    random: Arc<SeededRandom>,
    gateway: Option<Arc<dyn PaymentGateway>>,
    egress: Option<Arc<dyn Egress>>,
    factory: StoreFactory,
    running: Option<Running>,
    _directory: TempDir,
}

/// The clients for servers outside, if there are any: the payment gateway, and the one for URLs that users enter.
type Outside<'a> = (Option<&'a Arc<dyn PaymentGateway>>, Option<&'a Arc<dyn Egress>>);

struct Running {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    stop_working: oneshot::Sender<()>,
    working: JoinHandle<()>,
}

impl Running {
    async fn start(
        factory: &StoreFactory,
        clock: &Arc<ManualClock>,
        random: &Arc<SeededRandom>,
        (gateway, egress): Outside<'_>,
        engine: &EngineConfig,
        (web, api): (&WebConfig, &ApiConfig),
        connections: &ServeOptions,
    ) -> Self {
        let store = factory().await;
        let ports = Ports {
            store: Arc::clone(&store),
            clock: Arc::clone(clock) as _,
            random: Arc::clone(random) as _,
            gateway: gateway.map(Arc::clone),
        };
        let engine = Engine::start(ports, engine.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let (stop_working, working_stopped) = oneshot::channel::<()>();
        // Dropping the server drops the senders, which also stops the server.
        let shutdown_signal = |stopped: oneshot::Receiver<()>| stopped.map(drop);
        let mut registry = Registry::default();
        let measured = ConnectionMetrics::new(&mut registry);
        let mut api = api.clone();
        api.live.metrics = LiveMetrics::new(&mut registry);
        let (endpoints, sending) = match egress.map(|egress| webhooks(&engine, egress)) {
            Some((endpoints, work)) => (Some(endpoints), work.boxed()),
            None => (None, never().boxed()),
        };
        api.webhook_endpoints = endpoints;
        let web = Web::new(Arc::clone(&engine), web.clone(), registry);
        let app = dabba_api::app(web, api);
        let serve = serve(listener, app, shutdown_signal(stopped), connections.clone(), measured);
        let watch = futures::future::join4(
            Arc::clone(&engine.catalogue).watch_catalogues(),
            Arc::clone(&engine.catalogue).follow_restaurants(),
            Arc::clone(&engine.accounts).watch_revocations(),
            Arc::clone(&engine.accounts).write_key_uses(),
        );
        let measure = Arc::clone(&engine).measure_shards();
        let serving = tokio::spawn(async {
            tokio::select! {
                served = serve => served,
                ((), (), (), ()) = watch => unreachable!("the engine should watch until it is dropped"),
                () = measure => unreachable!("the engine should measure until it is dropped"),
                () = sending => unreachable!("the sender should send until it is dropped"),
            }
        });
        // Tasks are due by the manual clock: none is due until a test moves the clock.
        let working = tokio::spawn(Arc::clone(&engine.work).run(shutdown_signal(working_stopped)));
        Self { store, engine, address, stop, serving, stop_working, working }
    }

    async fn stop(self) {
        // The send fails if the server has already stopped by itself; the join below then shows why.
        let _ = self.stop.send(());
        self.serving.await.expect("serving should not panic").expect("serving should not fail");
        let _ = self.stop_working.send(());
        self.working.await.expect("working should not panic");
        assert!(self.engine.shut_down(GRACE).await, "the engine should finish its queued writes");
    }
}

/// Is never ready.
pub(crate) fn never() -> impl Future<Output = ()> + Send {
    std::future::pending()
}

impl TestServer {
    /// Starts a server with the default settings: cheap password hashes and no rate limits.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns the configuration of a server with the default settings.
    pub fn builder() -> TestServerBuilder {
        let key = SigningKey::from_bytes(&[7; SigningKey::MIN_BYTES]).expect("a key of the right length");
        let web = WebConfig { rate_limits: RateLimits::unlimited(), ..WebConfig::new(key) };
        let engine = EngineConfig { password_cost: PasswordCost::MIN, ..EngineConfig::default() };
        TestServerBuilder {
            store: None,
            engine,
            web,
            api: ApiConfig::default(),
            seed: 1,
            gateway: None,
            egress: None,
            clock: None,
            connections: ServeOptions { grace: GRACE, ..ServeOptions::default() },
        }
    }

    /// Returns the engine behind the API.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.running().engine
    }

    /// Returns the store behind the engine.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.running().store
    }

    /// Returns the server's address.
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server should be running")
    }

    /// Returns the time of the server's clock.
    pub fn now(&self) -> Timestamp {
        self.engine().now()
    }

    /// Advances the server's clock.
    pub fn advance(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    /// Shuts the server down gracefully: requests in flight and queued writes finish.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops the server, and starts it again on the same store.
    pub async fn restart(&mut self) {
        self.stop().await;
        let running = Running::start(
            &self.factory,
            &self.clock,
            &self.random,
            (self.gateway.as_ref(), self.egress.as_ref()),
            &self.engine_config,
            (&self.config, &self.api),
            &self.connections,
        )
        .await;
        self.running = Some(running);
    }

    /// Returns a request to this path.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(&self.client, method, format!("http://{}{path}", self.address()))
    }

    /// Sends a GET request, with or without a token.
    pub async fn get(&self, path: &str, account: Option<&TestAccount>) -> HttpResponse {
        let request = self.request(Method::GET, path);
        if let Some(account) = account { request.by(account) } else { request }.send().await
    }

    /// Returns a POST request with a body; the caller may add to it.
    pub fn post(&self, path: &str, account: Option<&TestAccount>, body: &Value) -> Request {
        let request = self.request(Method::POST, path).json(body);
        if let Some(account) = account { request.by(account) } else { request }
    }

    /// Returns a PUT request with a body; the caller may add to it.
    pub fn put(&self, path: &str, account: Option<&TestAccount>, body: &Value) -> Request {
        let request = self.request(Method::PUT, path).json(body);
        if let Some(account) = account { request.by(account) } else { request }
    }

    /// Logs an account in with a session. Returns the cookie of the session, as name and value.
    pub async fn log_in(&self, account: &TestAccount) -> String {
        let body = json!({"email": account.email, "password": PASSWORD});
        let logged_in = self.post("/v1/session", None, &body).send().await;
        let cookie = logged_in.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        logged_in.expect(200);
        cookie
    }

    /// Returns a path below the restaurant.
    pub fn restaurant_path(&self, rest: &str) -> String {
        format!("/v1/restaurants/{}{rest}", self.restaurant)
    }

    /// Returns the path of the restaurant's orders.
    pub fn orders_path(&self) -> String {
        self.restaurant_path("/orders")
    }

    /// Returns a small order for delivery.
    pub fn order() -> Value {
        json!({
            "lines": [{"item": "chicken-tikka", "quantity": 2, "options": [{"group": "heat", "option": "hot"}]}],
            "fulfilment": {"type": "delivery", "address": {"line1": "1 Curry Mile", "city": "Manchester"}},
            "payment_method": "cash",
        })
    }

    /// Returns a small order for collection.
    pub fn collection() -> Value {
        json!({
            "lines": [{"item": "naan", "quantity": 1}],
            "fulfilment": {"type": "collection"},
            "payment_method": "cash",
        })
    }

    /// Places the customer's order with an idempotency key, and returns it.
    pub async fn place(&self, key: &str, order: &Value) -> Value {
        self.post(&self.orders_path(), Some(&self.customer), order).key(key).send().await.expect(201)
    }

    /// Returns the request for a command on an order.
    pub fn command(&self, order: &Value, command: &str, account: &TestAccount, body: &Value) -> Request {
        let path = format!("/v1/orders/{}/{command}", order["id"].as_str().expect("an order has an id"));
        self.post(&path, Some(account), body)
    }
}

/// Returns the settings of a restaurant that is always open: 20 % tax, delivery for 2.50 with a minimum order of 10.00.
pub fn settings(name: &str) -> Value {
    json!({
        "name": name, "currency": "GBP", "time_zone": "Europe/London", "tax_rate_basis_points": 2_000,
        "delivery": {"fee": 250, "minimum_order": 1_000}, "refund_limit": 500,
    })
}

/// Returns the menu of both restaurants.
pub fn menu() -> Value {
    json!({"categories": [
        {"name": "Mains", "items": [
            {"id": "chicken-tikka", "name": "Chicken Tikka", "price_minor": 895, "option_groups": [
                {"id": "heat", "name": "Heat", "min": 1, "max": 1, "options": [
                    {"id": "mild", "name": "Mild", "price_minor": 0}, {"id": "hot", "name": "Hot", "price_minor": 50},
                ]},
            ]},
            {"id": "dal", "name": "Dal", "price_minor": 650, "tags": ["vegan"]},
        ]},
        {"name": "Breads", "items": [{"id": "naan", "name": "Naan", "price_minor": 250}]},
    ]})
}

async fn open_restaurant(
    engine: &Engine,
    admin: &TestAccount,
    staff: &TestAccount,
    name: &str,
) -> RestaurantId {
    let settings = serde_json::from_value(settings(name)).expect("settings");
    let menu: MenuDocument = serde_json::from_value(menu()).expect("a menu");
    let entry =
        engine.catalogue.create_restaurant(&admin.principal(), settings, menu).await.expect("a restaurant");
    let id = entry.restaurant().id;
    engine.accounts.add_member(&admin.principal(), id, staff.id).await.expect("a member");
    id
}
