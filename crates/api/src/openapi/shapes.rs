//! Corrections of the schemas that `utoipa` derives: closed variants, `null`, read-only members, and artefacts of the
//! code.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Closes the variants of the requests' tagged enums: the server refuses other members, but `utoipa` does not describe
/// that.
pub(super) fn close_variants(document: &mut Value) {
    for schema in ["Fulfilment", "QuoteFulfilment", "ZoneArea", "Availability"] {
        let variants = document.pointer_mut(&format!("/components/schemas/{schema}/oneOf"));
        debug_assert!(variants.is_some(), "{schema} has no variants");
        for variant in variants.and_then(Value::as_array_mut).into_iter().flatten() {
            variant["additionalProperties"] = json!(false);
        }
    }
}

/// Members of a replacement that only the server writes, by the schema of the request and the schema of the response.
/// The server ignores their values in a request.
const READ_ONLY: [(&str, &str, &[&str]); 3] = [
    (
        "SettingsDocument",
        "Restaurant",
        &["id", "revision", "pause", "closed", "accepting", "opens_at", "created_at"],
    ),
    ("MenuDocument", "Menu", &["restaurant_id", "currency", "revision", "availability_revision"]),
    ("ItemDocument", "MenuItem", &["stock_limited"]),
];

/// Adds the read-only members to the schemas of replacements. `utoipa` omits them, because serde never writes them.
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
                    json!("Written by the server. A request may contain it; the server ignores the value.");
                properties[*name] = member;
            }
        }
    }
}

/// Removes `null` from every schema that responses use: responses omit members without a value. `utoipa` describes each
/// `Option` as nullable.
pub(super) fn omit_null(document: &mut Value) {
    let in_responses = Reach::of(document).in_responses;
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if in_responses.contains(name) {
            omit_null_within(schema);
        }
    }
}

/// Allows `null` for every optional member of the schemas that only requests use: `null` means the same as omitting the
/// member.
pub(super) fn allow_null(document: &mut Value) {
    let Reach { in_responses, .. } = Reach::of(document);
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if in_responses.contains(name) {
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

/// Optional members for which `null` differs from an omitted member, with the meaning of `null`.
const MEANINGS_OF_NULL: [(&str, &str, &str); 2] =
    [("SettingsDocument", "delivery", "No delivery."), ("WebhookEndpointPatch", "types", "All types.")];

/// Describes the meaning of `null` where it differs from an omitted member. The reader of requests depends on this
/// description.
pub(super) fn describe_null(document: &mut Value) {
    for (schema, member, meaning) in MEANINGS_OF_NULL {
        let pointer = format!("/components/schemas/{schema}/properties/{member}");
        let member_schema = document.pointer_mut(&pointer);
        let variants = member_schema.and_then(|member| {
            separate_null(member);
            member["oneOf"].as_array_mut()
        });
        let null =
            variants.and_then(|variants| variants.iter_mut().find(|variant| variant["type"] == "null"));
        debug_assert!(null.is_some(), "{schema} has no nullable member {member}");
        if let Some(null) = null {
            null["description"] = json!(meaning);
        }
    }
}

/// Makes a variant of its own of `null` among the types of a member.
fn separate_null(member: &mut Value) {
    let kinds = member["type"].as_array();
    let Some(kind) = kinds.and_then(|kinds| kinds.iter().find(|kind| **kind != "null")).cloned() else {
        return;
    };
    let mut other = member.take();
    let description = other.as_object_mut().and_then(|other| other.remove("description"));
    other["type"] = kind;
    *member = json!({"oneOf": [other, {"type": "null"}]});
    if let Some(description) = description {
        member["description"] = description;
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

/// Names of the schemas that bodies use.
#[derive(Default)]
pub(super) struct Reach {
    /// Schemas that responses use.
    pub(super) in_responses: BTreeSet<String>,
    /// Schemas that requests use, including parameters.
    pub(super) in_requests: BTreeSet<String>,
}

impl Reach {
    pub(super) fn of(document: &Value) -> Self {
        let mut reach = Self::default();
        collect_references(document, false, &document["paths"], &["responses"], &mut reach.in_responses);
        collect_references(
            document,
            false,
            &document["paths"],
            &["requestBody", "parameters"],
            &mut reach.in_requests,
        );
        reach
    }
}

/// Collects the names of all schemas that these members of operations use, directly or indirectly.
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

/// Removes artefacts of the code: the brackets of links and `None` in descriptions, and `null` as a value of optional
/// parameters and bodies.
pub(super) fn remove_code_artefacts(value: &mut Value) {
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
                remove_code_artefacts(member);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(remove_code_artefacts),
        _ => {}
    }
}

/// Removes `null` from a parameter's schema, or from the schema of a request's body.
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
        // The member's own description is kept.
        if let (Some(other), Some(description)) = (other.as_object_mut(), schema.get("description")) {
            other.insert("description".to_owned(), description.clone());
        }
        *schema = other;
    } else if let Some(kind) = kind.cloned() {
        schema["type"] = kind;
    }
}
