//! JSON Schema 2020-12 of the public events: one definition per event and audience.

use serde_json::{Map, Value, json};

use super::{
    Audience, CONTENT_TYPE, EventDescription, Member, ObjectShape, SPEC_VERSION, Shape,
    describe::{common_members, events, withheld_members},
    envelope::{TYPE_PREFIX, TYPE_SUFFIX},
    type_of,
};

/// Mark of the public events until their content is only extended.
pub(super) const STABILITY: &str = "unstable";

/// Returns the name of the definition of an event for an audience, such as `CustomerPlaced`.
pub(super) fn definition_name(audience: Audience, name: &str) -> String {
    camel(audience.as_str()) + &camel(name)
}

/// Returns a name in snake case in camel case, beginning with a capital letter.
fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

/// Returns the short name under which events of unknown content are described.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Returns the JSON Schema of the public events.
///
/// An event for an audience is valid against the definition `…Event` of the audience, such as `CustomerEvent`.
pub fn schema() -> Value {
    let mut definitions = Definitions(Map::new());
    definitions.0.insert("Envelope".to_owned(), envelope());
    for audience in Audience::ALL {
        definitions.add_audience(audience);
    }
    let any_of: Vec<Value> =
        Audience::ALL.iter().map(|audience| reference(&definition_name(*audience, "event"))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Dabba",
        "description": "Public events of orders, one definition per event and audience, such as CustomerPlaced. Each audience \
                        has a definition of all its events, such as CustomerEvent. Clients ignore members that they do not \
                        know. Later versions add types: skip an event of a type that CustomerEvent does not list, before you \
                        validate it. Enums are open, because later versions add values: treat an unknown value as a text.",
        "x-stability": STABILITY,
        "anyOf": any_of,
        "$defs": definitions.0,
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// Returns the schema of the members of the envelope that all events share.
fn envelope() -> Value {
    json!({
        "type": "object",
        "description": "A CloudEvent, version 1.0.",
        "properties": {
            "specversion": {"const": SPEC_VERSION, "description": "Version of CloudEvents."},
            "id": {
                "type": "string", "pattern": "^[0-9a-f-]{36}-[1-9][0-9]*$",
                "description": "Id of the event: the order's id, a hyphen, and the event's number.",
            },
            "source": {
                "type": "string", "pattern": "^/v1/orders/[0-9a-f-]{36}$",
                "description": "Path of the order in the API.",
            },
            "type": {"type": "string", "description": "Type of the event."},
            "subject": {"type": "string", "format": "uuid", "description": "Id of the restaurant."},
            "time": {"type": "string", "format": "date-time", "description": "Time of the event, in UTC."},
            "sequence": {
                "type": "string", "pattern": "^[0-9]{10}$",
                "description": "Number of the event in the order's history, from 1 without gaps, with leading zeros.",
            },
            "partitionkey": {"type": "string", "format": "uuid", "description": "Id of the order."},
            "datacontenttype": {"const": CONTENT_TYPE, "description": "Content type of data."},
            "data": {"type": "object", "description": "Content of the event for its audience."},
        },
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "sequence", "partitionkey", "datacontenttype",
            "data",
        ],
    })
}

/// Returns the schema of a value. An enum also allows other texts, because later versions add values.
fn open(schema: &Value) -> Value {
    let mut open = schema.clone();
    let members = open.as_object_mut();
    if let Some(known) = members.and_then(|members| members.remove("enum")) {
        open["anyOf"] = json!([{"enum": known}, {"type": "string"}]);
    }
    open
}

/// The definitions of the schema.
struct Definitions(Map<String, Value>);

impl Definitions {
    fn add_audience(&mut self, audience: Audience) {
        let mut any_of = Vec::new();
        let mut mapping = Map::new();
        for event in events() {
            let name = definition_name(audience, event.name);
            let schema = self.event(&event, audience);
            any_of.push(reference(&name));
            mapping.insert(type_of(event.name), json!(format!("#/$defs/{name}")));
            self.0.insert(name, schema);
        }
        let incomplete = definition_name(audience, INCOMPLETE);
        let schema = self.incomplete(audience);
        any_of.push(reference(&incomplete));
        self.0.insert(incomplete, schema);
        let event = json!({
            "description": format!("An event for the audience {}.", audience.as_str()),
            "anyOf": any_of,
            "discriminator": {"propertyName": "type", "mapping": mapping},
        });
        self.0.insert(definition_name(audience, "event"), event);
    }

    fn event(&mut self, event: &EventDescription, audience: Audience) -> Value {
        let EventDescription { name, happens, members } = event;
        let mut data = self.object(&[common_members(), members.clone()].concat(), audience);
        // An event whose content is withheld has another definition.
        data["properties"][INCOMPLETE] = json!(false);
        json!({
            "description": happens,
            "allOf": [reference("Envelope")],
            "properties": {"type": {"const": type_of(name)}, "data": data},
        })
    }

    fn incomplete(&mut self, audience: Audience) -> Value {
        let data = self.object(&withheld_members(), audience);
        let pattern = format!("^{}.+{}$", TYPE_PREFIX.replace('.', "\\."), TYPE_SUFFIX.replace('.', "\\."));
        json!({
            "description": "An event of any type whose content the server could not decode: a newer version of Dabba wrote \
                            it, or it is damaged.",
            "allOf": [reference("Envelope")],
            "properties": {"type": {"type": "string", "pattern": pattern}, "data": data},
        })
    }

    /// Returns the schema of an object with the members that the audience sees.
    fn object(&mut self, members: &[Member], audience: Audience) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for member in members.iter().filter(|member| member.is_visible_to(audience)) {
            let mut schema = self.shape(&member.shape, audience);
            schema["description"] = json!(member.description);
            properties.insert(member.name.to_owned(), schema);
            if member.is_required {
                required.push(member.name);
            }
        }
        json!({"type": "object", "properties": properties, "required": required})
    }

    /// Adds the definition of an object for an audience, and returns the reference to it.
    fn definition(&mut self, object: &ObjectShape, audience: Audience) -> Value {
        let name = camel(audience.as_str()) + object.name;
        let mut schema = self.object(&object.members, audience);
        schema["description"] = json!(object.description);
        self.0.insert(name.clone(), schema);
        reference(&name)
    }

    fn shape(&mut self, shape: &Shape, audience: Audience) -> Value {
        match shape {
            Shape::Value { name: None, schema } => open(schema),
            Shape::Value { name: Some(name), schema } => {
                self.0.entry(name.as_ref()).or_insert_with(|| open(schema));
                reference(name)
            }
            Shape::Object(object) => self.definition(object, audience),
            Shape::OneOf(objects) => {
                let objects = objects.iter().map(|(_, object)| self.definition(object, audience));
                json!({"anyOf": objects.collect::<Vec<_>>()})
            }
            Shape::List(item) => json!({"type": "array", "items": self.shape(item, audience)}),
        }
    }
}
