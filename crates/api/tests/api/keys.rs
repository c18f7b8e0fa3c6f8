//! Service accounts and API keys.

use std::time::Duration;

use dabba_testkit::{HttpResponse, TestServer, eventually};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

/// Creates a service account and returns its id.
async fn service(server: &TestServer, role: &str) -> String {
    let body = json!({"name": "Till 1", "role": role});
    let created = server.post("/v1/service-accounts", Some(&server.admin), &body).send().await;
    assert_eq!(created.header("location"), format!("/v1/accounts/{}", created.json["id"].as_str().unwrap()));
    let account = created.expect(201);
    assert_eq!((&account["holder"], &account["email"]), (&json!("service"), &Value::Null));
    account["id"].as_str().unwrap().to_owned()
}

async fn create_key(server: &TestServer, account: &str, body: &Value) -> Value {
    let path = format!("/v1/accounts/{account}/keys");
    let created = server.post(&path, Some(&server.admin), body).send().await;
    assert_eq!(created.header("cache-control"), "no-store");
    created.expect(201)
}

fn secret(key: &Value) -> &str {
    key["secret"].as_str().unwrap()
}

async fn get(server: &TestServer, path: &str, token: &str) -> HttpResponse {
    server.request(Method::GET, path).token(token).send().await
}

async fn me(server: &TestServer, token: &str) -> HttpResponse {
    get(server, "/v1/accounts/me", token).await
}

/// Proves that a key works with the role and the memberships of its account, that scopes restrict it, and that the operations on
/// accounts apply to the service account.
#[tokio::test]
async fn a_key_works_within_its_role_and_scopes() {
    let server = crate::start().await;
    let account = service(&server, "restaurant").await;
    let key = create_key(&server, &account, &json!({"name": "Front desk"})).await;
    let token = secret(&key);
    assert!(token.len() == 41 && token.starts_with("dk_"));
    let orders = server.restaurant_path("/orders");
    get(&server, &orders, token).await.problem(403, "forbidden");
    let member = server.restaurant_path(&format!("/members/{account}"));
    server.request(Method::PUT, &member).by(&server.admin).send().await.expect(200);
    get(&server, &orders, token).await.expect(200);
    assert_eq!(me(&server, token).await.expect(200)["restaurants"], json!([server.restaurant.to_string()]));
    let pause = server.request(Method::POST, &server.restaurant_path("/pause")).token(token);
    pause.send().await.expect(200);

    let restricted = json!({"name": "Reader", "scopes": ["orders:read", "orders:read"]});
    let restricted = create_key(&server, &account, &restricted).await;
    assert_eq!(restricted["scopes"], json!(["orders:read"]));
    let reader = secret(&restricted);
    get(&server, &orders, reader).await.expect(200);
    let refused = server.request(Method::POST, &server.restaurant_path("/resume")).token(reader).send().await;
    let refused = refused.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("catalogue:write"), "{refused}");

    let listed = server.get("/v1/accounts?holder=service", Some(&server.admin)).await.expect(200);
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1);
    let renamed = server.request(Method::PATCH, &format!("/v1/accounts/{account}")).by(&server.admin);
    assert_eq!(renamed.json(&json!({"name": "Till 2"})).send().await.expect(200)["name"], "Till 2");
    let password = json!({"password": "a better password"});
    let set = server.post(&format!("/v1/accounts/{account}/password"), Some(&server.admin), &password);
    set.send().await.problem(403, "forbidden");
    get(&server, &orders, token).await.expect(200);
}

/// Proves that a service account creates no accounts and no keys, whatever its role.
#[tokio::test]
async fn a_key_creates_no_keys() {
    let server = crate::start().await;
    let account = service(&server, "admin").await;
    let key = create_key(&server, &account, &json!({"name": "Back office"})).await;
    let post = async |path: &str, body: Value| {
        server.request(Method::POST, path).token(secret(&key)).json(&body).send().await
    };
    get(&server, "/v1/accounts", secret(&key)).await.expect(200);
    let of_account = format!("/v1/accounts/{account}/keys");
    post(&of_account, json!({"name": "Another"})).await.problem(403, "forbidden");
    post("/v1/service-accounts", json!({"name": "X", "role": "admin"})).await.problem(403, "forbidden");
    let person = json!({"email": "a@example.org", "name": "A", "password": "correct horse", "role": "admin"});
    post("/v1/accounts", person).await.problem(403, "forbidden");
}

/// Proves what a client learns about a key that is malformed, unknown, expired or revoked, and that the measurements count each
/// outcome.
#[tokio::test]
async fn each_invalid_key_is_refused_with_its_reason() {
    let server = crate::start().await;
    let account = service(&server, "courier").await;
    let expires = (server.now() + SignedDuration::from_secs(60)).to_string();
    let expiring = create_key(&server, &account, &json!({"name": "A", "expires_at": expires})).await;
    let revoked = create_key(&server, &account, &json!({"name": "B"})).await;
    let kept = create_key(&server, &account, &json!({"name": "C"})).await;
    for key in [&expiring, &revoked, &kept] {
        me(&server, secret(key)).await.expect(200);
    }
    let refused = async |token: &str, code: &str, reason: &str| {
        for _ in 0..2 {
            let answer = me(&server, token).await;
            let challenge = answer.header("www-authenticate").to_owned();
            assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
            let problem = answer.problem(401, code);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(reason) && !detail.contains(token), "{detail}");
        }
    };
    let (whole, last) = secret(&kept).split_at(40);
    let typo = format!("{whole}{}", if last == "0" { "1" } else { "0" });
    refused(&typo, "unauthenticated", "typo").await;
    refused("dk_x", "unauthenticated", "typo").await;
    // A well-formed key of nobody: the checksum is that of the documentation.
    let unknown = "dk_0123456789ABCDEFGHIJKLMNOPQRSTUV0N6wrR";
    refused(unknown, "unauthenticated", "does not exist").await;
    let path = format!("/v1/accounts/{account}/keys/{}", revoked["id"].as_str().unwrap());
    for _ in 0..2 {
        server.request(Method::DELETE, &path).by(&server.admin).send().await.expect(204);
    }
    refused(secret(&revoked), "token_revoked", "the API key was revoked").await;
    server.advance(SignedDuration::from_secs(60));
    refused(secret(&expiring), "unauthenticated", "has expired").await;
    me(&server, secret(&kept)).await.expect(200);

    let metrics = server.get("/metrics", None).await;
    for (outcome, count) in
        [("accepted", 4), ("malformed", 4), ("unknown", 2), ("revoked", 2), ("expired", 2)]
    {
        let line = format!("dabba_api_key_uses_total{{outcome=\"{outcome}\"}}");
        assert_eq!(crate::metric(&metrics, &line), count, "{outcome}");
    }
    let disable = server.request(Method::PATCH, &format!("/v1/accounts/{account}")).by(&server.admin);
    disable.json(&json!({"disabled": true})).send().await.expect(200);
    refused(secret(&kept), "token_revoked", "the API key was revoked").await;
    let listed = server.get(&format!("/v1/accounts/{account}/keys"), Some(&server.admin)).await.expect(200);
    assert!(listed["keys"].as_array().unwrap().iter().all(|key| key["revoked_at"].is_string()), "{listed}");
}

/// Proves that a retry gets the key without its secret, that no read shows a secret, and that the store has only its hash.
#[tokio::test]
async fn a_secret_is_shown_once() {
    let server = crate::start().await;
    let account = service(&server, "courier").await;
    let path = format!("/v1/accounts/{account}/keys");
    let create = || server.post(&path, Some(&server.admin), &json!({"name": "A"})).key("once").send();
    let first = create().await;
    let location = first.header("location").to_owned();
    let first = first.expect(201);
    let again = create().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.expect(201);
    assert_eq!((&again["id"], again.get("secret")), (&first["id"], None));
    for path in [&location, &path] {
        let answer = server.get(path, Some(&server.admin)).await;
        assert!(answer.status == 200 && !answer.text.contains(&secret(&first)[3..]), "{}", answer.text);
    }
    let id = first["id"].as_str().unwrap().parse().unwrap();
    let stored = server.store().api_key(id).await.unwrap();
    assert!(!format!("{stored:?}").contains(&secret(&first)[3..]));
}

/// Proves that each problem of a request for a key is named, and that the number of active keys is limited.
#[tokio::test]
async fn requests_for_keys_are_checked() {
    let server = crate::start().await;
    let account = service(&server, "courier").await;
    let path = format!("/v1/accounts/{account}/keys");
    let create = async |body: Value| server.post(&path, Some(&server.admin), &body).send().await;
    for (body, pointers) in [
        (json!({"name": " ", "scopes": []}), vec!["/name", "/scopes"]),
        (json!({"name": "A", "scopes": ["orders:read", "orders"]}), vec!["/scopes/1"]),
        (json!({"name": "A", "expires_at": "2026-06-01T12:00:00Z"}), vec!["/expires_at"]),
    ] {
        let mut found = create(body).await.pointers();
        found.sort();
        assert_eq!(found, pointers);
    }
    for _ in 0..20 {
        create(json!({"name": "A"})).await.expect(201);
    }
    let refused = create(json!({"name": "A"})).await.problem(409, "too_many_api_keys");
    assert_eq!(refused["api_keys_limit"], 20);
    let person = format!("/v1/accounts/{}/keys", server.courier.id);
    server.get(&person, Some(&server.admin)).await.problem(404, "not_found");
}

/// Proves that guesses of keys are limited per network, and that a key that is already known still works from there.
#[tokio::test]
async fn guesses_are_limited() {
    let limits = |limits: &mut dabba_web::RateLimits| {
        limits.tokens_per_address =
            dabba_web::Rate { requests: std::num::NonZeroU32::new(3).unwrap(), per: Duration::from_mins(5) };
    };
    let server = crate::builder().web(|web| limits(&mut web.rate_limits)).start().await;
    let account = service(&server, "courier").await;
    let key = create_key(&server, &account, &json!({"name": "A"})).await;
    me(&server, secret(&key)).await.expect(200);
    let other = crate::builder().seed(99).start().await;
    let account = service(&other, "courier").await;
    for attempt in 0..5 {
        let unknown = create_key(&other, &account, &json!({"name": "A"})).await;
        let answer = me(&server, secret(&unknown)).await;
        if attempt < 3 {
            answer.problem(401, "unauthenticated");
        } else {
            answer.problem(429, "too_many_requests");
        }
    }
    me(&server, secret(&key)).await.expect(200);
}

/// Proves that the time of a use is stored in the background.
#[tokio::test]
async fn the_time_of_a_use_is_shown() {
    let often = Duration::from_millis(20);
    let server = crate::builder().engine(|engine| engine.key_use_write_interval = often).start().await;
    let account = service(&server, "courier").await;
    let key = create_key(&server, &account, &json!({"name": "A"})).await;
    assert_eq!(key.get("last_used_at"), None);
    me(&server, secret(&key)).await.expect(200);
    let path = format!("/v1/accounts/{account}/keys/{}", key["id"].as_str().unwrap());
    eventually("the use is stored", async || {
        let key = server.get(&path, Some(&server.admin)).await.expect(200);
        if key["last_used_at"].is_string() { Ok(()) } else { Err(key) }
    })
    .await;
}
