//! Every reading operation, by each caller, for everything that exists.

use dabba_testkit::TestServer;
use serde_json::Value;

use super::{
    catalogue::Catalogue,
    recorder::Caller,
    scene::{Scene, id},
};

/// Creates a tracking link.
pub(super) const LINK: &str = "POST /v1/orders/{order_id}/tracking-link";
/// Cancels an order by its link.
pub(super) const CANCEL_BY_LINK: &str = "POST /v1/tracking/{token}/cancel";

impl Scene {
    /// Creates links to each order as each caller who may, and reads the order with a link.
    async fn read_tracking(&mut self, orders: &[String]) {
        for order in orders {
            let mut token = String::new();
            for caller in Caller::ALL {
                let created = self.send(caller, LINK, &[order], &Value::Null).await;
                if created.status == 201 {
                    token = created.text_at("/token");
                }
            }
            self.done(Caller::Customer, "GET /v1/tracking/{token}", &[&token], Value::Null).await;
        }
    }

    /// Reads everything as each caller: each list whole and with one entry per page, and each entry.
    pub(super) async fn read_everything(&mut self, catalogue: &Catalogue) {
        let orders: Vec<_> = self.orders.iter().map(|(_, order)| id(order).to_owned()).collect();
        let TestServer {
            customer, other_customer, staff, other_staff, courier, other_courier, admin, ..
        } = &self.server;
        let people = [customer, other_customer, staff, other_staff, courier, other_courier, admin];
        let mut accounts: Vec<_> = people.iter().map(|person| person.id.to_string()).collect();
        accounts.extend(catalogue.ended_accounts.clone());
        accounts.push(catalogue.service.clone());
        self.read_tracking(&orders).await;
        crate::suite::statistics::roll_up(&self.server).await;
        for caller in Caller::ALL {
            self.read_platform(caller).await;
            self.read_restaurants(caller, catalogue).await;
            for account in &accounts {
                self.send(caller, "GET /v1/accounts/{account_id}", &[account], &Value::Null).await;
            }
            for request in
                ["GET /v1/accounts/{account_id}/keys", "GET /v1/accounts/{account_id}/keys?limit=1"]
            {
                self.send(caller, request, &[&catalogue.service], &Value::Null).await;
            }
            for key in &catalogue.keys {
                let request = "GET /v1/accounts/{account_id}/keys/{key_id}";
                self.send(caller, request, &[&catalogue.service, key], &Value::Null).await;
            }
            for order in &orders {
                for request in [
                    "GET /v1/orders/{order_id}",
                    "GET /v1/orders/{order_id}/events?limit=100",
                    "GET /v1/orders/{order_id}/events?limit=1",
                    "GET /v1/orders/{order_id}/receipt",
                    "GET /v1/orders/{order_id}/ledger",
                ] {
                    self.send(caller, request, &[order], &Value::Null).await;
                }
            }
        }
    }

    /// Reads what belongs to no restaurant.
    async fn read_platform(&mut self, caller: Caller) {
        for request in [
            "GET /healthz",
            "GET /readyz",
            "GET /metrics",
            "GET /v1/accounts",
            "GET /v1/accounts?limit=1",
            "GET /v1/accounts/me",
            "GET /v1/orders?limit=100",
            "GET /v1/orders?limit=1",
            "GET /v1/restaurants?limit=100",
            "GET /v1/restaurants?limit=1",
            "GET /v1/restaurants?near=53.4575,-2.2244",
            "GET /v1/restaurants?near=53.4575,-2.2244&limit=1",
            "GET /v1/sandbox/clock",
            "GET /v1/shards",
            "GET /v1/statistics",
            "GET /v1/tasks?limit=100",
            "GET /v1/tasks?limit=1",
        ] {
            self.send(caller, request, &[], &Value::Null).await;
        }
    }

    /// Reads the restaurants, and their lists.
    async fn read_restaurants(&mut self, caller: Caller, catalogue: &Catalogue) {
        let restaurant = self.server.restaurant.to_string();
        for request in [
            "GET /v1/restaurants/{restaurant_id}/orders?limit=100",
            "GET /v1/restaurants/{restaurant_id}/orders?limit=1",
            "GET /v1/restaurants/{restaurant_id}/members",
            "GET /v1/restaurants/{restaurant_id}/members?limit=1",
            "GET /v1/restaurants/{restaurant_id}/menu",
            "GET /v1/restaurants/{restaurant_id}/stock",
            "GET /v1/restaurants/{restaurant_id}/boards",
        ] {
            self.send(caller, request, &[&restaurant], &Value::Null).await;
        }
        for item in ["naan", "feast"] {
            let request = "GET /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock";
            self.send(caller, request, &[&restaurant, item], &Value::Null).await;
        }
        for restaurant in [&restaurant, &catalogue.paused, &catalogue.zoned, &catalogue.closed] {
            for request in
                ["GET /v1/restaurants/{restaurant_id}", "GET /v1/restaurants/{restaurant_id}/board"]
            {
                self.send(caller, request, &[restaurant], &Value::Null).await;
            }
        }
    }
}
