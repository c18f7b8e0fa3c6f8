//! The cache of recent orders, from which commands are decided without a read.

use dabba_domain::{
    AccountId, Bucket, OrderId, Role,
    order::{Command, OrderRequest, OrderStatus, PaymentStatus},
};
use dabba_engine::{
    CommandRequest, Conflict, Engine, EngineConfig, Error, Principal, Registration, TaskOutcome,
};
use serde_json::json;

use crate::{
    faulty::Fault,
    paying::PayingWorld,
    working::{STOCK, Worker, working_config},
    world::{World, accept, cancel, config, key, start_of_time},
};

fn courier() -> Principal {
    let account_id = AccountId::generate(start_of_time(), Bucket::from_random(0), 9 << 2);
    Principal::new(account_id, Role::Courier)
}

fn ready(order_id: OrderId, name: &str) -> CommandRequest {
    CommandRequest { order_id, command: Command::MarkReady, key: Some(key(name)), expected_versions: None }
}

fn delivered_dal() -> OrderRequest {
    serde_json::from_value(json!({
        "lines": [{"item": "dal", "quantity": 1}], "payment_method": "cash", "fulfilment": {"type": "delivery",
            "address": {"line1": "1 Curry Mile", "city": "Manchester", "postal_code": "M14 5TP"}},
    }))
    .unwrap()
}

/// Places an order and accepts it.
async fn accept_one(world: &World, name: &str) -> OrderId {
    let id = world.place(&delivered_dal(), name).await.unwrap().order.id;
    world.act(&world.staff, id, accept()).await.unwrap();
    id
}

async fn accepted() -> (World, OrderId) {
    let world = World::new().await;
    let id = accept_one(&world, "a").await;
    (world, id)
}

async fn cancelled_by(world: &World, engine: &Engine, order_id: OrderId) {
    let command = cancel();
    let request = CommandRequest { order_id, command, key: None, expected_versions: None };
    engine.orders.act(&world.admin, &request).await.unwrap();
}

/// Proves that an order that this server has changed is not read for the next command.
#[tokio::test]
async fn the_next_command_reads_nothing() {
    let (world, id) = accepted().await;
    world.store.loads.plan(|| Fault::Before);
    for (principal, command, status) in [
        (&world.staff, Command::MarkReady, OrderStatus::ReadyForPickup),
        (&courier(), Command::assign(courier().account_id), OrderStatus::ReadyForPickup),
        (&courier(), Command::PickUp, OrderStatus::OutForDelivery),
        (&courier(), Command::deliver(), OrderStatus::Delivered),
    ] {
        let answer = world.act(principal, id, command).await.unwrap();
        assert_eq!((answer.order.status, answer.replayed), (status, false));
    }
    world.check_histories().await;
}

/// Proves that a full cache evicts the least recently used order.
#[tokio::test]
async fn a_full_cache_evicts_the_least_recently_used_order() {
    let world = World::with(EngineConfig { cached_orders: 1, ..config() }).await;
    let first = accept_one(&world, "a").await;
    let second = accept_one(&world, "b").await;
    world.store.loads.plan(|| Fault::Before);
    let error = world.act(&world.staff, first, Command::MarkReady).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");
    world.act(&world.staff, second, Command::MarkReady).await.unwrap();
}

/// Proves that no command is refused, or answered as already done, on the basis of a cached order: the order is read
/// first.
#[tokio::test]
async fn no_command_is_refused_from_the_cache() {
    let (world, id) = accepted().await;
    world.store.loads.plan(|| Fault::Before);
    for (principal, command) in
        [(&courier(), Command::deliver()), (&world.customer, accept()), (&world.staff, accept())]
    {
        let error = world.act(principal, id, command).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable), "{error}");
    }
    let request = CommandRequest { expected_versions: Some(vec![2]), ..ready(id, "r") };
    let error = world.engine.orders.act(&world.staff, &request).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");

    world.store.loads.plan(|| Fault::None);
    let error = world.engine.orders.act(&world.staff, &request).await.unwrap_err();
    assert!(matches!(error, Error::VersionMismatch { current: 3 }), "{error}");
}

/// Proves that a caller who may read the order or may give the command learns of a wrong expected version before the command is
/// judged, and that no other caller does (I9).
#[tokio::test]
async fn a_wrong_expected_version_is_named_to_parties_only() {
    let (world, id) = accepted().await;
    let request =
        |command| CommandRequest { order_id: id, command, key: None, expected_versions: Some(vec![9]) };
    let assign = Command::assign(courier().account_id);
    for (principal, command) in [
        (&world.staff, Command::MarkReady),
        (&world.staff, Command::PickUp),
        // The order is free, so the courier may take it without being able to read it.
        (&courier(), assign),
    ] {
        let error = world.engine.orders.act(principal, &request(command.clone())).await.unwrap_err();
        assert!(matches!(error, Error::VersionMismatch { current: 3 }), "{command:?}: {error}");
    }
    let error = world.engine.orders.act(&courier(), &request(Command::PickUp)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound("order")), "{error}");
}

/// Proves that a command is decided on the change of another server instead of the stale cached order.
#[tokio::test]
async fn a_stale_cached_order_has_no_effect() {
    let (world, id) = accepted().await;
    cancelled_by(&world, &world.second_engine(), id).await;
    let error = world.act(&world.staff, id, Command::MarkReady).await.unwrap_err();
    let cancelled =
        matches!(error, Error::Conflict(Conflict::IllegalMove { status: OrderStatus::Cancelled, .. }));
    assert!(cancelled, "{error}");
    world.check_histories().await;
}

/// Proves that a decision on a stale cached order does not count as an attempt.
#[tokio::test]
async fn a_stale_cached_order_costs_no_attempt() {
    let world = World::with(EngineConfig { max_decision_attempts: 1, ..config() }).await;
    let id = accept_one(&world, "a").await;
    let command = Command::assign(courier().account_id);
    let request = CommandRequest { order_id: id, command, key: None, expected_versions: None };
    world.second_engine().orders.act(&courier(), &request).await.unwrap();
    let answer = world.act(&world.staff, id, Command::MarkReady).await.unwrap();
    assert_eq!(answer.order.status, OrderStatus::ReadyForPickup);
}

/// Proves that stock is returned once when two servers cancel the order, one of them with a stale cached order (I7).
#[tokio::test]
async fn a_stale_cached_order_returns_no_stock_twice() {
    let world = World::with_stock(config()).await;
    let id = world.place_two("a").await.id;
    cancelled_by(&world, &world.second_engine(), id).await;
    assert_eq!(world.stock_of_dal().await, STOCK);
    let again = world.act(&world.admin, id, cancel()).await.unwrap();
    assert_eq!((again.order.status, world.stock_of_dal().await), (OrderStatus::Cancelled, STOCK));
    world.check_histories().await;
}

/// Proves that a courier cannot change an order that another server has assigned to another courier, although the
/// cached order is assigned to the first one (I9).
#[tokio::test]
async fn a_stale_cached_order_gives_no_access() {
    let (world, id) = accepted().await;
    world.act(&world.staff, id, Command::MarkReady).await.unwrap();
    world.act(&courier(), id, Command::assign(courier().account_id)).await.unwrap();
    let registration = Registration {
        email: "courier@example.com".into(),
        name: "Courier".into(),
        password: "long enough".into(),
        role: Role::Courier,
    };
    let courier_id = world.engine.accounts.register(Some(&world.admin), registration).await.unwrap().id;
    let command = Command::assign(courier_id);
    let request = CommandRequest { order_id: id, command, key: None, expected_versions: None };
    world.second_engine().orders.act(&world.admin, &request).await.unwrap();

    let error = world.act(&courier(), id, Command::PickUp).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error}");
    let order = world.read(id).await;
    assert_eq!((order.status, order.courier_id), (OrderStatus::ReadyForPickup, Some(courier_id)));
}

/// Proves that orders are read for a while after a stale hit.
#[tokio::test]
async fn orders_are_read_after_a_stale_hit() {
    let (world, id) = accepted().await;
    let other = accept_one(&world, "b").await;
    cancelled_by(&world, &world.second_engine(), id).await;
    world.act(&world.staff, id, Command::MarkReady).await.unwrap_err();

    world.store.loads.plan(|| Fault::Before);
    let error = world.act(&world.staff, other, Command::MarkReady).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");
}

/// Proves that a change by a worker of this server is not counted as a change by others: other orders need not be read.
#[tokio::test]
async fn a_change_by_a_worker_of_the_same_server_is_not_a_stale_hit() {
    let paying = PayingWorld::new().await;
    let world = &paying.world;
    let by_card = paying.place("tok_succeed").await.id;
    paying.until(by_card, "confirmed", |order| order.status == OrderStatus::Confirmed).await;
    world.act(&world.staff, by_card, accept()).await.unwrap();
    let in_cash = accept_one(world, "b").await;
    paying.until(by_card, "captured", |order| order.payment_status == PaymentStatus::Captured).await;
    world.act(&world.staff, by_card, Command::MarkReady).await.unwrap();

    world.store.loads.plan(|| Fault::Before);
    world.act(&world.staff, in_cash, Command::MarkReady).await.unwrap();
}

/// Proves that an order stays cached after a task that changed nothing, such as its deadline.
#[tokio::test]
async fn a_task_that_changes_nothing_keeps_the_order_cached() {
    let world = World::with(working_config()).await;
    let id = accept_one(&world, "a").await;
    let worker = Worker::start(&world.engine);
    world.until_no_tasks(&worker).await;
    assert!(worker.count(TaskOutcome::Completed) > 0);
    worker.stop().await;

    world.store.loads.plan(|| Fault::Before);
    world.act(&world.staff, id, Command::MarkReady).await.unwrap();
}

/// Proves that a key used on another server gets the answer from there, although the cached order would allow the
/// command.
#[tokio::test]
async fn a_key_used_elsewhere_is_replayed() {
    let (world, id) = accepted().await;
    let request = ready(id, "r");
    let first = world.second_engine().orders.act(&world.staff, &request).await.unwrap();
    let again = world.engine.orders.act(&world.staff, &request).await.unwrap();
    assert_eq!((again.order, again.replayed), (first.order, true));
    world.check_histories().await;
}
