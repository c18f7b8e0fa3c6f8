//! Publishing: many messages under way, each of which the server stores only directly after its predecessor.
//!
//! The first message of a session states only the number of its predecessor, because nats-server 2.9 does not know the id of an old
//! message after a restart. Each further message also states the id.

use std::{collections::VecDeque, error::Error as _};

use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
        stream::Stream,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use dabba_engine::{OutgoingEvent, SinkError, SinkSession};

use super::{
    CONTENT_TYPE, CONTENT_TYPE_HEADER, MARK_SUBJECT, MAX_OUTSTANDING, PLACE_HEADER, SUBJECT_PREFIX,
    connection::{Connection, cut},
    stream::{StreamEnd, check_held},
};

/// A connection that knows the end of the stream.
pub(super) struct NatsSession {
    connection: Connection,
    name: String,
    stream: Stream,
    /// Sequence number of the last message in the stream, counting the messages under way.
    sequence: u64,
    /// Sequence number and place of the last message that the stream holds.
    last: Option<(u64, String)>,
    /// Id of the message with that number, if this session sent it and it has an id.
    last_id: Option<String>,
    has_failed: bool,
}

/// A message under way: its sequence number in the stream, and its acknowledgement.
struct Outstanding {
    sequence: u64,
    place: String,
    acknowledgement: PublishAckFuture,
}

impl NatsSession {
    pub(super) fn new(connection: Connection, name: String, stream: Stream, end: StreamEnd) -> Self {
        Self {
            connection,
            name,
            stream,
            sequence: end.last_sequence,
            last: end.last,
            last_id: None,
            has_failed: false,
        }
    }

    /// Sends a message and does not wait for its acknowledgement.
    async fn send(
        &mut self,
        subject: String,
        id: Option<&str>,
        place: String,
        content: Bytes,
    ) -> Result<Outstanding, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(PLACE_HEADER, place.as_str());
        if !content.is_empty() {
            headers.insert(CONTENT_TYPE_HEADER, CONTENT_TYPE);
        }
        let length = content.len();
        let mut message = PublishMessage::build()
            .headers(headers)
            .payload(content)
            .expected_stream(&self.name)
            .expected_last_sequence(self.sequence);
        if let Some(id) = id {
            message = message.message_id(id);
        }
        // The number alone is not enough: if another publisher stored messages meanwhile, the numbers of later messages would fit.
        if let Some(last_id) = &self.last_id {
            message = message.expected_last_message_id(last_id);
        }
        let sent = self.connection.jetstream.send_publish(subject, message).await;
        let acknowledgement = sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => SinkError::Refused(format!(
                "event {} has {length} bytes, and the server accepts {} bytes with the headers: raise max_payload",
                id.unwrap_or_default(),
                self.connection.client.server_info().max_payload
            )),
            _ => self.failure(&error),
        })?;
        self.sequence += 1;
        self.last_id = id.map(str::to_owned);
        Ok(Outstanding { sequence: self.sequence, place, acknowledgement })
    }

    /// Waits for an acknowledgement.
    async fn confirm(&mut self, outstanding: Outstanding) -> Result<(), SinkError> {
        let Outstanding { sequence, place, acknowledgement } = outstanding;
        let acknowledged = acknowledgement.await.map_err(|error| self.failure(&error))?;
        if acknowledged.sequence != sequence || acknowledged.stream != self.name {
            let why = if acknowledged.duplicate {
                "; the broker still recognizes the message as a duplicate of a deleted one: Dabba retries until the \
                 stream's duplicate window, by default 2 minutes, has ended"
            } else {
                "; Dabba retries"
            };
            return Err(SinkError::Conflict(format!(
                "a message has the sequence number {} in the stream {}, expected {sequence} in {}{why}",
                acknowledged.sequence,
                cut(&acknowledged.stream),
                self.name
            )));
        }
        self.last = Some((sequence, place));
        Ok(())
    }

    async fn publish_all(&mut self, events: Vec<OutgoingEvent>) -> Result<(), SinkError> {
        let mut outstanding: VecDeque<Outstanding> =
            VecDeque::with_capacity(events.len().min(MAX_OUTSTANDING));
        for event in events {
            if outstanding.len() >= MAX_OUTSTANDING
                && let Some(oldest) = outstanding.pop_front()
            {
                self.confirm(oldest).await?;
            }
            let OutgoingEvent { order_id, restaurant_id, id, place, content } = event;
            let subject =
                format!("{SUBJECT_PREFIX}{}.{restaurant_id}.{order_id}", order_id.bucket().number());
            outstanding.push_back(self.send(subject, Some(&id), place, content).await?);
        }
        for each in outstanding {
            self.confirm(each).await?;
        }
        Ok(())
    }

    fn check_usable(&mut self) -> Result<(), SinkError> {
        if self.has_failed {
            return Err(SinkError::Unavailable("the session has failed: connect again".to_owned()));
        }
        // The caller resets the flag after a success. A caller that stops waiting does not know what was stored.
        self.has_failed = true;
        Ok(())
    }

    fn failure(&self, error: &PublishError) -> SinkError {
        let text = cut(&error.to_string());
        match error.kind() {
            PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => {
                SinkError::Conflict(text)
            }
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending => self.connection.no_answer(&text),
            PublishErrorKind::MaxPayloadExceeded => SinkError::Refused(text),
            // An answer of JetStream, such as a full store.
            PublishErrorKind::Other if is_answer(error) => {
                SinkError::Refused(format!("the stream {} does not store an event: {text}", self.name))
            }
            PublishErrorKind::Other => SinkError::Unavailable(text),
        }
    }
}

/// Returns whether the server answered with an error.
fn is_answer(error: &PublishError) -> bool {
    error.source().and_then(|source| source.downcast_ref::<jetstream::Error>()).is_some()
}

#[async_trait]
impl SinkSession for NatsSession {
    fn place(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, place)| &**place)
    }

    fn is_connected(&self) -> bool {
        self.connection.has_lasted()
    }

    async fn check(&mut self) -> Result<(), SinkError> {
        match &self.last {
            Some((sequence, place)) => check_held(&self.connection, &self.stream, *sequence, place).await,
            None => Ok(()),
        }
    }

    async fn mark(&mut self, place: &str) -> Result<(), SinkError> {
        self.check_usable()?;
        let sent = self.send(MARK_SUBJECT.to_owned(), None, place.to_owned(), Bytes::new()).await?;
        self.confirm(sent).await?;
        self.has_failed = false;
        Ok(())
    }

    async fn publish(&mut self, events: Vec<OutgoingEvent>) -> Result<(), SinkError> {
        self.check_usable()?;
        self.check().await?;
        self.publish_all(events).await?;
        self.has_failed = false;
        Ok(())
    }
}
