//! What commands decide on without reading it: orders as this server left them.

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
    engine.act(&world.admin, &request).await.unwrap();
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

/// Proves that of more orders than are remembered those are forgotten that were used longest ago.
#[tokio::test]
async fn only_so_many_are_remembered() {
    let world = World::with(EngineConfig { remembered_orders: 1, ..config() }).await;
    let first = accept_one(&world, "a").await;
    let second = accept_one(&world, "b").await;
    world.store.loads.plan(|| Fault::Before);
    let error = world.act(&world.staff, first, Command::MarkReady).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");
    world.act(&world.staff, second, Command::MarkReady).await.unwrap();
}

/// Proves that nobody is refused, or told that there is nothing to do, by what is remembered: the order is read
/// for that.
#[tokio::test]
async fn a_no_is_not_said_from_memory() {
    let (world, id) = accepted().await;
    world.store.loads.plan(|| Fault::Before);
    for (principal, command) in
        [(&courier(), Command::deliver()), (&world.customer, accept()), (&world.staff, accept())]
    {
        let error = world.act(principal, id, command).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable), "{error}");
    }
    let request = CommandRequest { expected_versions: Some(vec![2]), ..ready(id, "r") };
    let error = world.engine.act(&world.staff, &request).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");

    world.store.loads.plan(|| Fault::None);
    let error = world.engine.act(&world.staff, &request).await.unwrap_err();
    assert!(matches!(error, Error::VersionMismatch { current: 3 }), "{error}");
}

/// Proves that a command is decided on what another server has made of the order, not on what is remembered.
#[tokio::test]
async fn memory_that_is_behind_is_of_no_effect() {
    let (world, id) = accepted().await;
    cancelled_by(&world, &world.second_engine(), id).await;
    let error = world.act(&world.staff, id, Command::MarkReady).await.unwrap_err();
    let cancelled =
        matches!(error, Error::Conflict(Conflict::IllegalMove { status: OrderStatus::Cancelled, .. }));
    assert!(cancelled, "{error}");
    world.check_histories().await;
}

/// Proves that stock is returned once, though two servers cancel the order and one of them remembers it as it was
/// before (I7).
#[tokio::test]
async fn memory_that_is_behind_returns_no_stock_again() {
    let world = World::with_stock(config()).await;
    let id = world.place_two("a").await.id;
    cancelled_by(&world, &world.second_engine(), id).await;
    assert_eq!(world.stock_of_dal().await, STOCK);
    let again = world.act(&world.admin, id, cancel()).await.unwrap();
    assert_eq!((again.order.status, world.stock_of_dal().await), (OrderStatus::Cancelled, STOCK));
    world.check_histories().await;
}

/// Proves that a courier moves no order that another server has given to another one, though it is remembered as
/// theirs (I9).
#[tokio::test]
async fn memory_that_is_behind_moves_nothing_for_others() {
    let (world, id) = accepted().await;
    world.act(&world.staff, id, Command::MarkReady).await.unwrap();
    world.act(&courier(), id, Command::assign(courier().account_id)).await.unwrap();
    let registration = Registration {
        email: "courier@example.com".into(),
        name: "Courier".into(),
        password: "long enough".into(),
        role: Role::Courier,
    };
    let courier_id = world.engine.register(Some(&world.admin), registration).await.unwrap().id;
    let command = Command::assign(courier_id);
    let request = CommandRequest { order_id: id, command, key: None, expected_versions: None };
    world.second_engine().act(&world.admin, &request).await.unwrap();

    let error = world.act(&courier(), id, Command::PickUp).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error}");
    let order = world.read(id).await;
    assert_eq!((order.status, order.courier_id), (OrderStatus::ReadyForPickup, Some(courier_id)));
}

/// Proves that after one that was behind, orders are read again.
#[tokio::test]
async fn where_others_change_orders_they_are_read() {
    let (world, id) = accepted().await;
    let other = accept_one(&world, "b").await;
    cancelled_by(&world, &world.second_engine(), id).await;
    world.act(&world.staff, id, Command::MarkReady).await.unwrap_err();

    world.store.loads.plan(|| Fault::Before);
    let error = world.act(&world.staff, other, Command::MarkReady).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable), "{error}");
}

/// Proves that what a worker of this server does to an order is not taken for what others do: no other order has
/// to be read for it.
#[tokio::test]
async fn a_worker_of_the_same_server_is_not_others() {
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

/// Proves that an order is still remembered when a task of it has passed that changed nothing, as its deadline does.
#[tokio::test]
async fn a_task_that_changes_nothing_makes_nobody_read() {
    let world = World::with(working_config()).await;
    let id = accept_one(&world, "a").await;
    let worker = Worker::start(&world.engine);
    world.until_no_tasks(&worker).await;
    assert!(worker.count(TaskOutcome::Completed) > 0);
    worker.stop().await;

    world.store.loads.plan(|| Fault::Before);
    world.act(&world.staff, id, Command::MarkReady).await.unwrap();
}

/// Proves that a key that was used with another server is answered as there, though the order that is
/// remembered would let the command be carried out.
#[tokio::test]
async fn a_key_used_elsewhere_is_replayed() {
    let (world, id) = accepted().await;
    let request = ready(id, "r");
    let first = world.second_engine().act(&world.staff, &request).await.unwrap();
    let again = world.engine.act(&world.staff, &request).await.unwrap();
    assert_eq!((again.order, again.replayed), (first.order, true));
    world.check_histories().await;
}
