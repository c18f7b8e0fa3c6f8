//! Group commit: its limits, and failures of commits.

use std::{pin::pin, sync::Arc, time::Duration};

use dabba_domain::order::OrderStatus;
use dabba_engine::{Conflict, EngineConfig, Error};
use futures::FutureExt as _;
use tokio::task::JoinHandle;

use crate::{
    faulty::Fault,
    world::{World, accept, cancel, config, dal},
};

/// Places orders `from..to` concurrently. Returns their handles.
fn place_many(world: &Arc<World>, from: u32, to: u32) -> Vec<JoinHandle<Result<bool, Error>>> {
    (from..to)
        .map(|number| {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                world.place(&dal(1), &format!("key {number}")).await.map(|answer| answer.replayed)
            })
        })
        .collect()
}

/// Places an order whose transaction waits at the gate of the store, and `queued` orders that are queued behind it.
/// Returns the handles of all.
async fn place_behind_the_gate(world: &Arc<World>, queued: u32) -> Vec<JoinHandle<Result<bool, Error>>> {
    world.store.batch_gate.shut();
    let mut placing = place_many(world, 0, 1);
    world.store.batch_gate.until_blocked().await;
    placing.extend(place_many(world, 1, 1 + queued));
    world.until_queued(usize::try_from(queued).unwrap()).await;
    placing
}

#[tokio::test]
async fn commits_that_arrive_during_a_transaction_form_one_batch() {
    let world = Arc::new(World::new().await);
    let placing = place_behind_the_gate(&world, 50).await;
    world.store.batch_gate.open();
    for placed in placing {
        assert!(!placed.await.unwrap().unwrap());
    }
    assert_eq!(*world.store.batches.lock().unwrap(), [1, 50]);
    assert_eq!(world.orders().await.len(), 51);
}

/// Proves that with several committers, the orders of one restaurant use the same committer: they share its stock, and
/// would otherwise conflict in the store.
#[tokio::test]
async fn all_orders_of_a_restaurant_use_one_committer() {
    let world = Arc::new(World::with(EngineConfig { committers: 4, ..config() }).await);
    let placing = place_behind_the_gate(&world, 40).await;
    world.store.batch_gate.open();
    for placed in placing {
        placed.await.unwrap().unwrap();
    }
    assert_eq!(*world.store.batches.lock().unwrap(), [1, 40]);
}

#[tokio::test]
async fn the_size_of_a_batch_is_limited() {
    let world = Arc::new(World::with(EngineConfig { max_batch: 16, ..config() }).await);
    let placing = place_behind_the_gate(&world, 40).await;
    world.store.batch_gate.open();
    for placed in placing {
        placed.await.unwrap().unwrap();
    }
    assert_eq!(*world.store.batches.lock().unwrap(), [1, 16, 16, 8]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_recovers() {
    let world = Arc::new(World::with(EngineConfig { max_queued: 4, ..config() }).await);
    let placing = place_behind_the_gate(&world, 4).await;
    // The gate is shut: a request that is not refused at once would never be answered.
    for refused in place_many(&world, 5, 8) {
        assert!(matches!(refused.await.unwrap(), Err(Error::Overloaded)));
    }
    assert_eq!(world.engine.metrics().queue_full.get(), 3);
    world.store.batch_gate.open();
    for placed in placing {
        placed.await.unwrap().unwrap();
    }
    for placed in place_many(&world, 5, 8) {
        assert!(!placed.await.unwrap().unwrap(), "a refused request has written nothing");
    }
    assert_eq!(world.orders().await.len(), 8);
}

#[tokio::test]
async fn an_unavailable_store_writes_nothing() {
    let world = World::new().await;
    world.store.commits.fail_once(Fault::Before);
    assert!(matches!(world.place(&dal(1), "a").await, Err(Error::Unavailable)));
    assert!(world.orders().await.is_empty());
    assert!(!world.place(&dal(1), "a").await.unwrap().replayed);
}

#[tokio::test]
async fn a_lost_answer_is_replayed_by_its_key() {
    let world = World::new().await;
    world.store.commits.fail_once(Fault::After);
    assert!(matches!(world.place(&dal(1), "a").await, Err(Error::OutcomeUnknown)));
    let answer = world.place(&dal(1), "a").await.unwrap();
    assert!(answer.replayed);
    assert_eq!(world.orders().await, [answer.order]);
}

#[tokio::test]
async fn a_slow_commit_times_out_and_is_still_written() {
    let world =
        Arc::new(World::with(EngineConfig { commit_timeout: Duration::from_secs(10), ..config() }).await);
    world.store.batch_gate.shut();
    let slow = place_many(&world, 0, 1).remove(0);
    world.store.batch_gate.until_blocked().await;
    // While the time is paused and everything waits, the clock advances to the timeout.
    tokio::time::pause();
    assert!(matches!(slow.await.unwrap(), Err(Error::OutcomeUnknown)));
    tokio::time::resume();
    world.store.batch_gate.open();
    assert!(
        world.place(&dal(1), "key 0").await.unwrap().replayed,
        "the commit was written after the timeout"
    );
}

#[tokio::test]
async fn a_shutdown_finishes_queued_commits_and_refuses_new_ones() {
    let world = Arc::new(World::new().await);
    let placing = place_behind_the_gate(&world, 19).await;
    let mut shutting_down = pin!(world.engine.shut_down(Duration::from_mins(1)));
    // The shutdown begins when it is polled for the first time.
    assert!(shutting_down.as_mut().now_or_never().is_none(), "the shutdown waits for the queued commits");
    world.store.batch_gate.open();
    for placed in placing {
        placed.await.unwrap().unwrap();
    }
    assert!(shutting_down.await, "the shutdown finished within its limit");
    assert!(matches!(world.place(&dal(1), "late").await, Err(Error::Unavailable)));
    assert!(world.directory().join("dabba.db").exists());
}

#[tokio::test]
async fn a_shutdown_times_out_if_the_store_hangs() {
    let world = Arc::new(World::new().await);
    world.store.batch_gate.shut();
    let hanging = place_many(&world, 0, 1).remove(0);
    world.store.batch_gate.until_blocked().await;
    tokio::time::pause();
    assert!(!world.engine.shut_down(Duration::from_secs(3)).await);
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stale_decision_is_repeated_a_bounded_number_of_times() {
    let world = World::with(EngineConfig { max_decision_attempts: 5, ..config() }).await;
    let order_id = world.place(&dal(1), "a").await.unwrap().order.id;
    world.store.commits.fail_once(Fault::Conflict);
    assert_eq!(
        world.act(&world.staff, order_id, accept()).await.unwrap().order.status,
        OrderStatus::Preparing
    );
    assert_eq!(world.engine.metrics().decision_retries.get(), 1);
    world.store.batches.lock().unwrap().clear();
    world.store.commits.plan(|| Fault::Conflict);
    let stuck = world.act(&world.staff, order_id, dabba_domain::order::Command::MarkReady).await;
    assert!(matches!(stuck, Err(Error::Conflict(Conflict::TooManyChanges))));
    assert_eq!(world.store.batches.lock().unwrap().len(), 5);
}

/// Proves that of a restaurant and a customer who act on the same order at the same time, one wins, the other gets the
/// current state, and the history is legal (I5).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_conflicting_commands_one_wins() {
    let world = World::new().await;
    for round in 0..50 {
        let order_id = world.place(&dal(1), &format!("round {round}")).await.unwrap().order.id;
        let (accepted, cancelled) = tokio::join!(
            world.act(&world.staff, order_id, accept()),
            world.act(&world.customer, order_id, cancel())
        );
        assert!(accepted.is_ok() != cancelled.is_ok(), "{accepted:?} {cancelled:?}");
        let loser = accepted.err().or(cancelled.err()).unwrap();
        assert!(matches!(loser, Error::Conflict(Conflict::IllegalMove { .. })), "{loser:?}");
    }
    world.check_histories().await;
}
