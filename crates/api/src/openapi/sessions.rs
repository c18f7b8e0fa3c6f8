//! Adds sessions to the API description: every operation that accepts a token accepts the cookie of a session, too.

use serde_json::{Value, json};

use crate::code;

/// Name of the security scheme.
pub(super) const SCHEME: &str = "session";

/// Adds the cookie to each operation that accepts a token, and the refusal of a request that another site may have caused to
/// each of these operations that needs the proof.
pub(super) fn describe(document: &mut Value) {
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(alternatives) = operation["security"].as_array_mut() else { continue };
            if !alternatives.iter().any(|scheme| scheme.get("bearer").is_some()) {
                continue;
            }
            alternatives.push(json!({SCHEME: []}));
            if method != "get" || path.ends_with("/stream") || path == "/v1/events" {
                describe_refusal(operation);
            }
        }
    }
}

fn describe_refusal(operation: &mut Value) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    let code = code::CROSS_SITE_REQUEST;
    let text = format!("`{}`: {}.", code.as_str(), code.title());
    let refusal = responses.entry("403").or_insert_with(|| {
        json!({"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}})
    });
    let text = match refusal["description"].as_str() {
        Some(others) => format!("{others} {text}"),
        None => text,
    };
    refusal["description"] = json!(text);
}
