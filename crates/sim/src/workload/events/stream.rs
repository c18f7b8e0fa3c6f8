//! Clients of the live streams.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dabba_domain::Timestamp;
use dabba_engine::Clock;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use hyper::{Uri, body::Incoming, header::HeaderValue};
use tokio::task::JoinSet;

use super::{
    super::connection::{Connection, bearer, get},
    receipts::Receipts,
};
use crate::events::{MessageParser, StreamMessage};

/// Number of streams to open at the same time.
const SIMULTANEOUS: usize = 32;
/// Time without any message after which a stream is closed. The server sends a heartbeat every 10 s.
const SILENCE: Duration = Duration::from_secs(25);
/// Pause before a measured stream resumes after its end.
const RESUME_PAUSE: Duration = Duration::from_millis(500);
/// Type of the message that only shows that a stream is alive.
const HEARTBEAT: &str = "heartbeat";
/// Type of the last message of a stream.
const BYE: &str = "bye";

/// A stream to open.
pub struct StreamRequest {
    /// Path and query, such as `/v1/events/stream`.
    pub path: String,
    /// Token of the caller.
    pub token: String,
    /// What the stream receives. A stream with a ledger resumes after its end; a stream without one is idle, and is
    /// only kept open.
    pub ledger: Option<Arc<dyn Receipts>>,
}

/// Open streams. They end when this value is dropped.
pub struct Streams {
    ended: Arc<AtomicU64>,
    running: JoinSet<()>,
}

impl Streams {
    /// Opens streams, and waits until the server has answered each with its first message.
    pub async fn open(
        address: SocketAddr,
        requests: Vec<StreamRequest>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let ended = Arc::new(AtomicU64::new(0));
        let opened = stream::iter(requests).map(|request| async move {
            let bearer = bearer(&request.token).map_err(|error| error.to_string())?;
            let mut follower = Follower {
                address,
                path: request.path,
                bearer,
                ledger: request.ledger,
                clock: Arc::clone(clock),
                last_id: String::new(),
            };
            let open = follower.open().await?;
            Ok::<_, String>((follower, open))
        });
        let opened: Vec<_> = opened.buffer_unordered(SIMULTANEOUS).try_collect().await?;
        let mut running = JoinSet::new();
        for (follower, open) in opened {
            running.spawn(follower.run(open, Arc::clone(&ended)));
        }
        Ok(Self { ended, running })
    }

    /// Returns how often a stream ended. Measured streams resume.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns the number of streams that are open or resume.
    pub fn count(&self) -> usize {
        self.running.len()
    }
}

struct Follower {
    address: SocketAddr,
    path: String,
    bearer: HeaderValue,
    ledger: Option<Arc<dyn Receipts>>,
    clock: Arc<dyn Clock>,
    /// Id after which the stream resumes.
    last_id: String,
}

/// An open stream.
struct Open {
    /// The connection ends with its sender.
    _connection: Connection,
    body: Incoming,
    parser: MessageParser,
}

impl Follower {
    /// Opens the stream, and reads its first messages.
    async fn open(&mut self) -> Result<Open, String> {
        let mut connection = Connection::open(self.address).await?;
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let path = if self.last_id.is_empty() {
            self.path.clone()
        } else {
            format!("{}{separator}after={}", self.path, self.last_id)
        };
        let uri = Uri::try_from(&path).map_err(|error| error.to_string())?;
        let response = connection.open_stream(get(uri, &self.bearer)).await?;
        if response.status() != 200 {
            return Err(format!("{}: {}", self.path, response.status()));
        }
        let mut open =
            Open { _connection: connection, body: response.into_body(), parser: MessageParser::default() };
        self.step(&mut open).await?;
        Ok(open)
    }

    async fn run(mut self, mut open: Open, ended: Arc<AtomicU64>) {
        loop {
            while self.step(&mut open).await.is_ok() {}
            ended.fetch_add(1, Ordering::Relaxed);
            if self.ledger.is_none() {
                return;
            }
            loop {
                tokio::time::sleep(RESUME_PAUSE).await;
                if let Ok(opened) = self.open().await {
                    open = opened;
                    break;
                }
            }
        }
    }

    /// Reads the next bytes. Fails if the stream has ended.
    async fn step(&mut self, open: &mut Open) -> Result<(), String> {
        let bytes = tokio::time::timeout(SILENCE, next(&mut open.body)).await;
        let bytes = bytes.map_err(|_| "no message for 25 s".to_owned())??;
        let now = self.clock.now();
        for message in open.parser.take(&bytes).map_err(|error| error.to_string())? {
            self.take(message, now)?;
        }
        Ok(())
    }

    fn take(&mut self, message: StreamMessage, now: Timestamp) -> Result<(), String> {
        match message.event.as_str() {
            BYE => return Err(format!("the server ended the stream: {}", message.data)),
            HEARTBEAT => {}
            _ => {
                if let Some(ledger) = &self.ledger {
                    let recorded = ledger.record_message(&message.event, message.data.as_bytes(), now);
                    recorded.map_err(|_| "too many events".to_owned())?;
                }
            }
        }
        if !message.id.is_empty() {
            self.last_id = message.id;
        }
        Ok(())
    }
}

/// Returns the next bytes of a body; an error at its end.
async fn next(body: &mut Incoming) -> Result<Bytes, String> {
    loop {
        let frame = body.frame().await.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(bytes);
        }
    }
}
