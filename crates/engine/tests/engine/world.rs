//! An engine on a fresh store, with a restaurant, its staff, a customer and an admin.

use std::sync::Arc;

use dabba_domain::{
    AccountId, OrderId, RestaurantId, Role, Timestamp,
    menu::MenuDocument,
    order::{CancelReason, Command, Order, OrderRequest},
    restaurant::SettingsDocument,
    text::Slug,
};
use dabba_engine::{
    CommandRequest, Engine, EngineConfig, Error, ManualClock, OrderAnswer, PasswordCost, PaymentGateway,
    Ports, Principal, Registration, SeededRandom,
};
use dabba_store::{IdempotencyKey, OrderStore as _, PageSize, Store};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use serde_json::json;
use tempfile::TempDir;

use crate::faulty::FaultyStore;

/// See the documentation of this module.
pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) restaurant_id: RestaurantId,
    pub(crate) customer: Principal,
    pub(crate) staff: Principal,
    pub(crate) admin: Principal,
    gateway: Option<Arc<dyn PaymentGateway>>,
    /// Directory of the embedded store.
    directory: Option<TempDir>,
}

pub(crate) fn start_of_time() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { password_cost: PasswordCost::MIN, ..EngineConfig::default() }
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

/// Returns a new embedded store and its directory.
pub(crate) fn embedded_store() -> (TempDir, Arc<dyn Store>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    (directory, Arc::new(store))
}

pub(crate) fn settings() -> SettingsDocument {
    let document = json!({"name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London"});
    serde_json::from_value(document).unwrap()
}

pub(crate) fn menu_with_dal_at(price: i64) -> MenuDocument {
    let document = json!({"categories": [{"name": "Mains", "items": [
        {"id": "dal", "name": "Dal", "price_minor": price}, {"id": "naan", "name": "Naan", "price_minor": 250}]}]});
    serde_json::from_value(document).unwrap()
}

/// Returns an order of `quantity` dal, which cost 500 each.
pub(crate) fn dal(quantity: u32) -> OrderRequest {
    serde_json::from_value(json!({
        "lines": [{"item": "dal", "quantity": quantity}], "fulfilment": {"type": "collection"}, "payment_method": "cash",
    }))
    .unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: EngineConfig) -> Self {
        let (directory, inner) = embedded_store();
        Self { directory: Some(directory), ..Self::on(inner, config).await }
    }

    /// Creates a world on another, empty store.
    pub(crate) async fn on(inner: Arc<dyn Store>, config: EngineConfig) -> Self {
        Self::paying(inner, None, config).await
    }

    /// Creates a world with a payment provider.
    pub(crate) async fn paying(
        inner: Arc<dyn Store>,
        gateway: Option<Arc<dyn PaymentGateway>>,
        config: EngineConfig,
    ) -> Self {
        let store = Arc::new(FaultyStore::new(inner));
        let clock = Arc::new(ManualClock::new(start_of_time()));
        let random = Arc::new(SeededRandom::new(7));
        let ports = Ports {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock) as _,
            random,
            gateway: gateway.clone(),
        };
        let engine = Engine::start(ports, config);
        let account = |number: u64| {
            AccountId::generate(start_of_time(), dabba_domain::Bucket::from_random(0), number << 2)
        };
        let admin = Principal::new(account(1), Role::Admin);
        let customer = Principal::new(account(2), Role::Customer);
        let entry =
            engine.catalogue.create_restaurant(&admin, settings(), menu_with_dal_at(500)).await.unwrap();
        let restaurant_id = entry.restaurant().id;
        let registration = Registration {
            email: "staff@example.com".into(),
            name: "Staff".into(),
            password: "long enough".into(),
            role: Role::Restaurant,
        };
        let account = engine.accounts.register(Some(&admin), registration).await.unwrap();
        engine.accounts.add_member(&admin, restaurant_id, account.id).await.unwrap();
        let staff = Principal::new(account.id, Role::Restaurant);
        Self { engine, store, clock, restaurant_id, customer, staff, admin, gateway, directory: None }
    }

    /// Keeps this directory for as long as the world lives.
    pub(crate) fn keeping(self, directory: TempDir) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// Returns another engine on the same store, like another server process.
    pub(crate) fn second_engine(&self) -> Arc<Engine> {
        self.second_engine_with(config())
    }

    pub(crate) fn second_engine_with(&self, config: EngineConfig) -> Arc<Engine> {
        self.engine_on(Arc::clone(&self.store) as _, config)
    }

    /// Returns an engine on another store with the same clock.
    pub(crate) fn engine_on(&self, store: Arc<dyn Store>, config: EngineConfig) -> Arc<Engine> {
        let random = Arc::new(SeededRandom::new(8));
        let ports =
            Ports { store, clock: Arc::clone(&self.clock) as _, random, gateway: self.gateway.clone() };
        Engine::start(ports, config)
    }

    /// Registers another restaurant on an engine.
    pub(crate) async fn another_restaurant(&self, engine: &Engine) -> RestaurantId {
        let created = engine.catalogue.create_restaurant(&self.admin, settings(), menu_with_dal_at(1)).await;
        created.unwrap().restaurant().id
    }

    /// Limits the stock of an item.
    pub(crate) async fn limit_stock(&self, item: &str, remaining: u32) {
        let (catalogue, item) = (&self.engine.catalogue, Slug::new(item).unwrap());
        let limited = catalogue.set_stock(&self.staff, self.restaurant_id, &item, Some(remaining), None);
        limited.await.unwrap();
    }

    /// Returns the price of dal in an engine's cached menu.
    pub(crate) async fn price_of_dal(&self, engine: &Engine) -> i64 {
        let entry = engine.catalogue.entry(self.restaurant_id).await.unwrap();
        entry.menu().item("dal").unwrap().price_minor.minor()
    }

    pub(crate) async fn place(&self, request: &OrderRequest, name: &str) -> Result<OrderAnswer, Error> {
        self.engine.orders.place(&self.customer, self.restaurant_id, request, key(name)).await
    }

    pub(crate) async fn act(
        &self,
        principal: &Principal,
        order_id: OrderId,
        command: Command,
    ) -> Result<OrderAnswer, Error> {
        let request = CommandRequest { order_id, command, key: None, expected_versions: None };
        self.engine.orders.act(principal, &request).await
    }

    /// Returns all orders.
    pub(crate) async fn orders(&self) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut after = None;
        loop {
            let limit = PageSize::new(PageSize::MAX).unwrap();
            let page = self.engine.orders.own_orders(&self.admin, Vec::new(), after, limit).await.unwrap();
            orders.extend(page.orders);
            after = page.next;
            if after.is_none() {
                return orders;
            }
        }
    }

    /// Asserts that each order equals the fold of its events, which are numbered without a gap (I4).
    pub(crate) async fn check_histories(&self) {
        for order in self.orders().await {
            let history = self.store.events(order.id, 0, u32::MAX).await.unwrap();
            assert_eq!(dabba_domain::order::fold(&history).unwrap(), Some(order));
        }
    }

    /// Returns the store's directory.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.as_ref().unwrap().path()
    }
}

pub(crate) fn accept() -> Command {
    Command::Accept { preparation_minutes: 20 }
}

pub(crate) fn cancel() -> Command {
    Command::cancel(CancelReason::Other)
}
