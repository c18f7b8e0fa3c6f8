//! The consumer that the guide shows (`clients/nats`).

use std::{
    path::Path,
    process::{Child, Command},
};

use dabba_engine::EventSink as _;
use dabba_gateways::nats::DEFAULT_STREAM;
use dabba_testkit::{NatsServer, eventually};

use crate::feed::{EVENTS_PER_ORDER, event_of, events, next_of, publish_rest, sink};

/// The environment variable that names a Python with the consumer's library.
const PYTHON: &str = "NATS_CONSUMER_PYTHON";

/// Number of orders.
const ORDERS: usize = 400;

/// Number of bytes that the disk loses.
const LOST_BYTES: u64 = 100_000;

/// Returns the command of the consumer, which ends after `until` events.
fn consumer(server: &NatsServer, file: &Path, until: usize) -> Command {
    let python =
        std::env::var_os(PYTHON).expect("run scripts/test-nats-consumer, which sets NATS_CONSUMER_PYTHON");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/nats/consumer.py");
    let mut command = Command::new(python);
    command.arg(program).arg(server.url()).arg(file).arg("--until").arg(until.to_string());
    command
}

/// Starts the consumer. It ends after `until` events.
fn consume(server: &NatsServer, file: &Path, until: usize) -> Child {
    consumer(server, file, until).spawn().unwrap()
}

/// Runs a consumer that must fail. Returns its exit status and its standard error, which must not be a traceback.
fn failed(mut consumer: Command) -> (Option<i32>, String) {
    let output = tokio::task::block_in_place(|| consumer.output()).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("Traceback"), "{text}");
    (output.status.code(), text)
}

/// Waits until the consumer ends, and checks that it succeeded.
async fn has_ended(mut consumer: Child) {
    let status =
        eventually("the consumer ends", async || consumer.try_wait().unwrap().ok_or("it runs")).await;
    assert!(status.success(), "the consumer ended with {status}");
}

/// Proves that the consumer receives each event, each order's in order and once, although it is restarted, the server is killed, and
/// the server receives lost events again in another order, as with several shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-py: run scripts/test-nats-consumer"]
async fn the_consumer_of_the_guide_misses_nothing() {
    let mut server = NatsServer::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.db");
    let mut events = events(ORDERS);
    let published = 3 * ORDERS;
    publish_rest(&sink(&server), &events[..published], 256, |_| ()).await.unwrap();
    has_ended(consume(&server, &file, published)).await;
    // This consumer waits for events while the server is killed.
    let waiting = consume(&server, &file, events.len());
    server.kill();
    server.truncate_last_block(DEFAULT_STREAM, LOST_BYTES);
    server.restart();
    let survived = next_of(&*sink(&server).connect().await.unwrap());
    assert!(survived < published, "{survived} events survived");
    // Another turn of the shards: the rest of each order follows, one order after the other.
    events[survived..].sort_by_key(|event| event.order_id);
    for (number, event) in events.iter_mut().enumerate() {
        event.place = (number + 1).to_string();
    }
    publish_rest(&sink(&server), &events, 256, |_| ()).await.unwrap();
    has_ended(waiting).await;
    // Then the server loses everything.
    server.kill();
    server.remove_store();
    server.restart();
    let mut more = event_of(&events[0], EVENTS_PER_ORDER + 1);
    more.place = (events.len() + 1).to_string();
    events.push(more);
    publish_rest(&sink(&server), &events, 256, |_| ()).await.unwrap();
    has_ended(consume(&server, &file, events.len())).await;
}

/// Proves that the consumer names the order of which the stream lacks an event, with the remedy and an exit status of its own, again
/// after a restart; and that it names a file that is no database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats-py: run scripts/test-nats-consumer"]
async fn the_consumer_of_the_guide_reports_a_gap() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.db");
    let mut events = events(1);
    events.remove(2);
    for (number, event) in events.iter_mut().enumerate() {
        event.place = (number + 1).to_string();
    }
    publish_rest(&sink(&server), &events, 256, |_| ()).await.unwrap();
    for _ in 0..2 {
        let (status, text) = failed(consumer(&server, &file, EVENTS_PER_ORDER));
        let gap =
            format!("order {}: version 4 follows version 2, and the events between", events[0].order_id);
        assert!(text.starts_with(&gap) && text.contains("GET /v1/orders/"), "{text}");
        assert_eq!(status, Some(3));
    }
    let wrong = directory.path().join("text");
    std::fs::write(&wrong, "no database".repeat(100)).unwrap();
    let (status, text) = failed(consumer(&server, &wrong, EVENTS_PER_ORDER));
    assert!(status == Some(1) && text.contains("cannot be used as an SQLite database"), "{text}");
}
