//! Removal of optional members that are `null`.

use serde_json::{Map, Value, value::RawValue};

use super::{Entries, Node, Schemas, is_for_null, is_null, is_read_only, referenced, variant};

impl Schemas {
    /// Returns a valid document of the schema of this name, without the members that mean the same as omitted ones:
    /// members that only the server writes, and optional members that are `null`. If the schema describes a meaning of
    /// `null`, `null` stays.
    pub(crate) fn without_nulls(&self, name: &str, document: &RawValue) -> Value {
        self.get(name).map_or_else(|| whole(document), |schema| self.without_nulls_by(schema, document))
    }

    fn without_nulls_by(&self, schema: &Value, value: &RawValue) -> Value {
        if let Some(schema) = referenced(schema).and_then(|name| self.get(name)) {
            return self.without_nulls_by(schema, value);
        }
        if let Some(discriminator) = schema.get("discriminator") {
            let tag = discriminator["propertyName"].as_str().unwrap_or_default();
            let Node::Object(members) = Node::of(value) else { return whole(value) };
            let variant = members.values.get(tag).and_then(|name| variant(discriminator, name));
            return variant.map_or_else(|| whole(value), |schema| self.without_nulls_by(&schema, value));
        }
        let variants = schema.get("oneOf").and_then(Value::as_array);
        if let Some(schema) = variants.and_then(|variants| self.variant_of_kind(variants, value)) {
            return self.without_nulls_by(schema, value);
        }
        match (Node::of(value), schema.get("items"), schema.get("properties")) {
            (Node::Array(Entries { values, count }), Some(items), _) if values.len() == count => {
                values.into_iter().map(|value| self.without_nulls_by(items, value)).collect()
            }
            (Node::Object(members), _, Some(properties)) => {
                let required = |name: &str| {
                    schema["required"].as_array().is_some_and(|names| names.iter().any(|other| other == name))
                };
                let mut kept = Map::new();
                for (name, value) in members.values {
                    let Some(schema) = properties.get(&name) else {
                        kept.insert(name, whole(value));
                        continue;
                    };
                    let is_absent = is_null(value) && !required(&name) && !is_null_described(schema);
                    if !is_absent && !is_read_only(schema) {
                        kept.insert(name, self.without_nulls_by(schema, value));
                    }
                }
                Value::Object(kept)
            }
            _ => whole(value),
        }
    }
}

fn whole(value: &RawValue) -> Value {
    // Reading fails only for values that a schema refuses.
    serde_json::from_str(value.get()).unwrap_or_default()
}

/// Returns whether the schema of a member describes a meaning of `null` that differs from an omitted member.
fn is_null_described(schema: &Value) -> bool {
    let variants = schema.get("oneOf").and_then(Value::as_array);
    variants.into_iter().flatten().any(|schema| is_for_null(schema) && schema.get("description").is_some())
}
