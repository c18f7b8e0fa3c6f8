//! Streams of the feed.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_engine::{Engine, EngineConfig, ManualClock, PasswordCost, Ports, SeededRandom};
use dabba_outbound::{
    Filter, TypeSet,
    feed::{Budget, Start},
    live::{EndReason, Full, Item, Live, LiveConfig, MAX_WAITING, OpenError},
};
use dabba_store::FeedCursor;
use futures::future::join_all;

use crate::{World, name, next, next_event, of_restaurant};

/// Number of events that a stream reads at once while it is behind.
const BEHIND_PAGE: usize = 100;

/// Proves that streams that join at any moment, while orders are placed, receive every event after their positions
/// exactly once, and those of an order in sequence.
#[tokio::test(flavor = "multi_thread")]
async fn streams_join_without_gaps_and_duplicates() {
    const ORDERS: usize = 60;
    let world = Arc::new(World::start().await);
    let placing = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for index in 0..ORDERS {
                world.place(world.restaurants[index % 2], &format!("order-{index}")).await;
            }
        })
    };
    let mut streams = vec![(world.open(Start::Beginning, Filter::ALL).await, Vec::new())];
    while !placing.is_finished() {
        let page = world.live.read(Start::Beginning, &Filter::ALL, 1_000, Budget::default()).await.unwrap();
        let before: Vec<_> = page.events.iter().map(|event| name(event)).collect();
        streams.push((world.open(Start::After(page.cursor), Filter::ALL).await, before));
    }
    placing.await.unwrap();
    let all = world.live.read(Start::Beginning, &Filter::ALL, 1_000, Budget::default()).await.unwrap();
    let mut all: Vec<_> = all.events.iter().map(|event| name(event)).collect();
    all.sort();
    let collected = streams.into_iter().map(async |(mut stream, mut names)| {
        while names.len() < all.len() {
            names.push(name(&next_event(&mut stream).await.0));
        }
        names
    });
    for names in join_all(collected).await {
        let mut last = std::collections::HashMap::new();
        for name in &names {
            let (order, version) = name.rsplit_once('-').unwrap();
            let version: u32 = version.parse().unwrap();
            assert_eq!(last.insert(order.to_owned(), version).unwrap_or(0) + 1, version, "{name}");
        }
        let mut names = names;
        names.sort();
        assert_eq!(names, all);
    }
}

/// Proves that a stream that does not read ends as lagging, and that another stream is not affected.
#[tokio::test]
async fn a_stream_that_does_not_read_ends() {
    let world = World::start().await;
    let filter = of_restaurant(world.restaurants[0]);
    let mut slow = world.open(Start::Now, filter).await;
    let mut reading = world.open(Start::Now, filter).await;
    // The streams have joined when they have received their first events.
    world.place(world.restaurants[0], "first").await;
    next_event(&mut slow).await;
    let mut received = 0;
    for index in 0..=MAX_WAITING {
        world.place(world.restaurants[0], &format!("order-{index}")).await;
        while received <= index {
            received += usize::from(&*next_event(&mut reading).await.0.event.name == "placed");
        }
    }
    let end = next(&mut slow).await;
    assert!(matches!(end, Item::End(EndReason::Lagging)), "{end:?}");
    assert!(slow.next().await.is_none());
}

/// Proves that a stream ends with the rights of its caller although the client has not read the events that the stream has
/// already read.
#[tokio::test]
async fn a_backlog_does_not_outlive_the_rights_of_the_caller() {
    let world = World::start().await;
    for index in 0..20 {
        world.place(world.restaurants[0], &format!("order-{index}")).await;
    }
    let (admin, reader) = (world.server.admin.principal(), &world.server.customer);
    let filter = of_restaurant(world.restaurants[0]);
    let opened = world.live.feed_stream(world.session(reader), Start::Beginning, filter).await;
    let mut stream = opened.unwrap();
    next_event(&mut stream).await;
    let mut other = world.open(Start::Now, filter).await;
    let accounts = &world.server.engine().accounts;
    accounts.revoke_tokens(&admin, reader.principal().account_id, None).await.unwrap();
    // Between three heartbeats of another stream, the rights of every stream are checked.
    for _ in 0..3 {
        while !matches!(other.next().await, Some(Item::Heartbeat { .. })) {}
    }
    assert!(matches!(stream.next().await, Some(Item::End(EndReason::SessionEnded))));
}

/// Proves that a stream that is behind by more than it reads at once skips and repeats nothing.
#[tokio::test]
async fn a_stream_that_is_far_behind_skips_nothing() {
    let world = World::start().await;
    let mut placed = BTreeSet::new();
    for index in 0..=BEHIND_PAGE {
        placed.insert(world.place(world.restaurants[0], &format!("order-{index}")).await);
    }
    let types = TypeSet::of_names(["placed"]).unwrap();
    let filter = Filter { restaurant: Some(world.restaurants[0]), types };
    let mut stream = world.open(Start::Beginning, filter).await;
    let mut received = Vec::new();
    while received.len() < placed.len() {
        received.push(next_event(&mut stream).await.0.event.order_id.to_string());
    }
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), placed);
}

/// Proves that a stream receives only the events of its restaurant and its types, and that its heartbeats advance over
/// the others, so that a stream that resumes there receives nothing twice.
#[tokio::test]
async fn a_stream_receives_only_the_events_of_its_filter() {
    let world = World::start().await;
    let [north, south] = world.restaurants;
    let types = TypeSet::of_names(["placed"]).unwrap();
    let mut stream = world.open(Start::Now, Filter { restaurant: Some(north), types }).await;
    world.place(south, "south").await;
    let order = world.place(north, "north").await;
    let (event, after_event) = next_event(&mut stream).await;
    assert_eq!(name(&event), format!("{order}-1"));
    let (start, filter) = (Start::After(FeedCursor::parse(&after_event).unwrap()), of_restaurant(north));
    let rest = world.live.read(start, &filter, 10, Budget::default()).await.unwrap();
    assert!(rest.events.iter().all(|event| &*event.event.name != "placed"));
    let advanced = async {
        loop {
            match stream.next().await.unwrap() {
                Item::Heartbeat { id } if id == rest.cursor.to_string() => return,
                Item::Heartbeat { .. } => {}
                item => panic!("a heartbeat was expected, not {item:?}"),
            }
        }
    };
    tokio::time::timeout(dabba_testkit::PATIENCE, advanced).await.unwrap();
}

/// Proves that the events of other shards arrive while a shard is down, and those of this shard when it answers again,
/// on a stream that began before and on one that begins meanwhile.
#[tokio::test]
async fn a_shard_that_is_down_delays_only_its_own_events() {
    let world = World::start().await;
    let [north, south] = world.restaurants;
    let types = TypeSet::of_names(["placed"]).unwrap();
    let filter = Filter { restaurant: None, types };
    let mut before = world.open(Start::Now, filter).await;
    let begin = world.live.read(Start::Now, &filter, 1, Budget::default()).await.unwrap().cursor;
    world.faults.is_down[1].store(true, Ordering::SeqCst);
    let mut meanwhile = world.open(Start::After(begin), filter).await;
    let late = world.place(south, "south").await;
    let early = world.place(north, "north").await;
    for stream in [&mut before, &mut meanwhile] {
        assert_eq!(name(&next_event(stream).await.0), format!("{early}-1"));
    }
    world.faults.is_down[1].store(false, Ordering::SeqCst);
    for stream in [&mut before, &mut meanwhile] {
        assert_eq!(name(&next_event(stream).await.0), format!("{late}-1"));
    }
}

/// Proves that events of another process arrive although every notification is lost: nothing but the poll finds them.
#[tokio::test]
async fn events_arrive_although_notifications_are_lost() {
    let world = World::start().await;
    let ports = Ports {
        store: Arc::clone(world.server.store()),
        clock: Arc::new(ManualClock::new(world.server.now())),
        random: Arc::new(SeededRandom::new(9)),
        gateway: None,
    };
    // An engine that commits nothing notifies nobody.
    let config = EngineConfig { password_cost: PasswordCost::MIN, ..EngineConfig::default() };
    let other = Engine::start(ports, config);
    tokio::spawn(Arc::clone(&other.accounts).watch_revocations());
    let live = Live::new(&other, LiveConfig::default());
    live.start();
    // As the authentication of a request does.
    let admin = world.server.admin.principal();
    other.accounts.admit(&admin, world.server.now()).await.unwrap();
    let filter = of_restaurant(world.restaurants[0]);
    let opened = live.feed_stream(world.session(&world.server.admin), Start::Now, filter).await;
    let mut stream = opened.unwrap_or_else(|error| panic!("{error}"));
    let order = world.place(world.restaurants[0], "order").await;
    assert_eq!(name(&next_event(&mut stream).await.0), format!("{order}-1"));
}

/// Proves that the feed is not read while nobody consumes it.
#[tokio::test]
async fn nobody_costs_no_reads() {
    let world = World::start().await;
    world.place(world.restaurants[0], "order").await;
    assert_eq!(world.faults.reads.load(Ordering::SeqCst), 0);
}

/// Proves the limits of streams per credential and per process, and that a stream that ends makes room.
#[tokio::test]
async fn the_number_of_streams_is_limited() {
    let world = World::start().await;
    let config = LiveConfig { max_streams: 3, max_streams_per_credential: 2, ..LiveConfig::default() };
    let live = Live::new(world.server.engine(), config);
    live.start();
    let open = async |credential| {
        let session = dabba_outbound::live::Session { credential, ..world.session(&world.server.admin) };
        live.feed_stream(session, Start::Now, Filter::ALL).await
    };
    let first = open(1).await.ok().unwrap();
    let _second = open(1).await.ok().unwrap();
    assert!(matches!(open(1).await.err(), Some(OpenError::Full(Full::Credential { limit: 2 }))));
    let _third = open(2).await.ok().unwrap();
    assert!(matches!(open(3).await.err(), Some(OpenError::Full(Full::Process))));
    drop(first);
    assert!(open(1).await.is_ok());
}

/// Proves that a poll returns with the first event, and after its time without one.
#[tokio::test]
async fn a_poll_returns_with_the_first_event() {
    let world = World::start().await;
    let (session, filter) = (world.session(&world.server.admin), of_restaurant(world.restaurants[0]));
    let poll = |start, time| world.live.wait(session, start, filter, 10, (time, std::future::pending()));
    let empty = poll(Start::Now, Duration::from_millis(1)).await.unwrap();
    assert!(empty.events.is_empty());
    let waiting = poll(Start::After(empty.cursor), dabba_testkit::PATIENCE);
    let (read, order) = tokio::join!(waiting, world.place(world.restaurants[0], "order"));
    let read = read.unwrap();
    assert_eq!(name(&read.events[0]), format!("{order}-1"));
}
