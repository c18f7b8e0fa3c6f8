//! JSON Schema and `AsyncAPI`: the committed files are current, and every event is valid.

use std::{collections::BTreeSet, sync::LazyLock};

use dabba_outbound::public::{
    Audience, PublicEvent, TYPES, asyncapi, events, public_event, public_event_with_order, schema,
};
use dabba_store::FeedEvent;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    assert_current,
    lives::{examples, random, scripted},
};

/// The schema in which no object may have a member that it does not describe, and no enum another value.
static CLOSED: LazyLock<Value> = LazyLock::new(|| {
    let mut closed = schema();
    for (name, definition) in closed["$defs"].as_object_mut().unwrap() {
        if name != "Envelope" {
            close(definition);
        }
    }
    closed
});

/// Forbids members that an object does not describe, and values that an enum does not name. The published schema allows
/// both, so that it can be extended.
fn close(schema: &mut Value) {
    if let Some(known) = schema.pointer("/anyOf/0/enum").cloned() {
        schema["anyOf"] = json!([{ "enum": known }]);
        return;
    }
    if schema.get("allOf").is_some() {
        schema["unevaluatedProperties"] = json!(false);
        close(&mut schema["properties"]["data"]);
        return;
    }
    let Some(properties) = schema.get_mut("properties") else { return };
    properties.as_object_mut().unwrap().values_mut().for_each(close);
    schema["additionalProperties"] = json!(false);
}

/// Returns a validator of a definition, such as `CustomerEvent`.
fn validator(definition: &str) -> Validator {
    let mut document = CLOSED.clone();
    let root = document.as_object_mut().unwrap();
    root.remove("anyOf");
    root.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    jsonschema::options().should_validate_formats(true).build(&document).unwrap()
}

/// Returns the name of the definition of all events of an audience.
fn definition_of(audience: Audience) -> String {
    let name = audience.as_str();
    format!("{}{}Event", name[..1].to_uppercase(), &name[1..])
}

/// Validators of all events of each audience.
static VALIDATORS: LazyLock<Vec<(Audience, Validator)>> = LazyLock::new(|| {
    Audience::ALL.iter().map(|audience| (*audience, validator(&definition_of(*audience)))).collect()
});

fn json_of(event: &PublicEvent) -> Value {
    serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap()
}

/// Fails if an event is invalid in its form for any audience.
pub(crate) fn assert_valid(event: &FeedEvent) {
    for (audience, validator) in VALIDATORS.iter() {
        let value = json_of(&public_event(event, *audience));
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{audience:?} {errors:#?}\n{value:#}");
    }
}

/// Proves that the committed schema is current and is itself a valid schema.
#[test]
fn the_schema_is_current() {
    let text = format!("{:#}\n", schema());
    assert_current("events.schema.json", &text);
    assert!(jsonschema::meta::is_valid(&schema()));
    assert_eq!(schema()["x-stability"], "unstable");
}

/// Proves that the committed description of the streams is current, and that its messages are the definitions of the schema.
#[test]
fn the_description_of_the_streams_is_current() {
    let description = asyncapi();
    assert_current("asyncapi.json", &format!("{description:#}\n"));
    let schema = schema();
    let messages = description["components"]["messages"].as_object().unwrap();
    let mut referred = BTreeSet::new();
    for (name, message) in messages {
        let Some(reference) = message["payload"]["$ref"].as_str() else { continue };
        let pointer = reference.strip_prefix("./events.schema.json#").unwrap();
        assert!(schema.pointer(pointer).is_some(), "{name}: {reference}");
        referred.insert(reference.to_owned());
    }
    // Each event, and the event without its content, for each audience.
    assert_eq!(referred.len(), (TYPES.len() + 1) * Audience::ALL.len());
    for channel in ["feed", "order"] {
        for (name, reference) in description["channels"][channel]["messages"].as_object().unwrap() {
            assert_eq!(reference["$ref"], format!("#/components/messages/{name}"));
            assert!(messages.contains_key(name), "{name}");
        }
    }
}

/// Proves that the published schema allows a value that a later version may add to an enum, and that the tests of this
/// module do not.
#[test]
fn enums_are_open() {
    let mut value = json_of(&public_event(&examples()["placed"], Audience::Operations));
    value["data"]["actor"]["role"] = json!("a_role_of_a_later_version");
    assert!(jsonschema::is_valid(&schema(), &value), "{value:#}");
    assert!(!validator("OperationsEvent").is_valid(&value));
}

/// Proves that the list of descriptions has exactly the events that this version of Dabba knows, each once.
#[test]
fn every_event_is_described_once() {
    let described: Vec<&str> = events().iter().map(|event| event.name).collect();
    assert_eq!(described.len(), TYPES.len());
    assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), TYPES.iter().copied().collect());
}

/// Proves that the table states a reason for exactly the members that it hides from an audience, and that operations sees
/// everything.
#[test]
fn every_hidden_member_has_a_reason() {
    use dabba_outbound::public::{Member, Shape};
    fn check(members: &[Member]) {
        for member in members {
            assert_eq!(member.reason.is_empty(), member.audiences == Audience::ALL, "{}", member.name);
            assert!(member.audiences.contains(&Audience::Operations), "{}", member.name);
            let shape = match &member.shape {
                Shape::List(item) => item,
                other => other,
            };
            if let Shape::Object(object) = shape {
                check(&object.members);
            }
        }
    }
    for event in events() {
        check(&event.members);
    }
}

/// Proves that one definition per event and audience exists, which no other definition overwrites.
#[test]
fn every_event_has_a_definition_for_each_audience() {
    let schema = schema();
    for audience in Audience::ALL {
        let mapping =
            schema["$defs"][definition_of(audience)]["discriminator"]["mapping"].as_object().unwrap();
        assert_eq!(mapping.len(), TYPES.len());
        for (event_type, reference) in mapping {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            let definition = schema.pointer(pointer).unwrap();
            assert_eq!(definition["properties"]["type"]["const"], **event_type);
            assert!(definition["properties"]["data"]["properties"]["order_id"].is_object());
        }
    }
}

/// Proves that the scripted lives contain every type of event, and that each is valid for each audience.
#[test]
fn every_example_is_valid() {
    assert_eq!(examples().keys().copied().collect::<BTreeSet<_>>(), TYPES.iter().copied().collect());
    scripted().iter().for_each(assert_valid);
}

/// Proves that validation finds a member that is not meant for an audience: an event in its form for operations is invalid for
/// the others.
#[test]
fn a_member_for_others_is_invalid() {
    let placed = &examples()["placed"];
    let value = json_of(&public_event(placed, Audience::Operations));
    for (audience, validator) in VALIDATORS.iter() {
        assert_eq!(validator.is_valid(&value), *audience == Audience::Operations, "{audience:?}");
    }
}

/// Proves that an event may contain the whole order for the audiences of webhook endpoints, and for no other audience,
/// even by mistake.
#[test]
fn only_owners_of_endpoints_see_the_whole_order() {
    let placed = &examples()["placed"];
    for (audience, validator) in VALIDATORS.iter() {
        let order = serde_json::value::to_raw_value(&json!({"id": placed.order_id})).unwrap();
        let value = json_of(&public_event_with_order(placed, *audience, order));
        assert!(validator.is_valid(&value), "{audience:?} {value:#}");
        let is_owner = matches!(audience, Audience::Restaurant | Audience::Operations);
        assert_eq!(value["data"]["order"]["id"] == placed.order_id.to_string(), is_owner, "{audience:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Proves that every event of a random life is valid for each audience.
    #[test]
    fn every_event_of_a_random_life_is_valid(seed: u64) {
        random(seed).events.iter().for_each(assert_valid);
    }
}
