//! Changes by other servers are seen, by polling and by hints.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::{menu::Availability, text::Slug};
use dabba_engine::{CatalogueEntry, Engine, EngineConfig};
use dabba_store::{Hint, MAX_REVISIONS, ShardMap, ShardRange, ShardedStore, Store};
use tokio::task::JoinSet;

use crate::{
    faulty::FaultyStore,
    working::eventually,
    world::{World, config, embedded_store, menu_with_dal_at},
};

/// An interval that is short enough for tests.
const OFTEN: Duration = Duration::from_millis(10);

/// An interval that never elapses in a test.
const NEVER: Duration = Duration::from_hours(1);

/// A second server that watches the catalogues, while the world's own server changes them. It watches until this value
/// is dropped.
struct Watching {
    engine: Arc<Engine>,
    _task: JoinSet<()>,
}

impl Watching {
    /// Starts a server that has cached only the world's restaurant.
    async fn start(world: &World, catalogue_poll_interval: Duration) -> Self {
        let engine = world.second_engine_with(EngineConfig { catalogue_poll_interval, ..config() });
        engine.catalogue.entry(world.restaurant_id).await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
        Self { engine, _task: task }
    }

    /// Waits until the server's cached catalogue of the world's restaurant fulfils the condition.
    async fn sees(&self, world: &World, holds: impl Fn(&CatalogueEntry) -> bool) {
        eventually("the change is seen", async || {
            holds(&self.engine.catalogue.entry(world.restaurant_id).await.unwrap())
        })
        .await;
    }

    async fn sees_menu(&self, world: &World, revision: u32) {
        self.sees(world, |entry| entry.catalogue.menu_revision == revision).await;
    }
}

async fn change_price(world: &World, price: i64) {
    let menu = menu_with_dal_at(price);
    world.engine.catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();
}

/// Waits until `count` reads of revisions have begun, and returns their sizes.
async fn revision_reads(world: &World, count: usize) -> Vec<usize> {
    let sizes = &world.store.revision_read_sizes;
    sizes.until("revisions are read", |sizes| sizes.len() >= count).await;
    sizes.get()
}

/// Proves that every kind of change by another server is seen without a hint.
#[tokio::test]
async fn every_change_is_seen_by_polling() {
    let world = World::new().await;
    let watching = Watching::start(&world, OFTEN).await;
    let (engine, staff, id) = (&world.engine, &world.staff, world.restaurant_id);
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 600);
    let dal = Slug::new("dal").unwrap();
    let away = Availability::Unavailable { until: None };
    engine.catalogue.set_availability(staff, id, &dal, away, None).await.unwrap();
    watching.sees(&world, |entry| entry.catalogue.unavailable.availability("dal") == away).await;
    engine.catalogue.pause(staff, id, None).await.unwrap();
    watching.sees(&world, |entry| entry.restaurant().pause.is_some()).await;
    engine.catalogue.resume(staff, id).await.unwrap();
    watching.sees(&world, |entry| entry.restaurant().pause.is_none()).await;
    engine.catalogue.set_stock(staff, id, &dal, Some(3), None).await.unwrap();
    watching.sees(&world, |entry| entry.catalogue.limited.contains("dal")).await;
}

/// Proves that a hinted change is seen without polling.
#[tokio::test]
async fn a_hinted_change_is_seen_without_polling() {
    let world = World::new().await;
    let watching = Watching::start(&world, NEVER).await;
    for revision in 2..5 {
        change_price(&world, 600 + i64::from(revision)).await;
        world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
        watching.sees_menu(&world, revision).await;
    }
    assert_eq!(world.store.revision_read_sizes.get(), [1, 1, 1]);
}

/// Proves that a change is seen by polling when its hint is lost, and when the stream of hints has ended.
#[tokio::test]
async fn a_change_whose_hint_is_lost_is_seen_by_polling() {
    let world = World::new().await;
    world.store.hides_hints.store(true, Ordering::SeqCst);
    let watching = Watching::start(&world, OFTEN).await;
    change_price(&world, 600).await;
    world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
    watching.sees_menu(&world, 2).await;
    change_price(&world, 700).await;
    watching.sees_menu(&world, 3).await;
    world.store.end_hints();
    change_price(&world, 800).await;
    watching.sees_menu(&world, 4).await;
}

/// Proves that readers of the feed are notified of events of other processes.
#[tokio::test]
async fn events_of_other_processes_are_signalled() {
    let world = World::new().await;
    let watching = Watching::start(&world, NEVER).await;
    let listener = watching.engine.commit_signals().listen(0);
    world.store.hint(Hint::Events { shard: 0 }).await;
    listener.wait().await;
}

/// Proves that a hint about an uncached or unchanged catalogue loads nothing, and that polling without a change loads
/// nothing.
#[tokio::test]
async fn unchanged_and_uncached_catalogues_are_not_loaded() {
    let world = World::new().await;
    let stranger = world.another_restaurant(&world.engine).await;
    let watching = Watching::start(&world, NEVER).await;
    change_price(&world, 600).await;
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    for id in [stranger, world.restaurant_id, world.restaurant_id] {
        world.store.hint(Hint::Catalogue(id)).await;
    }
    watching.sees_menu(&world, 2).await;
    // The server caches its own change at once, and later receives the hint of it like every other server.
    let catalogue = &watching.engine.catalogue;
    let menu = menu_with_dal_at(700);
    catalogue.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();
    let before = revision_reads(&world, 1).await.len();
    // When the server follows the second hint, it is done with the first one.
    for reads in [before + 1, before + 2] {
        world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
        revision_reads(&world, reads).await;
    }
    drop(watching);
    let loads_of_own_change = 2;
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 1 + loads_of_own_change);

    let asking = Watching::start(&world, OFTEN).await;
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    world.store.revision_read_sizes.change(Vec::clear);
    assert!(
        revision_reads(&world, 5).await.iter().all(|count| *count == 1),
        "the other restaurant is not cached"
    );
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 0);
    drop(asking);
}

/// Proves that reads of revisions are split into batches within the store's limit, and that no cached catalogue is
/// missed.
#[tokio::test]
async fn revisions_are_polled_in_bounded_batches() {
    let world = World::new().await;
    let watching = Watching::start(&world, OFTEN).await;
    let cached = MAX_REVISIONS + 3;
    for _ in 1..cached {
        world.another_restaurant(&watching.engine).await;
    }
    // Wait until all catalogues are cached.
    let are_all = |asked: &[usize]| asked.windows(2).any(|pair| pair == [MAX_REVISIONS, 3]);
    let sizes = &world.store.revision_read_sizes;
    sizes.until("all revisions are polled", |sizes| are_all(sizes)).await;
    world.store.revision_read_sizes.change(Vec::clear);
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
    let asked = revision_reads(&world, 4).await;
    assert!(asked.iter().all(|count| *count == MAX_REVISIONS || *count == 3), "{asked:?}");
}

/// Proves that cached catalogues stay unchanged while the store cannot answer, and that polling continues.
#[tokio::test]
async fn polling_continues_after_a_failure() {
    let world = World::new().await;
    world.store.hides_revisions.store(true, Ordering::SeqCst);
    let watching = Watching::start(&world, OFTEN).await;
    change_price(&world, 600).await;
    revision_reads(&world, 3).await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 500);
    world.store.hides_revisions.store(false, Ordering::SeqCst);
    watching.sees_menu(&world, 2).await;
}

/// Proves that the cached catalogue is served while it is loaded again.
#[tokio::test]
async fn a_cached_catalogue_is_served_while_it_is_reloaded() {
    let world = World::new().await;
    let watching = Watching::start(&world, NEVER).await;
    change_price(&world, 600).await;
    world.store.catalogue_gate.shut();
    world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
    world.store.catalogue_gate.until_blocked().await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 500);
    world.store.catalogue_gate.open();
    watching.sees_menu(&world, 2).await;
}

/// Proves that a shard that hangs does not delay changes on another shard.
#[tokio::test]
async fn a_hanging_shard_delays_only_its_own_restaurants() {
    let (_directories, shards): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| embedded_store())
        .map(|(directory, store)| (directory, Arc::new(FaultyStore::new(store))))
        .unzip();
    let range = |(name, buckets): (&str, &str)| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
        split_from: None,
    };
    let map = ShardMap::new([("a", "0-2047"), ("b", "2048-4095")].map(range).into()).unwrap();
    let stores = shards.iter().map(|shard| Arc::clone(shard) as Arc<dyn Store>).collect();
    let router = ShardedStore::new(map, stores).unwrap().with_timeout(NEVER);
    let world = World::on(Arc::new(router), config()).await;
    let watching = Watching::start(&world, OFTEN).await;
    let hanging = 1 - world.store.shard_of(world.restaurant_id.bucket());
    let mut is_any_there = false;
    for _ in 0..100 {
        let made = world.another_restaurant(&watching.engine).await;
        is_any_there |= world.store.shard_of(made.bucket()) == hanging;
        if is_any_there {
            break;
        }
    }
    assert!(is_any_there, "all restaurants are on one shard");
    shards[hanging].revisions_gate.shut();
    shards[hanging].revisions_gate.until_blocked().await;
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
}
