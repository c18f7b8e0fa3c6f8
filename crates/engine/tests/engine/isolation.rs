//! A batch that the store refuses as corrupt: only the bad commit fails.

use std::sync::Arc;

use dabba_engine::{EngineConfig, Error, OrderAnswer};
use tokio::task::JoinHandle;

use crate::world::{World, config, dal};

/// Places orders under these keys in one batch, and returns the result of each.
async fn place_together(world: &Arc<World>, keys: &[String]) -> Vec<Result<OrderAnswer, Error>> {
    world.store.batch_gate.shut();
    let place = |key: &str| -> JoinHandle<Result<OrderAnswer, Error>> {
        let (world, key) = (Arc::clone(world), key.to_owned());
        tokio::spawn(async move { world.place(&dal(1), &key).await })
    };
    let first = place("first");
    world.store.batch_gate.until_blocked().await;
    let placed: Vec<_> = keys.iter().map(|key| place(key)).collect();
    world.until_queued(keys.len()).await;
    world.store.batches.lock().unwrap().clear();
    world.store.batch_gate.open();
    first.await.unwrap().unwrap();
    let mut ended = Vec::new();
    for placed in placed {
        ended.push(placed.await.unwrap());
    }
    ended
}

fn keys(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("key {number}")).collect()
}

fn is_internal(ended: &Result<OrderAnswer, Error>) -> bool {
    matches!(ended, Err(Error::Internal(_)))
}

/// Proves that all commits of a batch but the bad one are written exactly once, at whatever position the bad commit is.
#[tokio::test]
async fn one_bad_commit_fails_alone() {
    for bad in ["key 0", "key 7", "key 19"] {
        let world = Arc::new(World::new().await);
        world.store.refused_keys.lock().unwrap().insert(bad.to_owned());
        let keys = keys(20);
        let ended = place_together(&world, &keys).await;
        for (key, ended) in keys.iter().zip(&ended) {
            assert_eq!(is_internal(ended), key == bad, "{key}: {ended:?}");
        }
        assert_eq!(world.orders().await.len(), 20, "19 of the batch, and the first order");
        world.check_histories().await;
        let transactions = world.engine.metrics().isolating_transactions.get();
        assert!((2..=10).contains(&transactions), "{transactions}: twice the logarithm of 20");
        // The committer continues as before.
        world.store.refused_keys.lock().unwrap().clear();
        assert!(!world.place(&dal(1), bad).await.unwrap().replayed);
        for key in keys.iter().filter(|key| *key != bad) {
            assert!(world.place(&dal(1), key).await.unwrap().replayed, "{key}");
        }
    }
}

/// Proves that several bad commits fail, and all other commits succeed.
#[tokio::test]
async fn several_bad_commits_fail_alone() {
    let world = Arc::new(World::new().await);
    let bad = ["key 3", "key 4", "key 31"].map(str::to_owned);
    world.store.refused_keys.lock().unwrap().extend(bad.iter().cloned());
    let keys = keys(40);
    let ended = place_together(&world, &keys).await;
    for (key, ended) in keys.iter().zip(&ended) {
        assert_eq!(is_internal(ended), bad.contains(key), "{key}: {ended:?}");
    }
}

/// Proves that a batch of only bad commits needs a bounded number of transactions, and that every caller is answered.
#[tokio::test]
async fn a_damaged_store_costs_a_bounded_number_of_transactions() {
    let world = Arc::new(World::with(EngineConfig { max_batch: 256, ..config() }).await);
    let keys = keys(200);
    world.store.refused_keys.lock().unwrap().extend(keys.iter().cloned());
    let ended = place_together(&world, &keys).await;
    assert!(ended.iter().all(is_internal));
    assert_eq!(world.engine.metrics().isolating_transactions.get(), 64);
    assert_eq!(world.store.batches.lock().unwrap().len(), 65, "including the batch itself");
}
