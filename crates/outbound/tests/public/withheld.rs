//! Events whose content is not published, and stored members that nobody has assigned to an audience.

use dabba_outbound::public::{Audience, public_event};
use dabba_store::FeedEvent;
use serde_json::{Map, Value, json};

use crate::{
    contract::assert_valid,
    lives::{examples, scripted},
};

fn data_of(event: &FeedEvent, audience: Audience) -> Value {
    serde_json::from_str(public_event(event, audience).data.get()).unwrap()
}

fn common(event: &FeedEvent, actor: Option<Value>) -> Value {
    let mut data = json!({
        "order_id": event.order_id, "restaurant_id": event.restaurant_id, "version": event.version, "incomplete": true,
    });
    if let Some(actor) = actor {
        data["actor"] = actor;
    }
    data
}

/// Proves that an event of a type that only a newer version knows has its name and the common members, for every audience.
#[test]
fn an_unknown_event_has_only_the_common_members() {
    let data = Some(r#"{"secret":"unknown content"}"#.into());
    let event =
        FeedEvent { name: "held_back".into(), data, is_newer: true, ..examples()["accepted"].clone() };
    assert_valid(&event);
    for audience in Audience::ALL {
        let public = public_event(&event, audience);
        assert_eq!(public.r#type, "app.dabba.order.held_back.v1");
        let data = data_of(&event, audience);
        let actor = data["actor"].clone();
        assert_eq!(actor["role"], "restaurant");
        assert_eq!(actor.get("account_id").is_some(), audience == Audience::Operations);
        assert_eq!(data, common(&event, Some(actor)));
    }
}

/// Proves that damage never fails and never publishes content: neither damaged content, nor a damaged actor, nor text that is
/// not JSON, nor known content of a newer version in another form.
#[test]
fn a_damaged_event_has_only_the_common_members() {
    for (data, is_newer) in [
        (None, false),
        (Some("{"), false),
        (Some(r#"{"ready_by":"marker"}"#), false),
        (Some(r#"{"ready_by":"marker"}"#), true),
        (Some("null"), false),
        (Some("[\"marker\"]"), true),
    ] {
        let event = FeedEvent { data: data.map(Into::into), is_newer, ..examples()["accepted"].clone() };
        assert_valid(&event);
        for audience in Audience::ALL {
            let found = data_of(&event, audience);
            assert_eq!(found, common(&event, Some(found["actor"].clone())), "{data:?}");
        }
    }
    for actor in ["{", "null", r#"{"role":"marker"}"#, r#"{"role":"customer","account_id":"marker"}"#] {
        let event = FeedEvent { actor: actor.into(), ..examples()["accepted"].clone() };
        assert_valid(&event);
        for audience in Audience::ALL {
            assert_eq!(data_of(&event, audience), common(&event, None), "{actor}");
        }
    }
}

/// Adds a member to every object of a value.
fn extend(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(extend);
            members.insert("zz_new".to_owned(), json!("zz-marker"));
        }
        Value::Array(items) => items.iter_mut().for_each(extend),
        _ => {}
    }
}

/// Proves that a new member of a stored event reaches no audience until someone adds it to the table: at every place of every
/// event.
#[test]
fn a_new_member_of_a_stored_event_is_not_public() {
    for event in scripted() {
        let mut data: Value = event
            .data
            .as_deref()
            .map_or(Value::Object(Map::new()), |data| serde_json::from_str(data).unwrap());
        extend(&mut data);
        let mut actor: Value = serde_json::from_str(&event.actor).unwrap();
        extend(&mut actor);
        for is_newer in [false, true] {
            let data = event.data.as_ref().map(|_| data.to_string().into());
            let event = FeedEvent { data, actor: actor.to_string().into(), is_newer, ..event.clone() };
            assert_valid(&event);
            for audience in Audience::ALL {
                let text = serde_json::to_string(&public_event(&event, audience)).unwrap();
                assert!(!text.contains("zz"), "{audience:?} {text}");
            }
        }
    }
}

/// Proves that a new member at the top of the content is only dropped: the rest of the event is published.
#[test]
fn the_rest_of_an_extended_event_is_public() {
    let event = examples()["accepted"].clone();
    let mut data: Value = serde_json::from_str(event.data.as_deref().unwrap()).unwrap();
    extend(&mut data);
    let extended = FeedEvent { data: Some(data.to_string().into()), ..event.clone() };
    for audience in Audience::ALL {
        assert_eq!(data_of(&extended, audience), data_of(&event, audience));
    }
}
