//! A restaurant, its actors and an order, for the tests of the domain.

use dabba_domain::{
    AccountId, Actor, Amount, Bucket, OrderId, RestaurantId, Timestamp,
    menu::{Menu, MenuDocument},
    order::{
        Address, Decision, Fulfilment, Order, OrderDetails, PaymentMethod, PaymentToken, StockDraw, place,
    },
    pricing::{Amounts, OrderLine},
    restaurant::{RestaurantSettings, SettingsDocument},
    text::{Name, Slug},
};
use jiff::SignedDuration;
use serde_json::json;

pub(crate) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn account(number: u64) -> AccountId {
    AccountId::generate(now(), Bucket::from_random(0), number << 2)
}

pub(crate) fn restaurant(number: u64) -> RestaurantId {
    RestaurantId::generate(now(), Bucket::from_random(number), number << 2)
}

pub(crate) fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

pub(crate) fn settings() -> RestaurantSettings {
    let document = json!({
        "name": "Tiffin Room", "currency": "GBP", "time_zone": "Europe/London", "tax_rate_basis_points": 2_000,
        "delivery": {"fee": 250, "free_from": 3_000, "minimum_order": 1_000}, "refund_limit": 500,
    });
    serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap()
}

pub(crate) fn menu() -> Menu {
    let document = json!({"categories": [{"name": "Mains", "items": [
        {"id": "dal", "name": "Dal", "price_minor": 650},
        {"id": "korma", "name": "Korma", "price_minor": 0, "option_groups": [
            {"id": "protein", "name": "Protein", "min": 1, "max": 1, "options": [
                {"id": "chicken", "name": "Chicken", "price_minor": 995}, {"id": "paneer", "name": "Paneer", "price_minor": 895}]},
            {"id": "extras", "name": "Extras", "min": 0, "max": 2, "options": [
                {"id": "chilli", "name": "Chilli", "price_minor": 0}, {"id": "nuts", "name": "Nuts", "price_minor": 75},
                {"id": "cream", "name": "Cream", "price_minor": 50}]},
        ]},
        {"id": "lassi", "name": "Lassi", "price_minor": 333},
    ]}]});
    serde_json::from_value::<MenuDocument>(document).unwrap().validate().unwrap()
}

pub(crate) const CUSTOMER: u64 = 1;
pub(crate) const STAFF: u64 = 2;
pub(crate) const COURIER: u64 = 3;
pub(crate) const ADMIN: u64 = 4;
/// Account of a stranger: another customer, courier and member of staff.
pub(crate) const STRANGER: u64 = 5;

pub(crate) fn customer() -> Actor {
    Actor::customer(account(CUSTOMER))
}
pub(crate) fn staff() -> Actor {
    Actor::Restaurant { account_id: account(STAFF), restaurant_id: restaurant(1) }
}
pub(crate) fn courier() -> Actor {
    Actor::Courier { account_id: account(COURIER) }
}
pub(crate) fn admin() -> Actor {
    Actor::Admin { account_id: account(ADMIN) }
}

pub(crate) fn delivery() -> Fulfilment {
    let name = |text| Name::new(text).unwrap();
    Fulfilment::Delivery {
        address: Address {
            line1: name("1 Lunchbox Lane"),
            line2: None,
            street: None,
            number: None,
            complement: None,
            district: None,
            state: None,
            country: None,
            formatted: None,
            city: name("London"),
            postal_code: None,
            location: None,
            instructions: None,
        },
    }
}

pub(crate) fn details(fulfilment: Fulfilment) -> OrderDetails {
    let line = OrderLine {
        item: Slug::new("dal").unwrap(),
        name: Name::new("Dal").unwrap(),
        quantity: 2,
        unit_price: amount(650),
        total: amount(1_300),
        options: Vec::new(),
        note: None,
        parts: Vec::new(),
        rules: Vec::new(),
    };
    OrderDetails {
        terms_version: 1,
        restaurant_id: restaurant(1),
        restaurant_name: Name::new("Tiffin Room").unwrap(),
        customer_id: account(CUSTOMER),
        lines: vec![line],
        fees: Vec::new(),
        taxes: Vec::new(),
        currency: settings().currency,
        amounts: Amounts {
            subtotal: amount(1_300),
            tax: amount(260),
            total: amount(1_560),
            ..Amounts::default()
        },
        fulfilment,
        delivery_zone: None,
        contact: None,
        payment_method: PaymentMethod::Cash,
        payment_deadline: None,
        note: None,
        menu_revision: 1,
        stock_drawn: vec![StockDraw { item: Slug::new("dal").unwrap(), quantity: 2 }],
    }
}

/// Time until the payment deadline of a payment by card.
pub(crate) const PAYMENT_TIME: SignedDuration = SignedDuration::from_mins(10);

pub(crate) fn token() -> PaymentToken {
    PaymentToken::new("tok_4242").unwrap()
}

/// Places an order with these details, with a token if the payment is by card.
pub(crate) fn placed_with(details: OrderDetails) -> Decision {
    let id = OrderId::generate(now(), restaurant(1).bucket(), 99);
    let token = token();
    let card = (details.payment_method == PaymentMethod::Card).then_some(&token);
    place(id, details, card, &settings(), now()).unwrap()
}

pub(crate) fn placed(fulfilment: Fulfilment) -> Decision {
    placed_with(details(fulfilment))
}

pub(crate) fn placed_by_card(fulfilment: Fulfilment) -> Decision {
    placed_with(OrderDetails {
        payment_method: PaymentMethod::Card,
        payment_deadline: Some(now() + PAYMENT_TIME),
        ..details(fulfilment)
    })
}

pub(crate) fn order(fulfilment: Fulfilment) -> Order {
    placed(fulfilment).order
}
