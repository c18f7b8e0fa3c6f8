//! Corrections of what `utoipa` derives: closed variants, `null`, read-only members, and marks of the code.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Says of requests' tagged enums that their variants take no other members: they are read so, but
/// `utoipa` does not say it.
pub(super) fn close_variants(document: &mut Value) {
    for schema in ["Fulfilment", "Availability"] {
        let variants = document.pointer_mut(&format!("/components/schemas/{schema}/oneOf"));
        debug_assert!(variants.is_some(), "{schema} has no variants");
        for variant in variants.and_then(Value::as_array_mut).into_iter().flatten() {
            variant["additionalProperties"] = json!(false);
        }
    }
}

/// The members of a replacement that only the server writes, by the schemas of the request and of the response. The
/// server ignores whatever value a request gives them.
const READ_ONLY: [(&str, &str, &[&str]); 3] = [
    (
        "SettingsDocument",
        "Restaurant",
        &["id", "revision", "pause", "closed", "accepting", "opens_at", "created_at"],
    ),
    ("MenuDocument", "Menu", &["restaurant_id", "currency", "revision", "availability_revision"]),
    ("ItemDocument", "MenuItem", &["stock_limited"]),
];

/// Describes the read-only members of replacements. `utoipa` leaves them out, because serde never writes them.
pub(super) fn add_read_only_members(document: &mut Value) {
    for (request, response, names) in READ_ONLY {
        for name in names {
            let member =
                document.pointer(&format!("/components/schemas/{response}/properties/{name}")).cloned();
            let properties = document.pointer_mut(&format!("/components/schemas/{request}/properties"));
            debug_assert!(member.is_some() && properties.is_some(), "{response} has no {name}");
            if let (Some(mut member), Some(properties)) = (member, properties) {
                member["readOnly"] = json!(true);
                member["description"] =
                    json!("Written by the server. A request may repeat it; the value is ignored.");
                properties[*name] = member;
            }
        }
    }
}

/// Takes `null` out of every schema that a response consists of, where a member without a value is absent. `utoipa`
/// describes each `Option` as nullable.
pub(super) fn omit_null(document: &mut Value) {
    let answered = Reach::of(document).answered;
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if answered.contains(name) {
            omit_null_within(schema);
        }
    }
}

/// Allows `null` for every optional member of the schemas that only requests consist of: it means the same as the
/// member's absence.
pub(super) fn allow_null(document: &mut Value) {
    let Reach { answered, .. } = Reach::of(document);
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if answered.contains(name) {
            continue;
        }
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let members = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, member) in members.into_iter().flatten() {
            if !required.iter().any(|required| required == name) && member.get("readOnly").is_none() {
                allow_null_for(member);
            }
        }
    }
}

/// The optional members for which `null` means something else than the member's absence, and what.
const MEANINGS_OF_NULL: [(&str, &str, &str); 1] = [("SettingsDocument", "delivery", "No delivery.")];

/// Describes what `null` means where it does not mean the member's absence. Readers of requests go by that.
pub(super) fn describe_null(document: &mut Value) {
    for (schema, member, meaning) in MEANINGS_OF_NULL {
        let pointer = format!("/components/schemas/{schema}/properties/{member}/oneOf");
        let variants = document.pointer_mut(&pointer).and_then(Value::as_array_mut);
        let null =
            variants.and_then(|variants| variants.iter_mut().find(|variant| variant["type"] == "null"));
        debug_assert!(null.is_some(), "{schema} has no {member} that may be null");
        if let Some(null) = null {
            null["description"] = json!(meaning);
        }
    }
}

fn allow_null_for(member: &mut Value) {
    if member.get("$ref").is_some() {
        let mut other = member.take();
        let description = other.as_object_mut().and_then(|other| other.remove("description"));
        *member = json!({"oneOf": [other, {"type": "null"}]});
        if let Some(description) = description {
            member["description"] = description;
        }
    } else if let Some(kind) = member.get("type").and_then(Value::as_str) {
        member["type"] = json!([kind, "null"]);
    }
}

/// The names of the schemas that bodies consist of.
#[derive(Default)]
pub(super) struct Reach {
    /// Of responses.
    pub(super) answered: BTreeSet<String>,
    /// Of requests, parameters included.
    pub(super) requested: BTreeSet<String>,
}

impl Reach {
    pub(super) fn of(document: &Value) -> Self {
        let mut reach = Self::default();
        collect_references(document, false, &document["paths"], &["responses"], &mut reach.answered);
        collect_references(
            document,
            false,
            &document["paths"],
            &["requestBody", "parameters"],
            &mut reach.requested,
        );
        reach
    }
}

/// Collects the names of all schemas below these members of operations.
fn collect_references(
    document: &Value,
    is_within: bool,
    value: &Value,
    within: &[&str],
    names: &mut BTreeSet<String>,
) {
    let Value::Object(members) = value else {
        let values = value.as_array().into_iter().flatten();
        return values.for_each(|value| collect_references(document, is_within, value, within, names));
    };
    for (name, member) in members {
        let is_within = is_within || within.contains(&name.as_str());
        let reference = member.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
        match reference {
            Some(schema) if is_within && name == "$ref" => {
                if names.insert(schema.to_owned()) {
                    let schema = &document["components"]["schemas"][schema];
                    collect_references(document, true, schema, within, names);
                }
            }
            _ => collect_references(document, is_within, member, within, names),
        }
    }
}

fn omit_null_within(schema: &mut Value) {
    forbid_null(schema);
    match schema {
        Value::Object(members) => members.values_mut().for_each(omit_null_within),
        Value::Array(values) => values.iter_mut().for_each(omit_null_within),
        _ => {}
    }
}

/// Takes out what makes sense in the code only: the marks of links and `None` in descriptions, and
/// `null` as a value of parameters and bodies that can be left out.
pub(super) fn straighten(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace("`None`", "`null`");
            }
            let is_parameter = members.contains_key("in");
            for (name, member) in members.iter_mut() {
                if is_parameter && name == "schema" || name == "requestBody" {
                    forbid_null(member);
                }
                straighten(member);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(straighten),
        _ => {}
    }
}

/// Takes `null` out of a parameter's schema, or out of the schema of a request's body.
fn forbid_null(value: &mut Value) {
    let schema = match value.pointer_mut("/content/application~1json/schema") {
        Some(schema) => schema,
        None => value,
    };
    let null = json!({"type": "null"});
    let other =
        schema["oneOf"].as_array().and_then(|variants| variants.iter().find(|variant| **variant != null));
    let kind = schema["type"].as_array().and_then(|kinds| kinds.iter().find(|kind| **kind != "null"));
    let can_be_null = schema["oneOf"].as_array().is_some_and(|variants| variants.contains(&null));
    if let (Some(mut other), true) = (other.cloned(), can_be_null) {
        // What is said about the member stays with it.
        if let (Some(other), Some(description)) = (other.as_object_mut(), schema.get("description")) {
            other.insert("description".to_owned(), description.clone());
        }
        *schema = other;
    } else if let Some(kind) = kind.cloned() {
        schema["type"] = kind;
    }
}
