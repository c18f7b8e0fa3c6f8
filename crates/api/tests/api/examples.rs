//! The examples of the API description, sent to a server.

use std::sync::Arc;

use dabba_engine::ManualClock;
use dabba_testkit::{TestAccount, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    suite::{payments, webhook_endpoints},
    walk_to,
};

/// The restaurant in the examples.
const EXAMPLE_RESTAURANT: &str = "01977d7c-1180-7c3f-9a11-0f1e2d3c4b5a";
/// The cursor in the examples.
const EXAMPLE_CURSOR: &str = "r2~main.0123456789abcdef.740-17";
/// The token of a login link in the examples.
const EXAMPLE_LINK_TOKEN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The courier in the examples.
const EXAMPLE_COURIER: &str = "01977d7b-9c70-7c30-8d00-334455667788";

/// Proves that the server accepts every example of a request, and refuses it with an array in place of any of its objects. The
/// test server compares the responses with the description.
#[tokio::test]
async fn every_example_of_a_request_works() {
    let clock = Arc::new(ManualClock::new("2026-06-01T12:00:00Z".parse().unwrap()));
    let sandbox = Arc::clone(&clock);
    let builder = crate::builder().gateway(payments::gateway()).clock(clock);
    let builder = builder.webhooks(webhook_endpoints::egress());
    let server = builder.api(|api| api.sandbox = Some(sandbox)).start().await;
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let cursor = server.get("/v1/events", Some(&server.admin)).await.text_at("/next_cursor");
    let link = format!("/v1/accounts/{}/login-links", server.courier.id);
    let login_token =
        server.request(Method::POST, &link).by(&server.admin).send().await.text_at("/link_token");
    let (mut refused, mut arrays) = (Vec::new(), 0);
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
            for (name, example) in examples.as_object().into_iter().flatten() {
                let id = operation["operationId"].as_str().unwrap();
                let name = format!("{id}/{name}");
                let text = example["value"].to_string();
                let text = text
                    .replace(EXAMPLE_COURIER, &server.courier.id.to_string())
                    .replace(EXAMPLE_RESTAURANT, &server.restaurant.to_string())
                    .replace(EXAMPLE_CURSOR, &cursor)
                    .replace(EXAMPLE_LINK_TOKEN, &login_token);
                let value = serde_json::from_str(&text);
                let path = place(&server, path, &name).await;
                let value: Value = value.unwrap();
                let send = |body: &Value| {
                    let request = server.request(method.to_uppercase().parse::<Method>().unwrap(), &path);
                    let request = request.by(caller(&server, &name)).key(&name).header("if-match", "*");
                    request.json(body).send()
                };
                for (pointer, wrong) in arrays_for_objects(&value) {
                    assert_eq!(send(&wrong).await.pointers(), [pointer], "{name} {wrong}");
                    arrays += 1;
                }
                let answer = send(&value).await;
                // No task is parked. A body that cannot be read would be refused before the lookup of the task.
                let is_done = answer.status < 300 || (id == "resolve_task" && answer.status == 404);
                if !is_done {
                    refused.push(format!("{name}: {}", answer.text));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(arrays > 60, "{arrays}");
}

/// Returns variants of a document: for each of its objects, the document with that object replaced by an array of its members'
/// values, with the pointer to the object. Serde alone would read such an array as a struct, and within a tagged or flattened
/// type the reader of bodies cannot prevent that, so the test sends every body of the description in these forms.
fn arrays_for_objects(document: &Value) -> Vec<(String, Value)> {
    fn collect(pointer: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.push(pointer.to_owned());
                members
                    .iter()
                    .for_each(|(name, member)| collect(&format!("{pointer}/{name}"), member, found));
            }
            Value::Array(values) => {
                let values = values.iter().enumerate();
                values.for_each(|(index, value)| collect(&format!("{pointer}/{index}"), value, found));
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    collect("", document, &mut places);
    let replace = |place: String| {
        let mut wrong = document.clone();
        let object = wrong.pointer_mut(&place)?;
        *object = object.as_object()?.values().cloned().collect();
        Some((place, wrong))
    };
    places.into_iter().filter_map(replace).collect()
}

fn caller<'a>(server: &'a TestServer, example: &str) -> &'a TestAccount {
    match example {
        "assign_courier/self" | "deliver_order/courier" => &server.courier,
        "cancel_order/cancellation" => &server.customer,
        _ if example.starts_with("place_order") => &server.customer,
        _ if example.starts_with("accept_order") || example.starts_with("reject_order") => &server.staff,
        _ => &server.admin,
    }
}

/// Returns the path of an example's request, after setting up the state that the request needs.
async fn place(server: &TestServer, template: &str, example: &str) -> String {
    let operation = example.split('/').next().unwrap();
    // Operations that change whether or what a restaurant sells use the other restaurant.
    let replaces =
        ["replace_restaurant", "replace_menu", "close_restaurant", "pause_restaurant", "set_availability"];
    let restaurant = if replaces.contains(&operation) { server.other_restaurant } else { server.restaurant };
    if operation == "adjust_stock" {
        let stock = server.restaurant_path("/menu/items/naan/stock");
        server.put(&stock, Some(&server.staff), &json!({"remaining": 20})).send().await.expect(200);
    }
    // An account that no other request uses, because its tokens end.
    let mut account = server.other_customer.id.to_string();
    if operation == "create_api_key" {
        let body = json!({"name": "Till", "role": "restaurant"});
        account = server.post("/v1/service-accounts", Some(&server.admin), &body).send().await.text_at("/id");
    }
    let mut endpoint = String::new();
    if template.contains("{endpoint_id}") {
        let body = json!({"url": "https://hooks.example.com/dabba"});
        endpoint =
            server.post("/v1/webhook-endpoints", Some(&server.admin), &body).send().await.text_at("/id");
    }
    let mut token = String::new();
    if template.contains("{token}") {
        let order = order(server, operation, example).await;
        let link = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
        token = server.request(Method::POST, &link).by(&server.customer).send().await.text_at("/token");
    }
    let order =
        if template.contains("{order_id}") { order(server, operation, example).await } else { json!({}) };
    template
        .replace("{restaurant_id}", &restaurant.to_string())
        .replace("{item_id}", "naan")
        .replace("{task_id}", &restaurant.to_string())
        .replace("{account_id}", &account)
        .replace("{endpoint_id}", &endpoint)
        .replace("{token}", &token)
        .replace("{order_id}", order["id"].as_str().unwrap_or_default())
}

/// Places an order that allows the command.
async fn order(server: &TestServer, command: &str, example: &str) -> Value {
    let mut body = TestServer::order();
    if example == "reject_order/item_unavailable" {
        // The example makes the item unavailable.
        body["lines"].as_array_mut().unwrap().push(json!({"item": "dal", "quantity": 1}));
    }
    let placed = server.place(&format!("for-{example}"), &body).await;
    match command {
        "deliver_order" => walk_to(server, &placed, "pick-up").await,
        "refund_order" => walk_to(server, &placed, "deliver").await,
        _ => placed,
    }
}
