//! The publisher against a NATS server that is killed and loses its store.

use std::{sync::Arc, time::Duration};

use dabba_engine::EventSink;
use dabba_gateways::nats::{ALL_SUBJECTS, DEFAULT_STREAM, NatsConfig, NatsSink};
use dabba_outbound::broker::BrokerStart;
use dabba_testkit::{NatsServer, create_nats_stream, eventually, nats_messages, nats_stream};

use crate::world::{MemoryFeed, MemoryLease, Running};

/// Number of orders whose events are published.
const ORDERS: usize = 1_000;

/// Number of bytes that the disk loses: the messages of some hundred events.
const LOST_BYTES: u64 = 100_000;

/// Waits until the server has confirmed this number of events to a publisher.
async fn published(running: &Running, count: u64) {
    eventually("events are published", async || {
        let found = running.metrics.published();
        if found >= count { Ok(()) } else { Err(found) }
    })
    .await;
}

/// Waits until a session holds the place after the last event.
async fn is_complete(sink: &NatsSink, feed: &MemoryFeed) {
    let last = format!("0-{}", feed.len());
    eventually("the stream holds the last event", async || {
        let session = sink.connect().await.map_err(|error| error.to_string())?;
        let place = session.place().unwrap_or_default();
        if place == last { Ok(()) } else { Err(place.to_owned()) }
    })
    .await;
}

/// Returns the ids of all messages in the stream, in order.
async fn stored(server: &NatsServer) -> Vec<String> {
    let messages = nats_messages(&server.url(), DEFAULT_STREAM).await;
    messages.into_iter().filter_map(|message| message.id).collect()
}

/// Proves that the stream is complete and in order per order after a server was killed under load, lost the end of its store, was
/// killed again, and was restarted empty; also if the last kill happened while there was nothing to publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_complete_after_every_loss() {
    let mut server = NatsServer::start();
    let feed = MemoryFeed::new(ORDERS);
    let sink = NatsSink::new(NatsConfig::new(&server.url()).unwrap());
    let shared: Arc<dyn EventSink> = Arc::new(NatsSink::new(NatsConfig::new(&server.url()).unwrap()));
    let running = Running::start(1, shared, &feed, &Arc::<MemoryLease>::default(), BrokerStart::Start);
    feed.commit_up_to(2 * ORDERS);
    published(&running, ORDERS as u64).await;
    server.kill();
    assert!(server.truncate_last_block(DEFAULT_STREAM, LOST_BYTES) > 0);
    feed.commit_up_to(3 * ORDERS);
    server.restart();
    published(&running, 2 * ORDERS as u64).await;
    feed.commit_up_to(feed.len());
    server.kill();
    server.remove_store();
    server.restart();
    is_complete(&sink, &feed).await;
    feed.assert_complete(&stored(&server).await, 0);
    server.kill();
    server.remove_store();
    server.restart();
    is_complete(&sink, &feed).await;
    feed.assert_complete(&stored(&server).await, 0);
    assert!(running.metrics.rewinds() >= 2);
}

/// Proves that a purge under a publisher is noticed without an event and before the next event: the stream then contains every event
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_stream_is_filled_again() {
    /// Shorter than that of a stream that Dabba creates. The server refuses purged events within the window.
    const WINDOW: Duration = Duration::from_millis(100);
    let server = NatsServer::start();
    create_nats_stream(&server.url(), DEFAULT_STREAM, ALL_SUBJECTS, WINDOW).await;
    let feed = MemoryFeed::new(20);
    let sink = NatsSink::new(NatsConfig::new(&server.url()).unwrap());
    let shared: Arc<dyn EventSink> = Arc::new(NatsSink::new(NatsConfig::new(&server.url()).unwrap()));
    let running = Running::start(1, shared, &feed, &Arc::<MemoryLease>::default(), BrokerStart::Start);
    let half = feed.len() / 2;
    feed.commit_up_to(half);
    published(&running, half as u64).await;
    nats_stream(&server.url(), DEFAULT_STREAM).await.purge().await.unwrap();
    eventually("the stream holds the purged events again", async || {
        let held = nats_stream(&server.url(), DEFAULT_STREAM).await.cached_info().state.messages;
        if held == half as u64 { Ok(()) } else { Err(held) }
    })
    .await;
    feed.assert_complete(&stored(&server).await, 0);
    nats_stream(&server.url(), DEFAULT_STREAM).await.purge().await.unwrap();
    feed.commit_up_to(feed.len());
    is_complete(&sink, &feed).await;
    feed.assert_complete(&stored(&server).await, 0);
    assert_eq!(running.metrics.rewinds(), 2);
}
