//! A large menu and an order from it, as JSON.

use dabba_domain::{menu::MenuDocument, order::OrderRequest};
use serde_json::{Value, json};

use crate::common::menu;

/// Number of categories of the menu.
const CATEGORIES: usize = 10;
/// Number of items in each category.
const ITEMS: usize = 20;

/// Number of items of the menu.
pub(crate) const MENU_ITEMS: usize = CATEGORIES * ITEMS;

/// Returns a menu of items that all have options: copies of the tests' korma with different names.
pub(crate) fn menu_json() -> String {
    let korma = serde_json::to_value(menu().item("korma").unwrap()).unwrap();
    let item = |category: usize, place: usize| {
        let number = category * ITEMS + place;
        let mut item = korma.clone();
        item["id"] = json!(format!("dish-{number}"));
        item["name"] = json!(format!("Dish {number}"));
        item["description"] = json!("Slowly cooked, with what the market had this morning.");
        item["tags"] = json!(["vegetarian"]);
        item
    };
    let category = |category: usize| {
        let items: Vec<Value> = (0..ITEMS).map(|place| item(category, place)).collect();
        json!({"name": format!("Category {category}"), "items": items})
    };
    let categories: Vec<Value> = (0..CATEGORIES).map(category).collect();
    json!({"categories": categories}).to_string()
}

/// Returns the same menu, parsed.
pub(crate) fn menu_document() -> MenuDocument {
    serde_json::from_str(&menu_json()).unwrap()
}

/// Returns an order of three items with options, from the beginning, the middle and the end of the menu.
pub(crate) fn request_json() -> String {
    let line = |item: usize, quantity: u32, extras: &[&str]| {
        let mut options = vec![json!({"group": "protein", "option": "paneer"})];
        options.extend(extras.iter().map(|extra| json!({"group": "extras", "option": extra})));
        json!({"item": format!("dish-{item}"), "quantity": quantity, "options": options})
    };
    let lines =
        [line(0, 2, &["chilli", "nuts"]), line(MENU_ITEMS / 2, 1, &["cream"]), line(MENU_ITEMS - 1, 1, &[])];
    json!({
        "lines": lines,
        "fulfilment": {"type": "delivery", "address": {
            "line1": "12 Lantern Street", "line2": "Flat 3", "city": "London", "postal_code": "E2 0XX",
            "instructions": "The blue door; the bell is loud."}},
        "tip": 150,
        "payment_method": "cash",
        "contact": {"name": "Asha Rao", "phone": "+44 20 7946 0000"},
        "note": "No cutlery, please",
    })
    .to_string()
}

/// Returns the same order, parsed.
pub(crate) fn request() -> OrderRequest {
    serde_json::from_str(&request_json()).unwrap()
}
