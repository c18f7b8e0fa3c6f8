//! Scopes: a credential without the scope of a use case is refused, whatever its role allows.

mod webhook_endpoints;

use std::path::Path;

use dabba_domain::{
    AccountId, ApiKeyId, Bucket, SessionId, TaskId,
    menu::Availability,
    text::{Note, Slug},
};
use dabba_engine::{
    AccountFilter, AccountHolder, AccountPatch, CommandRequest, Conditional, CustomerName, Error, KeyRequest,
    NewPassword, Principal, Registration, Scope, Scopes, ServiceRegistration, StatisticsQuery,
    StockAdjustment,
};
use dabba_store::PageSize;
use dabba_testkit::sources_below;
use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};

use self::webhook_endpoints::WEBHOOKS;
pub(crate) use self::webhook_endpoints::{hook, webhooks, webhooks_with};
use crate::world::{World, accept, dal, key, menu_with_dal_at, settings, start_of_time};

/// A use case. Only a refusal of the credential's scope is of interest here, so other errors are allowed.
type UseCase = for<'a> fn(&'a World, &'a Principal) -> BoxFuture<'a, Result<(), Error>>;

fn account() -> AccountId {
    AccountId::generate(start_of_time(), Bucket::from_random(0), 99 << 2)
}

fn api_key() -> ApiKeyId {
    ApiKeyId::generate(start_of_time(), Bucket::from_random(0), 98 << 2)
}

fn session() -> SessionId {
    SessionId::generate(start_of_time(), Bucket::from_random(0), 97 << 2)
}

fn page() -> PageSize {
    PageSize::new(PageSize::MAX).unwrap()
}

fn naan() -> Slug {
    Slug::new("naan").unwrap()
}

fn note() -> Note {
    Note::new("a reason").unwrap()
}

/// Returns an order that exists.
async fn order(world: &World) -> dabba_domain::order::Order {
    world.place(&dal(1), "scopes").await.unwrap().order
}

fn task() -> TaskId {
    TaskId::generate(start_of_time(), Bucket::from_random(0), 77)
}

fn password() -> NewPassword {
    NewPassword { password: "another long one".into(), current: None }
}

const ORDERS: &[(Scope, UseCase)] = &[
    (Scope::WriteOrders, |world, caller| {
        async move {
            let placed = world.engine.orders.place(caller, world.restaurant_id, &dal(1), key("p")).await;
            placed.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteOrders, |world, caller| {
        async move {
            let order_id = order(world).await.id;
            let request = CommandRequest { order_id, command: accept(), key: None, expected_versions: None };
            world.engine.orders.act(caller, &request).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteOrders, |world, caller| {
        async move {
            let order_id = order(world).await.id;
            let request = CommandRequest { order_id, command: accept(), key: None, expected_versions: None };
            world.engine.orders.preview(caller, &request).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteOrders, |world, caller| {
        async move {
            let order_id = order(world).await.id;
            world.engine.orders.create_tracking_link(caller, order_id).await.map(drop)
        }
        .boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        async move { world.engine.orders.order(caller, order(world).await.id).await.map(drop) }.boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        async move { world.engine.orders.events(caller, order(world).await.id, 0, page()).await.map(drop) }
            .boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        async move { world.engine.orders.receipt(caller, order(world).await.id).await.map(drop) }.boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        async move { world.engine.orders.ledger(caller, order(world).await.id).await.map(drop) }.boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        world.engine.orders.own_orders(caller, Vec::new(), None, page()).map_ok(drop).boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        let code = "PF2DB".parse().unwrap();
        world.engine.orders.orders_with_code(caller, code, &[], page()).map_ok(drop).boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        async move {
            let customer = &CustomerName::Account(account());
            let orders = &world.engine.orders;
            orders.orders_of_customer(caller, customer, Vec::new(), None, page()).await.map(drop)
        }
        .boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        let orders = &world.engine.orders;
        orders.restaurant_orders(caller, world.restaurant_id, Vec::new(), None, page()).map_ok(drop).boxed()
    }),
];

const CATALOGUE: &[(Scope, UseCase)] = &[
    (Scope::WriteCatalogue, |world, caller| {
        let catalogue = &world.engine.catalogue;
        catalogue.create_restaurant(caller, settings(), menu_with_dal_at(1)).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        let catalogue = &world.engine.catalogue;
        catalogue.close_restaurant(caller, world.restaurant_id, note(), None).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        let catalogue = &world.engine.catalogue;
        catalogue.reopen_restaurant(caller, world.restaurant_id, None).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        let catalogue = &world.engine.catalogue;
        catalogue.replace_settings(caller, world.restaurant_id, settings(), None).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        world.engine.catalogue.pause(caller, world.restaurant_id, None).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        world.engine.catalogue.resume(caller, world.restaurant_id).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        let catalogue = &world.engine.catalogue;
        catalogue.replace_menu(caller, world.restaurant_id, menu_with_dal_at(1), None).map_ok(drop).boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        async move {
            let (id, gone) = (world.restaurant_id, Availability::Unavailable { until: None });
            world.engine.catalogue.set_availability(caller, id, &naan(), gone, None).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        async move {
            let id = world.restaurant_id;
            world.engine.catalogue.set_stock(caller, id, &naan(), Some(3), None).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteCatalogue, |world, caller| {
        async move {
            let adjustment = StockAdjustment { by: 1, expected: None, key: key("s") };
            let catalogue = &world.engine.catalogue;
            catalogue.adjust_stock(caller, world.restaurant_id, &naan(), adjustment).await.map(drop)
        }
        .boxed()
    }),
    (Scope::ReadCatalogue, |world, caller| {
        world.engine.catalogue.stock(caller, world.restaurant_id).map_ok(drop).boxed()
    }),
    (Scope::ReadCatalogue, |world, caller| {
        async move { world.engine.catalogue.stock_of(caller, world.restaurant_id, &naan()).await.map(drop) }
            .boxed()
    }),
    (Scope::ReadCatalogue, |world, caller| {
        async move { world.engine.boards.of_restaurant(caller, world.restaurant_id).await.map(drop) }.boxed()
    }),
];

const ACCOUNTS: &[(Scope, UseCase)] = &[
    (Scope::WriteAccounts, |world, caller| {
        let registration = Registration {
            email: "new@example.com".into(),
            name: "New".into(),
            password: "long enough for all".into(),
            role: dabba_domain::Role::Courier,
        };
        world.engine.accounts.register(Some(caller), registration).map_ok(drop).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| world.engine.accounts.own_account(caller).map_ok(drop).boxed()),
    (Scope::ReadAccounts, |world, caller| world.engine.accounts.own_memberships(caller).map_ok(drop).boxed()),
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.account(caller, account()).map_ok(drop).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| {
        let accounts = &world.engine.accounts;
        accounts.accounts(caller, AccountFilter::default(), None, page()).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        let patch = AccountPatch { name: Some("Other".into()), ..AccountPatch::default() };
        let conditions = Conditional::default();
        world.engine.accounts.change_account(caller, account(), patch, conditions).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.set_password(caller, account(), password(), None).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        let accounts = &world.engine.accounts;
        accounts.retry_set_password(caller, account(), password(), None).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.revoke_tokens(caller, account(), None).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.delete_account(caller, account(), None).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.add_member(caller, world.restaurant_id, account()).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.remove_member(caller, world.restaurant_id, account()).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.members(caller, world.restaurant_id, None, page()).map_ok(drop).boxed()
    }),
];

const KEYS: &[(Scope, UseCase)] = &[
    (Scope::WriteAccounts, |world, caller| {
        let registration = ServiceRegistration { name: "Till".into(), role: dabba_domain::Role::Restaurant };
        let accounts = &world.engine.accounts;
        accounts.create_service_account(caller, registration, None).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        let request = KeyRequest { name: "Key".into(), ..KeyRequest::default() };
        world.engine.accounts.create_api_key(caller, account(), request, None).map_ok(drop).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.api_key(caller, account(), api_key()).map_ok(drop).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.api_keys(caller, account(), None, page()).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.revoke_api_key(caller, account(), api_key()).boxed()
    }),
];

const SESSIONS: &[(Scope, UseCase)] = &[
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.sessions(caller, account(), None, page()).map_ok(drop).boxed()
    }),
    (Scope::ReadAccounts, |world, caller| {
        world.engine.accounts.session(caller, account(), session()).map_ok(drop).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.revoke_session(caller, account(), session()).boxed()
    }),
    (Scope::WriteAccounts, |world, caller| {
        world.engine.accounts.create_login_link(caller, account()).map_ok(drop).boxed()
    }),
];

const EVENTS: &[(Scope, UseCase)] = &[
    (Scope::ReadEvents, |world, caller| {
        world.engine.accounts.authorize_feed(caller, Some(world.restaurant_id)).boxed()
    }),
    (Scope::ReadOrders, |world, caller| {
        world.engine.orders.authorize_board(caller, world.restaurant_id).boxed()
    }),
    (Scope::ReadEvents, |world, caller| {
        async move { world.engine.orders.order_for_events(caller, order(world).await.id).await.map(drop) }
            .boxed()
    }),
];

const WORK: &[(Scope, UseCase)] = &[
    (Scope::ReadTasks, |world, caller| world.engine.check_shards(caller).map_ok(drop).boxed()),
    (Scope::ReadOrders, |world, caller| {
        async move {
            let query = StatisticsQuery::new(Vec::new(), None, None, None, world.engine.now()).unwrap();
            world.engine.statistics.read(caller, &query).await.map(drop)
        }
        .boxed()
    }),
    (Scope::ReadTasks, |world, caller| {
        world.engine.work.parked_tasks(caller, None, page()).map_ok(drop).boxed()
    }),
    (Scope::WriteTasks, |world, caller| world.engine.work.retry_task(caller, task()).boxed()),
    (Scope::WriteTasks, |world, caller| {
        async move { world.engine.work.resolve_task(caller, task(), &note()).await }.boxed()
    }),
];

/// Returns whether a use case refuses a credential with these scopes because of its scopes.
async fn is_refused(world: &World, use_case: UseCase, caller: Principal, required: Scope) -> bool {
    match use_case(world, &caller).await {
        Err(Error::Forbidden(text)) => text.contains(&format!("the scope {required};")),
        _ => false,
    }
}

/// Returns the names of the public functions with a caller, from the sources of the engine.
fn functions_with_a_caller() -> Vec<String> {
    let mut names = Vec::new();
    for (_, source) in sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let functions = source.split("pub async fn ").skip(1);
        let signatures = functions.map(|function| function.split_once(" {").unwrap().0);
        let with_caller = signatures.filter(|signature| signature.contains("principal: "));
        names.extend(with_caller.map(|signature| signature.split_once('(').unwrap().0.to_owned()));
    }
    names
}

/// Proves that the tables contain every use case with a caller. The suffix `_under` marks the variant with an
/// idempotency key.
#[test]
fn each_use_case_is_in_a_table() {
    let names = functions_with_a_caller();
    assert!(names.len() > 30, "{names:?}");
    let tables = [include_str!("scopes.rs"), include_str!("scopes/webhook_endpoints.rs")].concat();
    // The credential itself is checked here, before any use case.
    for name in names.iter().filter(|name| *name != "admit") {
        let name = name.strip_suffix("_under").unwrap_or(name);
        assert!(tables.contains(&format!(".{name}(")), "{name} is in no table");
    }
}

/// Proves that each use case requires exactly one scope, whatever the role allows: the credential with all other scopes
/// is refused, and the credential with this scope alone is not.
#[tokio::test]
async fn each_use_case_requires_its_scope() {
    let world = World::new().await;
    let parts = [
        ("orders", ORDERS),
        ("catalogue", CATALOGUE),
        ("accounts", ACCOUNTS),
        ("keys", KEYS),
        ("sessions", SESSIONS),
        ("events", EVENTS),
        ("work", WORK),
        ("webhooks", WEBHOOKS),
    ];
    for (part, use_cases) in parts {
        for (index, (scope, use_case)) in use_cases.iter().enumerate() {
            for role in [world.customer, world.staff, world.admin] {
                // The scope of partners also allows reading events, in their representation for partners.
                let is_other = |other: &Scope| {
                    other != scope && (*scope != Scope::ReadEvents || *other != Scope::PartnerEvents)
                };
                let others: Scopes = Scope::ALL.into_iter().filter(is_other).collect();
                let without = Principal { scopes: others, ..role };
                let with = Principal { scopes: [*scope].into_iter().collect(), ..role };
                assert!(is_refused(&world, *use_case, without, *scope).await, "{part} {index}: {scope}");
                for required in Scope::ALL {
                    let refused = is_refused(&world, *use_case, with, required).await;
                    assert!(!refused, "{part} {index} also requires {required}");
                }
            }
        }
    }
}

/// Proves that the scope of partners allows reading events as a partner, and that every other credential that may read events is
/// none.
#[tokio::test]
async fn the_scope_of_partners_makes_a_partner() {
    let world = World::new().await;
    let admin = |scopes: &[Scope]| Principal { scopes: scopes.iter().copied().collect(), ..world.admin };
    let partner = admin(&[Scope::PartnerEvents, Scope::ReadOrders]);
    assert!(partner.is_partner() && world.engine.accounts.authorize_feed(&partner, None).await.is_ok());
    for other in [world.admin, admin(&[Scope::ReadEvents]), admin(&[Scope::ReadEvents, Scope::PartnerEvents])]
    {
        assert!(!other.is_partner() && world.engine.accounts.authorize_feed(&other, None).await.is_ok());
    }
}

/// Proves that a credential for the events of partners creates no endpoint, which would receive personal data.
#[tokio::test]
async fn a_partner_creates_no_endpoint() {
    let world = World::new().await;
    let admin = |scopes: &[Scope]| Principal { scopes: scopes.iter().copied().collect(), ..world.admin };
    let partner = admin(&[Scope::PartnerEvents, Scope::WriteWebhooks]);
    let refused = webhooks(&world).create(&partner, hook(&world), None).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let other = admin(&[Scope::PartnerEvents, Scope::ReadEvents, Scope::WriteWebhooks]);
    webhooks(&world).create(&other, hook(&world), None).await.unwrap();
}

/// Proves that a service account sets no password, neither its own nor, as an admin, that of another account.
#[tokio::test]
async fn a_service_account_sets_no_password() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    for caller in [world.customer, world.admin] {
        let service = Principal { holder: AccountHolder::Service, ..caller };
        for id in [caller.account_id, account()] {
            let set = accounts.set_password(&service, id, password(), None).await;
            let retried = accounts.retry_set_password(&service, id, password(), Some(key("p"))).await;
            for answer in [set, retried] {
                assert!(matches!(&answer, Err(Error::Forbidden(text)) if text.contains("service account")));
            }
        }
    }
}

/// Proves that each scope is found by its name.
#[test]
fn each_scope_has_a_name() {
    for scope in Scope::ALL {
        assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
    }
    assert_eq!(Scope::from_name("orders"), None);
}

/// Proves that a credential that may only read orders is not offered any action.
#[tokio::test]
async fn a_reader_has_no_actions() {
    let world = World::new().await;
    let order = order(&world).await;
    assert!(!world.engine.orders.allowed_actions(&world.staff, &order).await.unwrap().is_empty());
    let reader = Principal { scopes: [Scope::ReadOrders].into_iter().collect(), ..world.staff };
    assert_eq!(world.engine.orders.order(&reader, order.id).await.unwrap(), order);
    assert_eq!(world.engine.orders.allowed_actions(&reader, &order).await.unwrap(), []);
}
