//! Card orders with a total of zero, and refunds in a currency in which the provider refunds only multiples of 10.

use reqwest::Method;
use serde_json::{Value, json};

use super::payments::{read, restaurant_in, start, until};

/// Proves that a card order with a total of zero is confirmed at once, also in a currency that the provider does not
/// accept; that the quote reports it as orderable; and that no money moves until the order is delivered or ends.
#[tokio::test]
async fn a_total_of_zero_by_card_needs_no_provider() {
    let (server, provider) = start().await;
    for currency in ["GBP", "KWD", "XAU"] {
        let id = restaurant_in(&server, currency, 0).await;
        let member = format!("/v1/restaurants/{id}/members/{}", server.staff.id);
        server.request(Method::PUT, &member).by(&server.admin).send().await.expect(200);
        let lines = json!([{"item": "tea", "quantity": 2}]);
        let cart = json!({"lines": lines, "fulfilment": "collection", "payment_method": "card"});
        let quoted =
            server.post(&format!("/v1/restaurants/{id}/quotes"), None, &cart).send().await.expect(200);
        assert_eq!(
            (&quoted["orderable"], &quoted["amounts"]["total"]),
            (&json!(true), &json!(0)),
            "{quoted}"
        );
        let order = json!({
            "lines": lines, "fulfilment": {"type": "collection"},
            "payment_method": "card", "payment_token": "tok_decline",
        });
        let place = async |key: &str| {
            let request =
                server.post(&format!("/v1/restaurants/{id}/orders"), Some(&server.customer), &order);
            request.key(key).send().await.expect(201)
        };
        let placed = place("1").await;
        assert_eq!((&placed["status"], &placed["version"]), (&json!("confirmed"), &json!(2)));
        assert_eq!(
            (&placed["payment"]["status"], placed["payment"].get("deadline")),
            (&json!("captured"), None)
        );
        for (command, body) in
            [("accept", json!({"preparation_minutes": 5})), ("ready", json!({})), ("deliver", json!({}))]
        {
            server.command(&placed, command, &server.staff, &body).send().await.expect(200);
        }
        let cancelled = place("2").await;
        server
            .command(&cancelled, "cancel", &server.customer, &json!({"reason": "other"}))
            .send()
            .await
            .expect(200);
        for (order, status) in [(&placed, "delivered"), (&cancelled, "cancelled")] {
            let refund = server.command(order, "refund", &server.admin, &json!({"reason": "late"}));
            refund.send().await.problem(409, "nothing_refundable");
            let read = read(&server, order).await;
            assert_eq!((&read["status"], &read["payment"]["status"]), (&json!(status), &json!("captured")));
            let order_id = order["id"].as_str().unwrap();
            let ledger =
                server.get(&format!("/v1/orders/{order_id}/ledger"), Some(&server.admin)).await.expect(200);
            assert_eq!(ledger["postings"], json!([]), "{ledger}");
            assert_eq!(provider.payments(order_id.parse().unwrap()), []);
        }
    }
}

/// Proves that concurrent refunds never exceed the paid amount, and that the whole amount can be refunded, in a
/// currency in which the provider refunds only multiples of 10.
#[tokio::test]
async fn concurrent_refunds_do_not_exceed_the_paid_amount() {
    let (server, _provider) = start().await;
    let id = restaurant_in(&server, "KWD", 1_005).await;
    let member = format!("/v1/restaurants/{id}/members/{}", server.staff.id);
    server.request(Method::PUT, &member).by(&server.admin).send().await.expect(200);
    let order = json!({
        "lines": [{"item": "tea", "quantity": 2}], "fulfilment": {"type": "collection"},
        "payment_method": "card", "payment_token": "tok_succeed",
    });
    let path = format!("/v1/restaurants/{id}/orders");
    let placed = server.post(&path, Some(&server.customer), &order).key("1").send().await.expect(201);
    until(&server, &placed, |order| order["status"] == "confirmed").await;
    for (command, body) in
        [("accept", json!({"preparation_minutes": 5})), ("ready", json!({})), ("deliver", json!({}))]
    {
        server.command(&placed, command, &server.staff, &body).send().await.expect(200);
    }
    until(&server, &placed, |order| order["payment"]["status"] == "captured").await;
    let refund = async |body: Value| server.command(&placed, "refund", &server.admin, &body).send().await;
    // A line of 1,005 cannot be refunded alone. The refusal names the line and changes nothing.
    let problem = refund(json!({"reason": "late", "lines": [{"line": 0, "quantity": 1}]})).await;
    assert_eq!(problem.problem(422, "invalid")["errors"][0]["pointer"], "/lines");
    let bearers = ["restaurant", "platform", "everyone", "everyone"];
    let bodies = bearers.map(|borne_by| json!({"reason": "late", "amount": 600, "borne_by": borne_by}));
    let [a, b, c, d] = bodies.map(&refund);
    let answers = tokio::join!(a, b, c, d);
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 3, "2,010 allows three refunds of 600");
    refund(json!({"reason": "late"})).await.expect(200);
    let refunded = until(&server, &placed, |order| order["status"] == "refunded").await;
    assert_eq!(refunded["payment"]["refunded"], refunded["payment"]["captured"]);
    let order_id = placed["id"].as_str().unwrap();
    let ledger = server.get(&format!("/v1/orders/{order_id}/ledger"), Some(&server.admin)).await.expect(200);
    for posting in ledger["postings"].as_array().unwrap() {
        let entries = posting["entries"].as_array().unwrap();
        assert_eq!(entries.iter().map(|entry| entry["amount"].as_i64().unwrap()).sum::<i64>(), 0);
    }
}
