//! Restaurants: settings and staff.

use std::collections::HashSet;

use dabba_testkit::{TestServer, settings};
use reqwest::Method;
use serde_json::json;

/// Proves that an admin can create a restaurant, and that `Location` leads to it.
#[tokio::test]
async fn an_admin_registers_a_restaurant() {
    let server = crate::start().await;
    let created = server.post("/v1/restaurants", Some(&server.admin), &settings("Dosa House")).send().await;
    assert_eq!((created.status, created.header("etag")), (201, "\"1\""), "{}", created.text);
    let path = created.header("location").to_owned();
    let seen = server.get(&path, None).await.expect(200);
    assert_eq!(seen, created.json);
    assert_eq!((&seen["accepting"], &seen["name"]), (&json!(true), &json!("Dosa House")));
    assert_eq!(seen["delivery"], json!({"fee": 250, "minimum_order": 1000}));
    let menu = server.get(&format!("{path}/menu"), None).await.expect(200);
    assert_eq!(menu["categories"], json!([]));
    let wrong = json!({"name": "", "currency": "gbp", "time_zone": "Mars/Base"});
    let answer = server.post("/v1/restaurants", Some(&server.admin), &wrong).send().await;
    assert_eq!(answer.pointers(), ["/name", "/currency", "/time_zone"]);
}

/// Proves that replacing the settings requires a condition, and that the currency cannot be changed.
#[tokio::test]
async fn replacing_settings_requires_a_condition() {
    let server = crate::start().await;
    let path = server.restaurant_path("");
    let put = |settings: &serde_json::Value| server.put(&path, Some(&server.staff), settings);
    let renamed = settings("Curry Mile Canteen");
    put(&renamed).send().await.problem(428, "precondition_required");
    put(&renamed).header("if-match", "\"2\"").send().await.problem(412, "precondition_failed");
    put(&renamed).header("if-match", "W/\"1\", \"2\"").send().await.problem(412, "precondition_failed");
    let replaced = put(&renamed).header("if-match", "\"7\", \"1\"").send().await;
    assert_eq!((replaced.header("etag"), &replaced.json["name"]), ("\"2\"", &renamed["name"]));
    let mut other = renamed.clone();
    other["currency"] = json!("EUR");
    assert_eq!(put(&other).header("if-match", "*").send().await.pointers(), ["/currency"]);
    let mut no_delivery = renamed;
    no_delivery["delivery"] = json!(null);
    let collected = put(&no_delivery).header("if-match", "*").send().await.expect(200);
    assert_eq!((&collected["delivers"], collected.get("delivery")), (&json!(false), None));
    let mut order = TestServer::order();
    order["lines"] = json!([{"item": "dal", "quantity": 2}]);
    let refused = server.post(&server.orders_path(), Some(&server.customer), &order).key("1").send().await;
    assert_eq!(refused.pointers(), ["/fulfilment"]);
}

/// Proves that a restaurant can be sent back as it was read, also by staff, and that this changes nothing.
#[tokio::test]
async fn a_restaurant_can_be_sent_back_as_read() {
    let server = crate::start().await;
    let path = server.restaurant_path("");
    server.post(&server.restaurant_path("/pause"), Some(&server.staff), &json!({})).send().await.expect(200);
    let read = server.get(&path, None).await.expect(200);
    assert!(read["pause"].is_object() && read["created_at"].is_string(), "{read}");
    let put = server.put(&path, Some(&server.staff), &read).header("if-match", "*").send().await.expect(200);
    let mut expected = read.clone();
    expected["revision"] = put["revision"].clone();
    assert_eq!(put, expected);
}

/// Proves that staff cannot raise their own refund limit or lower the tax, that the refusal names each such setting,
/// and that an admin can change both.
#[tokio::test]
async fn some_settings_are_for_admins() {
    let server = crate::start().await;
    let path = server.restaurant_path("");
    let mut settings = server.get(&path, None).await.expect(200);
    settings["name"] = json!("Renamed");
    settings["acceptance_deadline_seconds"] = json!(600);
    let put = |person, settings: &serde_json::Value| {
        server.put(&path, Some(person), settings).header("if-match", "*").send()
    };
    put(&server.staff, &settings).await.expect(200);
    settings["refund_limit"] = json!(1_000_000);
    let refused = put(&server.staff, &settings).await.problem(403, "forbidden");
    assert_eq!(refused["errors"][0]["pointer"], "/refund_limit");
    settings["tax_rate_basis_points"] = json!(0);
    let refused = put(&server.staff, &settings).await.problem(403, "forbidden");
    let pointers: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]).collect();
    assert_eq!(pointers, ["/refund_limit", "/tax_rate_basis_points"]);
    let kept = server.get(&path, None).await.expect(200);
    assert_ne!((&kept["refund_limit"], &kept["tax_rate_basis_points"]), (&json!(1_000_000), &json!(0)));
    let changed = put(&server.admin, &settings).await.expect(200);
    assert_eq!((&changed["refund_limit"], &changed["tax_rate_basis_points"]), (&json!(1_000_000), &json!(0)));
    settings["currency"] = json!("EUR");
    assert_eq!(
        put(&server.admin, &settings).await.pointers(),
        ["/currency"],
        "nobody can change the currency"
    );
}

/// Proves that a pause must end in the future.
#[tokio::test]
async fn a_pause_ends_in_the_future() {
    let server = crate::start().await;
    let pause = |body| server.post(&server.restaurant_path("/pause"), Some(&server.staff), &body).send();
    assert_eq!(pause(json!({"until": "2026-06-01T12:00:00Z"})).await.pointers(), ["/until"]);
    assert_eq!(pause(json!({"until": "tomorrow"})).await.pointers(), ["/until"]);
    assert_eq!(pause(json!({"for": 5})).await.pointers(), ["/for"]);
    pause(json!({})).await.expect(200);
}

/// Proves that everyone can list all restaurants in pages.
#[tokio::test]
async fn restaurants_are_listed() {
    let server = crate::start().await;
    for name in ["A", "B", "C"] {
        server.post("/v1/restaurants", Some(&server.admin), &settings(name)).send().await.expect(201);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/restaurants?limit=2".to_owned();
    loop {
        let page = server.get(&path, None).await.expect(200);
        let restaurants = page["restaurants"].as_array().unwrap();
        seen.extend(restaurants.iter().map(|restaurant| restaurant["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/restaurants?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 5);
}

/// Proves that members of the staff can be added and removed, with immediate effect.
#[tokio::test]
async fn staff_can_be_added_and_removed() {
    let server = crate::start().await;
    let member = |id| server.restaurant_path(&format!("/members/{id}"));
    let put = |id| server.request(Method::PUT, &member(id)).by(&server.staff).send();
    let path = server.restaurant_path("/orders");
    let orders = || server.get(&path, Some(&server.other_staff));
    orders().await.problem(403, "forbidden");
    let added = put(server.other_staff.id).await.expect(200);
    assert_eq!(added["email"], server.other_staff.email);
    orders().await.expect(200);
    put(server.other_staff.id).await.expect(200);
    let list = server.restaurant_path("/members?limit=1");
    let page = server.get(&list, Some(&server.staff)).await.expect(200);
    let next = format!("{list}&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = server.get(&next, Some(&server.staff)).await.expect(200);
    let ids = [&page["members"][0]["id"], &rest["members"][0]["id"]];
    assert!(ids.contains(&&json!(server.staff.id.to_string())));
    assert!(ids.contains(&&json!(server.other_staff.id.to_string())));

    put(server.courier.id).await.problem(422, "invalid");
    let remove = || server.request(Method::DELETE, &member(server.other_staff.id)).by(&server.admin).send();
    assert_eq!(remove().await.status, 204);
    remove().await.problem(404, "not_found");
    orders().await.problem(403, "forbidden");
}
