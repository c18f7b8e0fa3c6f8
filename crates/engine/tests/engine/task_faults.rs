//! Faults at each step of a task: the order always reaches its expected end, once.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    order::{Order, OrderStatus},
    task::{TaskQueue, TaskSubject},
    text::Note,
};
use dabba_engine::{CommandRequest, EngineConfig, Error, Random as _, SeededRandom, TaskConfig, TaskOutcome};
use dabba_store::{PageSize, ParkedTask, StoreError, TaskStore as _};
use jiff::SignedDuration;

use crate::{
    faulty::{Fault, STORE_FAILURES},
    working::{STOCK, Worker, eventually, with_tasks, working_config},
    world::{World, accept},
};

/// Asserts that the one order has expired once, its stock is returned, and no task is left.
async fn check_end(world: &World, worker: &Worker, what: &str) {
    world.until_no_order_waits().await;
    world.until_no_tasks(worker).await;
    let orders = world.orders().await;
    assert_eq!(orders.len(), 1, "{what}");
    world.check_expired_once(orders[0].id).await;
    assert_eq!(world.stock_of_dal().await, STOCK, "{what}");
    world.check_histories().await;
}

/// Starts a worker that expires an order, while the gate of the store holds every commit. Returns all three.
async fn expiring_at_the_gate(config: EngineConfig) -> (World, Order, Worker) {
    let world = World::with_stock(config).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.batch_gate.shut();
    let worker = Worker::start(&world.engine);
    (world, order, worker)
}

/// Proves that the order expires exactly once, whichever store call fails.
#[tokio::test]
async fn an_order_expires_exactly_once_under_store_faults() {
    for (what, faults, fault) in STORE_FAILURES {
        let world = World::with_stock(working_config()).await;
        let order = world.place_two("a").await;
        world.advance_to_deadline(&order);
        faults(&world.store).fail_once(fault);
        let worker = Worker::start(&world.engine);
        check_end(&world, &worker, what).await;
    }
}

/// Proves that the order expires exactly once even if the task's lease cannot be ended: the lease expires.
#[tokio::test]
async fn a_task_whose_lease_cannot_be_ended_is_retried_after_it_expires() {
    for fault in [Fault::Before, Fault::After, Fault::Damage] {
        let world = World::with_stock(working_config()).await;
        let order = world.place_two("a").await;
        world.advance_to_deadline(&order);
        world.store.loads.fail_once(Fault::Damage);
        world.store.postponements.fail_once(fault);
        let worker = Worker::start(&world.engine);
        eventually("the outcome is unknown", async || worker.count(TaskOutcome::Unknown) == 1).await;
        check_end(&world, &worker, "the lease cannot be ended").await;
    }
}

/// Proves that a worker that loses its lease changes nothing, and that the task is executed if the second worker dies.
#[tokio::test]
async fn a_worker_that_loses_its_lease_changes_nothing() {
    let (world, order, worker) = expiring_at_the_gate(working_config()).await;
    world.store.batch_gate.until_blocked().await;
    // A worker in another process leases the task after the lease expires, and then dies. The first worker has stopped
    // claiming, so it does not notice.
    let lease = SignedDuration::try_from(TaskConfig::default().lease).unwrap();
    let now = world.engine.now() + lease;
    let leased_again = world.store.claim_due_tasks(TaskQueue::Deadlines, now, now + lease, 10).await.unwrap();
    assert_eq!((leased_again.len(), leased_again[0].attempts), (1, 2));
    world.store.batch_gate.open();
    eventually("the first worker is refused", async || worker.count(TaskOutcome::LeaseLost) == 1).await;
    assert_eq!(world.read(order.id).await, order);
    check_end(&world, &worker, "overtaken").await;
    assert_eq!((worker.claimed(), worker.count(TaskOutcome::Completed)), (2, 1));
}

/// Proves that an order that is accepted between the decision to expire it and the commit stays accepted, and that its
/// task is completed.
#[tokio::test]
async fn an_acceptance_before_the_expiry_is_written_wins() {
    let (world, order, worker) = expiring_at_the_gate(working_config()).await;
    world.store.batch_gate.until_blocked().await;
    // Another server is not held at the gate.
    let other = world.engine_on(Arc::new(world.store.another()), working_config());
    let request =
        CommandRequest { order_id: order.id, command: accept(), key: None, expected_versions: None };
    let accepted = other.orders.act(&world.staff, &request).await.unwrap().order;
    world.store.batch_gate.open();
    eventually("its task is completed", async || worker.count(TaskOutcome::Completed) == 1).await;
    assert_eq!(world.read(order.id).await, accepted);
    assert_eq!(world.engine.metrics().decision_retries.get(), 1);
    world.until_no_tasks(&worker).await;
    assert_eq!(worker.claimed(), 1);
    world.check_histories().await;
}

/// Proves that a task that hangs is cancelled when its lease expires, so that it does not occupy the worker for ever;
/// its queued commit may still be written.
#[tokio::test]
async fn a_task_that_hangs_is_cancelled() {
    let config = with_tasks(|tasks| {
        tasks.concurrency = 1;
        // A shorter lease also cancels the claim on a busy machine. The claimed task is lost then, because the manual
        // clock does not advance to the end of its lease.
        tasks.lease = Duration::from_millis(500);
    });
    let (world, _order, worker) = expiring_at_the_gate(config).await;
    eventually("the outcome is unknown", async || worker.count(TaskOutcome::Unknown) == 1).await;
    world.polled().await;
    world.store.batch_gate.open();
    check_end(&world, &worker, "hangs").await;
}

/// Proves that a task whose execution panics or always fails is retried with increasing pauses, and does not delay
/// other tasks, even if tasks are executed one by one.
#[tokio::test]
async fn a_poisoned_task_does_not_delay_other_tasks() {
    let config = with_tasks(|tasks| {
        tasks.batch_size = 1;
        tasks.concurrency = 1;
    });
    let world = World::with_stock(config).await;
    let poisoned = world.place_two("poisoned").await;
    world.store.poisoned.lock().unwrap().insert(poisoned.id);
    world.clock.advance(SignedDuration::from_secs(1));
    let mut others = Vec::new();
    for number in 0..5 {
        others.push(world.place_two(&number.to_string()).await);
    }
    world.advance_to_deadline(&others[4]);
    let worker = Worker::start(&world.engine);
    eventually("the other tasks are completed", async || worker.count(TaskOutcome::Completed) == 5).await;
    for other in &others {
        world.check_expired_once(other.id).await;
    }
    assert!(worker.count(TaskOutcome::Postponed) >= 1);
    world.store.poisoned.lock().unwrap().clear();
    assert_eq!(world.read(poisoned.id).await, poisoned);
    world.until_no_order_waits().await;
    world.check_expired_once(poisoned.id).await;
    assert_eq!(world.stock_of_dal().await, STOCK);
}

/// Advances the clock until the only task is parked.
async fn until_parked(world: &World, worker: &Worker, times: u64) {
    while worker.count(TaskOutcome::Parked) < times {
        world.polled().await;
        assert!(worker.claimed() <= 40, "the number of attempts is bounded");
        world.clock.advance(SignedDuration::from_secs(5));
    }
}

async fn parked(world: &World) -> Vec<ParkedTask> {
    let page = world.engine.work.parked_tasks(&world.admin, None, PageSize::DEFAULT).await.unwrap();
    assert!(!page.incomplete);
    page.tasks
}

/// Proves that a task that keeps failing is parked after a bounded number of attempts and stays parked; that it
/// contains its recorded failures; that an admin can retry it, once per request; and that it is completed once the
/// fault is gone.
#[tokio::test]
async fn a_task_that_keeps_failing_is_parked_until_an_admin_retries_it() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.loads.plan(|| Fault::Damage);
    // A failure to park it has no lasting effect either.
    world.store.parkings.fail_once(Fault::Before);
    let worker = Worker::start(&world.engine);
    until_parked(&world, &worker, 1).await;
    assert_eq!((worker.claimed(), worker.count(TaskOutcome::Postponed)), (17, 15));
    world.clock.advance(SignedDuration::from_hours(24 * 365));
    world.polled().await;
    assert_eq!(worker.claimed(), 17, "a parked task is not executed");

    let task = parked(&world).await.remove(0);
    assert_eq!((task.task.subject, task.attempts), (TaskSubject::Order(order.id), 17));
    // The sixteenth failure could not be recorded.
    let attempts: Vec<u32> = task.failures.iter().map(|failed| failed.attempt).collect();
    assert_eq!(attempts, (1..=15).chain([17]).collect::<Vec<_>>());
    assert!(task.failures.iter().all(|failed| failed.failure.error.contains("injected by the test")));
    assert!(task.failures.is_sorted_by_key(|failed| failed.failure.at));

    world.engine.work.retry_task(&world.admin, task.task.id).await.unwrap();
    until_parked(&world, &worker, 2).await;
    assert_eq!((worker.claimed(), parked(&world).await[0].failures.len()), (18, 17));
    world.store.loads.plan(|| Fault::None);
    world.engine.work.retry_task(&world.admin, task.task.id).await.unwrap();
    check_end(&world, &worker, "after the fault").await;
    assert_eq!((worker.claimed(), parked(&world).await), (19, vec![]));
}

/// Proves that a task whose content cannot be decoded is parked at its first attempt and at each retry, with a failure
/// that states the fault and the remedy; that the tasks beside it are executed; and that it is executed once it can be
/// decoded.
#[tokio::test]
async fn a_task_that_cannot_be_decoded_is_parked_at_once() {
    let world = World::with_stock(working_config()).await;
    let damaged = world.place_two("damaged").await;
    let sound = world.place_two("sound").await;
    let error = StoreError::Corrupt("injected by the test".to_owned());
    world.store.undecodable.lock().unwrap().insert(damaged.id, error);
    world.advance_to_deadline(&sound);
    let worker = Worker::start(&world.engine);
    eventually("the damaged task is parked", async || worker.count(TaskOutcome::Parked) == 1).await;
    eventually("the other task is completed", async || worker.count(TaskOutcome::Completed) == 1).await;
    world.check_expired_once(sound.id).await;
    assert_eq!(world.read(damaged.id).await, damaged);

    let task = parked(&world).await.remove(0);
    let kind = task.task.kind;
    assert_eq!((task.task.subject, task.attempts), (TaskSubject::Order(damaged.id), 1));
    let text = &task.failures[0].failure.error;
    assert!(text.contains("injected by the test") && text.contains("upgrade this server"), "{text}");
    let metrics = world.engine.metrics();
    assert_eq!((metrics.tasks_claimed(kind).get(), metrics.tasks(kind, TaskOutcome::Parked).get()), (2, 1));

    world.engine.work.retry_task(&world.admin, task.task.id).await.unwrap();
    eventually("the retry is parked", async || worker.count(TaskOutcome::Parked) == 2).await;
    assert_eq!(parked(&world).await[0].failures.len(), 2);
    world.store.undecodable.lock().unwrap().clear();
    world.engine.work.retry_task(&world.admin, task.task.id).await.unwrap();
    eventually("it is completed", async || worker.count(TaskOutcome::Completed) == 2).await;
    world.check_expired_once(damaged.id).await;
    assert_eq!(parked(&world).await, []);
}

/// Proves that a task whose content only a newer server can decode is left to that server, without a failure: the
/// content says so, or it looks damaged and a newer server wrote its order.
#[tokio::test]
async fn a_task_with_content_of_a_newer_server_is_postponed() {
    let text = || "injected by the test".to_owned();
    for error in [StoreError::WrittenByNewer(text()), StoreError::Corrupt(text())] {
        let world = World::with_stock(working_config()).await;
        let order = world.place_two("a").await;
        if matches!(error, StoreError::Corrupt(_)) {
            world.store.newer.lock().unwrap().insert(order.id);
        }
        world.store.undecodable.lock().unwrap().insert(order.id, error);
        is_left_to_a_newer_server(&world, &order).await;
    }
}

async fn is_left_to_a_newer_server(world: &World, order: &Order) {
    world.advance_to_deadline(order);
    let worker = Worker::start(&world.engine);
    for times in 1..=20 {
        eventually("it is postponed", async || worker.count(TaskOutcome::Postponed) == times).await;
        // Longer than the pause after which the task can be leased again.
        world.clock.advance(SignedDuration::from_secs(5));
    }
    assert_eq!((worker.count(TaskOutcome::Parked), parked(world).await), (0, vec![]));
    world.store.undecodable.lock().unwrap().clear();
    world.store.newer.lock().unwrap().clear();
    check_end(world, &worker, "the newer server is here").await;
}

/// Proves that an admin resolves a parked task permanently, and that other roles may not see, retry or resolve it.
#[tokio::test]
async fn only_admins_manage_parked_tasks() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.poisoned.lock().unwrap().insert(order.id);
    let worker = Worker::start(&world.engine);
    until_parked(&world, &worker, 1).await;
    let task = parked(&world).await.remove(0);
    assert!(task.failures[0].failure.error.contains("panicked: injected by the test"), "{task:?}");
    let (id, engine) = (task.task.id, &world.engine);
    let reason = Note::new("handled manually").unwrap();
    for principal in [&world.customer, &world.staff] {
        let listed = engine.work.parked_tasks(principal, None, PageSize::DEFAULT).await;
        assert!(matches!(listed, Err(Error::Forbidden(_))));
        assert!(matches!(engine.work.retry_task(principal, id).await, Err(Error::Forbidden(_))));
        assert!(matches!(engine.work.resolve_task(principal, id, &reason).await, Err(Error::Forbidden(_))));
    }
    engine.work.resolve_task(&world.admin, id, &reason).await.unwrap();
    assert_eq!(parked(&world).await, []);
    for again in [
        engine.work.resolve_task(&world.admin, id, &reason).await,
        engine.work.retry_task(&world.admin, id).await,
    ] {
        assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
    }
    world.store.poisoned.lock().unwrap().clear();
    world.until_no_tasks(&worker).await;
    assert_eq!(world.read(order.id).await, order, "a resolved task is not retried");
}

/// Proves that a long outage of the store does not count as failures of tasks: no task is parked.
#[tokio::test]
async fn an_unavailable_store_parks_no_tasks() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.commits.plan(|| Fault::Before);
    let worker = Worker::start(&world.engine);
    while worker.claimed() < 40 {
        world.polled().await;
        world.clock.advance(SignedDuration::from_secs(60));
    }
    assert_eq!(worker.count(TaskOutcome::Parked), 0);
    world.store.commits.plan(|| Fault::None);
    check_end(&world, &worker, "after the outage").await;
}

/// Proves that two workers bring every order to its one end while a random third of the claims, commits and
/// postponements fails: accepted orders stay accepted, the others expire once, and the stock is correct (I4, I7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_ends_once_under_random_faults() {
    const ORDERS: u32 = 24;
    for seed in 0..3 {
        let world = World::with_stock(working_config()).await;
        let mut placed = Vec::new();
        for number in 0..ORDERS {
            placed.push(world.place_two(&number.to_string()).await.id);
        }
        for id in placed.iter().step_by(3) {
            world.act(&world.staff, *id, accept()).await.unwrap();
        }
        for (index, faults) in
            [&world.store.claims, &world.store.commits, &world.store.postponements].into_iter().enumerate()
        {
            let random = SeededRandom::new(seed * 10 + u64::try_from(index).unwrap());
            faults.plan(move || match random.next_u64() % 12 {
                0 => Fault::Before,
                1 | 2 => Fault::After,
                3 => Fault::Damage,
                _ => Fault::None,
            });
        }
        let other = world.second_engine_with(working_config());
        let workers = [Worker::start(&world.engine), Worker::start(&other)];
        world.until_no_order_waits().await;
        for (index, id) in placed.iter().enumerate() {
            if index % 3 == 0 {
                assert_eq!(world.read(*id).await.status, OrderStatus::Preparing);
            } else {
                world.check_expired_once(*id).await;
            }
        }
        assert_eq!(world.stock_of_dal().await, STOCK - 2 * ORDERS / 3, "seed {seed}");
        world.check_histories().await;
        drop(workers);
    }
}
