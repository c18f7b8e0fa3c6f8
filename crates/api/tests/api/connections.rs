//! Connections: clients that are slow, idle, too many or read nothing, and the clients beside them.

use std::{net::SocketAddr, time::Duration};

use dabba_testkit::{TestServer, eventually};
use dabba_web::{MAX_HEAD_BYTES, MAX_HEADERS, ServeOptions, Timeouts};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Maximum time to wait for an answer or the end of a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// A timeout that is short enough for tests.
const SOON: Duration = Duration::from_millis(300);

async fn serving(change: impl FnOnce(&mut ServeOptions)) -> TestServer {
    crate::builder().connections(change).start().await
}

/// Opens a connection from this loopback address.
async fn connect(server: &TestServer, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(server.address()).await.unwrap()
}

/// Returns everything that the server sends until it closes the connection.
async fn until_closed(connection: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let read = timeout(PATIENCE, connection.read_to_end(&mut received)).await.unwrap();
    // A reset connection is closed, too.
    drop(read);
    received
}

/// Sends a request on an open connection and returns the head of the response, which has a short body.
async fn ask(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: dabba\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 4_096];
    let length = timeout(PATIENCE, connection.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Requests more than the buffers of the sockets hold, and reads none of it.
async fn ask_without_reading(connection: &mut TcpStream) {
    for _ in 0..100 {
        if connection.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: dabba\r\n\r\n").await.is_err() {
            return;
        }
    }
}

async fn orders_are_taken(server: &TestServer, key: &str) {
    let order = TestServer::order();
    server.post(&server.orders_path(), Some(&server.customer), &order).key(key).send().await.expect(201);
}

/// Returns a measurement of the connections from `/metrics`.
async fn measured(server: &TestServer, name: &str) -> usize {
    let text = server.get("/metrics", None).await.text;
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Proves that the server closes connections whose request head does not end, however the bytes arrive, and serves others
/// meanwhile.
#[tokio::test]
async fn a_connection_whose_head_does_not_end_is_closed() {
    let server = serving(|options| options.timeouts.head = SOON).await;
    let mut connections = Vec::new();
    for start in ["", "P", "POST /v1/tokens HTTP/1.1\r\nHost: dabba\r\nX-Half: "] {
        for _ in 0..10 {
            let mut connection = connect(&server, "127.0.0.2").await;
            connection.write_all(start.as_bytes()).await.unwrap();
            connections.push(connection);
        }
    }
    let mut dripping = connect(&server, "127.0.0.3").await;
    let drip = async {
        let mut interval = tokio::time::interval(SOON / 10);
        dripping.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
        loop {
            interval.tick().await;
            if dripping.write_all(b"a").await.is_err() {
                return;
            }
        }
    };
    let (dripped, ()) = tokio::join!(timeout(PATIENCE, drip), orders_are_taken(&server, "beside"));
    dripped.expect("the server must close a connection whose head arrives too slowly");
    for connection in &mut connections {
        assert_eq!(until_closed(connection).await, b"");
    }
    // A request after another one has the same timeout for its head.
    let mut second = connect(&server, "127.0.0.2").await;
    assert!(ask(&mut second).await.starts_with("HTTP/1.1 200"));
    second.write_all(b"GET /healthz").await.unwrap();
    assert_eq!(until_closed(&mut second).await, b"");
}

/// Proves that a client that closes its half of the connection after its requests gets every response, and then the end.
#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_responses() {
    let server = serving(|_| ()).await;
    let menu = server.restaurant_path("/menu");
    for paths in [vec!["/healthz"], vec![menu.as_str()], vec!["/healthz", &menu, "/v1/orders", &menu]] {
        let mut connection = connect(&server, "127.0.0.2").await;
        for path in &paths {
            let request = format!("GET {path} HTTP/1.1\r\nHost: dabba\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
        }
        connection.shutdown().await.unwrap();
        let received = until_closed(&mut connection).await;
        let received = String::from_utf8_lossy(&received);
        assert_eq!(received.matches("HTTP/1.1 ").count(), paths.len(), "{paths:?}: {received}");
    }
    // A truncated body is refused.
    let mut connection = connect(&server, "127.0.0.2").await;
    let half = "POST /v1/tokens HTTP/1.1\r\nHost: dabba\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    connection.write_all(half.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let received = until_closed(&mut connection).await;
    assert!(received.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&received));
}

/// Proves that the size of a request's head and its number of headers are limited, whether the head ends or not.
#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = serving(|_| ()).await;
    let long = format!("GET /healthz HTTP/1.1\r\nX-Long: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(MAX_HEADERS + 1));
    let endless = format!("GET /healthz HTTP/1.1\r\nX-Long: {}", "a".repeat(4 * MAX_HEAD_BYTES));
    for head in [long, many, endless] {
        let mut connection = connect(&server, "127.0.0.2").await;
        // The server may close before it has read everything.
        let _ = connection.write_all(head.as_bytes()).await;
        let received = until_closed(&mut connection).await;
        assert!(
            received.is_empty() || received.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&received)
        );
    }
    let fitting =
        format!("GET /healthz HTTP/1.1\r\nHost: dabba\r\nX-Long: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES / 2));
    let mut connection = connect(&server, "127.0.0.2").await;
    connection.write_all(fitting.as_bytes()).await.unwrap();
    assert!(ask(&mut connection).await.starts_with("HTTP/1.1 200"));
}

/// Proves that a connection without requests is closed after its timeout, and that requests keep a connection open.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = serving(|options| options.timeouts.idle = SOON).await;
    let mut idle = connect(&server, "127.0.0.2").await;
    let mut used = connect(&server, "127.0.0.2").await;
    ask(&mut idle).await;
    // The requests last for four times the timeout, and each comes after a fifth of it.
    let mut interval = tokio::time::interval(SOON / 5);
    for _ in 0..=4 * 5 {
        interval.tick().await;
        assert!(ask(&mut used).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(until_closed(&mut idle).await, b"");
    assert!(
        Timeouts::default().idle >= Duration::from_secs(75),
        "the default must keep the connections of clients that poll every 30 s"
    );
}

/// Proves that a client that reads nothing of its responses is disconnected.
#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let server = serving(|options| options.timeouts.stall = SOON).await;
    let mut connection = connect(&server, "127.0.0.2").await;
    ask_without_reading(&mut connection).await;
    eventually("the server closes the connection", async || {
        orders_are_taken(&server, "beside").await;
        let open = measured(&server, "dabba_http_connections ").await;
        if open > 1 { Err(open) } else { Ok(()) }
    })
    .await;
}

/// Proves that idle connections do not prevent a client from connecting and sending requests.
#[tokio::test]
async fn a_new_connection_replaces_an_idle_one() {
    const LIMIT: usize = 20;
    let server = serving(|options| options.max_connections = LIMIT).await;
    let mut silent = Vec::new();
    for number in 0..3 * LIMIT {
        let mut connection = connect(&server, "127.0.0.2").await;
        connection.write_all(b"POST /v1/tokens HTTP/1.1\r\n").await.unwrap();
        silent.push(connection);
        if number % LIMIT == 0 {
            orders_are_taken(&server, &number.to_string()).await;
        }
    }
    orders_are_taken(&server, "after").await;
    assert!(measured(&server, "dabba_http_connections ").await <= LIMIT + 1);
    let made_room = "dabba_http_connections_closed_total{reason=\"made_room\"}";
    assert!(measured(&server, made_room).await >= LIMIT);
    assert_eq!(until_closed(&mut silent[0]).await, b"");
}

/// Proves that the connections of one address are limited, and those of a trusted proxy are not.
#[tokio::test]
async fn the_connections_of_one_address_are_limited() {
    const LIMIT: usize = 5;
    let server = serving(|options| {
        options.max_connections_per_address = LIMIT;
        options.trusted_proxies = vec!["127.0.0.4".parse().unwrap()];
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..LIMIT {
        let mut connection = connect(&server, "127.0.0.2").await;
        assert!(ask(&mut connection).await.starts_with("HTTP/1.1 200"));
        kept.push(connection);
    }
    assert_eq!(until_closed(&mut connect(&server, "127.0.0.2").await).await, b"");
    for from in ["127.0.0.3", "127.0.0.4"] {
        assert!(ask(&mut connect(&server, from).await).await.starts_with("HTTP/1.1 200"));
    }
    for _ in 0..3 * LIMIT {
        let mut connection = connect(&server, "127.0.0.4").await;
        assert!(ask(&mut connection).await.starts_with("HTTP/1.1 200"));
        kept.push(connection);
    }
    // A slot that is free again can be used.
    drop(kept.remove(0));
    eventually("the address gets a connection after one has ended", async || {
        let mut connection = connect(&server, "127.0.0.2").await;
        let request =
            connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: dabba\r\nConnection: close\r\n\r\n").await;
        let is_taken = request.is_ok() && until_closed(&mut connection).await.starts_with(b"HTTP/1.1 200");
        is_taken.then_some(()).ok_or("the server closes the connection")
    })
    .await;
}

/// Proves that any number of bodies that do not end does not prevent a client from sending requests.
#[tokio::test]
async fn connections_with_slow_bodies_are_closed_for_others() {
    const SLOW: usize = 20;
    let server = serving(|options| options.max_received_bytes = 20_000).await;
    let mut connections = Vec::new();
    for number in 0..SLOW {
        let mut connection = connect(&server, "127.0.0.2").await;
        let head = "POST /v1/tokens HTTP/1.1\r\nHost: dabba\r\nContent-Type: application/json\r\nContent-Length: 6000\r\nExpect: 100-continue\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        // From now on, the server counts the time of this body, which is longer than that of the order that follows.
        let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        timeout(PATIENCE, connection.read_exact(&mut go_on)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&go_on), "HTTP/1.1 100 Continue\r\n\r\n");
        // The server may already have closed the connection.
        let _ = connection.write_all(" ".repeat(5_000).as_bytes()).await;
        connections.push(connection);
        orders_are_taken(&server, &number.to_string()).await;
    }
    let received = "dabba_http_connections_closed_total{reason=\"received_bytes\"}";
    eventually("all slow bodies but three are closed", async || {
        orders_are_taken(&server, "again").await;
        let closed = measured(&server, received).await;
        if closed + 3 < SLOW { Err(closed) } else { Ok(()) }
    })
    .await;
}

/// Proves that a body counts with the memory of its frames: many small frames do not exceed the limit either.
#[tokio::test]
async fn the_memory_of_frames_counts() {
    const PIECES: usize = 1_000;
    let server = serving(|options| options.max_received_bytes = 20_000).await;
    let mut connection = connect(&server, "127.0.0.2").await;
    let head = "POST /v1/tokens HTTP/1.1\r\nHost: dabba\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    // The server may already have closed the connection.
    let _ = connection.write_all(format!("{head}{}", "1\r\n \r\n".repeat(PIECES)).as_bytes()).await;
    let refusal = until_closed(&mut connection).await;
    assert!(refusal.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&refusal));
    orders_are_taken(&server, "after").await;
}

/// Proves that a stopping server waits neither for connections without a request nor for clients that read nothing.
#[tokio::test]
async fn a_stopping_server_does_not_wait_for_idle_clients() {
    let mut server = serving(|options| options.grace = 2 * PATIENCE).await;
    let mut connections = Vec::new();
    for start in ["", "GET /healthz HTTP/1.1\r\nX-Half: "] {
        let mut connection = connect(&server, "127.0.0.2").await;
        connection.write_all(start.as_bytes()).await.unwrap();
        connections.push(connection);
    }
    let mut idle = connect(&server, "127.0.0.2").await;
    ask(&mut idle).await;
    connections.push(idle);
    let mut reads_nothing = connect(&server, "127.0.0.2").await;
    ask_without_reading(&mut reads_nothing).await;
    timeout(PATIENCE, server.stop()).await.expect("the server must stop before its grace period ends");
    for connection in &mut connections {
        assert_eq!(until_closed(connection).await, b"");
    }
}
