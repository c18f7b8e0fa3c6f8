//! Operations for the server's operators.

use std::collections::BTreeSet;

use dabba_testkit::{Exposition, MetricFamily, TestServer};
use reqwest::Method;

use crate::metric;

/// Proves that the server reports that it runs and can work.
#[tokio::test]
async fn the_server_reports_health_and_readiness() {
    let server = crate::start().await;
    assert_eq!(server.get("/healthz", None).await.expect(200)["status"], "ok");
    assert_eq!(server.get("/readyz", None).await.expect(200)["status"], "ok");
}

/// Proves that a server whose store is closed responds with 503 and `Retry-After`, without the cause.
#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let server = crate::start().await;
    assert!(server.engine().shut_down(std::time::Duration::from_secs(10)).await);
    let answer = server.get("/readyz", None).await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.problem(503, "unavailable");
    server.get("/healthz", None).await.expect(200);
    let placed = server
        .post(&server.orders_path(), Some(&server.customer), &TestServer::order())
        .key("1")
        .send()
        .await;
    placed.problem(503, "unavailable");
}

/// Proves that orders and requests are counted, by the template of the path.
#[tokio::test]
async fn orders_and_requests_are_counted() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    server.place("2", &TestServer::collection()).await;
    server
        .get(&format!("/v1/orders/{}", order["id"].as_str().unwrap()), Some(&server.customer))
        .await
        .expect(200);
    server.get("/nowhere", None).await.problem(404, "not_found");
    let metrics = server.get("/metrics", None).await;
    assert_eq!(metric(&metrics, "dabba_orders_total{status=\"confirmed\"}"), 2);
    let line = "method=\"POST\",route=\"/v1/restaurants/{restaurant_id}/orders\",status=\"201\"";
    assert_eq!(metric(&metrics, line), 2);
    assert_eq!(metric(&metrics, "method=\"GET\",route=\"/v1/orders/{order_id}\",status=\"200\""), 1);
    assert_eq!(metric(&metrics, "route=\"none\",status=\"404\""), 1);
    assert_eq!(
        metric(&metrics, "dabba_http_requests_in_flight"),
        1,
        "only the request for the measurements is in flight"
    );
    assert!(!metrics.text.contains(order["id"].as_str().unwrap()));
}

/// Returns the names, labels and values of all series.
fn series(families: &[MetricFamily]) -> BTreeSet<String> {
    let samples = families.iter().flat_map(|family| &family.samples);
    samples.map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
}

/// Proves that the measurements have the format that the client prefers, with that format's media type, are valid for a strict
/// parser of each format, and have the same series in both.
#[tokio::test]
async fn measurements_have_two_formats() {
    let server = crate::start().await;
    server.place("1", &TestServer::order()).await;
    let ask = async |accept: &str| {
        let answer = server.request(Method::GET, "/metrics").header("accept", accept).send().await;
        assert_eq!((answer.status, answer.header("vary")), (200, "accept"), "{accept}");
        answer
    };
    // The first request creates its own series, so that both formats contain them.
    ask("*/*").await;
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let open = ask(prometheus).await;
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open = Exposition::OpenMetrics.read(&open.text).unwrap();
    for accept in ["text/plain", "*/*", "text/html", "application/openmetrics-text;q=0.1,text/plain;q=0.2"] {
        let plain = ask(accept).await;
        assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        let plain = Exposition::Prometheus.read(&plain.text).unwrap();
        assert_eq!(series(&plain), series(&open));
    }
    let counter = open.iter().find(|family| family.name == "dabba_orders").unwrap();
    assert!(counter.samples.iter().all(|sample| sample.name == "dabba_orders_total"));
    assert!(!open.iter().any(|family| family.help.is_empty()), "each family must have a help text");
}
