//! Menus and stock.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

fn one_item(name: &str) -> Value {
    json!({"categories": [{"name": "All", "items": [{"name": name, "price_minor": 100}]}]})
}

/// Proves that the response does not repeat a menu that the client already has.
#[tokio::test]
async fn an_unchanged_menu_is_not_sent_again() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let get = |tag: &str| server.request(reqwest::Method::GET, &path).header("if-none-match", tag).send();
    let first = server.get(&path, None).await;
    assert_eq!((first.header("etag"), first.header("cache-control")), ("\"1-1-0\"", "no-cache"));
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.json["categories"][1]["items"][0]["stock_limited"], false);
    assert_eq!(first.json["categories"][0]["items"][0]["option_groups"][0]["options"][1]["id"], "hot");
    assert_eq!(get("\"1-1-0\"").await.status, 304);
    assert_eq!(get("\"1\"").await.status, 200, "a tag without the availability's revision must not match");

    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(&server.staff), &json!({"remaining": 5})).send().await.expect(200);
    let changed = get("\"1-1-0\"").await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2-1-0\""));
    assert_eq!(changed.json["categories"][1]["items"][0]["stock_limited"], true);
    server.put(&stock, Some(&server.staff), &json!({"remaining": 4})).send().await.expect(200);
    assert_eq!(get("W/\"2-1-0\"").await.status, 304, "the remaining number is not part of the menu");
}

/// Proves that replacing a menu requires a condition, and that the condition is checked.
#[tokio::test]
async fn replacing_a_menu_requires_a_condition() {
    let server = crate::start().await;
    let put = || server.put(&server.restaurant_path("/menu"), Some(&server.staff), &one_item("Soup"));
    put().send().await.problem(428, "precondition_required");
    let stale = put().header("if-match", "\"9\"").send().await.problem(412, "precondition_failed");
    assert_eq!(stale["current"], 1);
    let replaced = put().header("if-match", "\"1\"").send().await;
    assert_eq!(replaced.header("etag"), "\"2-1-0\"");
    let id = replaced.expect(200)["categories"][0]["items"][0]["id"].clone();
    assert!(id.as_str().unwrap().starts_with("soup-"), "{id}");
    put().header("if-match", "\"1\"").send().await.problem(412, "precondition_failed");
    put().header("if-match", "\"1\", \"2\"").send().await.expect(200);
    put().header("if-match", "*").send().await.expect(200);
}

/// Proves that a refusal lists every problem of a menu.
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

/// Proves that a menu may be larger than other bodies, up to its own limit.
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
    assert!(large.len() > dabba_web::MAX_BODY_BYTES);
    put(large).await.expect(200);
    let spaces = " ".repeat(dabba_api::MAX_MENU_BYTES);
    put(format!("{}{spaces}", one_item("Soup"))).await.problem(413, "payload_too_large");
}

/// Proves that `If-Match` on an item's availability is compared with the revision of the availability, in each form,
/// and that a refused request changes nothing.
#[tokio::test]
async fn an_availability_can_require_a_revision() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu/items/naan/availability");
    let put = async |condition: &str, status: &str| {
        let call = server.put(&path, Some(&server.staff), &json!({"status": status}));
        call.header("if-match", condition).send().await
    };
    let first = put("\"1\"", "unavailable").await;
    assert_eq!((first.status, first.header("etag")), (200, "\"2\""));
    for stale in ["\"1\"", "W/\"2\"", "\"1\", \"3\"", "\"1-1-0\""] {
        let refused = put(stale, "available").await.problem(412, "precondition_failed");
        assert_eq!(refused["current"], 2, "{stale}");
    }
    put("2", "available").await.problem(400, "bad_request");
    assert_eq!(
        put("\"2\"", "unavailable").await.header("etag"),
        "\"2\"",
        "a repeated change must not increase the revision"
    );
    let menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    assert_eq!(menu["categories"][1]["items"][0]["availability"], json!({"status": "unavailable"}));
    assert_eq!(put("\"7\", \"2\"", "available").await.header("etag"), "\"3\"");
    assert_eq!(put("*", "unavailable").await.header("etag"), "\"4\"");
}

/// Proves that availability and stock exist only for items on the menu, and that their bodies must be complete.
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
    assert_eq!(
        put("naan", "stock", json!({})).await.pointers(),
        ["/remaining"],
        "removing the limit requires an explicit null"
    );
    assert_eq!(put("naan", "stock", json!({"remaining": 1_000_001})).await.pointers(), ["/remaining"]);
    let wrong = json!({"status": "available", "until": "2026-06-02T00:00:00Z"});
    assert_eq!(put("naan", "availability", wrong).await.pointers(), ["/until"]);
    let gone = put("naan", "availability", json!({"status": "unavailable"})).await.expect(200);
    assert_eq!(gone["availability"], json!({"status": "unavailable"}));
    let menu = server.get(&server.restaurant_path("/menu"), None).await.expect(200);
    assert_eq!(menu["categories"][1]["items"][0]["availability"], json!({"status": "unavailable"}));
    let same = put("naan", "availability", json!({"status": "unavailable"})).await.expect(200);
    assert_eq!(
        same["availability_revision"], gone["availability_revision"],
        "a repeated change must not increase the revision"
    );
}

/// Proves that a menu can be sent back as it was read, and that this changes nothing.
#[tokio::test]
async fn a_menu_that_was_read_can_be_sent_back() {
    let server = crate::start().await;
    let put = |item: &str, what: &str, body: Value| {
        let path = server.restaurant_path(&format!("/menu/items/{item}/{what}"));
        server.put(&path, Some(&server.staff), &body).send()
    };
    let until = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    put("naan", "availability", until).await.expect(200);
    put("chicken-tikka", "availability", json!({"status": "unavailable"})).await.expect(200);
    put("naan", "stock", json!({"remaining": 5})).await.expect(200);
    let path = server.restaurant_path("/menu");
    let read = server.get(&path, None).await;
    let tag = read.header("etag").to_owned();
    let read = read.expect(200);
    let sent_back = server.put(&path, Some(&server.staff), &read).header("if-match", &tag).send().await;
    assert_eq!(sent_back.expect(200), read);
    // The menu may be sent back later: an expired mark in it has no effect.
    server.advance(SignedDuration::from_hours(2));
    server.put(&path, Some(&server.staff), &read).header("if-match", "*").send().await.expect(200);
    let menu = server.get(&path, None).await.expect(200);
    assert_eq!(menu["categories"][1]["items"][0]["availability"], json!({"status": "available"}));
}

/// Proves that the menu shows an item as available, with another tag, once its `until` has passed, and that a change of
/// availability does not change the menu's revision.
#[tokio::test]
async fn a_menu_shows_an_item_as_available_after_its_until() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let naan = server.restaurant_path("/menu/items/naan/availability");
    let away = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    server.put(&naan, Some(&server.staff), &away).send().await.expect(200);
    let get = |tag: &str| server.request(reqwest::Method::GET, &path).header("if-none-match", tag).send();
    let before = get("\"1-1-0\"").await;
    assert_eq!(before.header("etag"), "\"1-2-0\"");
    assert_eq!(before.json["categories"][1]["items"][0]["availability"], away);
    assert_eq!((&before.json["revision"], &before.json["availability_revision"]), (&json!(1), &json!(2)));
    assert_eq!(get("\"1-2-0\"").await.status, 304);
    server.advance(SignedDuration::from_mins(59));
    assert_eq!(get("\"1-2-0\"").await.status, 304);
    server.advance(SignedDuration::from_mins(1));
    let after = get("\"1-2-0\"").await;
    assert_eq!((after.status, after.header("etag")), (200, "\"1-2-1\""));
    assert_eq!(after.json["categories"][1]["items"][0]["availability"], json!({"status": "available"}));
    assert_eq!(get("\"1-2-1\"").await.status, 304);
}

/// Proves that replacing a menu does not undo a mark that the sender has not seen, and keeps the values that the
/// document does not state.
#[tokio::test]
async fn replacing_a_menu_keeps_what_it_does_not_state() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let read = server.get(&path, None).await;
    let tag = read.header("etag").to_owned();
    let mut menu = read.expect(200);
    let put = |item: &str, what: &str, body: Value| {
        let path = server.restaurant_path(&format!("/menu/items/{item}/{what}"));
        server.put(&path, Some(&server.staff), &body).send()
    };
    put("naan", "availability", json!({"status": "unavailable"})).await.expect(200);
    put("chicken-tikka", "stock", json!({"remaining": 7})).await.expect(200);
    let replace =
        |menu: &Value, tag: &str| server.put(&path, Some(&server.staff), menu).header("if-match", tag).send();
    let refused = replace(&menu, &tag).await.problem(412, "precondition_failed");
    assert_eq!((&refused["current"], &refused["current_availability"]), (&json!(2), &json!(2)));
    for category in menu["categories"].as_array_mut().unwrap() {
        for item in category["items"].as_array_mut().unwrap() {
            item.as_object_mut().unwrap().remove("availability");
        }
    }
    // The items are removed from the menu, and then added again.
    let starters = menu["categories"][0]["items"].take();
    menu["categories"][0]["items"] = json!([]);
    replace(&menu, "\"2\"").await.expect(200);
    menu["categories"][0]["items"] = starters;
    let kept = replace(&menu, "\"3\"").await.expect(200);
    assert_eq!(kept["categories"][1]["items"][0]["availability"], json!({"status": "unavailable"}));
    assert_eq!(kept["categories"][0]["items"][0]["stock_limited"], true);
    let stock = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    assert_eq!(stock["stock"], json!([{"item": "chicken-tikka", "remaining": 7, "revision": 1}]));
}

/// Proves that a dish keeps its id, its mark and its stock if a menu without ids is sent in another order and with
/// other dishes, and that a cart never contains another dish than before.
#[tokio::test]
async fn an_id_stays_with_its_dish() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let put = async |names: &[&str]| {
        let items: Vec<_> =
            names.iter().map(|name| json!({"name": name, "price_minor": 700 + name.len()})).collect();
        let menu = json!({"categories": [{"name": "麺", "items": items}]});
        server.put(&path, Some(&server.staff), &menu).header("if-match", "*").send().await
    };
    let ids = |menu: &Value| -> BTreeMap<String, String> {
        let items = menu["categories"][0]["items"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        items.map(|item| (text(&item["name"]), text(&item["id"]))).collect()
    };
    let before = ids(&put(&["醤油ラーメン", "味噌ラーメン"]).await.expect(200));
    let (shoyu, miso) = (&before["醤油ラーメン"], &before["味噌ラーメン"]);
    let of = |item: &str, what: &str| server.restaurant_path(&format!("/menu/items/{item}/{what}"));
    let away = json!({"status": "unavailable"});
    server.put(&of(miso, "availability"), Some(&server.staff), &away).send().await.expect(200);
    server.put(&of(shoyu, "stock"), Some(&server.staff), &json!({"remaining": 3})).send().await.expect(200);

    let menu = put(&["塩ラーメン", "味噌ラーメン", "醤油ラーメン"]).await.expect(200);
    let after = ids(&menu);
    assert_eq!((&after["醤油ラーメン"], &after["味噌ラーメン"]), (shoyu, miso));
    assert!(!before.values().any(|id| *id == after["塩ラーメン"]), "{after:?}");
    for item in menu["categories"][0]["items"].as_array().unwrap() {
        assert_eq!(item["availability"] == away, item["name"] == "味噌ラーメン", "{item}");
        assert_eq!(item["stock_limited"] == true, item["name"] == "醤油ラーメン", "{item}");
    }
    let cart = json!({"lines": [{"item": shoyu, "quantity": 1}], "fulfilment": "collection"});
    let quote = server.post(&server.restaurant_path("/quotes"), None, &cart).send().await.expect(200);
    assert_eq!(quote["lines"][0]["name"], "醤油ラーメン", "{quote}");

    let refused = put(&["醤油ラーメン", "Gyoza", "ＧＹＯＺＡ"]).await;
    assert_eq!(refused.pointers(), ["/categories/0/items/1/name", "/categories/0/items/2/name"]);
    assert_eq!(
        server.get(&path, None).await.expect(200)["revision"],
        menu["revision"],
        "a refused menu must change nothing"
    );
    // A dish that returns to the menu is the same dish.
    put(&["Gyoza"]).await.expect(200);
    assert_eq!(ids(&put(&["醤油ラーメン", "Gyoza"]).await.expect(200))["醤油ラーメン"], *shoyu);
}

/// Proves that quotes and orders name an unavailable option, that the menu shows the option, and that it can be ordered
/// after its `until`.
#[tokio::test]
async fn an_unavailable_option_is_refused_until_its_mark_ends() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let read = server.get(&path, None).await;
    let tag = read.header("etag").to_owned();
    let mut menu = read.expect(200);
    let option = "/categories/0/items/0/option_groups/0/options/1";
    assert_eq!(menu.pointer(option).unwrap().get("availability"), None);
    let away = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    menu.pointer_mut(option).unwrap()["availability"] = away.clone();
    server.put(&path, Some(&server.staff), &menu).header("if-match", &tag).send().await.expect(200);
    let shown = server.get(&path, None).await;
    assert_eq!(shown.header("etag"), "\"2-1-0\"");
    assert_eq!(shown.expect(200).pointer(option).unwrap()["availability"], away);

    let hot =
        json!([{"item": "chicken-tikka", "quantity": 2, "options": [{"group": "heat", "option": "hot"}]}]);
    let unavailable = json!([{
        "item": "chicken-tikka", "group": "heat", "option": "hot", "until": "2026-06-01T13:00:00Z",
    }]);
    let cart = json!({"lines": hot, "fulfilment": "collection"});
    let quote = || server.post(&server.restaurant_path("/quotes"), None, &cart).send();
    let obstacle = quote().await.expect(200)["obstacles"][0].clone();
    assert_eq!((&obstacle["code"], &obstacle["options"]), (&json!("options_unavailable"), &unavailable));
    assert_eq!(
        obstacle["detail"],
        "options are not available: hot in heat of chicken-tikka (until 2026-06-01T13:00:00Z)"
    );
    let order = json!({"lines": hot, "fulfilment": {"type": "collection"}, "payment_method": "cash"});
    let place =
        |key: &str| server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send();
    let refused = place("1").await.problem(409, "options_unavailable");
    assert_eq!(refused["options"], unavailable);

    server.advance(SignedDuration::from_hours(1));
    let shown = server.get(&path, None).await;
    assert_eq!(shown.header("etag"), "\"2-1-1\"");
    assert_eq!(shown.expect(200).pointer(option).unwrap().get("availability"), None);
    assert_eq!(quote().await.expect(200)["obstacles"], json!([]));
    place("2").await.expect(201);
}

/// Proves that a menu shows what its document states about allergens, diets, images and codes.
#[tokio::test]
async fn a_menu_shows_the_facts_of_its_document() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let facts =
        json!({"allergens": ["milk", "nuts"], "diets": ["vegetarian", "gluten_free"], "ean": "96385074"});
    let with = |mut entry: Value| {
        for (name, value) in facts.as_object().unwrap() {
            entry[name] = value.clone();
        }
        entry
    };
    let mut item =
        with(json!({"name": "Kulfi", "price_minor": 300, "images": ["https://img.example/kulfi.jpg"]}));
    let option = with(json!({"name": "Pistachio", "price_minor": 50}));
    item["option_groups"] = json!([{"name": "Topping", "min": 0, "max": 1, "options": [option]}]);
    let menu = json!({"categories": [{"name": "Sweets", "external_code": "7", "items": [item]}]});
    let put = |menu: &Value| server.put(&path, Some(&server.staff), menu).header("if-match", "*").send();
    put(&menu).await.expect(200);
    let shown = server.get(&path, None).await.expect(200);
    assert_eq!(shown["categories"][0]["external_code"], "7");
    let shown = &shown["categories"][0]["items"][0];
    assert_eq!(shown["images"], json!(["https://img.example/kulfi.jpg"]));
    for (name, value) in facts.as_object().unwrap() {
        assert_eq!(&shown[name], value);
        assert_eq!(&shown["option_groups"][0]["options"][0][name], value);
    }
    let mut wrong = menu;
    wrong["categories"][0]["items"][0]["ean"] = json!("96385075");
    wrong["categories"][0]["items"][0]["allergens"] = json!(["lactose"]);
    let pointers = ["/categories/0/items/0/allergens/0", "/categories/0/items/0/ean"];
    assert_eq!(put(&wrong).await.pointers(), pointers);
}

/// Proves that the menu, quotes and orders agree on the hours of an item, and that the menu has another tag when they begin.
#[tokio::test]
async fn an_item_can_be_ordered_within_its_hours() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let mut menu = server.get(&path, None).await.expect(200);
    // It is Monday, 1 June 2026, 12:00 in UTC and 13:00 in London.
    let hours = json!([{"day": "monday", "opens": "14:00", "closes": "15:00"}]);
    menu["categories"][1]["items"][0]["hours"] = hours.clone();
    server.put(&path, Some(&server.staff), &menu).header("if-match", "*").send().await.expect(200);
    let read = server.get(&path, None).await;
    let tag = read.header("etag").to_owned();
    let naan = read.expect(200)["categories"][1]["items"][0].clone();
    assert_eq!(naan["hours"], hours);
    assert_eq!(naan["outside_hours"], json!({"opens_at": "2026-06-01T13:00:00Z"}));
    assert_eq!(naan["availability"], json!({"status": "available"}));

    let lines = json!([{"item": "naan", "quantity": 4}]);
    let cart = json!({"lines": lines, "fulfilment": "collection"});
    let quote = || server.post(&server.restaurant_path("/quotes"), None, &cart).send();
    let outside = json!([{"item": "naan", "until": "2026-06-01T13:00:00Z"}]);
    let obstacle = quote().await.expect(200)["obstacles"][0].clone();
    assert_eq!((&obstacle["code"], &obstacle["items"]), (&json!("items_outside_hours"), &outside));
    let order = json!({"lines": lines, "fulfilment": {"type": "collection"}, "payment_method": "cash"});
    let place =
        |key: &str| server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send();
    assert_eq!(place("1").await.problem(409, "items_outside_hours")["items"], outside);

    let get = |tag: &str| server.request(reqwest::Method::GET, &path).header("if-none-match", tag).send();
    server.advance(SignedDuration::from_mins(59));
    assert_eq!(get(&tag).await.status, 304);
    server.advance(SignedDuration::from_mins(1));
    let within = get(&tag).await;
    assert_ne!(within.header("etag"), tag);
    assert_eq!(within.expect(200)["categories"][1]["items"][0].get("outside_hours"), None);
    assert_eq!(quote().await.expect(200)["obstacles"], json!([]));
    place("2").await.expect(201);
    server.advance(SignedDuration::from_hours(1));
    assert_eq!(
        place("3").await.problem(409, "items_outside_hours")["items"][0]["until"],
        "2026-06-08T13:00:00Z"
    );
}

/// Proves that quotes, orders, events, receipts and refusals state the quantities of options, and that the order is priced
/// by the rule of the group.
#[tokio::test]
async fn options_have_quantities_and_free_units() {
    let server = crate::start().await;
    let path = server.restaurant_path("/menu");
    let option = |id: &str, price: i64| json!({"id": id, "name": id.to_uppercase(), "price_minor": price});
    let toppings = json!({
        "id": "toppings", "name": "Toppings", "min": 0, "max": 6, "max_per_option": 3, "free": 1,
        "options": [option("ham", 200), option("corn", 100)],
    });
    let halves = json!({
        "id": "halves", "name": "Halves", "min": 2, "max": 2, "max_per_option": 2, "price_by": "highest",
        "options": [option("margherita", 900), option("funghi", 1_100)],
    });
    let item = json!({"id": "pizza", "name": "Pizza", "price_minor": 0, "option_groups": [halves, toppings]});
    let menu = json!({"categories": [{"name": "Pizza", "items": [item]}]});
    let shown =
        server.put(&path, Some(&server.staff), &menu).header("if-match", "*").send().await.expect(200);
    let groups = &shown["categories"][0]["items"][0]["option_groups"];
    assert_eq!((&groups[0]["price_by"], groups[0].get("free")), (&json!("highest"), None));
    assert_eq!((&groups[1]["free"], &groups[1]["max_per_option"]), (&json!(1), &json!(3)));

    let choose = |ham: u32| {
        json!([{"item": "pizza", "quantity": 2, "options": [
            {"group": "halves", "option": "margherita"}, {"group": "halves", "option": "funghi"},
            {"group": "toppings", "option": "ham", "quantity": ham}, {"group": "toppings", "option": "corn"},
        ]}])
    };
    let quote = async |lines: Value| {
        let cart = json!({"lines": lines, "fulfilment": "collection"});
        server.post(&server.restaurant_path("/quotes"), None, &cart).send().await
    };
    let quoted = quote(choose(3)).await.expect(200);
    let line = &quoted["lines"][0];
    assert_eq!((&line["unit_price"], &line["total"]), (&json!(1_700), &json!(3_400)));
    let options = json!([
        {"group": "halves", "option": "margherita", "name": "MARGHERITA", "price": 900, "charged": 0},
        {"group": "halves", "option": "funghi", "name": "FUNGHI", "price": 1_100},
        {"group": "toppings", "option": "ham", "name": "HAM", "price": 200, "quantity": 3},
        {"group": "toppings", "option": "corn", "name": "CORN", "price": 100, "charged": 0},
    ]);
    assert_eq!(line["options"], options);
    assert_eq!(line.get("rules"), None);
    assert_eq!(quote(choose(4)).await.pointers(), ["/lines/0/options/2/quantity"]);

    let order = json!({"lines": choose(3), "fulfilment": {"type": "collection"}, "payment_method": "cash"});
    let placed = server.place("1", &order).await;
    assert_eq!((&placed["lines"][0]["options"], &placed["lines"][0]["total"]), (&options, &json!(3_400)));
    assert_eq!(placed["lines"][0].get("rules"), None);
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    let get = async |rest: &str| server.get(&format!("{path}{rest}"), Some(&server.customer)).await;
    assert_eq!(get("/receipt").await.expect(200)["lines"][0]["options"], options);
    assert_eq!(get("/events").await.expect(200)["events"][0]["data"]["lines"][0]["options"], options);
}
