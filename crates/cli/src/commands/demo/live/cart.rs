//! The lines that a customer chooses from a menu: available items, with options within the limits of their groups.

use dabba_engine::{Random, SeededRandom};
use serde_json::{Value, json};

/// Maximum number of lines of a cart before more are added to reach the minimum order.
const MAX_LINES: u64 = 3;

/// Notes for the kitchen, on a line.
const LINE_NOTES: [&str; 6] = [
    "No coriander, please",
    "Extra hot",
    "Sauce on the side",
    "Cut in half, please",
    "Well done",
    "No onions, allergy",
];

/// Notes for the restaurant, on an order.
const NOTES: [&str; 4] =
    ["Two bags, please", "No cutlery needed", "It is a birthday", "Please call when the courier leaves"];

/// Random choices.
pub(super) trait Chance {
    /// Returns a number from 0 to `end` - 1.
    fn below(&self, end: u64) -> u64;

    /// Returns `true` in this percentage of calls.
    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the entries; `None` if there are none.
    fn one<'a, T>(&self, entries: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        entries.get(usize::try_from(index).unwrap_or(0))
    }
}

impl Chance for SeededRandom {
    fn below(&self, end: u64) -> u64 {
        (self.next_u64() >> 16) % end.max(1)
    }
}

/// Returns the lines of a cart, each of another item; empty if nothing on the menu is available.
pub(super) fn choose(random: &SeededRandom, menu: &Value) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    for _ in 0..=random.below(MAX_LINES) {
        let is_new = |line: &Value| lines.iter().all(|chosen| chosen["item"] != line["item"]);
        if let Some(line) = line(random, menu).filter(is_new) {
            lines.push(line);
        }
    }
    lines
}

/// Returns another line of a cart.
pub(super) fn line(random: &SeededRandom, menu: &Value) -> Option<Value> {
    let categories = menu["categories"].as_array()?;
    let items: Vec<&Value> =
        categories.iter().flat_map(|category| category["items"].as_array().into_iter().flatten()).collect();
    let available: Vec<&Value> =
        items.into_iter().filter(|item| item["availability"]["status"] == "available").collect();
    let item = random.one(&available)?;
    let groups = item["option_groups"].as_array().into_iter().flatten();
    let options: Vec<Value> = groups.flat_map(|group| options(random, group)).collect();
    let quantity = if random.percent(75) { 1 } else { 2 };
    let mut line = json!({"item": item["id"], "quantity": quantity, "options": options});
    if random.percent(20) {
        line["note"] = random.one(&LINE_NOTES).copied().into();
    }
    Some(line)
}

/// Returns different options of a group, as many as the group allows.
fn options(random: &SeededRandom, group: &Value) -> Vec<Value> {
    let number = |name: &str| group[name].as_u64().unwrap_or(0);
    let mut left: Vec<&Value> = group["options"].as_array().into_iter().flatten().collect();
    let maximum = number("max").min(u64::try_from(left.len()).unwrap_or(0));
    let minimum = number("min").min(maximum);
    let count = minimum + random.below(maximum - minimum + 1);
    let mut chosen = Vec::new();
    for _ in 0..count {
        let index = random.below(u64::try_from(left.len()).unwrap_or(1));
        let option = left.swap_remove(usize::try_from(index).unwrap_or(0));
        chosen.push(json!({"group": group["id"], "option": option["id"]}));
    }
    chosen
}

/// Returns a note for the restaurant on some orders.
pub(super) fn note(random: &SeededRandom) -> Option<&'static str> {
    if random.percent(15) { random.one(&NOTES).copied() } else { None }
}

#[cfg(test)]
mod tests {
    use dabba_domain::{import, order::OrderRequest, pricing::price};

    use super::*;

    /// The menu of the demo's first restaurant, as the API shows it.
    fn menu() -> (Value, import::RestaurantDocument) {
        let text = include_str!("../../../../demo/saffron-lane.json");
        let document: Value = serde_json::from_str(text).unwrap();
        let mut categories = document["categories"].clone();
        for category in categories.as_array_mut().unwrap() {
            for item in category["items"].as_array_mut().unwrap() {
                if item["availability"].is_null() {
                    item["availability"] = json!({"status": "available"});
                }
            }
        }
        (json!({ "categories": categories }), import::read(text).unwrap().remove(0))
    }

    /// Proves that every cart is valid on the demo's menu, that carts are varied, and that a seed repeats its carts.
    #[test]
    fn carts_are_valid_and_varied() {
        let (menu, document) = menu();
        let (settings, stated) = (document.settings.validate().unwrap(), document.menu.validate().unwrap());
        let (random, again) = (SeededRandom::new(7), SeededRandom::new(7));
        let mut items = std::collections::BTreeSet::new();
        let (mut with_options, mut with_notes) = (0, 0);
        for _ in 0..300 {
            let lines = choose(&random, &menu);
            assert_eq!(lines, choose(&again, &menu));
            assert!((1..=3).contains(&lines.len()));
            let chosen: std::collections::BTreeSet<_> =
                lines.iter().map(|line| line["item"].as_str()).collect();
            assert_eq!(chosen.len(), lines.len());
            for line in &lines {
                items.insert(line["item"].as_str().unwrap().to_owned());
                with_options += usize::from(!line["options"].as_array().unwrap().is_empty());
                with_notes += usize::from(line["note"].is_string());
            }
            let order =
                json!({"lines": lines, "fulfilment": {"type": "collection"}, "payment_method": "cash"});
            let order: OrderRequest = serde_json::from_value(order).unwrap();
            price(&settings, &stated, order.cart()).unwrap();
        }
        assert!(items.len() > 8 && !items.contains("mango-kulfi"), "{items:?}");
        assert!(with_options > 100 && with_notes > 50, "{with_options} {with_notes}");
    }

    #[test]
    fn an_empty_menu_has_no_cart() {
        let random = SeededRandom::new(1);
        let sold_out = json!({"id": "dal", "availability": {"status": "unavailable"}, "option_groups": []});
        for menu in [json!({}), json!({"categories": []}), json!({"categories": [{"items": [sold_out]}]})] {
            assert_eq!(choose(&random, &menu), [] as [Value; 0]);
        }
    }
}
