//! Adds the rate limits to the API description.

use serde_json::{Value, json};

use crate::code;

/// Adds the response for too many requests to each operation that has a budget: authenticated writes, and quotes.
pub(super) fn describe(document: &mut Value) {
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let is_write = method != "get" && operation["security"].to_string().contains("\"bearer\"");
            if is_write || path.ends_with("/quotes") {
                describe_operation(operation);
            }
        }
    }
}

fn describe_operation(operation: &mut Value) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    let code = code::TOO_MANY_REQUESTS;
    responses.entry("429").or_insert_with(|| {
        json!({
            "description": format!("`{}`: {}.", code.as_str(), code.title()),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        })
    });
}
