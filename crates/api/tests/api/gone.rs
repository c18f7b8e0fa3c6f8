//! Event streams over HTTP/1.1 whose clients have gone, and what clients send during a stream.

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use dabba_testkit::TlsIdentity;
use dabba_web::{ConnectionMetrics, ServeOptions, Stopping, serve};
use futures::{
    StreamExt as _,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::tls::{PATIENCE, SOON, identity};

/// Number of reloads of a board: more than twice the streams that a session may have.
const RELOADS: usize = 20;

/// Number of bytes of a request during a stream: more than the server reads ahead.
const LARGE: usize = 64 * 1024;

/// Serves routes on a port, until the test ends.
async fn serving(app: Router, identity: Option<&TlsIdentity>, options: ServeOptions) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions { tls: identity.map(TlsIdentity::tls), ..options };
    tokio::spawn(serve(listener, app, pending(), options, ConnectionMetrics::default()));
    address
}

/// The client's side of a connection.
enum Client {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

impl Client {
    async fn connect(address: SocketAddr, identity: Option<&TlsIdentity>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        match identity {
            None => Self::Plain(stream),
            Some(identity) => Self::Tls(Box::new(identity.connect(stream, &["http/1.1"]).await.unwrap())),
        }
    }

    fn stream(&mut self) -> &mut dyn Transport {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        let stream = self.stream();
        stream.write_all(text.as_ref()).await.unwrap();
        stream.flush().await.unwrap();
    }

    /// Sends a GET request.
    async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    }

    /// Reads until a text has arrived.
    async fn read_until(&mut self, end: &str) -> String {
        let mut received = Vec::new();
        let mut part = [0; 4_096];
        loop {
            let text = String::from_utf8_lossy(&received);
            if text.contains(end) {
                return text.into_owned();
            }
            let count = timeout(PATIENCE, self.stream().read(&mut part)).await;
            let count = count.unwrap_or_else(|_| panic!("no {end} in {text}")).unwrap();
            assert_ne!(count, 0, "no {end} in {text}");
            received.extend_from_slice(&part[..count]);
        }
    }

    /// Reads until the server closes the connection.
    async fn read_to_end(&mut self) -> String {
        let mut received = Vec::new();
        timeout(PATIENCE, self.stream().read_to_end(&mut received)).await.unwrap().unwrap();
        String::from_utf8(received).unwrap()
    }
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// What a test learns of a stream that sends one message and never ends.
#[derive(Default)]
struct Watch {
    /// The message is handed over, or the request waits.
    begun: Notify,
    /// The stream or the request is dropped.
    ended: Notify,
}

impl Watch {
    fn stream(self: Arc<Self>) -> Response {
        let rest = stream::once(self.never());
        let first = stream::once(ready(Ok::<_, Infallible>("data: first\n\n")));
        event_stream(Body::from_stream(first.chain(rest)))
    }

    /// Never returns.
    async fn never<T>(self: Arc<Self>) -> T {
        let Ending(watch) = &Ending(self);
        watch.begun.notify_one();
        pending().await
    }
}

struct Ending(Arc<Watch>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.notify_one();
    }
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// The client closes its sending half.
    Half,
    /// The client closes the connection.
    Closed,
    /// The client closes the connection with bytes that it has not read: its kernel resets the connection.
    Reset,
}

/// Proves that the server ends an event stream as soon as its client has gone, although the stream sends nothing.
#[tokio::test]
async fn a_stream_ends_when_its_client_has_gone() {
    let identity = identity();
    let watch = Arc::<Watch>::default();
    let watched = Arc::clone(&watch);
    let app = Router::new().route("/", get(move || ready(Arc::clone(&watched).stream())));
    for identity in [None, Some(&identity)] {
        let address = serving(app.clone(), identity, ServeOptions::default()).await;
        for going in [Going::Half, Going::Closed, Going::Reset] {
            let mut client = Client::connect(address, identity).await;
            client.get("/").await;
            timeout(PATIENCE, watch.begun.notified()).await.expect("the stream must begin");
            match going {
                Going::Half => {
                    client.read_until("first").await;
                    client.stream().shutdown().await.unwrap();
                }
                Going::Closed => {
                    client.read_until("first").await;
                    drop(client);
                }
                Going::Reset => {
                    client.socket().peek(&mut [0]).await.unwrap();
                    drop(client);
                }
            }
            let ended = timeout(PATIENCE, watch.ended.notified()).await;
            ended.unwrap_or_else(|_| panic!("{going:?}, TLS {}", identity.is_some()));
        }
    }
}

/// Proves that a request for an event stream ends as soon as its client has gone, although the stream has not begun.
#[tokio::test]
async fn a_request_for_a_stream_ends_when_its_client_has_gone() {
    let identity = identity();
    let watch = Arc::<Watch>::default();
    let watched = Arc::clone(&watch);
    let handle = async move |stopping: Stopping| -> Response {
        stopping.expect_stream();
        Arc::clone(&watched).never().await
    };
    let app = Router::new().route("/", get(handle));
    for identity in [None, Some(&identity)] {
        let address = serving(app.clone(), identity, ServeOptions::default()).await;
        for is_half in [true, false] {
            let mut client = Client::connect(address, identity).await;
            client.get("/").await;
            timeout(PATIENCE, watch.begun.notified()).await.expect("the request must begin");
            if is_half {
                client.stream().shutdown().await.unwrap();
            }
            let open = is_half.then_some(client);
            let ended = timeout(PATIENCE, watch.ended.notified()).await;
            ended.unwrap_or_else(|_| panic!("half {is_half}, TLS {}", identity.is_some()));
            drop(open);
        }
    }
}

/// Proves that a client that closes its sending half gets the rest of a response that is no event stream.
#[tokio::test]
async fn other_responses_reach_a_client_that_has_closed_its_half() {
    let identity = identity();
    let release = Arc::<Notify>::default();
    let released = Arc::clone(&release);
    let app = Router::new().route(
        "/",
        get(move || {
            let released = Arc::clone(&released);
            let last = stream::once(async move {
                released.notified().await;
                Ok("last")
            });
            ready(Body::from_stream(stream::once(ready(Ok::<_, Infallible>("first"))).chain(last)))
        }),
    );
    for identity in [None, Some(&identity)] {
        let address = serving(app.clone(), identity, ServeOptions::default()).await;
        let mut client = Client::connect(address, identity).await;
        client.get("/").await;
        client.read_until("first").await;
        client.stream().shutdown().await.unwrap();
        release.notify_one();
        let rest = client.read_to_end().await;
        assert!(rest.contains("last"), "{rest}");
    }
}

/// Serves an event stream whose messages the test sends, and other requests.
async fn controlled(
    identity: Option<&TlsIdentity>,
    options: ServeOptions,
) -> (SocketAddr, UnboundedSender<Result<&'static str, Infallible>>) {
    let (sender, messages) = unbounded();
    let messages = Arc::new(Mutex::new(Some(messages)));
    let stream = move || {
        let messages: UnboundedReceiver<_> = messages.lock().unwrap().take().unwrap();
        ready(event_stream(Body::from_stream(messages)))
    };
    let app = Router::new()
        .route("/stream", get(stream))
        .route("/length", post(|body: Bytes| ready(format!("length {}.", body.len()))))
        .route("/echo", post(|body: Body| ready(event_stream(body))));
    (serving(app, identity, options).await, sender)
}

/// Proves that what a client sends during a stream, also more than the server reads ahead, does not disturb the stream, and is
/// processed after its end.
#[tokio::test]
async fn a_client_can_pipeline_requests_during_a_stream() {
    let identity = identity();
    for identity in [None, Some(&identity)] {
        for length in [3, LARGE] {
            let (address, sender) = controlled(identity, ServeOptions::default()).await;
            let mut client = Client::connect(address, identity).await;
            client.get("/stream").await;
            sender.unbounded_send(Ok("data: first\n\n")).unwrap();
            client.read_until("first").await;
            let head =
                format!("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
            client.send(&head[..10]).await;
            sender.unbounded_send(Ok("data: second\n\n")).unwrap();
            client.read_until("second").await;
            client.send(&head[10..]).await;
            client.send("a".repeat(length)).await;
            sender.unbounded_send(Ok("data: third\n\n")).unwrap();
            client.read_until("third").await;
            drop(sender);
            client.read_until(&format!("length {length}.")).await;
            client.send(format!("{head}{}", "a".repeat(length))).await;
            client.read_until(&format!("length {length}.")).await;
        }
    }
}

/// Proves that the body of a request arrives while an event stream is its response.
#[tokio::test]
async fn a_body_arrives_during_a_stream() {
    let identity = identity();
    for identity in [None, Some(&identity)] {
        let (address, _sender) = controlled(identity, ServeOptions::default()).await;
        let mut client = Client::connect(address, identity).await;
        client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n").await;
        client.read_until("\r\n\r\n").await;
        for part in ["first", "again", "third"] {
            client.send(part).await;
            client.read_until(part).await;
        }
        client.send("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na").await;
        client.read_until("length 1.").await;
    }
}

/// Proves that the time for a head that begins during a stream is limited from the end of the stream.
#[tokio::test]
async fn a_head_that_begins_during_a_stream_has_its_deadline() {
    let mut options = ServeOptions::default();
    options.timeouts.head = SOON;
    let (address, sender) = controlled(None, options).await;
    let mut client = Client::connect(address, None).await;
    client.get("/stream").await;
    sender.unbounded_send(Ok("data: first\n\n")).unwrap();
    client.read_until("first").await;
    client.send("POST /length HTTP/1.1\r\nHo").await;
    sender.unbounded_send(Ok("data: second\n\n")).unwrap();
    client.read_until("second").await;
    drop(sender);
    // The time between two requests is longer than the test waits.
    client.read_to_end().await;
}

/// Proves that reloads of a board in quick succession do not use up the streams of a session: each closed stream frees its place
/// before its next heartbeat.
#[tokio::test]
async fn a_board_can_be_reloaded_often() {
    let server = crate::builder().start().await;
    let cookie = server.log_in(&server.staff).await;
    let path = server.restaurant_path("/board/stream");
    for number in 0..RELOADS {
        let mut client = Client::connect(server.address(), None).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n\r\n"
        );
        client.send(request).await;
        let opened = client.read_until("event: ").await;
        assert!(opened.starts_with("HTTP/1.1 200"), "reload {number}: {opened}");
    }
}
