//! Unavailable options: how a menu document states them, and which options of a cart they refuse.

use dabba_domain::{
    Timestamp,
    menu::{Availability, Menu, MenuDocument, UnavailableOption},
    pricing::Cart,
    text::Slug,
};
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn document(availability: &[Option<Value>]) -> MenuDocument {
    let options = availability.iter().enumerate().map(|(number, availability)| {
        let mut option =
            json!({"id": format!("dip-{number}"), "name": format!("Dip {number}"), "price_minor": 50});
        if let Some(availability) = availability {
            option["availability"] = availability.clone();
        }
        option
    });
    let options: Vec<Value> = options.collect();
    let group = json!({"id": "dips", "name": "Dips", "min": 0, "max": options.len(), "options": options});
    let item = json!({"id": "naan", "name": "Naan", "price_minor": 250, "option_groups": [group]});
    serde_json::from_value(json!({"categories": [{"name": "Breads", "items": [item]}]})).unwrap()
}

fn availability(menu: &Menu, option: &str) -> Availability {
    let group = menu.item("naan").and_then(|item| item.group("dips"));
    group.and_then(|group| group.option(option)).unwrap().availability
}

#[test]
fn an_option_keeps_its_availability_unless_a_document_states_another() {
    let until = json!({"status": "unavailable", "until": "2026-06-01T13:00:00Z"});
    let away = json!({"status": "unavailable"});
    let first = document(&[Some(until.clone()), Some(away), None]).validate().unwrap();
    let marked = Availability::Unavailable { until: Some(at("2026-06-01T13:00:00Z")) };
    let unavailable = Availability::Unavailable { until: None };
    let all = |menu: &Menu| ["dip-0", "dip-1", "dip-2"].map(|option| availability(menu, option));
    assert_eq!(all(&first), [marked, unavailable, Availability::Available]);
    let kept = document(&[None, None, None]).validate_against(&first).unwrap();
    assert_eq!(all(&kept), all(&first));
    assert!(kept.is_stored_as(&first));
    let stated = document(&[None, Some(json!({"status": "available"})), Some(until)]);
    let changed = stated.validate_against(&first).unwrap();
    assert_eq!(all(&changed), [marked, Availability::Available, marked]);
    assert!(!changed.is_stored_as(&first));
    let stored = serde_json::to_string(&changed).unwrap();
    let read: Menu = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, changed);
    assert_eq!(stored.matches("availability").count(), 2, "an available option states nothing: {stored}");
}

#[test]
fn each_unavailable_option_of_a_cart_is_named_once_until_its_mark_ends() {
    let until = at("2026-06-01T13:00:00Z");
    let marked = json!({"status": "unavailable", "until": until.to_string()});
    let menu = document(&[Some(marked), Some(json!({"status": "unavailable"})), None]).validate().unwrap();
    let line = |numbers: &[u8]| {
        let options =
            numbers.iter().map(|number| json!({"group": "dips", "option": format!("dip-{number}")}));
        json!({"item": "naan", "quantity": 1, "options": options.collect::<Vec<_>>()})
    };
    let unknown = json!({"item": "naan", "quantity": 1, "options": [{"group": "dips", "option": "tahini"}]});
    let lines = json!([line(&[2, 1]), line(&[0, 1]), unknown]);
    let cart: Cart = serde_json::from_value(json!({"lines": lines, "fulfilment": "collection"})).unwrap();
    let slug = |text: &str| Slug::new(text).unwrap();
    let unavailable = |option: &str, until| UnavailableOption {
        item: slug("naan"),
        group: slug("dips"),
        option: slug(option),
        until,
    };
    let before = at("2026-06-01T12:59:59Z");
    assert_eq!(
        menu.unavailable_options((&cart).into(), before),
        [unavailable("dip-1", None), unavailable("dip-0", Some(until))]
    );
    assert_eq!(menu.unavailable_options((&cart).into(), until), [unavailable("dip-1", None)]);
    assert_eq!([menu.ended_at(before), menu.ended_at(until)], [0, 1]);
}
