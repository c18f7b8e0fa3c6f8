//! Rate limits of accounts and addresses.

use dabba_testkit::{HttpResponse, TestServer};
use dabba_web::{AccountRates, Rate, RateLimits};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

async fn start(change: impl FnOnce(&mut RateLimits)) -> TestServer {
    TestServer::builder().web(|web| change(&mut web.rate_limits)).start().await
}

fn limits(answer: &HttpResponse) -> (&str, &str) {
    (answer.header("ratelimit-policy"), answer.header("ratelimit"))
}

/// Proves that an account's writes are limited whether they succeed or not, that the responses report the remaining number, that
/// the limit refills, and that reads, other accounts and admins are not affected.
#[tokio::test]
async fn the_writes_of_an_account_are_limited() {
    let server = start(|limits| limits.customers = AccountRates::per_minute(3, 0)).await;
    let place = |key: &str| {
        server.post(&server.orders_path(), Some(&server.customer), &TestServer::collection()).key(key).send()
    };
    let placed = place("1").await;
    assert_eq!(limits(&placed), ("\"writes\";q=3;w=60", "\"writes\";r=2;t=20"));
    let id = placed.expect(201)["id"].as_str().unwrap().to_owned();
    // Refused writes count too: for the body, for the order, for the caller.
    let invalid =
        server.post(&server.orders_path(), Some(&server.customer), &json!({})).key("2").send().await;
    assert_eq!(limits(&invalid).1, "\"writes\";r=1;t=40");
    invalid.problem(422, "invalid");
    let forbidden = server.post(&format!("/v1/orders/{id}/accept"), Some(&server.customer), &json!({}));
    let forbidden = forbidden.send().await;
    assert_eq!(limits(&forbidden).1, "\"writes\";r=0;t=60");
    assert!(forbidden.status == 403 || forbidden.status == 422);
    let refused = place("3").await;
    assert_eq!((refused.header("retry-after"), limits(&refused).1), ("20", "\"writes\";r=0;t=60"));
    let problem = refused.problem(429, "too_many_requests");
    assert_eq!(
        (&problem["policy"], &problem["quota"], &problem["window_seconds"]),
        (&json!("writes"), &json!(3), &json!(60))
    );

    let read = server.get(&format!("/v1/orders/{id}"), Some(&server.customer)).await;
    assert!(!read.headers.contains_key("ratelimit") && !read.headers.contains_key("ratelimit-policy"));
    read.expect(200);
    let theirs = server.post(&server.orders_path(), Some(&server.other_customer), &TestServer::collection());
    theirs.key("1").send().await.expect(201);
    for _ in 0..5 {
        let accepted =
            server.post(&format!("/v1/orders/{id}/accept"), Some(&server.admin), &json!({})).send().await;
        assert_eq!(limits(&accepted), ("", ""), "{}", accepted.status);
    }
    server.advance(SignedDuration::from_secs(20));
    place("3").await.expect(201);
    place("4").await.problem(429, "too_many_requests");
}

/// Proves that the bytes of bodies are limited per account, also for bodies of unknown length, and by role: the limit of staff
/// allows a menu.
#[tokio::test]
async fn the_bytes_of_an_account_are_limited() {
    let server = start(|limits| {
        limits.customers = AccountRates::per_minute(0, 100 * 1024);
        limits.staff = AccountRates::per_minute(0, 8 * 1024 * 1024);
    })
    .await;
    let place = |key: &str, padding: usize| {
        let body = format!("{}{}", TestServer::collection(), " ".repeat(padding));
        let request = server.request(Method::POST, &server.orders_path()).by(&server.customer).key(key);
        request.body(Some("application/json"), body).send()
    };
    place("1", 50_000).await.expect(201);
    let refused = place("2", 60_000).await;
    assert_eq!(limits(&refused).0, "\"body-bytes\";q=102400;w=60;qu=\"content-bytes\"");
    assert_eq!(refused.problem(429, "too_many_requests")["policy"], "body-bytes");
    place("2", 0).await.expect(201);
    let chunked = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: 3\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        server.orders_path(),
        server.customer.token
    );
    let answer = crate::raw(&server, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");

    // A body that is refused before any of it is read does not count.
    for (method, path, by, length) in [
        ("POST", server.orders_path(), &server.customer, 99 * 1024),
        ("PUT", server.restaurant_path("/menu"), &server.staff, 5 * 1024 * 1024),
    ] {
        for _ in 0..3 {
            let announced = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: 4\r\n\
                 if-match: *\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n",
                by.token
            );
            let answer = crate::raw(&server, &announced).await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
    }

    let menu = format!("{}{}", dabba_testkit::menu(), " ".repeat(3 * 1024 * 1024));
    let put = || {
        let request = server.request(Method::PUT, &server.restaurant_path("/menu")).by(&server.staff);
        request.header("if-match", "*").body(Some("application/json"), menu.clone()).send()
    };
    put().await.expect(200);
    put().await.expect(200);
    put().await.problem(429, "too_many_requests");
}

/// Proves that quotes, which need no account, are limited by the client's address.
#[tokio::test]
async fn the_quotes_of_an_address_are_limited() {
    let server = start(|limits| limits.quotes_per_address = Rate::per_minute(2)).await;
    let cart = json!({"lines": [{"item": "naan", "quantity": 1}], "fulfilment": "collection"});
    let quote = || server.post(&server.restaurant_path("/quotes"), None, &cart).send();
    assert_eq!(limits(&quote().await), ("\"quotes\";q=2;w=60", "\"quotes\";r=1;t=30"));
    quote().await.expect(200);
    let refused = quote().await;
    assert_eq!(refused.header("retry-after"), "30");
    refused.problem(429, "too_many_requests");
    server.get(&server.restaurant_path("/menu"), None).await.expect(200);
}

/// Proves that all links of an order share a budget, which reads, streams and cancellations spend, and that a refusal neither
/// affects the links of other orders nor counts as an unknown link.
#[tokio::test]
async fn the_requests_by_links_to_an_order_are_limited() {
    let one_unknown = Rate::per_minute(1).unwrap();
    let server = start(|limits| {
        limits.tracking_per_order = Rate::per_minute(3);
        limits.tokens_per_address = one_unknown;
    })
    .await;
    let link = async |order: &Value| {
        let path = format!("/v1/orders/{}/tracking-link", order["id"].as_str().unwrap());
        let created = server.request(Method::POST, &path).by(&server.customer).send().await.expect(201);
        format!("/v1/tracking/{}", created["token"].as_str().unwrap())
    };
    let cancel = async |path: &str| {
        let reason = json!({"reason": "changed_mind"});
        server.post(&format!("{path}/cancel"), None, &reason).send().await
    };
    let order = server.place("1", &TestServer::collection()).await;
    let (first, second) = (link(&order).await, link(&order).await);
    let other = link(&server.place("2", &TestServer::collection()).await).await;
    let read = server.get(&first, None).await;
    assert_eq!(limits(&read), ("\"tracking\";q=3;w=60", "\"tracking\";r=2;t=20"));
    read.expect(200);
    assert_eq!(limits(&server.get(&second, None).await).1, "\"tracking\";r=1;t=40");
    let cancelled = cancel(&first).await;
    assert_eq!(limits(&cancelled).1, "\"tracking\";r=0;t=60");
    assert_eq!(cancelled.expect(200)["order"]["status"], "cancelled");
    for path in [&first, &second, &format!("{second}/stream")] {
        let refused = server.get(path, None).await;
        assert_eq!(refused.header("retry-after"), "20");
        assert_eq!(refused.problem(429, "too_many_requests")["policy"], "tracking");
    }
    assert_eq!(cancel(&second).await.problem(429, "too_many_requests")["policy"], "tracking");
    server.get(&other, None).await.expect(200);
    server.advance(SignedDuration::from_secs(20));
    server.get(&second, None).await.expect(200);
    server.get(&second, None).await.problem(429, "too_many_requests");
}

/// Proves that a refusal by the limit of open orders states their number and the maximum, and that the customer can order again
/// after an order has ended.
#[tokio::test]
async fn the_limit_of_open_orders_is_reported() {
    let server =
        TestServer::builder().engine(|engine| engine.max_open_orders = std::num::NonZeroUsize::new(2));
    let server = server.start().await;
    let first = server.place("1", &TestServer::collection()).await;
    server.place("2", &TestServer::collection()).await;
    let place = || {
        server.post(&server.orders_path(), Some(&server.customer), &TestServer::collection()).key("3").send()
    };
    let problem = place().await.problem(409, "too_many_open_orders");
    assert_eq!((&problem["open_orders"], &problem["open_orders_limit"]), (&json!(2), &json!(2)));
    assert!(problem["detail"].as_str().unwrap().contains("at most 2"), "{problem}");
    let cancel = json!({"reason": "changed_mind"});
    server.command(&first, "cancel", &server.customer, &cancel).send().await.expect(200);
    place().await.expect(201);
}
