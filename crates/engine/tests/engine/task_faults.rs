//! Tasks at each step of which something fails: whatever it is, the order ends where it should, once.

use std::{sync::Arc, time::Duration};

use dabba_domain::{order::OrderStatus, order::TaskQueue, text::Note};
use dabba_engine::{CommandRequest, Error, Random as _, SeededRandom, TaskConfig, TaskOutcome};
use dabba_store::{PageSize, ParkedTask, TaskStore as _};
use jiff::SignedDuration;

use crate::{
    faulty::{Fault, STORE_FAILURES},
    working::{STOCK, Worker, eventually, with_tasks, working_config},
    world::{World, accept},
};

/// That one order has expired once, its stock is back, and there is nothing left to do.
async fn check_end(world: &World, worker: &Worker, what: &str) {
    world.until_none_waits().await;
    world.until_no_tasks(worker).await;
    let orders = world.orders().await;
    assert_eq!(orders.len(), 1, "{what}");
    world.check_expired_once(orders[0].id).await;
    assert_eq!(world.stock_of_dal().await, STOCK, "{what}");
    world.check_histories().await;
}

/// Proves that whichever step fails, the order expires exactly once afterwards.
#[tokio::test]
async fn whatever_fails_once_the_order_expires_exactly_once() {
    for (what, faults, fault) in STORE_FAILURES {
        let world = World::with_stock(working_config()).await;
        let order = world.place_two("a").await;
        world.advance_to_deadline(&order);
        faults(&world.store).fail_once(fault);
        let worker = Worker::start(&world.engine);
        check_end(&world, &worker, what).await;
    }
}

/// Proves the same when the task cannot even be given back: its lease runs out.
#[tokio::test]
async fn a_task_that_cannot_be_given_back_is_left_to_its_lease() {
    for fault in [Fault::Before, Fault::After, Fault::Damage] {
        let world = World::with_stock(working_config()).await;
        let order = world.place_two("a").await;
        world.advance_to_deadline(&order);
        world.store.loads.fail_once(Fault::Damage);
        world.store.postponements.fail_once(fault);
        let worker = Worker::start(&world.engine);
        eventually("it is left", || worker.count(TaskOutcome::Left) == 1).await;
        check_end(&world, &worker, "cannot be given back").await;
    }
}

/// Proves that a worker which is overtaken changes nothing, and that the work is done when the one who
/// overtook it dies.
#[tokio::test]
async fn who_has_lost_the_lease_changes_nothing() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.batch_gate.shut();
    let worker = Worker::start(&world.engine);
    world.store.batch_gate.somebody_waits().await;
    // Another worker, in another process, finds the lease run out, and is never heard of again. The first
    // is not there to see it: it has stopped claiming.
    let lease = SignedDuration::try_from(TaskConfig::default().lease).unwrap();
    let now = world.engine.now() + lease;
    let taken_over = world.store.claim_due_tasks(TaskQueue::Deadlines, now, now + lease, 10).await.unwrap();
    assert_eq!((taken_over.len(), taken_over[0].attempts), (1, 2));
    world.store.batch_gate.open();
    eventually("the first is refused", || worker.count(TaskOutcome::LeaseLost) == 1).await;
    assert_eq!(world.read(order.id).await, order);
    check_end(&world, &worker, "overtaken").await;
    assert_eq!((worker.claimed(), worker.count(TaskOutcome::Completed)), (2, 1));
}

/// Proves that an order accepted between the decision to expire it and the commit stays accepted, and that
/// its task is done by that.
#[tokio::test]
async fn who_accepts_before_it_is_written_that_it_expires_is_first() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.batch_gate.shut();
    let worker = Worker::start(&world.engine);
    world.store.batch_gate.somebody_waits().await;
    // Another server passes no gate.
    let other = world.engine_on(Arc::new(world.store.another()), working_config());
    let request =
        CommandRequest { order_id: order.id, command: accept(), key: None, expected_versions: None };
    let accepted = other.act(&world.staff, &request).await.unwrap().order;
    world.store.batch_gate.open();
    eventually("its task is done", || worker.count(TaskOutcome::Completed) == 1).await;
    assert_eq!(world.read(order.id).await, accepted);
    assert_eq!(world.engine.metrics().decision_retries.get(), 1);
    world.until_no_tasks(&worker).await;
    assert_eq!(worker.claimed(), 1);
    world.check_histories().await;
}

/// Proves that a task which hangs is broken off when its lease runs out, so that it does not fill the
/// worker's hands for ever; what it had handed over for writing may still be written.
#[tokio::test]
async fn a_task_that_hangs_is_broken_off() {
    let config = with_tasks(|tasks| {
        tasks.concurrency = 1;
        tasks.lease = Duration::from_millis(20);
    });
    let world = World::with_stock(config).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.batch_gate.shut();
    let worker = Worker::start(&world.engine);
    eventually("it is left", || worker.count(TaskOutcome::Left) == 1).await;
    world.looked().await;
    world.store.batch_gate.open();
    check_end(&world, &worker, "hangs").await;
}

/// Proves that a task at which the worker panics, or that cannot be done, comes back later and later,
/// and does not hold up others even where they are worked one by one.
#[tokio::test]
async fn a_poisoned_task_holds_up_nobody() {
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
    eventually("the others are done", || worker.count(TaskOutcome::Completed) == 5).await;
    for other in &others {
        world.check_expired_once(other.id).await;
    }
    assert!(worker.count(TaskOutcome::Postponed) >= 1);
    world.store.poisoned.lock().unwrap().clear();
    assert_eq!(world.read(poisoned.id).await, poisoned);
    world.until_none_waits().await;
    world.check_expired_once(poisoned.id).await;
    assert_eq!(world.stock_of_dal().await, STOCK);
}

/// Lets time pass until the one task that there is has failed too often.
async fn until_parked(world: &World, worker: &Worker, times: u64) {
    while worker.count(TaskOutcome::GivenUp) < times {
        world.looked().await;
        assert!(worker.claimed() <= 40, "a task is tried a bounded number of times");
        world.clock.advance(SignedDuration::from_secs(5));
    }
}

async fn parked(world: &World) -> Vec<ParkedTask> {
    let page = world.engine.parked_tasks(&world.admin, None, PageSize::DEFAULT).await.unwrap();
    assert!(!page.incomplete);
    page.tasks
}

/// Proves that a task which keeps failing is parked after a bounded number of attempts and left alone; that
/// it says all that went wrong; that it is tried again when an admin says so, once; and that it is done when
/// what was wrong is mended.
#[tokio::test]
async fn a_task_that_keeps_failing_is_parked_until_an_admin_sees_to_it() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.loads.plan(|| Fault::Damage);
    // That it cannot be parked at once does not matter either.
    world.store.parkings.fail_once(Fault::Before);
    let worker = Worker::start(&world.engine);
    until_parked(&world, &worker, 1).await;
    assert_eq!((worker.claimed(), worker.count(TaskOutcome::Postponed)), (17, 15));
    world.clock.advance(SignedDuration::from_hours(24 * 365));
    world.looked().await;
    assert_eq!(worker.claimed(), 17, "it is left alone");

    let task = parked(&world).await.remove(0);
    assert_eq!((task.task.order_id, task.attempts), (order.id, 17));
    // The sixteenth could not be told.
    let attempts: Vec<u32> = task.failures.iter().map(|failed| failed.attempt).collect();
    assert_eq!(attempts, (1..=15).chain([17]).collect::<Vec<_>>());
    assert!(task.failures.iter().all(|failed| failed.failure.error.contains("as the test says")));
    assert!(task.failures.is_sorted_by_key(|failed| failed.failure.at));

    world.engine.retry_task(&world.admin, task.task.id).await.unwrap();
    until_parked(&world, &worker, 2).await;
    assert_eq!((worker.claimed(), parked(&world).await[0].failures.len()), (18, 17));
    world.store.loads.plan(|| Fault::None);
    world.engine.retry_task(&world.admin, task.task.id).await.unwrap();
    check_end(&world, &worker, "mended").await;
    assert_eq!((worker.claimed(), parked(&world).await), (19, vec![]));
}

/// Proves that an admin puts a parked task away for good, and that nobody else may see or move one.
#[tokio::test]
async fn a_parked_task_is_resolved_by_admins_only() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.poisoned.lock().unwrap().insert(order.id);
    let worker = Worker::start(&world.engine);
    until_parked(&world, &worker, 1).await;
    let task = parked(&world).await.remove(0);
    assert!(task.failures[0].failure.error.contains("panicked: as the test says"), "{task:?}");
    let (id, engine) = (task.task.id, &world.engine);
    let reason = Note::new("done by hand").unwrap();
    for somebody in [&world.customer, &world.staff] {
        let listed = engine.parked_tasks(somebody, None, PageSize::DEFAULT).await;
        assert!(matches!(listed, Err(Error::Forbidden(_))));
        assert!(matches!(engine.retry_task(somebody, id).await, Err(Error::Forbidden(_))));
        assert!(matches!(engine.resolve_task(somebody, id, &reason).await, Err(Error::Forbidden(_))));
    }
    engine.resolve_task(&world.admin, id, &reason).await.unwrap();
    assert_eq!(parked(&world).await, []);
    for again in
        [engine.resolve_task(&world.admin, id, &reason).await, engine.retry_task(&world.admin, id).await]
    {
        assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
    }
    world.store.poisoned.lock().unwrap().clear();
    world.until_no_tasks(&worker).await;
    assert_eq!(world.read(order.id).await, order, "nobody tries it again");
}

/// Proves that a store that is away for long uses up nobody's attempts: nothing is given up.
#[tokio::test]
async fn a_store_that_is_away_does_not_make_tasks_be_given_up() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    world.advance_to_deadline(&order);
    world.store.commits.plan(|| Fault::Before);
    let worker = Worker::start(&world.engine);
    while worker.claimed() < 40 {
        world.looked().await;
        world.clock.advance(SignedDuration::from_secs(60));
    }
    assert_eq!(worker.count(TaskOutcome::GivenUp), 0);
    world.store.commits.plan(|| Fault::None);
    check_end(&world, &worker, "back again").await;
}

/// Proves that two workers in a storm, in which every third call of any kind fails in some way, bring every
/// order to its one end: those that were accepted stay, the others expire once, and stock adds up (I4, I7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_ends_once_whatever_fails() {
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
        world.until_none_waits().await;
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
