//! Webhook endpoints: management over HTTP, and deliveries to a receiver on this machine.

use std::{collections::BTreeSet, sync::Arc};

use dabba_engine::{
    Clock as _, Egress, MAX_CONCURRENT_TESTS_PER_ACCOUNT, MAX_PLATFORM_ENDPOINTS, MAX_RESTAURANT_ENDPOINTS,
    ManualClock, SystemClock,
};
use dabba_gateways::egress::{EgressClient, EgressOptions, EgressPolicy, SystemResolver};
use dabba_testkit::{
    HttpResponse, Request, TestAccount, TestServer, WebhookCall, WebhookReceiver, eventually,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

const ENDPOINTS: &str = "/v1/webhook-endpoints";

/// Returns a client that may connect to this machine, and otherwise has the rules of a production server.
pub(super) fn egress() -> Arc<dyn Egress> {
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    Arc::new(EgressClient::new(policy, &EgressOptions::default(), Arc::new(SystemResolver)).unwrap())
}

async fn start() -> TestServer {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    crate::builder().clock(clock).webhooks(egress()).start().await
}

fn create(server: &TestServer, by: &TestAccount, body: &Value) -> Request {
    server.post(ENDPOINTS, Some(by), body)
}

/// Creates an endpoint of the restaurant with other members. Returns its path and the response.
async fn created(server: &TestServer, receiver: &WebhookReceiver, others: Value) -> (String, Value) {
    let mut body = json!({"restaurant_id": server.restaurant.to_string(), "url": receiver.url()});
    body.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    let made = create(server, &server.staff, &body).send().await.expect(201);
    (path(&made), made)
}

fn path(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", endpoint["id"].as_str().unwrap())
}

fn secret(response: &Value) -> String {
    response["secret"].as_str().unwrap().to_owned()
}

fn act(server: &TestServer, path: &str, action: &str, body: &Value) -> Request {
    server.post(&format!("{path}/{action}"), Some(&server.staff), body)
}

fn patch(server: &TestServer, path: &str, body: &Value) -> Request {
    server.request(Method::PATCH, path).by(&server.staff).json(body)
}

fn is_signed(call: &WebhookCall, secret: &str) -> bool {
    Webhook::new(secret).unwrap().verify(&call.body, &call.headers).is_ok()
}

/// Returns whether a request delivers an event of an order.
fn is_about(call: &WebhookCall, order: &Value, kind: &str) -> bool {
    let event = call.json();
    event["partitionkey"] == order["id"] && event["type"] == format!("app.dabba.order.{kind}.v1")
}

/// Proves the way of an endpoint from its creation to a verified delivery, and that nothing shows its secret again.
#[tokio::test]
async fn an_endpoint_receives_verified_deliveries() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let body = json!({
        "restaurant_id": server.restaurant.to_string(), "url": receiver.url(), "types": ["confirmed", "placed"],
    });
    let answer = create(&server, &server.staff, &body).key("create").send().await;
    let location = answer.header("location").to_owned();
    assert_eq!((answer.header("etag"), answer.header("cache-control")), ("\"1\"", "no-store"));
    let made = answer.expect(201);
    let secret = secret(&made);
    assert_eq!(location, path(&made));
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(expected["types"], json!(["placed", "confirmed"]));
    assert_eq!((&expected["concurrency"], &expected["batch"]), (&json!(8), &json!(1)));
    assert_eq!((&expected["enabled"], &expected["secrets"]), (&json!(true), &json!([{}])));
    assert_eq!(expected["created_by"], server.staff.id.to_string());

    let retry = create(&server, &server.staff, &body).key("create").send().await;
    assert_eq!(retry.header("idempotency-replayed"), "true");
    assert_eq!(retry.expect(201), expected);
    let other = json!({"restaurant_id": server.restaurant.to_string(), "url": receiver.url()});
    create(&server, &server.staff, &other).key("create").send().await.problem(422, "idempotency_key_reused");
    let read = server.get(&location, Some(&server.staff)).await;
    assert_eq!(read.header("etag"), "\"1\"");
    assert_eq!(read.expect(200), expected);

    let tested = act(&server, &location, "test", &json!({})).send().await.expect(200);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)));
    let call = receiver.until(0, |_| true).await;
    assert!(is_signed(&call, &secret) && !is_signed(&call, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));

    let order = server.place("1", &TestServer::order()).await;
    for kind in ["placed", "confirmed"] {
        let call = receiver.until(1, |call| is_about(call, &order, kind)).await;
        assert!(is_signed(&call, &secret), "{call:?}");
        assert_eq!(call.header("content-type"), "application/json");
        assert_eq!(call.header("webhook-id"), call.json()["id"].as_str().unwrap());
    }
    let list = format!("{ENDPOINTS}?restaurant_id={}", server.restaurant);
    let answers = [
        server.get(&list, Some(&server.staff)).await,
        server.get(ENDPOINTS, Some(&server.admin)).await,
        server.get(&location, Some(&server.admin)).await,
        patch(&server, &location, &json!({"batch": 2})).send().await,
        act(&server, &location, "enable", &json!({})).send().await,
    ];
    for answer in answers {
        assert!(answer.status == 200 && !answer.text.contains(&secret["whsec_".len()..]), "{}", answer.text);
    }
}

/// Proves that a failed delivery appears in the failures and attempts, that a retry delivers the event, and that the
/// result of a test that fails is 200.
#[tokio::test]
async fn failures_are_listed_until_they_are_delivered() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &receiver, json!({"types": ["placed"]})).await;
    receiver.respond_with(500);
    let tested = act(&server, &path, "test", &json!({})).send().await.expect(200);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(false), &json!(500)));
    assert!(tested["error"].is_string() && tested["duration_ms"].is_u64() && tested["at"].is_string());

    let order = server.place("1", &TestServer::order()).await;
    let failures = format!("{path}/failures");
    let failure = eventually("the failure is listed", async || {
        let listed = server.get(&failures, Some(&server.staff)).await.expect(200);
        listed["failures"].get(0).cloned().ok_or(listed)
    })
    .await;
    assert_eq!((&failure["order_id"], &failure["next_version"]), (&order["id"], &json!(1)));
    assert_eq!(failure["last_failure"]["status"], 500);
    assert!(failure["next_attempt_at"].is_string() && failure.get("dead_at").is_none());
    let dead = server.get(&format!("{failures}?dead=true"), Some(&server.staff)).await.expect(200);
    assert_eq!(dead, json!({"failures": []}));
    let attempts = format!("{path}/attempts?failed=true&limit=1");
    let attempts = server.get(&attempts, Some(&server.staff)).await.expect(200);
    let attempt = &attempts["attempts"][0];
    assert_eq!((&attempt["order_id"], &attempt["version"]), (&order["id"], &json!(1)));
    assert_eq!((&attempt["delivered"], &attempt["status"]), (&json!(false), &json!(500)));

    receiver.respond_with(204);
    eventually("the event is delivered", async || {
        let listed = server.get(&failures, Some(&server.staff)).await.expect(200);
        if listed == json!({"failures": []}) { Ok(()) } else { Err(listed) }
    })
    .await;
}

/// Proves that changes need the stated version, change only what they state, and that `null` for the types means all
/// types. A change without effect keeps the version.
#[tokio::test]
async fn changes_are_conditional() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, made) = created(&server, &receiver, json!({"types": ["placed"]})).await;
    let change = |body: Value| patch(&server, &path, &body);
    let stale = change(json!({"batch": 3})).header("if-match", "\"9\"").send().await;
    assert_eq!(stale.problem(412, "precondition_failed")["current"], 1);
    let changed = change(json!({"concurrency": 2, "types": null, "payload": "order"}));
    let answer = changed.header("if-match", "\"1\"").send().await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let changed = answer.expect(200);
    let mut expected = made.clone();
    let members = expected.as_object_mut().unwrap();
    members.remove("secret");
    members.remove("types");
    members.extend(json!({"concurrency": 2, "payload": "order", "version": 2}).as_object().unwrap().clone());
    assert_eq!(changed, expected);
    let same = change(json!({"concurrency": 2})).send().await.expect(200);
    assert_eq!(same["version"], 2);
    let keyed = || change(json!({"content_type": "application/cloudevents+json"})).key("change");
    assert_eq!(keyed().send().await.expect(200)["version"], 3);
    change(json!({"batch": 7})).send().await.expect(200);
    let retry = keyed().send().await;
    assert_eq!(retry.header("idempotency-replayed"), "true");
    assert_eq!(retry.expect(200)["version"], 4);
    let empty = change(json!({})).send().await.pointers();
    let enabled =
        change(json!({"enabled": true, "concurrency": 65, "url": "nowhere"})).send().await.pointers();
    assert_eq!(
        (empty, enabled),
        (vec![String::new()], vec!["/url".into(), "/concurrency".into(), "/enabled".into()])
    );
}

/// Proves that a disabled endpoint receives nothing until it is enabled, then everything since, and that a repeated
/// request to enable it is a change, which the senders follow.
#[tokio::test]
async fn a_disabled_endpoint_misses_nothing() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &receiver, json!({"types": ["placed"]})).await;
    let disabled = patch(&server, &path, &json!({"enabled": false})).send().await.expect(200);
    assert_eq!((&disabled["enabled"], &disabled["disabled_reason"]), (&json!(false), &json!("requested")));
    assert!(disabled["disabled_at"].is_string());
    let order = server.place("1", &TestServer::order()).await;
    let enabled = act(&server, &path, "enable", &json!({})).send().await.expect(200);
    assert_eq!((&enabled["enabled"], &enabled["version"]), (&json!(true), &json!(3)));
    receiver.until(0, |call| is_about(call, &order, "placed")).await;
    server.advance(SignedDuration::from_secs(1));
    let again = act(&server, &path, "enable", &json!({})).send().await.expect(200);
    assert_eq!((&again["enabled"], &again["version"]), (&json!(true), &json!(4)));
    assert_eq!(
        again["enabled_at"], enabled["enabled_at"],
        "the time until it is disabled as failing goes on"
    );
}

/// Proves that each request to enable an endpoint that is enabled causes an attempt at once, although its failures wait.
#[tokio::test]
async fn enabling_an_enabled_endpoint_causes_an_attempt() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &receiver, json!({"types": ["placed"]})).await;
    receiver.respond_with(500);
    let order = server.place("1", &TestServer::order()).await;
    receiver.until(0, |call| is_about(call, &order, "placed")).await;
    // The pauses after the last of these attempts, 60 and 120 s, are longer than the test waits.
    for _ in 0..9 {
        let before = receiver.calls().len();
        act(&server, &path, "enable", &json!({})).send().await.expect(200);
        receiver.until(before, |call| is_about(call, &order, "placed")).await;
    }
}

/// Proves that one account cannot use all tests of a server, and that other accounts can still test.
#[tokio::test]
async fn the_tests_of_an_account_are_limited() {
    let server = start().await;
    let (slow, quick) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &slow, json!({})).await;
    let (other, _) = created(&server, &quick, json!({})).await;
    slow.hold();
    let test = || act(&server, &path, "test", &json!({})).send();
    let meanwhile = async {
        slow.until(MAX_CONCURRENT_TESTS_PER_ACCOUNT - 1, |_| true).await;
        for path in [&path, &other] {
            let refused = act(&server, path, "test", &json!({})).send().await;
            assert_eq!(refused.header("retry-after"), "10");
            refused.problem(429, "too_many_requests");
        }
        let of_admin = server.post(&format!("{other}/test"), Some(&server.admin), &json!({})).send().await;
        assert_eq!(of_admin.expect(200)["delivered"], true);
        slow.release();
    };
    let (one, two, three, four, ()) = tokio::join!(test(), test(), test(), test(), meanwhile);
    for tested in [one, two, three, four] {
        assert_eq!(tested.expect(200)["delivered"], true);
    }
    assert_eq!(test().await.expect(200)["delivered"], true);
}

/// Proves that a problem has the same text whether the body can be read or has other faults, which another check finds.
#[tokio::test]
async fn a_problem_has_one_text() {
    let server = start().await;
    let service = json!({"name": "Till", "role": "restaurant"});
    let service = server.post("/v1/service-accounts", Some(&server.admin), &service).send().await.expect(201);
    let keys = format!("/v1/accounts/{}/keys", service["id"].as_str().unwrap());
    let long = format!("https://hooks.example.com/{}", "x".repeat(2_048));
    let url = "https://hooks.example.com/";
    let details = async |path: &str, body: &Value| {
        let problem = server.post(path, Some(&server.admin), body).send().await.problem(422, "invalid");
        let errors = problem["errors"].as_array().unwrap().iter().cloned();
        let mut errors: Vec<_> = errors.filter(|error| error["pointer"] != "/surplus").collect();
        errors.sort_by_key(|error| error["pointer"].to_string());
        errors
    };
    for (path, mut body, pointers) in [
        (ENDPOINTS, json!({"url": url, "types": ["eaten", "x".repeat(70)]}), vec!["/types/0", "/types/1"]),
        (ENDPOINTS, json!({"url": "", "types": []}), vec!["/types", "/url"]),
        (
            ENDPOINTS,
            json!({"url": long, "concurrency": 65, "batch": 0}),
            vec!["/batch", "/concurrency", "/url"],
        ),
        (&keys, json!({"name": "Till", "scopes": ["orders:eat", "orders:read"]}), vec!["/scopes/0"]),
        (&keys, json!({"name": "Till", "scopes": []}), vec!["/scopes"]),
        (&keys, json!({"name": "Till", "scopes": vec!["orders:read"; 100]}), vec!["/scopes"]),
    ] {
        let alone = details(path, &body).await;
        let found: Vec<_> = alone.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{alone:?}");
        body["surplus"] = json!(1);
        assert_eq!(details(path, &body).await, alone);
    }
}

/// Proves that deliveries have signatures of both secrets during the overlap, that the overlap is limited, and that
/// only the first response contains the new secret.
#[tokio::test]
async fn a_rotated_secret_overlaps() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, made) = created(&server, &receiver, json!({})).await;
    let rotate = || act(&server, &path, "rotate-secret", &json!({"overlap_seconds": 600})).key("rotate");
    let rotated = rotate().send().await.expect(200);
    assert_ne!(secret(&made), secret(&rotated));
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);
    assert!(rotated["secrets"][0].get("until").is_none() && rotated["secrets"][1]["until"].is_string());
    let retry = rotate().send().await;
    assert_eq!(retry.header("idempotency-replayed"), "true");
    let retry = retry.expect(200);
    assert!(retry.get("secret").is_none() && retry["version"] == 2);
    act(&server, &path, "test", &json!({})).send().await.expect(200);
    let call = receiver.until(0, |_| true).await;
    assert!(is_signed(&call, &secret(&made)) && is_signed(&call, &secret(&rotated)));
    let too_long = act(&server, &path, "rotate-secret", &json!({"overlap_seconds": 604_801})).send().await;
    assert_eq!(too_long.pointers(), ["/overlap_seconds"]);
    let now = act(&server, &path, "rotate-secret", &json!({"overlap_seconds": 0})).send().await.expect(200);
    assert_eq!(now["secrets"], json!([{}]));
    act(&server, &path, "test", &json!({})).send().await.expect(200);
    let call = receiver.until(1, |_| true).await;
    assert!(!is_signed(&call, &secret(&rotated)) && is_signed(&call, &secret(&now)));
}

/// Proves that a replay sends events again, from a cursor and from a time, and that positions that do not exist are
/// refused.
#[tokio::test]
async fn a_replay_sends_events_again() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &receiver, json!({"types": ["placed"]})).await;
    let feed = format!("/v1/events?restaurant={}", server.restaurant);
    let cursor = server.get(&feed, Some(&server.staff)).await.text_at("/next_cursor");
    let order = server.place("1", &TestServer::order()).await;
    let of_order = |call: &WebhookCall| is_about(call, &order, "placed");
    let first = receiver.until(0, of_order).await;
    let since = server.now().to_string();
    for from in [json!({"after": cursor}), json!({"since": since})] {
        let before = receiver.calls().len();
        let replayed = act(&server, &path, "replay", &from).send().await.expect(200);
        assert_eq!(replayed["enabled"], true);
        let again = receiver.until(before, of_order).await;
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    }
    let refused = |body: Value| {
        let request = act(&server, &path, "replay", &body);
        async move { request.send().await }
    };
    assert_eq!(refused(json!({})).await.pointers(), [""]);
    assert_eq!(refused(json!({"after": cursor, "since": since})).await.pointers(), [""]);
    assert_eq!(refused(json!({"after": "r2~north"})).await.pointers(), ["/after"]);
    assert_eq!(refused(json!({"since": "2099-01-01T00:00:00Z"})).await.pointers(), ["/since"]);
    let void = "r2~main.0123456789abcdef.0-1";
    refused(json!({"after": void})).await.problem(410, "cursor_expired");
}

/// Proves that a deleted endpoint no longer exists and receives nothing.
#[tokio::test]
async fn a_deleted_endpoint_receives_nothing() {
    let server = start().await;
    let (deleted, kept) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    let (path, _) = created(&server, &deleted, json!({})).await;
    created(&server, &kept, json!({})).await;
    let delete = |condition: &'static str| {
        let request = server.request(Method::DELETE, &path).by(&server.staff).header("if-match", condition);
        async move { request.send().await }
    };
    delete("\"2\"").await.problem(412, "precondition_failed");
    assert_eq!(delete("\"1\"").await.status, 204);
    delete("*").await.problem(404, "not_found");
    for path in [path.clone(), format!("{path}/attempts"), format!("{path}/failures")] {
        server.get(&path, Some(&server.staff)).await.problem(404, "not_found");
    }
    for action in ["test", "enable", "rotate-secret"] {
        act(&server, &path, action, &json!({})).send().await.problem(404, "not_found");
    }
    let list = format!("{ENDPOINTS}?restaurant_id={}", server.restaurant);
    let listed = server.get(&list, Some(&server.staff)).await.expect(200);
    assert_eq!(listed["endpoints"].as_array().unwrap().len(), 1);
    // Senders read a deletion within a second. An endpoint that was created later shows that they have read it.
    created(&server, &kept, json!({})).await;
    let received_twice = async |order: &Value| {
        eventually("both other endpoints receive the order", async || {
            let found = kept.calls().iter().filter(|call| is_about(call, order, "placed")).count();
            if found == 2 { Ok(()) } else { Err(found) }
        })
        .await;
    };
    received_twice(&server.place("1", &TestServer::order()).await).await;
    let later = server.place("2", &TestServer::order()).await;
    received_twice(&later).await;
    assert!(!deleted.calls().iter().any(|call| is_about(call, &later, "placed")));
}

/// Proves that all problems of a request are reported at once, and that URLs to internal servers are refused.
#[tokio::test]
async fn every_problem_of_an_endpoint_is_reported() {
    let server = start().await;
    let body = json!({
        "restaurant_id": server.admin.id.to_string(), "url": "http://hooks.example.com/dabba",
        "types": ["placed", "eaten", "placed"], "concurrency": 0, "batch": 101,
    });
    let found: BTreeSet<_> =
        create(&server, &server.admin, &body).send().await.pointers().into_iter().collect();
    let expected = ["/batch", "/concurrency", "/restaurant_id", "/types/1", "/types/2", "/url"];
    assert_eq!(found, expected.map(str::to_owned).into());
    for url in [
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://intranet/",
        "https://hooks.example.com:22/",
        "https://user:password@hooks.example.com/",
        "ftp://hooks.example.com/",
    ] {
        let answer = create(&server, &server.admin, &json!({"url": url})).send().await;
        assert!(!answer.text.contains("password@"), "{}", answer.text);
        assert_eq!(answer.pointers(), ["/url"], "{url}");
    }
}

/// Proves that an owner has at most the documented number of endpoints, and that lists have pages.
#[tokio::test]
async fn the_number_of_endpoints_is_limited() {
    let server = start().await;
    let url = "https://hooks.example.com/dabba";
    let restaurant = server.restaurant.to_string();
    for (body, limit) in [
        (json!({"url": url, "restaurant_id": restaurant}), MAX_RESTAURANT_ENDPOINTS),
        (json!({"url": url}), MAX_PLATFORM_ENDPOINTS),
    ] {
        for _ in 0..limit {
            create(&server, &server.admin, &body).send().await.expect(201);
        }
        let refused = create(&server, &server.admin, &body).send().await;
        let problem = refused.problem(409, "too_many_webhook_endpoints");
        assert_eq!(problem["webhook_endpoints_limit"], limit);
    }
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    for _ in 0..3 {
        let page =
            server.get(&format!("{ENDPOINTS}?limit=50{cursor}"), Some(&server.admin)).await.expect(200);
        ids.extend(page["endpoints"].as_array().unwrap().iter().map(|it| it["id"].to_string()));
        cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
    }
    assert_eq!(
        (ids.len(), cursor),
        ((MAX_RESTAURANT_ENDPOINTS + MAX_PLATFORM_ENDPOINTS) as usize, String::new())
    );
}

/// Proves who manages which endpoints: staff those of their restaurants, admins all. Others do not learn whether an
/// endpoint exists.
#[tokio::test]
async fn only_the_owner_manages_an_endpoint() {
    let (server, receiver) = (start().await, WebhookReceiver::start().await);
    let (own, _) = created(&server, &receiver, json!({})).await;
    let made = create(&server, &server.admin, &json!({"url": receiver.url()})).send().await.expect(201);
    let platform = path(&made);
    let restaurant = server.restaurant.to_string();
    let TestServer { customer, staff, other_staff, courier, admin, .. } = &server;
    let statuses =
        |answers: Vec<HttpResponse>| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
    for (person, expected) in [
        (customer, [403, 403, 403, 403, 403, 403]),
        (courier, [403, 403, 403, 403, 403, 403]),
        (other_staff, [403, 403, 403, 403, 404, 404]),
        (staff, [403, 201, 403, 200, 200, 404]),
        (admin, [201, 201, 200, 200, 200, 200]),
    ] {
        let body = json!({"url": receiver.url()});
        let with_restaurant = json!({"url": receiver.url(), "restaurant_id": restaurant});
        let answers = vec![
            create(&server, person, &body).send().await,
            create(&server, person, &with_restaurant).send().await,
            server.get(ENDPOINTS, Some(person)).await,
            server.get(&format!("{ENDPOINTS}?restaurant_id={restaurant}"), Some(person)).await,
            server.post(&format!("{own}/test"), Some(person), &json!({})).send().await,
            server.get(&platform, Some(person)).await,
        ];
        assert_eq!(statuses(answers), expected);
    }
    let unknown = format!("{ENDPOINTS}/{restaurant}");
    let answers = [server.get(&unknown, Some(other_staff)).await, server.get(&own, Some(other_staff)).await];
    let [unknown, foreign] = answers.map(|answer| answer.problem(404, "not_found")["detail"].clone());
    assert_eq!(unknown, foreign);
}

/// Proves that a server without webhook endpoints responds as if the paths did not exist.
#[tokio::test]
async fn a_server_without_webhook_endpoints_has_no_such_paths() {
    let server = crate::start().await;
    server.get(ENDPOINTS, Some(&server.admin)).await.problem(404, "not_found");
    let body = json!({"url": "https://hooks.example.com/dabba"});
    create(&server, &server.admin, &body).send().await.problem(404, "not_found");
}
