//! Rules for every request: problems, ids, limits.

use std::time::Duration;

use dabba_testkit::TestServer;
use reqwest::Method;
use serde_json::json;

/// Proves that an unknown path is answered with a problem, also if an id in the path is malformed.
#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = crate::start().await;
    let unknown = "0198b2f4-0000-7000-8000-000000000000";
    for path in ["/", "/v1", "/v2/orders", "/v1/orders/x/accept/now", "/docs/nothing.js"] {
        server.get(path, None).await.problem(404, "not_found");
    }
    for id in ["x", unknown, "0198b2f4-0000-4000-8000-000000000000", "%00", "%ff"] {
        server.get(&format!("/v1/restaurants/{id}"), None).await.problem(404, "not_found");
        server.get(&format!("/v1/orders/{id}"), Some(&server.customer)).await.problem(404, "not_found");
    }
}

/// Proves that an unsupported method is refused with the supported methods.
#[tokio::test]
async fn an_unsupported_method_is_answered_with_the_supported_ones() {
    let server = crate::start().await;
    for (method, path, allow) in [
        (Method::PUT, "/v1/orders".to_owned(), "GET,HEAD"),
        (Method::DELETE, server.orders_path(), "GET,HEAD,POST"),
        (Method::POST, "/healthz".to_owned(), "GET,HEAD"),
        (Method::GET, "/v1/tokens".to_owned(), "POST"),
    ] {
        let answer = server.request(method, &path).send().await;
        let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{path}");
        answer.problem(405, "method_not_allowed");
    }
}

/// Proves that bodies with a wrong type, size, syntax or shape are refused, each with its own code.
#[tokio::test]
async fn each_fault_of_a_body_has_its_own_code() {
    let server = crate::start().await;
    let send = |media_type: Option<&str>, body: String| {
        let request = server.request(Method::POST, &server.orders_path()).by(&server.customer).key("1");
        request.body(media_type, body).send()
    };
    let of_json = Some("application/json");
    let good = TestServer::order().to_string();
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
        Some("application/json; charset=utf-16"),
        Some("application/json;CHARSET=\"iso-8859-1\""),
        Some("application/vnd.dabba+json; q=1; charset=utf-7"),
    ] {
        send(media_type, good.clone()).await.problem(415, "unsupported_media_type");
    }
    let compressed = server.request(Method::POST, &server.orders_path()).by(&server.customer).key("1");
    let compressed = compressed.header("content-encoding", "gzip").body(of_json, good.clone());
    compressed.send().await.problem(415, "unsupported_media_type");
    let (deep, surplus) = ("[".repeat(10_000), format!("{good} x"));
    for malformed in ["", "{", "{\"lines\": [}", "nonsense", &*surplus, "\u{0}", &*deep] {
        let problem = send(of_json, malformed.to_owned()).await.problem(400, "malformed_json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("The body is not JSON: line 1, column "), "{detail}");
    }
    // JSON by its grammar, with values that the API does not accept.
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (member, pointer, detail) in [
        (
            "\"tip\": 1e999",
            "/tip",
            "must be a whole number from 0 to 1000000000000 in digits alone, not 1e999",
        ),
        ("\"note\": \"\\ud800\"", "/note", "must not contain half of a surrogate pair"),
        ("\"note\": \"a\", \"note\": \"b\"", "/note", "must be given once"),
        (&*format!("\"note\": {deep}"), "/note", "must be a text, not an array"),
        ("\"\\udfff\": 1", "/\\udfff", "is unknown"),
    ] {
        let body = good.replacen('{', &format!("{{{member}, "), 1);
        let problem = send(of_json, body).await.problem(422, "invalid");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["pointer"]), (1, &json!(pointer)), "{problem}");
        assert!(errors[0]["detail"].as_str().unwrap().starts_with(detail), "{problem}");
    }
    for (shape, pointers) in [
        ("[]", &[""][..]),
        ("null", &[""]),
        ("\"text\"", &[""]),
        ("{}", &["/lines", "/fulfilment", "/payment_method"]),
        ("{\"lines\": {}}", &["/fulfilment", "/payment_method", "/lines"]),
    ] {
        assert_eq!(send(of_json, shape.to_owned()).await.pointers(), pointers, "{shape}");
    }
    let padded = format!("{good}{}", " ".repeat(dabba_web::MAX_BODY_BYTES - good.len() + 1));
    send(of_json, padded.clone()).await.problem(413, "payload_too_large");
    send(of_json, padded[..dabba_web::MAX_BODY_BYTES].to_owned()).await.expect(201);
    for media_type in [
        "application/json; charset=utf-8",
        "application/json; charset=utf8",
        "application/json;charset=\"UTF-8\"",
        "application/json; version=1;",
        "Application/JSON",
        "application/vnd.dabba+json",
    ] {
        send(Some(media_type), good.clone()).await.expect(201);
    }
}

/// Proves that a response repeats a valid request id, and contains a generated one otherwise.
#[tokio::test]
async fn every_response_has_the_request_id() {
    let server = crate::start().await;
    let get = |id: &str| server.request(Method::GET, "/nowhere").header("x-request-id", id).send();
    let named = get("abc-123").await;
    assert_eq!(named.header("x-request-id"), "abc-123");
    assert_eq!(named.problem(404, "not_found")["request_id"], "abc-123");
    for strange in ["", "with space", &"x".repeat(129)] {
        let answer = get(strange).await;
        assert_eq!(answer.header("x-request-id").len(), 32, "{strange}");
        answer.problem(404, "not_found");
    }
    let fine = server.get("/healthz", None).await;
    assert_eq!((fine.header("x-request-id").len(), fine.header("x-content-type-options")), (32, "nosniff"));
}

/// Proves that a request whose body does not arrive ends at the timeout, and that the response says that nothing was changed.
#[tokio::test]
async fn a_request_has_a_timeout() {
    let server = crate::builder().web(|web| web.request_timeout = Duration::from_millis(200)).start().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: 1\r\n\
         content-type: application/json\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{",
        server.orders_path(),
        server.customer.token
    );
    let answer = crate::raw(&server, &head).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1") && answer.contains("\"code\":\"unavailable\""), "{answer}");
    assert!(answer.contains("changed nothing"), "{answer}");
}

/// Proves that a body of a request without a body is ignored.
#[tokio::test]
async fn a_superfluous_body_is_ignored() {
    let server = crate::start().await;
    let request = server.request(Method::GET, "/healthz").json(&json!({"x": 1}));
    request.send().await.expect(200);
}
