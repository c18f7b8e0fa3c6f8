//! Menus and stock.

use serde_json::{Value, json};

fn one_item(name: &str) -> Value {
    json!({"categories": [{"name": "All", "items": [{"name": name, "price_minor": 100}]}]})
}

/// Proves that a menu is sent once for each revision.
#[tokio::test]
async fn an_unchanged_menu_is_not_sent_again() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let get = |tag: &str| server.request(reqwest::Method::GET, &path).header("if-none-match", tag).send();
    let first = server.get(&path, None).await;
    assert_eq!((first.header("etag"), first.header("cache-control")), ("\"1\"", "no-cache"));
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.json["categories"][1]["items"][0]["stock_limited"], false);
    assert_eq!(first.json["categories"][0]["items"][0]["option_groups"][0]["options"][1]["id"], "hot");
    assert_eq!(get("\"1\"").await.status, 304);

    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(&server.staff), &json!({"remaining": 5})).send().await.expect(200);
    let changed = get("\"1\"").await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json["categories"][1]["items"][0]["stock_limited"], true);
    server.put(&stock, Some(&server.staff), &json!({"remaining": 4})).send().await.expect(200);
    assert_eq!(get("\"2\"").await.status, 304, "how many there are is not on the menu");
}

/// Proves that a menu is replaced knowingly or not at all.
#[tokio::test]
async fn a_menu_is_replaced_under_a_condition() {
    let server = crate::start().await;
    let put = || server.put(&server.restaurant_path("/menu"), Some(&server.staff), &one_item("Soup"));
    put().send().await.problem(428, "precondition_required");
    let stale = put().header("if-match", "\"9\"").send().await.problem(412, "precondition_failed");
    assert_eq!(stale["current"], 1);
    let replaced = put().header("if-match", "\"1\"").send().await;
    assert_eq!(replaced.header("etag"), "\"2\"");
    assert_eq!(replaced.expect(200)["categories"][0]["items"][0]["id"], "soup");
    put().header("if-match", "\"1\"").send().await.problem(412, "precondition_failed");
    put().header("if-match", "\"1\", \"2\"").send().await.expect(200);
    put().header("if-match", "*").send().await.expect(200);
}

/// Proves that everything wrong with a menu is listed.
#[tokio::test]
async fn a_menu_is_checked() {
    let server = crate::start().await;
    let put = |menu: Value| {
        server
            .put(&server.restaurant_path("/menu"), Some(&server.staff), &menu)
            .header("if-match", "*")
            .send()
    };
    let menu = json!({"categories": [{"name": "", "items": [
        {"name": "A", "price_minor": -1}, {"id": "Not A Slug", "name": "B", "price_minor": 1},
    ]}]});
    let pointers = put(menu).await.pointers();
    for pointer in ["/categories/0/name", "/categories/0/items/0/price_minor", "/categories/0/items/1/id"] {
        assert!(pointers.iter().any(|listed| listed == pointer), "{pointer} in {pointers:?}");
    }
    let unknown = json!({"categories": [{"name": "A", "items": [], "colour": "red"}]});
    assert_eq!(put(unknown).await.pointers(), ["/categories/0/colour"]);
    let price = json!({"categories": [{"name": "A", "items": [{"name": "B", "price_minor": 1.5}]}]});
    assert_eq!(put(price).await.pointers(), ["/categories/0/items/0/price_minor"]);
}

/// Proves that a menu may be larger than other bodies, and not as large as it likes.
#[tokio::test]
async fn a_menu_may_be_large() {
    let server = crate::start().await;
    let put = |menu: String| {
        let request =
            server.request(reqwest::Method::PUT, &server.restaurant_path("/menu")).by(&server.staff);
        request.header("if-match", "*").body(Some("application/json"), menu).send()
    };
    let items: Vec<_> = (0..2_000)
        .map(|number| json!({"name": format!("Dish {number}"), "price_minor": 100, "description": "d".repeat(100)}))
        .collect();
    let large = json!({"categories": [{"name": "All", "items": items}]}).to_string();
    assert!(large.len() > dabba_http::MAX_BODY_BYTES);
    put(large).await.expect(200);
    let spaces = " ".repeat(dabba_http::MAX_MENU_BYTES);
    put(format!("{}{spaces}", one_item("Soup"))).await.problem(413, "payload_too_large");
}

/// Proves that availability and stock are of items that are on the menu, and are said in full.
#[tokio::test]
async fn items_have_availability_and_stock() {
    let server = crate::start().await;
    let path = |item: &str, what: &str| server.restaurant_path(&format!("/menu/items/{item}/{what}"));
    let put = |item: &str, what: &str, body: Value| {
        server.put(&path(item, what), Some(&server.staff), &body).send()
    };
    put("pizza", "availability", json!({"status": "available"})).await.problem(404, "not_found");
    put("pizza", "stock", json!({"remaining": 1})).await.problem(404, "not_found");
    put("Not%20a%20slug", "stock", json!({"remaining": 1})).await.problem(404, "not_found");
    assert_eq!(put("naan", "stock", json!({})).await.pointers(), [""], "no limit must be said");
    assert_eq!(put("naan", "stock", json!({"remaining": 1_000_001})).await.pointers(), ["/remaining"]);
    let wrong = json!({"status": "available", "until": "2026-06-02T00:00:00Z"});
    assert_eq!(put("naan", "availability", wrong).await.pointers(), [""]);
    let gone = put("naan", "availability", json!({"status": "unavailable"})).await.expect(200);
    assert_eq!(gone["availability"], json!({"status": "unavailable"}));
    let menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    assert_eq!(menu["categories"][1]["items"][0]["availability"], json!({"status": "unavailable"}));
    let same = put("naan", "availability", json!({"status": "unavailable"})).await.expect(200);
    assert_eq!(same["menu_revision"], gone["menu_revision"], "nothing has changed");
}
