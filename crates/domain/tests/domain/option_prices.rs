//! Quantities and prices of options: tables for the rules, and a comparison with single units.

use crate::common::settings;
use dabba_domain::{
    Problems,
    menu::{Menu, MenuDocument},
    pricing::{Cart, OrderLine, price},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Returns a menu with one pizza for 800, whose group has these members and options at these prices.
fn document(group: &Value, prices: &[i64]) -> MenuDocument {
    let options = prices.iter().enumerate();
    let options: Vec<Value> = options
        .map(|(number, price)| json!({"id": format!("o-{number}"), "name": format!("Option {number}"), "price_minor": price}))
        .collect();
    let mut group = group.clone();
    group["id"] = json!("toppings");
    group["name"] = json!("Toppings");
    group["options"] = json!(options);
    let item = json!({"id": "pizza", "name": "Pizza", "price_minor": 800, "option_groups": [group]});
    serde_json::from_value(json!({"categories": [{"name": "Pizza", "items": [item]}]})).unwrap()
}

fn menu(group: &Value, prices: &[i64]) -> Menu {
    document(group, prices).validate().unwrap()
}

/// Returns the line of a pizza with these quantities of options, in this order.
fn line(menu: &Menu, chosen: &[(usize, u32)]) -> Result<OrderLine, Problems> {
    let options: Vec<Value> = chosen
        .iter()
        .map(|(number, quantity)| json!({"group": "toppings", "option": format!("o-{number}"), "quantity": quantity}))
        .collect();
    let lines = json!([{"item": "pizza", "quantity": 2, "options": options}]);
    let cart: Cart = serde_json::from_value(json!({"lines": lines, "fulfilment": "collection"})).unwrap();
    price(&settings(), menu, (&cart).into()).map(|priced| priced.lines[0].clone())
}

/// Returns the price of the options of a line, and the charged units of each option.
fn charged(line: &OrderLine) -> (i64, Vec<u32>) {
    let units = line.options.iter().map(dabba_domain::pricing::OrderLineOption::charged_units);
    (line.unit_price.minor() - 800, units.collect())
}

#[test]
fn the_charged_units_follow_the_rule_of_the_group() {
    let sum = json!({"min": 0, "max": 9, "max_per_option": 3});
    let free = json!({"min": 0, "max": 9, "max_per_option": 3, "free": 2});
    let highest = json!({"min": 0, "max": 9, "max_per_option": 3, "price_by": "highest"});
    let prices = [150, 100, 100, 150];
    for (group, chosen, expected) in [
        (&sum, vec![(0, 2), (1, 3)], (600, vec![2, 3])),
        // The cheapest units are free.
        (&free, vec![(0, 2), (1, 1)], (150, vec![1, 0])),
        // Of equally cheap options, the first one on the menu is free, in any order of choice.
        (&free, vec![(2, 1), (0, 1), (1, 2)], (250, vec![1, 1, 0])),
        (&free, vec![(3, 1)], (0, vec![0])),
        (&free, vec![], (0, vec![])),
        (&highest, vec![(1, 1), (3, 1), (0, 2)], (150, vec![0, 0, 1])),
        (&highest, vec![(1, 3), (2, 1)], (100, vec![1, 0])),
        (&highest, vec![], (0, vec![])),
    ] {
        assert_eq!(charged(&line(&menu(group, &prices), &chosen).unwrap()), expected, "{group} {chosen:?}");
    }
}

#[test]
fn quantities_have_limits() {
    let menu = menu(&json!({"min": 2, "max": 4, "max_per_option": 3}), &[10, 20]);
    for (chosen, pointers) in [
        (vec![(0, 1)], vec!["/lines/0/options"]),
        (vec![(0, 3), (1, 2)], vec!["/lines/0/options"]),
        (vec![(0, 4)], vec!["/lines/0/options/0/quantity", "/lines/0/options"]),
        (vec![(0, 2), (1, 0)], vec!["/lines/0/options/1/quantity"]),
        (vec![(0, 2), (0, 1)], vec!["/lines/0/options/1"]),
    ] {
        let problems = line(&menu, &chosen).unwrap_err();
        let found: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{chosen:?}");
    }
    // Without max_per_option, each option may be chosen once.
    let menu = self::menu(&json!({"min": 0, "max": 2}), &[10, 20]);
    let refused = line(&menu, &[(0, 2)]).unwrap_err().to_string();
    assert!(refused.contains("must be 1 in toppings, not 2"), "{refused}");
}

#[test]
fn the_rules_of_a_group_are_checked() {
    for (group, place) in [
        (json!({"min": 0, "max": 7, "max_per_option": 3}), "max"),
        (json!({"min": 0, "max": 2, "max_per_option": 0}), "max_per_option"),
        (json!({"min": 0, "max": 2, "max_per_option": 100}), "max_per_option"),
        (json!({"min": 0, "max": 2, "free": 3}), "free"),
        (json!({"min": 0, "max": 2, "free": 1, "price_by": "highest"}), "free"),
    ] {
        let problems = document(&group, &[10, 20]).validate().unwrap_err();
        let found: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(found, [format!("/categories/0/items/0/option_groups/0/{place}")], "{group}");
    }
}

#[test]
fn plain_options_are_stored_as_before() {
    let line = line(&menu(&json!({"min": 0, "max": 2}), &[10, 20]), &[(1, 1)]).unwrap();
    let stored = serde_json::to_value(&line).unwrap();
    let option = json!({"group": "toppings", "option": "o-1", "name": "Option 1", "price": 20});
    assert_eq!(stored["options"], json!([option]));
    assert_eq!(stored.get("rules"), None);
    assert_eq!(serde_json::from_value::<OrderLine>(stored).unwrap(), line);
}

proptest! {
    /// Proves that the options of a line cost what their single units cost under the rule of the group, that the order of choice
    /// makes no difference, and that a stored line is read as it was.
    #[test]
    fn options_cost_what_their_units_cost(
        prices in proptest::collection::vec(0_i64..4, 1..6),
        quantities in proptest::collection::vec(0_u32..4, 5),
        free in 0_u32..9,
        is_highest in any::<bool>(),
    ) {
        let max = u32::try_from(prices.len()).unwrap() * 3;
        let free = if is_highest { 0 } else { free.min(max) };
        let price_by = if is_highest { "highest" } else { "sum" };
        let group = json!({"min": 0, "max": max, "max_per_option": 3, "free": free, "price_by": price_by});
        let menu = menu(&group, &prices);
        let chosen: Vec<_> = quantities.iter().copied().enumerate().take(prices.len()).filter(|(_, quantity)| *quantity > 0).collect();
        let priced = line(&menu, &chosen).unwrap();

        let mut units: Vec<i64> = chosen
            .iter()
            .flat_map(|(number, quantity)| (0..*quantity).map(|_| prices[*number]))
            .collect();
        units.sort_unstable();
        let expected: i64 = if is_highest {
            units.last().copied().unwrap_or(0)
        } else {
            units.iter().skip(usize::try_from(free).unwrap()).sum()
        };
        prop_assert_eq!(priced.unit_price.minor(), 800 + expected);
        prop_assert_eq!(priced.total.minor(), 2 * (800 + expected));
        let of_options: i64 = priced
            .options
            .iter()
            .map(|option| option.price.minor() * i64::from(option.charged_units()))
            .sum();
        prop_assert_eq!(of_options, expected);

        let reversed: Vec<_> = chosen.iter().rev().copied().collect();
        let mut other = line(&menu, &reversed).unwrap();
        other.options.reverse();
        prop_assert_eq!(&other, &priced);
        let stored = serde_json::to_string(&priced).unwrap();
        prop_assert_eq!(serde_json::from_str::<OrderLine>(&stored).unwrap(), priced);
    }
}
