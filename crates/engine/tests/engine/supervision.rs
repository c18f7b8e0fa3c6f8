//! Parts that panic: the cost of a panic, the restart of the part, and the reports while it is down.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::order::OrderStatus;
use dabba_engine::{Engine, EngineConfig, Error};
use dabba_store::{FAILURES_UNTIL_DOWN, Hint, PartStatus, REFUSED_FOR};
use jiff::SignedDuration;
use tokio::task::JoinSet;

use crate::{
    faulty::Fault,
    unavailable::{dal_and_naan, no_naan},
    working::{Worker, eventually, with_tasks, working_config},
    world::{World, accept, config, dal, menu_with_dal_at},
};

/// An interval that is short enough for tests.
const OFTEN: Duration = Duration::from_millis(10);

/// An interval that never elapses in a test.
const NEVER: Duration = Duration::from_hours(1);

fn part(engine: &Engine, name: &str) -> PartStatus {
    engine.supervisor().parts().into_iter().find(|part| part.name == name).unwrap()
}

async fn until_a_worker_fails(world: &World) {
    let has_failed = |part: &PartStatus| part.name.starts_with("worker") && part.failures > 0;
    eventually("a worker fails", async || world.engine.supervisor().parts().iter().any(has_failed)).await;
}

/// Proves that a panic in the store fails one batch: its callers get an unknown outcome, and the orders queued behind
/// it are committed at once.
#[tokio::test]
async fn a_panic_in_a_commit_fails_one_batch() {
    let world = Arc::new(World::new().await);
    world.store.commits.fail_once(Fault::Panic);
    world.store.batch_gate.shut();
    let place = |key: &'static str| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.place(&dal(1), key).await })
    };
    let lost = place("lost");
    world.store.batch_gate.until_blocked().await;
    let behind = ["a", "b", "c"].map(place);
    world.until_queued(behind.len()).await;
    world.store.batch_gate.open();
    assert!(matches!(lost.await.unwrap(), Err(Error::OutcomeUnknown)));
    for placed in behind {
        placed.await.unwrap().unwrap();
    }
    assert!(!world.place(&dal(1), "lost").await.unwrap().replayed, "the panic came before the write");
    let committer = part(&world.engine, "committer_0");
    assert_eq!((committer.failures, committer.is_down), (1, false));
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
}

/// Proves that a server whose batches all panic is not ready, names the part, and is ready again once a batch is
/// committed.
#[tokio::test]
async fn a_committer_that_keeps_panicking_is_reported() {
    let world = World::new().await;
    world.store.commits.plan(|| Fault::Panic);
    for number in 0..FAILURES_UNTIL_DOWN {
        world.engine.check_ready().await.unwrap();
        let placed = world.place(&dal(1), &number.to_string()).await;
        assert!(matches!(placed, Err(Error::OutcomeUnknown)), "{placed:?}");
    }
    let error = world.engine.check_ready().await.unwrap_err();
    assert!(matches!(&error, Error::PartsDown(parts) if *parts == ["committer_0"]), "{error}");
    world.store.commits.plan(|| Fault::None);
    world.place(&dal(1), "0").await.unwrap();
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
}

/// Proves that a server whose transactions all hang (frozen database, absent standby) is not ready although the store
/// answers reads, and that it is ready again once the transaction is done; the transaction takes effect.
#[tokio::test]
async fn a_transaction_that_hangs_is_reported() {
    let timeout = Duration::from_millis(50);
    let world = Arc::new(World::with(EngineConfig { commit_timeout: timeout, ..config() }).await);
    world.store.batch_gate.shut();
    let placed = world.place(&dal(1), "hanging").await;
    assert!(matches!(placed, Err(Error::OutcomeUnknown)), "{placed:?}");
    eventually("the committer is stuck", async || part(&world.engine, "committer_0").is_stuck).await;
    let error = world.engine.check_ready().await.unwrap_err();
    assert!(matches!(&error, Error::PartsDown(parts) if *parts == ["committer_0"]), "{error}");
    world.store.batch_gate.open();
    eventually("the transaction is done", async || !part(&world.engine, "committer_0").is_stuck).await;
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
    assert!(world.place(&dal(1), "hanging").await.unwrap().replayed);
}

/// Proves that a server whose commits are all refused (full disk) is not ready although the store answers reads, that
/// one successful commit makes it ready, and that a short outage has no effect. A committer without orders, or a commit
/// with an unknown outcome, does not hide the state.
#[tokio::test]
async fn a_store_that_refuses_all_commits_is_reported() {
    let world = World::with(EngineConfig { committers: 2, ..config() }).await;
    world.store.commits.plan(|| Fault::Before);
    // The time is paused only for the advance: the store works in real time.
    let pass = async |time| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    let mut number = 0;
    let mut refused = async || {
        number += 1;
        let placed = world.place(&dal(1), &number.to_string()).await;
        assert!(matches!(placed, Err(Error::Unavailable)), "{placed:?}");
    };
    refused().await;
    pass(REFUSED_FOR / 2).await;
    refused().await;
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
    world.store.commits.fail_once(Fault::Panic);
    let lost = world.place(&dal(1), "lost").await;
    assert!(matches!(lost, Err(Error::OutcomeUnknown)), "{lost:?}");
    world.store.commits.plan(|| Fault::Before);
    pass(REFUSED_FOR).await;
    refused().await;
    let error = world.engine.check_ready().await.unwrap_err();
    let is_one = |parts: &[String]| parts.len() == 1 && parts[0].starts_with("committer_");
    assert!(matches!(&error, Error::PartsDown(parts) if is_one(parts)), "{error}");
    world.store.commits.plan(|| Fault::None);
    world.place(&dal(1), "1").await.unwrap();
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
}

/// Proves that no readiness check waits for a store that does not answer (frozen database): the last answer holds for a
/// while, then the server is not ready. At most one ping is in flight, however many callers ask, and the store's answer
/// makes the server ready.
#[tokio::test]
async fn readiness_does_not_wait_for_a_store_that_does_not_answer() {
    let world = Arc::new(World::new().await);
    let is_ready = async || world.engine.check_ready().await.is_ok_and(|readiness| readiness.is_healthy());
    assert!(is_ready().await);
    world.store.ping_gate.shut();
    let pings = world.store.pings.get();
    // While the time is paused, the elapsed time is what the check itself waits for, on a machine of any speed. The
    // store is not called.
    tokio::time::pause();
    let check = async || {
        let begun = tokio::time::Instant::now();
        let answer = world.engine.check_ready().await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        answer
    };
    assert!(check().await.unwrap().is_healthy(), "the store answered less than a second before");
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert!(matches!(check().await, Err(Error::Unavailable)));
    }
    assert_eq!(world.store.pings.get(), pings + 1);
    tokio::time::resume();
    world.store.ping_gate.open();
    eventually("the server is ready", is_ready).await;
}

/// Proves that the probe is restarted after a panic.
#[tokio::test]
async fn a_probe_that_panics_is_restarted() {
    let world = World::new().await;
    assert!(world.engine.check_ready().await.unwrap().is_healthy());
    world.store.panics_at_a_ping.store(true, Ordering::SeqCst);
    // The last answer still holds.
    world.engine.check_ready().await.unwrap();
    eventually("the probe is restarted", async || part(&world.engine, "readiness_probe").failures == 1).await;
    let pings = world.store.pings.get();
    // Each check requests a ping, and the last answer still holds.
    eventually("the restarted probe pings", async || {
        world.engine.check_ready().await.unwrap();
        world.store.pings.get() > pings
    })
    .await;
}

/// Proves that a worker is restarted after a panic, and that its tasks in flight are finished.
#[tokio::test]
async fn a_worker_that_panics_is_restarted() {
    let world = World::with_stock(working_config()).await;
    let order = world.place_two("a").await;
    let worker = Worker::start(&world.engine);
    world.polled().await;
    world.store.claims.fail_once(Fault::Panic);
    until_a_worker_fails(&world).await;
    world.advance_to_deadline(&order);
    world.until_no_order_waits().await;
    world.check_expired_once(order.id).await;
    worker.stop().await;
}

/// Proves that a server whose workers keep panicking is not ready, and still accepts orders.
#[tokio::test]
async fn workers_that_keep_panicking_are_reported() {
    let world = World::with_stock(working_config()).await;
    world.store.claims.plan(|| Fault::Panic);
    let _worker = Worker::start(&world.engine);
    // Without a payment provider, the other queue claims nothing.
    eventually("the worker is down", async || {
        world.engine.supervisor().parts().iter().any(|part| part.name == "worker_deadlines" && part.is_down)
    })
    .await;
    let error = world.engine.check_ready().await.unwrap_err();
    assert!(matches!(&error, Error::PartsDown(parts) if *parts == ["worker_deadlines"]), "{error}");
    world.place_two("a").await;
}

/// Starts the watchers for changes by other servers on a second engine, which caches the world's restaurant.
async fn watching(world: &World, interval: Duration) -> (Arc<Engine>, JoinSet<()>) {
    let engine = world.second_engine_with(EngineConfig { catalogue_poll_interval: interval, ..config() });
    engine.catalogue.entry(world.restaurant_id).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
    (engine, tasks)
}

async fn sees_a_change(world: &World, engine: &Engine) {
    eventually("the change is seen", async || {
        engine.catalogue.entry(world.restaurant_id).await.unwrap().catalogue.menu_revision >= 2
    })
    .await;
}

async fn change_price(world: &World) {
    let menu = menu_with_dal_at(600);
    world.engine.catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();
}

/// Proves that a watcher is restarted after a panic and sees the changes made in the meantime, and that a server whose
/// watcher keeps panicking is degraded but ready.
#[tokio::test]
async fn a_watcher_that_panics_is_restarted() {
    let world = World::new().await;
    world.store.revision_reads.plan(|| Fault::Panic);
    let (engine, _tasks) = watching(&world, OFTEN).await;
    let name = "catalogue_watcher_0";
    eventually("the watcher is down", async || {
        engine.supervisor().parts().iter().any(|part| part.name == name && part.is_down)
    })
    .await;
    let readiness = engine.check_ready().await.unwrap();
    assert_eq!(readiness.parts_down, [name]);
    change_price(&world).await;
    world.store.revision_reads.plan(|| Fault::None);
    sees_a_change(&world, &engine).await;
}

/// Proves that hints are followed again after their stream has ended, without a poll.
#[tokio::test]
async fn hints_are_followed_again_after_their_stream_ends() {
    let world = World::new().await;
    // Only the test's own stream of hints remains, so ending it ends the merged stream.
    world.store.hides_hints.store(true, Ordering::SeqCst);
    let (engine, _tasks) = watching(&world, NEVER).await;
    change_price(&world).await;
    // A hint without effect on catalogues; the call returns once there is a listener.
    world.store.hint(Hint::Tasks(dabba_domain::task::TaskQueue::Payments)).await;
    world.store.end_hints();
    world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
    sees_a_change(&world, &engine).await;
    assert_eq!(part(&engine, "hint_follower").failures, 1);
}

/// Proves that maintenance is restarted after a panic.
#[tokio::test]
async fn maintenance_that_panics_is_restarted() {
    let world = World::with(EngineConfig { maintenance_interval: OFTEN, ..config() }).await;
    world.place(&dal(1), "a").await.unwrap();
    world.clock.advance(SignedDuration::from_hours(24 * 30));
    world.store.deletions.fail_once(Fault::Panic);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&world.engine.work).maintain());
    eventually("the key is deleted", async || world.engine.metrics().keys_deleted.get() > 0).await;
    assert_eq!(part(&world.engine, "maintenance").failures, 1);
}

/// Proves that a panic of the follower fails no request: the order is answered, and so are later ones.
#[tokio::test]
async fn a_panic_of_a_follower_fails_no_request() {
    let world = World::new().await;
    let [first, second] = ["a", "b"];
    let id = world.place(&dal_and_naan(), first).await.unwrap().order.id;
    let other = world.place(&dal_and_naan(), second).await.unwrap().order.id;
    world.store.panics_at_a_catalogue.store(true, Ordering::SeqCst);
    world.act(&world.staff, id, no_naan(None)).await.unwrap();
    assert_eq!(part(&world.engine, "catalogue_follower_0").failures, 1);
    world.act(&world.staff, other, accept()).await.unwrap();
}

/// Proves that a panic of a post-commit action is counted, and fails neither the caller, whose commit is done, nor the
/// next request.
#[tokio::test]
async fn a_panic_of_a_post_commit_action_fails_no_request() {
    let world = Arc::new(World::new().await);
    let id = world.place(&dal_and_naan(), "a").await.unwrap().order.id;
    world.store.batch_gate.shut();
    let rejecting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.act(&world.staff, id, no_naan(None)).await }
    });
    world.store.batch_gate.until_blocked().await;
    world.store.panics_at_a_shard.store(true, Ordering::SeqCst);
    world.store.batch_gate.open();
    let rejected = rejecting.await.unwrap().unwrap().order;
    assert_eq!(rejected.status, OrderStatus::Cancelled);
    let failures = world.engine.supervisor().parts().iter().map(|part| part.failures).sum::<u64>();
    assert_eq!(failures, 1);
    world.place(&dal(1), "b").await.unwrap();
}

/// Proves that a panic of a worker's loop does not lose its tasks in flight: the loop counts as failed, the task as
/// completed.
#[tokio::test]
async fn tasks_in_flight_survive_a_panic_of_the_worker() {
    let config = with_tasks(|tasks| tasks.poll_interval = OFTEN);
    let world = World::with_stock(config).await;
    let order = world.place_two("a").await;
    world.store.batch_gate.shut();
    world.advance_to_deadline(&order);
    let worker = Worker::start(&world.engine);
    // The task is in flight, and waits for its commit.
    world.store.batch_gate.until_blocked().await;
    world.store.claims.fail_once(Fault::Panic);
    until_a_worker_fails(&world).await;
    world.store.batch_gate.open();
    eventually("the task is completed", async || worker.count(dabba_engine::TaskOutcome::Completed) > 0)
        .await;
    world.check_expired_once(order.id).await;
    worker.stop().await;
}
