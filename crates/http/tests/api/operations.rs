//! What those who run the server look at, and the description of the API.

use dabba_testkit::TestServer;

use crate::metric;

/// Proves that the server tells that it lives and can work.
#[tokio::test]
async fn the_server_tells_how_it_is() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/healthz", None).await.expect(200)["status"], "ok");
    assert_eq!(server.get("/readyz", None).await.expect(200)["status"], "ok");
}

/// Proves that a server whose store is closed says so, with a time to come back, and hides why.
#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let server = TestServer::start().await;
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

/// Proves that orders and requests are counted, by template and not by path.
#[tokio::test]
async fn orders_and_requests_are_counted() {
    let server = TestServer::start().await;
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
    assert_eq!(metric(&metrics, "dabba_http_requests_in_flight"), 1, "the one that asks");
    assert!(!metrics.text.contains(order["id"].as_str().unwrap()));
}

/// Proves that the description and its page are served, with nothing from elsewhere.
#[tokio::test]
async fn the_documentation_is_served() {
    let server = TestServer::start().await;
    let page = server.get("/docs/", None).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("https://") && !page.text.contains("src=\"//"), "{}", page.text);
    assert_eq!(server.get("/docs", None).await.status, 200, "redirected");
    let initializer = server.get("/docs/swagger-initializer.js", None).await;
    assert!(initializer.text.contains("/openapi.json"), "{}", initializer.text);
    let description = server.get("/openapi.json", None).await;
    assert_eq!(description.header("content-type"), "application/json");
    assert_eq!(description.text, dabba_http::openapi_json());
}

/// Proves that the committed description is that of this code.
#[test]
fn the_committed_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == dabba_http::openapi_json(),
        "docs/openapi.json is stale; make it anew with: cargo run -p dabba-cli -- openapi > docs/openapi.json"
    );
}

/// Proves that the description names every status with a type, and that problems are problems.
#[test]
fn the_description_is_complete() {
    let description: serde_json::Value = serde_json::from_str(&dabba_http::openapi_json()).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{name}");
            let secured = !operation["security"].as_array().unwrap().contains(&serde_json::json!({}));
            let responses = operation["responses"].as_object().unwrap();
            assert!(!secured || responses.contains_key("401"), "{name} needs a token");
            for (status, response) in responses {
                let refused = status.starts_with(['4', '5']);
                assert_eq!(
                    response.pointer("/content/application~1problem+json").is_some(),
                    refused,
                    "{name} {status}"
                );
            }
        }
    }
}
