//! The description of the API, which no store has a part in.

use std::{collections::BTreeMap, path::Path};

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
        "docs/openapi.json is stale; regenerate it: cargo run -p dabba-cli -- openapi > docs/openapi.json"
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

/// Proves that no two types share the name of a schema: the description keeps one of them and describes the
/// other wrongly. The names are read from the sources, since the description no longer contains the lost one.
#[test]
fn every_schema_has_a_name_of_its_own() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for directory in ["../domain/src", "src"] {
        let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let source = std::fs::read_to_string(&path).unwrap();
                    for (schema, name) in schemas(&source) {
                        types.entry(schema).or_default().push(format!("{name} in {}", path.display()));
                    }
                }
            }
        }
    }
    assert!(types.contains_key("Order") && types.contains_key("RefundRequest"), "{types:?}");
    types.retain(|_, types| types.len() > 1);
    assert_eq!(types, BTreeMap::new());
}

/// The schemas that a source file derives, each with the name of its type.
fn schemas(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    for line in source.lines().map(str::trim) {
        let name = line.split_once("struct ").or_else(|| line.split_once("enum "));
        match name {
            Some((visibility, rest)) if visibility.is_empty() || visibility.starts_with("pub") => {
                let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
                let renamed = attributes.split_once("as = ").map(|(_, rest)| rest);
                let renamed = renamed.map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric()));
                if attributes.contains("ToSchema") {
                    found.push((renamed.map_or_else(|| name.clone(), Iterator::collect), name));
                }
                attributes.clear();
            }
            _ if line.is_empty() || line == "}" => attributes.clear(),
            _ if !line.starts_with("//") => attributes.push_str(line),
            _ => {}
        }
    }
    found
}

/// Proves that the page of problems has a section for each code, with the status and the title that the server answers with, and
/// none for a code that does not exist.
#[test]
fn the_page_of_problems_is_that_of_the_codes() {
    let page = include_str!("../../../../docs/problems.md");
    let sections = page.split("\n## `").skip(1).map(|section| {
        let (code, rest) = section.split_once("`\n\n").unwrap();
        let (line, rest) = rest.split_once("\n\n").unwrap();
        let (meaning, action) =
            rest.split_once("\n\n**The client:** ").unwrap_or_else(|| panic!("{code}: {rest}"));
        assert!(meaning.len() > 20 && action.trim().len() > 10, "{code}");
        (code, line)
    });
    let found: Vec<_> = sections.map(|(code, line)| (code.to_owned(), line.to_owned())).collect();
    let expected = dabba_http::Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), format!("{} · {}.", code.status().as_u16(), code.title())));
    let expected: Vec<_> = expected.collect();
    for section in &expected {
        assert!(found.contains(section), "docs/problems.md lacks this section: {section:?}");
    }
    assert_eq!(found, expected, "in the order of the codes, and no others");
}
