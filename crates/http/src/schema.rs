//! Compares a JSON document with a schema of the API's description, and words every problem.
//!
//! This is the slow path of reading a body: a body that can be read never comes here. So the description that is
//! published and the checks of the shape of a body are one thing. Texts that have rules of their own, such as names, are
//! checked by their types.

use dabba_domain::{
    Currency, ExternalId, Problems, Timestamp,
    restaurant::Zone,
    text::{ExternalCode, Name, Note, Phone, Slug},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::openapi::DESCRIPTION;

/// Number of characters of a wrong value that a message repeats.
const MAX_SHOWN_CHARACTERS: usize = 64;

/// Returns what is wrong with a document by the schema of this name.
pub fn problems_of(schema: &str, document: &Value) -> Problems {
    let mut problems = Problems::new();
    let place = Place { schema, member: "", pointer: "" };
    if let Some(schema) = component(schema) {
        check(schema, document, place, &mut problems);
    }
    problems
}

/// Returns what is wrong with the content of a file of restaurants: one object, or a list of them, each with the members of
/// the settings and the categories of the menu.
pub fn problems_of_restaurants(document: &Value) -> Problems {
    let mut problems = Problems::new();
    let (Some(mut schema), Some(menu)) = (component("SettingsDocument").cloned(), component("MenuDocument"))
    else {
        return problems;
    };
    schema["properties"]["categories"] = menu["properties"]["categories"].clone();
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("categories".into());
    }
    let mut check_one = |pointer: &str, restaurant: &Value| {
        let place = Place { schema: "SettingsDocument", member: "", pointer };
        check(&schema, restaurant, place, &mut problems);
    };
    match document {
        Value::Array(restaurants) => {
            let restaurants = restaurants.iter().enumerate();
            restaurants.for_each(|(index, restaurant)| check_one(&format!("/{index}"), restaurant));
        }
        restaurant => check_one("", restaurant),
    }
    problems
}

/// Removes every member that is `null` and optional, which means the same as its absence, except where the schema gives
/// `null` a meaning of its own. Returns whether there was one.
pub(crate) fn remove_nulls(schema: &str, document: &mut Value) -> bool {
    component(schema).is_some_and(|schema| remove_nulls_by(schema, document))
}

fn component(name: &str) -> Option<&'static Value> {
    DESCRIPTION["components"]["schemas"].get(name)
}

fn referenced(schema: &Value) -> Option<&'static str> {
    // Names in the description live as long as the program.
    let reference = schema.get("$ref")?.as_str()?;
    let schemas = DESCRIPTION["components"]["schemas"].as_object()?;
    schemas.get_key_value(reference.rsplit('/').next()?).map(|(name, _)| name.as_str())
}

/// Where in the document a value is, and where its rules are.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The nearest schema with a name.
    schema: &'a str,
    /// The member of that schema, or nothing for the schema itself.
    member: &'a str,
    /// The JSON Pointer of the value.
    pointer: &'a str,
}

fn check(schema: &Value, value: &Value, place: Place<'_>, problems: &mut Problems) {
    if let Some(name) = referenced(schema) {
        let place = Place { schema: name, member: "", ..place };
        if let Some(schema) = component(name) {
            check(schema, value, place, problems);
        }
    } else if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        match schema.get("discriminator") {
            Some(discriminator) => check_variant(discriminator, value, place, problems),
            // A schema or `null`.
            None if value.is_null() => {}
            None => variants
                .iter()
                .filter(|schema| !is_null(schema))
                .for_each(|schema| check(schema, value, place, problems)),
        }
    } else {
        check_plain(schema, value, place, problems);
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// Checks a value by the variant that its discriminator names.
fn check_variant(discriminator: &Value, value: &Value, place: Place<'_>, problems: &mut Problems) {
    let Some(members) = value.as_object() else {
        return problems.add(place.pointer, format!("must be an object, not {}", shown(value)));
    };
    let tag = discriminator["propertyName"].as_str().unwrap_or_default();
    let pointer = below(place.pointer, tag);
    let Some(variants) = discriminator["mapping"].as_object() else { return };
    let names = || variants.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match members.get(tag) {
        None => problems.add(pointer, format!("is required; must be one of {}", names())),
        Some(name) => match name.as_str().and_then(|name| variants.get(name)) {
            Some(reference) => check(&serde_json::json!({"$ref": reference}), value, place, problems),
            None => problems.add(pointer, format!("must be one of {}, not {}", names(), shown(name))),
        },
    }
}

fn check_plain(schema: &Value, value: &Value, place: Place<'_>, problems: &mut Problems) {
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    if value.is_null() && kinds.contains(&"null") {
        return;
    }
    let kind = kinds.iter().find(|kind| **kind != "null").copied().unwrap_or_default();
    match (kind, value) {
        ("object", Value::Object(members)) => check_object(schema, members, place, problems),
        ("array", Value::Array(values)) => check_array(schema, values, place, problems),
        ("string", Value::String(text)) => {
            if let Err(detail) = check_text(schema, text, place) {
                problems.add(place.pointer, detail);
            }
        }
        ("boolean", Value::Bool(_)) => {}
        ("integer" | "number", _) => {
            if let Err(detail) = check_number(schema, kind == "integer", value) {
                problems.add(place.pointer, detail);
            }
        }
        _ => {
            let wanted = match kind {
                "object" => "an object",
                "array" => "an array",
                "boolean" => "true or false",
                _ => "a text",
            };
            let names = names_of(schema).map(|names| format!("one of {names}"));
            let wanted = names.as_deref().unwrap_or(wanted);
            let is_secret = schema["format"] == "password" || place.schema == "PaymentToken";
            let found = if is_secret { String::new() } else { format!(", not {}", shown(value)) };
            problems.add(place.pointer, format!("must be {wanted}{found}"));
        }
    }
}

fn check_object(schema: &Value, members: &Map<String, Value>, place: Place<'_>, problems: &mut Problems) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in required.iter().filter(|name| !members.contains_key(**name)) {
        problems.add(below(place.pointer, name), "is required");
    }
    for (name, value) in members {
        if problems.is_cut() {
            return;
        }
        let pointer = below(place.pointer, name);
        match properties.get(name) {
            None => {
                let allowed: Vec<_> = properties
                    .iter()
                    .filter(|(_, schema)| !is_read_only(schema))
                    .map(|(name, _)| name.as_str())
                    .collect();
                problems.add(pointer, format!("is unknown; allowed are {}", allowed.join(", ")));
            }
            Some(schema)
                if is_read_only(schema) || (value.is_null() && !required.contains(&name.as_str())) => {}
            Some(schema) => {
                let place = Place { member: name, pointer: &pointer, ..place };
                check(schema, value, place, problems);
            }
        }
    }
}

fn is_read_only(schema: &Value) -> bool {
    schema.get("readOnly").is_some()
}

fn check_array(schema: &Value, values: &[Value], place: Place<'_>, problems: &mut Problems) {
    let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
    let (min, max) = (schema["minItems"].as_u64().unwrap_or(0), schema["maxItems"].as_u64());
    if count < min || max.is_some_and(|max| count > max) {
        let wanted = match max {
            Some(max) => format!("{min} to {max}"),
            None => format!("at least {min}"),
        };
        problems.add(place.pointer, format!("must have {wanted} entries, not {count}"));
    }
    for (index, value) in values.iter().enumerate() {
        if problems.is_cut() {
            return;
        }
        let pointer = below(place.pointer, &index.to_string());
        check(&schema["items"], value, Place { pointer: &pointer, ..place }, problems);
    }
}

fn check_number(schema: &Value, is_integer: bool, value: &Value) -> Result<(), String> {
    let (min, max) = (&schema["minimum"], &schema["maximum"]);
    let is_kind = if is_integer { value.is_i64() || value.is_u64() } else { value.is_number() };
    let number = value.as_f64().filter(|_| is_kind);
    let is_within = |number: f64| {
        min.as_f64().is_none_or(|min| min <= number) && max.as_f64().is_none_or(|max| number <= max)
    };
    if number.is_some_and(is_within) {
        return Ok(());
    }
    let kind = if is_integer { "an integer" } else { "a number" };
    let range = match (min, max) {
        (Value::Null, Value::Null) => String::new(),
        (min, Value::Null) => format!(" of at least {min}"),
        (Value::Null, max) => format!(" of at most {max}"),
        (min, max) => format!(" from {min} to {max}"),
    };
    Err(format!("must be {kind}{range}, not {}", shown(value)))
}

fn check_text(schema: &Value, text: &str, place: Place<'_>) -> Result<(), String> {
    if let Some(names) = names_of(schema) {
        let is_known = schema["const"] == text
            || schema["enum"].as_array().is_some_and(|names| names.iter().any(|name| name == text));
        return if is_known { Ok(()) } else { Err(format!("must be one of {names}, not {}", quoted(text))) };
    }
    if let Some(checked) = check_by_type(place, text) {
        return checked;
    }
    if schema["format"] == "date-time" && text.parse::<Timestamp>().is_err() {
        return Err(format!("must be a time of RFC 3339 such as 2026-06-01T12:00:00Z, not {}", quoted(text)));
    }
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    if min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max) {
        let (min, max) = (min.unwrap_or_default(), max.unwrap_or(u64::MAX));
        return Err(format!("must have {min} to {max} characters, not {length}"));
    }
    Ok(())
}

/// Checks a text by the type that reads it; `None` for a text without a type of its own.
fn check_by_type(place: Place<'_>, text: &str) -> Option<Result<(), String>> {
    let checked = match (place.schema, place.member) {
        ("Name", _) => Name::new(text).map(drop).map_err(|error| error.to_string()),
        ("Note", _) => Note::new(text).map(drop).map_err(|error| error.to_string()),
        ("ExternalCode", _) => ExternalCode::new(text).map(drop).map_err(|error| error.to_string()),
        ("Phone", _) => Phone::new(text).map(drop).map_err(|error| error.to_string()),
        ("Slug", _) => with_value(Slug::new(text), text),
        ("PaymentToken", _) => {
            dabba_domain::order::PaymentToken::new(text).map(drop).map_err(|error| error.to_string())
        }
        ("ClockTime", _) => read::<dabba_domain::restaurant::ClockTime>(text),
        ("Currency", _) => {
            let known = Currency::from_code(text).map(drop);
            known.ok_or_else(|| {
                format!("must be an upper-case currency code of ISO 4217, not {}", quoted(text))
            })
        }
        ("SettingsDocument", "external_id") => {
            ExternalId::new(text).map(drop).map_err(|error| error.to_string())
        }
        ("SettingsDocument", "time_zone") => {
            let known = Zone::from_name(text).map(drop);
            known.ok_or_else(|| {
                format!("must be the name of a time zone of the IANA database, not {}", quoted(text))
            })
        }
        ("SettingsDocument", "country") => {
            let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
            let text =
                || format!("must be two upper-case letters (ISO 3166-1 alpha-2), not {}", quoted(text));
            is_code.then_some(()).ok_or_else(text)
        }
        ("Registration", "email") => dabba_engine::check_email(text).map_err(|error| error.to_string()),
        // What kind of id it is makes no difference to its form.
        (schema, "") if schema.ends_with("Id") => {
            let id = text.parse::<dabba_domain::AccountId>().map(drop);
            id.map_err(|_| format!("must be a UUID of version 7, not {}", quoted(text)))
        }
        _ => return None,
    };
    Some(checked)
}

fn with_value<T, E: std::fmt::Display>(checked: Result<T, E>, text: &str) -> Result<(), String> {
    checked.map(drop).map_err(|error| format!("{error}, not {}", quoted(text)))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    with_value(serde_json::from_value::<T>(text.into()), text)
}

/// Returns the names that a schema allows, if it allows names only.
fn names_of(schema: &Value) -> Option<String> {
    if let Some(name) = schema.get("const").and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    let names: Vec<&str> = schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(names.join(", "))
}

/// Returns a value for a message: its kind, or its text where that is short.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => quoted(text),
        other => other.to_string().chars().take(MAX_SHOWN_CHARACTERS).collect(),
    }
}

/// Returns a text in quotes, cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MAX_SHOWN_CHARACTERS).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    format!("{:?}", shown + rest)
}

/// Returns the JSON Pointer of a member (RFC 6901).
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn remove_nulls_by(schema: &Value, value: &mut Value) -> bool {
    if let Some(schema) = referenced(schema).and_then(component) {
        return remove_nulls_by(schema, value);
    }
    if let Some(discriminator) = schema.get("discriminator") {
        let tag = discriminator["propertyName"].as_str().unwrap_or_default();
        let variant =
            value.get(tag).and_then(Value::as_str).and_then(|name| discriminator["mapping"].get(name));
        return variant.is_some_and(|variant| remove_nulls_by(&serde_json::json!({"$ref": variant}), value));
    }
    let variants = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let mut is_changed = false;
    for schema in variants.filter(|schema| !is_null(schema)) {
        is_changed |= remove_nulls_by(schema, value);
    }
    match value {
        Value::Array(values) => {
            for value in values {
                is_changed |= remove_nulls_by(&schema["items"], value);
            }
        }
        Value::Object(members) => {
            let required = schema["required"].as_array();
            let is_required =
                |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
            let count = members.len();
            // `null` for the terms of delivery means that there is no delivery.
            members.retain(|name, value| !value.is_null() || is_required(name) || name == "delivery");
            is_changed |= members.len() != count;
            for (name, value) in members {
                is_changed |=
                    schema["properties"].get(name).is_some_and(|schema| remove_nulls_by(schema, value));
            }
        }
        _ => {}
    }
    is_changed
}
