//! Databases of earlier builds, which the present build must migrate, audit, list, advance and refund.
//!
//! `tests/fixtures/COMMIT` contains the output of `scripts/write-fixture` with the build of that commit: a dump of each store,
//! and the responses of that build's API.

use std::{collections::BTreeSet, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use dabba_pg_cluster::Cluster;
use dabba_sim::Client;
use dabba_testkit::eventually;
use serde_json::{Value, json};

use super::{
    provider::Provider,
    support::{Server, block_on, stdout},
};

/// Records of an earlier build about the database that it wrote.
pub(crate) struct Past {
    facts: Value,
}

/// A restored database with the address and the clients of a server.
struct Present {
    server: Server,
    admin: Client,
    customer: Client,
    restaurant: Client,
    courier: Client,
}

impl Present {
    fn client(&self, role: &str) -> &Client {
        match role {
            "admin" => &self.admin,
            "customer" => &self.customer,
            "restaurant" => &self.restaurant,
            "courier" => &self.courier,
            _ => panic!("there is no client of the role {role}"),
        }
    }
}

impl Past {
    pub(crate) fn read(facts: &str) -> Self {
        Self { facts: serde_json::from_str(facts).unwrap() }
    }

    fn orders(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.facts["orders"].as_object().unwrap().iter().map(|(name, past)| (name.as_str(), past))
    }

    fn path(&self, name: &str) -> String {
        format!("/v1/orders/{}", self.facts["orders"][name]["order"]["id"].as_str().unwrap())
    }

    /// Proves that the audit finds no breach. Warnings are allowed: the old tasks are overdue.
    fn audit(data: &Path, store: &[&str]) {
        let arguments = [&["audit", "--json", "--data", data.to_str().unwrap()], store].concat();
        let report: Value = serde_json::from_str(&stdout(data, &arguments)).unwrap();
        assert_eq!(report["breaches"], json!(0), "{report}");
    }

    /// Starts a server that processes tasks if `works` is true.
    fn serve(&self, data: &Path, store: &[&str], provider: &Provider, work: &str) -> Present {
        let address = provider.address();
        let payments = ["--payment-gateway", "simulated", "--payment-url", &address];
        let fixed = ["--listen", "127.0.0.1:0", "--log", "error", "--work", work];
        let server = Server::serve(data, &[&fixed[..], &payments, store].concat());
        let client = |role: &str| {
            let account = self.facts["demo_accounts"][role].as_str().unwrap();
            let data = data.to_str().unwrap();
            let token =
                stdout(Path::new("/"), &["token", "--role", role, "--account", account, "--data", data]);
            Client::new(&server.announced_text("/address")).unwrap().with_token(token.trim())
        };
        let [admin, customer, restaurant, courier] =
            ["admin", "customer", "restaurant", "courier"].map(client);
        Present { server, admin, customer, restaurant, courier }
    }

    /// Proves that every order, its history, and the menus and stock are unchanged.
    async fn is_read(&self, present: &Present) {
        for (name, past) in self.orders() {
            let path = self.path(name);
            let order = present.admin.get(&path).send().await.unwrap().body;
            contains(&order, &stated_once(&without(&past["order"], &["allowed_actions"])), name);
            let history = present.admin.get(&format!("{path}/events")).send().await.unwrap().body;
            contains(&history["events"], &stated_once(&past["events"]), name);
            let ledger = present.admin.get(&format!("{path}/ledger")).send().await.unwrap().body;
            for posting in ledger["postings"].as_array().unwrap() {
                let entries = posting["entries"].as_array().unwrap().iter();
                let sum: i64 = entries.map(|entry| entry["amount"].as_i64().unwrap()).sum();
                assert_eq!(sum, 0, "{name}: {posting}");
            }
        }
        for (name, id) in self.facts["restaurants"].as_object().unwrap() {
            let path = format!("/v1/restaurants/{}", id.as_str().unwrap());
            let menu = present.admin.get(&format!("{path}/menu")).send().await.unwrap().body;
            contains(&menu, &without(&self.facts["menus"][name], &["revision"]), name);
            let stock = present.admin.get(&format!("{path}/stock")).send().await.unwrap().body;
            contains(&stock, &self.facts["stock"][name], name);
        }
    }

    /// Proves that the list of all orders contains exactly the old orders.
    async fn is_listed(&self, present: &Present) {
        let mut listed = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = present.admin.get(&format!("/v1/orders?limit=10{cursor}")).send().await.unwrap().body;
            let orders = page["orders"].as_array().unwrap().iter();
            listed.extend(orders.map(|order| order["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut expected: Vec<_> =
            self.orders().map(|(_, past)| past["order"]["id"].as_str().unwrap().to_owned()).collect();
        expected.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }

    /// Proves that a retry of a request that the earlier build answered returns the same order.
    async fn is_replayed(&self, present: &Present) {
        for (name, past) in self.orders() {
            let placement = &past["placement"];
            let text = |member: &str| placement[member].as_str().unwrap();
            let call = present.customer.post(text("path")).idempotency_key(text("key"));
            let answer = call.json(&placement["body"]).send().await.unwrap();
            assert!(answer.replayed, "{name}");
            assert_eq!(answer.body["id"], past["order"]["id"], "{name}");
        }
    }

    /// Proves that a retry of a command that the earlier build executed returns the order after that command.
    async fn is_done_once(&self, present: &Present) {
        let commands = self.facts["commands"].as_array().unwrap();
        let given: BTreeSet<_> = commands.iter().map(|command| command["path"].as_str().unwrap()).collect();
        let names: BTreeSet<_> = given.iter().filter_map(|path| path.rsplit('/').next()).collect();
        let all = ["accept", "assign", "cancel", "deliver", "pick-up", "ready", "refund", "reject"];
        assert_eq!(names, all.into());
        for command in commands {
            let text = |member: &str| command[member].as_str().unwrap();
            let client = present.client(text("role"));
            let mut call = client.post(text("path")).idempotency_key(text("key"));
            if !command["body"].is_null() {
                call = call.json(&command["body"]);
            }
            let answer = call.send().await.unwrap();
            assert!(answer.replayed, "{command}");
            assert_eq!(answer.body["version"], command["version"], "{command}");
        }
    }

    /// Proves that ids that the earlier build generated stay with their dishes when a menu without ids has a new dish at the
    /// beginning.
    async fn keeps_ids(&self, present: &Present) {
        for restaurant in ["ramen", "hasty"] {
            let id = self.facts["restaurants"][restaurant].as_str().unwrap();
            let path = format!("/v1/restaurants/{id}/menu");
            let before = present.admin.get(&path).send().await.unwrap().body;
            let names = ["Tsukemen", "Gyoza", "味噌ラーメン", "醤油ラーメン"];
            let items = names.map(|name| json!({"name": name, "price_minor": 900}));
            let menu = json!({"categories": [{"name": "麺", "items": items}]});
            let after = present.admin.put(&path).if_match("*").json(&menu).send().await.unwrap().body;
            let of = |menu: &Value, name: &str| {
                let items = menu["categories"][0]["items"].as_array().unwrap();
                items.iter().find(|item| item["name"] == name).unwrap().clone()
            };
            for name in &names[1..] {
                let (before, after) = (of(&before, name), of(&after, name));
                for member in ["id", "availability", "stock_limited"] {
                    assert_eq!(before[member], after[member], "{name}");
                }
            }
            let past = &self.facts["menus"][restaurant];
            for name in &names[1..] {
                assert_eq!(of(&after, name)["id"], of(past, name)["id"], "{name}");
            }
        }
    }

    /// Proves that an API key, a tracking link, a webhook endpoint with its sealed secret, and a closed restaurant are as the
    /// earlier build left them.
    async fn keeps_credentials(&self, present: &Present) {
        let text = |name: &str| self.facts["credentials"][name].as_str().unwrap();
        let stranger = Client::new(&present.server.announced_text("/address")).unwrap();
        let by_key = stranger.with_token(text("key"));
        let listed = by_key.get("/v1/orders?limit=1").send().await.unwrap().body;
        assert_eq!(listed["orders"].as_array().unwrap().len(), 1);
        let refused = by_key.get("/v1/accounts").send().await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "the key has the scope orders:read");
        let shown = stranger.get(&format!("/v1/tracking/{}", text("link"))).send().await.unwrap().body;
        assert_eq!(shown["order"]["id"], self.facts["orders"]["preparing"]["order"]["id"]);
        let endpoint = format!("/v1/webhook-endpoints/{}", text("webhook"));
        let endpoint = present.admin.get(&endpoint).send().await.unwrap().body;
        assert_eq!(endpoint["url"], "https://hooks.dabba.invalid/dabba");
        let ready = stranger.get("/readyz").send().await.unwrap().body;
        assert_eq!(ready, json!({"status": "ok"}), "the secrets key opens the endpoint's secret");
        let closed = format!("/v1/restaurants/{}", text("closed"));
        let closed = present.admin.get(&closed).send().await.unwrap().body;
        assert_eq!((&closed["external_id"], closed["closed"].is_object()), (&json!("fixture-closed"), true));
    }

    /// Proves that the device of a board and the counts of the statistics are as the earlier build left them. The orders that
    /// this test has cancelled meanwhile may be counted, too.
    async fn keeps_board_and_statistics(&self, present: &Present) {
        let restaurant = self.facts["restaurants"]["demo"].as_str().unwrap();
        let path = format!("/v1/restaurants/{restaurant}/boards");
        let boards = present.admin.get(&path).send().await.unwrap().body;
        assert_eq!(boards["boards"].as_array().unwrap().len(), 1);
        contains(&boards["boards"][0], &self.facts["board"], "the board");
        assert_eq!(boards["boards"][0]["connected"], false);
        let past = &self.facts["statistics"];
        let names: Vec<&str> = past.as_object().unwrap().keys().map(String::as_str).collect();
        let path = format!("/v1/statistics?names={}", names.join(","));
        let read = present.admin.get(&path).send().await.unwrap().body;
        for series in read["series"].as_array().unwrap() {
            let points = series["points"].as_array().unwrap();
            let count: u64 = points.iter().map(|point| point["count"].as_u64().unwrap()).sum();
            let name = series["name"].as_str().unwrap();
            let past = past[name].as_u64().unwrap();
            let is_kept = if name == "orders_cancelled" { count >= past } else { count == past };
            assert!(is_kept, "{name}: {count}, not {past}");
        }
        assert_eq!(read["series"].as_array().unwrap().len(), names.len());
    }

    /// Proves that the old passwords are still valid.
    async fn is_signed_in(&self, present: &Present) {
        for (role, account) in self.facts["accounts"].as_object().unwrap() {
            let credentials = json!({"email": account["email"], "password": account["password"]});
            let stranger = Client::new(&present.server.announced_text("/address")).unwrap();
            let answer = stranger.post("/v1/tokens").json(&credentials).send().await.unwrap();
            assert!(answer.body["access_token"].is_string(), "{role}");
        }
    }

    /// Proves that refunds continue from the earlier build's state: cash refunds at once, card refunds as requests.
    async fn is_refunded(&self, present: &Present) {
        let whole = json!({"reason": "quality", "borne_by": "everyone"});
        for (name, status) in [
            ("delivered", "refunded"),
            ("collected", "refunded"),
            ("refunded line", "refunded"),
            ("refunded by platform", "refunded"),
            ("card delivered", "delivered"),
            ("card refunded in part", "delivered"),
        ] {
            let path = format!("{}/refund", self.path(name));
            let order = present.admin.post(&path).json(&whole).send().await.unwrap().body;
            assert_eq!(order["status"], status, "{name}: {order}");
        }
    }

    /// Proves that open orders continue from their current status.
    async fn goes_on(&self, present: &Present) {
        for name in
            ["confirmed", "preparing", "ready", "on the way", "ramen", "card confirmed", "card preparing"]
        {
            let path = format!("{}/cancel", self.path(name));
            let order =
                present.admin.post(&path).json(&json!({"reason": "other"})).send().await.unwrap().body;
            assert_eq!(order["status"], "cancelled", "{name}: {order}");
        }
    }

    /// Proves that the old tasks are processed: an order that waits for its payment is paid, or ends because its payment deadline
    /// has passed, whichever task comes first.
    async fn is_worked(&self, present: &Present) {
        let path = self.path("card created");
        eventually("the order's tasks are processed", async || {
            let order = present.admin.get(&path).send().await.unwrap().body;
            if order["status"] == "created" { Err(order) } else { Ok(()) }
        })
        .await;
    }

    /// Runs all checks on a restored database.
    pub(crate) fn is_kept(&self, data: &Path, store: &[&str]) {
        if let Some(key) = self.facts["secrets_key"].as_str() {
            write_secret(&data.join("secrets-key"), key);
        }
        stdout(data, &[&["migrate", "--data", data.to_str().unwrap()], store].concat());
        Self::audit(data, store);
        let provider = Provider::start(&[]);
        let present = self.serve(data, store, &provider, "false");
        block_on(async {
            self.is_read(&present).await;
            self.is_listed(&present).await;
            self.is_replayed(&present).await;
            self.is_done_once(&present).await;
            self.is_signed_in(&present).await;
            self.is_refunded(&present).await;
            self.goes_on(&present).await;
            self.keeps_ids(&present).await;
            if self.facts["credentials"].is_object() {
                self.keeps_credentials(&present).await;
            }
            if self.facts["statistics"].is_object() {
                self.keeps_board_and_statistics(&present).await;
            }
        });
        present.server.stop();
        Self::audit(data, store);
        let present = self.serve(data, store, &provider, "true");
        block_on(self.is_worked(&present));
        present.server.stop();
        Self::audit(data, store);
    }
}

/// Returns the object without these members.
fn without(object: &Value, members: &[&str]) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().retain(|name, _| !members.contains(&name.as_str()));
    object
}

/// Returns a response of the earlier build without the id of the restaurant in actors and in the content of `placed`: the
/// order, which has an id of its own, states the restaurant.
fn stated_once(past: &Value) -> Value {
    match past {
        Value::Object(members) => {
            let has_id = members.contains_key("id");
            let kept = members.iter().filter(|(name, _)| has_id || *name != "restaurant_id");
            kept.map(|(name, value)| (name.clone(), stated_once(value))).collect()
        }
        Value::Array(values) => values.iter().map(stated_once).collect(),
        other => other.clone(),
    }
}

/// Asserts that `present` contains all members of `past`; `present` may contain more.
fn contains(present: &Value, past: &Value, place: &str) {
    match (present, past) {
        (Value::Object(present), Value::Object(past)) => {
            for (name, past) in past {
                let present = present.get(name).unwrap_or(&Value::Null);
                contains(present, past, &format!("{place}/{name}"));
            }
        }
        (Value::Array(present), Value::Array(past)) => {
            assert_eq!(present.len(), past.len(), "{place}: {present:?}");
            for (number, (present, past)) in present.iter().zip(past).enumerate() {
                contains(present, past, &format!("{place}/{number}"));
            }
        }
        _ => assert_eq!(present, past, "{place}"),
    }
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Returns SQL that sets the time of the old idempotency keys to the present, so that their retention does not depend on the
/// date.
pub(crate) fn claim_now() -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("UPDATE idempotency_keys SET claimed_at_ns = {now}")
}

/// Returns SQL that also moves the board and the statistics to the present, because both are kept for 30 days.
fn happened_now() -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let (now_ns, minute) = (now.as_nanos(), now.as_secs() / 60 - 2);
    // Through negative minutes, so that no row gets the minute of another one meanwhile.
    format!(
        "{}; UPDATE boards SET connected_at_ns = {now_ns}, last_seen_at_ns = {now_ns}, check_at_ns = {now_ns}; \
         UPDATE statistics SET minute = -minute - 1; \
         UPDATE statistics SET minute = -minute - 1 + {minute} + (SELECT min(minute) + 1 FROM statistics)",
        claim_now()
    )
}

/// Checks a database of the embedded store.
fn check_embedded(dump: &str, facts: &str, times: &str) {
    let directory = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(directory.path().join("dabba.db")).unwrap();
    database.execute_batch(dump).unwrap();
    database.execute_batch(times).unwrap();
    drop(database);
    Past::read(facts).is_kept(directory.path(), &[]);
}

/// Uses up the numbers of the transactions that wrote the events in another cluster. Dabba refuses a database whose events are
/// numbered beyond the transactions of its cluster.
const PASS_TRANSACTIONS: &str = "DO $$ DECLARE last bigint; BEGIN \
    SELECT max(transaction_id::text::bigint) INTO last FROM order_events; \
    WHILE pg_current_xact_id()::text::bigint <= last LOOP COMMIT; END LOOP; END $$";

/// Checks a database of PostgreSQL.
fn check_postgresql(dump: &str, facts: &str, times: &str) {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    cluster.execute_script(&database, dump).unwrap();
    cluster.execute_script(&database, times).unwrap();
    cluster.execute(&database, PASS_TRANSACTIONS).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.url(&database);
    Past::read(facts).is_kept(directory.path(), &["--database", &url]);
}

/// Proves that a database of commit 9d8743c in the embedded store, with orders in every status, keeps its meaning.
#[test]
fn the_embedded_store_of_9d8743c_keeps_its_meaning() {
    check_embedded(
        include_str!("../fixtures/9d8743c/sqlite.sql"),
        include_str!("../fixtures/9d8743c/sqlite.json"),
        &claim_now(),
    );
}

/// Proves the same on PostgreSQL.
#[test]
fn postgresql_of_9d8743c_keeps_its_meaning() {
    check_postgresql(
        include_str!("../fixtures/9d8743c/postgres.sql"),
        include_str!("../fixtures/9d8743c/postgres.json"),
        &claim_now(),
    );
}

/// Proves that a database of commit 89c0741d in the embedded store, with API keys, tracking links and webhooks, keeps its
/// meaning.
#[test]
fn the_embedded_store_of_89c0741d_keeps_its_meaning() {
    check_embedded(
        include_str!("../fixtures/89c0741d/sqlite.sql"),
        include_str!("../fixtures/89c0741d/sqlite.json"),
        &claim_now(),
    );
}

/// Proves the same on PostgreSQL.
#[test]
fn postgresql_of_89c0741d_keeps_its_meaning() {
    check_postgresql(
        include_str!("../fixtures/89c0741d/postgres.sql"),
        include_str!("../fixtures/89c0741d/postgres.json"),
        &claim_now(),
    );
}

/// Proves that a database of commit e9733ddf in the embedded store, with a recorded board and statistics, keeps its meaning.
#[test]
fn the_embedded_store_of_e9733ddf_keeps_its_meaning() {
    check_embedded(
        include_str!("../fixtures/e9733ddf/sqlite.sql"),
        include_str!("../fixtures/e9733ddf/sqlite.json"),
        &happened_now(),
    );
}

/// Proves the same on PostgreSQL.
#[test]
fn postgresql_of_e9733ddf_keeps_its_meaning() {
    check_postgresql(
        include_str!("../fixtures/e9733ddf/postgres.sql"),
        include_str!("../fixtures/e9733ddf/postgres.json"),
        &happened_now(),
    );
}
