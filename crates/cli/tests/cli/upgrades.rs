//! Servers of two versions on one PostgreSQL database, during a migration and under load.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use dabba_pg_cluster::Cluster;
use dabba_sim::Client;
use dabba_store::encoding::{ORDER_FORMAT, RESTAURANT_FORMAT};
use dabba_store_postgres::PostgresOptions;
use dabba_testkit::{equal, eventually};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::support::{Server, becomes, block_on, failure, stdout};

/// The schema before the newest one.
const BEFORE: u32 = PostgresOptions::NEWEST_SCHEMA - 1;

/// Number of orders that each server acknowledges before the test continues.
const ENOUGH: usize = 20;

/// A client that places orders at a server, one after the other, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    /// Keys and ids of the orders so far.
    placed: watch::Receiver<Vec<(String, String)>>,
    running: JoinHandle<()>,
}

impl Load {
    /// Starts a client whose keys begin with `name`. Every order must be acknowledged.
    fn start(server: &Server, name: &'static str) -> Self {
        let (stop, (placing, placed)) = (Arc::new(AtomicBool::new(false)), watch::channel(Vec::new()));
        let (client, order) = (server.client("customer"), server.announcement["order"].clone());
        let path = server.orders_path();
        let running = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                block_on(async {
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let key = format!("{name}-{number}");
                        let answer =
                            client.post(&path).idempotency_key(&key).json(&order).send().await.unwrap();
                        let id = answer.body["id"].as_str().unwrap().to_owned();
                        placing.send_modify(|placed| placed.push((key, id)));
                    }
                });
            }
        });
        Self { stop, placed, running }
    }

    /// Waits until more orders are placed.
    fn goes_on(&self) {
        let before = self.placed.borrow().len();
        let goes_on = becomes(&self.placed, |placed| placed.len() >= before + ENOUGH);
        assert!(goes_on, "an order was refused or is not answered");
    }

    /// Stops the client. Returns the keys and ids of the orders.
    fn end(self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.running.join().unwrap();
        self.placed.borrow().clone()
    }
}

async fn replayed(client: &Client, restaurant: &str, key: &str, order: &Value) -> String {
    let path = format!("/v1/restaurants/{restaurant}/orders");
    let answer = client.post(&path).idempotency_key(key).json(order).send().await.unwrap();
    answer.body["id"].as_str().unwrap().to_owned()
}

/// Proves that a server of the previous version continues while a newer server migrates the database under load; that both place
/// orders, replay each other's requests and advance each other's orders; and that the older version can be restarted.
#[test]
fn two_versions_serve_through_a_migration_under_load() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let on_database = ["--database", url.as_str()];
    let schema = || cluster.execute(&database, "SELECT max(version) FROM schema_versions").unwrap();

    let older = Server::start_knowing(BEFORE, data.path(), &on_database);
    assert_eq!(schema().trim(), BEFORE.to_string());
    let load = Load::start(&older, "older");
    load.goes_on();
    let newer = Server::start(data.path(), &on_database);
    assert_eq!(schema().trim(), PostgresOptions::NEWEST_SCHEMA.to_string());
    let newer_load = Load::start(&newer, "newer");
    load.goes_on();
    newer_load.goes_on();
    block_on(async {
        assert_eq!((older.readiness().await, newer.readiness().await), (200, 200));
    });
    let (of_older, of_newer) = (load.end(), newer_load.end());
    let restaurant = older.announced_text("/restaurant_id");
    block_on(async {
        // Each server replays the requests of the other one.
        for (server, orders) in [(&newer, &of_older), (&older, &of_newer)] {
            for (key, id) in orders {
                let order = &server.announcement["order"];
                assert_eq!(replayed(&server.client("customer"), &restaurant, key, order).await, *id);
            }
        }
        let accept = |server: &Server, id: &str| {
            let path = format!("/v1/orders/{id}/accept");
            server.client("restaurant").post(&path).json(&json!({"preparation_minutes": 10})).send()
        };
        assert_eq!(accept(&newer, &of_older[0].1).await.unwrap().body["status"], "preparing");
        assert_eq!(accept(&older, &of_newer[0].1).await.unwrap().body["status"], "preparing");
    });
    older.stop();
    // A rollback: the older version starts on the newer schema.
    let older = Server::start_knowing(BEFORE, data.path(), &on_database);
    block_on(async { assert_eq!(older.readiness().await, 200) });
    older.stop();
    newer.stop();
    let report: Value =
        serde_json::from_str(&stdout(data.path(), &["audit", "--json", "--database", &url])).unwrap();
    assert_eq!(report["orders"], of_older.len() + of_newer.len(), "{report}");
}

/// Proves that an order with an event of a newer version is shown with that event, that each command on it is refused so that a
/// retry can reach a newer server, that other orders are not affected, and that the audit reports the order.
#[test]
fn an_order_of_a_newer_version_is_shown_and_not_changed() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    let (restaurant, order) = (server.announced_text("/restaurant_id"), server.announcement["order"].clone());
    let place = async |key: &str| replayed(&server.client("customer"), &restaurant, key, &order).await;
    let (id, other) = block_on(async { (place("one").await, place("two").await) });
    let newer = format!(
        "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
            SELECT order_id, version + 1, at_ns, 'held_back', actor, '{{\"minutes\":5}}' FROM order_events \
            WHERE order_id = '{id}' AND version = 2; \
         UPDATE orders SET version = 3, format = {newer} WHERE id = '{id}'",
        newer = ORDER_FORMAT + 1,
    );
    cluster.execute(&database, &newer).unwrap();
    block_on(async {
        let (customer, kitchen) = (server.client("customer"), server.client("restaurant"));
        let shown = customer.get(&format!("/v1/orders/{id}")).send().await.unwrap().body;
        assert_eq!((&shown["version"], &shown["allowed_actions"]), (&json!(3), &json!([])));
        // Nobody knows whom the content of an unknown event is for, so only operations see it.
        let events = customer.get(&format!("/v1/orders/{id}/events")).send().await.unwrap().body;
        assert_eq!(
            (&events["events"][2]["type"], &events["events"][2]["data"]),
            (&json!("held_back"), &Value::Null)
        );
        let events =
            server.client("admin").get(&format!("/v1/orders/{id}/events")).send().await.unwrap().body;
        let last = &events["events"][2];
        assert_eq!((&last["type"], &last["data"]), (&json!("held_back"), &json!({"minutes": 5})), "{events}");
        let listed = customer.get("/v1/orders").send().await.unwrap().body;
        assert_eq!(listed["orders"].as_array().unwrap().len(), 2, "{listed}");

        let accept = json!({"preparation_minutes": 10});
        for (client, command, body) in [
            (&kitchen, "accept", accept.clone()),
            (&kitchen, "reject", json!({"reason": "too_busy"})),
            (&customer, "cancel", json!({"reason": "changed_mind"})),
        ] {
            let path = format!("/v1/orders/{id}/{command}");
            let error = client.post(&path).json(&body).send().await.unwrap_err();
            let problem = error.problem().unwrap();
            assert_eq!((problem.status, problem.code.as_str()), (503, "unavailable"), "{command}");
        }
        let path = format!("/v1/orders/{other}/accept");
        assert_eq!(kitchen.post(&path).json(&accept).send().await.unwrap().body["status"], "preparing");
    });
    server.stop();
    let report = stdout(data.path(), &["audit", "--database", &url]);
    assert!(report.contains("written_by_newer") && report.contains("held_back"), "{report}");
}

/// Proves that a version that the schema excludes refuses to serve, and names the required version.
#[test]
fn an_incompatible_version_refuses_to_serve() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    stdout(data.path(), &["migrate", "--database", &url]);
    let newer = PostgresOptions::NEWEST_SCHEMA + 1;
    let state = format!(
        "INSERT INTO schema_versions VALUES ({newer}, {newer}); \
         INSERT INTO refinery_schema_history SELECT {newer}, 'newer', applied_on, checksum FROM refinery_schema_history LIMIT 1"
    );
    cluster.execute(&database, &state).unwrap();
    for command in ["serve", "work", "migrate", "audit"] {
        let text = failure(Path::new(data.path()), &[command, "--database", &url]);
        assert!(text.contains("upgrade it") && text.contains(&newer.to_string()), "{command}: {text}");
    }
}

/// Proves that a server drops a cached restaurant when a newer version replaces it, still shows its orders, and leaves the
/// order's tasks to a newer server without counting a failure.
#[test]
fn a_restaurant_of_a_newer_version_is_not_used() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url, "--task-poll-milliseconds", "20"]);
    let (restaurant, order) = (server.announced_text("/restaurant_id"), server.announcement["order"].clone());
    let kitchen = server.client("restaurant");
    let id = block_on(replayed(&server.client("customer"), &restaurant, "one", &order));
    let quoted = async || {
        let cart = json!({"lines": order["lines"], "fulfilment": "collection"});
        let path = format!("/v1/restaurants/{restaurant}/quotes");
        match server.client("customer").post(&path).json(&cart).send().await {
            Ok(_) => 200,
            Err(error) => error.problem().unwrap().status,
        }
    };
    assert_eq!(block_on(quoted()), 200);
    let newer = format!(
        "UPDATE restaurants SET format = {restaurant_format}, revision = revision + 1 WHERE id = '{restaurant}'; \
         UPDATE orders SET format = {order_format}, acceptance_deadline_ns = NULL WHERE id = '{id}'; \
         UPDATE tasks SET run_at_ns = 1 WHERE order_id = '{id}'",
        restaurant_format = RESTAURANT_FORMAT + 1,
        order_format = ORDER_FORMAT + 1,
    );
    cluster.execute(&database, &newer).unwrap();
    block_on(eventually("the server drops its cached restaurant", async || equal(quoted().await, &503)));
    block_on(async {
        let listed = kitchen.get(&format!("/v1/restaurants/{restaurant}/orders")).send().await.unwrap().body;
        assert_eq!(listed["orders"][0]["id"], id.as_str(), "{listed}");
        let menu = kitchen.get(&format!("/v1/restaurants/{restaurant}/menu")).send().await.unwrap_err();
        assert_eq!(menu.problem().unwrap().status, 503);
    });
    let attempts = format!("SELECT count(*) FROM tasks WHERE order_id = '{id}' AND attempts > 0");
    cluster.wait_for_result(&database, &attempts, "1").unwrap();
    let failures = format!("SELECT sum(jsonb_array_length(failures)) FROM tasks WHERE order_id = '{id}'");
    assert_eq!(cluster.execute(&database, &failures).unwrap(), "0");
    server.stop();
}
