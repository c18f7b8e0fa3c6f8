//! Callers that disconnect during a write: the follow-up actions of the write run anyway.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    RestaurantId, menu::Availability, order::OrderStatus, restaurant::SettingsDocument, task::TaskQueue,
    text::Slug,
};
use dabba_engine::{
    CatalogueEntry, Engine, EngineConfig, Error, Principal, StatusLabel, TaskConfig, TaskOutcome,
};
use dabba_store::{TaskFailure, TaskStore as _};
use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use jiff::SignedDuration;
use tokio::task::JoinHandle;

use crate::{
    faulty::Fault,
    paying::{PayingWorld, dal_by_card},
    unavailable::{dal_and_naan, no_naan},
    working::{Worker, eventually},
    world::{World, accept, config, dal, menu_with_dal_at, settings},
};

/// An interval that never elapses in a test.
const NEVER: Duration = Duration::from_hours(1);

/// Returns a configuration in which nothing is seen by polling.
fn without_polls() -> EngineConfig {
    EngineConfig {
        catalogue_poll_interval: NEVER,
        tasks: TaskConfig { poll_interval: NEVER, ..TaskConfig::default() },
        ..config()
    }
}

/// Drops a request while its batch is in flight, and then lets the batch pass.
async fn disconnect<T: Send + 'static>(world: &World, request: JoinHandle<T>) {
    world.store.batch_gate.until_blocked().await;
    request.abort();
    assert!(request.await.is_err(), "the request should have been dropped before its answer");
    world.store.batch_gate.open();
}

/// Proves that an order whose customer has disconnected is counted and cached, so that the next command reads nothing.
#[tokio::test]
async fn an_order_is_counted_and_cached() {
    let world = Arc::new(World::with(without_polls()).await);
    world.store.batch_gate.shut();
    let placing = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.place(&dal(1), "a").await }
    });
    disconnect(&world, placing).await;
    let confirmed = StatusLabel { status: OrderStatus::Confirmed.as_str() };
    let metrics = world.engine.metrics();
    eventually("the order is counted", async || {
        metrics.orders.get(&confirmed).is_some_and(|counter| counter.get() == 1)
    })
    .await;
    let id = world.orders().await[0].id;
    world.store.loads.plan(|| Fault::Before);
    world.act(&world.staff, id, accept()).await.unwrap();
}

/// Starts a worker, and waits until it has found no task, so that only a notification makes it poll again.
async fn idle_worker(world: &World) -> Worker {
    let worker = Worker::start(&world.engine);
    // The worker polls each queue once. A notification that arrives before the worker waits for it is kept.
    world.store.claims_answered.until("the worker polls each queue", |calls| *calls >= 2).await;
    worker
}

/// Proves that the task of an order whose customer has disconnected is executed at once, although no worker polls.
#[tokio::test]
async fn a_worker_is_notified() {
    let world = Arc::new(PayingWorld::with(without_polls()).await.world);
    let worker = idle_worker(&world).await;
    world.store.batch_gate.shut();
    let placing = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.place(&dal_by_card(1, "tok_ok"), "a").await }
    });
    disconnect(&world, placing).await;
    eventually("the task is executed", async || worker.count(TaskOutcome::Completed) > 0).await;
    worker.stop().await;
}

/// Proves that a menu shows the marks of a rejection whose caller has disconnected, without a poll.
#[tokio::test]
async fn marks_become_visible() {
    let world = Arc::new(World::with(without_polls()).await);
    let id = world.place(&dal_and_naan(), "a").await.unwrap().order.id;
    world.store.batch_gate.shut();
    let rejecting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.act(&world.staff, id, no_naan(None)).await }
    });
    disconnect(&world, rejecting).await;
    seen(&world, "the mark", |entry| {
        entry.catalogue.unavailable.availability("naan") != Availability::Available
    })
    .await;
}

/// Waits until the engine's cached catalogue fulfils the condition. Nothing polls, and this loads nothing.
async fn seen(world: &World, what: &str, holds: impl Fn(&CatalogueEntry) -> bool) {
    eventually(what, async || holds(&world.engine.catalogue.entry(world.restaurant_id).await.unwrap())).await;
}

/// A change by the restaurant's staff.
type Change = for<'a> fn(&'a Engine, &'a Principal, RestaurantId) -> BoxFuture<'a, Result<(), Error>>;

/// Makes a change whose caller disconnects between the store's write and its answer.
async fn change_and_disconnect(world: &World, change: Change) {
    world.store.write_gate.shut();
    let (engine, staff, id) = (Arc::clone(&world.engine), world.staff, world.restaurant_id);
    let request = tokio::spawn(async move { change(&engine, &staff, id).await });
    world.store.write_gate.until_blocked().await;
    request.abort();
    assert!(request.await.is_err(), "the request should have been dropped before its answer");
    world.store.write_gate.open();
}

fn naan() -> Slug {
    Slug::new("naan").unwrap()
}

/// Proves that every change of a restaurant becomes visible if the caller disconnects between the write and its
/// follow-up actions.
#[tokio::test]
async fn every_change_of_a_restaurant_becomes_visible() {
    let world = World::with(without_polls()).await;
    let away = Availability::Unavailable { until: None };
    change_and_disconnect(&world, |engine, staff, id| {
        let away = Availability::Unavailable { until: None };
        async move { engine.catalogue.set_availability(staff, id, &naan(), away, None).await.map(drop) }
            .boxed()
    })
    .await;
    seen(&world, "availability", |entry| entry.catalogue.unavailable.availability("naan") == away).await;
    change_and_disconnect(&world, |engine, staff, id| {
        async move { engine.catalogue.set_stock(staff, id, &naan(), Some(3), None).await.map(drop) }.boxed()
    })
    .await;
    seen(&world, "stock", |entry| entry.catalogue.limited.contains("naan")).await;
    change_and_disconnect(&world, |engine, staff, id| {
        engine.catalogue.pause(staff, id, None).map_ok(drop).boxed()
    })
    .await;
    seen(&world, "pause", |entry| entry.restaurant().pause.is_some()).await;
    change_and_disconnect(&world, |engine, staff, id| {
        let document = SettingsDocument { name: "Elsewhere".into(), ..settings() };
        engine.catalogue.replace_settings(staff, id, document, None).map_ok(drop).boxed()
    })
    .await;
    seen(&world, "settings", |entry| entry.restaurant().settings.name.as_str() == "Elsewhere").await;
    change_and_disconnect(&world, |engine, staff, id| {
        engine.catalogue.replace_menu(staff, id, menu_with_dal_at(600), None).map_ok(drop).boxed()
    })
    .await;
    seen(&world, "menu", |entry| entry.menu().item("dal").unwrap().price_minor.minor() == 600).await;
}

/// Proves that a retried task is executed at once although the admin who retried it has disconnected.
#[tokio::test]
async fn a_retried_task_is_executed() {
    let world = World::with(without_polls()).await;
    let order = world.place(&dal(1), "a").await.unwrap().order;
    world.advance_to_deadline(&order);
    let now = world.engine.now();
    let until = now + SignedDuration::from_hours(1);
    let mut claimed = world.store.claim_due_tasks(TaskQueue::Deadlines, now, until, 10).await.unwrap();
    let failure = TaskFailure { at: now, error: "injected by the test".into() };
    let claimed = claimed.pop().unwrap();
    assert!(world.store.park_task(claimed.lease, &failure).await.unwrap());
    // The claim above was one call. Without a payment provider the worker polls one queue.
    let worker = idle_worker(&world).await;

    world.store.write_gate.shut();
    let (engine, admin) = (Arc::clone(&world.engine), world.admin);
    let request = tokio::spawn(async move { engine.work.retry_task(&admin, claimed.task.id).await });
    world.store.write_gate.until_blocked().await;
    request.abort();
    assert!(request.await.is_err(), "the request should have been dropped before its answer");
    world.store.write_gate.open();
    eventually("the task is executed", async || worker.count(TaskOutcome::Completed) == 1).await;
    worker.stop().await;
}

/// Proves that an account whose membership has ended is refused at once, although the caller who ended it has
/// disconnected.
#[tokio::test]
async fn the_end_of_a_membership_takes_effect() {
    let config = EngineConfig { membership_max_age: NEVER, ..without_polls() };
    let world = World::with(config).await;
    world.engine.catalogue.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    change_and_disconnect(&world, |engine, staff, id| {
        async move { engine.accounts.remove_member(staff, id, staff.account_id).await }.boxed()
    })
    .await;
    eventually("the account is refused", async || {
        world.engine.catalogue.resume(&world.staff, world.restaurant_id).await.is_err()
    })
    .await;
}
