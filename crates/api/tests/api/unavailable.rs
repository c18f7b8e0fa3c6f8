//! Rejections and cancellations because items are unavailable.

use dabba_testkit::TestServer;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::walk_to;

/// Returns an order of two dal and three naan, for collection.
fn order() -> Value {
    json!({
        "lines": [{"item": "dal", "quantity": 2}, {"item": "naan", "quantity": 3}],
        "fulfilment": {"type": "collection"}, "payment_method": "cash",
    })
}

/// Starts a server with a stock of ten dal and ten naan.
async fn start() -> TestServer {
    let server = crate::start().await;
    for item in ["dal", "naan"] {
        let path = server.restaurant_path(&format!("/menu/items/{item}/stock"));
        server.put(&path, Some(&server.staff), &json!({"remaining": 10})).send().await.expect(200);
    }
    server
}

/// Returns the remaining stock of dal and of naan.
async fn left(server: &TestServer) -> [u64; 2] {
    let stock = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    [0, 1].map(|place| stock["stock"][place]["remaining"].as_u64().unwrap())
}

/// Returns the availability of an item on the menu.
async fn shown(server: &TestServer, item: &str) -> Value {
    let menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    let categories = menu["categories"].as_array().unwrap();
    let mut items = categories.iter().flat_map(|category| category["items"].as_array().unwrap());
    items.find(|it| it["id"] == item).unwrap()["availability"].clone()
}

/// Returns the obstacles to an order.
async fn obstacles(server: &TestServer) -> Value {
    let cart = json!({"lines": order()["lines"], "fulfilment": "collection"});
    let quote = server.post(&server.restaurant_path("/quotes"), None, &cart).send().await.expect(200);
    quote["obstacles"].clone()
}

const AVAILABLE: &str = r#"{"status":"available"}"#;

/// Proves that a rejection for one item returns the stock of the others, and makes the item unavailable on the menu and in quotes
/// until its `until`.
#[tokio::test]
async fn a_rejection_marks_its_items_as_unavailable() {
    let server = start().await;
    let placed = server.place("1", &order()).await;
    assert_eq!(left(&server).await, [8, 7]);
    let tag = server.get(&server.restaurant_path("/menu"), None).await.header("etag").to_owned();
    let naan = json!({"item": "naan", "until": "2026-06-01T13:00:00Z"});
    let body = json!({"reason": "item_unavailable", "items": [naan]});
    let rejected = server.command(&placed, "reject", &server.staff, &body).send().await.expect(200);
    let closure = json!({"how": "rejected", "reason": "item_unavailable", "items": [naan]});
    assert_eq!((&rejected["status"], &rejected["closure"]), (&json!("cancelled"), &closure));
    assert_eq!(left(&server).await, [10, 7], "only the stock of dal must be returned");

    let away = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    assert_eq!(shown(&server, "naan").await, away);
    assert_eq!(shown(&server, "dal").await.to_string(), AVAILABLE);
    let menu = server.get(&server.restaurant_path("/menu"), None).await;
    assert_ne!(menu.header("etag"), tag);
    let obstacle = &obstacles(&server).await[0];
    assert_eq!((&obstacle["code"], &obstacle["items"]), (&json!("items_unavailable"), &json!([naan])));
    let again = server.post(&server.orders_path(), Some(&server.other_customer), &order()).key("2");
    assert_eq!(again.send().await.problem(409, "items_unavailable")["items"], json!([naan]));

    // The customer sees the items in the order and in its history.
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    let seen = server.get(&path, Some(&server.customer)).await.expect(200);
    assert_eq!(seen["closure"], closure);
    let events = server.get(&format!("{path}/events"), Some(&server.customer)).await.expect(200);
    let event = &events["events"][2];
    assert_eq!((&event["type"], &event["data"]["items"]), (&json!("rejected"), &json!([naan])));

    server.advance(SignedDuration::from_hours(1));
    assert_eq!(shown(&server, "naan").await.to_string(), AVAILABLE);
    assert_eq!(obstacles(&server).await, json!([]));
    server.place("3", &order()).await;
    assert_eq!(left(&server).await, [8, 4]);
}

/// Proves that an admin's cancellation after the acceptance returns no stock, but marks the item as unavailable until the
/// restaurant changes that.
#[tokio::test]
async fn a_cancellation_after_the_acceptance_marks_the_items() {
    let server = start().await;
    let placed = server.place("1", &order()).await;
    walk_to(&server, &placed, "accept").await;
    let body = json!({"reason": "item_unavailable", "items": [{"item": "dal"}], "note": "burnt"});
    let cancelled = server.command(&placed, "cancel", &server.admin, &body).send().await.expect(200);
    assert_eq!(cancelled["closure"]["items"], json!([{"item": "dal"}]));
    assert_eq!(left(&server).await, [8, 7]);
    assert_eq!(shown(&server, "dal").await, json!({"status": "unavailable"}));
    server.advance(SignedDuration::from_hours(8));
    assert_eq!(shown(&server, "dal").await, json!({"status": "unavailable"}));
    let path = server.restaurant_path("/menu/items/dal/availability");
    server.put(&path, Some(&server.staff), &json!({"status": "available"})).send().await.expect(200);
    assert_eq!(shown(&server, "dal").await.to_string(), AVAILABLE);
}

/// Proves that a refusal lists every problem of the items, and that a refused command changes nothing.
#[tokio::test]
async fn the_items_are_checked() {
    let server = start().await;
    let placed = server.place("1", &order()).await;
    let past = "2026-06-01T12:00:00Z";
    for (command, body, pointers) in [
        ("reject", json!({"reason": "item_unavailable"}), &["/items"][..]),
        ("cancel", json!({"reason": "item_unavailable", "items": []}), &["/items"]),
        ("reject", json!({"reason": "too_busy", "items": [{"item": "dal"}]}), &["/items"]),
        ("cancel", json!({"reason": "other", "items": [{"item": "dal"}]}), &["/items"]),
        ("reject", json!({"reason": "item_unavailable", "items": [{"item": "pizza"}]}), &["/items/0/item"]),
        (
            "reject",
            json!({"reason": "item_unavailable", "items": [
                {"item": "dal"}, {"item": "pizza", "until": past}, {"item": "dal"}, {"item": "naan", "until": past},
            ]}),
            &["/items/1/item", "/items/1/until", "/items/2/item", "/items/3/until"],
        ),
        ("reject", json!({"reason": "item_unavailable", "items": ["dal"]}), &["/items/0"]),
        (
            "reject",
            json!({"reason": "item_unavailable", "items": [{"item": "dal", "x": 1}]}),
            &["/items/0/x"],
        ),
        (
            "reject",
            json!({"reason": "item_unavailable", "items": [{"item": "dal", "until": "soon"}]}),
            &["/items/0/until"],
        ),
    ] {
        let answer = server.command(&placed, command, &server.staff, &body).send().await;
        assert_eq!(answer.pointers(), pointers, "{command} {body}");
    }
    let body = json!({"reason": "item_unavailable", "items": [{"item": "pizza"}]});
    let problem =
        server.command(&placed, "reject", &server.staff, &body).send().await.problem(422, "invalid");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert_eq!(detail, "pizza is not in the order; must be one of dal, naan");
    assert_eq!((left(&server).await, obstacles(&server).await), ([8, 7], json!([])));
    let path = server.restaurant_path("/menu/items/naan/availability");
    let late = server.put(&path, Some(&server.staff), &json!({"status": "unavailable", "until": past}));
    assert_eq!(late.send().await.pointers(), ["/until"], "the same rule must apply to a change by hand");
}

/// Proves that a repeated rejection with the same items, in any order, succeeds and one with other items is refused; and that a
/// repeated rejection with its key gets the first response.
#[tokio::test]
async fn a_repeated_rejection_is_compared_with_its_items() {
    let server = start().await;
    let placed = server.place("1", &order()).await;
    let [dal, naan] = [json!({"item": "dal"}), json!({"item": "naan", "until": "2026-06-01T12:30:00Z"})];
    let reject = |items: Value| {
        let body = json!({"reason": "item_unavailable", "items": items});
        server.command(&placed, "reject", &server.staff, &body)
    };
    let first = reject(json!([dal, naan])).key("k").send().await.expect(200);
    let path = server.restaurant_path("/menu/items/dal/availability");
    server.put(&path, Some(&server.staff), &json!({"status": "available"})).send().await.expect(200);
    assert_eq!(reject(json!([naan, dal])).send().await.expect(200)["version"], first["version"]);
    assert_eq!(
        shown(&server, "dal").await.to_string(),
        AVAILABLE,
        "a repeated rejection must not mark the item again"
    );
    for other in [json!([dal]), json!([naan]), json!([dal, {"item": "naan"}])] {
        reject(other).send().await.problem(409, "already_rejected");
    }
    // The same items, after the end of the mark.
    server.advance(SignedDuration::from_hours(1));
    assert_eq!(reject(json!([dal, naan])).send().await.expect(200)["version"], first["version"]);
    let replayed = reject(json!([dal, naan])).key("k").send().await;
    assert_eq!((replayed.status, replayed.header("idempotency-replayed")), (200, "true"));
    reject(json!([dal])).key("k").send().await.problem(422, "idempotency_key_reused");
    assert_eq!(left(&server).await, [8, 7]);
}

/// Proves that a rejection does not shorten an existing mark, and that an item that is no longer on the menu does not prevent it.
#[tokio::test]
async fn a_rejection_tolerates_other_changes_of_the_menu() {
    let server = start().await;
    let path = server.restaurant_path("/menu/items/naan/availability");
    let [first, second] = [server.place("1", &order()).await, server.place("2", &order()).await];
    server.put(&path, Some(&server.staff), &json!({"status": "unavailable"})).send().await.expect(200);
    let soon = json!({"item": "naan", "until": "2026-06-01T12:05:00Z"});
    let body = json!({"reason": "item_unavailable", "items": [soon]});
    server.command(&first, "reject", &server.staff, &body).send().await.expect(200);
    assert_eq!(shown(&server, "naan").await, json!({"status": "unavailable"}));

    let menu = server.restaurant_path("/menu");
    let read = server.get(&menu, None).await.expect(200);
    let mut without = read.clone();
    let mains = without["categories"][0]["items"].take();
    without["categories"][0]["items"] =
        mains.as_array().unwrap().iter().filter(|it| it["id"] != "dal").cloned().collect();
    let put = |body: &Value| server.put(&menu, Some(&server.staff), body).header("if-match", "*").send();
    put(&without).await.expect(200);
    let body = json!({"reason": "item_unavailable", "items": [{"item": "dal"}]});
    server.command(&second, "cancel", &server.staff, &body).send().await.expect(200);
    let mut restored = read;
    for item in restored["categories"][0]["items"].as_array_mut().unwrap() {
        item.as_object_mut().unwrap().remove("availability");
    }
    put(&restored).await.expect(200);
    assert_eq!(
        shown(&server, "dal").await,
        json!({"status": "unavailable"}),
        "the item must return to the menu with its mark"
    );
}
