//! The limits in the API's description.

use serde_json::{Value, json};

use crate::problem::Code;

/// Adds the refusal for too many requests, and the headers that report limits, to each operation that has a budget: those that
/// write as an account, and quotes.
pub(crate) fn describe(document: &mut Value) {
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
    let code = Code::TooManyRequests;
    let refusal = responses.entry("429").or_insert_with(|| {
        json!({
            "description": format!("`{}`: {}.", code.as_str(), code.title()),
            "headers": {"Retry-After": {
                "description": "Seconds after which to try again.", "schema": {"type": "integer"},
            }},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        })
    });
    describe_headers(refusal);
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
        describe_headers(response);
    }
}

fn describe_headers(response: &mut Value) {
    response["headers"]["RateLimit"] = json!({
        "description": "What is left of each limit, and the seconds until it is whole again; absent without limits.",
        "schema": {"type": "string"},
        "example": "\"writes\";r=119;t=1, \"body-bytes\";r=1048000;t=1",
    });
    response["headers"]["RateLimit-Policy"] = json!({
        "description": "The limits and the seconds for which they hold; absent without limits.",
        "schema": {"type": "string"},
        "example": "\"writes\";q=120;w=60, \"body-bytes\";q=1048576;w=60;qu=\"content-bytes\"",
    });
}
