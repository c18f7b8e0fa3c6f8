//! A server that is killed, and that loses its messages.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_engine::{EventSink as _, SinkError};
use dabba_gateways::nats::{DEFAULT_STREAM, MAX_OUTSTANDING};
use dabba_testkit::{NatsServer, eventually, eventually_within};

use crate::feed::{assert_complete, events, next_of, publish_rest, sink, stored};

/// Number of orders whose events are published.
const ORDERS: usize = 1_000;

/// Number of bytes that the disk loses: the messages of some hundred events.
const LOST_BYTES: u64 = 100_000;

fn wait_for(confirmed: &AtomicUsize, count: usize) {
    eventually_within(Duration::from_mins(1), "events are confirmed", || {
        let found = confirmed.load(Ordering::SeqCst);
        if found >= count { Ok(()) } else { Err(found) }
    });
}

/// Proves that the stream is complete and in order per order after the server was killed in the middle, lost the end of its store,
/// and was killed again and restarted empty, while a publisher kept publishing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_missing_after_the_server_lost_its_store() {
    let server = Arc::new(Mutex::new(NatsServer::start()));
    let events = events(ORDERS);
    let confirmed = Arc::new(AtomicUsize::new(0));
    let sink = sink(&server.lock().unwrap());
    let meanwhile = {
        let (server, confirmed) = (Arc::clone(&server), Arc::clone(&confirmed));
        move || {
            let mut server = server.lock().unwrap();
            wait_for(&confirmed, ORDERS);
            server.kill();
            let lost = server.truncate_last_block(DEFAULT_STREAM, LOST_BYTES);
            assert!(lost > 0, "the store had messages");
            confirmed.store(0, Ordering::SeqCst);
            server.restart();
            wait_for(&confirmed, 2 * ORDERS);
            server.kill();
            server.remove_store();
            server.restart();
        }
    };
    let publishing = eventually("all events are confirmed", async || {
        publish_rest(&sink, &events, 100, |count| confirmed.store(count, Ordering::SeqCst)).await
    });
    let ((), meanwhile) = tokio::join!(publishing, tokio::task::spawn_blocking(meanwhile));
    meanwhile.unwrap();
    let session = sink.connect().await.unwrap();
    assert_eq!(next_of(&*session), events.len());
    let url = server.lock().unwrap().url();
    assert_complete(&stored(&url).await, &events);
}

/// Proves that a session rewinds exactly to the last message that survived: no event is missing and none is stored twice.
#[tokio::test]
async fn a_truncated_store_is_completed_from_its_last_message() {
    let mut server = NatsServer::start();
    let events = events(200);
    publish_rest(&sink(&server), &events, 256, |_| ()).await.unwrap();
    server.kill();
    server.truncate_last_block(DEFAULT_STREAM, LOST_BYTES);
    server.restart();
    let survived = next_of(&*sink(&server).connect().await.unwrap());
    assert!(survived > 0 && survived < events.len(), "{survived} events survived");
    publish_rest(&sink(&server), &events, 256, |_| ()).await.unwrap();
    let messages = stored(&server.url()).await;
    assert_eq!(messages.len(), events.len());
    assert_complete(&messages, &events);
}

/// Proves that publishing to a server that is gone fails, and that the server holds the events before the
/// first event that it did not store, and none after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_the_server_is_killed() {
    let mut server = NatsServer::start();
    let events = events(ORDERS);
    let mut session = sink(&server).connect().await.unwrap();
    session.publish(events[..MAX_OUTSTANDING].to_vec()).await.unwrap();
    server.kill();
    let error = session.publish(events[MAX_OUTSTANDING..].to_vec()).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error}");
    assert!(matches!(sink(&server).connect().await, Err(SinkError::Unavailable(_))));
    server.restart();
    let session = sink(&server).connect().await.unwrap();
    assert!(next_of(&*session) >= MAX_OUTSTANDING);
    let messages = stored(&server.url()).await;
    assert_eq!(messages.len(), next_of(&*session));
}
