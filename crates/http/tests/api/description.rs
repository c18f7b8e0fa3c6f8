//! The description of the API, which no store has a part in.

/// Proves that the description and its page are served, with nothing from elsewhere.
#[tokio::test]
async fn the_documentation_is_served() {
    let server = crate::start().await;
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
