//! Orders of every kind, with every optional field and every event, and a courier for each order that can have one.

use std::{sync::Arc, time::Duration};

use dabba_domain::task::TaskQueue;
use dabba_engine::{ManualClock, SeededRandom};
use dabba_gateways::{
    SimulatedWebhooks,
    simulated::{Provider, ProviderHealth},
};
use dabba_store::TaskFailure;
use dabba_testkit::{HttpResponse, TestServer, settings};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    catalogue::{REPLACE, REPLACE_MENU, charge, full_menu},
    reads::{CANCEL_BY_LINK, LINK},
    recorder::{
        Caller::{self, Admin, Courier, Customer, Staff},
        Recorder,
    },
};
use crate::suite::payments::{self, until};

pub(super) const PLACE: &str = "POST /v1/restaurants/{restaurant_id}/orders";
pub(super) const ACCEPT: &str = "POST /v1/orders/{order_id}/accept";
pub(super) const REJECT: &str = "POST /v1/orders/{order_id}/reject";
pub(super) const READY: &str = "POST /v1/orders/{order_id}/ready";
pub(super) const ASSIGN: &str = "POST /v1/orders/{order_id}/assign";
pub(super) const PICK_UP: &str = "POST /v1/orders/{order_id}/pick-up";
pub(super) const DELIVER: &str = "POST /v1/orders/{order_id}/deliver";
pub(super) const CANCEL: &str = "POST /v1/orders/{order_id}/cancel";
pub(super) const REFUND: &str = "POST /v1/orders/{order_id}/refund";
/// The commands, and their previews.
const PREVIEWS: [(&str, &str); 8] = [
    (ACCEPT, "POST /v1/orders/{order_id}/accept?preview=true"),
    (REJECT, "POST /v1/orders/{order_id}/reject?preview=true"),
    (READY, "POST /v1/orders/{order_id}/ready?preview=true"),
    (ASSIGN, "POST /v1/orders/{order_id}/assign?preview=true"),
    (PICK_UP, "POST /v1/orders/{order_id}/pick-up?preview=true"),
    (DELIVER, "POST /v1/orders/{order_id}/deliver?preview=true"),
    (CANCEL, "POST /v1/orders/{order_id}/cancel?preview=true"),
    (REFUND, "POST /v1/orders/{order_id}/refund?preview=true"),
];
const ADVANCE: &str = "POST /v1/sandbox/clock/advance";
const AVAILABILITY: &str = "PUT /v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability";
const STOCK: &str = "PUT /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock";

pub(super) const CONTACT_NAME: &str = "Asha of the table";
pub(super) const CONTACT_PHONE: &str = "+44 161 496 0731";
pub(super) const ADDRESS: [&str; 4] = ["731 Curry Mile", "Flat 7c31", "Manchester-on-Test", "M14 7ZZ"];
pub(super) const DISTRICT: &str = "Rusholme-on-Test";
pub(super) const INSTRUCTIONS: &str = "the green door with the bell";
pub(super) const ORDER_NOTE: &str = "two bags, please, note 7310";
pub(super) const LINE_NOTE: &str = "no coriander, note 7311";
pub(super) const REFUND_NOTE: &str = "a dal was missing, note 7312";
pub(super) const INTERVENTION_NOTE: &str = "the bicycle is broken, note 7313";
pub(super) const STAFF_CANCELLATION_NOTE: &str = "none left today, note 6120";
pub(super) const STAFF_REFUND_NOTE: &str = "sorry for the delay, note 6121";
pub(super) const CANCELLATION_NOTE: &str = "the card was stolen, note 7314";
pub(super) const REJECTION_NOTE: &str = "no tomatoes today, note 7315";
pub(super) const PAYMENT_TOKEN: &str = "tok_succeed";
pub(super) const PROVIDER_REFUND: &str = "re_by_hand_7316";
pub(super) const TASK_ERROR: &str = "the database was away, error 7317";

/// A server with the orders, and all responses so far.
pub(super) struct Scene {
    pub(super) server: TestServer,
    pub(super) recorder: Recorder,
    /// All orders, by their names here.
    pub(super) orders: Vec<(&'static str, Value)>,
    /// The payment provider's reference of the payment of the order that was changed there.
    pub(super) payment_reference: String,
    provider: Arc<Provider>,
}

/// Returns an order with every optional member. `token` pays by card.
fn full_order(token: Option<&str>) -> Value {
    let [line1, line2, city, postal_code] = ADDRESS;
    let mut order = json!({
        "lines": [
            {
                "item": "chicken-tikka", "quantity": 2,
                "options": [{"group": "heat", "option": "hot"}, {"group": "dips", "option": "raita", "quantity": 2}],
                "note": LINE_NOTE,
            },
            {"item": "naan", "quantity": 1},
        ],
        "fulfilment": {"type": "delivery", "address": {
            "line1": line1, "line2": line2, "city": city, "postal_code": postal_code, "street": "Curry Mile",
            "number": "731", "complement": line2, "district": DISTRICT, "state": "Lancashire-on-Test", "country": "GB",
            "formatted": format!("{line1}\n{city} {postal_code}"),
            "location": {"lat": 53.4575, "lng": -2.2244}, "instructions": INSTRUCTIONS,
        }},
        "tip": 100, "payment_method": "cash", "note": ORDER_NOTE,
        "contact": {"name": CONTACT_NAME, "phone": CONTACT_PHONE},
    });
    if let Some(token) = token {
        order["payment_method"] = json!("card");
        order["payment_token"] = json!(token);
    }
    order
}

/// Returns settings with every kind of delivery zone, the first of which contains the address of the orders.
pub(super) fn zoned_settings(name: &str) -> Value {
    let mut document = settings(name);
    document["delivery"] = json!({});
    document["location"] = json!({"lat": 53.45, "lng": -2.22});
    document["country"] = json!("GB");
    let square = json!([[-3, 53], [-2, 53], [-2, 54], [-3, 54], [-3, 53]]);
    document["zones"] = json!([
        {
            "id": "near", "name": "Near", "area": {"type": "Circle", "radius_metres": 5_000}, "fee": 250,
            "minimum_order": 1_000, "free_from": 100_000, "minutes": 25,
        },
        {"id": "town", "area": {"type": "Polygon", "coordinates": [square]}},
        {"id": "far", "area": {"type": "MultiPolygon", "coordinates": [[square]]}},
    ]);
    document
}

/// Returns the id of a resource.
pub(super) fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

/// Starts a server that takes cards, is a sandbox, and polls for tasks often.
async fn start() -> (TestServer, Arc<Provider>) {
    let clock = Arc::new(ManualClock::new("2026-06-01T12:00:00Z".parse().unwrap()));
    let shared = Arc::clone(&clock);
    let provider = Arc::new(Provider::new(Arc::new(SeededRandom::new(5))));
    let server = crate::builder()
        .gateway(payments::gateway_to(&provider))
        .clock(clock)
        .webhooks(crate::suite::webhook_endpoints::egress())
        .engine(|engine| engine.tasks.poll_interval = Duration::from_millis(5))
        .api(move |api| {
            api.webhooks = Some(Arc::new(SimulatedWebhooks::new(payments::secret())));
            api.sandbox = Some(shared);
        })
        .start()
        .await;
    (server, provider)
}

impl Scene {
    /// Starts a server without orders.
    pub(super) async fn start() -> Self {
        let (server, provider) = start().await;
        Self {
            server,
            recorder: Recorder::default(),
            orders: Vec::new(),
            payment_reference: String::new(),
            provider,
        }
    }

    /// Sends a request and records the response.
    pub(super) async fn send(
        &mut self,
        caller: Caller,
        request: &'static str,
        values: &[&str],
        body: &Value,
    ) -> HttpResponse {
        self.recorder.send(&self.server, caller, request, values, body).await
    }

    /// Sends a request that must succeed, and returns the body of the response. Previews a command first.
    pub(super) async fn done(
        &mut self,
        caller: Caller,
        request: &'static str,
        values: &[&str],
        body: Value,
    ) -> Value {
        self.preview(caller, request, values, &body).await;
        let answer = self.send(caller, request, values, &body).await;
        assert!((200..300).contains(&answer.status), "{request}: {}", answer.text);
        answer.json
    }

    /// Previews a command, which must succeed.
    async fn preview(&mut self, caller: Caller, request: &'static str, values: &[&str], body: &Value) {
        if let Some((_, preview)) = PREVIEWS.iter().find(|(command, _)| *command == request) {
            let answer = self.send(caller, preview, values, body).await;
            assert_eq!(answer.status, 200, "{preview}: {}", answer.text);
        }
    }

    /// Returns an order by its name here.
    pub(super) fn order(&self, name: &str) -> Value {
        let found = self.orders.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no order {name}")).1.clone()
    }

    /// Places an order under this name.
    async fn place(&mut self, name: &'static str, order: Value) -> Value {
        let restaurant = self.server.restaurant.to_string();
        let placed = self.done(Customer, PLACE, &[&restaurant], order).await;
        self.orders.push((name, placed.clone()));
        placed
    }

    /// Places an order with every optional member, waits until it is confirmed, and assigns the courier.
    async fn confirmed(&mut self, name: &'static str, token: Option<&str>) -> Value {
        let order = self.place(name, full_order(token)).await;
        until(&self.server, &order, |order| order["status"] == "confirmed").await;
        self.done(Courier, ASSIGN, &[id(&order)], json!({})).await;
        // With every field.
        payments::read(&self.server, &order).await
    }

    async fn accept(&mut self, order: &Value) {
        self.done(Staff, ACCEPT, &[id(order)], json!({"preparation_minutes": 20})).await;
    }

    /// Sends a signed report of the payment provider about an order.
    async fn report(&self, order: &Value, report: Value) {
        payments::report(&self.server, &json!({"order_id": order["id"], "report": report})).await;
    }

    /// Creates all orders.
    pub(super) async fn create_orders(&mut self) {
        let restaurant = self.server.restaurant.to_string();
        let settings = charge(zoned_settings("Curry Mile Kitchen"));
        self.done(Admin, REPLACE, &[&restaurant], settings).await;
        self.done(Staff, REPLACE_MENU, &[&restaurant], full_menu()).await;
        self.done(Staff, STOCK, &[&restaurant, "naan"], json!({"remaining": 50})).await;
        // First, because this moves the clock, and the other orders must not expire.
        self.expired().await;
        self.ended_early().await;
        self.unpaid().await;
        self.delivered().await;
        self.changed_at_the_provider().await;
        self.collected().await;
        self.delivered_for_cash().await;
        // Any courier may take this order, and no courier may read it before that.
        self.place("without a courier", full_order(None)).await;
        self.confirmed("open", None).await;
        let order = self.confirmed("ready", None).await;
        self.accept(&order).await;
        self.done(Staff, READY, &[id(&order)], json!({})).await;
        // Last, because the provider stays down.
        self.provider.set_health(ProviderHealth::Down);
        self.place("waiting for the payment", full_order(Some(PAYMENT_TOKEN))).await;
        self.parked_task().await;
    }

    /// An order that the restaurant did not accept in time.
    async fn expired(&mut self) {
        let order = self.confirmed("expired", None).await;
        let version = order["version"].as_u64().unwrap();
        self.done(Admin, ADVANCE, &[], json!({"seconds": 360})).await;
        until(&self.server, &order, |order| order["version"].as_u64().unwrap() > version).await;
        self.done(Admin, ADVANCE, &[], json!({"seconds": 120})).await;
        until(&self.server, &order, |order| order["closure"]["how"] == "expired").await;
    }

    /// Orders that the customer, the restaurant and an admin ended.
    async fn ended_early(&mut self) {
        let restaurant = self.server.restaurant.to_string();
        let items = json!([{"item": "chicken-tikka", "until": "2026-06-01T15:00:00Z"}]);
        let order = self.confirmed("cancelled by the customer", Some(PAYMENT_TOKEN)).await;
        self.preview(Staff, REJECT, &[id(&order)], &json!({"reason": "too_busy"})).await;
        self.preview(Admin, CANCEL, &[id(&order)], &json!({"reason": "other"})).await;
        self.done(Customer, CANCEL, &[id(&order)], json!({"reason": "changed_mind"})).await;
        until(&self.server, &order, |order| order["payment"]["status"] == "voided").await;

        let order = self.confirmed("cancelled by link", None).await;
        let token = self.done(Customer, LINK, &[id(&order)], Value::Null).await["token"].clone();
        let token = token.as_str().unwrap();
        self.done(Customer, CANCEL_BY_LINK, &[token], json!({"reason": "too_slow"})).await;

        let order = self.confirmed("cancelled by staff", None).await;
        let note = STAFF_CANCELLATION_NOTE;
        let cancellation = json!({"reason": "item_unavailable", "items": items, "note": note});
        self.done(Staff, CANCEL, &[id(&order)], cancellation).await;
        let available = json!({"status": "available"});
        self.done(Staff, AVAILABILITY, &[&restaurant, "chicken-tikka"], available.clone()).await;

        let order = self.confirmed("rejected", None).await;
        let rejection = json!({"reason": "item_unavailable", "items": items, "note": REJECTION_NOTE});
        self.done(Staff, REJECT, &[id(&order)], rejection).await;
        self.done(Staff, AVAILABILITY, &[&restaurant, "chicken-tikka"], available).await;

        let order = self.confirmed("cancelled by an admin", Some(PAYMENT_TOKEN)).await;
        self.accept(&order).await;
        until(&self.server, &order, |order| order["payment"]["status"] == "captured").await;
        let cancellation = json!({"reason": "suspected_fraud", "note": CANCELLATION_NOTE});
        self.done(Admin, CANCEL, &[id(&order)], cancellation).await;
        until(&self.server, &order, |order| order["payment"]["status"] == "refunded").await;
    }

    /// Orders whose payment failed, was voided, or had another amount than agreed.
    async fn unpaid(&mut self) {
        let order = self.confirmed("payment failed", Some(PAYMENT_TOKEN)).await;
        let voided = |order: &Value| json!({"type": "voided", "reference": order["payment"]["reference"]});
        self.report(&order, voided(&order)).await;

        let order = self.confirmed("payment voided", Some(PAYMENT_TOKEN)).await;
        self.provider.set_health(ProviderHealth::Down);
        self.accept(&order).await;
        self.report(&order, voided(&order)).await;
        self.provider.set_health(ProviderHealth::Up);

        let order = self.confirmed("payment differs", Some("tok_captures_less")).await;
        self.accept(&order).await;
        until(&self.server, &order, |order| order["payment"]["status"] == "captured").await;
    }

    /// An order that another courier had first, that an admin marked as delivered, and that was refunded in parts.
    async fn delivered(&mut self) {
        let courier = self.server.courier.id.to_string();
        let other_courier = self.server.other_courier.id.to_string();
        let order = self.place("delivered", full_order(Some(PAYMENT_TOKEN))).await;
        until(&self.server, &order, |order| order["status"] == "confirmed").await;
        let order_id = id(&order);
        self.done(Admin, ASSIGN, &[order_id], json!({"courier_id": other_courier})).await;
        let because = json!({"courier_id": courier, "reason": "courier_unable", "note": INTERVENTION_NOTE});
        self.done(Admin, ASSIGN, &[order_id], because).await;
        self.accept(&order).await;
        self.done(Staff, READY, &[order_id], json!({})).await;
        self.done(Courier, PICK_UP, &[order_id], json!({})).await;
        let because = json!({"reason": "customer_confirmed", "note": INTERVENTION_NOTE});
        self.done(Admin, DELIVER, &[order_id], because).await;
        until(&self.server, &order, |order| order["payment"]["status"] == "captured").await;

        let refund = json!({"reason": "late", "amount": 100, "note": STAFF_REFUND_NOTE});
        self.done(Staff, REFUND, &[order_id], refund).await;
        until(&self.server, &order, |order| order["payment"]["refunds"][0]["status"] == "paid").await;
        let lines = json!([{"line": 1, "quantity": 1}]);
        let refund = json!({
            "reason": "missing_item", "lines": lines, "note": REFUND_NOTE, "borne_by": "platform",
        });
        self.done(Admin, REFUND, &[order_id], refund).await;
        until(&self.server, &order, |order| order["payment"]["refunds"][1]["status"] == "paid").await;
        let failed = json!({"type": "refund_refused", "number": 2, "reason": "card_closed"});
        self.report(&order, failed).await;
        self.provider.set_health(ProviderHealth::Down);
        self.done(Admin, REFUND, &[order_id], json!({"reason": "late", "amount": 10})).await;
        let failed = json!({"type": "refund_refused", "number": 3, "reason": "declined"});
        self.report(&order, failed).await;
        self.provider.set_health(ProviderHealth::Up);
    }

    /// An order that the courier delivered, with refunds and chargebacks that Dabba did not request.
    async fn changed_at_the_provider(&mut self) {
        let order = self.confirmed("changed at the provider", Some(PAYMENT_TOKEN)).await;
        self.accept(&order).await;
        self.done(Staff, READY, &[id(&order)], json!({})).await;
        self.done(Courier, PICK_UP, &[id(&order)], json!({})).await;
        self.done(Courier, DELIVER, &[id(&order)], json!({})).await;
        let order = until(&self.server, &order, |order| order["payment"]["status"] == "captured").await;
        let payment = &order["payment"]["reference"];
        payment.as_str().unwrap().clone_into(&mut self.payment_reference);
        let refunded = |currency: &str, reference: &str| {
            let money = json!({"amount": 120, "currency": currency});
            json!({"type": "refunded_elsewhere", "payment": payment, "reference": reference, "money": money})
        };
        self.report(&order, refunded("GBP", PROVIDER_REFUND)).await;
        self.report(&order, refunded("EUR", "re_in_euros")).await;
        for outcome in ["open", "lost", "won"] {
            let chargeback = json!({
                "type": "chargeback", "payment": payment, "reference": "dp_1", "outcome": outcome,
                "money": {"amount": 200, "currency": "GBP"},
            });
            self.report(&order, chargeback).await;
        }
    }

    /// An order in cash that the customer collected.
    async fn collected(&mut self) {
        let order = self.place("collected", TestServer::collection()).await;
        self.accept(&order).await;
        self.done(Staff, READY, &[id(&order)], json!({})).await;
        self.done(Staff, DELIVER, &[id(&order)], json!({})).await;
    }

    /// An order that the courier delivered for cash, with previews of what else could have moved the cash.
    async fn delivered_for_cash(&mut self) {
        let order = self.confirmed("delivered for cash", None).await;
        self.accept(&order).await;
        self.done(Staff, READY, &[id(&order)], json!({})).await;
        self.done(Courier, PICK_UP, &[id(&order)], json!({})).await;
        self.preview(Admin, DELIVER, &[id(&order)], &json!({"reason": "customer_confirmed"})).await;
        self.done(Courier, DELIVER, &[id(&order)], json!({})).await;
        let refund = json!({"reason": "late", "amount": 100});
        self.preview(Staff, REFUND, &[id(&order)], &refund).await;
        self.preview(Admin, REFUND, &[id(&order)], &refund).await;
    }

    /// Parks a task of an open order, as if it had failed too often.
    async fn parked_task(&self) {
        let (hour, store) = (SignedDuration::from_hours(1), self.server.store());
        let later = self.server.now() + hour;
        // The server's own workers do not see the task, because it is not due yet.
        let mut claimed = store.claim_due_tasks(TaskQueue::Deadlines, later, later + hour, 1).await.unwrap();
        let failure = TaskFailure { at: self.server.now(), error: TASK_ERROR.to_owned() };
        assert!(store.park_task(claimed.remove(0).lease, &failure).await.unwrap());
    }
}
