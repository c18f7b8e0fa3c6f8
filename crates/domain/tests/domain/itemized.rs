//! Orders that state their taxes and fees: pricing, refunds and ledger, by tables of real cases and by properties.

use std::collections::BTreeMap;

use dabba_domain::{
    Amount,
    fee::{FeeKind, FeeReceiver},
    ledger::{LedgerAccount, ledger},
    menu::{Menu, MenuDocument},
    order::{
        Command, Fulfilment, OrderDetails, PaymentMethod, RefundBearer, RefundLine, RefundReason,
        RefundRequest, TERMS_VERSION,
    },
    pricing::{Cart, PricedCart, TaxedPart, price},
    restaurant::{RestaurantSettings, SettingsDocument},
    text::Slug,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    bill::Life,
    common::{admin, amount, courier, delivery, details, placed_with, staff},
    moves::{accept, assign},
};

fn settings(extra: Value) -> RestaurantSettings {
    let mut document = json!({"name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London"});
    let Value::Object(extra) = extra else { panic!("settings are an object") };
    document.as_object_mut().unwrap().extend(extra);
    serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap()
}

fn menu(items: &Value) -> Menu {
    let document = json!({"categories": [{"name": "All", "items": items}]});
    serde_json::from_value::<MenuDocument>(document).unwrap().validate().unwrap()
}

fn priced(settings: &RestaurantSettings, menu: &Menu, cart: Value) -> PricedCart {
    let cart: Cart = serde_json::from_value(cart).unwrap();
    menu.check_taxes(settings).unwrap();
    price(settings, menu, (&cart).into()).unwrap()
}

fn tax(id: &str, rate: &str, included: &str) -> Value {
    json!({"id": id, "name": id, "authority": "Authority", "rate": rate, "included": included})
}

/// Proves the whole price of real restaurants: subtotal, added tax, fees, total, and each tax with its base.
#[test]
fn real_orders() {
    type Taxes<'a> = &'a [(&'a str, i64, i64)];
    let quebec = json!({"taxes": [tax("gst", "5", "no"), tax("qst", "9.975", "no")],
        "fees": [{"id": "delivery", "kind": "delivery", "name": "Delivery", "taxes": ["gst", "qst"]},
                 {"id": "bag", "kind": "packaging", "name": "Bag", "amount": 25, "receiver": "restaurant"}],
        "delivery": {"fee": 399}});
    let germany = json!({"taxes": [tax("food", "7", "net"), tax("drinks", "19", "net")], "default_taxes": ["food"],
        "fees": [{"id": "delivery", "kind": "delivery", "name": "Lieferung", "taxed_as_goods": true}],
        "delivery": {"fee": 250}});
    let new_york = json!({"tax_rate_basis_points": 0, "taxes": [tax("sales", "8.875", "no")],
        "fees": [{"id": "service", "kind": "service", "name": "Service", "rate": "10", "min": 100, "max": 300}]});
    let japan = json!({"currency": "JPY", "tax_rounding": "down", "default_taxes": ["reduced"],
        "taxes": [tax("reduced", "8", "net"), tax("standard", "10", "net")]});
    let kuwait = json!({"currency": "KWD", "fees": [{"id": "small", "kind": "small_order", "name": "Small order",
        "amount": 250, "when": {"goods_below": 3_000}}]});
    let cases: [(&str, Value, &str, [i64; 5], Taxes<'_>); 6] = [
        (
            "Quebec",
            quebec,
            "delivery",
            [1_395, 269, 399, 25, 2_088],
            &[("gst", 1_794, 90), ("qst", 1_794, 179)],
        ),
        // The fee is divided in the ratio 1,000 to 395.
        (
            "Germany",
            germany.clone(),
            "delivery",
            [1_395, 0, 250, 0, 1_645],
            &[("food", 1_179, 77), ("drinks", 466, 74)],
        ),
        (
            "Germany, collected",
            germany,
            "collection",
            [1_395, 0, 0, 0, 1_395],
            &[("food", 1_000, 65), ("drinks", 395, 63)],
        ),
        ("New York", new_york, "collection", [1_395, 124, 0, 140, 1_659], &[("sales", 1_395, 124)]),
        (
            "Japan",
            japan,
            "collection",
            [1_395, 0, 0, 0, 1_395],
            &[("reduced", 1_000, 74), ("standard", 395, 35)],
        ),
        ("Kuwait", kuwait, "collection", [1_395, 0, 0, 250, 1_645], &[]),
    ];
    for (name, terms, fulfilment, [subtotal, tax, delivery_fee, other_fees, total], taxes) in cases {
        let settings = settings(terms);
        let special = settings.taxes.iter().find(|tax| ["drinks", "standard"].contains(&tax.id.as_str()));
        let drink = special.map(|tax| json!({"taxes": [tax.id]}));
        let mut items = json!([{"id": "food", "name": "Food", "price_minor": 500},
            {"id": "drink", "name": "Drink", "price_minor": 395}]);
        items[1].as_object_mut().unwrap().extend(drink.unwrap_or(json!({})).as_object().unwrap().clone());
        let lines = json!([{"item": "food", "quantity": 2}, {"item": "drink", "quantity": 1}]);
        let priced = priced(&settings, &menu(&items), json!({"fulfilment": fulfilment, "lines": lines}));
        let amounts = priced.amounts;
        assert_eq!(
            [amounts.subtotal, amounts.tax, amounts.delivery_fee, amounts.other_fees, amounts.total],
            [subtotal, tax, delivery_fee, other_fees, total].map(amount),
            "{name}"
        );
        let found = priced.taxes.iter().map(|tax| (tax.id.as_str(), tax.base.minor(), tax.amount.minor()));
        assert_eq!(found.collect::<Vec<_>>(), taxes, "{name}");
    }
}

/// Proves that each part of a line has its own taxes: those of the option, of the item, or of the restaurant.
#[test]
fn options_and_items_have_their_own_taxes() {
    let settings = settings(
        json!({"taxes": [tax("low", "10", "no"), tax("high", "20", "no")], "default_taxes": ["low"]}),
    );
    let option = |id: &str, price: i64, taxes: Value| {
        let mut option = json!({"id": id, "name": id, "price_minor": price});
        if !taxes.is_null() {
            option["taxes"] = taxes;
        }
        option
    };
    let group =
        |options: Value| json!({"id": "extra", "name": "Extra", "min": 0, "max": 2, "options": options});
    let options = json!([option("sauce", 50, Value::Null), option("beer", 300, json!(["high"]))]);
    let items = json!([
        {"id": "plain", "name": "Plain", "price_minor": 1_000, "option_groups": [group(options.clone())]},
        {"id": "exempt", "name": "Exempt", "price_minor": 1_000, "taxes": [], "option_groups": [group(options)]},
    ]);
    let chosen = json!([{"group": "extra", "option": "sauce"}, {"group": "extra", "option": "beer"}]);
    let cart = json!({"fulfilment": "collection", "lines": [
        {"item": "plain", "quantity": 2, "options": chosen}, {"item": "exempt", "quantity": 1, "options": chosen},
        {"item": "exempt", "quantity": 1}]});
    let priced = priced(&settings, &menu(&items), cart);
    let parts = priced.lines.iter().map(|line| {
        let part = |part: &TaxedPart| {
            let taxes = part.taxes.iter().map(|share| format!("{} {}", share.tax, share.amount.minor()));
            (part.amount.minor(), taxes.collect::<Vec<_>>().join(", "))
        };
        line.parts.iter().map(part).collect::<Vec<_>>()
    });
    let expected =
        [vec![(2_100, "low 210"), (600, "high 120")], vec![(1_050, ""), (300, "high 60")], Vec::new()];
    let found: Vec<Vec<(i64, String)>> = parts.collect();
    for (found, expected) in found.iter().zip(&expected) {
        let found: Vec<_> = found.iter().map(|(amount, taxes)| (*amount, taxes.as_str())).collect();
        assert_eq!(found, *expected);
    }
}

/// Proves that nobody can order an item that names a tax which the restaurant does not have, and that the error names
/// item and tax.
#[test]
fn an_unknown_tax_is_never_left_out() {
    let menu = menu(&json!([{"id": "tea", "name": "Tea", "price_minor": 200, "taxes": ["gone"]}]));
    let settings = settings(json!({"taxes": [tax("vat", "20", "no")]}));
    let cart: Cart = serde_json::from_value(
        json!({"fulfilment": "collection", "lines": [{"item": "tea", "quantity": 1}]}),
    )
    .unwrap();
    let problems = price(&settings, &menu, (&cart).into()).unwrap_err();
    let expected = "/lines/0/item: cannot be ordered now, because the restaurant has no tax gone";
    assert_eq!(problems.to_string(), expected);
    let place = "/categories/0/items/0";
    assert_eq!(
        menu.check_taxes(&settings).unwrap_err().to_string(),
        format!("{place}/taxes/0: the restaurant has no tax gone")
    );
    let missing = format!("/taxes: must contain gone, because the menu names it at {place}");
    assert_eq!(menu.check_settings(&settings).unwrap_err().to_string(), missing);
}

/// Proves that the short form of one tax has the amounts that it had before taxes were a list.
#[test]
fn the_short_form_is_one_added_tax() {
    let settings = settings(json!({"tax_rate_basis_points": 887}));
    let items = json!([{"id": "tea", "name": "Tea", "price_minor": 1_249, "taxes": ["tax"]}]);
    let priced = priced(
        &settings,
        &menu(&items),
        json!({"fulfilment": "collection", "lines": [{"item": "tea", "quantity": 1}]}),
    );
    assert_eq!(priced.amounts.tax, amount(1_249).basis_points(887).unwrap());
    assert_eq!((priced.taxes.len(), priced.taxes[0].id.as_str()), (1, "tax"));
}

/// Proves that every wrong tax and fee of settings is listed with its place.
#[test]
fn every_wrong_charge_is_listed() {
    let document = json!({"name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London",
    "tax_rate_basis_points": 100, "default_taxes": ["vat", "none", "vat"],
    "taxes": [tax("vat", "60", "gross"), tax("vat", "40", "gross")],
    "fees": [
        {"id": "delivery", "kind": "service", "name": "Service", "amount": 1},
        {"id": "bag", "kind": "delivery", "name": "Delivery", "amount": 1, "when": {"goods_from": 1}},
        {"id": "bag", "kind": "other", "name": "Bag"},
        {"id": "a", "kind": "other", "name": "A", "amount": 1, "rate": "1"},
        {"id": "b", "kind": "other", "name": "B", "amount": 1, "min": 1, "max": 2},
        {"id": "c", "kind": "other", "name": "C", "rate": "1", "min": 3, "max": 2},
        {"id": "d", "kind": "other", "name": "D", "amount": 1, "when": {"goods_from": 5, "goods_below": 5}},
        {"id": "e", "kind": "other", "name": "E", "amount": 1, "taxes": ["none", "vat", "vat"], "taxed_as_goods": true},
        {"id": "f", "kind": "distance", "name": "F", "amount": 1},
        {"id": "g", "kind": "other", "name": "G", "amount": 1, "tiers": [{"from_metres": 0, "amount": 1}]},
        {"id": "h", "kind": "distance", "name": "H", "when": {"fulfilment": "collection"},
         "tiers": [{"from_metres": 5, "amount": 1}, {"from_metres": 5, "amount": 2}, {"from_metres": 1_000_001, "amount": 3}]},
    ]});
    let problems = serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap_err();
    let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/tax_rate_basis_points",
            "/taxes/1/id",
            "/taxes",
            "/default_taxes/1",
            "/default_taxes/2",
            "/fees/0/id",
            "/fees/1/id",
            "/fees/1/amount",
            "/fees/1/when",
            "/fees/2/id",
            "/fees/2",
            "/fees/3/rate",
            "/fees/4/min",
            "/fees/4/max",
            "/fees/5/min",
            "/fees/6/when/goods_from",
            "/fees/7/taxes/0",
            "/fees/7/taxes/2",
            "/fees/7/taxes",
            "/fees/8/tiers",
            "/fees/9/tiers",
            "/fees/9/tiers",
            "/fees/9/tiers",
            "/fees/10/tiers",
            "/fees/10/tiers",
            "/fees/10/tiers/1/from_metres",
            "/fees/10/tiers/2/from_metres",
        ]
    );
}

/// Proves that a fee with a rate stays within its bounds, and that conditions decide at their exact limits.
#[test]
fn a_fee_is_charged_by_its_conditions_and_bounds() {
    let fees = json!([
        {"id": "rate", "kind": "service", "name": "Rate", "rate": "12.5", "min": 50, "max": 200},
        {"id": "small", "kind": "small_order", "name": "Small", "amount": 99, "when": {"goods_below": 1_000}},
        {"id": "large", "kind": "other", "name": "Large", "amount": 11, "when": {"goods_from": 1_000}},
        {"id": "taxed", "kind": "other", "name": "Taxed", "amount": 7, "when": {"any_line_taxed": true}},
        {"id": "collected", "kind": "packaging", "name": "Box", "amount": 5, "when": {"fulfilment": "collection"}},
    ]);
    let settings = settings(json!({"taxes": [tax("vat", "20", "no")], "fees": fees}));
    let items = json!([{"id": "one", "name": "One", "price_minor": 1, "taxes": []}, {"id": "vat", "name": "Vat", "price_minor": 0},
        {"id": "unit", "name": "999", "price_minor": 999, "taxes": []}, {"id": "big", "name": "Big", "price_minor": 1_601, "taxes": []}]);
    let menu = menu(&items);
    for (items, fulfilment, expected) in [
        (vec!["unit"], "delivery", vec![("rate", 125), ("small", 99)]),
        (vec!["unit", "one"], "delivery", vec![("rate", 125), ("large", 11)]),
        (vec!["one", "vat"], "collection", vec![("rate", 50), ("small", 99), ("taxed", 7), ("collected", 5)]),
        (vec!["big"], "delivery", vec![("rate", 200), ("large", 11)]),
    ] {
        let lines: Vec<_> = items.iter().map(|item| json!({"item": item, "quantity": 1})).collect();
        let priced = priced(&settings, &menu, json!({"fulfilment": fulfilment, "lines": lines}));
        let found: Vec<_> = priced.fees.iter().map(|fee| (fee.id.as_str(), fee.amount.minor())).collect();
        assert_eq!(found, expected, "{items:?} {fulfilment}");
    }
}

/// Proves that the last tier that the distance of a delivery reaches states a fee, at its exact limit, that collection has
/// no such fee, and that a delivery needs its place.
#[test]
fn a_fee_by_distance_has_the_amount_of_the_tier_that_is_reached() {
    let tiers = json!([{"from_metres": 1_000, "amount": 100}, {"from_metres": 2_000, "amount": 250}]);
    let settings = settings(json!({
        "taxes": [tax("vat", "20", "no")], "location": {"lat": 0.0, "lng": 0.0},
        "fees": [{"id": "far", "kind": "distance", "name": "Distance", "tiers": tiers, "taxes": ["vat"]}],
    }));
    let menu = menu(&json!([{"id": "unit", "name": "Unit", "price_minor": 500, "taxes": []}]));
    let lines = json!([{"item": "unit", "quantity": 1}]);
    // A degree of the equator has 111,195.08 m on the sphere.
    for (lng, expected) in [
        (0.0, None),
        (0.008_99, None),
        (0.009, Some((100, 20))),
        (0.017_98, Some((100, 20))),
        (0.018, Some((250, 50))),
        (1.0, Some((250, 50))),
    ] {
        let address = json!({"location": {"lat": 0.0, "lng": lng}});
        let cart = json!({"fulfilment": {"type": "delivery", "address": address}, "lines": lines});
        let priced = priced(&settings, &menu, cart);
        let found = priced.fees.iter().find(|fee| fee.id.as_str() == "far").map(|fee| fee.amount.minor());
        assert_eq!(found, expected.map(|(fee, _)| fee), "{lng}");
        assert_eq!(priced.amounts.tax.minor(), expected.map_or(0, |(_, tax)| tax), "{lng}");
    }
    assert_eq!(priced(&settings, &menu, json!({"fulfilment": "collection", "lines": lines})).fees, []);
    let cart: Cart = serde_json::from_value(json!({"fulfilment": "delivery", "lines": lines})).unwrap();
    let problems = price(&settings, &menu, (&cart).into()).unwrap_err();
    assert_eq!(problems.as_slice()[0].pointer, "/fulfilment/address/location");
}

/// Taxes, fees, items and a cart, all random.
#[derive(Clone, Debug)]
struct Case {
    settings: RestaurantSettings,
    menu: Menu,
    cart: Cart,
}

impl Case {
    fn priced(&self) -> PricedCart {
        price(&self.settings, &self.menu, (&self.cart).into()).unwrap()
    }

    /// Returns the order of the cart after its delivery and its payment in cash.
    fn delivered(&self) -> Life {
        let PricedCart { lines, fees, taxes, amounts } = self.priced();
        let fulfilment =
            if self.cart.fulfilment.kind == delivery().kind() { delivery() } else { Fulfilment::Collection };
        let decision = placed_with(OrderDetails {
            terms_version: TERMS_VERSION,
            lines,
            fees,
            taxes,
            amounts,
            payment_method: PaymentMethod::Cash,
            stock_drawn: Vec::new(),
            ..details(fulfilment.clone())
        });
        let mut life = Life { order: decision.order, history: decision.events };
        life.give(&accept(), &staff());
        life.give(&Command::MarkReady, &staff());
        if fulfilment == Fulfilment::Collection {
            life.give(&Command::deliver(), &staff());
        } else {
            life.give(&assign(), &courier());
            life.give(&Command::PickUp, &courier());
            life.give(&Command::deliver(), &courier());
        }
        life
    }
}

fn any_rate() -> impl Strategy<Value = String> {
    // Together, the rates on the gross price stay below 100 %.
    prop_oneof![Just(0), 1_u32..250_000, (1_u32..25).prop_map(|percent| percent * 10_000)]
        .prop_map(|millionths| format!("{}.{:04}", millionths / 10_000, millionths % 10_000))
}

fn any_case() -> impl Strategy<Value = Case> {
    let included = || proptest::sample::select(vec!["no", "net", "gross"]);
    let taxes = proptest::collection::vec(
        (any_rate(), included(), proptest::option::weighted(0.2, 0_i64..5_000)),
        0..4,
    );
    let named = || proptest::option::of(proptest::collection::vec(any::<bool>(), 3));
    let items = proptest::collection::vec((0_i64..3_000, named(), 0_i64..500, named()), 3);
    let lines = proptest::collection::vec((0_usize..3, 1_u32..7, any::<bool>()), 1..6);
    let fee = (0_i64..500, any_rate(), any::<bool>(), named(), any::<bool>(), 0_usize..4);
    let fees = proptest::collection::vec(fee, 0..3);
    let rounding = proptest::sample::select(vec!["half_up", "half_even", "down"]);
    (taxes, items, lines, fees, (named(), any::<bool>()), rounding, any::<bool>(), 0_i64..500).prop_map(
        |(taxes, items, lines, fees, (delivery_taxes, as_goods), rounding, collects, tip)| {
            let count = taxes.len();
            let ids = |named: &Vec<bool>| -> Vec<String> {
                (0..count).filter(|index| named[*index]).map(|index| format!("t{index}")).collect()
            };
            let taxes: Vec<_> = taxes.iter().enumerate().map(|(index, (rate, included, from))| {
                let mut tax = tax(&format!("t{index}"), rate, included);
                if let Some(from) = from {
                    tax["from"] = json!(from);
                }
                tax
            }).collect();
            let receivers = ["restaurant", "platform", "courier", "authority"];
            let mut fees: Vec<_> = fees.iter().enumerate().map(|(index, (minor, rate, is_rate, named, as_goods, receiver))| {
                let mut fee = json!({"id": format!("f{index}"), "kind": "other", "name": "Fee", "receiver": receivers[*receiver]});
                if *is_rate { fee["rate"] = json!(rate) } else { fee["amount"] = json!(minor) }
                if *as_goods { fee["taxed_as_goods"] = json!(true) } else { fee["taxes"] = json!(named.as_ref().map(ids).unwrap_or_default()) }
                fee
            }).collect();
            if let Some(named) = delivery_taxes {
                let mut fee = json!({"id": "delivery", "kind": "delivery", "name": "Delivery", "receiver": "courier"});
                if as_goods { fee["taxed_as_goods"] = json!(true) } else { fee["taxes"] = json!(ids(&named)) }
                fees.push(fee);
            }
            let items: Vec<_> = items.iter().enumerate().map(|(index, (price, named, extra, extra_named))| {
                let mut option = json!({"id": "extra", "name": "Extra", "price_minor": extra});
                if let Some(named) = extra_named { option["taxes"] = json!(ids(named)); }
                let mut item = json!({"id": format!("i{index}"), "name": format!("Item {index}"), "price_minor": price,
                    "option_groups": [{"id": "g", "name": "G", "min": 0, "max": 1, "options": [option]}]});
                if let Some(named) = named { item["taxes"] = json!(ids(named)); }
                item
            }).collect();
            let lines: Vec<_> = lines.iter().map(|(item, quantity, has_extra)| {
                let options = if *has_extra { json!([{"group": "g", "option": "extra"}]) } else { json!([]) };
                json!({"item": format!("i{item}"), "quantity": quantity, "options": options})
            }).collect();
            let settings = settings(json!({"taxes": taxes, "fees": fees, "tax_rounding": rounding, "delivery": {"fee": 199}}));
            let fulfilment = if collects { "collection" } else { "delivery" };
            let cart = json!({"fulfilment": fulfilment, "lines": lines, "tip": tip});
            Case { settings, menu: menu(&json!(items)), cart: serde_json::from_value(cart).unwrap() }
        },
    )
}

/// Returns the sum of the shares of each tax in these parts.
fn shares<'a>(parts: impl IntoIterator<Item = &'a TaxedPart>) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for share in parts.into_iter().flat_map(|part| &part.taxes) {
        *sums.entry(share.tax.to_string()).or_default() += share.amount.minor();
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Proves I6: lines, fees and taxes of any cart add up to its amounts, and the parts of each line, each fee and each
    /// tax add up to their whole.
    #[test]
    fn everything_adds_up(case in any_case()) {
        let PricedCart { lines, fees, taxes, amounts } = case.priced();
        let whole = lines.iter().map(|line| (&line.parts, line.total)).chain(fees.iter().map(|fee| (&fee.parts, fee.amount)));
        for (parts, total) in whole {
            if !parts.is_empty() {
                prop_assert_eq!(Amount::sum(parts.iter().map(|part| part.amount)).unwrap(), total);
            }
        }
        let parts = || lines.iter().flat_map(|line| &line.parts).chain(fees.iter().flat_map(|fee| &fee.parts));
        let sums = shares(parts());
        for tax in &taxes {
            prop_assert_eq!(sums[tax.id.as_str()], tax.amount.minor(), "{}", tax.id);
            let base = parts().filter(|part| part.taxes.iter().any(|share| share.tax == tax.id));
            prop_assert_eq!(Amount::sum(base.map(|part| part.amount)).unwrap(), tax.base);
        }
        prop_assert_eq!(sums.len(), taxes.len());
        let added = taxes.iter().filter(|tax| !tax.included.is_included());
        prop_assert_eq!(Amount::sum(added.map(|tax| tax.amount)).unwrap(), amounts.tax);
        let fees_of = |is_delivery: bool| {
            let of_kind = fees.iter().filter(|fee| (fee.kind == FeeKind::Delivery) == is_delivery);
            Amount::sum(of_kind.map(|fee| fee.amount)).unwrap()
        };
        prop_assert_eq!((fees_of(true), fees_of(false)), (amounts.delivery_fee, amounts.other_fees));
        prop_assert_eq!(amounts.sum().unwrap(), amounts.total);
    }

    /// Proves I13 for taxes: refunds of all units, one or two at a time and in any order, return exactly the taxes and the
    /// price of each line, and the ledger takes each tax from its own account.
    #[test]
    fn refunds_of_lines_return_their_taxes(case in any_case(), order in proptest::collection::vec(any::<(u8, bool)>(), 60)) {
        let mut life = case.delivered();
        let details = life.order.details.clone();
        let mut left: Vec<u32> = details.lines.iter().map(|line| line.quantity).collect();
        let mut order = order.into_iter().cycle();
        while left.iter().any(|count| *count > 0) {
            let (pick, is_pair) = order.next().unwrap();
            let open: Vec<usize> = (0..left.len()).filter(|line| left[*line] > 0).collect();
            let line = open[usize::from(pick) % open.len()];
            let quantity = if is_pair { left[line].min(2) } else { 1 };
            left[line] -= quantity;
            let lines = vec![RefundLine { line: u32::try_from(line).unwrap(), quantity }];
            let borne_by = RefundBearer::ALL[usize::from(pick) % RefundBearer::ALL.len()];
            let request = RefundRequest {
                lines, borne_by: Some(borne_by), ..RefundRequest::new(None, RefundReason::MissingItem)
            };
            life.try_give(&Command::Refund(request), &admin());
        }
        let refunds = || life.order.refunds.iter().map(|state| &state.refund);
        let mut returned: BTreeMap<String, i64> = BTreeMap::new();
        for share in refunds().flat_map(|refund| &refund.taxes) {
            *returned.entry(share.tax.to_string()).or_default() += share.amount.minor();
        }
        // A refund of nothing is refused. Its units are free, and so are their taxes.
        let of_lines = shares(details.lines.iter().flat_map(|line| &line.parts));
        let price: i64 = details.lines.iter().map(|line| line.total.minor()).sum();
        let added: i64 = details.taxes.iter().filter(|tax| !tax.included.is_included()).filter_map(|tax| of_lines.get(tax.id.as_str())).sum();
        prop_assert_eq!(refunds().map(|refund| refund.amount.minor()).sum::<i64>(), price + added);
        for (tax, amount) in of_lines {
            prop_assert_eq!(returned.get(&tax).copied().unwrap_or(0), amount, "{}", tax);
        }
    }

    /// Proves I13: the sale gives each tax its amount and each receiver its fees less their included taxes; every posting
    /// sums to zero; and refunds that everyone bears, in any parts, leave every account at zero.
    #[test]
    fn a_full_refund_leaves_nothing(case in any_case(), parts in proptest::collection::vec(1_i64..2_000, 0..5)) {
        let mut life = case.delivered();
        let details = life.order.details.clone();
        let postings = ledger(&life.history);
        let balance = |postings: &[dabba_domain::ledger::LedgerPosting], account, tax: Option<&str>| -> i64 {
            let entries = postings.iter().flat_map(|posting| &posting.entries);
            let entries = entries.filter(|entry| entry.account == account && entry.tax.as_ref().map(Slug::as_str) == tax);
            entries.map(|entry| entry.amount).sum()
        };
        for tax in &details.taxes {
            prop_assert_eq!(balance(&postings, LedgerAccount::Tax, Some(tax.id.as_str())), tax.amount.minor());
        }
        let included = |parts: &[TaxedPart]| -> i64 {
            let ids: Vec<_> = details.taxes.iter().filter(|tax| tax.included.is_included()).map(|tax| tax.id.as_str()).collect();
            shares(parts).iter().filter(|(id, _)| ids.contains(&id.as_str())).map(|(_, amount)| amount).sum()
        };
        let is_collected = details.fulfilment == Fulfilment::Collection;
        let mut expected = BTreeMap::from([(LedgerAccount::Restaurant, 0), (LedgerAccount::Platform, 0),
            (LedgerAccount::Courier, 0), (LedgerAccount::Authority, 0)]);
        let courier = if is_collected { LedgerAccount::Restaurant } else { LedgerAccount::Courier };
        for line in &details.lines {
            *expected.get_mut(&LedgerAccount::Restaurant).unwrap() += line.total.minor() - included(&line.parts);
        }
        *expected.get_mut(&courier).unwrap() += details.amounts.tip.minor();
        for fee in &details.fees {
            let account = match fee.receiver {
                FeeReceiver::Restaurant => LedgerAccount::Restaurant,
                FeeReceiver::Platform => LedgerAccount::Platform,
                FeeReceiver::Courier => courier,
                FeeReceiver::Authority => LedgerAccount::Authority,
            };
            *expected.get_mut(&account).unwrap() += fee.amount.minor() - included(&fee.parts);
        }
        for (account, amount) in expected {
            prop_assert_eq!(balance(&postings, account, None), amount, "{:?}", account);
        }
        for minor in parts.into_iter().map(Some).chain([None]) {
            let request = RefundRequest::new(minor.map(amount), RefundReason::Quality);
            let request = RefundRequest { borne_by: Some(RefundBearer::Everyone), ..request };
            life.try_give(&Command::Refund(request), &admin());
        }
        let postings = ledger(&life.history);
        for posting in &postings {
            prop_assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0);
        }
        let mut left: BTreeMap<(LedgerAccount, Option<String>), i64> = BTreeMap::new();
        for entry in postings.iter().flat_map(|posting| &posting.entries) {
            *left.entry((entry.account, entry.tax.as_ref().map(ToString::to_string))).or_default() += entry.amount;
        }
        for ((account, tax), amount) in left {
            if !matches!(account, LedgerAccount::Customer | LedgerAccount::Refunds) {
                prop_assert_eq!(amount, 0, "{:?} {:?}", account, tax);
            }
        }
    }

    /// Proves that the terms of an order survive their stored form.
    #[test]
    fn terms_survive_storage(case in any_case()) {
        let details = case.delivered().order.details;
        let stored = serde_json::to_string(&details).unwrap();
        prop_assert_eq!(&serde_json::from_str::<OrderDetails>(&stored).unwrap(), &*details);
        let stored = serde_json::to_string(&case.settings).unwrap();
        prop_assert_eq!(serde_json::from_str::<RestaurantSettings>(&stored).unwrap(), case.settings);
        let stored = serde_json::to_string(&case.menu).unwrap();
        prop_assert_eq!(serde_json::from_str::<Menu>(&stored).unwrap(), case.menu);
    }
}
