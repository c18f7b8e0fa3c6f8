//! Paths of fields: of a JSON body, and of a schema of the API description.
//!
//! A path names members: `/lines/*/item`, with `*` for every entry of a list. If a member has several shapes, its path
//! contains the name of the shape, such as `/closure(rejected)/reason`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Returns the paths of all members of a body.
pub(super) fn of_body(body: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    collect("", body, &mut paths);
    paths
}

fn collect(prefix: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = match shape(members, name, member) {
                    Some(shape) => format!("{prefix}/{name}({shape})"),
                    None => format!("{prefix}/{name}"),
                };
                collect(&path, member, paths);
                paths.insert(path);
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                collect(&format!("{prefix}/*"), entry, paths);
            }
        }
        _ => {}
    }
}

/// Returns the name of the shape of a member that has several shapes.
fn shape<'a>(beside: &'a Map<String, Value>, name: &str, member: &'a Value) -> Option<&'a str> {
    let tag = match name {
        "actor" | "by" => member.get("role"),
        "availability" => member.get("status"),
        "closure" => member.get("how"),
        "data" => beside.get("type"),
        "fulfilment" | "reason" => member.get("type"),
        _ => None,
    };
    tag.and_then(Value::as_str)
}

/// Returns a path without the names of shapes, as [`of_schema`] returns it.
pub(super) fn without_shapes(path: &str) -> String {
    let mut is_shape = false;
    let keep = |character: &char| {
        is_shape = (is_shape || *character == '(') && *character != ')';
        !is_shape && *character != ')'
    };
    path.chars().filter(keep).collect()
}

/// Returns the paths of all members that a schema describes, without the names of shapes.
pub(super) fn of_schema(description: &Value, schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    describe("", description, schema, &mut paths);
    paths
}

fn describe(prefix: &str, description: &Value, schema: &Value, paths: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        describe(prefix, description, description.pointer(pointer).unwrap(), paths);
    }
    for combined in ["allOf", "anyOf", "oneOf"] {
        for part in schema[combined].as_array().into_iter().flatten() {
            describe(prefix, description, part, paths);
        }
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}/{name}");
        describe(&path, description, member, paths);
        paths.insert(path);
    }
    if let Some(entries) = schema.get("items") {
        describe(&format!("{prefix}/*"), description, entries, paths);
    }
}
