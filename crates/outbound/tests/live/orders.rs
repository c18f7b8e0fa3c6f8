//! Streams of one order.

use dabba_domain::OrderId;
use dabba_outbound::live::{EndReason, Item, OrderStream};
use dabba_testkit::{TestAccount, TestServer};
use serde_json::{Value, json};

use crate::{World, first_item};

async fn open(world: &World, order: &str, account: &TestAccount, after: u32) -> OrderStream {
    let id: OrderId = order.parse().unwrap();
    let order = world.server.engine().orders.order_for_events(&account.principal(), id).await.unwrap();
    world
        .live
        .order_stream(world.session(account), &order, after)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn next(stream: &mut OrderStream) -> Item {
    first_item(async || stream.next().await).await
}

async fn command(world: &World, order: &str, command: &str, account: &TestAccount, body: &Value) {
    let order = json!({"id": order});
    world.server.command(&order, command, account, body).send().await.expect(200);
}

/// Proves that a stream of an order has every version once, the earlier ones first, and that it resumes after any
/// version.
#[tokio::test]
async fn the_versions_of_an_order_have_no_gap() {
    let world = World::start().await;
    let TestServer { admin, courier, .. } = &world.server;
    let placed = world.server.place("order", &TestServer::order()).await;
    let order = placed["id"].as_str().unwrap();
    let mut first = open(&world, order, &world.server.customer, 0).await;
    command(&world, order, "assign", admin, &json!({"courier_id": courier.id.to_string()})).await;
    command(&world, order, "accept", &world.server.staff, &json!({"preparation_minutes": 20})).await;
    let last = world.server.get(&format!("/v1/orders/{order}/events"), Some(admin)).await.expect(200);
    let last = u32::try_from(last["events"].as_array().unwrap().len()).unwrap();
    for after in 0..last {
        let mut resumed = open(&world, order, admin, after).await;
        for version in after + 1..=last {
            let Item::Event { id, event } = next(&mut resumed).await else { panic!("an event was expected") };
            assert_eq!((id, event.event.version), (version.to_string(), version));
        }
    }
    for version in 1..=last {
        let Item::Event { event, .. } = next(&mut first).await else { panic!("an event was expected") };
        assert_eq!(event.event.version, version);
    }
}

/// Proves that an event of the history is represented like the same event of the feed.
#[tokio::test]
async fn an_event_of_the_history_equals_that_of_the_feed() {
    use dabba_outbound::{
        Filter,
        feed::{Budget, Start},
        public::Audience,
    };
    let world = World::start().await;
    let placed = world.server.place("order", &TestServer::order()).await;
    let order = placed["id"].as_str().unwrap();
    command(&world, order, "accept", &world.server.staff, &json!({"preparation_minutes": 20})).await;
    let feed = world.live.read(Start::Beginning, &Filter::ALL, 1_000, Budget::default()).await.unwrap();
    let mut stream = open(&world, order, &world.server.admin, 0).await;
    for expected in &feed.events {
        let Item::Event { event, .. } = next(&mut stream).await else { panic!("an event was expected") };
        for audience in Audience::ALL {
            assert_eq!(event.json(audience), expected.json(audience));
        }
    }
}

/// Proves that the stream of a courier ends when the order gets another courier, without the event.
#[tokio::test]
async fn the_stream_of_a_former_courier_ends() {
    let world = World::start().await;
    let TestServer { admin, courier, other_courier, .. } = &world.server;
    let placed = world.server.place("order", &TestServer::order()).await;
    let order = placed["id"].as_str().unwrap();
    let assign = |courier: &TestAccount| json!({"courier_id": courier.id.to_string(), "reason": "other", "note": "test"});
    command(&world, order, "assign", admin, &json!({"courier_id": courier.id.to_string()})).await;
    let current = world.server.get(&format!("/v1/orders/{order}"), Some(admin)).await.expect(200);
    let version = u32::try_from(current["version"].as_u64().unwrap()).unwrap();
    let mut stream = open(&world, order, courier, version).await;
    command(&world, order, "assign", admin, &assign(other_courier)).await;
    let end = next(&mut stream).await;
    assert!(matches!(end, Item::End(EndReason::SessionEnded)), "{end:?}");
}
