//! The headers of responses that follow from the status and the operation. They are added to every response in this one place,
//! so no response lacks one. The test servers compare the headers of every answer with the description.

use serde_json::{Map, Value, json};

/// Describes the headers of all responses.
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
            "description": "The request's id, by which the server's log names the request.",
            "required": true,
            "schema": {"type": "string"},
        },
        "Retry-After": {
            "description": "Seconds after which to try again.",
            "required": true,
            "schema": {"type": "integer", "minimum": 1},
        },
        "WWW-Authenticate": {
            "description": "How to authenticate: `Bearer`, with what is wrong with the token, if one was sent (RFC 6750).",
            "required": true,
            "schema": {"type": "string"},
            "example": "Bearer error=\"invalid_token\", error_description=\"the token has expired; get a new one with POST /v1/tokens\"",
        },
        "RateLimit": {
            "description": "What is left of each limit, and the seconds until it is whole again; absent without limits, for \
                            callers without one, and if the request was refused before it was counted.",
            "schema": {"type": "string"},
            "example": "\"writes\";r=119;t=1, \"body-bytes\";r=1048000;t=1",
        },
        "RateLimit-Policy": {
            "description": "The limits and the seconds for which they hold; absent as `RateLimit` is.",
            "schema": {"type": "string"},
            "example": "\"writes\";q=120;w=60, \"body-bytes\";q=1048576;w=60;qu=\"content-bytes\"",
        },
    })
}

fn describe_responses(responses: &mut Map<String, Value>) {
    // Where requests are limited, every response reports it.
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
        // The tag of what was not sent again (RFC 9110, section 15.4.5).
        if let ("304", Some(tag)) = (status.as_str(), &tag) {
            response["headers"]["ETag"] = tag.clone();
        }
    }
}
