//! The web pages of a real server. `pages.rs` tests the pages of the documentation.

use std::fs;

use dabba_pages::Content;
use dabba_testkit::http_client;

use super::support::{Server, block_on};

/// A token of a tracking link. It is shorter than a real one, so the log recognizes it by its route only, or by the lack of one.
const TOKEN: &str = "3f0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1";

/// Returns the status and the text of a response, and the value of its `Content-Type`.
fn get(address: &str, path: &str) -> (u16, String, String) {
    block_on(async {
        let answer = http_client().get(format!("{address}{path}")).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), answer.text().await.unwrap(), kind)
    })
}

/// Returns the status of a page: a binary that was built without npm states that its pages are missing.
fn page_status() -> u16 {
    if Content::EMBEDDED.is_built() { 200 } else { 503 }
}

/// Proves that the public listener serves the pages beside the API, that the listener for operators does not, and that the API
/// responds to all other paths.
#[test]
fn a_server_serves_the_pages() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--admin-listen", "127.0.0.1:0"]);
    let (public, admin) = (server.announced_text("/address"), server.announced_text("/admin_address"));
    let restaurant = server.announced_text("/restaurant_id");
    let board = format!("/kitchen/{restaurant}");
    for path in ["/", "/login", &board, "/console/orders", &format!("/order/{restaurant}")] {
        let (status, text, kind) = get(&public, path);
        assert_eq!((status, kind.as_str()), (page_status(), "text/html; charset=utf-8"), "{path}");
        assert!(text.to_lowercase().starts_with("<!doctype html>"), "{path}: {text}");
        assert_eq!(get(&admin, path).0, 404, "{path}");
    }
    assert_eq!(get(&public, "/v1/restaurants").0, 200);
    assert_eq!(get(&public, "/healthz").0, 200);
    let (status, text, kind) = get(&public, "/v1/nothing");
    assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
    assert!(text.contains("\"not_found\""), "{text}");
    let metrics = get(&admin, "/metrics").1;
    assert!(metrics.contains("route=\"/kitchen/{restaurant_id}\""), "the template is measured: {metrics}");
    assert!(!metrics.contains(&board));
    server.stop();
}

/// Proves that a setting switches the pages off.
#[test]
fn the_pages_can_be_switched_off() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--pages", "false"]);
    let address = server.announced_text("/address");
    for path in ["/", "/login", "/kitchen/1", "/t/token", "/assets/a.js"] {
        let (status, _, kind) = get(&address, path);
        assert_eq!((status, kind.as_str()), (404, "application/problem+json"), "{path}");
    }
    assert_eq!(get(&address, "/v1/restaurants").0, 200);
    server.stop();
}

/// Proves that neither the log, at any level, nor the measurements contain the token of a tracking link: not of a link that works,
/// not of one with a character too many, and not if the pages are switched off.
#[test]
fn tokens_of_tracking_links_are_not_logged() {
    for (pages, status) in [("true", page_status()), ("false", 404)] {
        let directory = tempfile::tempdir().unwrap();
        let (data, log) = (directory.path().join("data"), directory.path().join("log"));
        let server = Server::start_logging(&data, &log, &["--log", "trace", "--pages", pages]);
        let address = server.announced_text("/address");
        assert_eq!(get(&address, &format!("/t/{TOKEN}")).0, status);
        // The path with a slash at its end leads to the page.
        assert_eq!(get(&address, &format!("/t/{TOKEN}/")).0, status);
        for wrong in ["/T/TOKEN", "//t/TOKEN", "/t/TOKEN/x", "/TOKEN", "/v1/trackings/TOKEN"] {
            assert_eq!(get(&address, &wrong.replace("TOKEN", TOKEN)).0, 404, "{wrong}");
        }
        let metrics = get(&address, "/metrics").1;
        assert_eq!(metrics.contains("route=\"/t/{token}\""), pages == "true", "{metrics}");
        assert!(!metrics.contains(TOKEN));
        // A server writes the lines of its requests before it ends.
        server.stop();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains("/v1/trackings/…"), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}
