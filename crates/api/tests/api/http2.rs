//! HTTP/2: the limits of its connections, and clients that are slow, silent or abandon their requests.

use std::net::SocketAddr;

use axum::body::Bytes;
use dabba_testkit::{TestServer, TlsIdentity, menu};
use dabba_web::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_STREAMS};
use h2::{
    Ping, PingPong, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{Method, Request, Response, request};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use crate::tls::{PATIENCE, SOON, identity, measured, serving};

/// Number of requests that a client abandons at most until its connection is closed.
const MANY: usize = 2_000;

/// A connection over HTTP/2.
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    pings: PingPong,
    serving: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    /// Connects to a server with the settings of most clients.
    pub(crate) async fn connect(server: &TestServer, identity: &TlsIdentity) -> Self {
        Self::to(server.address(), identity, Builder::new()).await
    }

    /// Connects with these settings.
    pub(crate) async fn to(address: SocketAddr, identity: &TlsIdentity, builder: Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = identity.connect(stream, &["h2"]).await.unwrap();
        let (requests, mut connection) = builder.handshake(stream).await.unwrap();
        let pings = connection.ping_pong().unwrap();
        Self { requests, pings, serving: tokio::spawn(connection) }
    }

    /// Sends a request, with a body that is complete if `is_complete`.
    async fn send(
        &mut self,
        request: request::Builder,
        body: &[u8],
        is_complete: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut ready = timeout(PATIENCE, self.requests.clone().ready()).await.unwrap()?;
        let (response, mut sending) =
            ready.send_request(request.body(()).unwrap(), body.is_empty() && is_complete)?;
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body), is_complete)?;
        }
        Ok((response, sending))
    }

    /// Sends a request and returns the response, with its body as text.
    pub(crate) async fn ask(&mut self, request: request::Builder, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (response, _) = self.send(request, body.as_bytes(), true).await.unwrap();
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(read(response).await.unwrap()).unwrap())
    }

    /// Sends a GET request and returns status and body of the response.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.ask(to(path), &Value::Null).await
    }

    /// Sends a request, and returns its response before it arrives. To drop it resets the stream.
    pub(crate) async fn begin_request(&mut self, request: request::Builder, body: &Value) -> ResponseFuture {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request, body.as_bytes(), true).await.unwrap().0
    }

    /// Returns when the server has read what was sent before.
    pub(crate) async fn ping(&mut self) {
        timeout(PATIENCE, self.pings.ping(Ping::opaque())).await.unwrap().unwrap();
    }

    /// Sends a GET request and returns the response, whose body nobody reads.
    async fn get_unread(&mut self, path: &str) -> Response<RecvStream> {
        let (response, _) = self.send(to(path), &[], true).await.unwrap();
        timeout(PATIENCE, response).await.unwrap().unwrap()
    }

    /// Waits until the connection ends.
    pub(crate) async fn until_ended(&mut self) {
        drop(timeout(PATIENCE, &mut self.serving).await.unwrap());
    }
}

fn to(path: &str) -> request::Builder {
    Request::builder().uri(format!("https://localhost{path}"))
}

/// Reads a body to its end.
async fn read(response: Response<RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut body = response.into_body();
    let mut all = Vec::new();
    while let Some(piece) = timeout(PATIENCE, body.data()).await.unwrap() {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Proves that requests are answered as over HTTP/1.1: bodies, headers, many at once, and the check of the host.
#[tokio::test]
async fn requests_are_answered_as_over_http1() {
    let identity = identity();
    let builder = crate::builder().web(|web| web.allowed_hosts = vec!["localhost".to_owned()]);
    let server = builder.connections(|options| options.tls = Some(identity.tls())).start().await;
    let mut client = Http2::connect(&server, &identity).await;
    let place = |key: &str| {
        let token = format!("Bearer {}", server.customer.token);
        to(&server.orders_path())
            .method(Method::POST)
            .header("authorization", token)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
    };
    let (status, placed) = client.ask(place("1"), &TestServer::order()).await;
    assert_eq!(status, 201, "{placed}");
    let placed: Value = serde_json::from_str(&placed).unwrap();
    let (status, again) = client.ask(place("1"), &TestServer::order()).await;
    assert_eq!((status, serde_json::from_str::<Value>(&again).unwrap()), (201, placed));
    let (status, _) = client.ask(place("2"), &json!({"lines": []})).await;
    assert_eq!(status, 422);
    let elsewhere = Request::builder().uri("https://rebound.example/v1/orders");
    assert_eq!(client.ask(elsewhere, &Value::Null).await.0, 421);
    // A header cannot replace the host of the request.
    let disguised = Request::builder().uri("https://rebound.example/v1/orders").header("host", "localhost");
    assert_eq!(client.ask(disguised, &Value::Null).await.0, 421);

    assert_eq!(client.requests.current_max_send_streams(), MAX_STREAMS as usize);
    for (path, end, count) in [("/healthz", "", 3 * MAX_STREAMS), ("/openapi.json", "}\n", 20)] {
        let mut responses = Vec::new();
        for _ in 0..count {
            responses.push(client.send(to(path), &[], true).await.unwrap().0);
        }
        // All at once: a client that reads one response, and none of the others, fills the window of its connection.
        let read_all = responses.into_iter().map(async |response| {
            let response = timeout(PATIENCE, response).await.unwrap().unwrap();
            assert_eq!(response.status(), 200);
            assert!(read(response).await.unwrap().ends_with(end.as_bytes()), "{path}");
        });
        futures::future::join_all(read_all).await;
    }
}

/// Proves that a head beyond the limits is refused, and that the connection continues.
#[tokio::test]
async fn a_large_head_is_refused() {
    let identity = identity();
    let server = serving(&identity, |_| ()).await;
    let mut client = Http2::connect(&server, &identity).await;
    let large = to("/healthz").header("x-large", "a".repeat(MAX_HEAD_BYTES));
    assert_eq!(client.ask(large, &Value::Null).await.0, 431);
    let many = (0..=MAX_HEADERS).fold(to("/healthz"), |request, n| request.header(format!("x-{n}"), "1"));
    assert_eq!(client.ask(many, &Value::Null).await.0, 431);
    assert_eq!(client.get("/healthz").await.0, 200);
}

/// Proves that streams end first when the server stops: the client gets the last message, and the connection ends properly.
#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let identity = identity();
    let mut server = serving(&identity, |options| options.grace = PATIENCE).await;
    let mut client = Http2::connect(&server, &identity).await;
    let token = format!("Bearer {}", server.admin.token);
    let request = to("/v1/events/stream").header("authorization", token);
    let (response, _) = client.send(request, &[], true).await.unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let (messages, stopped) = tokio::join!(read(response), timeout(PATIENCE / 2, server.stop()));
    stopped.expect("a stream must not delay the stop");
    let messages = String::from_utf8(messages.unwrap()).unwrap();
    assert!(messages.contains("event: bye") && messages.contains("shutdown"), "{messages}");
    timeout(PATIENCE, &mut client.serving).await.unwrap().unwrap().unwrap();
}

/// Proves that a connection is closed if it makes no request, however much its client pings.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let identity = identity();
    let server = serving(&identity, |options| {
        options.timeouts.head = SOON;
        options.timeouts.idle = SOON;
    })
    .await;
    let mut silent = Http2::connect(&server, &identity).await;
    silent.until_ended().await;
    let mut client = Http2::connect(&server, &identity).await;
    assert_eq!(client.get("/healthz").await.0, 200);
    let ping = async {
        let mut interval = tokio::time::interval(SOON / 10);
        loop {
            interval.tick().await;
            if client.pings.ping(Ping::opaque()).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, ping).await.expect("pings are no requests");
}

/// Proves that a connection whose client leaves one response unread is closed, although it reads others; and that a client
/// that reads slowly gets everything.
#[tokio::test]
async fn an_unread_response_closes_its_connection() {
    let identity = identity();
    let server = serving(&identity, |options| options.timeouts.stall = SOON).await;
    let mut client = Http2::connect(&server, &identity).await;
    let unread = client.get_unread("/openapi.json").await;
    let read_others = async {
        loop {
            let Ok((response, _)) = client.send(to("/healthz"), &[], true).await else { return };
            let Ok(response) = response.await else { return };
            if read(response).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, read_others).await.expect("the server must close the connection");
    drop(unread);

    let mut slow = Http2::connect(&server, &identity).await;
    let mut body = slow.get_unread("/openapi.json").await.into_body();
    let read_slowly = async {
        let mut interval = tokio::time::interval(SOON / 6);
        let mut all = Vec::new();
        while let Some(piece) = body.data().await {
            interval.tick().await;
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            all.extend_from_slice(&piece);
        }
        all
    };
    let all = timeout(PATIENCE, read_slowly).await.expect("a slow client must get its response");
    assert!(all.ends_with(b"}\n"), "{} bytes", all.len());
}

/// Proves that responses count until they are sent, even if the client allows no byte of them: above the limit, the connection
/// of a client that has read nothing for the minimum time is closed for the others.
#[tokio::test]
async fn unread_responses_are_limited() {
    let identity = identity();
    let limit = 2 * 1024 * 1024;
    let server = serving(&identity, |options| {
        options.max_unsent_bytes = limit;
        options.timeouts.min_stall = SOON;
    })
    .await;
    let mut reading = Http2::connect(&server, &identity).await;
    let (_, description) = reading.get("/openapi.json").await;
    let mut builder = Builder::new();
    builder.initial_window_size(0);
    let mut silent = Http2::to(server.address(), &identity, builder).await;
    let mut unread = Vec::new();
    for _ in 0..limit / description.len() {
        unread.push(silent.get_unread("/openapi.json").await);
    }
    assert!(!silent.serving.is_finished(), "the total is within the limit");
    for _ in 0..2 {
        unread.push(silent.get_unread("/openapi.json").await);
    }
    assert!(!silent.serving.is_finished(), "the client may still read its responses");
    tokio::time::sleep(2 * SOON).await;
    // The next response of any connection checks the limit.
    assert_eq!(reading.get("/openapi.json").await, (200, description.clone()));
    silent.until_ended().await;
    assert_eq!(reading.get("/openapi.json").await, (200, description));
    let closed =
        measured(&server, &identity, "dabba_http_connections_closed_total{reason=\"unsent_bytes\"}").await;
    assert_eq!(closed, 1);
}

/// Proves that the bodies of all connections together have a limit, and that the connection whose body has cost the most is
/// closed for others.
#[tokio::test]
async fn bodies_that_do_not_end_are_limited() {
    let identity = identity();
    let server = serving(&identity, |options| options.max_received_bytes = 96 * 1024).await;
    let token = format!("Bearer {}", server.staff.token);
    let replace = || {
        to(&server.restaurant_path("/menu"))
            .method(Method::PUT)
            .header("authorization", token.clone())
            .header("content-type", "application/json")
            .header("if-match", "*")
    };
    let mut hoarding = Http2::connect(&server, &identity).await;
    let mut unfinished = Vec::new();
    for _ in 0..2 {
        unfinished.push(hoarding.send(replace(), &[b' '; 16 * 1024], false).await.unwrap());
    }
    // The bodies of the others are small, one at a time, and complete, on one connection.
    let mut others = Http2::connect(&server, &identity).await;
    let padding = " ".repeat(24 * 1024);
    let body = format!("{}{padding}", menu());
    for round in 0..10 {
        let (response, _) = others.send(replace(), body.as_bytes(), true).await.unwrap();
        let status = timeout(PATIENCE, response).await.unwrap().unwrap().status();
        assert_eq!(status, 200, "round {round}");
    }
    assert!(!hoarding.serving.is_finished(), "the total was within the limit");
    let large = format!("{}{}", menu(), " ".repeat(48 * 1024));
    let (response, _) = others.send(replace(), large.as_bytes(), true).await.unwrap();
    assert_eq!(timeout(PATIENCE, response).await.unwrap().unwrap().status(), 200);
    hoarding.until_ended().await;
}

/// Proves that a client that abandons its requests as fast as it makes them is disconnected, and that others are served.
#[tokio::test]
async fn a_client_that_abandons_its_requests_is_disconnected() {
    let identity = identity();
    let server = serving(&identity, |_| ()).await;
    let mut others = Http2::connect(&server, &identity).await;
    let mut client = Http2::connect(&server, &identity).await;
    let path = server.restaurant_path("/menu");
    let mut abandoned = 0;
    while abandoned < MANY && !client.serving.is_finished() {
        match client.send(to(&path), &[], true).await {
            // Dropping the response resets the request.
            Ok((response, _)) => drop(response),
            Err(_) => break,
        }
        abandoned += 1;
        assert_eq!(others.get("/healthz").await.0, 200);
    }
    client.until_ended().await;
    assert!(abandoned < MANY, "{abandoned}");
}

/// Proves that a new connection replaces an idle one if all slots are in use, and none that is busy.
#[tokio::test]
async fn an_idle_connection_is_replaced() {
    let identity = identity();
    let server = serving(&identity, |options| options.max_connections = 2).await;
    let mut busy = Http2::connect(&server, &identity).await;
    let token = format!("Bearer {}", server.admin.token);
    let stream = to("/v1/events/stream").header("authorization", token);
    let (response, _) = busy.send(stream, &[], true).await.unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    let mut idle = Http2::connect(&server, &identity).await;
    assert_eq!(idle.get("/healthz").await.0, 200);
    let mut new = Http2::connect(&server, &identity).await;
    assert_eq!(new.get("/healthz").await.0, 200);
    idle.until_ended().await;
    assert!(!busy.serving.is_finished());
    assert_eq!(busy.get("/healthz").await.0, 200);
    drop(response);
}
