//! Adds the rate limits to the API description.

use serde_json::{Value, json};

use crate::code;

/// Adds the response for too many requests to quotes, which have a budget, and to each operation with a caller: writes have a
/// budget, and searches for API keys that do not exist are limited for every operation.
pub(super) fn describe(document: &mut Value) {
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let has_caller = operation["security"].to_string().contains("\"bearer\"");
            if has_caller || path.ends_with("/quotes") {
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
