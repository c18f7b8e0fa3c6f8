//! Pricing: tables for the rules, properties for the sums.

use crate::common::{amount, menu, settings};
use dabba_domain::{
    Amount,
    limits::{MAX_AMOUNT, MAX_CHOSEN_OPTIONS, MAX_LINES},
    menu::{Menu, MenuDocument},
    pricing::{
        Amounts, BelowMinimum, Cart, CartLine, CartRef, ChosenOption, FulfilmentKind, PricedCart,
        check_minimum, price,
    },
    restaurant::RestaurantSettings,
    text::Slug,
};
use proptest::prelude::*;
use serde_json::json;

fn cart(value: serde_json::Value) -> Cart {
    serde_json::from_value(value).unwrap()
}

fn priced(value: serde_json::Value) -> PricedCart {
    price(&settings(), &menu(), (&cart(value)).into()).unwrap()
}

fn problems(value: serde_json::Value) -> Vec<(String, String)> {
    match price(&settings(), &menu(), (&cart(value)).into()) {
        Err(problems) => problems
            .as_slice()
            .iter()
            .map(|problem| (problem.pointer.clone(), problem.detail.clone()))
            .collect(),
        Ok(priced) => panic!("no problem in {priced:?}"),
    }
}

#[test]
fn a_cart_is_itemized() {
    let priced = priced(json!({"fulfilment": "delivery", "tip": 200, "lines": [
        {"item": "dal", "quantity": 2},
        {"item": "korma", "quantity": 1, "options": [
            {"group": "protein", "option": "chicken"}, {"group": "extras", "option": "nuts"}]},
    ]}));
    let totals: Vec<_> =
        priced.lines.iter().map(|line| (line.unit_price.minor(), line.total.minor())).collect();
    assert_eq!(totals, [(650, 1_300), (1_070, 1_070)]);
    let expected = Amounts {
        subtotal: amount(2_370),
        tax: amount(474),
        delivery_fee: amount(250),
        tip: amount(200),
        total: amount(3_294),
        ..Amounts::default()
    };
    assert_eq!(priced.amounts, expected);
}

#[test]
fn tax_is_rounded_half_up_once_per_order() {
    // Three lines of 1 at 50 %: rounded per line, the tax would be 3; rounded once per order, it is 2.
    let settings = RestaurantSettings { tax_rate_basis_points: 5_000, ..settings() };
    let menu = menu_of(&[1]);
    let line = json!({"item": "item-0", "quantity": 1});
    let cart = cart(json!({"fulfilment": "collection", "lines": [line, line, line]}));
    assert_eq!(price(&settings, &menu, (&cart).into()).unwrap().amounts.tax, amount(2));
}

#[test]
fn delivery_is_free_from_its_threshold_and_on_collection() {
    for (quantity, fulfilment, fee) in [(4, "delivery", 250), (5, "delivery", 0), (1, "collection", 0)] {
        let priced =
            priced(json!({"fulfilment": fulfilment, "lines": [{"item": "dal", "quantity": quantity}]}));
        assert_eq!(priced.amounts.delivery_fee, amount(fee), "{quantity} {fulfilment}");
    }
}

/// Proves that the threshold itself is free, and one minor unit less is not.
#[test]
fn delivery_is_free_at_its_threshold() {
    let cart = cart(json!({"fulfilment": "delivery", "lines": [{"item": "item-0", "quantity": 1}]}));
    for (free_from, fee) in [(1_000, 0), (1_001, 250)] {
        let mut settings = settings();
        settings.delivery.as_mut().unwrap().free_from = Some(amount(free_from));
        let priced = price(&settings, &menu_of(&[1_000]), (&cart).into()).unwrap();
        assert_eq!(priced.amounts.delivery_fee, amount(fee), "free from {free_from}");
    }
}

/// Proves that a cart can only ask for what the restaurant offers.
#[test]
fn a_cart_needs_a_fulfilment_that_the_restaurant_offers() {
    let no_delivery = RestaurantSettings { delivery: None, ..settings() };
    let no_collection = RestaurantSettings { collection: false, ..settings() };
    for (settings, offered, refused) in
        [(no_delivery, "collection", "delivery"), (no_collection, "delivery", "collection")]
    {
        let cart = |kind| cart(json!({"fulfilment": kind, "lines": [{"item": "dal", "quantity": 1}]}));
        assert!(price(&settings, &menu(), (&cart(offered)).into()).is_ok(), "{offered}");
        let problems = price(&settings, &menu(), (&cart(refused)).into()).unwrap_err();
        let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/fulfilment"], "{refused}");
    }
}

/// Proves that more options than the maximum are one problem, and that the maximum itself is checked option by option.
#[test]
fn a_line_has_at_most_the_maximum_of_options() {
    let choose = |count| {
        let options = vec![json!({"group": "unknown", "option": "unknown"}); count];
        problems(json!({"fulfilment": "collection", "lines": [
            {"item": "dal", "quantity": 1, "options": options}]}))
    };
    let unknown = choose(MAX_CHOSEN_OPTIONS);
    assert_eq!(unknown.first().unwrap().0, "/lines/0/options/0/group");
    let pointers: Vec<_> = choose(MAX_CHOSEN_OPTIONS + 1).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/lines/0/options"]);
}

#[test]
fn only_delivered_orders_have_a_minimum() {
    let check = |kind, minor| {
        let cart = CartRef { lines: &[], fulfilment: kind, place: None, tip: Amount::ZERO };
        check_minimum(&settings(), cart, amount(minor))
    };
    assert_eq!(check(FulfilmentKind::Delivery, 999), Err(BelowMinimum { minimum: amount(1_000) }));
    assert_eq!(check(FulfilmentKind::Delivery, 1_000), Ok(()));
    assert_eq!(check(FulfilmentKind::Collection, 0), Ok(()));
}

#[test]
fn every_problem_of_a_cart_is_listed_with_its_place() {
    let option = |group: &str, option: &str| json!({"group": group, "option": option});
    let found = problems(json!({"fulfilment": "delivery", "lines": [
        {"item": "pizza", "quantity": 1},
        {"item": "dal", "quantity": 0},
        {"item": "dal", "quantity": 100},
        {"item": "korma", "quantity": 1},
        {"item": "korma", "quantity": 1, "options": [option("protein", "chicken"), option("protein", "paneer")]},
        {"item": "korma", "quantity": 1, "options": [
            option("protein", "beef"), option("sauce", "hot"), option("extras", "nuts"), option("extras", "nuts")]},
    ]}));
    let places: Vec<_> = found.iter().map(|(pointer, detail)| format!("{pointer} {detail}")).collect();
    assert_eq!(
        places,
        [
            "/lines/0/item pizza is not on the menu",
            "/lines/1/quantity must be a whole number from 1 to 99, not 0",
            "/lines/2/quantity must be a whole number from 1 to 99, not 100",
            "/lines/3/options protein needs at least 1, not 0",
            "/lines/4/options protein allows at most 1, not 2",
            "/lines/5/options/0/option protein has no option beef",
            "/lines/5/options/1/group korma has no group sauce",
            "/lines/5/options/3 nuts must not be chosen twice",
            "/lines/5/options protein needs at least 1, not 0",
        ]
    );
}

#[test]
fn a_cart_has_1_to_100_lines() {
    let line = json!({"item": "dal", "quantity": 1});
    assert_eq!(problems(json!({"fulfilment": "delivery", "lines": []}))[0].0, "/lines");
    assert_eq!(
        priced(json!({"fulfilment": "delivery", "lines": vec![line.clone(); MAX_LINES]})).lines.len(),
        MAX_LINES
    );
    assert_eq!(
        problems(json!({"fulfilment": "delivery", "lines": vec![line; MAX_LINES + 1]}))[0].0,
        "/lines"
    );
}

#[test]
fn a_kind_of_fulfilment_that_is_not_offered_is_refused() {
    let settings = RestaurantSettings { delivery: None, ..settings() };
    let cart = cart(json!({"fulfilment": "delivery", "lines": [{"item": "dal", "quantity": 1}]}));
    assert!(price(&settings, &menu(), (&cart).into()).is_err());
}

#[test]
fn a_price_above_the_maximum_amount_is_an_error() {
    let menu = menu_of(&[MAX_AMOUNT]);
    let cart = cart(json!({"fulfilment": "collection", "lines": [{"item": "item-0", "quantity": 99}]}));
    assert!(price(&settings(), &menu, (&cart).into()).is_err());
}

/// Returns a menu of items with these prices. Each item has a group of three options with the prices 0, 1 and the
/// item's price, of which at most two may be chosen.
fn menu_of(prices: &[i64]) -> Menu {
    let items: Vec<_> = prices
        .iter()
        .enumerate()
        .map(|(index, price)| {
            let option = |name: &str, price: i64| json!({"id": name, "name": name, "price_minor": price});
            json!({"id": format!("item-{index}"), "name": format!("Item {index}"), "price_minor": price, "option_groups": [
                {"id": "extra", "name": "Extra", "min": 0, "max": 2, "options": [option("a", 0), option("b", 1), option("c", *price)]},
            ]})
        })
        .collect();
    serde_json::from_value::<MenuDocument>(json!({"categories": [{"name": "All", "items": items}]}))
        .unwrap()
        .validate()
        .unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn any_line() -> impl Strategy<Value = CartLine> {
    // One item, group and option that do not exist, and quantities outside the limits.
    let options = proptest::collection::vec(
        (proptest::sample::select(vec!["extra", "none"]), proptest::sample::select(vec!["a", "b", "c", "d"])),
        0..4,
    );
    (0_usize..6, 0_u32..101, options).prop_map(|(item, quantity, options)| CartLine {
        item: slug(&format!("item-{item}")),
        quantity,
        options: options
            .into_iter()
            .map(|(group, option)| ChosenOption { group: slug(group), option: slug(option), quantity: 1 })
            .collect(),
        note: None,
    })
}

fn good_line() -> impl Strategy<Value = CartLine> {
    let options = proptest::sample::subsequence(vec!["a", "b", "c"], 0..=2);
    (0_usize..5, 1_u32..100, options).prop_map(|(item, quantity, options)| CartLine {
        item: slug(&format!("item-{item}")),
        quantity,
        options: options
            .into_iter()
            .map(|option| ChosenOption { group: slug("extra"), option: slug(option), quantity: 1 })
            .collect(),
        note: None,
    })
}

fn any_price() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), 0_i64..100_000, Just(MAX_AMOUNT)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Proves I6 for any menu and any valid cart: each line, the subtotal and the total equal sums in wide integers. If
    /// an amount exceeds its limit, nothing is priced.
    #[test]
    fn every_price_adds_up(
        prices in proptest::collection::vec(any_price(), 5),
        lines in proptest::collection::vec(good_line(), 1..=MAX_LINES),
        rate in 0_u32..=10_000,
        tip in 0_i64..10_000,
        collects: bool,
    ) {
        let settings = RestaurantSettings { tax_rate_basis_points: rate, ..settings() };
        let fulfilment = if collects { FulfilmentKind::Collection } else { FulfilmentKind::Delivery };
        let fulfilment = fulfilment.into();
        let cart = Cart { lines, fulfilment, tip: amount(tip), payment_method: None };
        let subtotal: i128 = cart.lines.iter().map(|line| {
            let item: usize = line.item.as_str()["item-".len()..].parse().unwrap();
            let base = i128::from(prices[item]);
            let options: i128 = line.options.iter().map(|chosen| match chosen.option.as_str() {
                "a" => 0,
                "b" => 1,
                _ => base,
            }).sum();
            (base + options) * i128::from(line.quantity)
        }).sum();
        let tax = (subtotal * i128::from(rate) + 5_000).div_euclid(10_000);
        let fee = if collects || subtotal >= 3_000 { 0 } else { 250 };
        let total = subtotal + tax + fee + i128::from(tip);
        match price(&settings, &menu_of(&prices), (&cart).into()) {
            Ok(priced) => {
                prop_assert_eq!(i128::from(priced.amounts.subtotal.minor()), subtotal);
                prop_assert_eq!(i128::from(priced.amounts.tax.minor()), tax);
                prop_assert_eq!(i128::from(priced.amounts.total.minor()), total);
                prop_assert_eq!(priced.amounts.sum().unwrap(), priced.amounts.total);
                let lines: i64 = priced.lines.iter().map(|line| line.unit_price.minor() * i64::from(line.quantity)).sum();
                prop_assert_eq!(priced.amounts.subtotal.minor(), lines);
            }
            Err(_) => prop_assert!(total > i128::from(MAX_AMOUNT)),
        }
    }

    /// Proves that pricing returns a result for every cart, and that the amounts of a priced cart add up.
    #[test]
    fn pricing_handles_every_cart(
        prices in proptest::collection::vec(any_price(), 5),
        lines in proptest::collection::vec(any_line(), 0..MAX_LINES + 5),
    ) {
        let fulfilment = FulfilmentKind::Delivery.into();
        let cart = Cart { lines, fulfilment, tip: Amount::ZERO, payment_method: None };
        match price(&settings(), &menu_of(&prices), (&cart).into()) {
            Ok(priced) => prop_assert_eq!(priced.amounts.sum().unwrap(), priced.amounts.total),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}
