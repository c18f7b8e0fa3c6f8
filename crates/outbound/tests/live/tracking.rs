//! Streams of tracking links.

use dabba_domain::{OrderId, order::OrderWithSteps};
use dabba_engine::Tracked;
use dabba_outbound::live::{EndReason, Full, Live, LiveConfig, OpenError, TrackingItem, TrackingStream};
use dabba_testkit::{PATIENCE, TestServer};
use serde_json::{Value, json};

use crate::{HEARTBEAT, World};

/// Creates a link to an order, and returns the order as the link finds it.
async fn followed(world: &World, order: &Value) -> OrderWithSteps {
    let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();
    let orders = &world.server.engine().orders;
    let token = orders.create_tracking_link(&world.server.customer.principal(), id).await.unwrap();
    orders.followed_by(orders.linked_order(&token).await.unwrap()).await.unwrap()
}

/// Returns the next item that is no heartbeat.
async fn next(stream: &mut TrackingStream) -> TrackingItem {
    let item = async {
        loop {
            match stream.next().await.unwrap() {
                TrackingItem::Heartbeat => {}
                item => return item,
            }
        }
    };
    tokio::time::timeout(PATIENCE, item).await.unwrap()
}

async fn state(stream: &mut TrackingStream) -> Tracked {
    match next(stream).await {
        TrackingItem::Tracked(tracked) => *tracked,
        item => panic!("a state was expected, not {item:?}"),
    }
}

async fn command(world: &World, order: &Value, command: &str, body: &Value) -> u64 {
    let done = world.server.command(order, command, &world.server.staff, body).send().await.expect(200);
    done["version"].as_u64().unwrap()
}

/// Proves that a stream begins with the present state, and that a reader who was away gets the latest state at once,
/// with the times of all steps, and not each state.
#[tokio::test]
async fn a_slow_reader_gets_the_latest_state() {
    let world = World::start().await;
    let order = world.server.place("1", &TestServer::collection()).await;
    let mut stream = world.live.tracking_stream(1, followed(&world, &order).await).await.unwrap();
    let first = state(&mut stream).await;
    assert_eq!(u64::from(first.followed.order.version), order["version"].as_u64().unwrap());
    command(&world, &order, "accept", &json!({"preparation_minutes": 20})).await;
    command(&world, &order, "ready", &json!({})).await;
    let last = command(&world, &order, "deliver", &json!({})).await;
    let (mut states, mut seen) = (0, first);
    while u64::from(seen.followed.order.version) < last {
        seen = state(&mut stream).await;
        states += 1;
    }
    // The events before the first read of the history arrive together; the rest may arrive one by one.
    assert!(states >= 1);
    assert!(seen.followed.steps.accepted_at.is_some() && seen.followed.steps.delivered_at.is_some());
    let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(Some(&seen.followed.order), world.server.store().order(id).await.unwrap().as_ref());
    assert_eq!(seen.allowed_actions, []);
}

/// Proves that a state that nobody read is replaced: of many changes, a reader who was away gets one state.
#[tokio::test]
async fn many_changes_are_one_state() {
    let world = World::start().await;
    let order = world.server.place("1", &TestServer::collection()).await;
    let mut stream = world.live.tracking_stream(1, followed(&world, &order).await).await.unwrap();
    command(&world, &order, "accept", &json!({"preparation_minutes": 20})).await;
    let last = command(&world, &order, "ready", &json!({})).await;
    // Before the first read, the history since the link was found is not known: the first state is the old one.
    state(&mut stream).await;
    let latest = state(&mut stream).await;
    assert_eq!(
        u64::from(latest.followed.order.version),
        last,
        "one read of the history contains both events"
    );
}

/// Proves that the streams of a link are limited like those of a credential, and that `finish` ends a stream.
#[tokio::test]
async fn the_streams_of_a_link_are_limited() {
    let world = World::start().await;
    let config = LiveConfig { heartbeat: HEARTBEAT, max_streams_per_credential: 2, ..LiveConfig::default() };
    let live = Live::new(world.server.engine(), config);
    live.start();
    let order = world.server.place("1", &TestServer::collection()).await;
    let followed = followed(&world, &order).await;
    let mut first = live.tracking_stream(7, followed.clone()).await.unwrap();
    let _second = live.tracking_stream(7, followed.clone()).await.unwrap();
    let refused = live.tracking_stream(7, followed.clone()).await.err();
    assert!(matches!(refused, Some(OpenError::Full(Full::Credential { limit: 2 }))), "{refused:?}");
    live.tracking_stream(8, followed.clone()).await.unwrap();
    assert!(matches!(first.finish(EndReason::Shutdown), Some(TrackingItem::End(EndReason::Shutdown))));
    assert!(first.next().await.is_none() && first.finish(EndReason::Shutdown).is_none());
    drop(first);
    live.tracking_stream(7, followed).await.unwrap();
}
