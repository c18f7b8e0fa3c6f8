//! The log of requests: entries by `request_id`, and data that is never logged.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use dabba_testkit::{PATIENCE, eventually_blocking};
use serde_json::{Value, json};

use super::support::{Server, block_on};

/// Waits for log lines about the request with this id, and returns them.
fn lines(log: &Path, request_id: &str) -> Vec<Value> {
    lines_where(log, |line| line["span"]["request_id"] == request_id)
}

/// Waits for log lines that meet a condition, and returns them.
fn lines_where(log: &Path, is_asked: impl Fn(&Value) -> bool) -> Vec<Value> {
    eventually_blocking("the log has such a line", || {
        let text = fs::read_to_string(log).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parsed = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found: Vec<Value> = parsed.filter(&is_asked).collect();
        if found.is_empty() { Err(text) } else { Ok(found) }
    })
}

/// Returns the only log line about this request.
fn line(log: &Path, request_id: &str) -> Value {
    let mut lines = lines(log, request_id);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// Sends a request as bytes and returns the response.
fn raw(server: &Server, request: &str) -> String {
    let address = server.announced_text("/address");
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Proves that the `request_id` of each refusal finds one line at the level `info` with the caller, the request and the reason:
/// for refusals by a handler, by an extractor, and before any route.
#[test]
fn each_refusal_is_logged_with_its_id_and_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Server::start_logging(&data, &log, &[]);
    let order = block_on(server.place("1"));
    let (order, customer) = (order["id"].as_str().unwrap(), order["customer_id"].as_str().unwrap());
    let restaurant = server.announced_text("/restaurant_id");
    let token = server.announced_text("/tokens/customer");
    // Method, path, whether it has a token, further head and body; then the line's status, code, path and ids.
    let accept = format!("/v1/orders/{order}/accept");
    let menu = format!("/v1/restaurants/{restaurant}/menu");
    let json = "content-type: application/json\r\n";
    let cases = [
        (
            "POST",
            accept.as_str(),
            true,
            format!("{json}content-length: 27\r\n\r\n{{\"preparation_minutes\": 10}}"),
            403,
            "forbidden",
        ),
        ("POST", &accept, false, "content-length: 0\r\n\r\n".to_owned(), 401, "unauthenticated"),
        ("POST", &accept, true, format!("{json}content-length: 2\r\n\r\n{{}}"), 422, "invalid"),
        ("DELETE", &menu, true, "\r\n".to_owned(), 405, "method_not_allowed"),
        ("GET", "/v1/nothing?email=asha@example.org", false, "\r\n".to_owned(), 404, "not_found"),
    ];
    for (number, (method, path, has_token, rest, status, code)) in cases.iter().enumerate() {
        let id = format!("refused-{number}");
        let authorization =
            if *has_token { format!("authorization: Bearer {token}\r\n") } else { String::new() };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n");
        let answer = raw(&server, &format!("{head}{authorization}{rest}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
        let line = line(&log, &id);
        let asked = &line["span"];
        assert_eq!(
            (&line["level"], &line["status"], &line["code"]),
            (&json!("INFO"), &json!(status), &json!(code))
        );
        assert_eq!((&asked["method"], &line["client"]), (&json!(method), &json!("127.0.0.1")), "{line}");
        assert_eq!(line["path"], path.split('?').next().unwrap());
        assert!(line["took_us"].is_u64() && asked["route"].is_string(), "{line}");
        let is_matched = path.contains("/orders/") || *path == menu && *status != 405;
        assert_eq!(line["order_id"].as_str(), path.contains("/orders/").then_some(order), "{line}");
        // A request without a route reaches no extractor.
        let is_known = *has_token && is_matched;
        assert_eq!(line["account_id"].as_str(), is_known.then_some(customer), "{line}");
        assert_eq!(line["role"].as_str(), is_known.then_some("customer"), "{line}");
    }
    server.stop();
}

/// Proves that a refusal by the parser, which has no request yet, is logged with its status and the client.
#[test]
fn an_unparsable_head_is_logged_with_its_status() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Server::start_logging(&data, &log, &[]);
    let long = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x-a: b\r\n".repeat(101));
    for (head, status) in [("GET / HTTP/1.1\r\nno header\r\n\r\n", 400), (&long, 431)] {
        let answer = raw(&server, head);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let lines = lines_where(&log, |line| line["message"] == "refused" && line["status"] == status);
        let [line] = &*lines else { panic!("{lines:?}") };
        assert_eq!((&line["level"], &line["client"]), (&json!("INFO"), &json!("127.0.0.1")));
        assert!(line["error"].is_string() && line["code"].is_null() && line["span"].is_null(), "{line}");
    }
    server.stop();
}

/// Proves that a write is logged at the level `info` with its caller and its result, and that reads are not.
#[test]
fn writes_are_logged_at_info_and_reads_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Server::start_logging(&data, &log, &[]);
    let (restaurant, token) =
        (server.announced_text("/restaurant_id"), server.announced_text("/tokens/customer"));
    let body = server.announcement["order"].to_string();
    let head = |method: &str, path: &str, id: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\nx-request-id: {id}\r\n"
        )
    };
    raw(&server, &format!("{}\r\n", head("GET", "/v1/orders", "read")));
    let place = head("POST", &format!("/v1/restaurants/{restaurant}/orders"), "placed");
    let length = body.len();
    let answer = raw(
        &server,
        &format!(
            "{place}idempotency-key: 1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let line = line(&log, "placed");
    assert_eq!((&line["status"], &line["role"]), (&json!(201), &json!("customer")), "{line}");
    assert_eq!(line["restaurant_id"], restaurant.as_str());
    assert!(line["location"].as_str().unwrap().starts_with("/v1/orders/"), "{line}");
    assert!(!fs::read_to_string(&log).unwrap().contains("\"request_id\":\"read\""));
    server.stop();
}

/// Proves that a client cannot forge log lines, and that neither queries nor paths with apparent e-mail addresses or tokens are
/// logged, at any level.
#[test]
fn clients_cannot_forge_log_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Server::start_logging(&data, &log, &["--log", "debug"]);
    let long = "t0ken".repeat(20);
    for (id, path) in [
        ("email", "/v1/accounts/asha%40example.org?q=asha@example.org".to_owned()),
        ("token", format!("/v1/orders/{long}?access_token={long}")),
        ("line", "/v1/orders/x%0A%7B%22forged%22:true%7D".to_owned()),
    ] {
        let answer = raw(
            &server,
            &format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
        assert_eq!(lines(&log, id).last().unwrap()["client"], "127.0.0.1", "nobody trusts that header");
    }
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("example.org") && !text.contains(&long), "{text}");
    assert!(text.lines().all(|line| !line.starts_with("{\"forged")), "{text}");
    server.stop();
}
