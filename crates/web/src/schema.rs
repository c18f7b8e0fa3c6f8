//! Validates a JSON document against a face's published schemas, and words the message of every problem.
//!
//! Only bodies that cannot be read are validated, because validation is slower than reading. The checks use the published
//! schemas, so both always agree. The face checks texts with rules of their own, such as names.
//!
//! | module | what it does |
//! |---|---|
//! | `json` | checks whether a text is JSON, and keeps its values as they are written |
//! | `nulls` | removes members that are `null` and mean the same as omitted ones |

mod json;
mod nulls;

use std::fmt;

pub(crate) use dabba_domain::problem::cut;
pub use dabba_domain::quoted;
use dabba_domain::{
    Problems, Timestamp, entry_count, json_pointer::below, limits::MAX_TIME, one_of,
    problem::MAX_SHOWN_CHARACTERS, whole_number,
};
use serde_json::{Map, Value, value::RawValue};

use self::json::{Entries, Members, Node};
pub use self::json::{MAX_KEPT, NotJson, parse};

/// Checks a text by a rule that a schema cannot express. The arguments are the name of the nearest named schema, the member
/// of that schema (empty for the schema itself), and the text. Returns `None` for a text without a rule.
pub type TextCheck = fn(&str, &str, &str) -> Option<Result<(), String>>;

/// The published schemas of a face's bodies.
pub struct Schemas {
    /// The schemas by name.
    named: Map<String, Value>,
    check_text: TextCheck,
    /// Names of the schemas whose values no message shows.
    secrets: &'static [&'static str],
}

impl fmt::Debug for Schemas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schemas").field("named", &self.named.keys()).finish_non_exhaustive()
    }
}

impl Schemas {
    /// Returns the schemas of these names. References between them are `#/components/schemas/NAME`. `secrets` are the names
    /// of schemas whose values no message shows, in addition to texts with the format `password`.
    pub fn new(named: Map<String, Value>, check_text: TextCheck, secrets: &'static [&'static str]) -> Self {
        Self { named, check_text, secrets }
    }

    /// Returns the schema of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.named.get(name)
    }

    /// Returns the problems of a JSON text by the schema of this name.
    ///
    /// # Errors
    ///
    /// If the text is not JSON.
    pub fn problems_of(&self, name: &str, json: &str) -> Result<Problems, NotJson> {
        parse(json.as_bytes()).map(|document| self.problems_of_document(name, document))
    }

    /// Returns the problems of a document by the schema of this name.
    pub(crate) fn problems_of_document(&self, name: &str, document: &RawValue) -> Problems {
        let mut problems = Problems::new();
        if let Some(schema) = self.get(name) {
            self.check_at("", name, schema, document, &mut problems);
        }
        problems
    }

    /// Adds the problems of a value at a JSON Pointer by a schema that extends the schema of this name.
    pub fn check_at(
        &self,
        pointer: &str,
        name: &str,
        schema: &Value,
        value: &RawValue,
        problems: &mut Problems,
    ) {
        self.check(schema, value, Place { schema: name, member: "", pointer }, problems);
    }

    fn check(&self, schema: &Value, value: &RawValue, place: Place<'_>, problems: &mut Problems) {
        if let Some(name) = referenced(schema) {
            let place = Place { schema: name, member: "", ..place };
            if let Some(schema) = self.get(name) {
                self.check(schema, value, place, problems);
            }
        } else if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
            match schema.get("discriminator") {
                Some(discriminator) => self.check_variant(discriminator, value, place, problems),
                None => self.check_kinds(variants, value, place, problems),
            }
        } else {
            self.check_plain(schema, value, place, problems);
        }
    }

    /// Checks a value by the variant of its kind: without a discriminator, the variants of a one-of differ in kind.
    fn check_kinds(&self, variants: &[Value], value: &RawValue, place: Place<'_>, problems: &mut Problems) {
        match self.variant_of_kind(variants, value) {
            Some(schema) => self.check(schema, value, place, problems),
            None if is_null(value) && variants.iter().any(is_for_null) => {}
            None => {
                let kinds: Vec<_> = variants.iter().filter_map(|schema| self.kind_of(schema)).collect();
                let kinds = kinds.into_iter().map(kind_in_words).collect::<Vec<_>>().join(" or ");
                problems.add(place.pointer, format!("must be {kinds}, not {}", shown(value)));
            }
        }
    }

    /// Returns the variant of a one-of without a discriminator that describes values of this kind. The only variant that
    /// is not for `null` describes all other values.
    fn variant_of_kind<'a>(&self, variants: &'a [Value], value: &RawValue) -> Option<&'a Value> {
        let mut others = variants.iter().filter(|schema| !is_for_null(schema));
        match (others.next(), others.next()) {
            (Some(_), None) if is_null(value) && variants.iter().any(is_for_null) => None,
            (Some(only), None) => Some(only),
            _ => {
                let kind = match Node::of(value) {
                    Node::Text(_) => "string",
                    Node::Object(_) | Node::Oversized => "object",
                    Node::Array(_) => "array",
                    Node::Bool => "boolean",
                    Node::Number(_) => "number",
                    Node::Null => "null",
                };
                variants.iter().find(|schema| self.kind_of(schema) == Some(kind))
            }
        }
    }

    /// Returns the kind of the values that a schema describes. A one-of with a discriminator describes objects.
    fn kind_of<'a>(&'a self, schema: &'a Value) -> Option<&'a str> {
        let schema = referenced(schema).and_then(|name| self.get(name)).unwrap_or(schema);
        if schema.get("discriminator").is_some() {
            return Some("object");
        }
        schema["type"].as_str()
    }

    /// Checks a value by the variant that its discriminator names.
    fn check_variant(
        &self,
        discriminator: &Value,
        value: &RawValue,
        place: Place<'_>,
        problems: &mut Problems,
    ) {
        let Node::Object(members) = Node::of(value) else {
            return problems.add(place.pointer, format!("must be an object, not {}", shown(value)));
        };
        let tag = discriminator["propertyName"].as_str().unwrap_or_default();
        let pointer = below(place.pointer, tag);
        let Some(variants) = discriminator["mapping"].as_object() else { return };
        let names = || variants.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let Some(name) = members.values.get(tag) else {
            return problems.add(pointer, format!("is required; must be one of {}", names()));
        };
        match variant(discriminator, name) {
            Some(schema) => self.check(&schema, value, place, problems),
            None => problems.add(pointer, format!("must be one of {}, not {}", names(), shown(name))),
        }
    }

    fn check_plain(&self, schema: &Value, value: &RawValue, place: Place<'_>, problems: &mut Problems) {
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        if is_null(value) && kinds.contains(&"null") {
            return;
        }
        let kind = kinds.iter().find(|kind| **kind != "null").copied().unwrap_or_default();
        let checked = match (kind, Node::of(value)) {
            ("object", Node::Object(members)) => return self.check_object(schema, &members, place, problems),
            ("array", Node::Array(entries)) => return self.check_array(schema, &entries, place, problems),
            ("string", Node::Text(Some(text))) => self.check_text(schema, &text, place),
            ("string", Node::Text(None)) => {
                Err("must not contain half of a surrogate pair (one of \\ud800 to \\udfff alone)".to_owned())
            }
            ("boolean", Node::Bool) => Ok(()),
            ("integer" | "number", node) => check_number(schema, kind == "integer", &node, value),
            _ => Err(self.wrong_kind(schema, kind, value, place)),
        };
        if let Err(detail) = checked {
            problems.add(place.pointer, detail);
        }
    }

    fn wrong_kind(&self, schema: &Value, kind: &str, value: &RawValue, place: Place<'_>) -> String {
        let expected = kind_in_words(kind);
        let names = names_of(schema).map(|names| format!("one of {names}"));
        let expected = names.as_deref().unwrap_or(expected);
        let is_secret = schema["format"] == "password" || self.secrets.contains(&place.schema);
        let found = if is_secret { String::new() } else { format!(", not {}", shown(value)) };
        format!("must be {expected}{found}")
    }

    fn check_object(&self, schema: &Value, members: &Members<'_>, place: Place<'_>, problems: &mut Problems) {
        let Some(properties) = schema["properties"].as_object() else { return };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for name in required.iter().filter(|name| !members.values.contains_key(**name)) {
            problems.add(below(place.pointer, name), "is required");
        }
        for (name, value) in &members.values {
            if problems.is_cut() {
                return;
            }
            let known = properties.get(name);
            if known.is_none() && name.chars().nth(MAX_SHOWN_CHARACTERS).is_some() {
                let detail =
                    format!("has the unknown member {}; allowed are {}", quoted(name), writable(properties));
                problems.add(place.pointer, detail);
                continue;
            }
            let pointer = below(place.pointer, name);
            if members.repeated.contains(name) {
                problems.add(&pointer, "must be given once");
            }
            match known {
                None => problems.add(pointer, format!("is unknown; allowed are {}", writable(properties))),
                Some(schema)
                    if is_read_only(schema) || (is_null(value) && !required.contains(&name.as_str())) => {}
                Some(schema) => {
                    let place = Place { member: name, pointer: &pointer, ..place };
                    self.check(schema, value, place, problems);
                }
            }
        }
    }

    fn check_array(&self, schema: &Value, entries: &Entries<'_>, place: Place<'_>, problems: &mut Problems) {
        let count = u64::try_from(entries.count).unwrap_or(u64::MAX);
        let (min, max) = (schema["minItems"].as_u64().unwrap_or(0), schema["maxItems"].as_u64());
        if count < min || max.is_some_and(|max| count > max) {
            let detail = match max {
                Some(max) => entry_count(min, max, count),
                None => format!("must have at least {min} entries, not {count}"),
            };
            problems.add(place.pointer, detail);
        }
        for (index, value) in entries.values.iter().enumerate() {
            if problems.is_cut() {
                return;
            }
            let pointer = below(place.pointer, &index.to_string());
            self.check(&schema["items"], value, Place { pointer: &pointer, ..place }, problems);
        }
    }

    fn check_text(&self, schema: &Value, text: &str, place: Place<'_>) -> Result<(), String> {
        if let Some(names) = names_of(schema) {
            let is_known = schema["const"] == text
                || schema["enum"].as_array().is_some_and(|names| names.iter().any(|name| name == text));
            return if is_known { Ok(()) } else { Err(one_of(names, text)) };
        }
        if let Some(checked) = (self.check_text)(place.schema, place.member, text) {
            return checked;
        }
        if schema["format"] == "date-time" && text.parse::<Timestamp>().is_err() {
            return Err(format!(
                "must be a time in RFC 3339 until {MAX_TIME}, such as 2026-06-01T12:00:00Z, not {}",
                quoted(text)
            ));
        }
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
        if min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max) {
            let (min, max) = (min.unwrap_or_default(), max.unwrap_or(u64::MAX));
            return Err(format!("must have {min} to {max} characters, not {length}"));
        }
        Ok(())
    }
}

fn kind_in_words(kind: &str) -> &'static str {
    match kind {
        "object" => "an object",
        "array" => "an array",
        "boolean" => "true or false",
        _ => "a text",
    }
}

/// Returns the name of the schema that a schema references.
fn referenced(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// Place of a value in the document and in the schemas.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Name of the nearest named schema.
    schema: &'a str,
    /// Member of that schema; empty for the schema itself.
    member: &'a str,
    /// JSON Pointer of the value.
    pointer: &'a str,
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

fn is_for_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// Returns the schema of the variant that a discriminator's value names; `None` if the name is unknown.
fn variant(discriminator: &Value, name: &RawValue) -> Option<Value> {
    let Node::Text(Some(name)) = Node::of(name) else { return None };
    discriminator["mapping"].get(name).map(|reference| serde_json::json!({"$ref": reference}))
}

/// Returns the names of the members that a request may contain.
fn writable(properties: &Map<String, Value>) -> String {
    let properties = properties.iter().filter(|(_, schema)| !is_read_only(schema));
    properties.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn is_read_only(schema: &Value) -> bool {
    schema.get("readOnly").is_some()
}

/// Checks a number. Whole numbers are written in digits: `1.0` and `1e0` are refused, although they have the value of a whole
/// number. A test proves that each number of a request has a minimum and a maximum.
fn check_number(schema: &Value, is_whole: bool, node: &Node<'_>, value: &RawValue) -> Result<(), String> {
    let (min, max) = (&schema["minimum"], &schema["maximum"]);
    let except = schema["not"]["const"].as_f64();
    let text = if let Node::Number(text) = node { Some(*text) } else { None };
    let is_of_kind = |text: &str| !is_whole || is_in_digits(text);
    let number = text.filter(|text| is_of_kind(text)).and_then(|text| text.parse::<f64>().ok());
    let is_allowed = |number: f64| {
        number.is_finite()
            && min.as_f64().is_none_or(|min| min <= number)
            && max.as_f64().is_none_or(|max| number <= max)
            && except != Some(number)
    };
    if number.is_some_and(is_allowed) {
        return Ok(());
    }
    let expected = if is_whole { whole_number(min, max) } else { format!("a number from {min} to {max}") };
    let except = except.map(|number| format!(" other than {number}")).unwrap_or_default();
    let form = if text.is_some_and(|text| !is_of_kind(text)) { " in digits alone" } else { "" };
    Err(format!("must be {expected}{except}{form}, not {}", shown(value)))
}

/// Returns whether a number is written without fraction and exponent. `-0` is not accepted, because nobody writes it on purpose.
fn is_in_digits(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && number != "-0"
}

/// Returns the names that a schema allows, if the schema is an enum.
fn names_of(schema: &Value) -> Option<String> {
    if let Some(name) = schema.get("const").and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    let names: Vec<&str> = schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(names.join(", "))
}

/// Returns a value for a message: its kind, or the value if it is short.
fn shown(value: &RawValue) -> String {
    match Node::of(value) {
        Node::Object(_) => "an object".to_owned(),
        Node::Oversized => format!("an object of more than {MAX_KEPT} members"),
        Node::Array(_) => "an array".to_owned(),
        Node::Text(Some(text)) => quoted(&text),
        Node::Text(None) => "a text with half of a surrogate pair".to_owned(),
        Node::Null | Node::Bool | Node::Number(_) => cut(value.get()),
    }
}
