//! Restaurants with every optional setting, a menu with every optional member, accounts in every state, and quotes.

use dabba_domain::restaurant::Pause;
use dabba_store::{BoardKey, CatalogueUpdate, ConnectedBoard, EndedBoard};
use dabba_testkit::{PASSWORD, TestServer, menu, settings};
use serde_json::{Value, json};

use super::{
    recorder::Caller::{self, Admin, Customer, Staff},
    scene::{LINE_NOTE, Scene, id, zoned_settings},
};

pub(super) const CREATE: &str = "POST /v1/restaurants";
pub(super) const REPLACE: &str = "PUT /v1/restaurants/{restaurant_id}";
pub(super) const CLOSE: &str = "POST /v1/restaurants/{restaurant_id}/close";
pub(super) const REPLACE_MENU: &str = "PUT /v1/restaurants/{restaurant_id}/menu";
pub(super) const ADJUST: &str = "POST /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock/adjust";
pub(super) const CHANGE_ACCOUNT: &str = "PATCH /v1/accounts/{account_id}";
pub(super) const REGISTER: &str = "POST /v1/accounts";
pub(super) const CREATE_SERVICE: &str = "POST /v1/service-accounts";
pub(super) const CREATE_KEY: &str = "POST /v1/accounts/{account_id}/keys";
pub(super) const QUOTE: &str = "POST /v1/restaurants/{restaurant_id}/quotes";
pub(super) const LOG_IN: &str = "POST /v1/tokens";
const PAUSE: &str = "POST /v1/restaurants/{restaurant_id}/pause";
const RESUME: &str = "POST /v1/restaurants/{restaurant_id}/resume";
const REOPEN: &str = "POST /v1/restaurants/{restaurant_id}/reopen";
const AVAILABILITY: &str = "PUT /v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability";
const ADD_MEMBER: &str = "PUT /v1/restaurants/{restaurant_id}/members/{account_id}";

/// External id of the restaurant with every optional setting.
pub(super) const EXTERNAL_ID: &str = "pos-7318";

/// A device that showed the board of the orders' restaurant.
const DEVICE: &str = "7f3c1f6e-2b4d-4c8a-9d3e-5a6b7c8d9e0f";

/// What the catalogue contains besides the server's own restaurants and accounts.
pub(super) struct Catalogue {
    /// A paused restaurant with every optional setting.
    pub(super) paused: String,
    /// A restaurant with delivery zones.
    pub(super) zoned: String,
    /// A restaurant that is closed permanently.
    pub(super) closed: String,
    /// An account that is disabled, and an account that is deleted.
    pub(super) ended_accounts: [String; 2],
    /// A service account with two keys.
    pub(super) service: String,
    /// Its keys: a revoked key with scopes and an expiry, and a key without them.
    pub(super) keys: [String; 2],
}

/// Returns settings with every optional member.
pub(super) fn full_settings() -> Value {
    let mut document = settings("Dosa House");
    document["external_id"] = json!(EXTERNAL_ID);
    document["country"] = json!("GB");
    document["location"] = json!({"lat": 53.4, "lng": -2.2});
    document["delivery"]["free_from"] = json!(3_000);
    document["opening_hours"] = json!([{"day": "tuesday", "opens": "10:00", "closes": "14:00"}]);
    let mut document = charge(document);
    let fees = document["fees"].as_array_mut().unwrap();
    fees.push(json!({
        "id": "far", "kind": "distance", "name": "Distance", "tiers": [{"from_metres": 3_000, "amount": 100}],
    }));
    document
}

/// Returns the settings of the orders' restaurant, which charges every kind of tax and fee.
pub(super) fn own_settings() -> Value {
    charge(settings("Curry Mile Kitchen"))
}

/// Adds taxes and fees with every optional member.
pub(super) fn charge(mut document: Value) -> Value {
    document["tax_rate_basis_points"] = json!(0);
    document["taxes"] = json!([{
        "id": "tax", "name": "VAT", "authority": "HMRC", "rate": "20", "from": 1, "remitted_by": "platform",
    }]);
    document["default_taxes"] = json!(["tax"]);
    let when =
        json!({"fulfilment": "delivery", "goods_from": 1, "goods_below": 1_000_000, "any_line_taxed": true});
    document["fees"] = json!([
        {"id": "delivery", "kind": "delivery", "name": "Delivery", "taxed_as_goods": true, "receiver": "courier"},
        {"id": "service", "kind": "service", "name": "Service", "rate": "1", "min": 10, "max": 50, "when": when},
        {"id": "bag", "kind": "packaging", "name": "Bag", "amount": 10, "taxes": ["tax"], "receiver": "restaurant"},
    ]);
    document
}

/// Returns a menu with every optional member, and with an item that no card can pay.
pub(super) fn full_menu() -> Value {
    let mut document = menu();
    let items = document["categories"][0]["items"].as_array_mut().unwrap();
    items.push(json!({"id": "feast", "name": "Feast", "price_minor": 100_000_000}));
    let away = json!({"status": "unavailable", "until": "2026-06-02T12:00:00Z"});
    items.push(json!({"id": "thali", "name": "Thali", "price_minor": 900, "option_groups": [
        {"id": "sweet", "name": "Sweet", "min": 0, "max": 1, "options": [
            {"id": "kulfi", "name": "Kulfi", "price_minor": 300, "availability": away},
        ]},
    ]}));
    items[0]["taxes"] = json!(["tax"]);
    items[0]["option_groups"][0]["options"][1]["taxes"] = json!(["tax"]);
    items[0]["external_code"] = json!("item-1");
    items[0]["images"] = json!(["https://img.example/naan.jpg"]);
    items[0]["description"] = json!("From the clay oven.");
    items[0]["option_groups"][0]["external_code"] = json!("group-1");
    items[0]["option_groups"][0]["options"][1]["external_code"] = json!("option-1");
    let groups = items[0]["option_groups"].as_array_mut().unwrap();
    groups.push(
        json!({"id": "dips", "name": "Dips", "min": 0, "max": 4, "max_per_option": 4, "free": 1, "options": [
            {"id": "raita", "name": "Raita", "price_minor": 0},
        ]}),
    );
    groups.push(
        json!({"id": "halves", "name": "Halves", "min": 0, "max": 1, "price_by": "highest", "options": [
            {"id": "lemon", "name": "Lemon", "price_minor": 0},
        ]}),
    );
    for entry in ["", "/option_groups/0/options/1"] {
        let entry = items[0].pointer_mut(entry).unwrap();
        entry["allergens"] = json!(["gluten"]);
        entry["diets"] = json!(["vegan"]);
        entry["ean"] = json!("4006381333931");
    }
    let hours = json!([{"day": "monday", "opens": "06:00", "closes": "07:00"}]);
    let breakfast = json!({"id": "upma", "name": "Upma", "price_minor": 400, "hours": hours});
    document["categories"][0]["items"].as_array_mut().unwrap().push(breakfast);
    document["categories"][0]["hours"] = all_week();
    document["categories"][0]["external_code"] = json!("category-1");
    document
}

/// Returns the hours of whole days.
fn all_week() -> Value {
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    days.iter().map(|day| json!({"day": day, "opens": "00:00", "closes": "00:00"})).collect()
}

/// Returns a body that registers an account.
pub(super) fn registration(name: &str) -> Value {
    json!({"email": format!("{name}@example.org"), "name": name, "password": PASSWORD})
}

impl Scene {
    /// Creates the restaurants, menus and accounts, and records everything that writes them.
    pub(super) async fn create_catalogue(&mut self) -> Catalogue {
        let restaurant = self.server.restaurant.to_string();
        let restaurant = restaurant.as_str();
        self.done(Staff, REPLACE_MENU, &[restaurant], full_menu()).await;
        for caller in [Staff, Admin] {
            self.done(caller, AVAILABILITY, &[restaurant, "dal"], json!({"status": "available"})).await;
            let until = json!({"status": "unavailable", "until": "2026-06-01T15:00:00Z"});
            self.done(caller, AVAILABILITY, &[restaurant, "dal"], until).await;
        }
        self.done(Staff, REPLACE, &[restaurant], own_settings()).await;
        for request in [PAUSE, RESUME] {
            self.done(Staff, request, &[restaurant], Value::Null).await;
        }

        let paused = id(&self.done(Admin, CREATE, &[], full_settings()).await).to_owned();
        self.done(Admin, REPLACE_MENU, &[&paused], full_menu()).await;
        self.done(Admin, PAUSE, &[&paused], json!({"until": "2026-06-03T12:00:00Z"})).await;
        let zoned = id(&self.done(Admin, CREATE, &[], zoned_settings("Zone Kitchen")).await).to_owned();
        self.done(Admin, REPLACE_MENU, &[&zoned], full_menu()).await;
        let closed = id(&self.done(Admin, CREATE, &[], settings("Closed Kitchen")).await).to_owned();
        let reason = json!({"reason": "The lease has ended."});
        self.done(Admin, REPLACE_MENU, &[&closed], full_menu()).await;
        self.done(Admin, CLOSE, &[&closed], reason.clone()).await;
        self.done(Admin, REOPEN, &[&closed], Value::Null).await;
        self.done(Admin, CLOSE, &[&closed], reason).await;

        let mut ended_accounts = [const { String::new() }; 2];
        for (name, account) in ["disabled", "deleted"].into_iter().zip(&mut ended_accounts) {
            let mut body = registration(name);
            body["role"] = json!("restaurant");
            id(&self.done(Admin, REGISTER, &[], body).await).clone_into(account);
        }
        let [disabled, deleted] = &ended_accounts;
        self.done(Admin, ADD_MEMBER, &[restaurant, disabled], Value::Null).await;
        self.done(Staff, ADD_MEMBER, &[restaurant, disabled], Value::Null).await;
        self.done(Admin, CHANGE_ACCOUNT, &[disabled], json!({"disabled": true})).await;
        self.done(Admin, "DELETE /v1/accounts/{account_id}", &[deleted], Value::Null).await;
        let customer = self.server.customer.id.to_string();
        self.done(Customer, CHANGE_ACCOUNT, &[&customer], json!({"name": "Asha"})).await;
        let (service, keys) = self.create_service(restaurant).await;
        Catalogue { paused, zoned, closed, ended_accounts, service, keys }
    }

    /// Lets the restaurant of the orders be unattended, and paused by Dabba.
    pub(super) async fn leave_unattended(&mut self) {
        let TestServer { restaurant, staff, .. } = &self.server;
        let (id, account_id, now, store) = (*restaurant, staff.id, self.server.now(), self.server.store());
        let board = ConnectedBoard {
            key: BoardKey { restaurant_id: id, device_id: DEVICE.parse().unwrap() },
            connection: 1,
            device: Some("Kitchen 1".to_owned()),
            account_id,
            connected_at: now,
            is_new: true,
        };
        store.record_boards(std::slice::from_ref(&board), now).await.unwrap();
        let ended = EndedBoard { key: board.key, connection: board.connection, at: now };
        store.disconnect_boards(&[ended]).await.unwrap();
        let mut restaurant = store.catalogue(id).await.unwrap().unwrap().restaurant;
        restaurant.pause = Some(Pause::UNATTENDED);
        let paused = store.pause_unattended(&restaurant, restaurant.revision, now).await.unwrap();
        assert!(matches!(paused, Some(CatalogueUpdate::Done { .. })), "{paused:?}");
        // The server learns of the change, as it would by its next poll.
        let mut document = own_settings();
        document["country"] = json!("GB");
        document["location"] = json!({"lat": 53.45, "lng": -2.22});
        self.done(Staff, REPLACE, &[&id.to_string()], document).await;
    }

    /// Resumes the restaurant of the orders.
    pub(super) async fn resume(&mut self) {
        let restaurant = self.server.restaurant.to_string();
        self.done(Staff, RESUME, &[&restaurant], Value::Null).await;
    }

    /// Creates a service account, which is a member of a restaurant, and two keys.
    async fn create_service(&mut self, restaurant: &str) -> (String, [String; 2]) {
        let body = json!({"name": "Till", "role": "restaurant"});
        let service = id(&self.done(Admin, CREATE_SERVICE, &[], body).await).to_owned();
        for caller in [Admin, Staff] {
            self.done(caller, ADD_MEMBER, &[restaurant, &service], Value::Null).await;
        }
        self.done(Admin, CHANGE_ACCOUNT, &[&service], json!({"name": "Till 1"})).await;
        let restricted = json!({
            "name": "Reader", "scopes": ["orders:read"], "expires_at": "2026-12-31T00:00:00Z",
        });
        let restricted = id(&self.done(Admin, CREATE_KEY, &[&service], restricted).await).to_owned();
        let other =
            id(&self.done(Admin, CREATE_KEY, &[&service], json!({"name": "Front desk"})).await).to_owned();
        let revoke = "DELETE /v1/accounts/{account_id}/keys/{key_id}";
        self.done(Admin, revoke, &[&service, &restricted], Value::Null).await;
        (service, [restricted, other])
    }

    /// Requests quotes with every obstacle, accounts and tokens, as each caller.
    pub(super) async fn request_as_each_caller(&mut self, catalogue: &Catalogue) {
        let restaurant = self.server.restaurant.to_string();
        let line = |item: &str, quantity: u32| json!({"item": item, "quantity": quantity});
        let full = json!({
            "item": "chicken-tikka", "quantity": 1, "note": LINE_NOTE,
            "options": [{"group": "heat", "option": "hot"}, {"group": "dips", "option": "raita", "quantity": 2}],
        });
        let sold_out = json!({
            "item": "thali", "quantity": 3, "options": [{"group": "sweet", "option": "kulfi"}],
        });
        // The paused restaurant charges by the distance.
        let place = json!({"type": "delivery", "address": {"location": {"lat": 53.4575, "lng": -2.2244}}});
        let cart = |lines: Value| json!({"lines": lines, "fulfilment": place, "payment_method": "card"});
        for caller in Caller::ALL {
            for (restaurant, lines) in [
                (&restaurant, json!([full])),
                (&restaurant, json!([sold_out])),
                (&restaurant, json!([line("dal", 1), line("naan", 99), line("feast", 1)])),
                (&restaurant, json!([line("naan", 1)])),
                (&catalogue.paused, json!([line("naan", 4)])),
                (&catalogue.closed, json!([line("naan", 4)])),
            ] {
                self.done(caller, QUOTE, &[restaurant], cart(lines)).await;
            }
            let to = |lat: f64| {
                let address = json!({"location": {"lat": lat, "lng": -2.2244}});
                json!({
                    "lines": [line("naan", 4)], "fulfilment": {"type": "delivery", "address": address},
                })
            };
            for lat in [53.4575, 10.0] {
                self.done(caller, QUOTE, &[&catalogue.zoned], to(lat)).await;
            }
            let new = registration(&format!("new-{}", caller as u8));
            self.done(caller, REGISTER, &[], new.clone()).await;
            // The response contains the account of the e-mail address. A visitor uses the new account: otherwise the
            // table would have to let visitors see the id of an account under test, in any response.
            let known = caller.person(&self.server).map(|person| json!(person.email));
            let email = known.unwrap_or_else(|| new["email"].clone());
            self.done(caller, LOG_IN, &[], json!({"email": email, "password": PASSWORD})).await;
        }
        let restaurant = restaurant.as_str();
        self.done(Staff, ADJUST, &[restaurant, "naan"], json!({"by": 1})).await;
        self.done(Admin, ADJUST, &[restaurant, "naan"], json!({"by": -1})).await;
    }
}
