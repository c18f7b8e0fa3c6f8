//! Streams that exist already.

use async_nats::jetstream::{self, stream::Config};
use dabba_engine::{EventSink as _, SinkError};
use dabba_gateways::nats::{ALL_SUBJECTS, DEFAULT_STREAM};
use dabba_testkit::NatsServer;

use crate::feed::{assert_complete, events, publish_rest, sink, stored};

async fn context(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

async fn refusal(server: &NatsServer) -> String {
    match sink(server).connect().await {
        Err(SinkError::Refused(text)) => text,
        Err(other) => panic!("expected a refusal, found: {other}"),
        Ok(_) => panic!("the stream was accepted"),
    }
}

/// Proves that an existing stream with other limits is used as it is.
#[tokio::test]
async fn an_existing_stream_is_used() {
    let server = NatsServer::start();
    let config = Config {
        name: DEFAULT_STREAM.into(),
        subjects: vec![ALL_SUBJECTS.into()],
        max_messages: 1_000,
        ..Config::default()
    };
    context(&server).await.create_stream(config).await.unwrap();
    let events = events(10);
    publish_rest(&sink(&server), &events, 16, |_| ()).await.unwrap();
    assert_complete(&stored(&server.url()).await, &events);
    let stream = context(&server).await.get_stream(DEFAULT_STREAM).await.unwrap();
    assert_eq!(stream.cached_info().config.max_messages, 1_000);
}

/// Proves that a stream that holds other subjects, and one under another name that holds Dabba's subjects, are refused with the
/// setting to change.
#[tokio::test]
async fn a_stream_that_does_not_fit_is_refused() {
    let server = NatsServer::start();
    let context = context(&server).await;
    let other = |name: &str, subject: &str| Config {
        name: name.into(),
        subjects: vec![subject.into()],
        ..Config::default()
    };
    context.create_stream(other(DEFAULT_STREAM, "orders.>")).await.unwrap();
    let text = refusal(&server).await;
    assert!(text.contains("does not hold the subjects dabba.events.>"), "{text}");
    context.delete_stream(DEFAULT_STREAM).await.unwrap();
    context.create_stream(other("EVERYTHING", "dabba.>")).await.unwrap();
    let text = refusal(&server).await;
    assert!(text.contains("another stream holds a part of the subjects"), "{text}");
    assert!(text.contains("broker_stream"), "{text}");
}

/// Proves that a message of another program at the end of the stream is refused, because it does not tell the place, and that the
/// publisher continues once the message is deleted.
#[tokio::test]
async fn a_message_of_another_program_is_refused() {
    let server = NatsServer::start();
    let events = events(3);
    publish_rest(&sink(&server), &events[..6], 6, |_| ()).await.unwrap();
    let context = context(&server).await;
    let foreign = context.publish("dabba.events.x", "x".into()).await.unwrap().await.unwrap();
    let text = refusal(&server).await;
    assert!(text.contains("has no header Dabba-Place"), "{text}");
    assert!(text.contains("nats stream rmm DABBA_EVENTS 7"), "{text}");
    context.get_stream(DEFAULT_STREAM).await.unwrap().delete_message(foreign.sequence).await.unwrap();
    publish_rest(&sink(&server), &events, 4, |_| ()).await.unwrap();
    let session = sink(&server).connect().await.unwrap();
    assert_eq!(session.place(), Some("15"));
}

/// Proves that a server without JetStream is refused with a text that says so.
#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let server = NatsServer::start_with(|_| "jetstream: disabled".to_owned());
    let error = sink(&server).connect().await.err().unwrap();
    assert!(error.to_string().contains("JetStream is not enabled"), "{error}");
}
