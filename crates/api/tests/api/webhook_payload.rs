//! Webhooks with the payload `order`: the representation of the order that the owner of the endpoint reads.

use std::{collections::BTreeMap, sync::Arc};

use dabba_engine::{Clock as _, ManualClock, SystemClock};
use dabba_testkit::{TestAccount, TestServer, WebhookReceiver, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::webhook_endpoints::egress;

const ENDPOINTS: &str = "/v1/webhook-endpoints";

/// The orders in received events, by version.
type Orders = BTreeMap<u64, Value>;

async fn start() -> TestServer {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    crate::builder().clock(clock).webhooks(egress()).start().await
}

/// Creates an endpoint, and returns its path.
async fn create(server: &TestServer, by: &TestAccount, body: Value) -> String {
    let made = server.post(ENDPOINTS, Some(by), &body).send().await.expect(201);
    format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap())
}

/// Creates an endpoint of the restaurant with whole orders.
async fn create_whole(server: &TestServer, receiver: &WebhookReceiver, batch: u32) -> String {
    let restaurant = server.restaurant.to_string();
    let body =
        json!({"restaurant_id": restaurant, "url": receiver.url(), "payload": "order", "batch": batch});
    create(server, &server.staff, body).await
}

/// Returns the events of an order that a receiver has received.
fn received(receiver: &WebhookReceiver, order: &Value) -> Vec<Value> {
    let events = receiver.calls().into_iter().flat_map(|call| match call.json() {
        Value::Array(events) => events,
        event => vec![event],
    });
    events.filter(|event| event["partitionkey"] == order["id"]).collect()
}

/// Waits for the events of an order up to a version, and returns the orders in them by version.
async fn orders_until(receiver: &WebhookReceiver, order: &Value, version: &Value) -> Orders {
    let last = version.as_u64().unwrap();
    eventually("the events arrive", async || {
        let events = received(receiver, order);
        let orders: Orders = events
            .iter()
            .map(|event| (event["data"]["version"].as_u64().unwrap(), event["data"]["order"].clone()))
            .collect();
        if (1..=last).all(|version| orders.contains_key(&version)) { Ok(orders) } else { Err(orders) }
    })
    .await
}

async fn read(server: &TestServer, order: &Value, by: &TestAccount) -> Value {
    server.get(&format!("/v1/orders/{}", order["id"].as_str().unwrap()), Some(by)).await.expect(200)
}

/// Proves that each event of an order's life carries the order at its version, exactly as `GET` showed it at this
/// version to the owner: the staff of the restaurant, or an admin. Events without the payload `order` do not contain it.
#[tokio::test]
async fn each_event_carries_the_order_as_its_owner_reads_it() {
    let server = start().await;
    let (own, platform, plain) =
        (WebhookReceiver::start().await, WebhookReceiver::start().await, WebhookReceiver::start().await);
    create_whole(&server, &own, 1).await;
    create(&server, &server.admin, json!({"url": platform.url(), "payload": "order"})).await;
    create(&server, &server.admin, json!({"url": plain.url()})).await;

    let order = server.place("1", &TestServer::order()).await;
    let (mut by_staff, mut by_admin) = (Orders::new(), Orders::new());
    let mut show = async || {
        let (staff, admin) =
            (read(&server, &order, &server.staff).await, read(&server, &order, &server.admin).await);
        let version = staff["version"].as_u64().unwrap();
        by_staff.insert(version, staff);
        by_admin.insert(version, admin.clone());
        admin["version"].clone()
    };
    show().await;
    let nothing = json!({});
    let mut last = Value::Null;
    for (command, person, body) in [
        ("accept", &server.staff, json!({"preparation_minutes": 20})),
        ("assign", &server.courier, nothing.clone()),
        ("ready", &server.staff, nothing.clone()),
        ("pick-up", &server.courier, nothing.clone()),
        ("deliver", &server.courier, nothing),
        ("refund", &server.admin, json!({"amount": 100, "reason": "late"})),
    ] {
        server.command(&order, command, person, &body).send().await.expect(200);
        last = show().await;
    }
    assert!(by_staff.values().any(|order| !order["allowed_actions"].as_array().unwrap().is_empty()));
    for (receiver, shown) in [(&own, &by_staff), (&platform, &by_admin)] {
        let sent = orders_until(receiver, &order, &last).await;
        for (version, sent) in &sent {
            assert_eq!(sent["version"], *version, "{sent}");
            if let Some(shown) = shown.get(version) {
                assert_eq!(sent, shown);
            }
        }
        assert_eq!(sent[&1]["status"], "created");
        assert!(shown.len() >= 6, "{shown:?}");
    }
    let without = orders_until(&plain, &order, &last).await;
    assert!(without.values().all(Value::is_null), "{without:?}");
}

/// Proves that deliveries that are late, because the endpoint failed, contain the order as it was at each version, not
/// as it is now.
#[tokio::test]
async fn a_retried_event_carries_the_order_as_it_was() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let path = create_whole(&server, &receiver, 1).await;
    receiver.respond_with(500);
    let order = server.place("1", &TestServer::order()).await;
    let confirmed = read(&server, &order, &server.staff).await;
    eventually("the failure is stored", async || {
        let listed = server.get(&format!("{path}/failures"), Some(&server.staff)).await.expect(200);
        if listed["failures"].get(0).is_some() { Ok(()) } else { Err(listed) }
    })
    .await;
    let accept = json!({"preparation_minutes": 20});
    server.command(&order, "accept", &server.staff, &accept).send().await.expect(200);
    let accepted = read(&server, &order, &server.staff).await;
    receiver.respond_with(204);
    let sent = orders_until(&receiver, &order, &accepted["version"]).await;
    assert_eq!((&sent[&1]["status"], &sent[&1]["version"]), (&json!("created"), &json!(1)));
    assert_eq!((&sent[&2], &sent[&3]), (&confirmed, &accepted));
}

/// Proves that each event of a batch carries its own order at its own version.
#[tokio::test]
async fn each_event_of_a_batch_carries_its_order() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let path = create_whole(&server, &receiver, 100).await;
    let disable = server.request(Method::PATCH, &path).by(&server.staff).json(&json!({"enabled": false}));
    disable.send().await.expect(200);
    let mut shown = Vec::new();
    for number in 0..5 {
        let order = server.place(&number.to_string(), &TestServer::order()).await;
        shown.push(read(&server, &order, &server.staff).await);
        let accept = json!({"preparation_minutes": 20});
        server.command(&order, "accept", &server.staff, &accept).send().await.expect(200);
        shown.push(read(&server, &order, &server.staff).await);
    }
    server.post(&format!("{path}/enable"), Some(&server.staff), &json!({})).send().await.expect(200);
    for order in &shown {
        let sent = orders_until(&receiver, order, &order["version"]).await;
        assert_eq!(sent[&order["version"].as_u64().unwrap()], *order);
    }
    let sizes = receiver.calls().into_iter().map(|call| call.json().as_array().unwrap().len());
    assert!(sizes.max() > Some(1));
}
