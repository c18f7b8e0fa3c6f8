//! Limits against abuse: open orders per customer, and stored keys of requests without effect.

use std::{num::NonZeroUsize, sync::Arc};

use dabba_domain::{
    AccountId, Bucket, Role,
    order::{Command, CommandKind, OrderStatus},
    text::Note,
};
use dabba_engine::{CommandRequest, Conditional, Conflict, EngineConfig, Error, Principal};
use dabba_store::OrderStore as _;
use jiff::SignedDuration;
use tokio::task::JoinSet;

use crate::{
    working::{Worker, working_config},
    world::{World, accept, cancel, config, dal, key, start_of_time},
};

async fn limited_to(limit: usize) -> World {
    World::with(EngineConfig { max_open_orders: NonZeroUsize::new(limit), ..config() }).await
}

fn principal(number: u64, role: Role) -> Principal {
    Principal::new(AccountId::generate(start_of_time(), Bucket::from_random(0), number << 2), role)
}

fn is_too_many<T>(placed: &Result<T, Error>, counted: usize, maximum: usize) -> bool {
    matches!(
        placed,
        Err(Error::Conflict(Conflict::TooManyOpenOrders { open, limit })) if (*open, *limit) == (counted, maximum)
    )
}

/// Proves that the open orders of a customer are limited, that an order that ends no longer counts, however it ends,
/// and that retries of placed orders and other customers are not refused.
#[tokio::test]
async fn open_orders_per_customer_are_limited() {
    let world = limited_to(3).await;
    let mut placed = Vec::new();
    for name in ["a", "b", "c"] {
        placed.push(world.place(&dal(1), name).await.unwrap().order);
    }
    assert!(is_too_many(&world.place(&dal(1), "d").await, 3, 3));
    let again = world.place(&dal(1), "a").await.unwrap();
    assert_eq!((again.order.id, again.replayed), (placed[0].id, true));
    assert!(matches!(world.place(&dal(2), "a").await, Err(Error::KeyReused)));
    let other = principal(77, Role::Customer);
    world.engine.orders.place(&other, world.restaurant_id, &dal(1), key("a")).await.unwrap();

    world.act(&world.customer, placed[0].id, cancel()).await.unwrap();
    world.place(&dal(1), "d").await.unwrap();
    assert!(is_too_many(&world.place(&dal(1), "e").await, 3, 3));
    for command in [accept(), Command::MarkReady, Command::deliver()] {
        assert!(is_too_many(&world.place(&dal(1), "e").await, 3, 3), "the order has not ended yet");
        world.act(&world.staff, placed[1].id, command).await.unwrap();
    }
    world.place(&dal(1), "e").await.unwrap();
    assert!(is_too_many(&world.place(&dal(1), "f").await, 3, 3));
    assert_eq!(world.orders().await.len(), 6, "refused orders are not stored");
}

/// Proves that a burst of concurrent requests does not exceed the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_does_not_exceed_the_limit() {
    let world = Arc::new(limited_to(5).await);
    let mut placing = JoinSet::new();
    for number in 0..64 {
        let world = Arc::clone(&world);
        placing.spawn(async move { world.place(&dal(1), &format!("k{number}")).await });
    }
    let placed = placing.join_all().await;
    let refused = |result: &Result<_, Error>| {
        matches!(result, Err(Error::Conflict(Conflict::TooManyOpenOrders { limit: 5, .. })))
    };
    assert!(placed.iter().all(|result| result.is_ok() || refused(result)));
    assert_eq!(placed.iter().filter(|result| result.is_ok()).count(), world.orders().await.len());
    assert!((1..=5).contains(&world.orders().await.len()));
}

/// Proves that orders that end elsewhere do not block a customer: another server ends them, or a task of this server
/// does.
#[tokio::test]
async fn an_order_that_ended_elsewhere_no_longer_counts() {
    let config = EngineConfig { max_open_orders: NonZeroUsize::new(1), ..working_config() };
    let world = World::with(config).await;
    let first = world.place(&dal(1), "a").await.unwrap().order;
    assert!(is_too_many(&world.place(&dal(1), "b").await, 1, 1), "this refusal reads the order");
    let request =
        CommandRequest { order_id: first.id, command: cancel(), key: None, expected_versions: None };
    world.second_engine().orders.act(&world.customer, &request).await.unwrap();
    assert!(
        is_too_many(&world.place(&dal(1), "b").await, 1, 1),
        "the order was read less than ten seconds before"
    );
    world.clock.advance(SignedDuration::from_secs(10));
    let second = world.place(&dal(1), "b").await.unwrap().order;

    let worker = Worker::start(&world.engine);
    world.advance_to_deadline(&second);
    world.until_no_tasks(&worker).await;
    assert_eq!(world.read(second.id).await.status, OrderStatus::Cancelled);
    world.place(&dal(1), "c").await.unwrap();
    worker.stop().await;
}

/// Proves that the key of a request without effect is not stored, for every repeatable command and for changes of a
/// restaurant: an account cannot fill the store with keys.
#[tokio::test]
async fn no_key_is_stored_for_a_request_without_effect() {
    let world = World::new().await;
    let staff = world.staff;
    let order = world.place(&dal(1), "placed").await.unwrap().order;
    let ended = world.place(&dal(1), "ended").await.unwrap().order;
    let is_stored = async |caller: &Principal, name: &str| {
        let found = world.store.find_claim(caller.account_id, world.restaurant_id, &key(name)).await;
        found.unwrap().is_some()
    };
    let steps = [
        (world.customer, ended.id, cancel()),
        (staff, order.id, accept()),
        (staff, order.id, Command::MarkReady),
        (staff, order.id, Command::deliver()),
    ];
    for (caller, order_id, command) in steps {
        let kind: CommandKind = command.kind();
        let send = async |name: String| {
            let request = CommandRequest {
                order_id,
                command: command.clone(),
                key: Some(key(&name)),
                expected_versions: None,
            };
            world.engine.orders.act(&caller, &request).await
        };
        send(format!("{kind:?}-1")).await.unwrap();
        assert!(is_stored(&caller, &format!("{kind:?}-1")).await, "{kind:?}");
        for number in 2..5 {
            let name = format!("{kind:?}-{number}");
            send(name.clone()).await.unwrap();
            assert!(!is_stored(&caller, &name).await, "{name}");
        }
    }

    let (id, admin) = (world.restaurant_id, world.admin);
    let under = |name: &str| Conditional { expected: None, key: Some(key(name)) };
    let reason = || Note::new("The lease has ended.").unwrap();
    for (number, is_first) in [(1, true), (2, false), (3, false)] {
        let name = |what: &str| format!("{what}-{number}");
        world.engine.catalogue.pause_under(&staff, id, None, under(&name("pause"))).await.unwrap();
        assert_eq!(is_stored(&staff, &name("pause")).await, is_first);
    }
    for (number, is_first) in [(1, true), (2, false), (3, false)] {
        let name = |what: &str| format!("{what}-{number}");
        world.engine.catalogue.resume_under(&staff, id, under(&name("resume"))).await.unwrap();
        assert_eq!(is_stored(&staff, &name("resume")).await, is_first);
        let closing = Some(key(&name("close")));
        world.engine.catalogue.close_restaurant(&admin, id, reason(), closing).await.unwrap();
        assert_eq!(is_stored(&admin, &name("close")).await, is_first);
    }
    for (number, is_first) in [(1, true), (2, false)] {
        let name = format!("reopen-{number}");
        world.engine.catalogue.reopen_restaurant(&admin, id, Some(key(&name))).await.unwrap();
        assert_eq!(is_stored(&admin, &name).await, is_first);
    }
}
