//! TLS of the listener: its certificate, and connections whose clients are slow, silent or many.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use dabba_testkit::{PASSWORD, TestServer, TlsIdentity, eventually};
use dabba_web::{Certificate, CertificateError, ConnectionMetrics, ServeOptions, Transport, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::http2::Http2;

/// Maximum time to wait for an answer or the end of a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A timeout that is short enough for tests.
pub(crate) const SOON: Duration = Duration::from_millis(300);

/// Starts a server with TLS.
pub(crate) async fn serving(identity: &TlsIdentity, change: impl FnOnce(&mut ServeOptions)) -> TestServer {
    let with_tls = |options: &mut ServeOptions| {
        options.tls = Some(identity.tls());
        change(options);
    };
    crate::builder().connections(with_tls).start().await
}

/// Returns the identity of the servers of these tests.
pub(crate) fn identity() -> TlsIdentity {
    TlsIdentity::new("localhost")
}

/// Opens a connection for HTTP/1.1.
async fn connect(address: SocketAddr, identity: &TlsIdentity) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    identity.connect(stream, &["http/1.1"]).await.unwrap()
}

/// Sends a GET request on a connection of its own, and returns the whole response.
pub(crate) async fn get_once(address: SocketAddr, identity: &TlsIdentity, path: &str) -> String {
    let mut stream = connect(address, identity).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut response)).await.unwrap().unwrap();
    response
}

/// Returns a measurement of the server.
pub(crate) async fn measured(server: &TestServer, identity: &TlsIdentity, name: &str) -> usize {
    let text = get_once(server.address(), identity, "/metrics").await;
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until the server closes a connection, and discards what it sends.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut received = Vec::new();
    // A reset connection is closed, too.
    drop(timeout(PATIENCE, stream.read_to_end(&mut received)).await.unwrap());
}

/// Proves that the client chooses the protocol, with HTTP/1.1 for one that chooses none, and that requests know whether they
/// arrived encrypted.
#[tokio::test]
async fn the_client_chooses_the_protocol() {
    let identity = identity();
    let app = Router::new().route("/", get(async |transport: Transport| format!("{transport:?}")));
    let mut addresses = Vec::new();
    let mut stops = Vec::new();
    for tls in [None, Some(identity.tls())] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        stops.push(stop);
        let options = ServeOptions { tls, ..ServeOptions::default() };
        let stopped = async { drop(stopped.await) };
        tokio::spawn(serve(listener, app.clone(), stopped, options, ConnectionMetrics::default()));
    }
    let [plain, encrypted] = addresses[..] else { panic!("two servers") };
    let mut stream = TcpStream::connect(plain).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("Plain"), "{response}");

    let response = get_once(encrypted, &identity, "/").await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("Tls"), "{response}");
    let mut http2 = Http2::to(encrypted, &identity, h2::client::Builder::new()).await;
    assert_eq!(http2.get("/").await, (200, "Tls".to_owned()));
    for (protocols, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = TcpStream::connect(encrypted).await.unwrap();
        let stream = identity.connect(stream, protocols).await.unwrap();
        let found = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(found.as_deref(), chosen, "{protocols:?}");
    }
    // A client that speaks neither gets no connection.
    let stream = TcpStream::connect(encrypted).await.unwrap();
    identity.connect(stream, &["h3"]).await.unwrap_err();
}

/// Proves that a login on an encrypted connection sets the cookie that browsers send by HTTPS only.
#[tokio::test]
async fn sessions_by_tls_have_a_secure_cookie() {
    let identity = identity();
    let server = serving(&identity, |_| {}).await;
    let body = json!({"email": server.staff.email, "password": PASSWORD}).to_string();
    let mut stream = connect(server.address(), &identity).await;
    let request = format!(
        "POST /v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut response)).await.unwrap().unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let cookie = response.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.starts_with("__Host-dabba=") && cookie.contains("; Secure"), "{cookie}");
}

/// Proves that a new certificate is for new connections, and that open ones continue.
#[tokio::test]
async fn the_certificate_can_be_replaced() {
    let (first, second) = (identity(), identity());
    let tls = first.tls();
    let for_server = tls.clone();
    let server = crate::builder().connections(|options| options.tls = Some(for_server)).start().await;
    let mut open = Http2::connect(&server, &first).await;
    assert_eq!(open.get("/healthz").await.0, 200);
    tls.replace(second.certificate());
    assert!(get_once(server.address(), &second, "/healthz").await.starts_with("HTTP/1.1 200"));
    let stream = TcpStream::connect(server.address()).await.unwrap();
    first.connect(stream, &[]).await.unwrap_err();
    assert_eq!(open.get("/healthz").await.0, 200);
}

/// Proves that a certificate and a key that cannot be used are refused with the reason, and that the expiry is that of the
/// certificate that expires first.
#[test]
fn files_that_cannot_be_used_are_refused() {
    let (one, other) =
        (TlsIdentity::until("localhost", 2030, 1, 1), TlsIdentity::until("localhost", 2029, 1, 1));
    let (certificate, key) = (one.certificate_pem(), one.key_pem());
    let read = Certificate::from_pem;
    assert_eq!(read(&certificate, &key).unwrap().expires_at(), 1_893_456_000);
    let chain = format!("{certificate}\n{}", other.certificate_pem());
    assert_eq!(read(&chain, &key).unwrap().expires_at(), 1_861_920_000);
    let refused = |certificate: &str, key: &str| read(certificate, key).unwrap_err();
    assert_eq!(refused("", &key), CertificateError::NoCertificate);
    assert_eq!(refused(&key, &key), CertificateError::NoCertificate);
    assert_eq!(refused(&certificate, ""), CertificateError::Key);
    assert_eq!(refused(&certificate, &certificate), CertificateError::Key);
    assert_eq!(refused(&certificate, &other.key_pem()), CertificateError::Mismatch);
    let cut = certificate.replace("-----END", "");
    assert!(matches!(refused(&cut, &key), CertificateError::Certificate(_)));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(nonsense, &key), CertificateError::Certificate(_)));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(refused(&certificate, &encrypted), CertificateError::Key);
    for text in [refused("", &key).to_string(), refused(&certificate, "").to_string()] {
        assert!(text.contains("PEM"), "{text}");
    }
}

/// Proves that a handshake that does not end, however its bytes arrive, is closed and counted, and that others are served
/// meanwhile.
#[tokio::test]
async fn a_handshake_that_does_not_end_is_closed() {
    let identity = identity();
    let server = serving(&identity, |options| options.timeouts.handshake = SOON).await;
    // The beginning of a record with a ClientHello of 512 bytes.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut connections = Vec::new();
    for start in [&b""[..], &hello] {
        for _ in 0..5 {
            let mut connection = TcpStream::connect(server.address()).await.unwrap();
            connection.write_all(start).await.unwrap();
            connections.push(connection);
        }
    }
    let mut dripping = TcpStream::connect(server.address()).await.unwrap();
    let drip = async {
        let mut interval = tokio::time::interval(SOON / 10);
        dripping.write_all(&hello).await.unwrap();
        loop {
            interval.tick().await;
            if dripping.write_all(&[0]).await.is_err() {
                return;
            }
        }
    };
    let (dripped, answer) =
        tokio::join!(timeout(PATIENCE, drip), get_once(server.address(), &identity, "/healthz"));
    dripped.expect("the server must close a connection whose handshake is too slow");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for connection in &mut connections {
        until_closed(connection).await;
    }
    assert_eq!(measured(&server, &identity, "dabba_tls_handshakes_failed_total").await, 11);
    // What is not TLS is refused at once.
    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until_closed(&mut plain).await;
    eventually("the failure is counted", async || {
        let count = measured(&server, &identity, "dabba_tls_handshakes_failed_total").await;
        if count == 12 { Ok(()) } else { Err(count) }
    })
    .await;
}

/// Proves that the deadlines of a head and of an idle connection hold after the handshake, which does not count.
#[tokio::test]
async fn a_head_that_does_not_end_is_closed() {
    let identity = identity();
    let server = serving(&identity, |options| {
        options.timeouts.head = SOON;
        options.timeouts.idle = 2 * SOON;
    })
    .await;
    for start in ["", "GET /healthz HTTP/1.1\r\nX-Half: "] {
        let mut stream = connect(server.address(), &identity).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        until_closed(&mut stream).await;
    }
    let mut idle = connect(server.address(), &identity).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    until_closed(&mut idle).await;
}

/// Proves that a client that reads nothing is closed although TLS encrypts ahead, and that a slow one gets everything.
#[tokio::test]
async fn a_client_that_reads_nothing_is_closed() {
    let identity = identity();
    // A kernel reports what a client reads in pieces of a sixteenth of its receive buffer, at least of a segment (64 KiB on
    // loopback); a buffer of few segments drops some. With this buffer, the slow client reads a piece in a fraction of the
    // timeout, and the whole response in more than the timeout.
    let stall = 6 * SOON;
    let server = serving(&identity, |options| options.timeouts.stall = stall).await;
    let mut silent = connect(server.address(), &identity).await;
    let ask = async {
        while silent.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok() {
            silent.flush().await.ok();
        }
    };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(512 * 1024).unwrap();
    let slow = socket.connect(server.address()).await.unwrap();
    let mut slow = identity.connect(slow, &["http/1.1"]).await.unwrap();
    let read_slowly = async {
        slow.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        slow.flush().await.unwrap();
        let mut interval = tokio::time::interval(SOON / 5);
        let began = interval.tick().await;
        let (mut response, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            interval.tick().await;
            let length = slow.read(&mut piece).await.unwrap();
            if length == 0 {
                return (response, began.elapsed());
            }
            response.extend_from_slice(&piece[..length]);
        }
    };
    let (closed, response) = tokio::join!(timeout(PATIENCE, ask), timeout(PATIENCE, read_slowly));
    closed.expect("the server must close the connection of a client that reads nothing");
    let (response, took) = response.expect("a slow client must get its response");
    assert!(response.ends_with(b"}\n"), "{} bytes", response.len());
    assert!(took > stall, "{took:?}");
}

/// Proves that a server stops at once although clients are within their handshakes, or connected and silent.
#[tokio::test]
async fn a_server_with_silent_clients_stops() {
    let identity = identity();
    let mut server = serving(&identity, |options| options.grace = PATIENCE).await;
    let mut unfinished = TcpStream::connect(server.address()).await.unwrap();
    let mut idle = connect(server.address(), &identity).await;
    let mut http2 = Http2::connect(&server, &identity).await;
    assert_eq!(http2.get("/healthz").await.0, 200);
    timeout(PATIENCE / 2, server.stop()).await.expect("the server must not wait for silent clients");
    until_closed(&mut unfinished).await;
    until_closed(&mut idle).await;
    http2.until_ended().await;
}
