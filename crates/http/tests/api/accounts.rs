//! Accounts: registering, logging in, and how often.

use std::{num::NonZeroU32, time::Duration};

use dabba_http::Rate;
use dabba_testkit::PASSWORD;
use jiff::SignedDuration;
use serde_json::json;

/// Proves that one registers, logs in, and is who one is.
#[tokio::test]
async fn a_customer_registers_and_logs_in() {
    let server = crate::start().await;
    let registration = json!({"email": "Asha@Example.org", "name": "Asha", "password": PASSWORD});
    let registered = server.post("/v1/accounts", None, &registration).send().await.expect(201);
    assert_eq!((&registered["email"], &registered["role"]), (&json!("asha@example.org"), &json!("customer")));
    assert!(registered.get("password_hash").is_none());
    server.post("/v1/accounts", None, &registration).send().await.problem(409, "email_taken");

    let login = |email: &str, password: &str| {
        server.post("/v1/tokens", None, &json!({"email": email, "password": password})).send()
    };
    let token = login("asha@example.ORG", PASSWORD).await;
    assert_eq!(token.header("cache-control"), "no-store");
    assert_eq!(token.json["expires_in"], 43_200);
    let access = token.text_at("/access_token");
    let me = server.request(reqwest::Method::GET, "/v1/accounts/me").token(&access).send().await.expect(200);
    assert_eq!((&me["id"], &me["restaurants"]), (&registered["id"], &json!([])));
    for (email, password) in [("asha@example.org", "wrong"), ("nobody@example.org", PASSWORD), ("x", "y")] {
        login(email, password).await.problem(401, "wrong_credentials");
    }
    let staff = server.get("/v1/accounts/me", Some(&server.staff)).await.expect(200);
    assert_eq!(staff["restaurants"], json!([server.restaurant.to_string()]));
}

/// Proves that only an admin makes accounts with power, and that a bad token is not overlooked.
#[tokio::test]
async fn only_an_admin_makes_other_roles() {
    let server = crate::start().await;
    let body = json!({"email": "a@b.c", "name": "A", "password": PASSWORD, "role": "courier"});
    server.post("/v1/accounts", None, &body).send().await.problem(403, "forbidden");
    server.post("/v1/accounts", Some(&server.staff), &body).send().await.problem(403, "forbidden");
    server.post("/v1/accounts", None, &body).token("x").send().await.problem(401, "unauthenticated");
    server.post("/v1/accounts", Some(&server.admin), &body).send().await.expect(201);
}

/// Proves that everything wrong with a registration is listed.
#[tokio::test]
async fn a_registration_is_checked() {
    let server = crate::start().await;
    let body = json!({"email": "nobody", "name": " ", "password": "short"});
    let answer = server.post("/v1/accounts", None, &body).send().await;
    assert_eq!(answer.pointers(), ["/email", "/name", "/password"]);
}

fn rate(requests: u32) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_mins(1) }
}

/// Proves that passwords can be guessed for one address a few times only, and after a wait again.
#[tokio::test]
async fn guessing_a_password_is_slow() {
    let server = crate::builder().http(|http| http.rate_limits.tokens_per_email = rate(3)).start().await;
    let login =
        |email: &str| server.post("/v1/tokens", None, &json!({"email": email, "password": "wrong"})).send();
    for _ in 0..3 {
        login("customer@example.org").await.problem(401, "wrong_credentials");
    }
    let refused = login(" Customer@example.org").await;
    assert_eq!(refused.header("retry-after"), "20");
    refused.problem(429, "too_many_requests");
    login("courier@example.org").await.problem(401, "wrong_credentials");
    server.advance(SignedDuration::from_secs(20));
    login("customer@example.org").await.problem(401, "wrong_credentials");
    login("customer@example.org").await.problem(429, "too_many_requests");
}

/// Proves that one client's logins and registrations are limited, whatever names they use.
#[tokio::test]
async fn one_address_asks_only_so_often() {
    let server = crate::builder()
        .http(|http| {
            http.rate_limits.tokens_per_address = rate(2);
            http.rate_limits.accounts_per_address = rate(2);
            http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        })
        .start()
        .await;
    let from = |path: &str, address: &str, number: u32| {
        let body = json!({"email": format!("n{number}@example.org"), "name": "N", "password": PASSWORD});
        let body =
            if path == "/v1/tokens" { json!({"email": body["email"], "password": PASSWORD}) } else { body };
        server.post(path, None, &body).header("x-forwarded-for", &format!("192.0.2.1, {address}")).send()
    };
    for (path, status) in [("/v1/tokens", 401), ("/v1/accounts", 201)] {
        for number in 0..2 {
            from(path, "198.51.100.7", number).await.expect(status);
        }
        from(path, "198.51.100.7", 3).await.problem(429, "too_many_requests");
        from(path, "198.51.100.8", 4).await.expect(status);
        // Of an IPv6 address the network counts.
        for number in 5..7 {
            from(path, &format!("2001:db8::{number}"), number).await.expect(status);
        }
        from(path, "2001:db8::8", 8).await.problem(429, "too_many_requests");
        from(path, "2001:db8:1::1", 9).await.expect(status);
    }
}
