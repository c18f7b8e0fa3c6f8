//! Rules for every request and response: hosts, CORS, security headers, and bodies that are too large.

use std::time::Duration;

use dabba_api::MAX_MENU_BYTES;
use dabba_testkit::{HttpResponse, TestServer};
use dabba_web::{CorsOrigins, MAX_BODY_BYTES};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Maximum time to wait for a response.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns every operation of the description: method, path with ids filled in, and the operation's description.
fn operations(server: &TestServer) -> Vec<(Method, String, Value)> {
    let description: Value = serde_json::from_str(&dabba_api::openapi_json()).unwrap();
    let id = "0198b2f4-0000-7000-8000-000000000000";
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let mut path =
            path.replace("{restaurant_id}", &server.restaurant.to_string()).replace("{item_id}", "naan");
        for name in ["{order_id}", "{account_id}", "{task_id}", "{key_id}", "{session_id}", "{endpoint_id}"] {
            path = path.replace(name, id);
        }
        path = path.replace("{token}", &"0".repeat(46));
        assert!(!path.contains('{'), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase().parse().unwrap(), path.clone(), operation.clone()));
        }
    }
    operations
}

#[track_caller]
fn assert_protected(answer: &HttpResponse, what: &str) {
    let header = |name| answer.header(name);
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(header("x-frame-options"), "DENY", "{what}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
    assert!(header("content-security-policy").starts_with("default-src 'none';"), "{what}");
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{what}");
    assert!(
        ["no-store", "no-cache"].contains(&header("cache-control")),
        "{what}: {}",
        header("cache-control")
    );
    assert!(!header("x-request-id").is_empty(), "{what}");
    assert_eq!(
        (header("strict-transport-security"), header("access-control-allow-origin")),
        ("", ""),
        "{what}"
    );
}

/// Proves that each response has the security headers: the responses of every operation, with and without an admin's token, of
/// documents, and of requests that match no operation. Only public responses may be stored by caches, which must revalidate them.
#[tokio::test]
async fn every_response_carries_protective_headers() {
    let server = TestServer::start().await;
    for (method, path, _) in operations(&server) {
        for person in [None, Some(&server.admin)] {
            let request = server.request(method.clone(), &path);
            let answer = if let Some(person) = person { request.by(person) } else { request }.send().await;
            let what = format!("{method} {path}: {}", answer.status);
            assert_protected(&answer, &what);
            let is_public = method == Method::GET && path.ends_with("/menu");
            let expected = if is_public { "no-cache" } else { "no-store" };
            assert_eq!(answer.header("cache-control"), expected, "{what}");
        }
    }
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::PATCH, "/v1/orders", 405),
        (Method::OPTIONS, "/v1/orders", 405),
        (Method::TRACE, "/v1/orders", 405),
        (Method::HEAD, "/healthz", 200),
        (Method::GET, "/openapi.json", 200),
        (Method::GET, "/asyncapi.json", 200),
        (Method::GET, "/events.schema.json", 200),
        (Method::GET, "/docs/", 200),
        (Method::GET, "/docs/swagger-ui.css", 200),
    ] {
        let answer = server.request(method.clone(), path).send().await;
        assert_protected(&answer, path);
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let order = server.place("1", &TestServer::order()).await;
    let tag = format!("\"{}\"", order["version"]);
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let read = server.request(Method::GET, &path).by(&server.customer);
    let present = read.header("if-none-match", &tag).send().await;
    assert_eq!((present.status, present.header("cache-control")), (304, "no-store"));
}

/// Proves that the policy of the documentation pages allows their own scripts and styles, and nothing else.
#[tokio::test]
async fn the_documentation_may_load_only_its_own_files() {
    let server = TestServer::builder().web(|web| web.hsts_seconds = 86_400).start().await;
    let page = server.get("/docs/", None).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("'unsafe-eval'"), "{policy}");
    assert_eq!(page.header("strict-transport-security"), "max-age=86400");
    assert!(
        !page.text.contains("<script>") && !page.text.contains("onload="),
        "the policy would block inline scripts"
    );
}

/// Sends these lines as the head of a request, and returns the response until the server closes the connection.
async fn ask(server: &TestServer, lines: &[&str]) -> String {
    let head = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
    // The response ends with the connection.
    tokio::time::timeout(PATIENCE, crate::raw(server, &head)).await.unwrap()
}

/// Proves that every request must have exactly one valid host.
#[tokio::test]
async fn a_request_must_have_one_valid_host() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/v1/restaurants", "/nowhere", "/docs/"] {
        let get = format!("GET {path} HTTP/1.1");
        for hosts in [
            &[][..],
            &["host: a", "host: a"],
            &["host: a", "host: b"],
            &["host:"],
            &["host: a b"],
            &["host: a/b"],
            &["host: user@a"],
            &["host: a:http"],
        ] {
            let answer = ask(&server, &[&[get.as_str()], hosts].concat()).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} {hosts:?}: {answer}");
            assert!(
                answer.contains("\"parameter\":\"Host\"") && answer.contains("\"request_id\""),
                "{answer}"
            );
        }
        for hosts in ["host: api.example.org", "host: 127.0.0.1:8080", "host: [::1]:8080"] {
            let answer = ask(&server, &[&get, hosts]).await;
            assert!(!answer.starts_with("HTTP/1.1 400"), "{path} {hosts}: {answer}");
        }
        let old = ask(&server, &[&format!("GET {path} HTTP/1.0")]).await;
        assert!(!old.starts_with("HTTP/1.0 400"), "{path}: {old}");
    }
}

/// Proves that a server with a list of allowed hosts serves no other host, so that a page cannot rebind its name to the server's
/// address; and that probes may use any host.
#[tokio::test]
async fn only_allowed_hosts_are_served() {
    let hosts = ["api.example.org".to_owned(), "[::1]".to_owned()];
    let server = TestServer::builder().web(|web| web.allowed_hosts = hosts.to_vec()).start().await;
    for (target, host, status) in [
        ("/v1/restaurants", "api.example.org", 200),
        ("/v1/restaurants", "API.example.org:8443", 200),
        ("/v1/restaurants", "[::1]:80", 200),
        ("/v1/restaurants", "evil.example", 421),
        ("/v1/restaurants", "127.0.0.1", 421),
        ("/v1/restaurants", "api.example.org.evil.example", 421),
        ("http://evil.example/v1/restaurants", "api.example.org", 421),
        ("http://api.example.org/v1/restaurants", "evil.example", 200),
        ("/nowhere", "evil.example", 421),
        ("/docs/", "evil.example", 421),
        ("/metrics", "evil.example", 421),
        ("/healthz", "10.0.0.7", 200),
        ("/readyz", "10.0.0.7:8080", 200),
    ] {
        let answer = ask(&server, &[&format!("GET {target} HTTP/1.1"), &format!("host: {host}")]).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target} {host}: {answer}");
        assert_eq!(answer.contains("misdirected_request"), status == 421, "{answer}");
    }
}

/// Proves that a browser lets pages of allowed origins call the API and read the headers that clients need, also of refusals; and
/// does not let pages of other origins.
#[tokio::test]
async fn pages_of_allowed_origins_may_call() {
    let shop = "https://shop.example.org";
    let server = TestServer::builder()
        .web(|web| {
            web.cors_origins = CorsOrigins::List(vec![shop.to_owned(), "http://localhost:5173".to_owned()]);
        })
        .start()
        .await;
    let preflight = async |origin: &str| {
        let request = server.request(Method::OPTIONS, &server.orders_path()).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization,idempotency-key,content-type")
            .send()
            .await
    };
    for origin in [shop, "http://localhost:5173"] {
        let answer = preflight(origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
        let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
        for name in ["authorization", "idempotency-key", "content-type", "if-match", "last-event-id"] {
            assert!(allowed.contains(name), "{allowed}");
        }
        assert!(answer.header("access-control-allow-methods").contains("DELETE"));
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            "",
            "the API needs no credentials of the browser, because tokens are not cookies"
        );
    }
    for origin in
        ["https://evil.example", "http://shop.example.org", "https://shop.example.org.evil.example", "null"]
    {
        assert_eq!(preflight(origin).await.header("access-control-allow-origin"), "", "{origin}");
    }
    for (method, path, _) in operations(&server) {
        let answer = server.request(method.clone(), &path).header("origin", shop).send().await;
        let what = format!("{method} {path}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), shop, "{what}");
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        for name in ["etag", "location", "retry-after", "ratelimit", "idempotency-replayed", "x-request-id"] {
            assert!(exposed.contains(name), "{what}: {exposed}");
        }
        assert!(answer.header_values("vary").to_ascii_lowercase().contains("origin"), "{what}");
    }

    let closed = TestServer::start().await;
    let request = closed.request(Method::OPTIONS, &closed.orders_path()).header("origin", shop);
    let answer = request.header("access-control-request-method", "POST").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    answer.problem(405, "method_not_allowed");
    let open = TestServer::builder().web(|web| web.cors_origins = CorsOrigins::Any).start().await;
    let answer =
        open.request(Method::GET, "/v1/restaurants").header("origin", "https://any.example").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

/// Proves for every operation with a body that a body whose announced length exceeds the limit is refused before any of it is
/// sent, also if the client waits for `100 Continue`, and that each operation has its own limit.
#[tokio::test]
async fn an_oversized_body_is_refused_before_it_is_sent() {
    let server = TestServer::start().await;
    let authorization = format!("authorization: Bearer {}", server.admin.token);
    let head = |method: &Method, path: &str, length: usize, more: &'static str| {
        let lines = [
            format!("{method} {path} HTTP/1.1"),
            "host: localhost".to_owned(),
            authorization.clone(),
            "idempotency-key: 1".to_owned(),
            "if-match: *".to_owned(),
            "content-type: application/json".to_owned(),
            format!("content-length: {length}"),
            more.to_owned(),
        ];
        lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\r\n")
    };
    let mut refused = 0;
    for (method, path, operation) in operations(&server) {
        if operation["requestBody"].is_null() {
            continue;
        }
        let limit = if path.ends_with("/menu") { MAX_MENU_BYTES } else { MAX_BODY_BYTES };
        for more in ["", "expect: 100-continue"] {
            let answer = ask(&server, &[&head(&method, &path, limit + 1, more)]).await;
            // The server has no payment provider, so the webhook's path does not exist.
            let status = if path.ends_with("/webhooks/payments") { 404 } else { 413 };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path} {more}: {answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            refused += u32::from(status == 413);
        }
    }
    assert!(refused >= 20, "{refused}");
}

/// Proves that every change refuses parameters that it does not have: a client that expects a preview must not change anything. The
/// URL for the reports of the payment provider may have any query.
#[tokio::test]
async fn changes_refuse_unknown_parameters() {
    let server = crate::start().await;
    for (method, path, operation) in operations(&server).into_iter().filter(|(method, ..)| !method.is_safe())
    {
        let response =
            server.request(method.clone(), &format!("{path}?previw=true&x=1")).by(&server.admin).send().await;
        if path == "/v1/webhooks/payments" {
            assert!(!response.text.contains("previw"), "{}", response.text);
            continue;
        }
        let problem = response.problem(400, "bad_request");
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<_> = errors.iter().map(|error| error["parameter"].as_str().unwrap()).collect();
        assert_eq!(named, ["previw", "x"], "{method} {path}");
        assert!(errors[0]["detail"].as_str().unwrap().starts_with("is unknown"), "{problem}");
        assert!(operation["responses"].get("400").is_some(), "{method} {path} must describe the refusal");
    }
    let path = server.restaurant_path("/pause");
    server
        .post(&format!("{path}?%ff"), Some(&server.staff), &json!({}))
        .send()
        .await
        .problem(400, "bad_request");
    server.post(&format!("{path}?"), Some(&server.staff), &json!({})).send().await.expect(200);
}

/// Proves that a parameter that is not UTF-8 is refused and not changed.
#[tokio::test]
async fn a_parameter_must_be_utf_8() {
    let server = crate::start().await;
    for query in ["restaurant=%ff", "%c3=1", "types=%ed%a0%80"] {
        let refused = server.get(&format!("/v1/events?{query}"), Some(&server.admin)).await;
        let problem = refused.problem(400, "bad_request");
        assert!(
            problem["detail"].as_str().unwrap().contains("must be names and values in UTF-8"),
            "{problem}"
        );
    }
}

/// Proves that a client that sends the whole oversized body can read the refusal and does not get a connection reset.
#[tokio::test]
async fn a_client_that_sends_an_oversized_body_can_read_the_refusal() {
    let server = TestServer::start().await;
    let length = 400_000;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: 1\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
        server.orders_path(),
        server.customer.token
    );
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The response arrives before the client has sent the body.
        let mut first = vec![0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first, b"HTTP/1.1 413");
        stream.write_all(&vec![b' '; length]).await.expect("the server must accept the rest of the body");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("the server must not reset the connection");
        assert!(rest.contains("payload_too_large"), "{rest}");
    }
}

/// Proves that a body of unknown length is accepted up to the size as which it counts in the budget, also for operations whose
/// limit for announced bodies is higher.
#[tokio::test]
async fn a_large_body_must_have_a_content_length() {
    let server = TestServer::start().await;
    for (length, status) in [(1_000, "422"), (MAX_BODY_BYTES + 1, "413")] {
        let request = format!(
            "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nif-match: *\r\nconnection: close\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{{}}{}\r\n0\r\n\r\n",
            server.restaurant_path("/menu"),
            server.staff.token,
            " ".repeat(length - 2),
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(answer.contains("Content-Length"), status == "413", "{answer}");
    }
}

/// Proves for every operation that requires a token that a refusal states the authentication scheme, and the error of the token
/// if the request had one (RFC 6750).
#[tokio::test]
async fn challenges_state_the_error_of_a_token() {
    let server = TestServer::start().await;
    let expired = server.customer.token.clone();
    server.advance(jiff::SignedDuration::from_hours(13));
    let invalid = "Bearer error=\"invalid_token\", error_description=\"the token is not valid; get a new one with POST /v1/tokens\"";
    let outdated = "Bearer error=\"invalid_token\", error_description=\"the token has expired; get a new one with POST /v1/tokens\"";
    let mut secured = 0;
    for (method, path, operation) in operations(&server) {
        let needs_token = operation["security"].as_array().is_some_and(|schemes| {
            let accepts_tokens = schemes.iter().any(|scheme| scheme.get("bearer").is_some());
            accepts_tokens && schemes.iter().all(|scheme| *scheme != json!({}))
        });
        if !needs_token {
            continue;
        }
        secured += 1;
        let what = format!("{method} {path}");
        let request = || server.request(method.clone(), &path);
        for (request, challenge) in [
            (request(), "Bearer"),
            (request().header("authorization", "Basic YTpi"), "Bearer"),
            (request().token("nonsense"), invalid),
            (request().token(&expired), outdated),
        ] {
            let answer = request.send().await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, challenge), "{what}");
        }
    }
    assert!(secured > 20, "{secured}");
}

/// Proves that the response to a forbidden request states that another token is required.
#[tokio::test]
async fn a_forbidden_request_is_answered_with_insufficient_scope() {
    let server = TestServer::start().await;
    let answer = server.get("/v1/tasks", Some(&server.customer)).await;
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
    answer.problem(403, "forbidden");
    let wrong = json!({"email": "customer@example.org", "password": "wrong"});
    let answer = server.post("/v1/tokens", None, &wrong).send().await;
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    answer.problem(401, "wrong_credentials");
}
