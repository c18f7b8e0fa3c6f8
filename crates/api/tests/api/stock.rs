//! Limited stock: setting and adjusting it, and conditions.

use dabba_testkit::TestServer;
use reqwest::Method;
use serde_json::{Value, json};

fn path(server: &TestServer, item: &str) -> String {
    server.restaurant_path(&format!("/menu/items/{item}/stock"))
}

/// Proves that an adjustment starts from the number that orders have left, happens once per key, and that a retry gets
/// the first response.
#[tokio::test]
async fn stock_is_adjusted_once_per_key() {
    let server = crate::start().await;
    let adjust = |key: &str, by: Value| {
        let body = json!({"by": by});
        server.post(&format!("{}/adjust", path(&server, "naan")), Some(&server.staff), &body).key(key).send()
    };
    adjust("early", json!(6)).await.problem(409, "stock_not_limited");
    server
        .put(&path(&server, "naan"), Some(&server.staff), &json!({"remaining": 10}))
        .send()
        .await
        .expect(200);
    let order = json!({
        "lines": [{"item": "naan", "quantity": 3}], "fulfilment": {"type": "collection"}, "payment_method": "cash",
    });
    server.place("order", &order).await;
    let adjusted = adjust("a", json!(6)).await;
    let expected = json!({"item": "naan", "remaining": 13, "revision": 2});
    assert_eq!((adjusted.header("etag"), &adjusted.json), ("\"2\"", &expected));
    assert_eq!(adjusted.header("idempotency-replayed"), "");
    adjust("b", json!(-1)).await.expect(200);
    let again = adjust("a", json!(6)).await;
    assert_eq!((again.status, again.header("etag"), &again.json), (200, "\"2\"", &expected));
    assert_eq!(again.header("idempotency-replayed"), "true");
    adjust("a", json!(7)).await.problem(422, "idempotency_key_reused");
    // A key whose request was refused is free. The same key of another person is another key.
    adjust("early", json!(1)).await.expect(200);
    let by_admin =
        server.post(&format!("{}/adjust", path(&server, "naan")), Some(&server.admin), &json!({"by": 1}));
    assert_eq!(by_admin.key("a").send().await.expect(200)["remaining"], 14);
    // Keys of orders and of stock adjustments share one record.
    let by_order = server.post(&server.orders_path(), Some(&server.customer), &order).key("of-order");
    by_order.send().await.expect(201);
    let own = server.get(&path(&server, "naan"), Some(&server.staff)).await;
    assert_eq!((own.header("etag"), &own.json["remaining"]), ("\"5\"", &json!(11)));
}

/// Proves that an adjustment must be a number within the limits, and that a refused one changes nothing.
#[tokio::test]
async fn an_adjustment_is_checked() {
    let server = crate::start().await;
    let adjust = |item: &str, body: Value| {
        server.post(&format!("{}/adjust", path(&server, item)), Some(&server.staff), &body)
    };
    adjust("naan", json!({"by": 1})).send().await.problem(400, "idempotency_key_missing");
    adjust("pizza", json!({"by": 1})).key("1").send().await.problem(404, "not_found");
    // The engine and the description refuse with the same words.
    for by in
        [json!(0), json!(1_000_001), json!(-1_000_001), json!(5_000_000_000_i64), json!("6"), json!(null)]
    {
        let problem = adjust("naan", json!({"by": by})).key("2").send().await.problem(422, "invalid");
        let detail = format!("must be a whole number from -1000000 to 1000000 other than 0, not {by}");
        assert_eq!(problem["errors"], json!([{"pointer": "/by", "detail": detail}]));
    }
    for body in [json!({"by": 1.5}), json!({"by": "6"}), json!({"by": 1, "to": 2})] {
        adjust("naan", body).key("3").send().await.problem(422, "invalid");
    }
    server
        .put(&path(&server, "naan"), Some(&server.staff), &json!({"remaining": 5}))
        .send()
        .await
        .expect(200);
    for by in [-6, 999_996] {
        let refused =
            adjust("naan", json!({"by": by})).key("4").send().await.problem(409, "stock_out_of_range");
        assert_eq!(refused["remaining"], 5);
    }
    let stock = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    assert_eq!(stock["stock"], json!([{"item": "naan", "remaining": 5, "revision": 1}]));
}

/// Proves that a change at another revision is refused, that sales do not change the revision, and that unlimited stock
/// has no revision.
#[tokio::test]
async fn a_change_of_stock_can_require_a_revision() {
    let server = crate::start().await;
    let path = path(&server, "naan");
    let put = |tag: &str, remaining: Value| {
        let request = server.put(&path, Some(&server.staff), &json!({"remaining": remaining}));
        request.header("if-match", tag).send()
    };
    let adjust = |tag: &str, key: &str| {
        let request = server.post(&format!("{path}/adjust"), Some(&server.staff), &json!({"by": 2}));
        request.key(key).header("if-match", tag).send()
    };
    let free = server.get(&path, Some(&server.staff)).await;
    assert_eq!((free.header("etag"), &free.json), ("", &json!({"item": "naan"})));
    put("\"1\"", json!(5)).await.problem(412, "precondition_failed");
    assert_eq!(put("*", json!(5)).await.header("etag"), "\"1\"");
    let stale = put("\"2\"", json!(9)).await.problem(412, "precondition_failed");
    assert_eq!(stale["current"], 1);
    adjust("\"7\", \"8\"", "a").await.problem(412, "precondition_failed");
    let order = json!({
        "lines": [{"item": "naan", "quantity": 3}], "fulfilment": {"type": "collection"}, "payment_method": "cash",
    });
    server.place("order", &order).await;
    assert_eq!(adjust("\"7\", \"1\"", "a").await.expect(200)["remaining"], 4);
    // The retry is a replay, although the adjustment itself has changed the revision.
    assert_eq!(adjust("\"1\"", "a").await.header("idempotency-replayed"), "true");
    put("\"1\"", json!(9)).await.problem(412, "precondition_failed");
    put("nonsense", json!(9)).await.problem(400, "bad_request");
    put("\"2\"", Value::Null).await.expect(200);
    let gone = put("\"2\"", json!(9)).await.problem(412, "precondition_failed");
    assert_eq!(gone.get("current"), None);
    let again =
        server.request(Method::PUT, &path).by(&server.staff).json(&json!({"remaining": 1})).send().await;
    assert_eq!(again.header("etag"), "\"3\"", "a revision must not be reused");
}
