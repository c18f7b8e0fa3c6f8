//! The publisher on the feed of an engine.

use std::sync::Arc;

use dabba_engine::SeededRandom;
use dabba_gateways::nats::{DEFAULT_STREAM, NatsConfig, NatsSink};
use dabba_outbound::broker::{
    BrokerConfig, BrokerFeed as _, BrokerFeedError, BrokerMetrics, BrokerPublisher, BrokerStart, ShardsFeed,
};
use dabba_store::{FeedCursor, FeedPosition, Incarnation};
use dabba_testkit::{NatsMessage, NatsServer, TestServer, eventually, nats_messages};
use serde_json::Value;

use crate::world::{MemoryLease, always_held};

/// Number of orders.
const ORDERS: usize = 20;

/// Maximum number of events per page in a test.
const PAGE: usize = 3;

/// Places an order, and accepts and cancels some, so that orders have histories of different lengths.
pub(crate) async fn place(server: &TestServer, number: usize) {
    let order = server.place(&format!("order-{number}"), &TestServer::collection()).await;
    if number.is_multiple_of(2) {
        let accepted =
            server.command(&order, "accept", &server.staff, &serde_json::json!({"preparation_minutes": 20}));
        assert_eq!(accepted.send().await.status, 200);
    }
}

/// Proves that pages contain each event once, that reading after the place of any event returns the events after it, and that the end
/// is the place after the last one.
#[tokio::test]
async fn the_place_of_each_event_is_a_place_to_continue() {
    let server = TestServer::start().await;
    for number in 0..5 {
        place(&server, number).await;
    }
    let feed = ShardsFeed::new(server.engine());
    let start = feed.begin(BrokerStart::Start).await.unwrap();
    let all = feed.read(&start, 1_000).await.unwrap();
    assert!(all.is_at_end && all.events.len() > 5);
    for (number, event) in all.events.iter().enumerate() {
        let rest = feed.read(&event.place, 1_000).await.unwrap();
        assert_eq!(rest.events, all.events[number + 1..]);
        let next = feed.read(&event.place, PAGE).await.unwrap();
        let count = next.events.len();
        assert_eq!(count, PAGE.min(all.events.len() - number - 1));
        assert_eq!(next.place, next.events.last().map_or(&event.place, |last| &last.place).as_str());
    }
    assert_eq!(feed.begin(BrokerStart::Now).await.unwrap(), all.place);
}

/// Proves that a place of another incarnation is void, and that another text is unreadable: nothing is published again by mistake.
#[tokio::test]
async fn a_place_before_a_restore_is_void() {
    let server = TestServer::start().await;
    place(&server, 0).await;
    let feed = ShardsFeed::new(server.engine());
    let mut cursor = FeedCursor::default();
    let name = &server.store().feed_sources()[0].name;
    cursor.set(name, Incarnation::new(1), FeedPosition { transaction: 0, sequence: 1 });
    let void = feed.read(&cursor.to_string(), 10).await.unwrap_err();
    assert!(matches!(void, BrokerFeedError::Void(_)), "{void}");
    let unreadable = feed.read("r9~future", 10).await.unwrap_err();
    assert!(matches!(unreadable, BrokerFeedError::Unreadable(_)), "{unreadable}");
}

/// Proves that every event of an order is published as a `CloudEvent` for partners: complete, in order, and without personal data,
/// while orders are placed and the server is killed and restarted empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_an_engine_reach_the_stream() {
    let server = TestServer::start().await;
    let mut nats = NatsServer::start();
    let metrics = BrokerMetrics::default();
    let publisher = Arc::new(BrokerPublisher::new(
        Arc::new(NatsSink::new(NatsConfig::new(&nats.url()).unwrap())),
        Arc::new(ShardsFeed::new(server.engine())),
        always_held(&Arc::<MemoryLease>::default()),
        Arc::new(SeededRandom::new(1)),
        metrics.clone(),
        BrokerConfig::default(),
    ));
    let running = tokio::spawn({
        let (publisher, engine) = (Arc::clone(&publisher), Arc::clone(server.engine()));
        async move { publisher.run(engine.supervisor()).await }
    });
    for number in 0..ORDERS {
        place(&server, number).await;
        if number == ORDERS / 2 {
            nats.kill();
            nats.remove_store();
            nats.restart();
        }
    }
    let feed = ShardsFeed::new(server.engine());
    let start = feed.begin(BrokerStart::Start).await.unwrap();
    let expected = feed.read(&start, 1_000).await.unwrap().events;
    let stored = eventually("the stream holds every event", async || {
        if metrics.published() < expected.len() as u64 {
            return Err(0);
        }
        let stored: Vec<NatsMessage> = nats_messages(&nats.url(), DEFAULT_STREAM).await;
        if stored.len() >= expected.len() { Ok(stored) } else { Err(stored.len()) }
    })
    .await;
    running.abort();
    assert_eq!(stored.len(), expected.len());
    for (message, event) in stored.iter().zip(&expected) {
        assert_eq!(message.id.as_deref(), Some(&*event.id));
        assert_eq!(message.place.as_deref(), Some(&*event.place));
        let content: Value = serde_json::from_slice(&message.content).unwrap();
        assert_eq!(content["id"], event.id);
        assert_eq!(content["specversion"], "1.0");
        assert!(content["data"].get("contact").is_none() && content["data"].get("customer").is_none());
    }
    let part = server.engine().supervisor().parts();
    assert!(part.iter().any(|part| part.name == dabba_outbound::broker::PART));
}
