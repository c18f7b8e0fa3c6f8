//! The client of the message broker NATS JetStream.
//!
//! Dabba publishes each public event to the subject `dabba.events.<bucket>.<restaurant>.<order>`, and one stream of JetStream holds
//! these subjects. A message has three headers: `Nats-Msg-Id` is the id of the event, `Dabba-Place` is the cursor of the whole feed
//! directly after the event, and `Content-Type` is that of a `CloudEvents` envelope in JSON.
//!
//! # Order and completeness
//!
//! - Every message states the sequence number and the id that the last message of the stream must have
//!   (`Nats-Expected-Last-Sequence`, `Nats-Expected-Last-Msg-Id`). The server stores a message only directly after its predecessor. So messages are published without waiting for the acknowledgement of
//!   each one, and yet a lost message leaves no gap: the server refuses all messages after it. A connection that the library restores
//!   by itself changes nothing about this.
//! - Of two publishers at the same time, the server refuses the messages of one. This also ends a publisher whose lease expired
//!   without its knowledge.
//! - The session verifies that each acknowledgement states the expected sequence number. JetStream acknowledges a duplicate with the
//!   number of the first message, even if that message is deleted. A duplicate that is not at the expected place ends the session.
//! - The last stored message states how much of the feed the stream holds. [`EventSink::connect`] reads it on each connection.
//! - The server stores a message after its predecessor even if the predecessor was purged. So the session verifies before each
//!   publication that the stream still holds the last message. It does not notice a purge during a publication.
//!
//! Therefore no other program may publish to the subjects, and the stream must hold no other subjects.
//!
//! # The mark
//!
//! A publisher that begins at the end of the feed has nothing to publish, and the stream must still tell the next publisher where to
//! begin. So the session stores a message without content, with the header `Dabba-Place`, under the subject `dabba.events.mark`.
//! Consumers that subscribe to `dabba.events.*.*.*` do not receive it.
//!
//! The behaviour of the server was observed on nats-server 2.9.10: the tests of this crate show the refusals and the duplicates.

mod connection;
mod session;
mod stream;

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::ServerAddr;
use async_trait::async_trait;
use dabba_engine::{EventSink, SinkError, SinkSession};

/// Prefix of the subjects of events.
pub const SUBJECT_PREFIX: &str = "dabba.events.";

/// All subjects that the stream holds.
pub const ALL_SUBJECTS: &str = "dabba.events.>";

/// Subject of the mark. See the description of the module.
pub const MARK_SUBJECT: &str = "dabba.events.mark";

/// Default name of the stream.
pub const DEFAULT_STREAM: &str = "DABBA_EVENTS";

/// Header with the cursor of the whole feed directly after the event.
pub const PLACE_HEADER: &str = "Dabba-Place";

/// Header with the content type.
pub const CONTENT_TYPE_HEADER: &str = "Content-Type";

/// Content type of every event: a `CloudEvents` envelope with its data.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Window within which the stream recognizes duplicates by `Nats-Msg-Id`.
pub const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// Maximum number of messages in a stream that Dabba creates; the stream then drops its oldest message for each new one. Dabba sets no
/// maximum age, because the last message holds the place and must survive.
pub const MAX_STREAM_MESSAGES: i64 = 10_000_000;

/// Maximum number of messages of which the acknowledgement is outstanding.
pub const MAX_OUTSTANDING: usize = 256;

/// Timeout of a connection attempt, with TLS and authentication.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a request to the server, and of the acknowledgement of a message.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval between pings. The client closes a connection on which two pings have no answer.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum length of a stream's name.
pub const MAX_STREAM_NAME_LENGTH: usize = 64;

/// Maximum number of servers in a URL.
pub const MAX_SERVERS: usize = 16;

/// Access to the servers of a NATS system.
#[derive(Clone)]
pub struct NatsConfig {
    servers: Vec<ServerAddr>,
    /// File with the user's credentials, as `nsc` writes it. The client reads the file for each connection.
    pub credentials_file: Option<PathBuf>,
    /// PEM file with the authorities that may issue the server's certificate; by default those of the machine. With such a file, the
    /// connection must be encrypted.
    pub ca_file: Option<PathBuf>,
    /// Name of the stream.
    pub stream: String,
}

impl NatsConfig {
    /// Parses the URL of one server, or of several servers separated by commas: `nats://HOST:PORT`, or `tls://HOST:PORT` if the
    /// connection must be encrypted. The error is a clause that follows the name of the setting; it never contains the URL.
    pub fn new(url: &str) -> Result<Self, String> {
        let servers: Vec<ServerAddr> =
            url.split(',').map(|server| parse_server(server.trim())).collect::<Result<_, _>>()?;
        if servers.len() > MAX_SERVERS {
            return Err(format!("must name at most {MAX_SERVERS} servers, and names {}", servers.len()));
        }
        Ok(Self { servers, credentials_file: None, ca_file: None, stream: DEFAULT_STREAM.to_owned() })
    }
}

fn parse_server(text: &str) -> Result<ServerAddr, String> {
    let form = || {
        "must have the form nats://HOST:PORT or tls://HOST:PORT; separate several servers by commas"
            .to_owned()
    };
    // The library would accept a bare name, a WebSocket, and a host that is absent.
    let has_scheme = ["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme));
    let server: ServerAddr = text.parse().ok().filter(|_| has_scheme).ok_or_else(form)?;
    if server.host().is_empty() {
        return Err(form());
    }
    if server.has_user_pass() {
        return Err(
            "must not contain a user or a password: use broker_credentials_file, which other users of the machine cannot read"
                .to_owned(),
        );
    }
    Ok(server)
}

/// Checks the name of a stream. The error is a clause that follows the name of the setting.
pub fn check_stream_name(name: &str) -> Result<(), String> {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    if !name.is_empty() && name.len() <= MAX_STREAM_NAME_LENGTH && name.bytes().all(is_letter) {
        return Ok(());
    }
    Err(format!("must consist of 1 to {MAX_STREAM_NAME_LENGTH} letters, digits, hyphens and underscores"))
}

/// Shows no part of a URL.
impl fmt::Debug for NatsConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsConfig")
            .field("servers", &self.servers.len())
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// A NATS system with JetStream, as a broker. See the description of the module.
#[derive(Debug)]
pub struct NatsSink {
    config: NatsConfig,
}

impl NatsSink {
    /// Creates the client. It connects later, with [`EventSink::connect`].
    pub fn new(config: NatsConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl EventSink for NatsSink {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn connect(&self) -> Result<Box<dyn SinkSession>, SinkError> {
        let connection = connection::connect(&self.config).await?;
        let (stream, end) = stream::open(&connection, &self.config.stream).await?;
        Ok(Box::new(session::NatsSession::new(connection, self.config.stream.clone(), stream, end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves which URLs are accepted, and that no error repeats the URL, which may contain a password.
    #[test]
    fn an_error_does_not_contain_the_url() {
        for url in [
            "nats://one",
            "nats://one:4222,tls://two:4223",
            "tls://[::1]:4222",
            "nats://10.0.0.1:4222, nats://b",
        ] {
            assert!(NatsConfig::new(url).is_ok(), "{url}");
        }
        let many = vec!["nats://one"; MAX_SERVERS + 1].join(",");
        for url in [
            "",
            "one:4222",
            "ws://secret:1",
            "nats://",
            "nats://secret:port",
            "nats://user:secret@one",
            "nats://secret@one",
            "nats://one,",
            &many,
        ] {
            let error = NatsConfig::new(url).expect_err(url);
            assert!(error.starts_with("must ") && !error.contains("secret"), "{url}: {error}");
        }
    }

    /// Proves which names of streams are accepted: those that a subject of the server's API can contain as one word.
    #[test]
    fn a_stream_name_is_one_word() {
        for name in ["DABBA_EVENTS", "a", "orders-2"] {
            assert_eq!(check_stream_name(name), Ok(()), "{name}");
        }
        for name in ["", "a.b", "a b", "a*", ">", "é", "a/b", &"x".repeat(MAX_STREAM_NAME_LENGTH + 1)] {
            assert!(check_stream_name(name).is_err(), "{name}");
        }
    }
}
