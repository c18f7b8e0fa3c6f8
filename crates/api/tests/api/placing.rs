//! Placing an order: checks and prices.

use dabba_testkit::TestServer;
use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use crate::{allowed, ids};

/// Proves that an order can be taken through all steps, and that each response lists the next
/// actions.
#[tokio::test]
async fn an_order_is_placed_prepared_and_delivered() {
    let server = crate::start().await;
    let TestServer { customer, staff, courier, .. } = &server;
    let placed =
        server.post(&server.orders_path(), Some(customer), &TestServer::order()).key("life").send().await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let path = placed.header("location").to_owned();
    assert_eq!(path, format!("/v1/orders/{}", placed.text_at("/id")));
    assert_eq!(placed.header("etag"), "\"2\"", "placed and, paid in cash, confirmed");
    assert_eq!(placed.header("idempotency-replayed"), "");
    let order = placed.json;
    assert_eq!(order["status"], "confirmed");
    // Two at 8.95 and 0.50, 20 % tax, delivery 2.50.
    assert_eq!(
        order["amounts"],
        json!({"subtotal": 1890, "tax": 378, "delivery_fee": 250, "tip": 0, "discount": 0, "total": 2518})
    );
    assert_eq!(
        order["payment"],
        json!({"method": "cash", "status": "pending", "captured": 0, "refunded": 0})
    );
    assert_eq!(allowed(&order), ["cancel"]);

    let seen = server.get(&path, Some(staff)).await.expect(200);
    assert_eq!(allowed(&seen), ["accept", "reject", "cancel"]);
    assert_eq!(seen["allowed_actions"][0]["deadline"], "2026-06-01T12:08:00Z");

    let accepted =
        server.command(&order, "accept", staff, &json!({"preparation_minutes": 25})).send().await.expect(200);
    assert_eq!(
        (&accepted["status"], &accepted["ready_by"]),
        (&json!("preparing"), &json!("2026-06-01T12:25:00Z"))
    );
    let assigned =
        server.request(Method::POST, &format!("{path}/assign")).by(courier).send().await.expect(200);
    assert_eq!(assigned["courier_id"], courier.id.to_string());
    let ready = server.command(&order, "ready", staff, &json!({})).send().await.expect(200);
    assert_eq!(ready["status"], "ready_for_pickup");
    let picked_up = server.command(&order, "pick-up", courier, &json!({})).send().await.expect(200);
    assert_eq!((&picked_up["status"], allowed(&picked_up)), (&json!("out_for_delivery"), vec!["deliver"]));
    let delivered = server.command(&order, "deliver", courier, &json!({})).send().await.expect(200);
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(
        delivered["payment"],
        json!({"method": "cash", "status": "captured"}),
        "a courier sees no amounts"
    );
    let delivered = server.get(&path, Some(customer)).await.expect(200);
    assert_eq!(delivered["payment"]["captured"], 2518);

    let refund = json!({"amount": 300, "reason": "late"});
    let refunded = server.command(&order, "refund", staff, &refund).key("r").send().await.expect(200);
    assert_eq!(refunded["payment"]["status"], "partially_refunded");

    let history = server.get(&format!("{path}/events"), Some(customer)).await.expect(200);
    let names: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "placed",
            "confirmed",
            "accepted",
            "courier_assigned",
            "marked_ready",
            "picked_up",
            "delivered",
            "payment_captured",
            "refunded"
        ]
    );
    assert_eq!(history["events"][8]["version"], 9);
    let refund = json!({"number": 1, "amount": 300, "reason": "late"});
    assert_eq!(history["events"][8]["data"], refund);
    assert_eq!(history.get("next_cursor"), None);
}

/// Proves that the order is placed at the total that the customer has seen, or not at all.
#[tokio::test]
async fn an_order_is_placed_at_the_expected_total_or_refused() {
    let server = crate::start().await;
    let mut menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    let place = |total: Option<i64>, key: &'static str| {
        let mut order = TestServer::order();
        order["expected_total"] = json!(total);
        server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send()
    };
    place(Some(2518), "first").await.expect(201);

    menu["categories"][0]["items"][0]["price_minor"] = json!(995);
    let replace = server.put(&server.restaurant_path("/menu"), Some(&server.staff), &menu);
    replace.header("if-match", "*").send().await.expect(200);

    let refused = place(Some(2518), "second").await.problem(409, "menu_changed");
    assert_eq!(refused["quote"]["amounts"]["total"], 2758);
    assert_eq!(refused["quote"]["menu_revision"], 2);
    assert_eq!(refused["quote"]["orderable"], true);
    let repriced = place(None, "third").await.expect(201);
    assert_eq!(
        repriced["amounts"]["total"], 2758,
        "without expected_total the order must have the new price"
    );
    // The refusal has not used its key, and the first key still returns the first response.
    place(Some(2758), "second").await.expect(201);
    assert_eq!(place(Some(2518), "first").await.expect(201)["amounts"]["total"], 2518);
}

/// Proves that a paused or closed restaurant takes no orders, and that the refusal states
/// when that ends.
#[tokio::test]
async fn a_paused_or_closed_restaurant_takes_no_orders() {
    let server = crate::start().await;
    let order = TestServer::order();
    let place = |key: &'static str| {
        server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send()
    };
    let until = json!({"until": "2026-06-01T12:30:00Z"});
    let pause = server.restaurant_path("/pause");
    let paused = server.post(&pause, Some(&server.staff), &until).send().await.expect(200);
    assert_eq!((&paused["accepting"], &paused["pause"]), (&json!(false), &until));
    assert_eq!(place("1").await.problem(409, "restaurant_paused")["until"], until["until"]);
    server.advance(SignedDuration::from_mins(30));
    place("1").await.expect(201);

    server.request(Method::POST, &pause).by(&server.staff).send().await.expect(200);
    place("2").await.problem(409, "restaurant_paused");
    let resume = server.restaurant_path("/resume");
    let resumed = server.request(Method::POST, &resume).by(&server.staff).send().await.expect(200);
    assert_eq!((&resumed["accepting"], &resumed["pause"]), (&json!(true), &json!(null)));
    place("2").await.expect(201);

    // Open on Mondays from 10:00 to 14:00 in London, one hour ahead of UTC; it is 13:30 there.
    let mut settings = dabba_testkit::settings("Curry Mile Kitchen");
    settings["opening_hours"] = json!([{"day": "monday", "opens": "10:00", "closes": "14:00"}]);
    let put = server.put(&server.restaurant_path(""), Some(&server.staff), &settings);
    put.header("if-match", "*").send().await.expect(200);
    place("3").await.expect(201);
    server.advance(SignedDuration::from_mins(30));
    assert_eq!(place("4").await.problem(409, "restaurant_closed")["opens_at"], "2026-06-08T09:00:00Z");
    let closed = server.get(&server.restaurant_path(""), None).await.expect(200);
    assert_eq!((&closed["accepting"], &closed["opens_at"]), (&json!(false), &json!("2026-06-08T09:00:00Z")));
    assert_eq!(
        place("3").await.header("idempotency-replayed"),
        "true",
        "the closing must not affect placed orders"
    );

    // Paused until 12:00 next Monday, within the next opening hours, and then without an end.
    let until = json!({"until": "2026-06-08T11:00:00Z"});
    let both = server.post(&pause, Some(&server.staff), &until).send().await.expect(200);
    assert_eq!((&both["accepting"], &both["opens_at"]), (&json!(false), &until["until"]));
    assert_eq!(place("4").await.problem(409, "restaurant_paused")["opens_at"], until["until"]);
    server.request(Method::POST, &pause).by(&server.staff).send().await.expect(200);
    let refused = place("4").await.problem(409, "restaurant_paused");
    assert_eq!((refused.get("until"), refused.get("opens_at")), (None, None));
}

/// Proves that the minimum applies to deliveries and not to collections.
#[tokio::test]
async fn a_small_order_is_not_delivered() {
    let server = crate::start().await;
    let mut order = TestServer::order();
    order["lines"] = json!([{"item": "naan", "quantity": 3}]);
    let place = |order: &serde_json::Value| {
        server.post(&server.orders_path(), Some(&server.customer), order).key("small").send()
    };
    assert_eq!(place(&order).await.problem(409, "below_minimum_order")["minimum"], 1000);
    order["fulfilment"] = json!({"type": "collection"});
    assert_eq!(place(&order).await.expect(201)["amounts"]["delivery_fee"], 0);
}

/// Proves that an item that is marked as unavailable cannot be ordered until the mark expires.
#[tokio::test]
async fn an_unavailable_item_is_named() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu/items/chicken-tikka/availability");
    let body = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    let set = server.put(&path, Some(&server.staff), &body).send().await.expect(200);
    assert_eq!(set, json!({"item": "chicken-tikka", "availability": body, "availability_revision": 2}));
    let order = TestServer::order();
    let place = || server.post(&server.orders_path(), Some(&server.customer), &order).key("1").send();
    let refused = place().await.problem(409, "items_unavailable");
    let unavailable = json!([{"item": "chicken-tikka", "until": "2026-06-01T13:00:00Z"}]);
    assert_eq!(refused["items"], unavailable);
    assert_eq!(refused["obstacles"][0]["items"], unavailable);
    server.advance(SignedDuration::from_hours(1));
    place().await.expect(201);
}

/// Proves that concurrent orders sell limited stock completely and never more than it.
#[tokio::test(flavor = "multi_thread")]
async fn limited_stock_is_sold_out_and_never_oversold() {
    const STOCK: usize = 10;
    const BUYERS: usize = 32;
    let server = crate::start().await;
    let path = server.restaurant_path("/menu/items/naan/stock");
    server.put(&path, Some(&server.staff), &json!({"remaining": STOCK})).send().await.expect(200);
    let order = TestServer::collection();
    let buyers = (0..BUYERS).map(|buyer| {
        server
            .post(&server.orders_path(), Some(&server.customer), &order)
            .key(format!("buyer-{buyer}"))
            .send()
    });
    let answers = join_all(buyers).await;
    let sold = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(sold, STOCK);
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        let problem = refused.problem(409, "out_of_stock");
        let shortage = &problem["shortages"][0];
        assert_eq!(shortage["item"], "naan");
    }
    let stock = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    assert_eq!(stock, json!({"stock": [{"item": "naan", "remaining": 0, "revision": 1}]}));

    // The stock of a cancelled order is returned.
    let page = server.get("/v1/orders?limit=1", Some(&server.customer)).await.expect(200);
    let cancel = format!("/v1/orders/{}/cancel", ids(&page)[0]);
    server.post(&cancel, Some(&server.customer), &json!({"reason": "changed_mind"})).send().await.expect(200);
    server.post(&server.orders_path(), Some(&server.customer), &order).key("last").send().await.expect(201);

    server.put(&path, Some(&server.staff), &json!({"remaining": null})).send().await.expect(200);
    server.post(&server.orders_path(), Some(&server.customer), &order).key("more").send().await.expect(201);
}

/// Proves that a refusal lists every problem of an order, each with its place.
#[tokio::test]
async fn every_problem_of_an_order_is_listed_with_its_place() {
    let server = crate::start().await;
    let place = |change: serde_json::Value| {
        let mut order = TestServer::order();
        order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        server.post(&server.orders_path(), Some(&server.customer), &order).key("wrong").send()
    };
    let line = |item: &str, quantity: i64| json!({"item": item, "quantity": quantity});
    for (change, pointers) in [
        (json!({"lines": []}), vec!["/lines"]),
        (json!({"lines": vec![line("naan", 1); 101]}), vec!["/lines"]),
        (
            json!({"lines": [line("naan", 100), line("naan", 0)]}),
            vec!["/lines/0/quantity", "/lines/1/quantity"],
        ),
        (
            json!({"lines": [line("pizza", 1), line("chicken-tikka", 1)]}),
            vec!["/lines/0/item", "/lines/1/options"],
        ),
        // Wrong shapes.
        (json!({"lines": [line("naan", -1)]}), vec!["/lines/0/quantity"]),
        (json!({"lines": [{"item": "naan", "quantity": 1, "price": 1}]}), vec!["/lines/0/price"]),
        (json!({"lines": [line("Naan!", 1)]}), vec!["/lines/0/item"]),
        (json!({"total": 1}), vec!["/total"]),
        (json!({"tip": -1}), vec!["/tip"]),
        (json!({"payment_method": "beads"}), vec!["/payment_method"]),
        (json!({"note": "x".repeat(501)}), vec!["/note"]),
        (json!({"fulfilment": {"type": "delivery"}}), vec!["/fulfilment/address"]),
        (
            json!({"fulfilment": {"type": "collection", "address": {"line1": "1", "city": "x"}}}),
            vec!["/fulfilment/address"],
        ),
        (json!({"fulfilment": {"type": "collection", "by": "drone"}}), vec!["/fulfilment/by"]),
        (
            json!({"fulfilment": {"type": "delivery", "address": {"line1": " ", "city": "x"}}}),
            vec!["/fulfilment/address/line1"],
        ),
        (
            json!({"fulfilment": {"type": "delivery", "address": {
                "line1": "1", "city": "x", "location": {"lat": 91, "lng": 0}
            }}}),
            vec!["/fulfilment/address/location/lat"],
        ),
    ] {
        assert_eq!(place(change.clone()).await.pointers(), pointers, "{change}");
    }
    let listed = server.get("/v1/orders", Some(&server.customer)).await.expect(200);
    assert_eq!(listed, json!({"orders": []}), "a refused order must not be placed");
}

/// Proves that a quote has the same price as an order, and lists the obstacles.
#[tokio::test]
async fn a_quote_has_the_price_and_the_obstacles() {
    let server = crate::start().await;
    let path = server.restaurant_path("/quotes");
    let quote = |body: serde_json::Value| server.post(&path, None, &body).send();
    let cart = json!({"lines": [{"item": "naan", "quantity": 4}], "fulfilment": "delivery", "tip": 100});
    let priced = quote(cart.clone()).await.expect(200);
    assert_eq!(priced["amounts"]["total"], 1000 + 200 + 250 + 100);
    assert_eq!((&priced["orderable"], &priced["obstacles"]), (&json!(true), &json!([])));

    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(&server.staff), &json!({"remaining": 2})).send().await.expect(200);
    server
        .request(Method::POST, &server.restaurant_path("/pause"))
        .by(&server.staff)
        .send()
        .await
        .expect(200);
    let naan = server.restaurant_path("/menu/items/naan/availability");
    let away = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    server.put(&naan, Some(&server.staff), &away).send().await.expect(200);
    let small = json!({"lines": [{"item": "naan", "quantity": 3}], "fulfilment": "delivery"});
    let blocked = quote(small).await.expect(200);
    assert_eq!(blocked["orderable"], false);
    let codes: Vec<_> =
        blocked["obstacles"].as_array().unwrap().iter().map(|o| o["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["restaurant_paused", "items_unavailable", "below_minimum_order", "out_of_stock"]);
    let unavailable = json!([{"item": "naan", "until": "2026-06-01T13:00:00Z"}]);
    assert_eq!(blocked["obstacles"][1]["items"], unavailable);
    assert_eq!(blocked["obstacles"][2]["minimum"], 1000);
    assert_eq!(blocked["obstacles"][3]["shortages"], json!([{"item": "naan", "available": 2}]));
    // Placing the order is refused with the first obstacle, and the refusal lists all of them.
    let mut order = TestServer::order();
    order["lines"] = json!([{"item": "naan", "quantity": 3}]);
    let place = server.post(&server.orders_path(), Some(&server.customer), &order).key("blocked").send();
    assert_eq!(place.await.problem(409, "restaurant_paused")["obstacles"], blocked["obstacles"]);
    assert_eq!(quote(json!({"lines": [], "fulfilment": "delivery"})).await.pointers(), ["/lines"]);
}
