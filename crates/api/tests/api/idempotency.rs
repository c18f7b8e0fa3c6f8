//! Idempotency keys: one key, one order; one key, one command.

use std::collections::HashSet;

use dabba_testkit::TestServer;
use futures::future::join_all;
use serde_json::json;

use crate::{ids, walk_to};

/// Proves I1 over HTTP: if 64 clients send the same request at once, the order is placed once, and all get the same
/// response.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_with_one_key_place_one_order() {
    let server = crate::start().await;
    let order = TestServer::order();
    let clients = (0..64).map(|_| {
        server.post(&server.orders_path(), Some(&server.customer), &order).key("\"the same\"").send()
    });
    let answers = join_all(clients).await;
    let bodies: HashSet<_> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(answers.iter().all(|answer| answer.status == 201));
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1, "one request must place the order, and the others must be marked as replayed");
    let listed = server.get("/v1/orders", Some(&server.customer)).await.expect(200);
    assert_eq!(ids(&listed).len(), 1);
}

/// Proves that a key belongs to one request, and that both forms of a key are the same key.
#[tokio::test]
async fn a_key_is_for_one_request() {
    let server = crate::start().await;
    let path = server.orders_path();
    let place = |order: &serde_json::Value, key: &str| {
        server.post(&path, Some(&server.customer), order).key(key).send()
    };
    let placed = place(&TestServer::order(), "k-1").await.expect(201);
    let again = place(&TestServer::order(), "\"k-1\"").await;
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &placed));
    place(&TestServer::collection(), "k-1").await.problem(422, "idempotency_key_reused");

    // White space and the order of members do not belong to the request.
    let same = format!(" {} ", serde_json::to_string_pretty(&TestServer::order()).unwrap());
    let request = server.request(reqwest::Method::POST, &path).by(&server.customer).key("k-1");
    assert_eq!(request.body(Some("application/json"), same).send().await.expect(201), placed);

    // The same key of another caller, or for another restaurant, is another key.
    let other =
        server.post(&path, Some(&server.other_customer), &TestServer::order()).key("k-1").send().await;
    assert_ne!(other.expect(201)["id"], placed["id"]);
    let elsewhere = format!("/v1/restaurants/{}/orders", server.other_restaurant);
    let other = server.post(&elsewhere, Some(&server.customer), &TestServer::order()).key("k-1").send().await;
    assert_ne!(other.expect(201)["id"], placed["id"]);
}

/// Proves that a required key must be present and valid.
#[tokio::test]
async fn a_missing_or_unreadable_key_is_refused() {
    let server = crate::start().await;
    let place = || server.post(&server.orders_path(), Some(&server.customer), &TestServer::order());
    place().send().await.problem(400, "idempotency_key_missing");
    for key in ["", "two words", "\"unclosed", "\"\"", "a;b=1", &"k".repeat(256)] {
        place().key(key).send().await.problem(400, "idempotency_key_invalid");
    }
    place().key("a").key("b").send().await.problem(400, "idempotency_key_invalid");
}

/// Proves that a repeated command with its key gets the earlier response even if the order has changed since then, and
/// that a repeated command without a key succeeds with the current order.
#[tokio::test]
async fn a_repeated_command_succeeds() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let accept = |minutes: u32| {
        server.command(&order, "accept", &server.staff, &json!({"preparation_minutes": minutes}))
    };
    let accepted = accept(20).key("accept").send().await.expect(200);
    assert_eq!(accepted["version"], 3);
    let repeated = accept(20).send().await.expect(200);
    assert_eq!((&repeated["version"], &repeated["ready_by"]), (&accepted["version"], &accepted["ready_by"]));
    accept(30).key("accept").send().await.problem(422, "idempotency_key_reused");

    let order_now = server.command(&order, "ready", &server.staff, &json!({})).send().await.expect(200);
    assert_eq!(order_now["version"], 4);
    let replayed = accept(20).key("accept").send().await;
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    assert_eq!(
        (replayed.header("etag"), &replayed.json),
        ("\"3\"", &accepted),
        "the replay must be the response at that version"
    );
    assert_eq!(
        accept(20).send().await.expect(200)["version"],
        4,
        "the response must have the current version"
    );
    accept(30).send().await.problem(409, "already_accepted");
    // A key can be used for a command that an earlier request without the key has carried out.
    let ready = server.command(&order, "ready", &server.staff, &json!({})).key("ready").send().await;
    assert_eq!((ready.header("idempotency-replayed"), ready.status), ("", 200));
}

/// Proves that a refund with a key moves money once.
#[tokio::test]
async fn a_refund_with_a_key_happens_once() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    walk_to(&server, &order, "deliver").await;
    let refund = json!({"amount": 100, "reason": "late"});
    for _ in 0..3 {
        let refunded =
            server.command(&order, "refund", &server.admin, &refund).key("r").send().await.expect(200);
        assert_eq!(refunded["payment"]["refunded"], 100);
    }
}
