//! The presence of boards, and the pause of unattended restaurants.

mod advances;
mod exceptions;
mod layer;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::{
    AccountId, Bucket, RestaurantId, Role, Timestamp,
    restaurant::{Pause, Restaurant},
    text::Name,
};
use dabba_engine::{
    BoardConnection, Conflict, Engine, EngineConfig, Error, NewBoard, Ports, Principal, Random as _,
    SeededRandom,
};
use dabba_pg_cluster::Cluster;
use dabba_store::{
    BOARD_STALE_AFTER, Board, BoardStore, CatalogueStore, DeviceId, MAX_BOARDS_PER_WRITE, Store,
    UNATTENDED_RECHECK,
};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use tokio::task::JoinSet;

use self::layer::BoardsLayer;
use crate::{
    faulty::Fault,
    working::eventually,
    world::{World, config, dal, embedded_store, key, settings},
};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Time after which an unattended restaurant is paused.
const LIMIT: SignedDuration = SignedDuration::from_mins(10);

fn pausing() -> EngineConfig {
    EngineConfig { unattended_pause: Some(LIMIT), ..config() }
}

/// Returns a world whose engine has run for so long that it pauses restaurants.
async fn world() -> World {
    let world = World::with(pausing()).await;
    world.clock.advance(BOARD_STALE_AFTER);
    world
}

/// Returns such a world with the layer of its store.
async fn world_with_layer() -> (World, Arc<BoardsLayer>) {
    let (directory, store) = embedded_store();
    let layer = BoardsLayer::new(store);
    let world = World::on(Arc::clone(&layer) as _, pausing()).await.keeping(directory);
    world.clock.advance(BOARD_STALE_AFTER);
    (world, layer)
}

fn board(world: &World, device: u64) -> NewBoard {
    NewBoard {
        restaurant_id: world.restaurant_id,
        device_id: format!("00000000-0000-4000-8000-{device:012x}").parse::<DeviceId>().unwrap(),
        device: Some(Name::new("Kitchen 1").unwrap()),
    }
}

/// Connects a board, and writes it.
async fn connect(world: &World, engine: &Engine, device: u64) -> BoardConnection {
    let connection = engine.boards.connect(&world.staff, board(world, device)).unwrap();
    engine.boards.write_connections(false).await.unwrap();
    connection
}

/// Ends the connection of a board, and writes it.
async fn disconnect(engine: &Engine, connection: BoardConnection) {
    drop(connection);
    engine.boards.write_connections(false).await.unwrap();
}

/// Connects a board and disconnects it. Returns the time since which the restaurant is unattended.
async fn leave_unattended(world: &World) -> Timestamp {
    let connection = connect(world, &world.engine, 1).await;
    world.clock.advance(SECOND);
    disconnect(&world.engine, connection).await;
    world.engine.now()
}

/// Returns the restaurant as it is stored.
async fn restaurant(world: &World) -> Restaurant {
    CatalogueStore::catalogue(&*world.store, world.restaurant_id).await.unwrap().unwrap().restaurant
}

async fn stored_boards(world: &World) -> Vec<Board> {
    BoardStore::boards(&*world.store, world.restaurant_id, world.engine.now()).await.unwrap()
}

async fn pause(world: &World) -> Option<Pause> {
    restaurant(world).await.pause
}

/// Advances the clock, checking after each step, as the maintenance does.
async fn pass(world: &World, duration: SignedDuration) {
    let end = world.engine.now() + duration;
    while world.engine.now() < end {
        world.clock.advance(SignedDuration::from_secs(30));
        world.engine.boards.check_unattended().await.unwrap();
    }
}

/// Proves that an unattended restaurant is paused while a deletion of the maintenance takes long.
#[tokio::test]
async fn a_slow_deletion_does_not_delay_the_pause() {
    const INTERVAL: Duration = Duration::from_millis(10);
    let world = World::with(EngineConfig { maintenance_interval: INTERVAL, ..pausing() }).await;
    world.clock.advance(BOARD_STALE_AFTER);
    world.store.deletion_gate.shut();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&world.engine.work).maintain());
    world.store.deletion_gate.until_blocked().await;
    leave_unattended(&world).await;
    world.clock.advance(LIMIT + SECOND);
    eventually("the restaurant is paused", async || pause(&world).await.is_some()).await;
}

/// Proves that only staff and admins see the boards of a restaurant, whether the boards are connected, and since
/// when the restaurant is unattended.
#[tokio::test]
async fn the_boards_of_a_restaurant_are_listed() {
    let world = world().await;
    let boards = &world.engine.boards;
    let listed = async |caller: &Principal| boards.of_restaurant(caller, world.restaurant_id).await;
    assert_eq!(listed(&world.staff).await.unwrap().boards, []);
    let (connected_at, first) = (world.engine.now(), connect(&world, &world.engine, 1).await);
    world.clock.advance(SECOND);
    let second = connect(&world, &world.engine, 2).await;
    world.clock.advance(SECOND);
    disconnect(&world.engine, second).await;
    for caller in [&world.staff, &world.admin] {
        let found = listed(caller).await.unwrap();
        // The second board has connected later, and is not connected any more.
        let [first, second] = &found.boards[..] else { panic!("{found:?}") };
        assert_eq!(first.device_id, board(&world, 1).device_id);
        assert_eq!((first.device.as_deref(), first.account_id), (Some("Kitchen 1"), world.staff.account_id));
        assert_eq!((first.connected_at, first.last_seen_at), (connected_at, connected_at));
        assert!(first.is_connected_at(found.now) && !second.is_connected_at(found.now));
        assert_eq!((second.last_seen_at, found.unattended_since), (found.now, None));
    }
    disconnect(&world.engine, first).await;
    let found = listed(&world.staff).await.unwrap();
    assert_eq!(found.unattended_since, Some(found.now));
    assert!(matches!(listed(&world.customer).await, Err(Error::Forbidden(_))));
    let unknown = RestaurantId::generate(world.engine.now(), Bucket::from_random(7), 7 << 2);
    assert!(matches!(boards.of_restaurant(&world.admin, unknown).await, Err(Error::NotFound(_))));

    let other = Principal::new(
        AccountId::generate(world.engine.now(), Bucket::from_random(0), 5 << 2),
        Role::Restaurant,
    );
    for (caller, knows) in [
        (None, false),
        (Some(&world.customer), false),
        (Some(&other), false),
        (Some(&world.staff), true),
        (Some(&world.admin), true),
    ] {
        assert_eq!(boards.may_know(caller, world.restaurant_id).await, knows, "{caller:?}");
    }
}

/// Proves that an unattended restaurant is paused at the limit, and takes orders again when a board connects.
#[tokio::test]
async fn an_unattended_restaurant_is_paused_until_a_board_connects() {
    let world = world().await;
    let (engine, metrics) = (&world.engine, world.engine.metrics());
    let since = leave_unattended(&world).await;
    engine.boards.check_unattended().await.unwrap();
    pass(&world, LIMIT - SECOND * 30).await;
    assert_eq!(pause(&world).await, None, "the limit is not reached");
    world.place(&dal(1), "before").await.unwrap();
    pass(&world, SECOND * 30).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    assert!(matches!(world.place(&dal(1), "paused").await, Err(Error::Conflict(Conflict::NotOrderable(_)))));
    assert_eq!(
        engine.boards.unattended_since(&[world.restaurant_id]).await.into_iter().collect::<Vec<_>>(),
        [(world.restaurant_id, since)]
    );
    let revision = restaurant(&world).await.revision;
    pass(&world, LIMIT * 3).await;
    assert_eq!((restaurant(&world).await.revision, metrics.unattended_pauses.get()), (revision, 1));

    let _connection = connect(&world, engine, 2).await;
    assert_eq!((pause(&world).await, metrics.attended_resumes.get()), (None, 1));
    world.place(&dal(1), "after").await.unwrap();
    assert!(engine.boards.unattended_since(&[world.restaurant_id]).await.is_empty());
}

/// Proves that Dabba leaves a restaurant alone that a person has resumed, until a board was connected again.
#[tokio::test]
async fn a_restaurant_is_paused_once_until_a_board_was_connected() {
    let world = world().await;
    let catalogue = &world.engine.catalogue;
    leave_unattended(&world).await;
    pass(&world, LIMIT + SECOND * 60).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    catalogue.resume(&world.staff, world.restaurant_id).await.unwrap();
    pass(&world, LIMIT * 6).await;
    assert_eq!(pause(&world).await, None);
    leave_unattended(&world).await;
    pass(&world, LIMIT + SECOND * 60).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
}

/// Proves that a board ends no pause of a person, also if the person pauses a restaurant that Dabba has paused, and that Dabba
/// replaces no pause of a person.
#[tokio::test]
async fn the_pause_of_a_person_stays() {
    let world = world().await;
    let catalogue = &world.engine.catalogue;
    catalogue.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    leave_unattended(&world).await;
    pass(&world, LIMIT * 3).await;
    let by_person = Some(Pause::by_person(None));
    assert_eq!(pause(&world).await, by_person);
    drop(connect(&world, &world.engine, 1).await);
    assert_eq!(pause(&world).await, by_person);

    catalogue.resume(&world.staff, world.restaurant_id).await.unwrap();
    leave_unattended(&world).await;
    pass(&world, LIMIT * 3).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    catalogue.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    drop(connect(&world, &world.engine, 1).await);
    assert_eq!(pause(&world).await, by_person);
    assert_eq!(world.engine.metrics().attended_resumes.get(), 0);
}

/// Proves that a restaurant that opens, or whose pause ends by itself, has the whole limit to connect a board.
#[tokio::test]
async fn a_restaurant_that_opens_has_the_limit_to_connect_a_board() {
    let world = world().await;
    let catalogue = &world.engine.catalogue;
    let mut document = serde_json::to_value(settings()).unwrap();
    // The tests begin on a Monday at noon in UTC, 13:00 in London.
    document["opening_hours"] = json!([{"day": "monday", "opens": "15:00", "closes": "23:00"}]);
    let hours = serde_json::from_value(document).unwrap();
    catalogue.replace_settings(&world.admin, world.restaurant_id, hours, None).await.unwrap();
    leave_unattended(&world).await;
    let opens_at: Timestamp = "2026-06-01T14:00:00Z".parse().unwrap();
    pass(&world, (opens_at + LIMIT - SECOND * 30).duration_since(world.engine.now())).await;
    assert_eq!(pause(&world).await, None);
    pass(&world, UNATTENDED_RECHECK + SECOND * 60).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
}

/// Proves that the streams of one device count as one board, which is connected until the last stream ends.
#[tokio::test]
async fn the_tabs_of_a_device_are_one_board() {
    let world = world().await;
    let id = world.restaurant_id;
    let first = connect(&world, &world.engine, 1).await;
    // A stream without a name keeps the name that another stream of the device has stated.
    let nameless = NewBoard { device: None, ..board(&world, 1) };
    let second = world.engine.boards.connect(&world.staff, nameless).unwrap();
    world.engine.boards.write_connections(false).await.unwrap();
    let stored = stored_boards(&world).await;
    assert_eq!((stored.len(), stored[0].device.as_deref()), (1, Some("Kitchen 1")));
    disconnect(&world.engine, first).await;
    assert!(world.engine.boards.unattended_since(&[id]).await.is_empty());
    disconnect(&world.engine, second).await;
    assert_eq!(world.engine.boards.unattended_since(&[id]).await.len(), 1);
}

/// Proves that boards are renewed, that a board that no server renews is stale, and that its restaurant is paused: a server
/// that was killed records no end of a connection.
#[tokio::test]
async fn the_boards_of_a_server_that_died_become_stale() {
    let world = world().await;
    let id = world.restaurant_id;
    let connection = connect(&world, &world.engine, 1).await;
    for _ in 0..20 {
        pass(&world, SECOND * 30).await;
        world.engine.boards.write_connections(true).await.unwrap();
        assert!(world.engine.boards.unattended_since(&[id]).await.is_empty());
    }
    let seen_at = world.engine.now();
    // The server is killed.
    std::mem::forget(connection);
    world.clock.advance(BOARD_STALE_AFTER);
    let since = world.engine.boards.unattended_since(&[id]).await;
    assert_eq!(since.get(&id), Some(&seen_at));
    pass(&world, LIMIT).await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
}

/// Proves that what cannot be written stays registered and is written later, and that the pause ends then.
#[tokio::test]
async fn connections_that_cannot_be_written_are_written_later() {
    let (world, layer) = world_with_layer().await;
    let boards = &world.engine.boards;
    leave_unattended(&world).await;
    pass(&world, LIMIT + SECOND * 60).await;
    layer.fail(Fault::Before);
    let connection = boards.connect(&world.staff, board(&world, 1)).unwrap();
    boards.write_connections(false).await.unwrap_err();
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    boards.write_connections(false).await.unwrap();
    assert_eq!(pause(&world).await, None);

    for fault in [Fault::Before, Fault::After] {
        layer.fail(fault);
        world.clock.advance(SECOND);
        drop(boards.connect(&world.staff, board(&world, 2)).unwrap());
        boards.write_connections(false).await.unwrap_err();
        boards.write_connections(false).await.unwrap();
    }
    layer.fail(Fault::After);
    drop(connection);
    boards.write_connections(false).await.unwrap_err();
    boards.write_connections(false).await.unwrap();
    assert_eq!(boards.unattended_since(&[world.restaurant_id]).await.len(), 1);
}

/// Proves that more boards than one write takes are written, and that only new connections are written between renewals.
#[tokio::test]
async fn many_boards_are_written_in_batches() {
    let (world, layer) = world_with_layer().await;
    let restaurants = MAX_BOARDS_PER_WRITE as u64 / 2 + 1;
    let mut connections = Vec::new();
    for number in 0..restaurants * 2 {
        let restaurant_id =
            RestaurantId::generate(world.engine.now(), Bucket::from_random(0), (number / 2) << 2);
        connections.push(
            world.engine.boards.connect(&world.staff, NewBoard { restaurant_id, ..board(&world, number) }),
        );
    }
    let written = || layer.recorded.load(Ordering::SeqCst);
    world.engine.boards.write_connections(false).await.unwrap();
    assert_eq!(written(), restaurants * 2);
    world.engine.boards.write_connections(false).await.unwrap();
    assert_eq!(written(), restaurants * 2);
    world.engine.boards.write_connections(true).await.unwrap();
    assert_eq!(written(), restaurants * 4);
}

/// Proves that a process that has just started pauses nothing: after an outage, boards need some time to connect.
#[tokio::test]
async fn a_server_that_has_just_started_pauses_no_restaurant() {
    let world = world().await;
    leave_unattended(&world).await;
    world.clock.advance(LIMIT * 2);
    let started = world.second_engine_with(pausing());
    assert_eq!(started.boards.check_unattended().await.unwrap(), 0);
    assert_eq!(pause(&world).await, None);
    world.clock.advance(BOARD_STALE_AFTER);
    while started.boards.check_unattended().await.unwrap() > 0 {}
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
}

/// Proves that the background part records connections without a call.
#[tokio::test]
async fn connections_are_recorded_in_the_background() {
    let world =
        World::with(EngineConfig { board_write_interval: Duration::from_millis(1), ..pausing() }).await;
    let mut running = JoinSet::new();
    running.spawn(Arc::clone(&world.engine.boards).record());
    let connection = world.engine.boards.connect(&world.staff, board(&world, 1));
    let id = world.restaurant_id;
    eventually("the board is recorded", async || !stored_boards(&world).await.is_empty()).await;
    drop(connection);
    eventually("the end is recorded", async || !world.engine.boards.unattended_since(&[id]).await.is_empty())
        .await;
}

/// Two servers on one PostgreSQL database: a board moves from one to the other when the first one dies; both check the boards
/// at the same time, and one of them pauses the restaurant; the board ends the pause at either of them, and the other one
/// takes orders again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_the_boards_of_a_restaurant() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let open = async |seed| {
        let random = SeededRandom::new(seed);
        let randomness = Arc::new(move || random.next_u64());
        let options = PostgresOptions::default();
        Arc::new(PostgresStore::open(&url, &Ownership::sole(), &options, randomness).await.unwrap())
    };
    let world = World::on(open(31).await, pausing()).await;
    let ports = Ports {
        store: open(32).await as Arc<dyn Store>,
        clock: Arc::clone(&world.clock) as _,
        random: Arc::new(SeededRandom::new(33)),
        gateway: None,
    };
    let other = Engine::start(ports, pausing());
    let id = world.restaurant_id;
    world.clock.advance(BOARD_STALE_AFTER);

    // The first server dies; the board connects to the other one, which renews it.
    std::mem::forget(connect(&world, &world.engine, 1).await);
    world.clock.advance(SECOND);
    let moved = connect(&world, &other, 1).await;
    for _ in 0..8 {
        world.clock.advance(SECOND * 30);
        other.boards.write_connections(true).await.unwrap();
        other.boards.check_unattended().await.unwrap();
    }
    assert!(other.boards.unattended_since(&[id]).await.is_empty());
    assert_eq!(stored_boards(&world).await.len(), 1);

    disconnect(&other, moved).await;
    let revision = restaurant(&world).await.revision;
    let engines = [&world.engine, &other];
    for _ in 0..30 {
        world.clock.advance(SECOND * 30);
        let checks = engines.iter().map(|engine| engine.boards.check_unattended());
        // A conflict of the two is repeated at the next check.
        drop(join_all(checks).await);
    }
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    assert_eq!(restaurant(&world).await.revision, revision + 1, "it is paused once");
    let pauses: u64 = engines.iter().map(|engine| engine.metrics().unattended_pauses.get()).sum();
    assert_eq!(pauses, 1);
    let cached = other.catalogue.entry(id).await.unwrap();
    let _watching = {
        let mut watching = JoinSet::new();
        watching.spawn(Arc::clone(&other.catalogue).watch_catalogues());
        watching
    };
    let _connection = connect(&world, &world.engine, 1).await;
    assert_eq!(pause(&world).await, None);
    eventually("the other server takes orders again", async || {
        other.catalogue.entry(id).await.unwrap().restaurant().revision
            > cached.restaurant().revision.max(revision + 1)
    })
    .await;
    other.orders.place(&world.customer, id, &dal(1), key("resumed")).await.unwrap();
}
