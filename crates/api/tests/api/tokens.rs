//! Tokens: which tokens are accepted and which are refused.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use dabba_web::{SigningKey, issue_token};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Makes a token with these parts and the signature of another token.
fn forge(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// Proves that only tokens that are signed with the server's key and algorithm are accepted.
#[tokio::test]
async fn forged_tokens_are_refused() {
    let server = crate::start().await;
    let customer = &server.customer;
    let good = customer.token.clone();
    let signature = good.rsplit('.').next().unwrap();
    let now = server.now().as_second();
    let claims = |role: &str| json!({"iss": "dabba", "sub": customer.id.to_string(), "role": role, "iat": now, "exp": now + 600});
    let other_key = SigningKey::from_bytes(&[8; 32]).unwrap();
    let forged = issue_token(&other_key, &customer.principal(), server.now(), Duration::from_mins(10));
    for (why, token) in [
        ("none", forge(&json!({"alg": "none", "typ": "JWT"}), &claims("admin"), "")),
        ("none, in capitals", forge(&json!({"alg": "NONE"}), &claims("admin"), "")),
        ("another role", forge(&json!({"alg": "HS256", "typ": "JWT"}), &claims("admin"), signature)),
        ("another algorithm", forge(&json!({"alg": "HS512", "typ": "JWT"}), &claims("customer"), signature)),
        ("another key", forged),
        ("cut", good[..good.len() - 1].to_owned()),
        ("longer", format!("{good}A")),
        ("no token", "x".to_owned()),
        ("long", "x".repeat(5_000)),
    ] {
        let answer = server.request(reqwest::Method::GET, "/v1/orders").token(&token).send().await;
        let challenge = "Bearer error=\"invalid_token\", error_description=\"the token is not valid; get a new one with POST /v1/tokens\"";
        assert_eq!(answer.header("www-authenticate"), challenge, "{why}");
        answer.problem(401, "unauthenticated");
    }
    server.get("/v1/orders", None).await.problem(401, "unauthenticated");
    for scheme in ["Basic abc", "Bearer", &good] {
        let request = server.request(reqwest::Method::GET, "/v1/orders").header("authorization", scheme);
        request.send().await.problem(401, "unauthenticated");
    }
    server.get("/v1/orders", Some(customer)).await.expect(200);
}

/// Proves that a token expires at its time, by the server's clock, also if it is cached.
#[tokio::test]
async fn a_token_expires() {
    let server = crate::start().await;
    server.advance(SignedDuration::from_secs(12 * 60 * 60 - 1));
    server.get("/v1/orders", Some(&server.customer)).await.expect(200);
    server.advance(SignedDuration::from_secs(1));
    for person in [&server.customer, &server.customer, &server.courier] {
        let refused = server.get("/v1/orders", Some(person)).await.problem(401, "unauthenticated");
        assert_eq!(refused["detail"], "the token has expired; get a new one with POST /v1/tokens");
    }
}

/// Proves that tokens with wrong claims are refused, even if they are signed with the right key.
#[tokio::test]
async fn claims_are_checked() {
    let server = crate::start().await;
    let now = server.now().as_second();
    let sub = server.customer.id.to_string();
    let sign = |claims: Value| {
        let key = jsonwebtoken::EncodingKey::from_secret(&[7; 32]);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let good = json!({"iss": "dabba", "sub": sub, "role": "customer", "iat": now, "exp": now + 600});
    let get = |token: String| server.request(reqwest::Method::GET, "/v1/orders").token(&token).send();
    get(sign(good.clone())).await.expect(200);
    for (member, value) in [
        ("iss", json!("someone")),
        ("iss", Value::Null),
        ("sub", json!("someone")),
        ("role", json!("emperor")),
        ("exp", Value::Null),
        ("exp", json!(now)),
    ] {
        let mut claims = good.clone();
        claims[member] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(member);
        }
        get(sign(claims)).await.problem(401, "unauthenticated");
    }
}
