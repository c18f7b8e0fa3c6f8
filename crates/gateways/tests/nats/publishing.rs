//! Publishing to a server that works.

use std::time::Duration;

use async_nats::jetstream::{self, message::PublishMessage, stream::Config};
use bytes::Bytes;
use dabba_engine::{EventSink as _, SinkError};
use dabba_gateways::nats::{
    ALL_SUBJECTS, DEFAULT_STREAM, DUPLICATE_WINDOW, MARK_SUBJECT, MAX_OUTSTANDING, MAX_STREAM_MESSAGES,
};
use dabba_testkit::{NatsServer, eventually};

use crate::feed::{assert_complete, events, next_of, publish_rest, sink, stored};

/// Proves that more events than may be outstanding are stored once and in order, each with its subject, its id, its place and its
/// content, and that the next session continues after the last.
#[tokio::test]
async fn events_are_stored_in_order_with_their_place() {
    let server = NatsServer::start();
    let events = events(MAX_OUTSTANDING);
    publish_rest(&sink(&server), &events, events.len(), |_| ()).await.unwrap();
    let messages = stored(&server.url()).await;
    assert_eq!(messages.len(), events.len());
    for (message, event) in messages.iter().zip(&events) {
        let bucket = event.order_id.bucket().number();
        let subject = format!("dabba.events.{bucket}.{}.{}", event.restaurant_id, event.order_id);
        assert_eq!(message.subject, subject);
        assert_eq!(message.id.as_deref(), Some(&*event.id));
        assert_eq!(message.place.as_deref(), Some(&*event.place));
        assert_eq!(message.content, event.content);
    }
    assert_complete(&messages, &events);
    let session = sink(&server).connect().await.unwrap();
    assert_eq!(next_of(&*session), events.len());
}

/// Proves the settings of the stream that Dabba creates, which the guide states.
#[tokio::test]
async fn the_created_stream_has_the_documented_settings() {
    let server = NatsServer::start();
    let session = sink(&server).connect().await.unwrap();
    assert_eq!(session.place(), None);
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = context.get_stream(DEFAULT_STREAM).await.unwrap();
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, [ALL_SUBJECTS]);
    assert_eq!(config.storage, jetstream::stream::StorageType::File);
    assert_eq!(config.duplicate_window, DUPLICATE_WINDOW);
    assert_eq!(config.max_messages, MAX_STREAM_MESSAGES);
    assert!(config.max_age.is_zero(), "the last message never expires");
}

/// Proves that the server drops events that a publisher repeats within the window, as a publisher does that did not receive the
/// acknowledgements.
#[tokio::test]
async fn repeated_events_are_stored_once() {
    let server = NatsServer::start();
    let events = events(10);
    let mut first = sink(&server).connect().await.unwrap();
    let mut second = sink(&server).connect().await.unwrap();
    first.publish(events[..20].to_vec()).await.unwrap();
    second.publish(events[..20].to_vec()).await.unwrap();
    second.publish(events[20..].to_vec()).await.unwrap();
    let messages = stored(&server.url()).await;
    assert_eq!(messages.len(), events.len());
    assert_complete(&messages, &events);
}

/// Proves that of two publishers with different events, the server stores nothing of the one that does not know the last message, and
/// that a new session continues. A publisher whose lease expired without its knowledge is such a one.
#[tokio::test]
async fn a_stale_publisher_stores_nothing() {
    let server = NatsServer::start();
    let events = events(10);
    let mut stale = sink(&server).connect().await.unwrap();
    let mut current = sink(&server).connect().await.unwrap();
    current.publish(events[..5].to_vec()).await.unwrap();
    let refused = stale.publish(events[5..30].to_vec()).await.unwrap_err();
    assert!(matches!(refused, SinkError::Conflict(_)), "{refused}");
    // The session has ended: even events that would fit are refused.
    let ended = stale.publish(events[..5].to_vec()).await.unwrap_err();
    assert!(matches!(ended, SinkError::Unavailable(_)), "{ended}");
    assert_eq!(stored(&server.url()).await.len(), 5);
    publish_rest(&sink(&server), &events, 8, |_| ()).await.unwrap();
    assert_complete(&stored(&server.url()).await, &events);
}

/// Proves that a purged stream receives all events again, although the server still recognizes the ids of purged messages as
/// duplicates and acknowledges them without storing them: the session ends, and the events before it are not lost.
#[tokio::test]
async fn a_duplicate_of_a_purged_message_is_not_taken_for_stored() {
    let server = NatsServer::start();
    let events = events(4);
    publish_rest(&sink(&server), &events, 8, |_| ()).await.unwrap();
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    context.get_stream(DEFAULT_STREAM).await.unwrap().purge().await.unwrap();
    let mut session = sink(&server).connect().await.unwrap();
    assert_eq!(session.place(), None);
    let refused = session.publish(events.clone()).await.unwrap_err();
    assert!(matches!(refused, SinkError::Conflict(_)), "{refused}");
    assert_eq!(stored(&server.url()).await, [], "no later event was stored without its predecessor");
}

/// Proves that a session that lasts notices a purge at a check and before it publishes, and that it notices a deleted stream. Without
/// the check, the server would store the next message: a purge changes neither the number nor the id that it expects.
#[tokio::test]
async fn a_session_ends_after_a_purge() {
    let server = NatsServer::start();
    let events = events(6);
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut session = sink(&server).connect().await.unwrap();
    session.check().await.unwrap();
    let stream = context.get_stream(DEFAULT_STREAM).await.unwrap();
    session.publish(events[..10].to_vec()).await.unwrap();
    session.check().await.unwrap();
    stream.purge().await.unwrap();
    let purged = session.check().await.unwrap_err();
    assert!(matches!(&purged, SinkError::Conflict(text) if text.contains("message 10")), "{purged}");
    let mut session = sink(&server).connect().await.unwrap();
    assert_eq!(session.place(), None);
    session.publish(events[10..20].to_vec()).await.unwrap();
    stream.purge().await.unwrap();
    let purged = session.publish(events[20..].to_vec()).await.unwrap_err();
    assert!(matches!(purged, SinkError::Conflict(_)), "{purged}");
    assert_eq!(stored(&server.url()).await, []);
    let mut session = sink(&server).connect().await.unwrap();
    session.publish(events[20..25].to_vec()).await.unwrap();
    context.delete_stream(DEFAULT_STREAM).await.unwrap();
    session.check().await.unwrap_err();
    publish_rest(&sink(&server), &events, 8, |_| ()).await.unwrap();
    assert_complete(&stored(&server.url()).await, &events);
}

/// Proves that a session continues with messages after the window in which the stream recognizes duplicates.
#[tokio::test]
async fn a_session_continues_after_the_window() {
    let server = NatsServer::start();
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let window = Duration::from_millis(100);
    let config = Config {
        name: DEFAULT_STREAM.into(),
        subjects: vec![ALL_SUBJECTS.into()],
        duplicate_window: window,
        ..Config::default()
    };
    let mut stream = context.create_stream(config).await.unwrap();
    let events = events(4);
    let mut session = sink(&server).connect().await.unwrap();
    session.publish(events[..10].to_vec()).await.unwrap();
    // The server has forgotten an id when it stores it again.
    eventually("the window has passed", async || {
        let message = PublishMessage::build().payload("x".into()).message_id(&events[9].id);
        let acknowledged = context.send_publish("dabba.events.x", message).await.unwrap().await.unwrap();
        if acknowledged.duplicate { Err(()) } else { Ok(()) }
    })
    .await;
    let last = stream.info().await.unwrap().state.last_sequence;
    stream.delete_message(last).await.unwrap();
    let mut session = sink(&server).connect().await.unwrap();
    assert_eq!(next_of(&*session), 10);
    session.publish(events[10..12].to_vec()).await.unwrap();
    session.publish(events[12..].to_vec()).await.unwrap();
    let session = sink(&server).connect().await.unwrap();
    assert_eq!(next_of(&*session), events.len());
}

/// Proves that an empty stream keeps the place at which a publisher begins, and that events follow the mark.
#[tokio::test]
async fn a_mark_keeps_the_place_of_an_empty_stream() {
    let server = NatsServer::start();
    let events = events(2);
    let mut session = sink(&server).connect().await.unwrap();
    session.mark("0").await.unwrap();
    drop(session);
    let mut session = sink(&server).connect().await.unwrap();
    assert_eq!(session.place(), Some("0"));
    session.publish(events.clone()).await.unwrap();
    let messages = stored(&server.url()).await;
    assert_eq!((&*messages[0].subject, messages[0].content.len()), (MARK_SUBJECT, 0));
    assert_complete(&messages, &events);
}

/// Proves that an event that is larger than the server accepts is refused with the setting to change, and that the events before it
/// are stored.
#[tokio::test]
async fn an_event_that_is_too_large_is_refused() {
    let server = NatsServer::start_with(|_| "max_payload: 10000".to_owned());
    let mut events = events(1);
    events[2].content = Bytes::from(vec![b'x'; 20_000]);
    let mut session = sink(&server).connect().await.unwrap();
    let refused = session.publish(events).await.unwrap_err();
    assert!(matches!(&refused, SinkError::Refused(text) if text.contains("raise max_payload")), "{refused}");
}
