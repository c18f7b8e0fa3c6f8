//! The demo: three invented restaurants, and one account of each role.
//!
//! The demo is added once and found again later: the accounts by their e-mail addresses, the restaurants by the
//! memberships of the restaurant account. Nobody knows the passwords of the accounts; tokens for them need the signing
//! key.

use dabba_domain::{AccountId, RestaurantId, Role, import, import::RestaurantDocument, text::Slug};
use dabba_engine::{Conflict, Engine, Error, Principal, Random as _, Registration, SystemRandom};
use dabba_store::{Account, OrderQuery, OrderScope, PageSize, Store};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// Restaurants in the format of `import-menu`. [`ORDER`] is an order at the first one.
const RESTAURANTS: [&str; 3] = [
    include_str!("../demo/saffron-lane.json"),
    include_str!("../demo/taberna-do-farol.json"),
    include_str!("../demo/harbour-noodles.json"),
];
/// An order that the first restaurant accepts.
const ORDER: &str = include_str!("../demo/order.json");
/// Item of the first restaurant with limited stock, and that stock.
const LIMITED_ITEM: (&str, u32) = ("lane-thali", 20);
/// Address of the restaurants' account.
pub(crate) const RESTAURANT_EMAIL: &str = "restaurant@dabba.example";
/// Address of the courier's account.
pub(crate) const COURIER_EMAIL: &str = "courier@dabba.example";
/// Address of the admin's account.
pub(crate) const ADMIN_EMAIL: &str = "admin@dabba.example";
/// Beginning of the external ids of the demo's restaurants.
pub(crate) const EXTERNAL_ID_PREFIX: &str = "dabba-demo-";
/// One account of each role. The domain is reserved, so that nobody owns these addresses (RFC 2606).
const ACCOUNTS: [(Role, &str, &str); 4] = [
    (Role::Admin, ADMIN_EMAIL, "Dabba operations"),
    (Role::Customer, "customer@dabba.example", "Asha Rao"),
    (Role::Restaurant, RESTAURANT_EMAIL, "Mina Shah"),
    (Role::Courier, COURIER_EMAIL, "Bo Lind"),
];

/// The demo in a store.
#[derive(Debug)]
pub(crate) struct Demo {
    /// Restaurant of the order.
    pub(crate) restaurant_id: RestaurantId,
    /// Name of that restaurant.
    pub(crate) restaurant_name: String,
    /// An order that the restaurant accepts.
    pub(crate) order: Value,
    /// Links to the pages, if the server has pages and only this machine can reach it.
    pub(crate) links: Option<DemoLinks>,
    admin: Principal,
    customer: Principal,
    restaurant: Principal,
    courier: Principal,
}

impl Demo {
    /// Returns the account with this role.
    pub(crate) const fn bearer(&self, role: Role) -> Principal {
        match role {
            Role::Admin => self.admin,
            Role::Customer => self.customer,
            Role::Restaurant => self.restaurant,
            Role::Courier => self.courier,
        }
    }

    /// Creates links that log into the pages of the server with this URL. Without a link, the demo is still usable, so a
    /// failure is only logged.
    pub(crate) async fn create_links(&mut self, engine: &Engine, url: &str) {
        match DemoLinks::create(engine, self, url).await {
            Ok(links) => self.links = Some(links),
            Err(failure) => tracing::warn!(error = %failure, "the demo has no login links"),
        }
    }
}

/// One-time links that log into the pages as the accounts of the demo.
#[derive(Debug, Serialize)]
pub(crate) struct DemoLinks {
    /// The kitchen's board, as the restaurant's account.
    pub(crate) kitchen: String,
    /// The operations console, as the admin.
    pub(crate) console: String,
    /// The ordering page, as the customer.
    pub(crate) ordering: String,
}

impl DemoLinks {
    /// Creates links to the pages of the server with this URL.
    async fn create(engine: &Engine, demo: &Demo, url: &str) -> Result<Self, Failure> {
        let link = async |role: Role, next: String| {
            let created = engine.accounts.create_login_link(&demo.admin, demo.bearer(role).account_id).await;
            let created = created.map_err(Failure::during("creating the demo's login links"))?;
            Ok::<_, Failure>(format!("{url}/login#{}&next={next}", created.token.expose()))
        };
        let restaurant = demo.restaurant_id;
        Ok(Self {
            kitchen: link(Role::Restaurant, format!("/kitchen/{restaurant}")).await?,
            console: link(Role::Admin, "/console".to_owned()).await?,
            ordering: link(Role::Customer, format!("/order/{restaurant}")).await?,
        })
    }
}

/// Finds the demo in the store, and adds missing parts. Several servers may do so concurrently.
pub(crate) async fn ensure(engine: &Engine, store: &dyn Store) -> Result<Demo, Failure> {
    refuse_real_data(store).await?;
    let mut accounts = Vec::with_capacity(ACCOUNTS.len());
    for (role, email, name) in ACCOUNTS {
        accounts.push(ensure_account(engine, store, role, email, name).await?);
    }
    let bearer_of = |role: Role| {
        let found = accounts.iter().find(|account| account.role == role);
        let bearer = |account: &Account| Principal {
            as_of: account.revocation,
            ..Principal::new(account.id, account.role)
        };
        found.map(bearer).ok_or_else(|| Failure::new("the demo lacks an account"))
    };
    let (admin, restaurant) = (bearer_of(Role::Admin)?, bearer_of(Role::Restaurant)?);
    let mut first = None;
    let mut present = Vec::new();
    for id in store.memberships(restaurant.account_id).await.map_err(Failure::during("finding the demo"))? {
        let entry = engine.catalogue.entry(id).await.map_err(Failure::during("finding the demo"))?;
        present.push((id, entry.restaurant().settings.name.to_string()));
    }
    for text in RESTAURANTS {
        let documents = import::read(text).map_err(Failure::during("the demo's restaurants"))?;
        for document in documents {
            let name = document.settings.name.clone();
            let id = match present.iter().find(|(_, present)| *present == name) {
                Some((id, _)) => *id,
                None => add_restaurant(engine, &admin, document, restaurant.account_id).await?,
            };
            first.get_or_insert((id, name));
        }
    }
    let (restaurant_id, restaurant_name) = first.ok_or_else(|| Failure::new("the demo is empty"))?;
    Ok(Demo {
        restaurant_id,
        restaurant_name,
        links: None,
        order: serde_json::from_str(ORDER).map_err(Failure::during("the demo's order"))?,
        admin,
        customer: bearer_of(Role::Customer)?,
        restaurant,
        courier: bearer_of(Role::Courier)?,
    })
}

async fn ensure_account(
    engine: &Engine,
    store: &dyn Store,
    role: Role,
    email: &str,
    name: &str,
) -> Result<Account, Failure> {
    let during = |error: String| Failure::new(format!("adding the demo account {email}: {error}"));
    let find = async || match store.account_by_email(email).await {
        Ok(Some(account)) if account.disabled_at.is_some() => {
            Err(during(format!("it is disabled: enable it with `dabba accounts enable {}`", account.id)))
        }
        Ok(Some(account)) if account.role != role => {
            Err(during(format!("it exists, with the role {}", account.role.as_str())))
        }
        found => found.map_err(|error| during(error.to_string())),
    };
    if let Some(account) = find().await? {
        return Ok(account);
    }
    // The platform itself adds its first admin, since no other admin exists.
    let platform = Principal::new(fresh_account_id(engine), Role::Admin);
    let password = format!("{:016x}{:016x}", SystemRandom.next_u64(), SystemRandom.next_u64());
    let registration = Registration { email: email.to_owned(), name: name.to_owned(), password, role };
    match engine.accounts.register(Some(&platform), registration).await {
        // Another server has added the account concurrently.
        Err(Error::Conflict(Conflict::EmailTaken)) => {
            find().await?.ok_or_else(|| during(Conflict::EmailTaken.to_string()))
        }
        registered => registered.map_err(|error| during(error.to_string())),
    }
}

/// Refuses a database that has orders and no demo: the demo would add invented restaurants, and accounts whose tokens
/// are printed.
async fn refuse_real_data(store: &dyn Store) -> Result<(), Failure> {
    let during = || Failure::during("finding the demo");
    // Orders are read before accounts, while a demo adds accounts before orders. So a demo that another server adds
    // concurrently does not count as real data.
    let query =
        OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after: None, limit: PageSize::DEFAULT };
    let page = store.list_orders(&query).await.map_err(during())?;
    let (_, email, _) = ACCOUNTS[0];
    if page.orders.is_empty() || store.account_by_email(email).await.map_err(during())?.is_some() {
        return Ok(());
    }
    Err(Failure::new(
        "the database has orders and no demo: --demo would add invented restaurants, and accounts whose tokens are \
         printed. Serve it without --demo, or select another database",
    ))
}

async fn add_restaurant(
    engine: &Engine,
    admin: &Principal,
    document: RestaurantDocument,
    staff: AccountId,
) -> Result<RestaurantId, Failure> {
    let during = format!("adding the demo restaurant {}", document.settings.name);
    let RestaurantDocument { mut settings, menu } = document;
    settings.external_id = Some(external_id(&settings.name));
    let id = match engine.catalogue.create_restaurant(admin, settings, menu).await {
        Ok(entry) => {
            let id = entry.restaurant().id;
            let (item, remaining) = LIMITED_ITEM;
            if entry.menu().item(item).is_some() {
                let item = Slug::new(item).map_err(Failure::during(&during))?;
                let stocked = engine.catalogue.set_stock(admin, id, &item, Some(remaining), None).await;
                stocked.map_err(Failure::during(&during))?;
            }
            id
        }
        // Another server has added the restaurant concurrently.
        Err(Error::Conflict(Conflict::ExternalIdTaken { by })) => by,
        Err(error) => return Err(Failure::during(&during)(error)),
    };
    // The membership comes last, because the demo finds its restaurants by memberships.
    engine.accounts.add_member(admin, id, staff).await.map_err(Failure::during(&during))?;
    Ok(id)
}

/// Returns the external id of a demo restaurant, which prevents a second registration.
fn external_id(name: &str) -> String {
    format!(
        "{EXTERNAL_ID_PREFIX}{}",
        name.to_lowercase().replace(|character: char| !character.is_ascii_alphanumeric(), "-")
    )
}

/// Returns a new account id that is in no store.
pub(crate) fn fresh_account_id(engine: &Engine) -> AccountId {
    crate::commands::token::fresh_account_id(engine.now())
}

#[cfg(test)]
mod tests {
    use dabba_domain::{
        menu::Availability,
        order::OrderRequest,
        pricing::{check_minimum, price},
    };

    use super::*;

    #[test]
    fn the_first_restaurant_accepts_the_demo_order() {
        let RestaurantDocument { settings, menu } = import::read(RESTAURANTS[0]).unwrap().remove(0);
        let (settings, menu) = (settings.validate().unwrap(), menu.validate().unwrap());
        let order: OrderRequest = serde_json::from_str(ORDER).unwrap();
        let cart = order.cart();
        assert_eq!(cart.lines.len(), 3);
        assert!(cart.lines.iter().any(|line| !line.options.is_empty()));
        assert!(cart.lines.iter().all(|line| line.item.as_str() != LIMITED_ITEM.0), "it can be placed often");
        let priced = price(&settings, &menu, cart).unwrap();
        assert_eq!(check_minimum(&settings, cart, priced.amounts.subtotal), Ok(()));
        let amounts = priced.amounts;
        assert!([amounts.tax, amounts.delivery_fee, amounts.tip].iter().all(|amount| !amount.is_zero()));
    }

    #[test]
    fn the_demo_uses_most_catalogue_features() {
        let first = import::read(RESTAURANTS[0]).unwrap().remove(0);
        let menu = first.menu.validate().unwrap();
        assert!(menu.item(LIMITED_ITEM.0).is_some());
        assert!(
            menu.document_availability()
                .any(|(_, stated)| matches!(stated, Availability::Unavailable { .. }))
        );
        let settings = first.settings;
        assert!(settings.opening_hours.is_none(), "the demo is always open");
        assert!(settings.tax_rate_basis_points > 0 && !settings.refund_limit.is_zero());
        let delivery = settings.validate().unwrap().delivery.unwrap();
        assert!(delivery.free_from.is_some() && !delivery.minimum_order.is_zero());
        for text in RESTAURANTS {
            import::read(text).unwrap();
        }
    }
}
