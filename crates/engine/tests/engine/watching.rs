//! What another server changes is seen, by asking for it and by hints.

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
    world::{World, config, embedded_store, menu_with_dal_at, settings},
};

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// So often that a test need not wait.
const OFTEN: Duration = Duration::from_millis(10);

/// So seldom that it never happens in a test.
const NEVER: Duration = Duration::from_hours(1);

/// A server beside the world's own, which makes the changes. It watches until this is dropped.
struct Watching {
    engine: Arc<Engine>,
    _task: JoinSet<()>,
}

impl Watching {
    /// One that remembers the world's restaurant and nothing else.
    async fn start(world: &World, catalogue_poll_interval: Duration) -> Self {
        let engine = world.second_engine_with(EngineConfig { catalogue_poll_interval, ..config() });
        engine.catalogue(world.restaurant_id).await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&engine).watch_catalogues());
        Self { engine, _task: task }
    }

    /// Waits until what it remembers of the world's restaurant is so.
    async fn sees(&self, world: &World, is_so: impl Fn(&CatalogueEntry) -> bool) {
        let wait = async {
            while !is_so(&self.engine.catalogue(world.restaurant_id).await.unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "the change was not seen");
    }

    async fn sees_menu(&self, world: &World, revision: u32) {
        self.sees(world, |entry| entry.catalogue.menu_revision == revision).await;
    }
}

async fn change_price(world: &World, price: i64) {
    let menu = menu_with_dal_at(price);
    world.engine.replace_menu(&world.staff, world.restaurant_id, menu, None).await.unwrap();
}

/// Waits until the store has been asked so many questions for revisions.
async fn questions(world: &World, count: usize) -> Vec<usize> {
    let wait = async {
        loop {
            let asked = world.store.revisions_asked.lock().unwrap().clone();
            if asked.len() >= count {
                return asked;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

/// Whatever another server changes is seen without a hint.
#[tokio::test]
async fn every_change_is_seen_by_asking() {
    let world = World::new().await;
    let watching = Watching::start(&world, OFTEN).await;
    let (engine, staff, id) = (&world.engine, &world.staff, world.restaurant_id);
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 600);
    let dal = Slug::new("dal").unwrap();
    let away = Availability::Unavailable { until: None };
    engine.set_availability(staff, id, &dal, away, None).await.unwrap();
    watching.sees(&world, |entry| entry.catalogue.unavailable.availability("dal") == away).await;
    engine.pause(staff, id, None).await.unwrap();
    watching.sees(&world, |entry| entry.restaurant().pause.is_some()).await;
    engine.resume(staff, id).await.unwrap();
    watching.sees(&world, |entry| entry.restaurant().pause.is_none()).await;
    engine.set_stock(staff, id, &dal, Some(3), None).await.unwrap();
    watching.sees(&world, |entry| entry.catalogue.limited.contains("dal")).await;
}

/// What is hinted at is seen without asking for everything.
#[tokio::test]
async fn a_change_that_is_hinted_at_is_seen() {
    let world = World::new().await;
    let watching = Watching::start(&world, NEVER).await;
    for revision in 2..5 {
        change_price(&world, 600 + i64::from(revision)).await;
        world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
        watching.sees_menu(&world, revision).await;
    }
    assert_eq!(*world.store.revisions_asked.lock().unwrap(), [1, 1, 1]);
}

/// A hint that is lost, and then all of them, costs a moment: what changed is seen by asking.
#[tokio::test]
async fn a_change_whose_hint_is_lost_is_seen_by_asking() {
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

/// A hint about what is not remembered, or what is remembered as it is, loads nothing; nor does asking.
#[tokio::test]
async fn nothing_is_loaded_in_vain() {
    let world = World::new().await;
    let stranger =
        world.engine.create_restaurant(&world.admin, settings(), menu_with_dal_at(1)).await.unwrap();
    let watching = Watching::start(&world, NEVER).await;
    change_price(&world, 600).await;
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    for id in [stranger.restaurant().id, world.restaurant_id, world.restaurant_id] {
        world.store.hint(Hint::Catalogue(id)).await;
    }
    watching.sees_menu(&world, 2).await;
    // What this one changes itself it remembers at once, and it hears of it like everybody else.
    watching
        .engine
        .replace_menu(&world.staff, world.restaurant_id, menu_with_dal_at(700), None)
        .await
        .unwrap();
    let before = questions(&world, 1).await.len();
    world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
    questions(&world, before + 1).await;
    drop(watching);
    let loads_of_own_change = 2;
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 1 + loads_of_own_change);

    let asking = Watching::start(&world, OFTEN).await;
    world.store.catalogue_loads.store(0, Ordering::SeqCst);
    world.store.revisions_asked.lock().unwrap().clear();
    assert!(questions(&world, 5).await.iter().all(|count| *count == 1), "the stranger is not remembered");
    assert_eq!(world.store.catalogue_loads.load(Ordering::SeqCst), 0);
    drop(asking);
}

/// However many are remembered, no question is about more than a store takes, and none is left out.
#[tokio::test]
async fn many_catalogues_are_asked_for_in_bounded_numbers() {
    let world = World::new().await;
    let watching = Watching::start(&world, OFTEN).await;
    let remembered = MAX_REVISIONS + 3;
    for _ in 1..remembered {
        watching.engine.create_restaurant(&world.admin, settings(), menu_with_dal_at(1)).await.unwrap();
    }
    // Once all are known to be remembered.
    let are_all = |asked: &[usize]| asked.windows(2).any(|pair| pair == [MAX_REVISIONS, 3]);
    eventually("all are asked for", || are_all(&world.store.revisions_asked.lock().unwrap())).await;
    world.store.revisions_asked.lock().unwrap().clear();
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
    let asked = questions(&world, 4).await;
    assert!(asked.iter().all(|count| *count == MAX_REVISIONS || *count == 3), "{asked:?}");
}

/// A store that cannot answer leaves what is remembered as it is, and is asked again.
#[tokio::test]
async fn a_store_that_fails_is_asked_again() {
    let world = World::new().await;
    world.store.hides_revisions.store(true, Ordering::SeqCst);
    let watching = Watching::start(&world, OFTEN).await;
    change_price(&world, 600).await;
    questions(&world, 3).await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 500);
    world.store.hides_revisions.store(false, Ordering::SeqCst);
    watching.sees_menu(&world, 2).await;
}

/// While a catalogue is being loaded again, what is remembered of it is shown: nobody waits.
#[tokio::test]
async fn nobody_waits_for_a_catalogue_that_is_loaded_again() {
    let world = World::new().await;
    let watching = Watching::start(&world, NEVER).await;
    change_price(&world, 600).await;
    world.store.catalogue_gate.shut();
    world.store.hint(Hint::Catalogue(world.restaurant_id)).await;
    world.store.catalogue_gate.somebody_waits().await;
    assert_eq!(world.price_of_dal(&watching.engine).await, 500);
    world.store.catalogue_gate.open();
    watching.sees_menu(&world, 2).await;
}

/// A shard that hangs keeps nobody from seeing what changes on another.
#[tokio::test]
async fn a_shard_that_hangs_holds_up_only_its_own_restaurants() {
    let (_directories, shards): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| embedded_store())
        .map(|(directory, store)| (directory, Arc::new(FaultyStore::new(store))))
        .unzip();
    let range = |(name, buckets): (&str, &str)| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
    };
    let map = ShardMap::new([("a", "0-2047"), ("b", "2048-4095")].map(range).into()).unwrap();
    let stores = shards.iter().map(|shard| Arc::clone(shard) as Arc<dyn Store>).collect();
    let router = ShardedStore::new(map, stores).unwrap().with_time_limit(NEVER);
    let world = World::on(Arc::new(router), config()).await;
    let watching = Watching::start(&world, OFTEN).await;
    let hanging = 1 - world.store.shard_of(world.restaurant_id.bucket());
    let mut is_any_there = false;
    for _ in 0..100 {
        let made =
            watching.engine.create_restaurant(&world.admin, settings(), menu_with_dal_at(1)).await.unwrap();
        is_any_there |= world.store.shard_of(made.restaurant().id.bucket()) == hanging;
        if is_any_there {
            break;
        }
    }
    assert!(is_any_there, "all restaurants are on one shard");
    shards[hanging].revisions_gate.shut();
    shards[hanging].revisions_gate.somebody_waits().await;
    change_price(&world, 600).await;
    watching.sees_menu(&world, 2).await;
}
