//! Reads that the caches of the engine answer.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use dabba_engine::EngineConfig;

use crate::world::{World, config};

/// Number of reads. A cache keeps house after 64 of them at the latest.
const READS: u32 = 1_000;

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Proves that a read of cached data neither waits nor wakes the task that reads. A task that a cache wakes at some real
/// time is polled out of turn, and equal seeds then give different simulations.
#[tokio::test]
async fn a_cached_read_wakes_nobody() {
    let config = EngineConfig { membership_max_age: Duration::from_hours(1), ..config() };
    let world = World::with(config).await;
    let (catalogue, accounts) = (&world.engine.catalogue, &world.engine.accounts);
    let read = async || {
        catalogue.entry(world.restaurant_id).await.unwrap();
        accounts.own_memberships(&world.staff).await.unwrap();
    };
    read().await;
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    for number in 1..=READS {
        let polled = pin!(read()).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_ready(), "read {number} waits");
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "read {number} woke its task");
    }
}
