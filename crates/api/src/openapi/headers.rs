//! Response headers that follow from the status and the operation. This module adds them to every response, so no response lacks
//! one. The test servers compare the headers of every response with the description.

use serde_json::{Map, Value, json};

/// Adds the headers to the description of all responses.
pub(super) fn describe(document: &mut Value) {
    document["components"]["headers"] = components();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        if let Some(responses) = operation["responses"].as_object_mut() {
            describe_responses(responses);
        }
    }
}

fn components() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's id, which the server's log shows.",
            "required": true,
            "schema": {"type": "string"},
        },
        "Retry-After": {
            "description": "Seconds to wait before a retry.",
            "required": true,
            "schema": {"type": "integer", "minimum": 1},
        },
        "WWW-Authenticate": {
            "description": "Authentication scheme: `Bearer`, with the error of the token if the request had one \
                            (RFC 6750).",
            "required": true,
            "schema": {"type": "string"},
            "example": "Bearer error=\"invalid_token\", error_description=\"the token has expired; get a new one with POST \
                        /v1/tokens\"",
        },
        "RateLimit": {
            "description": "Remaining quota of each limit, and the seconds until it is full again; absent without limits, for \
                            callers without a limit, and if the request was refused before it was counted.",
            "schema": {"type": "string"},
            "example": "\"writes\";r=119;t=1, \"body-bytes\";r=1048000;t=1",
        },
        "RateLimit-Policy": {
            "description": "Quota of each limit and its time window in seconds; absent if `RateLimit` is absent.",
            "schema": {"type": "string"},
            "example": "\"writes\";q=120;w=60, \"body-bytes\";q=1048576;w=60;qu=\"content-bytes\"",
        },
    })
}

fn describe_responses(responses: &mut Map<String, Value>) {
    // If an operation has a rate limit, all its responses report the limit.
    let is_limited = responses.contains_key("429");
    let tag = responses.get("200").and_then(|response| response.pointer("/headers/ETag")).cloned();
    for (status, response) in responses {
        let mut add = |name: &str| {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        };
        add("X-Request-Id");
        if is_limited {
            add("RateLimit");
            add("RateLimit-Policy");
        }
        match status.as_str() {
            "401" | "403" => add("WWW-Authenticate"),
            "429" | "503" => add("Retry-After"),
            _ => {}
        }
        // The entity tag of the version that a 304 response does not repeat (RFC 9110, section 15.4.5).
        if let ("304", Some(tag)) = (status.as_str(), &tag) {
            response["headers"]["ETag"] = tag.clone();
        }
    }
}
