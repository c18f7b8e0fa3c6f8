//! Members that not every role sees: the table of `dabba_outbound::public` decides which members of orders and events are
//! required.
//!
//! A member that a reader of its object may lack is optional. Members of the table that a schema lacks are added, and
//! members that nobody sees are removed, so the description and the responses cannot differ.

use dabba_outbound::public::{
    Audience, Member, ObjectShape, PublicOrder, PublicRecordedEvent, Shape, events,
};
use serde_json::{Map, Value, json};

use super::unions::{SCHEMAS, reference, replace_references};

/// Schemas that requests, quotes and tracking links share with the bodies of orders: the schemas that use the copy, the name,
/// and the name of the copy.
const COPIES: [(&[&str], &str, &str); 5] = [
    (&["Order", "OrderDetails", "TrackedOrder"], "Fulfilment", "OrderFulfilment"),
    (&["PricedLine", "TrackedLine"], "OrderLineOption", "PricedLineOption"),
    (&["Quote"], "OrderLine", "PricedLine"),
    (&["OrderDetails"], "OrderLine", "PlacedLine"),
    (&["OrderDetails"], "OrderFee", "PlacedFee"),
];

/// Makes optional what some role does not see.
pub(super) fn apply(document: &mut Value) {
    separate(document);
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    object(schemas, "Order", &PublicOrder::object());
    let actor = PublicRecordedEvent::actor();
    variants(schemas, "Actor", |_| Some(actor.members.clone()));
    let events = events();
    let Some(mut event) = schemas.get("OrderEvent").cloned() else { return };
    for variant in event.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = variant["properties"]["type"]["enum"][0].as_str().unwrap_or_default();
        let Some(described) = events.iter().find(|event| event.name == name) else { continue };
        data(schemas, variant, &described.members);
    }
    schemas.insert("OrderEvent".to_owned(), event);
}

/// Gives the bodies of orders schemas of their own where requests or quotes use the same ones.
fn separate(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    for (_, name, copy) in COPIES {
        let schema = schemas.get(name).cloned();
        debug_assert!(schema.is_some(), "there is no schema {name}");
        schemas.insert(copy.to_owned(), schema.unwrap_or_default());
    }
    // Only the event `placed` and the receipt show the parts of a line. Those of an order's lines and fees are removed with
    // the members that nobody sees.
    if let Some(properties) = schemas["PricedLine"]["properties"].as_object_mut() {
        properties.remove("parts");
    }
    for (users, name, copy) in COPIES {
        for user in users {
            if let Some(user) = schemas.get_mut(*user) {
                replace_references(user, &format!("{SCHEMAS}{name}"), &format!("{SCHEMAS}{copy}"));
            }
        }
    }
}

/// Describes the content of a type of event. `data` is absent for a role that sees nothing of it.
fn data(schemas: &mut Map<String, Value>, variant: &mut Value, members: &[Member]) {
    if members.is_empty() {
        return;
    }
    let is_always_shown = Audience::ALL
        .iter()
        .all(|audience| members.iter().any(|it| it.is_required && it.is_visible_to(*audience)));
    if !is_always_shown && let Some(required) = variant.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "data");
    }
    let content = &mut variant["properties"]["data"];
    match content["$ref"].as_str().and_then(|name| name.strip_prefix(SCHEMAS)).map(str::to_owned) {
        Some(name) => named(schemas, &name, members),
        None => describe(schemas, content, members),
    }
}

/// Describes the members of an object.
fn object(schemas: &mut Map<String, Value>, name: &str, object: &ObjectShape) {
    named(schemas, name, &object.members);
}

fn named(schemas: &mut Map<String, Value>, name: &str, members: &[Member]) {
    let Some(mut schema) = schemas.get(name).cloned() else {
        debug_assert!(false, "there is no schema {name}");
        return;
    };
    describe(schemas, &mut schema, members);
    schemas.insert(name.to_owned(), schema);
}

/// Describes the members of each variant of a one-of by the value that tells the variants apart.
fn variants(schemas: &mut Map<String, Value>, name: &str, members: impl Fn(&str) -> Option<Vec<Member>>) {
    let Some(mut schema) = schemas.get(name).cloned() else { return };
    for variant in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let mut properties = variant["properties"].as_object().into_iter().flatten();
        let tag = properties.find_map(|(_, member)| member["enum"][0].as_str());
        let Some(members) = tag.and_then(&members) else { continue };
        // Not every variant has each member.
        let has = |member: &Member| variant["properties"].get(member.name).is_some();
        let present: Vec<Member> = members.into_iter().filter(has).collect();
        describe(schemas, variant, &present);
    }
    schemas.insert(name.to_owned(), schema);
}

/// Describes the members of an object by the table.
fn describe(schemas: &mut Map<String, Value>, schema: &mut Value, members: &[Member]) {
    if let Some(parts) = schema.get_mut("allOf").and_then(Value::as_array_mut) {
        // All members of all parts, in one object.
        let mut merged = json!({"type": "object", "properties": {}, "required": []});
        for part in parts.iter() {
            let named = part["$ref"].as_str().and_then(|name| schemas.get(name.strip_prefix(SCHEMAS)?));
            let part = named.unwrap_or(part);
            let properties = part["properties"].as_object().into_iter().flatten();
            for (name, member) in properties {
                merged["properties"][name] = member.clone();
            }
            let required = part["required"].as_array().into_iter().flatten().cloned();
            if let Some(all) = merged.get_mut("required").and_then(Value::as_array_mut) {
                all.extend(required);
            }
        }
        merged["description"] = schema["description"].clone();
        *schema = merged;
    }
    let readers: Vec<Audience> = Audience::ALL
        .into_iter()
        .filter(|audience| members.iter().any(|member| member.is_visible_to(*audience)))
        .collect();
    let is_known = |name: &str| members.iter().any(|member| member.name == name);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| is_known(name));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        let is_seen_by_all = |member: &Member| readers.iter().all(|reader| member.is_visible_to(*reader));
        required.retain(|name| {
            members.iter().any(|member| Some(member.name) == name.as_str() && is_seen_by_all(member))
        });
    }
    for member in members {
        if schema["properties"].get(member.name).is_none() {
            let mut added = match &member.shape {
                Shape::Value { name: Some(name), .. } => reference(name),
                Shape::Value { name: None, schema } => schema.clone(),
                Shape::Object(object) => reference(object.name),
                Shape::List(_) | Shape::OneOf(_) => json!({}),
            };
            added["description"] = json!(member.description);
            schema["properties"][member.name] = added;
        }
        inner(schemas, &schema["properties"][member.name], &member.shape);
    }
}

/// Describes the schema to which a member refers.
fn inner(schemas: &mut Map<String, Value>, schema: &Value, shape: &Shape) {
    match shape {
        Shape::Value { .. } => {}
        Shape::List(item) => inner(schemas, &schema["items"], item),
        Shape::Object(_) | Shape::OneOf(_) => {
            // An optional member is a one-of with `null`.
            let referred = schema["oneOf"].as_array().into_iter().flatten().chain([schema]);
            let mut names = referred.filter_map(|schema| schema["$ref"].as_str()?.strip_prefix(SCHEMAS));
            let Some(name) = names.next().map(str::to_owned) else { return };
            let of_tag = |tag: &str| match shape {
                Shape::OneOf(objects) => {
                    let found = objects.iter().find(|(value, _)| *value == tag);
                    found.map(|(_, object)| object.members.clone())
                }
                Shape::Object(object) => Some(object.members.clone()),
                Shape::Value { .. } | Shape::List(_) => None,
            };
            if schemas.get(&name).is_some_and(|schema| schema["oneOf"].is_array()) {
                variants(schemas, &name, of_tag);
            } else if let Shape::Object(object) = shape {
                named(schemas, &name, &object.members);
            }
        }
    }
}
