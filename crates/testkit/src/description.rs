//! Comparison of every response of the server under test with the `OpenAPI` description.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{Validator, paths::Location};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&dabba_api::openapi_json()).expect("the OpenAPI description should be JSON")
});

/// Validators by the JSON Pointers of their schemas.
static VALIDATORS: LazyLock<Mutex<HashMap<Location, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Headers that the description omits: HTTP's own headers, and the security headers that every response has.
const NOT_DESCRIBED: [&str; 15] = [
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "referrer-policy",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "x-frame-options",
];

/// Panics if the description contains the operation but not this response to it, headers included.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &Value) {
    let Some((template, operation)) = operation(method, path) else { return };
    let name = format!("{method} {template} {status}");
    let Some(response) = operation["responses"].get(status.to_string()) else {
        panic!("the OpenAPI description lacks {name}: {body:#}")
    };
    check_headers(&name, response, headers);
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(content) = response.get("content").and_then(Value::as_object) else {
        assert!(
            body.is_null(),
            "the OpenAPI description of {name} has no body, the response has one: {body:#}"
        );
        return;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some(media_type) = content.get(essence) else {
        panic!("the OpenAPI description of {name} lacks the media type {essence:?}")
    };
    if essence.ends_with("json") {
        let (method, status) = (method.as_str().to_lowercase(), status.to_string());
        let place = ["paths", template, &method, "responses", &status, "content", essence, "schema"];
        let place = place.into_iter().fold(Location::new(), |place, segment| place.join(segment));
        let errors = errors_at(&place, &media_type["schema"], body);
        assert!(
            errors.is_empty(),
            "the response {name} does not match its OpenAPI description: {errors:?} in {body:#}"
        );
    }
}

/// Panics if a header is not described, or if a required header is missing.
#[track_caller]
fn check_headers(name: &str, response: &Value, headers: &HeaderMap) {
    let described = response["headers"].as_object().into_iter().flatten();
    let described: Vec<(String, bool)> = described
        .map(|(header, description)| {
            let reference = description["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
            let resolved = reference.map_or(Some(description), |pointer| DESCRIPTION.pointer(pointer));
            (header.to_lowercase(), resolved.is_some_and(|header| header["required"] == true))
        })
        .collect();
    for (header, is_required) in &described {
        assert!(
            !is_required || headers.contains_key(header),
            "the response {name} lacks the required header {header}: {headers:?}"
        );
    }
    for header in headers.keys().map(HeaderName::as_str) {
        let is_known = NOT_DESCRIBED.contains(&header) || described.iter().any(|(known, _)| known == header);
        assert!(is_known, "the OpenAPI description of {name} lacks the header {header}: {headers:?}");
    }
}

/// Returns the errors of a value against a schema of the `OpenAPI` description.
pub fn errors_of(schema: &Value, value: &Value) -> Vec<String> {
    errors(&validator(schema), value)
}

fn errors_at(place: &Location, schema: &Value, value: &Value) -> Vec<String> {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = validators.get(place).map(Arc::clone);
    let known = known.unwrap_or_else(|| {
        let made = Arc::new(validator(schema));
        validators.insert(place.clone(), Arc::clone(&made));
        made
    });
    drop(validators);
    errors(&known, value)
}

fn errors(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn validator(schema: &Value) -> Validator {
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema],
        "components": DESCRIPTION["components"],
    });
    jsonschema::options()
        .should_validate_formats(true)
        .build(&document)
        .expect("a schema of the OpenAPI description should be a JSON Schema")
}

/// Returns the operation of a path. If several templates match, returns the one with the most fixed segments.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let method = method.as_str().to_lowercase();
    let templates = DESCRIPTION["paths"].as_object()?;
    let fitting =
        templates.iter().filter_map(|(template, item)| Some((template.as_str(), item.get(&method)?)));
    fitting
        .filter(|(template, _)| fits(template, path))
        .min_by_key(|(template, _)| template.matches('{').count())
}

fn fits(template: &str, path: &str) -> bool {
    let (templates, segments) = (template.split('/'), path.split('/'));
    templates.clone().count() == segments.clone().count()
        && templates.zip(segments).all(|(template, segment)| template.starts_with('{') || template == segment)
}
