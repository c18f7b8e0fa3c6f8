//! All tests of the API that use a store, and their shared functions. Each test target that includes this file defines
//! `crate::builder()`, which returns a builder of a server with the target's store.

mod access;
mod accounts;
mod amounts;
mod authorization;
mod board_devices;
mod boards;
mod commands;
mod events;
mod examples;
mod expiry;
mod hidden;
mod idempotency;
mod keys;
mod lists;
mod menus;
mod near;
mod operations;
mod payments;
mod placing;
mod preview;
mod protocol;
mod reading;
mod refusals;
mod registering;
mod restaurants;
mod search;
mod sessions;
mod shutdown;
mod statistics;
mod stock;
mod taxes;
mod texts;
mod tokens;
mod tracking;
mod unavailable;
mod visible_fields;
mod webhook_endpoints;
mod webhook_payload;
mod zones;

use dabba_testkit::{HttpResponse, TestServer};
use serde_json::{Value, json};

/// Gives commands to an order in sequence, up to and including the given one.
pub(crate) async fn walk_to(server: &TestServer, order: &Value, last: &str) -> Value {
    let TestServer { staff, courier, .. } = server;
    let nothing = json!({});
    let steps = [
        ("accept", staff, json!({"preparation_minutes": 20})),
        ("assign", courier, nothing.clone()),
        ("ready", staff, nothing.clone()),
        ("pick-up", courier, nothing.clone()),
        ("deliver", courier, nothing),
    ];
    for (command, person, body) in steps {
        let order = server.command(order, command, person, &body).send().await.expect(200);
        if command == last {
            return order;
        }
    }
    panic!("unknown step {last}");
}

/// Returns the commands that a caller may give now, as the order lists them.
pub(crate) fn allowed(order: &Value) -> Vec<&str> {
    let actions = order["allowed_actions"].as_array().unwrap();
    actions.iter().map(|action| action["command"].as_str().unwrap()).collect()
}

/// Returns the ids in a list of orders.
pub(crate) fn ids(orders: &Value) -> Vec<String> {
    orders["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the value of a measurement, found by a text that its line contains.
pub(crate) fn metric(metrics: &HttpResponse, line_contains: &str) -> u64 {
    let line = metrics.text.lines().find(|line| !line.starts_with('#') && line.contains(line_contains));
    let line = line.unwrap_or_else(|| panic!("no {line_contains} in\n{}", metrics.text));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Sends these bytes and returns everything that the server sends until it closes the connection.
pub(crate) async fn raw(server: &TestServer, bytes: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(dabba_testkit::PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

/// Starts a server with the default configuration on this target's store.
pub(crate) async fn start() -> TestServer {
    crate::builder().start().await
}
