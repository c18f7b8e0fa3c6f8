//! Tracking links: an order for the link's holder, without an account.

use std::time::Duration;

use dabba_testkit::{EventMessage, EventStream, HttpResponse, PASSWORD, TestServer};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{allowed, walk_to};

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(200);

const CONTACT: &str = "Contact 7701";
const PHONE: &str = "+44 161 496 7702";
const NOTE: &str = "order note 7703";
const LINE_NOTE: &str = "line note 7706";
const ADMINS_NOTE: &str = "admin note 7704";
const STREET: &str = "7705 Curry Mile";

async fn start() -> TestServer {
    crate::builder().api(|api| api.live.heartbeat = HEARTBEAT).start().await
}

/// Returns an order with every kind of personal data.
fn full_order() -> Value {
    let mut order = TestServer::order();
    order["contact"] = json!({"name": CONTACT, "phone": PHONE});
    order["note"] = json!(NOTE);
    order["lines"][0]["note"] = json!(LINE_NOTE);
    order["fulfilment"]["address"]["line1"] = json!(STREET);
    order
}

/// Creates a link to an order, and returns the path of the API for it.
async fn link(server: &TestServer, order: &Value) -> String {
    let path = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
    let created = server.request(Method::POST, &path).by(&server.customer).send().await.expect(201);
    assert_eq!(created.get("url"), None, "the server has no public URL");
    let token = created["token"].as_str().unwrap();
    assert_eq!(created["path"], format!("/t/{token}"));
    format!("/v1/tracking/{token}")
}

fn assert_private(response: &HttpResponse) {
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(response.header("referrer-policy"), "no-referrer");
}

async fn track(server: &TestServer, path: &str) -> Value {
    let response = server.get(path, None).await;
    assert_private(&response);
    response.expect(200)
}

async fn cancel(server: &TestServer, path: &str, reason: &str) -> HttpResponse {
    server.post(&format!("{path}/cancel"), None, &json!({"reason": reason})).send().await
}

/// Proves that a link shows its order, step by step, to a client without a credential, and no other order.
#[tokio::test]
async fn a_link_shows_its_order() {
    let server = start().await;
    let mut settings = dabba_testkit::settings("Curry Mile Kitchen");
    settings["country"] = json!("GB");
    settings["location"] = json!({"lat": 53.4575, "lng": -2.2244});
    let replaced = server.put(&server.restaurant_path(""), Some(&server.admin), &settings);
    replaced.header("if-match", "*").send().await.expect(200);
    let mut order = server.place("1", &full_order()).await;
    // A link shows the lines without their notes.
    let note = order["lines"][0].as_object_mut().and_then(|line| line.remove("note"));
    assert_eq!(note, Some(json!(LINE_NOTE)));
    let other = server.place("2", &TestServer::collection()).await;
    let (path, other_path) = (link(&server, &order).await, link(&server, &other).await);
    let shown = track(&server, &path).await;
    for member in [
        "id",
        "display_code",
        "status",
        "version",
        "amounts",
        "lines",
        "fees",
        "taxes",
        "fulfilment",
        "currency",
    ] {
        assert_eq!(shown["order"][member], order[member], "{member}");
    }
    assert_eq!(shown["order"]["payment"], order["payment"]);
    assert_eq!(shown["order"]["confirmed_at"], order["placed_at"]);
    assert_eq!(allowed(&shown["order"]), ["cancel"]);
    assert_eq!(shown["restaurant"]["id"], server.restaurant.to_string());
    assert_eq!(shown["restaurant"]["time_zone"], "Europe/London");
    assert_eq!(shown["restaurant"]["country"], "GB");
    assert_eq!(shown["restaurant"]["location"], json!({"lat": 53.4575, "lng": -2.2244}));
    assert_eq!(track(&server, &other_path).await["order"]["id"], other["id"]);

    server.advance(SignedDuration::from_secs(60));
    walk_to(&server, &order, "deliver").await;
    let shown = track(&server, &path).await;
    let shown = &shown["order"];
    assert_eq!((&shown["status"], allowed(shown)), (&json!("delivered"), vec![]));
    for step in ["accepted_at", "ready_at", "picked_up_at", "delivered_at", "ended_at"] {
        assert_eq!(shown[step], "2026-06-01T12:01:00Z", "{step}");
    }
}

/// Proves that no response of a link, and no message of its stream, contains an account, a name of a person, a contact, a
/// note, a reference of the provider, or another order.
#[tokio::test]
async fn a_link_shows_nothing_that_is_not_meant_for_it() {
    let server = start().await;
    let other = server.place("other", &TestServer::collection()).await;
    let TestServer { customer, staff, courier, other_courier, admin, .. } = &server;
    let accounts = [customer, staff, courier, other_courier, admin];
    let mut forbidden = vec![
        CONTACT.to_owned(),
        PHONE.to_owned(),
        NOTE.to_owned(),
        LINE_NOTE.to_owned(),
        ADMINS_NOTE.to_owned(),
        other["id"].as_str().unwrap().to_owned(),
        "borne_by".to_owned(),
        "customer_id".to_owned(),
        "courier_id".to_owned(),
        "reference".to_owned(),
        "menu_revision".to_owned(),
    ];
    forbidden.extend(accounts.iter().flat_map(|account| [account.id.to_string(), account.email.clone()]));
    let assert_clean = |text: &str| {
        assert!(text.contains(STREET) || text.contains("collection"), "{text}");
        for value in &forbidden {
            assert!(!text.contains(value.as_str()), "{value} in {text}");
        }
    };

    let cancelled = server.place("cancelled", &full_order()).await;
    let path = link(&server, &cancelled).await;
    let because = json!({"reason": "suspected_fraud", "note": ADMINS_NOTE});
    server.command(&cancelled, "cancel", admin, &because).send().await.expect(200);
    assert_clean(&server.get(&path, None).await.text);

    let order = server.place("delivered", &full_order()).await;
    let path = link(&server, &order).await;
    let mut stream = server.request(Method::GET, &format!("{path}/stream")).stream().await;
    assert_clean(&stream.next_event().await.data.to_string());
    let by_admin = json!({"courier_id": other_courier.id.to_string()});
    server.command(&order, "assign", admin, &by_admin).send().await.expect(200);
    let because =
        json!({"courier_id": courier.id.to_string(), "reason": "courier_unable", "note": ADMINS_NOTE});
    server.command(&order, "assign", admin, &because).send().await.expect(200);
    let delivered = {
        let minutes = json!({"preparation_minutes": 20});
        server.command(&order, "accept", staff, &minutes).send().await.expect(200);
        server.command(&order, "ready", staff, &json!({})).send().await.expect(200);
        server.command(&order, "pick-up", courier, &json!({})).send().await.expect(200);
        let because = json!({"reason": "customer_confirmed", "note": ADMINS_NOTE});
        server.command(&order, "deliver", admin, &because).send().await.expect(200)
    };
    let refund = json!({"reason": "late", "amount": 100, "note": ADMINS_NOTE, "borne_by": "platform"});
    let refunded = server.command(&order, "refund", admin, &refund).send().await.expect(200);
    assert!(refunded["version"].as_u64() > delivered["version"].as_u64());
    assert_clean(&server.get(&path, None).await.text);
    loop {
        let message = stream.next_event().await;
        assert_clean(&message.data.to_string());
        if message.data["order"]["version"] == refunded["version"] {
            break;
        }
    }
}

/// Proves who may create a link: the parties except the courier, and admins; and that an order has at most 20 links.
#[tokio::test]
async fn the_parties_create_links_up_to_the_limit() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
    let create = |account| server.request(Method::POST, &path).by(account).send();
    server
        .request(Method::POST, &format!("{}/assign", path.trim_end_matches("/tracking-link")))
        .by(&server.courier)
        .send()
        .await
        .expect(200);
    create(&server.courier).await.problem(403, "forbidden");
    create(&server.staff).await.problem(403, "forbidden");
    create(&server.other_customer).await.problem(404, "not_found");
    create(&server.other_staff).await.problem(404, "not_found");
    let mut tokens = std::collections::BTreeSet::new();
    for number in 0..20 {
        let account = [&server.customer, &server.admin][number % 2];
        let created = create(account).await;
        assert_private(&created);
        tokens.insert(created.text_at("/token"));
    }
    assert_eq!(tokens.len(), 20, "each link is another one");
    let full = create(&server.admin).await.problem(409, "too_many_tracking_links");
    assert_eq!(full["tracking_links_limit"], 20);
    for token in tokens {
        let shown = track(&server, &format!("/v1/tracking/{token}")).await;
        assert_eq!(shown["order"]["id"], order["id"]);
    }
}

/// Proves that a link is valid until 24 hours after the end of its order, also for an open stream.
#[tokio::test]
async fn a_link_ends_a_day_after_its_order() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    server.advance(SignedDuration::from_mins(3));
    walk_to(&server, &order, "deliver").await;
    server.advance(SignedDuration::from_hours(24) - SignedDuration::from_secs(1));
    track(&server, &path).await;
    let mut stream = server.request(Method::GET, &format!("{path}/stream")).stream().await;
    assert_eq!(stream.next().await.unwrap().event, "tracking");
    server.advance(SignedDuration::from_secs(1));
    let bye = stream.next_event().await;
    assert_eq!((&*bye.event, &bye.data["reason"]), ("bye", &json!("session_ended")));
    server.get(&path, None).await.problem(404, "not_found");
    server.get(&format!("{path}/stream"), None).await.problem(404, "not_found");
    cancel(&server, &path, "changed_mind").await.problem(404, "not_found");
    let create = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
    // The tokens of the server's accounts have expired.
    let login = json!({"email": server.customer.email, "password": PASSWORD});
    let token = server.post("/v1/tokens", None, &login).send().await.text_at("/access_token");
    let late = server.request(Method::POST, &create).token(&token).send().await;
    late.problem(409, "tracking_ended");
}

/// Proves that a link cancels nothing if the request states another version, or expects a preview.
#[tokio::test]
async fn a_link_obeys_the_conditions_of_a_cancellation() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    let body = json!({"reason": "changed_mind"});
    let preview = server.post(&format!("{path}/cancel?preview=true"), None, &body).send().await;
    let problem = preview.problem(400, "bad_request");
    assert_eq!(problem["errors"][0]["parameter"], "preview");
    let cancel = format!("{path}/cancel");
    let at = |version: &str| server.post(&cancel, None, &body).header("if-match", version);
    at("\"99\"").send().await.problem(412, "precondition_failed");
    assert_eq!(track(&server, &path).await["order"]["status"], "confirmed");
    let cancelled = at("\"1\", \"2\"").send().await.expect(200);
    assert_eq!(cancelled["order"]["status"], "cancelled");
}

/// Proves that unknown tokens are refused like a path where nothing is, and that a network that tries many is refused
/// before the next lookup, with any token.
#[tokio::test]
async fn unknown_tokens_are_limited() {
    let limit =
        dabba_web::Rate { requests: std::num::NonZeroU32::new(10).unwrap(), per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_address = limit).start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    let token = path.rsplit('/').next().unwrap();
    let unknown = format!("/v1/tracking/{}{}", &token[..3], "0".repeat(43));
    for malformed in ["/v1/tracking/x", "/v1/tracking/00000000-0000-7000-8000-000000000000", &unknown] {
        let problem = server.get(malformed, None).await;
        problem.problem(404, "not_found");
    }
    let mut refused = None;
    for _ in 0..10 {
        let response = server.get(&unknown, None).await;
        if response.status == 429 {
            refused = Some(response);
            break;
        }
        response.problem(404, "not_found");
    }
    let refused = refused.expect("a network has a limit of unknown tokens");
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(429, "too_many_requests");
    server.get(&path, None).await.problem(429, "too_many_requests");
    server.advance(SignedDuration::from_mins(10));
    track(&server, &path).await;
}

/// Proves that requests with a known token spend nothing of the budget for unknown tokens, also if the rest of the request is wrong.
#[tokio::test]
async fn known_tokens_spend_nothing_of_the_budget() {
    let limit =
        dabba_web::Rate { requests: std::num::NonZeroU32::new(2).unwrap(), per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_address = limit).start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    let post = || server.request(Method::POST, &format!("{path}/cancel"));
    for _ in 0..5 {
        post().body(Some("application/json"), "{").send().await.problem(400, "malformed_json");
        post().body(Some("text/plain"), "{}").send().await.problem(415, "unsupported_media_type");
        assert_eq!(post().json(&json!({})).send().await.pointers(), ["/reason"]);
        assert_eq!(post().json(&json!({"reason": "kitchen_closed"})).send().await.pointers(), ["/reason"]);
        post().json(&json!({"reason": "other"})).key("").send().await.problem(400, "idempotency_key_invalid");
    }
    track(&server, &path).await;
    cancel(&server, &path, "changed_mind").await.expect(200);
}

/// Proves that a link cancels its order as the customer could, that a retry gets the same response, and that the history
/// names the way.
#[tokio::test]
async fn a_link_cancels_its_order() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    let wrong = cancel(&server, &path, "kitchen_closed").await;
    assert_eq!(wrong.pointers(), ["/reason"]);
    let body = json!({"reason": "changed_mind"});
    for _ in 0..2 {
        let request = server.post(&format!("{path}/cancel"), None, &body).key("by-link");
        let response = request.send().await;
        assert_private(&response);
        let cancelled = response.expect(200);
        let cancelled = &cancelled["order"];
        assert_eq!((&cancelled["status"], allowed(cancelled)), (&json!("cancelled"), vec![]));
        assert_eq!(cancelled["closure"], json!({"how": "cancelled", "reason": "changed_mind"}));
    }
    cancel(&server, &path, "too_slow").await.problem(409, "already_cancelled");
    let events = format!("/v1/orders/{}/events", order["id"].as_str().unwrap());
    let history = server.get(&events, Some(&server.customer)).await.expect(200);
    let events = history["events"].as_array().unwrap();
    let ends: Vec<_> = events.iter().filter(|event| event["type"] == "cancelled").collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["actor"], json!({"role": "customer", "via": "link"}));
    let seen =
        server.get(&format!("/v1/orders/{}", order["id"].as_str().unwrap()), Some(&server.admin)).await;
    let by = json!({"role": "customer", "account_id": server.customer.id.to_string()});
    assert_eq!(seen.expect(200)["closure"]["by"], by);
}

/// Proves that a link cannot cancel an order that the restaurant has accepted.
#[tokio::test]
async fn an_accepted_order_is_not_cancelled_by_link() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    walk_to(&server, &order, "accept").await;
    let problem = cancel(&server, &path, "changed_mind").await.problem(409, "illegal_move");
    assert_eq!(problem["allowed_actions"], json!([]));
    assert_eq!(track(&server, &path).await["order"]["status"], "preparing");
}

/// Returns the versions of the order in messages until a version.
async fn versions_until(stream: &mut EventStream, last: &Value) -> Vec<u64> {
    let mut versions = Vec::new();
    loop {
        let EventMessage { id, event, data } = stream.next_event().await;
        assert_eq!((&*id, &*event), ("", "tracking"), "{data}");
        versions.push(data["order"]["version"].as_u64().unwrap());
        if data["order"]["version"] == *last {
            return versions;
        }
    }
}

/// Proves that a stream begins with the present state and delivers each change, that a client that joins late gets the
/// latest state, and that the last message equals the response to a read.
#[tokio::test]
async fn a_stream_delivers_each_change() {
    let server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = link(&server, &order).await;
    let mut stream = server.request(Method::GET, &format!("{path}/stream")).stream().await;
    let first = stream.next().await.unwrap();
    assert_eq!((&*first.event, &first.data["order"]["version"]), ("tracking", &order["version"]));
    for (command, account, body) in [
        ("accept", &server.staff, json!({"preparation_minutes": 20})),
        ("assign", &server.courier, json!({})),
        ("ready", &server.staff, json!({})),
        ("pick-up", &server.courier, json!({})),
        ("deliver", &server.courier, json!({})),
    ] {
        let changed = server.command(&order, command, account, &body).send().await.expect(200);
        let versions = versions_until(&mut stream, &changed["version"]).await;
        assert!(versions.is_sorted_by(|one, two| one < two), "{versions:?}");
    }
    let mut late = server.request(Method::GET, &format!("{path}/stream")).stream().await;
    let latest = late.next_event().await;
    let mut read = track(&server, &path).await;
    read["now"] = latest.data["now"].clone();
    assert_eq!(latest.data, read);
    let heartbeat = stream.next().await.unwrap();
    assert_eq!((&*heartbeat.id, &*heartbeat.event), ("", "heartbeat"));
    assert!(heartbeat.data["now"].is_string());
}

/// Proves that the streams of all links of an order are limited together, and end when the server stops.
#[tokio::test]
async fn the_streams_of_a_link_are_limited_and_end_with_the_server() {
    let server = crate::builder().api(|api| {
        api.live.heartbeat = HEARTBEAT;
        api.live.max_streams_per_credential = 1;
    });
    let mut server = server.start().await;
    let order = server.place("1", &TestServer::order()).await;
    let (path, same) = (link(&server, &order).await, link(&server, &order).await);
    let other = server.place("2", &TestServer::order()).await;
    let other = link(&server, &other).await;
    let mut stream = server.request(Method::GET, &format!("{path}/stream")).stream().await;
    stream.next_event().await;
    server.get(&format!("{same}/stream"), None).await.problem(429, "too_many_requests");
    let mut of_other = server.request(Method::GET, &format!("{other}/stream")).stream().await;
    of_other.next_event().await;
    server.stop().await;
    let bye = stream.next_event().await;
    assert_eq!((&*bye.event, &bye.data["reason"]), ("bye", &json!("shutdown")));
    assert!(stream.next().await.is_none());
}

/// Proves that a server with a public URL creates absolute links.
#[tokio::test]
async fn a_public_url_makes_absolute_links() {
    let url = "https://orders.example.org/dabba".to_owned();
    let server = crate::builder().api(|api| api.public_url = Some(url)).start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
    let created = server.request(Method::POST, &path).by(&server.customer).send().await.expect(201);
    let token = created["token"].as_str().unwrap();
    assert_eq!(created["url"], format!("https://orders.example.org/dabba/t/{token}"));
}
