//! Authorization (I9): every operation by every kind of caller, in one table.
//!
//! The operations are those of the API description. An operation without a row fails the test, and so does a row without an
//! operation.

use std::collections::BTreeSet;

use dabba_testkit::{PASSWORD, TestAccount, TestServer, WebhookReceiver, menu, settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::suite::webhook_endpoints;

/// The callers, in the order of the table's columns. The order under test is the customer's, from the restaurant, and has the
/// courier.
const CALLERS: [&str; 8] = [
    "no token",
    "the customer",
    "another customer",
    "the restaurant's staff",
    "another restaurant's staff",
    "the courier",
    "another courier",
    "an admin",
];

/// State that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scene {
    /// No special state.
    Any,
    /// A confirmed order that has a courier.
    Confirmed,
    /// The same order, accepted.
    Preparing,
    /// The same order, ready.
    Ready,
    /// The same order, picked up.
    OutForDelivery,
    /// The same order, delivered.
    Delivered,
    /// A member of the restaurant's staff besides the others.
    Colleague,
    /// A webhook endpoint of the restaurant.
    Hooked,
}

use Scene::{Any, Colleague, Confirmed, Delivered, Hooked, OutForDelivery, Preparing, Ready};

/// The operations, each with the status of the response to each caller, and with its scene. Lines with `#` are comments.
const TABLE: &str = "
#      path                                                              none  cust  other staff other cour  other admin scene
GET    /healthz                                                          200   200   200   200   200   200   200   200   Any
GET    /readyz                                                           200   200   200   200   200   200   200   200   Any
GET    /metrics                                                          200   200   200   200   200   200   200   200   Any
POST   /v1/accounts                                                      201   201   201   201   201   201   201   201   Any
GET    /v1/accounts/me                                                   401   200   200   200   200   200   200   200   Any
POST   /v1/tokens                                                        200   200   200   200   200   200   200   200   Any
POST   /v1/session                                                       200   200   200   200   200   200   200   200   Any
# A request with a token has no session.
GET    /v1/session                                                       401   401   401   401   401   401   401   401   Any
DELETE /v1/session                                                       204   204   204   204   204   204   204   204   Any
POST   /v1/restaurants                                                   401   403   403   403   403   403   403   201   Any
GET    /v1/restaurants                                                   200   200   200   200   200   200   200   200   Any
GET    /v1/restaurants/{restaurant_id}                                   200   200   200   200   200   200   200   200   Any
PUT    /v1/restaurants/{restaurant_id}                                   401   403   403   200   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/pause                             401   403   403   200   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/resume                            401   403   403   200   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/close                             401   403   403   403   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/reopen                            401   403   403   403   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/members                           401   403   403   200   403   403   403   200   Any
PUT    /v1/restaurants/{restaurant_id}/members/{account_id}              401   403   403   200   403   403   403   200   Colleague
DELETE /v1/restaurants/{restaurant_id}/members/{account_id}              401   403   403   204   403   403   403   204   Colleague
GET    /v1/restaurants/{restaurant_id}/menu                              200   200   200   200   200   200   200   200   Any
PUT    /v1/restaurants/{restaurant_id}/menu                              401   403   403   200   403   403   403   200   Any
PUT    /v1/restaurants/{restaurant_id}/menu/items/{item_id}/availability 401   403   403   200   403   403   403   200   Any
PUT    /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock        401   403   403   200   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock        401   403   403   200   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/menu/items/{item_id}/stock/adjust 401   403   403   200   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/stock                             401   403   403   200   403   403   403   200   Any
POST   /v1/restaurants/{restaurant_id}/quotes                            200   200   200   200   200   200   200   200   Any
POST   /v1/restaurants/{restaurant_id}/orders                            401   201   201   403   403   403   403   403   Any
GET    /v1/restaurants/{restaurant_id}/orders                            401   403   403   200   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/board                             401   403   403   200   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/board/stream                      401   403   403   200   403   403   403   200   Any
GET    /v1/restaurants/{restaurant_id}/boards                            401   403   403   200   403   403   403   200   Any
GET    /v1/orders                                                        401   200   200   403   403   200   200   200   Any
GET    /v1/orders/{order_id}                                             401   200   404   200   404   200   404   200   Confirmed
GET    /v1/orders/{order_id}/events                                      401   200   404   200   404   200   404   200   Confirmed
GET    /v1/orders/{order_id}/receipt                                     401   200   404   200   404   403   403   200   Confirmed
GET    /v1/orders/{order_id}/ledger                                      401   403   403   200   404   403   403   200   Confirmed
GET    /v1/orders/{order_id}/stream                                      401   200   404   200   404   200   404   200   Confirmed
POST   /v1/orders/{order_id}/tracking-link                               401   201   404   403   404   403   404   201   Confirmed
# The holder of a link's token may use it; the token of these rows does not exist. The tests in tracking.rs have one.
GET    /v1/tracking/{token}                                              404   404   404   404   404   404   404   404   Any
GET    /v1/tracking/{token}/stream                                       404   404   404   404   404   404   404   404   Any
POST   /v1/tracking/{token}/cancel                                       404   404   404   404   404   404   404   404   Any
# Staff may read the feed of a restaurant that they name; the tests in events.rs name one.
GET    /v1/events                                                        401   403   403   403   403   403   403   200   Any
GET    /v1/events/stream                                                 401   403   403   403   403   403   403   200   Any
POST   /v1/orders/{order_id}/accept                                      401   403   404   200   404   403   404   403   Confirmed
POST   /v1/orders/{order_id}/reject                                      401   403   404   200   404   403   404   403   Confirmed
POST   /v1/orders/{order_id}/ready                                       401   403   404   200   404   403   404   403   Preparing
POST   /v1/orders/{order_id}/assign                                      401   403   404   403   404   200   404   200   Confirmed
POST   /v1/orders/{order_id}/pick-up                                     401   403   404   403   404   200   404   403   Ready
# Staff hand over orders for collection, but must not mark orders for delivery as delivered. An admin may, with a reason.
POST   /v1/orders/{order_id}/deliver                                     401   403   404   409   404   200   404   422   OutForDelivery
POST   /v1/orders/{order_id}/cancel                                      401   200   404   200   404   403   404   200   Confirmed
POST   /v1/orders/{order_id}/refund                                      401   403   404   200   404   403   404   200   Delivered
# No task is parked, so an admin gets 404; the tests in expiry.rs have a parked task.
GET    /v1/tasks                                                         401   403   403   403   403   403   403   200   Any
POST   /v1/tasks/{task_id}/retry                                         401   403   403   403   403   403   403   404   Any
POST   /v1/tasks/{task_id}/resolve                                       401   403   403   403   403   403   403   404   Any
GET    /v1/shards                                                        401   403   403   403   403   403   403   200   Any
GET    /v1/statistics                                                    401   403   403   403   403   403   403   200   Any
# This server is not a sandbox and has no webhooks; payments.rs tests such servers.
GET    /v1/sandbox/clock                                                 401   404   404   404   404   404   404   404   Any
POST   /v1/sandbox/clock/advance                                         401   404   404   404   404   404   404   404   Any
POST   /v1/webhooks/payments                                             404   404   404   404   404   404   404   404   Any
# Staff must state the restaurant, so another restaurant's staff gets 403 in a list and 404 for an endpoint.
POST   /v1/webhook-endpoints                                             401   403   403   201   403   403   403   201   Hooked
GET    /v1/webhook-endpoints                                             401   403   403   403   403   403   403   200   Hooked
GET    /v1/webhook-endpoints/{endpoint_id}                               401   403   403   200   404   403   403   200   Hooked
PATCH  /v1/webhook-endpoints/{endpoint_id}                               401   403   403   200   404   403   403   200   Hooked
POST   /v1/webhook-endpoints/{endpoint_id}/rotate-secret                 401   403   403   200   404   403   403   200   Hooked
POST   /v1/webhook-endpoints/{endpoint_id}/test                          401   403   403   200   404   403   403   200   Hooked
POST   /v1/webhook-endpoints/{endpoint_id}/enable                        401   403   403   200   404   403   403   200   Hooked
POST   /v1/webhook-endpoints/{endpoint_id}/replay                        401   403   403   200   404   403   403   200   Hooked
GET    /v1/webhook-endpoints/{endpoint_id}/attempts                      401   403   403   200   404   403   403   200   Hooked
GET    /v1/webhook-endpoints/{endpoint_id}/failures                      401   403   403   200   404   403   403   200   Hooked
DELETE /v1/webhook-endpoints/{endpoint_id}                               401   403   403   204   404   403   403   204   Hooked
GET    /v1/accounts                                                      401   403   403   403   403   403   403   200   Any
GET    /v1/accounts/{account_id}                                         401   404   404   404   404   404   404   200   Any
PATCH  /v1/accounts/{account_id}                                         401   404   404   404   404   404   404   200   Any
POST   /v1/accounts/{account_id}/password                                401   404   404   404   404   404   404   204   Any
POST   /v1/accounts/{account_id}/revoke-tokens                           401   404   404   404   404   404   404   204   Any
POST   /v1/service-accounts                                              401   403   403   403   403   403   403   201   Any
# The account of these rows belongs to a person, so an admin gets 404; keys.rs has service accounts.
POST   /v1/accounts/{account_id}/keys                                    401   403   403   403   403   403   403   404   Any
GET    /v1/accounts/{account_id}/keys                                    401   403   403   403   403   403   403   404   Any
GET    /v1/accounts/{account_id}/keys/{key_id}                           401   403   403   403   403   403   403   404   Any
DELETE /v1/accounts/{account_id}/keys/{key_id}                           401   403   403   403   403   403   403   404   Any
# The account of these rows has no session with this id, so an admin gets 404; sessions.rs has sessions.
GET    /v1/accounts/{account_id}/sessions                                401   404   404   404   404   404   404   200   Any
DELETE /v1/accounts/{account_id}/sessions/{session_id}                   401   404   404   404   404   404   404   404   Any
POST   /v1/accounts/{account_id}/login-links                             401   403   403   403   403   403   403   201   Any
# Last, because it deletes the account that the rows above use.
DELETE /v1/accounts/{account_id}                                         401   404   404   404   404   404   404   204   Any
";

/// A row of the table.
struct Row {
    method: &'static str,
    path: &'static str,
    scene: Scene,
    expected: [u16; 8],
}

impl Row {
    fn read(line: &'static str) -> Self {
        let cells: Vec<_> = line.split_whitespace().collect();
        let [method, path, expected @ .., scene] = &*cells else { panic!("not a row: {line}") };
        let scenes = [Any, Confirmed, Preparing, Ready, OutForDelivery, Delivered, Colleague, Hooked];
        let scene = scenes.into_iter().find(|known| format!("{known:?}") == *scene);
        let expected: Vec<u16> = expected.iter().filter_map(|status| status.parse().ok()).collect();
        let (Some(scene), Ok(expected)) = (scene, expected.try_into()) else { panic!("not a row: {line}") };
        Self { method, path, scene, expected }
    }
}

fn rows() -> Vec<Row> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(Row::read).collect()
}

/// Proves that the table has a row for every operation, and for no other.
#[test]
fn the_table_names_every_operation() {
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        described
            .extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let rows = rows();
    let named = |row: &Row| (row.method.to_owned(), row.path.to_owned());
    assert_eq!(rows.iter().map(named).collect::<BTreeSet<_>>(), described);
    assert_eq!(rows.len(), described.len(), "the table must not have duplicate rows");
}

/// Proves each cell of the table with a real request.
#[tokio::test]
async fn every_operation_authorizes_exactly_the_specified_callers() {
    check_every_cell(Credentials::Tokens).await;
}

/// Proves that a session has the rights of a token, in each cell of the table.
#[tokio::test]
async fn sessions_have_the_rights_of_tokens() {
    check_every_cell(Credentials::Sessions).await;
}

/// The credentials of the callers.
#[derive(Clone, Copy, PartialEq)]
enum Credentials {
    Tokens,
    /// A session of its own for each request, because some of the requests end it.
    Sessions,
}

async fn check_every_cell(credentials: Credentials) {
    let server = crate::builder().webhooks(webhook_endpoints::egress()).start().await;
    let receiver = WebhookReceiver::start().await;
    let colleague = colleague(&server).await;
    let mut wrong = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        for (column, caller) in CALLERS.iter().enumerate() {
            let name = format!("{number}-{column}");
            let order = prepare(&server, row.scene, &name, &colleague).await;
            let endpoint =
                if row.scene == Hooked { endpoint(&server, &receiver).await } else { String::new() };
            let path = row
                .path
                .replace("{restaurant_id}", &server.restaurant.to_string())
                .replace("{item_id}", "dal")
                // Any id that is not a task's.
                .replace("{task_id}", &server.restaurant.to_string())
                .replace("{account_id}", &colleague)
                // Any id that is not a session's.
                .replace("{session_id}", &server.restaurant.to_string())
                // Any id that is not a key's.
                .replace("{key_id}", &server.restaurant.to_string())
                .replace("{endpoint_id}", &endpoint)
                // No link has this token.
                .replace("{token}", &"0".repeat(46))
                .replace("{order_id}", &order);
            let method: Method = row.method.parse().unwrap();
            let mut request =
                server.request(method, &path).header("if-match", "*").key(format!("cell-{name}"));
            let mut expected = row.expected[column];
            match (person(&server, column), credentials) {
                (Some(person), Credentials::Tokens) => request = request.by(person),
                (Some(person), Credentials::Sessions) => {
                    request = request.session(&server.log_in(person).await);
                    if (row.method, row.path) == ("GET", "/v1/session") {
                        expected = 200;
                    }
                }
                (None, _) => {}
            }
            if let Some(body) = body(&server, row, &name) {
                request = request.json(&body);
            }
            let answer = request.send().await;
            if !endpoint.is_empty() {
                let path = format!("/v1/webhook-endpoints/{endpoint}");
                server.request(Method::DELETE, &path).by(&server.admin).send().await;
            }
            if answer.status != expected {
                let Row { method, path, .. } = row;
                wrong.push(format!("{method} {path} by {caller}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn person(server: &TestServer, column: usize) -> Option<&TestAccount> {
    let TestServer { customer, other_customer, staff, other_staff, courier, other_courier, admin, .. } =
        server;
    [
        None,
        Some(customer),
        Some(other_customer),
        Some(staff),
        Some(other_staff),
        Some(courier),
        Some(other_courier),
        Some(admin),
    ][column]
}

fn body(server: &TestServer, row: &Row, name: &str) -> Option<Value> {
    Some(match (row.method, row.path.rsplit('/').next()?) {
        ("POST", "accounts") => {
            json!({"email": format!("{name}@example.org"), "name": "Someone", "password": PASSWORD})
        }
        ("PATCH", "{account_id}") => json!({"name": "Someone"}),
        ("POST", "service-accounts") => json!({"name": "Till", "role": "restaurant"}),
        ("POST", "keys") => json!({"name": "Front desk"}),
        ("POST", "password") => json!({"password": "a better password"}),
        ("POST", "tokens" | "session") => json!({"email": server.customer.email, "password": PASSWORD}),
        ("POST", "restaurants") | ("PUT", "{restaurant_id}") => settings("Curry Mile Kitchen"),
        ("POST", "pause") => json!({"until": "2026-06-01T13:00:00Z"}),
        ("PUT", "menu") => menu(),
        ("PUT", "availability") => json!({"status": "available"}),
        ("PUT", "stock") => json!({"remaining": 5}),
        ("POST", "quotes") => json!({"lines": [{"item": "naan", "quantity": 1}], "fulfilment": "collection"}),
        ("POST", "orders") => TestServer::order(),
        ("POST", "accept") => json!({"preparation_minutes": 20}),
        ("POST", "reject") => json!({"reason": "too_busy"}),
        ("POST", "assign") => json!({"courier_id": server.courier.id.to_string()}),
        ("POST", "close") => json!({"reason": "The lease has ended."}),
        ("POST", "adjust") => json!({"by": 1}),
        ("POST", "advance") => json!({"seconds": 60}),
        ("POST", "webhook-endpoints") => json!({
            "restaurant_id": server.restaurant.to_string(), "url": "https://hooks.example.com/dabba",
        }),
        ("PATCH", "{endpoint_id}") => json!({"batch": 2}),
        ("POST", "replay") => json!({"since": server.now().to_string()}),
        ("POST", "resolve") => json!({"reason": "done by hand"}),
        ("POST", "cancel") => json!({"reason": "other"}),
        ("POST", "refund") => json!({"reason": "late", "amount": 100}),
        _ => return None,
    })
}

/// Registers an account with the role `restaurant`.
async fn colleague(server: &TestServer) -> String {
    let body = json!({"email": "colleague@example.org", "name": "Colleague", "password": PASSWORD, "role": "restaurant"});
    server.post("/v1/accounts", Some(&server.admin), &body).send().await.text_at("/id")
}

/// Creates a webhook endpoint of the restaurant, and returns its id.
async fn endpoint(server: &TestServer, receiver: &WebhookReceiver) -> String {
    let body = json!({"restaurant_id": server.restaurant.to_string(), "url": receiver.url()});
    server.post("/v1/webhook-endpoints", Some(&server.staff), &body).send().await.text_at("/id")
}

/// Sets up the state that the operation needs, and returns the id of its order.
async fn prepare(server: &TestServer, scene: Scene, name: &str, colleague: &str) -> String {
    let resume = server.restaurant_path("/resume");
    match scene {
        Any | Hooked => return String::new(),
        Colleague => {
            let member = server.restaurant_path(&format!("/members/{colleague}"));
            server.request(Method::PUT, &member).by(&server.admin).send().await.expect(200);
            return String::new();
        }
        _ => server.request(Method::POST, &resume).by(&server.admin).send().await.expect(200),
    };
    let order = server.place(&format!("scene-{name}"), &TestServer::order()).await;
    let steps: [(Scene, &str, &TestAccount, Value); 5] = [
        (Confirmed, "assign", &server.courier, json!({})),
        (Preparing, "accept", &server.staff, json!({"preparation_minutes": 20})),
        (Ready, "ready", &server.staff, json!({})),
        (OutForDelivery, "pick-up", &server.courier, json!({})),
        (Delivered, "deliver", &server.courier, json!({})),
    ];
    for (reached, command, person, body) in steps {
        server.command(&order, command, person, &body).send().await.expect(200);
        if reached == scene {
            break;
        }
    }
    order["id"].as_str().unwrap().to_owned()
}
