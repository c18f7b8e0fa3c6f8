//! One-ofs and enums in a form that client generators support.
//!
//! - Each variant of a one-of is a schema of its own, named after the one-of and the variant, and the one-of has a discriminator.
//! - One-ofs and enums that only responses use are open, because a newer server may add to them. The last variant of an open
//!   one-of matches values that the other variants do not. An open enum is the enum or any other text.

use std::mem;

use serde_json::{Map, Value, json};

use super::shapes::Reach;

/// Text before the name of a schema in a reference.
pub(super) const SCHEMAS: &str = "#/components/schemas/";

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

/// Makes a named schema of each variant of every tagged one-of.
pub(super) fn name_variants(document: &mut Value) {
    merge_events(document);
    let Reach { in_requests, .. } = Reach::of(document);
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    let mut named = Map::new();
    for (name, schema) in schemas.iter_mut() {
        name_variants_of(name, schema, !in_requests.contains(name), &mut named);
    }
    for (name, variant) in named {
        let replaced = schemas.insert(name, variant);
        debug_assert!(replaced.is_none(), "a variant must not have the name of another schema: {replaced:?}");
    }
}

fn name_variants_of(name: &str, schema: &mut Value, is_open: bool, named: &mut Map<String, Value>) {
    let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    let Some(tag) = tag_of(variants) else { return };
    let mut mapping = Map::new();
    for variant in variants.iter_mut() {
        let value = variant["properties"][&tag]["enum"][0].as_str().unwrap_or_default().to_owned();
        variant["properties"][&tag] = json!({"type": "string", "const": value});
        let variant_name = format!("{name}{}", pascal_case(&value));
        mapping.insert(value, json!(format!("{SCHEMAS}{variant_name}")));
        let reference = reference(&variant_name);
        named.insert(variant_name, mem::replace(variant, reference));
    }
    if is_open {
        let known: Vec<&String> = mapping.keys().collect();
        let other = json!({
            "type": "object",
            "description": "A variant that a newer version of Dabba adds.",
            "properties": {&tag: {"type": "string", "not": {"enum": known}}},
            "required": [tag],
        });
        let other_name = format!("{name}Other");
        variants.push(reference(&other_name));
        named.insert(other_name, other);
    }
    schema["discriminator"] = json!({"propertyName": tag, "mapping": mapping});
}

/// Returns the name of the member whose value identifies the variant.
fn tag_of(variants: &[Value]) -> Option<String> {
    let is_tag = |name: &str, variant: &Value| {
        variant["properties"][name]["enum"].as_array().is_some_and(|values| values.len() == 1)
    };
    let first = variants.first()?["properties"].as_object()?;
    let mut names = first.keys();
    names.find(|name| variants.iter().all(|variant| is_tag(name, variant))).cloned()
}

fn pascal_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// Merges a recorded event into one one-of. `utoipa` describes it as all of two parts: an event, which is a one-of, and the
/// members that every recorded event has. Code generators do not support that.
fn merge_events(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(recorded) = schemas.remove("RecordedEvent") else { return };
    let common = recorded["allOf"]
        .as_array()
        .and_then(|parts| parts.iter().find(|part| part["properties"].is_object()));
    debug_assert!(common.is_some(), "a recorded event has no members of its own");
    let (Some(common), Some(event)) = (common, schemas.get_mut("OrderEvent")) else { return };
    event["description"] = recorded["description"].clone();
    for variant in event["oneOf"].as_array_mut().into_iter().flatten() {
        for (name, member) in common["properties"].as_object().into_iter().flatten() {
            variant["properties"][name] = member.clone();
        }
        if let (Some(required), Some(added)) =
            (variant["required"].as_array_mut(), common["required"].as_array())
        {
            required.extend(added.iter().cloned());
        }
    }
    replace_references(document, &format!("{SCHEMAS}RecordedEvent"), &format!("{SCHEMAS}OrderEvent"));
}

pub(super) fn replace_references(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "$ref" && text == from => to.clone_into(text),
                    _ => replace_references(member, from, to),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace_references(value, from, to)),
        _ => {}
    }
}

/// Opens the enums in the schemas that only responses use.
pub(super) fn open_enums(document: &mut Value) {
    let Reach { in_responses, in_requests } = Reach::of(document);
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    let is_enum = |schema: &Value| schema["enum"].is_array();
    let enums: Vec<String> = schemas
        .iter()
        .filter(|(_, schema)| is_enum(schema))
        .map(|(name, _)| format!("{SCHEMAS}{name}"))
        .collect();
    for (name, schema) in schemas.iter_mut() {
        if in_responses.contains(name) && !in_requests.contains(name) {
            open_enums_within(schema, &enums);
        }
    }
}

fn open_enums_within(schema: &mut Value, enums: &[String]) {
    let is_enum = |value: &Value| {
        value.get("$ref").and_then(Value::as_str).is_some_and(|name| enums.iter().any(|other| other == name))
    };
    match schema {
        value if is_enum(value) => {
            let mut closed = value.take();
            let description = closed.as_object_mut().and_then(|closed| closed.remove("description"));
            *value = json!({"anyOf": [closed, {"type": "string"}]});
            if let Some(description) = description {
                value["description"] = description;
            }
        }
        Value::Object(members) => {
            // The mapping of a discriminator contains names, not schemas.
            let schemas = members.iter_mut().filter(|(name, _)| *name != "discriminator");
            schemas.for_each(|(_, member)| open_enums_within(member, enums));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| open_enums_within(value, enums)),
        _ => {}
    }
}
