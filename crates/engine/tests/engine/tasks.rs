//! Execution of tasks without faults: which worker executes them, and when.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    Actor, TaskId,
    limits::MAX_WARNING_LEAD_SECONDS,
    order::OrderStatus,
    task::{Task, TaskKind, TaskQueue, TaskSubject},
};
use dabba_engine::TaskOutcome;
use dabba_store::{Commit, CommitOutcome, NewTask, OrderStore as _, Store, TaskStore as _};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use jiff::SignedDuration;

use crate::{
    working::{STOCK, Worker, eventually, with_tasks, working_config},
    world::{World, accept, cancel},
};

const MOMENT: SignedDuration = SignedDuration::from_nanos(1);

/// Proves that the restaurant is warned once, two minutes before the deadline; that an order that is not accepted
/// expires at its deadline, not a nanosecond earlier, with the actor system; and that its stock is returned.
#[tokio::test]
async fn an_unaccepted_order_expires_at_its_deadline() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    assert_eq!(world.stock_of_dal().await, STOCK - 2);
    let worker = Worker::start(&world.engine);
    let lead = SignedDuration::from_secs(MAX_WARNING_LEAD_SECONDS.into());
    world.advance_to_deadline(&order);
    world.clock.advance(-lead - MOMENT);
    world.polled().await;
    assert_eq!((worker.claimed(), world.read(order.id).await), (0, order.clone()));

    world.clock.advance(MOMENT);
    eventually("the restaurant is warned", async || worker.count(TaskOutcome::Completed) == 1).await;
    world.clock.advance(lead - MOMENT);
    world.polled().await;
    let warned = world.read(order.id).await;
    assert_eq!((worker.claimed(), warned.status, warned.version), (1, OrderStatus::Confirmed, 3));

    world.clock.advance(MOMENT);
    eventually("the order expires", async || worker.count(TaskOutcome::Completed) == 2).await;
    world.check_expired_once(order.id).await;
    let history = world.store.events(order.id, order.version, 10).await.unwrap();
    let names: Vec<_> = history.iter().map(|recorded| recorded.event.name()).collect();
    assert_eq!(names, ["acceptance_due", "expired"]);
    assert_eq!(Some(history[0].at + lead), order.acceptance_deadline);
    assert_eq!((history[1].actor, Some(history[1].at)), (Actor::System, order.acceptance_deadline));
    assert_eq!(world.stock_of_dal().await, STOCK);
    world.check_histories().await;
    let orders = world.engine.metrics().orders.clone();
    let cancelled = orders.get_or_create(&dabba_engine::StatusLabel { status: "cancelled" }).get();
    assert_eq!(cancelled, 1, "the expiry is counted as cancelled");
}

/// Proves that a task does not change an order that no longer waits, and is completed.
#[tokio::test]
async fn an_order_that_no_longer_waits_is_unchanged() {
    let world = World::with_stock(working_config()).await;
    let (accepted, cancelled) = (world.place_two("a").await, world.place_two("b").await);
    let accepted = world.act(&world.staff, accepted.id, accept()).await.unwrap().order;
    let cancelled = world.act(&world.customer, cancelled.id, cancel()).await.unwrap().order;
    let worker = Worker::start(&world.engine);
    world.clock.advance(SignedDuration::from_hours(1));
    eventually("both tasks are completed", async || worker.count(TaskOutcome::Completed) == 2).await;
    assert_eq!(world.read(accepted.id).await, accepted);
    assert_eq!(world.read(cancelled.id).await, cancelled);
    world.until_no_tasks(&worker).await;
    assert_eq!((worker.claimed(), worker.count(TaskOutcome::Completed)), (2, 2));
    assert_eq!(world.stock_of_dal().await, STOCK - 2, "only the cancelled order returned its stock");
}

/// Proves that a task executed too early is postponed to the deadline, and that the second of two tasks for the same
/// expiry changes nothing.
#[tokio::test]
async fn a_task_executed_too_early_is_postponed() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    let now = world.engine.now();
    let task = NewTask {
        id: TaskId::generate(now, order.id.bucket(), 42),
        subject: TaskSubject::Order(order.id),
        task: Task::ExpireUnaccepted,
        run_at: now,
    };
    let commit = Commit {
        order_id: order.id,
        restaurant_id: world.restaurant_id,
        at: now,
        expected_version: order.version,
        change: None,
        claim: None,
        catalogue: None,
        stock: Vec::new(),
        unavailable: Vec::new(),
        tasks: vec![task],
        completes: None,
    };
    assert_eq!(world.store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let worker = Worker::start(&world.engine);
    eventually("the task is postponed", async || worker.count(TaskOutcome::Postponed) == 1).await;
    world.advance_to_deadline(&order);
    world.clock.advance(-MOMENT);
    eventually("the warning is recorded", async || worker.count(TaskOutcome::Completed) == 1).await;
    world.polled().await;
    assert_eq!((worker.claimed(), world.read(order.id).await.status), (2, OrderStatus::Confirmed));
    world.clock.advance(MOMENT);
    eventually("all tasks are completed", async || worker.count(TaskOutcome::Completed) == 3).await;
    world.check_expired_once(order.id).await;
    assert_eq!(world.stock_of_dal().await, STOCK);
}

/// Proves that an expiry is stored durably instead of in a process: the order was placed before a restart.
#[tokio::test]
async fn an_expiry_survives_a_restart() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    let worker = Worker::start(&world.engine);
    world.polled().await;
    worker.stop().await;
    assert!(world.engine.shut_down(Duration::from_mins(1)).await);
    world.advance_to_deadline(&order);

    let path = world.directory().join("dabba.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let engine = world.engine_on(store, working_config());
    let worker = Worker::start(&engine);
    eventually("the order expires", async || worker.count(TaskOutcome::Completed) == 1).await;
    let expired = engine.orders.order(&world.customer, order.id).await.unwrap();
    assert_eq!(expired.status, OrderStatus::Cancelled);
}

/// Proves that two servers share the tasks: each task is leased once and completed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_never_execute_the_same_task() {
    const ORDERS: u64 = 100;
    let config = with_tasks(|tasks| tasks.batch_size = 3);
    let world = World::with_stock(config.clone()).await;
    let mut placed = Vec::new();
    for number in 0..ORDERS {
        placed.push(world.place_two(&number.to_string()).await);
    }
    let other = world.second_engine_with(config);
    let workers = [Worker::start(&world.engine), Worker::start(&other)];
    world.advance_to_deadline(&placed[0]);
    let sum = |outcome| workers.iter().map(|worker| worker.count(outcome)).sum::<u64>();
    eventually("all tasks are completed", async || sum(TaskOutcome::Completed) == ORDERS).await;
    for order in &placed {
        world.check_expired_once(order.id).await;
    }
    assert_eq!(workers.iter().map(Worker::claimed).sum::<u64>(), ORDERS);
    assert_eq!(world.stock_of_dal().await, STOCK);
    let [first, second] = workers;
    tokio::join!(first.stop(), second.stop());
}

/// Proves that a worker leases at most its maximum number of tasks, leaves the others to other workers, and continues
/// when it has capacity again.
#[tokio::test]
async fn the_number_of_tasks_in_flight_is_limited() {
    let config = with_tasks(|tasks| {
        tasks.batch_size = 2;
        tasks.concurrency = 3;
    });
    let world = World::with_stock(config).await;
    let mut last = None;
    for number in 0..10 {
        last = Some(world.place_two(&number.to_string()).await);
    }
    world.store.batch_gate.shut();
    world.advance_to_deadline(&last.unwrap());
    let worker = Worker::start(&world.engine);
    eventually("the worker has its maximum number of tasks in flight", async || worker.claimed() == 3).await;
    world.store.batch_gate.until_blocked().await;
    let (now, until) = (world.engine.now(), world.engine.now() + SignedDuration::from_secs(1));
    let others = world.store.claim_due_tasks(TaskQueue::Deadlines, now, until, 100).await.unwrap();
    assert_eq!(others.len(), 7);
    world.clock.advance(SignedDuration::from_secs(1));
    world.store.batch_gate.open();
    eventually("all tasks are completed", async || worker.count(TaskOutcome::Completed) == 10).await;
    assert_eq!(worker.claimed(), 10);
    assert_eq!(world.stock_of_dal().await, STOCK);
}

/// Proves that a worker that receives the signal to stop finishes its tasks in flight, and leases no more.
#[tokio::test]
async fn a_stopped_worker_finishes_its_tasks_in_flight() {
    let world = World::with_stock(with_tasks(|tasks| tasks.concurrency = 1)).await;
    let (first, second) = (world.place_two("a").await, world.place_two("b").await);
    world.store.batch_gate.shut();
    world.advance_to_deadline(&second);
    let mut worker = Worker::start(&world.engine);
    world.store.batch_gate.until_blocked().await;
    worker.signal_stop();
    assert!(worker.outlasts_all_other_work().await, "the worker has left its task");
    world.store.batch_gate.open();
    let engine = Arc::clone(&world.engine);
    worker.ended().await;
    let done = |outcome| engine.metrics().tasks(TaskKind::WarnUnaccepted, outcome).get();
    assert_eq!(done(TaskOutcome::Completed), 1);
    let statuses = [world.read(first.id).await.status, world.read(second.id).await.status];
    assert_eq!(statuses.iter().filter(|status| **status == OrderStatus::Cancelled).count(), 1);
    let now = world.engine.now();
    assert_eq!(
        world.store.claim_due_tasks(TaskQueue::Deadlines, now, now, 10).await.unwrap().len(),
        1,
        "no worker has leased the other task"
    );
}
