//! Orders that a caller may not see: every operation responds as if they did not exist (I9).

use dabba_domain::OrderId;
use dabba_testkit::{HttpResponse, TestAccount, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

/// Every command, with valid, invalid and malformed content.
fn commands(own: &str, other: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("accept", json!({"preparation_minutes": 20})),
        ("accept", json!({"preparation_minutes": 1_441})),
        ("accept", json!({"preparation_minutes": -1})),
        ("reject", json!({"reason": "too_busy"})),
        ("reject", json!({"reason": "bored"})),
        ("ready", json!({})),
        ("assign", json!({})),
        ("assign", json!({"courier_id": own})),
        ("assign", json!({"courier_id": own, "reason": "other"})),
        ("assign", json!({"courier_id": own, "note": "because"})),
        ("assign", json!({"courier_id": other})),
        ("assign", json!({"courier_id": other, "reason": "other"})),
        ("assign", json!({"courier_id": 7})),
        ("pick-up", json!({})),
        ("deliver", json!({})),
        ("deliver", json!({"reason": "other"})),
        ("deliver", json!({"note": "because"})),
        ("cancel", json!({"reason": "changed_mind"})),
        ("cancel", json!({"reason": "suspected_fraud"})),
        ("cancel", json!({})),
        ("refund", json!({"reason": "late"})),
        ("refund", json!({"reason": "late", "amount": 0})),
        ("refund", json!({"reason": "late", "amount": 1, "lines": [{"line": 9, "quantity": 0}]})),
        ("refund", json!({"reason": "late", "borne_by": "nobody"})),
    ]
}

/// Returns the caller's response without the ids of the order and of the request.
fn comparable(answer: &HttpResponse, id: &str) -> (u16, String) {
    let request_id = answer.text_at("/request_id");
    (answer.status, answer.text.replace(id, "ORDER").replace(&request_id, "REQUEST"))
}

/// Proves for an order with a courier, one without a courier, one for collection and one that has ended that an actor who may not
/// see it gets byte for byte the same response as for an unknown id, also with `If-Match` and with an idempotency key that was
/// used before.
#[tokio::test]
async fn a_hidden_order_is_indistinguishable_from_an_unknown_one() {
    let server = crate::start().await;
    let unknown = unknown_id(&server);
    let carried = server.place("carried", &TestServer::order()).await;
    server.command(&carried, "assign", &server.courier, &json!({})).send().await.expect(200);
    let free = server.place("free", &TestServer::order()).await;
    let collected = server.place("collected", &TestServer::collection()).await;
    let over = server.place("over", &TestServer::order()).await;
    server.command(&over, "cancel", &server.customer, &json!({"reason": "other"})).send().await.expect(200);
    let used = used_key(&server).await;
    let strangers = [&server.other_customer, &server.other_staff, &server.other_courier];
    let mut not_found_count = 0;
    for order in [&carried, &free, &collected, &over] {
        let id = order["id"].as_str().unwrap();
        for (number, stranger) in strangers.iter().enumerate() {
            let (own, other) = (stranger.id.to_string(), server.courier.id.to_string());
            for (index, (command, body)) in commands(&own, &other).into_iter().enumerate() {
                // A courier may take an order without a courier.
                let is_own = body == json!({}) || body == json!({"courier_id": own});
                if id == free["id"] && number == 2 && command == "assign" && is_own {
                    continue;
                }
                for condition in [None, Some("\"7\""), Some("*")] {
                    for key in [None, Some(format!("{number}-{index}")), Some(used.clone())] {
                        let send = async |id: &str| {
                            send(&server, stranger, id, command, &body, condition, key.as_deref()).await
                        };
                        let (there, nowhere) = (send(id).await, send(&unknown).await);
                        let comparable = (comparable(&there, id), comparable(&nowhere, &unknown));
                        assert_eq!(
                            comparable.0, comparable.1,
                            "{command} {body} by {number}, {condition:?}, {key:?}"
                        );
                        not_found_count += u32::from(there.status == 404);
                    }
                }
            }
            for part in ["", "/events", "/receipt", "/ledger"] {
                let read = async |id: &str| {
                    let answer = server.get(&format!("/v1/orders/{id}{part}"), Some(stranger)).await;
                    comparable(&answer, id)
                };
                assert_eq!(read(id).await, read(&unknown).await, "{part} by {number}");
            }
        }
        let now = server.get(&format!("/v1/orders/{id}"), Some(&server.admin)).await.expect(200);
        let expected = if id == carried["id"] || id == over["id"] { 3 } else { 2 };
        assert_eq!(now["version"], expected, "no request may change the order");
    }
    assert!(not_found_count > 1_000, "{not_found_count}");
}

/// Returns an id of the restaurant's shard that no order has.
fn unknown_id(server: &TestServer) -> String {
    OrderId::generate(server.now(), server.restaurant.bucket(), 12_345).to_string()
}

/// Returns a key that the other customer and the other courier have used with another order of the same restaurant.
async fn used_key(server: &TestServer) -> String {
    let key = "used".to_owned();
    let own = TestServer::order();
    let path = server.orders_path();
    server.post(&path, Some(&server.other_customer), &own).key(&key).send().await.expect(201);
    let taken = server.place("taken", &own).await;
    server.command(&taken, "assign", &server.other_courier, &json!({})).key(&key).send().await.expect(200);
    key
}

async fn send(
    server: &TestServer,
    person: &TestAccount,
    id: &str,
    command: &str,
    body: &Value,
    condition: Option<&str>,
    key: Option<&str>,
) -> HttpResponse {
    let mut request =
        server.request(Method::POST, &format!("/v1/orders/{id}/{command}")).by(person).json(body);
    if let Some(condition) = condition {
        request = request.header("if-match", condition);
    }
    if let Some(key) = key {
        request = request.key(key);
    }
    request.send().await
}
