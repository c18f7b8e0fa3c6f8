//! Lists and absent members, for every operation that reads.

use std::collections::BTreeSet;

use dabba_testkit::{TestServer, settings};
use serde_json::{Value, json};

use crate::{ids, suite::webhook_endpoints, walk_to};

/// Proves that no reading operation responds with `null`, which the test client checks for every response, and that the
/// test reaches every reading operation; a new one that it cannot reach fails the test.
#[tokio::test]
async fn members_without_a_value_are_omitted_everywhere() {
    let server = crate::builder().webhooks(webhook_endpoints::egress()).start().await;
    let order = server.place("1", &TestServer::collection()).await;
    let order_id = order["id"].as_str().unwrap();
    // A restaurant without any optional members, besides the usual ones.
    let mut bare = settings("Bare");
    bare["delivery"] = json!(null);
    server.post("/v1/restaurants", Some(&server.admin), &bare).send().await.expect(201);
    let stock = server.restaurant_path("/menu/items/naan/stock");
    for remaining in [json!(5), json!(null)] {
        let body = json!({"remaining": remaining});
        server.put(&stock, Some(&server.staff), &body).send().await.expect(200);
    }
    let till = json!({"name": "Till", "role": "restaurant"});
    let service = server.post("/v1/service-accounts", Some(&server.admin), &till).send().await.expect(201);
    let service_id = service["id"].as_str().unwrap();
    let keys = format!("/v1/accounts/{service_id}/keys");
    let key = server.post(&keys, Some(&server.admin), &json!({"name": "Key"})).send().await.expect(201);
    let hook = json!({"url": "https://hooks.example.com/dabba"});
    let hook = server.post("/v1/webhook-endpoints", Some(&server.admin), &hook).send().await.expect(201);
    let link = format!("/v1/orders/{order_id}/tracking-link");
    let link = server.post(&link, Some(&server.customer), &json!({})).send().await.expect(201);
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let mut unreachable = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let path = path
            .replace("{account_id}/keys", &format!("{service_id}/keys"))
            .replace("{key_id}", key["id"].as_str().unwrap())
            .replace("{restaurant_id}", &server.restaurant.to_string())
            .replace("{order_id}", order_id)
            .replace("{item_id}", "naan")
            .replace("{endpoint_id}", hook["id"].as_str().unwrap())
            .replace("{token}", link["token"].as_str().unwrap())
            .replace("{account_id}", &server.customer.id.to_string());
        let answer = server.get(&path, Some(&server.admin)).await;
        // The sandbox's clock exists only on a sandbox, and only the cookie of a session reads the session.
        if answer.status != 200 && !path.starts_with("/v1/sandbox") && path != "/v1/session" {
            unreachable.insert(format!("{path}: {}", answer.text));
        }
    }
    assert_eq!(unreachable, BTreeSet::new());
}

/// Proves that no schema of a response allows `null`.
#[test]
fn no_schema_of_a_response_allows_null() {
    fn nullable<'a>(
        description: &'a Value,
        place: &'a str,
        schema: &'a Value,
        seen: &mut BTreeSet<&'a str>,
        found: &mut Vec<&'a str>,
    ) {
        match schema {
            Value::String(kind) if kind == "null" => found.push(place),
            Value::Object(members) => {
                for (name, member) in members {
                    let target = member.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
                    match target.filter(|_| name == "$ref") {
                        Some(target) if seen.insert(target) => {
                            let schema = &description["components"]["schemas"][target];
                            nullable(description, target, schema, seen, found);
                        }
                        Some(_) => {}
                        None => nullable(description, place, member, seen, found),
                    }
                }
            }
            Value::Array(values) => {
                for value in values {
                    nullable(description, place, value, seen, found);
                }
            }
            _ => {}
        }
    }
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for (path, operations) in description["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            nullable(&description, path, &operation["responses"], &mut seen, &mut found);
        }
    }
    assert!(
        ["Order", "Problem", "Refund", "Menu", "MemberList"].iter().all(|name| seen.contains(name)),
        "{seen:?}"
    );
    assert_eq!(found, Vec::<&str>::new());
}

/// Proves that a repeated parameter and one with commas mean the same, in any combination, and that an empty parameter
/// is refused and does not return everything.
#[tokio::test]
async fn a_filter_means_the_same_in_every_form() {
    let server = crate::start().await;
    let confirmed = server.place("1", &TestServer::order()).await;
    let preparing = server.place("2", &TestServer::order()).await;
    walk_to(&server, &preparing, "accept").await;
    let delivered = server.place("3", &TestServer::order()).await;
    walk_to(&server, &delivered, "deliver").await;
    let id = |order: &Value| order["id"].as_str().unwrap().to_owned();
    let both = BTreeSet::from([id(&confirmed), id(&preparing)]);
    for (path, person) in [
        ("/v1/orders".to_owned(), &server.customer),
        ("/v1/orders".to_owned(), &server.admin),
        (server.orders_path(), &server.staff),
    ] {
        for filter in [
            "status=confirmed&status=preparing",
            "status=confirmed,preparing",
            "status=confirmed%2Cpreparing",
            "status=preparing&limit=9&status=confirmed,preparing",
        ] {
            let page = server.get(&format!("{path}?{filter}"), Some(person)).await.expect(200);
            assert_eq!(ids(&page).into_iter().collect::<BTreeSet<_>>(), both, "{path}?{filter}");
        }
        let refused = server.get(&format!("{path}?status="), Some(person)).await;
        let detail = refused.problem(400, "bad_request")["detail"].clone();
        assert!(detail.as_str().unwrap().contains("confirmed"), "{detail}");
    }
}

/// Proves that the last page has no `next_cursor`, also if it is full.
#[tokio::test]
async fn a_full_last_page_has_no_cursor() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    server.place("2", &TestServer::order()).await;
    let events = format!("/v1/orders/{}/events", order["id"].as_str().unwrap());
    for (path, person, member, count) in [
        ("/v1/orders".to_owned(), &server.customer, "orders", 2),
        ("/v1/orders".to_owned(), &server.admin, "orders", 2),
        (server.orders_path(), &server.staff, "orders", 2),
        ("/v1/restaurants".to_owned(), &server.customer, "restaurants", 2),
        (server.restaurant_path("/members"), &server.staff, "members", 1),
        (events, &server.customer, "events", 2),
    ] {
        let read = async |query: String| server.get(&query, Some(person)).await;
        let whole = read(format!("{path}?limit={count}")).await.expect(200);
        assert_eq!(whole[member].as_array().unwrap().len(), count, "{whole}");
        assert_eq!(whole.get("next_cursor"), None, "{path}");
        let mut entries = Vec::new();
        let mut next = Some(format!("{path}?limit=1"));
        while let Some(query) = next {
            let page = read(query).await.expect(200);
            entries.extend(page[member].as_array().unwrap().iter().cloned());
            next = page["next_cursor"].as_str().map(|cursor| format!("{path}?limit=1&cursor={cursor}"));
        }
        assert_eq!(json!(entries), whole[member], "{path}");
    }
}

/// Proves that the document of a restaurant without delivery can be sent back as it was read.
#[tokio::test]
async fn a_restaurant_without_delivery_can_be_sent_back_as_read() {
    let server = crate::start().await;
    let path = server.restaurant_path("");
    let terms = json!({"fee": 250, "minimum_order": 0});
    for (stated, delivers) in [
        (json!({}), Some(true)),
        (json!({"delivery": null}), Some(false)),
        (json!({"delivers": false}), Some(false)),
        (json!({"delivers": false, "delivery": null}), Some(false)),
        (json!({"delivers": true}), Some(true)),
        (json!({"delivers": true, "delivery": terms}), Some(true)),
        (json!({"delivers": true, "delivery": null}), None),
        (json!({"delivers": false, "delivery": terms}), None),
    ] {
        let mut document = settings("Curry Mile Kitchen");
        let members = document.as_object_mut().unwrap();
        members.remove("delivery");
        members.extend(stated.as_object().unwrap().clone());
        let put = server.put(&path, Some(&server.admin), &document).header("if-match", "*").send().await;
        let Some(delivers) = delivers else {
            assert_eq!(put.pointers(), ["/delivery"], "{stated}");
            continue;
        };
        let seen = put.expect(200);
        assert_eq!((&seen["delivers"], seen.get("delivery").is_some()), (&json!(delivers), delivers));
        let quote = json!({"lines": [{"item": "naan", "quantity": 4}], "fulfilment": "delivery"});
        let quoted = server.post(&server.restaurant_path("/quotes"), None, &quote).send().await;
        assert_eq!(quoted.status, if delivers { 200 } else { 422 }, "{}", quoted.text);
    }
}
