//! Creates the data that a load uses, through the API.

use bytes::Bytes;
use dabba_domain::{AccountId, Role};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::Dataset;
use crate::{Client, ClientError};

/// Number of restaurants to create without another number.
const RESTAURANTS: usize = 12;
/// Maximum number of restaurants to create.
pub const MAX_RESTAURANTS: usize = 10_000;
/// Number of restaurants to create at the same time.
const SIMULTANEOUS: usize = 8;
/// Number of customers to create.
const CUSTOMERS: usize = 16;
/// Number of items per menu.
const MENU_ITEMS: usize = 200;
/// Stock of the limited item: the maximum.
const STOCK: u32 = dabba_domain::limits::MAX_STOCK;
/// A password that is never used, because the issuer signs the tokens.
const PASSWORD: &str = "nobody logs in with this";

/// Issues tokens and unused account ids.
pub trait Issuer {
    /// Returns a token for an account.
    fn token(&self, account_id: AccountId, role: Role) -> String;

    /// Returns an id that no account has.
    fn fresh_account_id(&self) -> AccountId;
}

/// Creates restaurants with menus and staff, and tokens for customers and a courier. `run` separates the data
/// from that of another run.
pub async fn prepare(client: &Client, issuer: &impl Issuer, run: &str) -> Result<Dataset, ClientError> {
    prepare_restaurants(client, issuer, run, RESTAURANTS).await
}

/// Like [`prepare`], with this number of restaurants, at most [`MAX_RESTAURANTS`].
pub async fn prepare_restaurants(
    client: &Client,
    issuer: &impl Issuer,
    run: &str,
    count: usize,
) -> Result<Dataset, ClientError> {
    let person = |role| issuer.token(issuer.fresh_account_id(), role);
    let admin = client.with_token(&person(Role::Admin));
    // One account serves all restaurants, because a server limits the number of new accounts per address.
    let account = json!({
        "email": format!("{run}@bench.example"), "name": "Staff", "password": PASSWORD, "role": "restaurant",
    });
    let account = id_of(&admin.post("/v1/accounts").json(&account).send().await?.body);
    let staff_account: Option<AccountId> = account.parse().ok();
    let restaurants = stream::iter(0..count.min(MAX_RESTAURANTS)).map(|number| {
        let (admin, account, name) = (&admin, &account, format!("{run}-{number}"));
        async move { restaurant(admin, account, &name).await }
    });
    Ok(Dataset {
        restaurants: restaurants.buffered(SIMULTANEOUS).try_collect().await?,
        staff: staff_account.map(|id| issuer.token(id, Role::Restaurant)).unwrap_or_default(),
        staff_account,
        customers: (0..CUSTOMERS).map(|_| person(Role::Customer)).collect(),
        courier: person(Role::Courier),
        order: Bytes::from(order().to_string()),
        orders: Vec::new(),
        placed: None,
    })
}

/// Creates a restaurant whose staff is this account. Returns the restaurant's id.
async fn restaurant(admin: &Client, account: &str, name: &str) -> Result<String, ClientError> {
    let id = id_of(&admin.post("/v1/restaurants").json(&settings(name)).send().await?.body);
    let path = |rest: &str| format!("/v1/restaurants/{id}{rest}");
    admin.put(&path("/menu")).if_match("*").json(&menu()).send().await?;
    let stock = json!({"remaining": STOCK});
    admin.put(&path("/menu/items/limited/stock")).json(&stock).send().await?;
    admin.put(&path(&format!("/members/{account}"))).send().await?;
    Ok(id)
}

fn id_of(body: &Value) -> String {
    body["id"].as_str().unwrap_or_default().to_owned()
}

/// Returns the settings of a restaurant.
pub(super) fn settings(name: &str) -> Value {
    json!({
        "name": format!("Bench {name}"), "currency": "GBP", "time_zone": "Europe/London",
        "tax_rate_basis_points": 2_000, "delivery": {"fee": 299}, "acceptance_deadline_seconds": 86_400,
    })
}

/// Returns a menu of plain items and three items that are ordered: two with options and one with limited
/// stock.
pub(super) fn menu() -> Value {
    let plain = (3..MENU_ITEMS).map(|number| {
        json!({
            "id": format!("dish-{number}"), "name": format!("Dish {number}"), "price_minor": 500 + number, "tags": ["vegan"],
            "description": "Slowly cooked, with what the market had this morning.",
        })
    });
    let group = json!({"id": "heat", "name": "Heat", "min": 1, "max": 2, "options": [
        {"id": "mild", "name": "Mild", "price_minor": 0}, {"id": "hot", "name": "Hot", "price_minor": 50}]});
    let ordered = [
        json!({"id": "curry", "name": "Curry", "price_minor": 995, "option_groups": [group.clone()]}),
        json!({"id": "dal", "name": "Dal", "price_minor": 650, "option_groups": [group]}),
        json!({"id": "limited", "name": "Limited", "price_minor": 350}),
    ];
    let items: Vec<Value> = ordered.into_iter().chain(plain).collect();
    json!({"categories": [{"name": "All", "items": items}]})
}

/// Returns an order of three items, two of them with an option, for delivery.
fn order() -> Value {
    let hot = json!([{"group": "heat", "option": "hot"}]);
    json!({
        "lines": [
            {"item": "curry", "quantity": 2, "options": hot},
            {"item": "dal", "quantity": 1, "options": hot, "note": "No coriander, please"},
            {"item": "limited", "quantity": 1},
        ],
        "fulfilment": {"type": "delivery", "address": {
            "line1": "12 Lantern Street", "city": "London", "postal_code": "E2 0XX"}},
        "tip": 150,
        "payment_method": "cash",
        "contact": {"name": "Asha Rao", "phone": "+44 20 7946 0000"},
    })
}
