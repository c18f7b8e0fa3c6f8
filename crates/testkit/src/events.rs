//! Streams of server-sent events of the server under test.

use serde_json::Value;

use crate::{PATIENCE, Request};

/// An open stream. Dropping it disconnects.
pub struct EventStream {
    response: reqwest::Response,
    /// Bytes that have arrived and belong to no complete message. A large message arrives in pieces, which may end within a
    /// character.
    rest: Vec<u8>,
    /// Number of these bytes that contain no end of a message.
    searched: usize,
}

/// A message of a stream.
#[derive(Clone, Debug, Default)]
pub struct EventMessage {
    /// The id; empty if the message has none.
    pub id: String,
    /// The type.
    pub event: String,
    /// The data.
    pub data: Value,
}

impl Request {
    /// Sends the request and returns the stream in the response. Panics if the response is no stream.
    pub async fn stream(self) -> EventStream {
        let response = self.0.send().await.expect("the server should respond");
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let found = (response.status().as_u16(), header("content-type"), header("cache-control"));
        assert_eq!(found, (200, Some("text/event-stream"), Some("no-store")));
        assert_eq!(header("x-accel-buffering"), Some("no"));
        EventStream { response, rest: Vec::new(), searched: 0 }
    }
}

impl EventStream {
    /// Returns the next message; `None` at the end of the stream. Panics after [`PATIENCE`].
    pub async fn next(&mut self) -> Option<EventMessage> {
        loop {
            if let Some(end) = self.rest[self.searched..].windows(2).position(|pair| pair == b"\n\n") {
                let end = self.searched + end;
                let message = read(std::str::from_utf8(&self.rest[..end]).expect("a message should be text"));
                self.rest.drain(..end + 2);
                self.searched = 0;
                return Some(message);
            }
            self.searched = self.rest.len().saturating_sub(1);
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("the stream should go on").expect("the stream should not break")?;
            self.rest.extend_from_slice(&chunk);
        }
    }

    /// Returns the next message that is no heartbeat. Panics at the end of the stream.
    pub async fn next_event(&mut self) -> EventMessage {
        loop {
            let message = self.next().await.expect("the stream should not end");
            if message.event != "heartbeat" {
                return message;
            }
        }
    }
}

fn read(text: &str) -> EventMessage {
    let mut message = EventMessage::default();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").expect("a line should have a name and a value");
        match name {
            "id" => value.clone_into(&mut message.id),
            "event" => value.clone_into(&mut message.event),
            "data" => message.data = serde_json::from_str(value).expect("the data should be JSON"),
            "retry" => {}
            _ => panic!("unknown line {line}"),
        }
    }
    message
}
